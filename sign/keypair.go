package sign

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

const (
	privatePrefix = "whsk_"
	publicPrefix  = "whpk_"
)

// NewSigningKey makes a key pair: whsk_ and the base64 of a 32-byte Ed25519 seed and the 32-byte public key.
func NewSigningKey() string {
	seed := make([]byte, ed25519.SeedSize)
	rand.Read(seed)
	return privatePrefix + base64.StdEncoding.EncodeToString(ed25519.NewKeyFromSeed(seed))
}

// parsePrivate reads the secret half of a key pair, with its prefix.
func parsePrivate(s string) (Key, error) {
	key, err := decode(s, privatePrefix)
	if err != nil {
		return Key{}, err
	}
	if len(key) != ed25519.SeedSize && len(key) != ed25519.PrivateKeySize {
		return Key{}, fmt.Errorf("has a key of %d bytes; %d or %d are allowed", len(key), ed25519.SeedSize, ed25519.PrivateKeySize)
	}
	pair := ed25519.NewKeyFromSeed(key[:ed25519.SeedSize])
	// Signing with the public half of another pair gives the secret half away to whoever sees two signatures.
	if len(key) == ed25519.PrivateKeySize && subtle.ConstantTimeCompare(pair, key) == 0 {
		return Key{}, errors.New("has a public key that does not belong to its seed")
	}
	return Key{private: func() ed25519.PrivateKey { return pair }}, nil
}

// Public returns what receivers verify the Key's signatures with. It is false for a Key whose secret both sides know.
func (k Key) Public() (PublicKey, bool) {
	if k.private == nil {
		return PublicKey{}, false
	}
	return PublicKey{k.private().Public().(ed25519.PublicKey)}, true
}

// PublicKey is the half of a key pair that verifies, and that anybody may know. The zero PublicKey verifies nothing.
type PublicKey struct{ key ed25519.PublicKey }

// ParsePublicKey reads a public key: whpk_ and the padded standard base64 of 32 bytes.
func ParsePublicKey(s string) (PublicKey, error) {
	if !strings.HasPrefix(s, publicPrefix) {
		return PublicKey{}, fmt.Errorf("must begin with %s", publicPrefix)
	}
	key, err := decode(s, publicPrefix)
	if err != nil {
		return PublicKey{}, err
	}
	if len(key) != ed25519.PublicKeySize {
		return PublicKey{}, fmt.Errorf("has a key of %d bytes; it must have %d", len(key), ed25519.PublicKeySize)
	}
	return PublicKey{key}, nil
}

// String gives the text form: whpk_ and the base64 of the key.
func (p PublicKey) String() string { return publicPrefix + base64.StdEncoding.EncodeToString(p.key) }

// MarshalText implements [encoding.TextMarshaler].
func (p PublicKey) MarshalText() ([]byte, error) { return []byte(p.String()), nil }
