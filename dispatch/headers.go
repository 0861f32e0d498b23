package dispatch

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/carillon/carillon/event"
)

// CheckHeaders returns everything that is wrong with a webhook's own headers, in the order of their names; the fields
// are headers, and headers and a name with a dot between. It looks at Headers, Format and Auth, and may be given names in
// any case.
//
// A webhook may set User-Agent, and Content-Type where its format is raw: in the others the format says what the body is.
// It may not set what the gateway says itself, nor what belongs to the connection.
func CheckHeaders(w *event.Webhook) []event.FieldError {
	var bad []event.FieldError
	add := func(name, format string, args ...any) {
		bad = append(bad, event.FieldError{Field: "headers." + shorten(name), Detail: fmt.Sprintf(format, args...)})
	}
	size := 0
	seen := make(map[string]bool, len(w.Headers))
	if len(w.Headers) > event.MaxHeaders {
		return []event.FieldError{{
			Field: "headers", Detail: fmt.Sprintf("has %d headers; at most %d are allowed", len(w.Headers), event.MaxHeaders),
		}}
	}
	for _, name := range slices.Sorted(maps.Keys(w.Headers)) {
		value := w.Headers[name].Reveal()
		size += len(name) + len(value)
		canonical := http.CanonicalHeaderKey(name)
		switch {
		case !headerName(name):
			add(name, "is no header's name; allowed are A-Z a-z 0-9 ! # $ %% & ' * + - . ^ _ ` | ~")
		case seen[canonical]:
			add(name, "is there twice")
		case !headerValue(value) || strings.Trim(value, " \t") != value:
			add(name, "must have no control characters, and no spaces at its ends")
		default:
			if why := reserved(canonical, w); why != "" {
				add(name, "%s", why)
			}
		}
		seen[canonical] = true
	}
	if size > event.MaxHeaderBytes {
		bad = append(bad, event.FieldError{
			Field: "headers", Detail: fmt.Sprintf("have %d bytes; at most %d are allowed", size, event.MaxHeaderBytes),
		})
	}
	return bad
}

// reserved says why a webhook may not set a header, by its canonical name; empty where it may.
func reserved(name string, w *event.Webhook) string {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings":
		return "belongs to the connection (RFC 9110, section 7.6.1)"
	case "Host", "Content-Length", "Content-Encoding", "Expect", "Accept-Encoding", "Traceparent", "Tracestate":
		return "is set by the gateway"
	case "Content-Type":
		if w.Format != event.FormatRaw && w.Format != "" {
			return "is what the format says it is; only the format raw lets it be set"
		}
	case "Authorization":
		switch w.Auth.Type {
		case event.AuthBasic, event.AuthBearer, event.AuthOAuth2:
			return "is set by auth"
		}
	}
	switch prefix, _, _ := strings.Cut(name, "-"); prefix {
	case "Webhook", "Carillon":
		return "is set by the gateway"
	case "Proxy":
		return "belongs to the connection (RFC 9110, section 7.6.1)"
	case "Ce":
		if w.Format == event.FormatCloudEventsBinary {
			return "is set by the gateway"
		}
	}
	return ""
}

// addHeaders adds the webhook's own headers. What it must not set is left out, whatever is stored.
func addHeaders(h http.Header, w *event.Webhook) {
	for name, hidden := range w.Headers {
		canonical, value := http.CanonicalHeaderKey(name), hidden.Reveal()
		if headerName(name) && headerValue(value) && reserved(canonical, w) == "" {
			h[canonical] = []string{value}
		}
	}
}

// headerName reports whether a text is a token (RFC 9110, section 5.6.2).
func headerName(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0:
		default:
			return false
		}
	}
	return s != ""
}

// headerValue reports whether a text can stand in a header (RFC 9110, section 5.5). Where a poster gave it otherwise than
// in a header of its own, it may hold anything.
func headerValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// shorten keeps a stranger's name from filling the answer.
func shorten(name string) string {
	if len(name) <= 64 {
		return strings.ToValidUTF8(name, "\ufffd")
	}
	return strings.ToValidUTF8(name[:64], "\ufffd") + "…"
}
