package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/carillon/carillon/event"
)

// bodyGuess is how much room a body gets before any of it came. What a client says of its length is not believed
// further than this, or saying it would be enough to fill the memory.
const bodyGuess = 64 << 10

// readBody reads a request's whole body. Who may no longer come in when it is there is refused.
func (a *API) readBody(w http.ResponseWriter, r *http.Request) ([]byte, *problem) {
	if p := checkEncoding(w, r); p != nil {
		return nil, p
	}
	if r.ContentLength > a.cfg.MaxBody {
		// Whoever asked first need not send any of it.
		if r.Header.Get("Expect") == "" {
			drain(w, r)
		}
		w.Header().Set("Connection", "close")
		return nil, a.bodyTooLarge()
	}
	// One more than was said, so that a reader which then finds the end needs no more room for it.
	body := make([]byte, 0, min(max(r.ContentLength, 0), bodyGuess)+1)
	from := http.MaxBytesReader(w, r.Body, a.cfg.MaxBody)
	for {
		n, err := from.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if err == io.EOF {
			if p := stillIn(r); p != nil {
				return nil, p
			}
			return body, nil
		}
		if err != nil {
			p := a.bodyProblem(err)
			if p.kind == kindTooLarge {
				drain(w, r)
				w.Header().Set("Connection", "close")
			}
			return nil, p
		}
		if len(body) == cap(body) {
			body = slices.Grow(body, max(512, len(body)))
		}
	}
}

// How much of a body that is refused is still read, and for how long.
const (
	drainBytes = 8 << 20
	drainTime  = time.Second
)

// drain reads on in a body that is too large and throws it away. Many clients read no answer before they have sent their
// whole request, and one that is still sending when the connection is closed is told only that it broke.
func drain(w http.ResponseWriter, r *http.Request) {
	// A server that cannot set deadlines is a test's; what went wrong here makes no other answer.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(drainTime))
	_, _ = io.CopyN(io.Discard, r.Body, drainBytes)
}

// checkEncoding refuses a body that is compressed: it would be kept and handed on as if it were not.
func checkEncoding(w http.ResponseWriter, r *http.Request) *problem {
	if r.ContentLength == 0 {
		return nil
	}
	for coding := range strings.SplitSeq(strings.Join(r.Header.Values("Content-Encoding"), ","), ",") {
		if coding = strings.TrimSpace(coding); coding != "" && !strings.EqualFold(coding, "identity") {
			// RFC 9110, section 15.5.16: this is what it should have been.
			w.Header().Set("Accept-Encoding", "identity")
			return kindMediaType.in(event.FieldError{Field: "Content-Encoding", Detail: "must be identity, or be left out"})
		}
	}
	return nil
}

func (a *API) bodyTooLarge() *problem {
	return kindTooLarge.is("A body may have at most %d bytes here.", a.cfg.MaxBody)
}

func (a *API) bodyProblem(err error) *problem {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return a.bodyTooLarge()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return kindSlowBody.is("The body did not come in time.")
	default:
		return kindMalformedBody.is("The body ended before all of it had come, or was framed wrongly.")
	}
}

// readObject reads a body that is one JSON object.
func (a *API) readObject(w http.ResponseWriter, r *http.Request, types ...string) ([]member, *problem) {
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || !slices.Contains(types, mediaType) {
		w.Header().Set("Accept", strings.Join(types, ", "))
		return nil, kindMediaType.is("Content-Type must be %s.", strings.Join(types, " or "))
	}
	body, p := a.readBody(w, r)
	if p != nil {
		return nil, p
	}
	if !utf8.Valid(body) {
		return nil, kindMalformedBody.is("The body is not UTF-8.")
	}
	members, err := parseObject(body)
	if errors.Is(err, errManyMembers) {
		return nil, kindInvalid.in(event.FieldError{Field: "body", Detail: err.Error()})
	}
	if err != nil {
		return nil, kindMalformedBody.is("The body %s.", err)
	}
	return members, nil
}

// readOptionalObject is [API.readObject] for a body of which nothing is required: none at all is an empty object, whatever
// its type is said to be.
func (a *API) readOptionalObject(w http.ResponseWriter, r *http.Request, types ...string) ([]member, *problem) {
	if r.ContentLength == 0 {
		return nil, nil
	}
	return a.readObject(w, r, types...)
}

// member is one member of a JSON object.
type member struct {
	name  string
	value json.RawMessage
}

// null reports whether the member's value is null.
func (m member) null() bool { return string(m.value) == "null" }

// Bounds of a JSON object. Settings have far fewer members and are far flatter; a patch of metadata can name twice as
// many entries as a webhook may have, half of them to be removed.
const (
	maxMembers = 2 * event.MaxMetadata
	maxDepth   = 100
)

var errManyMembers = fmt.Errorf("has more than %d members in one object", maxMembers)

// parseObject reads a text that is one JSON object and nothing else. Names are taken as they are written, in the case
// that they have, and may come once: encoding/json would forgive both, and two readers of one text could then see two
// different things in it. The error's text is meant for the client and follows a subject; it is errManyMembers for an
// object that is too large.
func parseObject(text []byte) ([]member, error) {
	if err := scanJSON(text); err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	start, err := dec.Token()
	if err != nil {
		return nil, jsonError(err)
	}
	if start != json.Delim('{') {
		return nil, errors.New("must be a JSON object")
	}
	var members []member
	names := make(map[string]struct{})
	for dec.More() {
		if len(members) == maxMembers {
			return nil, errManyMembers
		}
		name, err := dec.Token()
		if err != nil {
			return nil, jsonError(err)
		}
		m := member{name: name.(string)} // the decoder takes nothing else as a name
		if m.name == "" {
			// A fault in it could not be named.
			return nil, errors.New("has a member whose name is empty")
		}
		if _, twice := names[m.name]; twice {
			return nil, fmt.Errorf("names %s twice", strconv.Quote(m.name))
		}
		names[m.name] = struct{}{}
		if err := dec.Decode(&m.value); err != nil {
			return nil, jsonError(err)
		}
		members = append(members, m)
	}
	if _, err := dec.Token(); err != nil {
		return nil, jsonError(err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("has more after its JSON object")
	}
	return members, nil
}

// scanJSON finds in a text what encoding/json forgives, or says in words that are not for clients: half of a surrogate
// pair, which would silently become another character, and nesting without end. Whether the text is JSON at all it does
// not know.
func scanJSON(text []byte) error {
	depth, inString := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			inString = !inString
		case inString && c == '\\':
			unit, escaped := codeUnit(text[i:])
			switch {
			case !escaped:
				i++ // whatever is escaped, a quote too
			case !utf16.IsSurrogate(unit):
				i += escapeBytes - 1
			default:
				low, _ := codeUnit(text[i+escapeBytes:])
				if utf16.DecodeRune(unit, low) == utf8.RuneError {
					return fmt.Errorf("has half of a surrogate pair, at byte %d", i+1)
				}
				i += 2*escapeBytes - 1
			}
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return errors.New("is nested too deeply")
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}

// escapeBytes is the length of an escaped code unit, such as \u00e9.
const escapeBytes = 6

// codeUnit reads the escaped code unit that a text begins with, if it does.
func codeUnit(text []byte) (rune, bool) {
	if len(text) < escapeBytes || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	unit, err := strconv.ParseUint(string(text[2:escapeBytes]), 16, 16)
	return rune(unit), err == nil
}

func jsonError(err error) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("is not valid JSON, at byte %d", syntax.Offset)
	}
	return errors.New("is not valid JSON: it ends too early")
}

// readValue reads a member's value as a T. On failure it returns what is wrong, for the client.
func readValue[T any](m member, want string) (T, *event.FieldError) {
	var v T
	if m.null() || json.Unmarshal(m.value, &v) != nil {
		return v, &event.FieldError{Field: m.name, Detail: "must be " + want}
	}
	return v, nil
}
