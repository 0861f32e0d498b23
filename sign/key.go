package sign

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
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

// NewSecret makes a secret: whsec_ and the base64 of 32 random bytes.
func NewSecret() string {
	key := make([]byte, newKeyBytes)
	rand.Read(key)
	return secretPrefix + base64.StdEncoding.EncodeToString(key)
}

// Key signs with one secret. It prints, logs and marshals as ***. The zero Key is none; signing with it panics.
type Key struct {
	// A function keeps the bytes away from fmt, which looks through the unexported fields of whatever holds a Key without
	// calling its methods, and behind pointers too.
	bytes func() []byte
}

// ParseSecret reads a secret: whsec_ and the padded standard base64 of 24 to 64 bytes. The error's text is meant for
// the one who sent it, and says nothing of the secret itself.
func ParseSecret(s string) (Key, error) {
	text, ok := strings.CutPrefix(s, secretPrefix)
	if !ok {
		return Key{}, errors.New("must begin with whsec_")
	}
	// The decoder skips line breaks, and a secret with one in it is another text to every other library.
	if strings.ContainsAny(text, "\r\n") {
		return Key{}, errors.New("must be standard base64 after whsec_")
	}
	key, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return Key{}, errors.New("must be standard base64 after whsec_")
	}
	if len(key) < MinKeyBytes || len(key) > MaxKeyBytes {
		return Key{}, fmt.Errorf("has a key of %d bytes; %d to %d are allowed", len(key), MinKeyBytes, MaxKeyBytes)
	}
	return Key{func() []byte { return key }}, nil
}

// Format implements [fmt.Formatter] and hides the key, whatever the verb.
func (Key) Format(f fmt.State, _ rune) { fmt.Fprint(f, hidden) }

// String implements [fmt.Stringer] and hides the key.
func (Key) String() string { return hidden }

// MarshalText implements [encoding.TextMarshaler] and hides the key.
func (Key) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// LogValue implements [slog.LogValuer] and hides the key.
func (Key) LogValue() slog.Value { return slog.StringValue(hidden) }
