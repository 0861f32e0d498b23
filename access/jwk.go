package access

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
)

// maxJWKs is how many keys a JWK Set may have.
const maxJWKs = 100

// maxKeyID is the longest kid, in bytes, that a key may have.
const maxKeyID = 256

var errNoKeySet = errors.New("the answer is no JWK Set")

// parseJWKS reads a JWK Set (RFC 7517, section 5). Keys that cannot be used are left out, and counted: those of other kinds
// or for other uses (section 4), and malformed ones. So are symmetric ones: what can be fetched is no secret. Of a
// private key the public part is taken.
func parseJWKS(text []byte) (set *keySet, left int, err error) {
	var doc struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if json.Unmarshal(text, &doc) != nil || doc.Keys == nil {
		return nil, 0, errNoKeySet
	}
	if len(doc.Keys) > maxJWKs {
		return nil, 0, fmt.Errorf("the JWK Set has %d keys; at most %d are allowed", len(doc.Keys), maxJWKs)
	}
	set = &keySet{named: true}
	for _, raw := range doc.Keys {
		key, err := parseJWK(raw)
		if err != nil || !set.room(key) {
			left++
			continue
		}
		set.keys = append(set.keys, key)
	}
	return set, left, nil
}

// room reports whether another key with the same id may be tried.
func (s *keySet) room(key *verifyKey) bool {
	same := 0
	for _, k := range s.keys {
		if k.id == key.id && key.id != "" {
			same++
		}
	}
	return same < maxTries
}

func parseJWK(raw json.RawMessage) (*verifyKey, error) {
	var jwk struct {
		Kind       string   `json:"kty"`
		ID         string   `json:"kid"`
		Algorithm  string   `json:"alg"`
		Use        string   `json:"use"`
		Operations []string `json:"key_ops"`
		Curve      string   `json:"crv"`
		N, E, X, Y coordinate
	}
	if err := json.Unmarshal(raw, &jwk); err != nil {
		return nil, err
	}
	switch {
	case jwk.Use != "" && jwk.Use != "sig", jwk.Operations != nil && !slices.Contains(jwk.Operations, "verify"):
		return nil, errors.New("the key is for something else")
	case len(jwk.ID) > maxKeyID:
		return nil, errors.New("the kid is too long")
	}
	key := &verifyKey{id: jwk.ID, alg: jwk.Algorithm}
	switch jwk.Kind {
	case "RSA": // RFC 7518, section 6.3.1
		e := new(big.Int).SetBytes(jwk.E)
		if !e.IsInt64() || e.Int64() > math.MaxInt32 {
			return nil, errors.New("the exponent is too large")
		}
		key.key = &rsa.PublicKey{N: new(big.Int).SetBytes(jwk.N), E: int(e.Int64())}
	case "EC": // RFC 7518, section 6.2.1
		curve := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}[jwk.Curve]
		if curve == nil {
			return nil, errors.New("the curve is not known")
		}
		size := (curve.Params().BitSize + 7) / 8
		if len(jwk.X) != size || len(jwk.Y) != size {
			return nil, errors.New("a coordinate has the wrong length")
		}
		public, err := ecdsa.ParseUncompressedPublicKey(curve, slices.Concat([]byte{4}, jwk.X, jwk.Y))
		if err != nil {
			return nil, err
		}
		key.key = public
	case "OKP": // RFC 8037, section 2
		if jwk.Curve != "Ed25519" || len(jwk.X) != ed25519.PublicKeySize {
			return nil, errors.New("the curve is not known, or the key has the wrong length")
		}
		key.key = ed25519.PublicKey(jwk.X)
	default:
		return nil, errors.New("the kind of key is not known, or symmetric")
	}
	if err := checkKey(key.key); err != nil {
		return nil, err
	}
	key.print = printOf(key.key)
	return key, nil
}

// coordinate is a part of a key, base64url without padding. Some issuers pad all the same.
type coordinate []byte

// UnmarshalText implements [encoding.TextUnmarshaler].
func (c *coordinate) UnmarshalText(text []byte) error {
	for len(text) > 0 && text[len(text)-1] == '=' {
		text = text[:len(text)-1]
	}
	decoded, err := base64.RawURLEncoding.AppendDecode(nil, text)
	*c = decoded
	return err
}
