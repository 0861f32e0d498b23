package cloudevent

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/carillon/carillon/event"
)

// parseStructured reads an event that is one JSON object (HTTP protocol binding, section 3.2).
func parseStructured(h http.Header, body []byte) ([]Posted, error) {
	if err := checkJSON(h, MediaType, body); err != nil {
		return nil, err
	}
	value := skipSpace(body)
	if value[0] != '{' {
		return nil, malformed("body", "must be a JSON object")
	}
	var bad faults
	p := parseObject("", value, &bad)
	if err := bad.err(); err != nil {
		return nil, err
	}
	return []Posted{p}, nil
}

// parseBatch reads events that are a JSON array of such objects (section 3.3).
func parseBatch(h http.Header, body []byte) ([]Posted, error) {
	if err := checkJSON(h, BatchMediaType, body); err != nil {
		return nil, err
	}
	value := skipSpace(body)
	if value[0] != '[' {
		return nil, malformed("body", "must be a JSON array")
	}
	var bad faults
	posted := []Posted{}
	count := 0
	for element := range elements(value) {
		place := "[" + strconv.Itoa(count) + "]"
		count++
		switch {
		case count > MaxBatch:
			// Counted on, to tell how many there are.
		case element[0] != '{':
			bad.add(place, "must be a JSON object")
		default:
			posted = append(posted, parseObject(place+".", element, &bad))
		}
	}
	if count > MaxBatch {
		return nil, &Error{Fields: []event.FieldError{
			{Field: "body", Detail: fmt.Sprintf("has %d events; at most %d are allowed", count, MaxBatch)},
		}}
	}
	if err := bad.err(); err != nil {
		return nil, err
	}
	return posted, nil
}

// checkJSON refuses a body that is not JSON in UTF-8 or not announced as such. What passes holds one whole JSON value,
// on which all that follows relies.
func checkJSON(h http.Header, want string, body []byte) error {
	essence, charset := mediaType(h.Get("Content-Type"))
	if essence != want {
		return unsupported("Content-Type", "must be "+want+": the gateway reads no other event format here")
	}
	if charset != "" && charset != "utf-8" {
		return unsupported("Content-Type", "must have the charset utf-8, or none")
	}
	if !utf8.Valid(body) {
		return malformed("body", "is not UTF-8")
	}
	if json.Valid(body) {
		return nil
	}
	var syntax *json.SyntaxError
	if err := json.Unmarshal(body, new(json.RawMessage)); errors.As(err, &syntax) {
		return malformed("body", fmt.Sprintf("is not JSON: wrong at byte %d of %d", syntax.Offset, len(body)))
	}
	return malformed("body", "is not JSON")
}

func malformed(field, detail string) error {
	return &Error{Malformed: true, Fields: []event.FieldError{{Field: field, Detail: detail}}}
}

func unsupported(field, detail string) error {
	return &Error{Unsupported: true, Fields: []event.FieldError{{Field: field, Detail: detail}}}
}

// parseObject reads one event from a JSON object (JSON event format, sections 2 and 3).
func parseObject(prefix string, object []byte, bad *faults) Posted {
	a := attributes{prefix: prefix, faults: bad, values: make(map[string]string)}
	var data, base64Text []byte
	seen := make(map[string]struct{})
	for rawName, value := range members(object) {
		name, ok := unquote(rawName)
		if !ok {
			bad.add(prefix+shorten(name), "has a surrogate without its partner in its name")
			continue
		}
		if _, twice := seen[name]; twice {
			bad.add(prefix+shorten(name), "is there twice")
			continue
		}
		if len(seen) > MaxAttributes+2 {
			// The set must not grow with what a stranger sends. put refuses an event of so many before this bound matters,
			// except where they are all null.
			bad.add(prefix+shorten(name), "is one member too many; at most %d attributes are allowed", MaxAttributes)
			break
		}
		seen[name] = struct{}{}
		switch {
		case name == "data":
			data = value
		case string(value) == "null":
			// The same as not being there (section 2.2).
		case name == "data_base64":
			base64Text = value
		default:
			a.putJSON(name, value)
		}
	}
	p := a.finish()
	if (data != nil || base64Text != nil) && p.ContentType == "" {
		p.ContentType = "application/json"
	}
	switch {
	case data != nil && base64Text != nil:
		bad.add(prefix+"data_base64", "is not allowed beside data")
	case base64Text != nil:
		p.Payload = decodeBase64(prefix+"data_base64", base64Text, bad)
	case data != nil:
		p.Payload = decodeData(prefix+"data", data, p.ContentType, bad)
	}
	return p
}

// putJSON takes an attribute from its JSON value (section 2.2).
func (a *attributes) putJSON(name string, value []byte) {
	switch c := value[0]; {
	case c == '"':
		text, ok := unquote(value)
		if !ok {
			a.faults.add(a.prefix+shorten(name), "has a surrogate without its partner")
			return
		}
		a.put(name, text)
	case specified(name):
		a.faults.add(a.prefix+name, "must be a string")
	case c == 't' || c == 'f':
		a.put(name, string(value))
	case c == '-' || '0' <= c && c <= '9':
		n, err := strconv.ParseInt(string(value), 10, 32)
		if err != nil {
			a.faults.add(a.prefix+shorten(name), "must be an integer of 32 bits, a string or a boolean")
			return
		}
		a.put(name, strconv.FormatInt(n, 10))
	default:
		a.faults.add(a.prefix+shorten(name), "must be a string, a boolean or an integer")
	}
}

// specified reports whether an attribute is one of those that are always texts.
func specified(name string) bool {
	switch name {
	case "specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "partitionkey",
		"traceparent":
		return true
	}
	return false
}

func decodeBase64(field string, value []byte, bad *faults) []byte {
	text, ok := unquote(value)
	if value[0] != '"' || !ok {
		bad.add(field, "must be a string of base64")
		return nil
	}
	payload, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		bad.add(field, "is not base64 (RFC 4648, section 4)")
		return nil
	}
	return payload
}

// decodeData gives the payload that data stands for (section 3.1): a string under a content type other than JSON is the
// text in it, everything else is the JSON itself.
func decodeData(field string, value []byte, contentType string, bad *faults) []byte {
	essence, _ := mediaType(contentType)
	if value[0] != '"' || isJSON(essence) {
		return value
	}
	text, ok := unquote(value)
	if !ok {
		bad.add(field, "has a surrogate without its partner; such bytes can be sent as data_base64")
		return nil
	}
	return []byte(text)
}

// shorten keeps a stranger's name from filling the answer.
func shorten(name string) string {
	if len(name) <= MaxNameBytes {
		return name
	}
	return strings.ToValidUTF8(name[:16], "") + "…"
}
