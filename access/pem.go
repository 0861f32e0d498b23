package access

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// ParsePublicKeys reads public keys in PEM: PUBLIC KEY, RSA PUBLIC KEY, or CERTIFICATE, of which only the key is looked at;
// as many as a signature may be tried with, so that one can take another's place. They are *rsa.PublicKey,
// *ecdsa.PublicKey or ed25519.PublicKey. The error is meant for the one who wrote the file.
func ParsePublicKeys(text []byte) ([]any, error) {
	var keys []any
	for {
		var block *pem.Block
		block, text = pem.Decode(text)
		if block == nil {
			break
		}
		var (
			key any
			err error
		)
		switch {
		case block.Type == "PUBLIC KEY":
			key, err = x509.ParsePKIXPublicKey(block.Bytes)
		case block.Type == "RSA PUBLIC KEY":
			key, err = x509.ParsePKCS1PublicKey(block.Bytes)
		case block.Type == "CERTIFICATE":
			var cert *x509.Certificate
			if cert, err = x509.ParseCertificate(block.Bytes); err == nil {
				key = cert.PublicKey
			}
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			return nil, errors.New("there is a private key in it, which only the issuer should have; give the public one")
		default:
			return nil, fmt.Errorf("there is a %q in it; PUBLIC KEY and CERTIFICATE are read", block.Type)
		}
		if err != nil {
			return nil, fmt.Errorf("key %d cannot be read: %w", len(keys)+1, err)
		}
		if err := checkKey(key); err != nil {
			return nil, fmt.Errorf("key %d: %w", len(keys)+1, err)
		}
		if keys = append(keys, key); len(keys) > maxTries {
			return nil, fmt.Errorf("there are more than %d keys in it", maxTries)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("there is no public key in it; PEM is read, such as -----BEGIN PUBLIC KEY-----")
	}
	return keys, nil
}

// keysOf makes a set of keys that have no ids.
func keysOf(keys []any) *keySet {
	set := new(keySet)
	for _, key := range keys {
		set.keys = append(set.keys, &verifyKey{key: key, print: printOf(key)})
	}
	return set
}
