package cloudevent

import (
	"cmp"
	"net/http"
	"unicode/utf8"

	"github.com/carillon/carillon/event"
)

// SetHeaders sets an event's attributes as the headers of a request in binary mode, percent-encoded (HTTP protocol
// binding, section 3.1.3). They are those that [AppendJSON] writes, but for datacontenttype: the caller sets
// Content-Type, and sends the payload as the body.
func SetHeaders(h http.Header, e *event.Event, source string) {
	set := func(name, value string) {
		h[http.CanonicalHeaderKey(headerPrefix+name)] = []string{encodeHeader(value)}
	}
	own := func(name, otherwise string) {
		if v, ok := e.Attributes[name]; ok {
			otherwise = v
		}
		set(name, otherwise)
	}
	set("specversion", "1.0")
	own("id", e.ID.String())
	own("source", source)
	own("type", string(e.Topic))
	own("time", e.Time.UTC().Format(timeFormat))
	for name, value := range e.Attributes {
		if !written(name) {
			set(name, value)
		}
	}
	if e.PartitionKey != "" {
		set("partitionkey", e.PartitionKey)
	}
	if v := cmp.Or(e.Traceparent, e.Attributes["traceparent"]); v != "" {
		set("traceparent", v)
	}
	set(CursorAttribute, e.Cursor.String())
	set(TopicAttribute, string(e.Topic))
}

// encodeHeader makes a value fit a header: space, double quote, percent and everything outside of visible ASCII is
// percent-encoded, byte by byte of its UTF-8 (HTTP protocol binding, section 3.1.3.2). What is not UTF-8 becomes U+FFFD.
func encodeHeader(s string) string {
	fits := func(c byte) bool { return c > ' ' && c < 0x7f && c != '"' && c != '%' }
	plain := true
	for i := range len(s) {
		plain = plain && fits(s[i])
	}
	if plain {
		return s
	}
	const digits = "0123456789ABCDEF"
	encoded := make([]byte, 0, len(s)+16)
	for _, r := range s {
		var room [utf8.UTFMax]byte
		for _, c := range utf8.AppendRune(room[:0], r) {
			if fits(c) {
				encoded = append(encoded, c)
			} else {
				encoded = append(encoded, '%', digits[c>>4], digits[c&15])
			}
		}
	}
	return string(encoded)
}
