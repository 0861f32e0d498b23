package sign

import (
	"crypto/ed25519"
	"crypto/hmac"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// DefaultTolerance is how far a request's timestamp may be from the receiver's clock, as the libraries of Standard
// Webhooks have it.
const DefaultTolerance = 5 * time.Minute

// What [Verify] finds wrong. Compare with [errors.Is].
var (
	ErrMissingHeader = errors.New("header is missing")
	ErrBadID         = errors.New("webhook-id has a dot")
	ErrBadTimestamp  = errors.New("webhook-timestamp is no number of seconds")
	ErrTooOld        = errors.New("webhook-timestamp is too far in the past")
	ErrTooNew        = errors.New("webhook-timestamp is too far in the future")
	ErrNoMatch       = errors.New("no signature matches")
)

// Verifier checks signatures: a [Key], or the [PublicKey] of one.
type Verifier interface {
	// verifier gives a function that reports whether one signature, its version included, is one over s.
	verifier(s *signed) func(signature string) bool
}

func (k Key) verifier(s *signed) func(string) bool {
	if public, ok := k.Public(); ok {
		return public.verifier(s)
	}
	want := k.appendSignature(nil, s)
	return func(signature string) bool { return hmac.Equal(want, []byte(signature)) }
}

func (p PublicKey) verifier(s *signed) func(string) bool {
	return func(signature string) bool {
		text, ok := strings.CutPrefix(signature, versionPair)
		// The decoder skips line breaks; no header that came over HTTP has one.
		if !ok || len(p.key) != ed25519.PublicKeySize || len(signature) != signatureLen {
			return false
		}
		sig, err := base64.StdEncoding.Strict().DecodeString(text)
		return err == nil && ed25519.Verify(p.key, s.whole(), sig)
	}
}

// Verify checks that the request with these headers and this body was signed with one of the keys, at most tolerance
// before or after now. Signatures of versions other than v1 and v1a are passed over. How long it takes does not depend on
// how much of a signature is right.
func Verify(h http.Header, body []byte, now time.Time, tolerance time.Duration, keys ...Verifier) error {
	for _, name := range []string{HeaderID, HeaderTimestamp, HeaderSignature} {
		if h.Get(name) == "" {
			return fmt.Errorf("%s: %w", strings.ToLower(name), ErrMissingHeader)
		}
	}
	id := h.Get(HeaderID)
	// With a dot in the id, a signed request could be cut into id, timestamp and body at other places.
	if strings.Contains(id, ".") {
		return ErrBadID
	}
	t, err := parseTimestamp(h.Get(HeaderTimestamp))
	if err != nil {
		return err
	}
	if t.Before(now.Add(-tolerance)) {
		return ErrTooOld
	}
	if t.After(now.Add(tolerance)) {
		return ErrTooNew
	}
	s := &signed{id: id, t: t, body: body}
	for _, k := range keys {
		matches := k.verifier(s)
		for signature := range strings.SplitSeq(h.Get(HeaderSignature), " ") {
			if matches(signature) {
				return nil
			}
		}
	}
	return ErrNoMatch
}

// parseTimestamp reads seconds since 1970 in the one form that is signed: digits, without a sign or leading zeros.
func parseTimestamp(s string) (time.Time, error) {
	seconds, err := strconv.ParseUint(s, 10, 40)
	if err != nil || strconv.FormatUint(seconds, 10) != s {
		return time.Time{}, ErrBadTimestamp
	}
	return time.Unix(int64(seconds), 0), nil
}
