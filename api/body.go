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
	"unicode/utf8"

	"github.com/carillon/carillon/event"
)

// bodyGuess is how much room a body gets before any of it came. What a client says of its length is not believed
// further than this, or saying it would be enough to fill the memory.
const bodyGuess = 64 << 10

// readBody reads a request's whole body.
func (a *API) readBody(w http.ResponseWriter, r *http.Request) ([]byte, *problem) {
	if r.ContentLength > a.cfg.MaxBody {
		// Not a byte of it is read: whoever asked first (Expect: 100-continue) need not send it.
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
			return body, nil
		}
		if err != nil {
			return nil, a.bodyProblem(err)
		}
		if len(body) == cap(body) {
			body = slices.Grow(body, max(512, len(body)))
		}
	}
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
		w.Header().Set("Accept", types[0])
		return nil, kindMediaType.is("Content-Type must be %s.", types[0])
	}
	body, p := a.readBody(w, r)
	if p != nil {
		return nil, p
	}
	if !utf8.Valid(body) {
		return nil, kindMalformedBody.is("The body is not UTF-8.")
	}
	members, err := parseObject(body)
	if err != nil {
		return nil, kindMalformedBody.is("The body %s.", err)
	}
	return members, nil
}

// member is one member of a JSON object.
type member struct {
	name  string
	value json.RawMessage
}

// null reports whether the member's value is null.
func (m member) null() bool { return string(m.value) == "null" }

// parseObject reads a text that is one JSON object and nothing else. Names are taken as they are written, in the case
// that they have, and may come once: encoding/json would forgive both, and two readers of one text could then see two
// different things in it. The error's text is meant for the client and follows a subject.
func parseObject(text []byte) ([]member, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	start, err := dec.Token()
	if err != nil {
		return nil, jsonError(err)
	}
	if start != json.Delim('{') {
		return nil, errors.New("must be a JSON object")
	}
	var members []member
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, jsonError(err)
		}
		m := member{name: name.(string)} // the decoder takes nothing else as a name
		if slices.ContainsFunc(members, func(other member) bool { return other.name == m.name }) {
			return nil, fmt.Errorf("names %s twice", strconv.Quote(m.name))
		}
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
