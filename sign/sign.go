package sign

import (
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
	version = "v1,"
	// signatureLen is that of version and the base64 of 32 bytes.
	signatureLen = len(version) + 44
)

// Sign returns the signature of a request: v1, and the base64 of an HMAC-SHA256 over id, t in whole seconds and the
// body, with dots between. The id must have no dot, or the parts could be read another way.
func (k Key) Sign(id string, t time.Time, body []byte) string {
	var room [signatureLen]byte
	return string(k.appendSignature(room[:0], id, t, body))
}

func (k Key) appendSignature(dst []byte, id string, t time.Time, body []byte) []byte {
	mac := hmac.New(sha256.New, k.bytes())
	var room [96]byte
	head := append(append(room[:0], id...), '.')
	head = append(strconv.AppendInt(head, t.Unix(), 10), '.')
	mac.Write(head)
	mac.Write(body)
	var sum [sha256.Size]byte
	return base64.StdEncoding.AppendEncode(append(dst, version...), mac.Sum(sum[:0]))
}

// SetHeaders sets the three headers of a signed request, with one signature for each key: while a secret is rotated
// the old one and the new one both sign, and a receiver accepts either.
func SetHeaders(h http.Header, id string, t time.Time, body []byte, keys ...Key) {
	signatures := make([]byte, 0, len(keys)*(signatureLen+1))
	for i, k := range keys {
		if i > 0 {
			signatures = append(signatures, ' ')
		}
		signatures = k.appendSignature(signatures, id, t, body)
	}
	h.Set(HeaderID, id)
	h.Set(HeaderTimestamp, strconv.FormatInt(t.Unix(), 10))
	h.Set(HeaderSignature, string(signatures))
}
