package cloudevent

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

const headerPrefix = "ce-"

// parseBinary reads an event whose attributes are headers and whose data is the body (HTTP protocol binding, section
// 3.1).
func parseBinary(h http.Header, body []byte) ([]Posted, error) {
	var bad faults
	a := attributes{prefix: headerPrefix, faults: &bad, values: make(map[string]string)}
	// In order, so that one request always has one answer.
	for _, header := range slices.Sorted(maps.Keys(h)) {
		name, ok := strings.CutPrefix(strings.ToLower(header), headerPrefix)
		if !ok {
			continue
		}
		switch values := h[header]; {
		case name == "datacontenttype":
			bad.add(headerPrefix+name, "does not exist in binary mode; Content-Type says it")
		case len(values) != 1:
			bad.add(headerPrefix+name, "is there %d times", len(values))
		default:
			value, err := decodeHeader(values[0])
			if err != nil {
				bad.add(headerPrefix+name, "%s", err)
				continue
			}
			a.put(name, value)
		}
	}
	p := a.finish()
	p.ContentType = h.Get("Content-Type")
	p.Payload = body
	if err := bad.err(); err != nil {
		return nil, err
	}
	return []Posted{p}, nil
}

var (
	errQuotes  = errors.New("has quotes that do not match")
	errPercent = errors.New("has a % that two hexadecimal digits do not follow; a % itself is written %25")
)

// decodeHeader undoes what a sender did to a value to make it fit a header: quotes, which senders of older versions of
// the binding used, and then one round of percent-encoding (section 3.1.3.2). The errors' texts are meant for the
// sender.
func decodeHeader(s string) (string, error) {
	if strings.HasPrefix(s, `"`) {
		if len(s) < 2 {
			return "", errQuotes
		}
		var b strings.Builder
		i := 1
		for ; i < len(s) && s[i] != '"'; i++ {
			if s[i] == '\\' && i+1 < len(s) {
				i++
			}
			b.WriteByte(s[i])
		}
		if i != len(s)-1 {
			return "", errQuotes
		}
		s = b.String()
	}
	if !strings.Contains(s, "%") {
		return s, nil
	}
	decoded, err := url.PathUnescape(s)
	if err != nil {
		return "", errPercent
	}
	return decoded, nil
}
