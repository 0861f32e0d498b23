package access

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"github.com/carillon/carillon/event"
)

// Algorithms returns the signing algorithms that can be named in [IssuerConfig].Algorithms: those with a shared secret,
// and those with a public key (RFC 7518, section 3.1; RFC 8037).
func Algorithms() (secret, public []string) {
	return []string{"HS256", "HS384", "HS512"},
		[]string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
}

// verifyKey is one key that signatures are verified with.
type verifyKey struct {
	id  string // the JWK's kid; empty: it has none
	alg string // the only algorithm that the JWK is for; empty: any that fits

	key any // as package jwt takes it: *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey, or []byte for a secret

	print event.KeyHash // of key, whatever its id
}

// printOf tells a key from every other. That of a secret must not leave the process as it is: a secret can be a text that
// somebody thought of, and be found by trying.
func printOf(key any) event.KeyHash {
	if secret, ok := key.([]byte); ok {
		return sha256.Sum256(secret)
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		panic(fmt.Errorf("encoding an issuer's key: %w", err)) // it was checked
	}
	return sha256.Sum256(der)
}

// fits reports whether the key is one for the algorithm. It is what keeps a public key from being taken for a secret.
func (k *verifyKey) fits(alg string) bool {
	if k.alg != "" && k.alg != alg {
		return false
	}
	switch key := k.key.(type) {
	case *rsa.PublicKey:
		return slices.Contains([]string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}, alg)
	case *ecdsa.PublicKey:
		// RFC 7518, section 3.4: each goes with one curve.
		return map[string]string{"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}[key.Curve.Params().Name] == alg
	case ed25519.PublicKey:
		return alg == "EdDSA"
	case []byte:
		return slices.Contains([]string{"HS256", "HS384", "HS512"}, alg)
	}
	return false
}

func (k *verifyKey) equal(other *verifyKey) bool {
	public, ok := k.key.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.id == other.id && k.alg == other.alg && public.Equal(other.key)
}

// RSA moduli below this can be factored (RFC 7518, section 3.3), and those above cost more than a signature is worth.
const minRSA, maxRSA = 2048, 8192

// checkKey says what is wrong with a public key.
func checkKey(key any) error {
	switch key := key.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < minRSA || bits > maxRSA {
			return fmt.Errorf("an RSA key has %d bits; %d to %d are allowed", bits, minRSA, maxRSA)
		}
		if key.N.Bit(0) == 0 || key.E < 3 || key.E%2 == 0 {
			return errors.New("what should be an RSA key is none")
		}
	case *ecdsa.PublicKey:
		switch key.Curve.Params().Name {
		case "P-256", "P-384", "P-521":
		default:
			return errors.New("an elliptic curve key is on a curve that is not known")
		}
	case ed25519.PublicKey:
	default:
		return errors.New("a key is of a kind that is not known; RSA, EC and Ed25519 are")
	}
	return nil
}

// maxTries is how many keys a signature is tried with at most: each try costs, and anybody can ask for it.
const maxTries = 4

// keySet is all of an issuer's keys at one time. It does not change; but for what it remembers to have verified, which
// so is forgotten with the keys.
type keySet struct {
	keys     []*verifyKey
	named    bool // by kid; keys that were configured have no ids, and are found by what fits
	verified verified
}

// pick returns the keys that a token may be signed with. It is errUnknownKey that newer keys may mend.
func (s *keySet) pick(kid string, hasKid bool, alg string) ([]*verifyKey, *JWTError) {
	var picked []*verifyKey
	known := false
	for _, k := range s.keys {
		if s.named && hasKid && k.id != kid {
			continue
		}
		known = true
		if k.fits(alg) {
			picked = append(picked, k)
		}
	}
	switch {
	case !known:
		return picked, errUnknownKey
	case len(picked) == 0:
		return picked, errAlgorithm
	case len(picked) > maxTries:
		return picked, errNoKeyID
	}
	return picked, nil
}

func (s *keySet) equal(other *keySet) bool {
	return slices.EqualFunc(s.keys, other.keys, (*verifyKey).equal)
}

// signedBy returns the one of the keys that a token, which was found good by them, is signed with.
func signedBy(keys []*verifyKey, token *jwt.Token) *verifyKey {
	text := token.Raw[:strings.LastIndexByte(token.Raw, '.')]
	for _, k := range keys[:len(keys)-1] {
		if token.Method.Verify(text, token.Signature, k.key) == nil {
			return k
		}
	}
	return keys[len(keys)-1]
}
