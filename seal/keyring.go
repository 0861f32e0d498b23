package seal

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
)

const (
	// KeyBytes is the size of a key.
	KeyBytes = 32
	// MaxKeys is how many keys a keyring may hold.
	MaxKeys = 16
	// MaxKeyringBytes is how long the text of a keyring may be.
	MaxKeyringBytes = 16 << 10
)

// Keyring is the operator's keys. It is never changed, and safe for concurrent use. It prints as the ids of its keys.
type Keyring struct {
	keys []key
}

// key is one key, of which everything else is derived.
type key struct {
	id     KeyID
	secret [KeyBytes]byte
}

// KeyID tells keys apart without telling anything of them: it is derived from the key like everything else.
type KeyID [8]byte

// String gives the id in hex.
func (id KeyID) String() string { return hex.EncodeToString(id[:]) }

// NewKey makes a key, as [ParseKeyring] takes it.
func NewKey() string {
	var secret [KeyBytes]byte
	_, _ = rand.Read(secret[:]) // never fails
	return base64.StdEncoding.EncodeToString(secret[:])
}

// ParseKeyring reads keys, the one that seals first: 32 bytes each, in base64 or hex, one a line. Commas and spaces do
// for an end of line, since an environment may have none. Empty lines and those that begin with # are left out. The
// error repeats nothing of the text.
func ParseKeyring(text string) (*Keyring, error) {
	if len(text) > MaxKeyringBytes {
		return nil, fmt.Errorf("there are more than %d bytes", MaxKeyringBytes)
	}
	k := &Keyring{}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		for word := range strings.FieldsFuncSeq(line, func(r rune) bool { return strings.ContainsRune(" \t\r\n,", r) }) {
			at := len(k.keys) + 1
			secret, ok := parseKey(word)
			switch {
			case !ok:
				return nil, fmt.Errorf("key %d is not %d bytes in base64 or hex", at, KeyBytes)
			case secret == [KeyBytes]byte{}:
				return nil, fmt.Errorf("key %d is nothing but zeros", at)
			case at > MaxKeys:
				return nil, fmt.Errorf("there are more than %d keys", MaxKeys)
			}
			added := newKey(secret)
			if i := k.index(added.id); i >= 0 {
				return nil, fmt.Errorf("key %d is the same as key %d", at, i+1)
			}
			k.keys = append(k.keys, added)
		}
	}
	if len(k.keys) == 0 {
		return nil, errors.New("there is no key")
	}
	return k, nil
}

// parseKey reads one key. What has the length of one in hex would be too long in base64.
func parseKey(word string) (secret [KeyBytes]byte, ok bool) {
	if len(word) == hex.EncodedLen(KeyBytes) {
		n, err := hex.Decode(secret[:], []byte(word))
		return secret, err == nil && n == KeyBytes
	}
	word = strings.TrimRight(word, "=")
	encoding := base64.RawStdEncoding
	if strings.ContainsAny(word, "-_") {
		encoding = base64.RawURLEncoding
	}
	decoded, err := encoding.Strict().DecodeString(word)
	if err != nil || len(decoded) != KeyBytes {
		return secret, false
	}
	return [KeyBytes]byte(decoded), true
}

func newKey(secret [KeyBytes]byte) key {
	k := key{secret: secret}
	copy(k.id[:], k.derive("id", len(k.id)))
	return k
}

// derive makes bytes of the key that are good for one purpose alone (HKDF, RFC 5869).
func (k *key) derive(purpose string, length int) []byte {
	derived, err := hkdf.Key(sha256.New, k.secret[:], nil, "carillon seal 1: "+purpose, length)
	if err != nil {
		panic(err) // the lengths are constants that it allows
	}
	return derived
}

// index returns a key's place; -1: it is not there.
func (k *Keyring) index(id KeyID) int {
	for i := range k.keys {
		if k.keys[i].id == id {
			return i
		}
	}
	return -1
}

// IDs returns the ids of the keys, that of the one which seals first.
func (k *Keyring) IDs() []KeyID {
	ids := make([]KeyID, len(k.keys))
	for i := range k.keys {
		ids[i] = k.keys[i].id
	}
	return ids
}

// Format implements [fmt.Formatter] and hides the keys.
func (k *Keyring) Format(f fmt.State, _ rune) {
	if k == nil {
		_, _ = io.WriteString(f, "no keys")
		return
	}
	fmt.Fprint(f, k.IDs())
}

// MarshalText implements [encoding.TextMarshaler] and hides the keys.
func (k *Keyring) MarshalText() ([]byte, error) { return fmt.Append(nil, k), nil }
