package sign

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"time"
)

// The headers of a signed request.
const (
	HeaderID        = "Webhook-Id"
	HeaderTimestamp = "Webhook-Timestamp"
	HeaderSignature = "Webhook-Signature"
)

const (
	versionShared = "v1,"
	versionPair   = "v1a,"
	// signatureLen is that of the longest: versionPair and the base64 of 64 bytes.
	signatureLen = len(versionPair) + 88
)

// signed is what a signature is over: id, timestamp and body, with dots between.
type signed struct {
	id   string
	t    time.Time
	body []byte
	text []byte // all of it in one piece, once a key has asked for that
}

// appendHead appends what stands before the body.
func (s *signed) appendHead(dst []byte) []byte {
	dst = append(append(dst, s.id...), '.')
	return append(strconv.AppendInt(dst, s.t.Unix(), 10), '.')
}

// whole gives all of it in one piece: Ed25519 reads it twice (RFC 8032, section 5.1.6).
func (s *signed) whole() []byte {
	if s.text == nil {
		s.text = make([]byte, 0, len(s.id)+len(s.body)+22)
		s.text = append(s.appendHead(s.text), s.body...)
	}
	return s.text
}

// Sign returns the signature of a request, over id, t in whole seconds and the body, with dots between: v1, and the
// base64 of an HMAC-SHA256, or v1a, and that of an Ed25519 signature. The id must have no dot, or the parts could be read
// another way.
func (k Key) Sign(id string, t time.Time, body []byte) string {
	var room [signatureLen]byte
	return string(k.appendSignature(room[:0], &signed{id: id, t: t, body: body}))
}

func (k Key) appendSignature(dst []byte, s *signed) []byte {
	if k.private != nil {
		return base64.StdEncoding.AppendEncode(append(dst, versionPair...), ed25519.Sign(k.private(), s.whole()))
	}
	mac := hmac.New(sha256.New, k.shared())
	var room [96]byte
	mac.Write(s.appendHead(room[:0]))
	mac.Write(s.body)
	var sum [sha256.Size]byte
	return base64.StdEncoding.AppendEncode(append(dst, versionShared...), mac.Sum(sum[:0]))
}

// SetHeaders sets the three headers of a signed request, with one signature for each key, of either kind: while a secret
// is rotated the new one and the old ones all sign, and a receiver accepts any. The newest belongs in front: some
// receivers look at the first signature only.
func SetHeaders(h http.Header, id string, t time.Time, body []byte, keys ...Key) {
	s := signed{id: id, t: t, body: body}
	signatures := make([]byte, 0, len(keys)*(signatureLen+1))
	for i, k := range keys {
		if i > 0 {
			signatures = append(signatures, ' ')
		}
		signatures = k.appendSignature(signatures, &s)
	}
	h.Set(HeaderID, id)
	h.Set(HeaderTimestamp, strconv.FormatInt(t.Unix(), 10))
	h.Set(HeaderSignature, string(signatures))
}
