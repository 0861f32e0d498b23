package sign

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"log/slog"
	"strings"
)

// Sizes of a secret's key, in bytes.
const (
	MinKeyBytes = 24
	MaxKeyBytes = 64
	newKeyBytes = 32
)

const (
	secretPrefix = "whsec_"
	hidden       = "***"
)

// NewSecret makes a secret that both sides know: whsec_ and the base64 of 32 random bytes.
func NewSecret() string {
	key := make([]byte, newKeyBytes)
	rand.Read(key)
	return secretPrefix + base64.StdEncoding.EncodeToString(key)
}

// Key signs with one secret, and verifies what was signed with it. It prints, logs and marshals as ***. The zero Key is
// none; signing with it panics.
type Key struct {
	// A function keeps the bytes away from fmt, which looks through the unexported fields of whatever holds a Key without
	// calling its methods, and behind pointers too.
	shared  func() []byte             // of v1; nil in a Key of v1a
	private func() ed25519.PrivateKey // of v1a
}

// ParseSecret reads a secret of either kind: whsec_ and the padded standard base64 of 24 to 64 bytes, whose Key signs as
// v1, or whsk_ and that of an Ed25519 key pair, whose Key signs as v1a: the 32-byte seed and behind it the 32-byte public
// key, which may be left out. The error's text is meant for the one who sent it, and says nothing of the secret itself.
func ParseSecret(s string) (Key, error) {
	if strings.HasPrefix(s, privatePrefix) {
		return parsePrivate(s)
	}
	if !strings.HasPrefix(s, secretPrefix) {
		return Key{}, fmt.Errorf("must begin with %s or %s", secretPrefix, privatePrefix)
	}
	key, err := decode(s, secretPrefix)
	if err != nil {
		return Key{}, err
	}
	if len(key) < MinKeyBytes || len(key) > MaxKeyBytes {
		return Key{}, fmt.Errorf("has a key of %d bytes; %d to %d are allowed", len(key), MinKeyBytes, MaxKeyBytes)
	}
	return Key{shared: func() []byte { return key }}, nil
}

// decode reads what stands behind a prefix that s is known to have. In the one spelling that every library reads as the
// same bytes: the decoder would skip line breaks.
func decode(s, prefix string) ([]byte, error) {
	text := s[len(prefix):]
	if !strings.ContainsAny(text, "\r\n") {
		if key, err := base64.StdEncoding.Strict().DecodeString(text); err == nil {
			return key, nil
		}
	}
	return nil, fmt.Errorf("must be standard base64 after %s", prefix)
}

// Format implements [fmt.Formatter] and hides the key, whatever the verb.
func (Key) Format(f fmt.State, _ rune) { fmt.Fprint(f, hidden) }

// String implements [fmt.Stringer] and hides the key.
func (Key) String() string { return hidden }

// MarshalText implements [encoding.TextMarshaler] and hides the key.
func (Key) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// LogValue implements [slog.LogValuer] and hides the key.
func (Key) LogValue() slog.Value { return slog.StringValue(hidden) }
