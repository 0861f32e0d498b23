package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// contentPolicy keeps a browser from running what others posted or answered, should it open it as a page.
const contentPolicy = "sandbox; default-src 'none'"

// writeJSON answers with a JSON value of the API's own types.
func writeJSON(w http.ResponseWriter, status int, v any) {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	// Filters and transforms are shown as they were written. No browser takes the answer for HTML: it says nosniff.
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		panic(fmt.Errorf("marshalling an answer: %w", err)) // the API's types hold nothing that cannot be marshalled
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(body.Bytes())
}

// listDocument is the shape of every list.
type listDocument[T any] struct {
	Data []T     `json:"data"`
	Next *string `json:"next"`
}

// writeList answers with a page of a list.
func writeList[From, To any](w http.ResponseWriter, list store.List[From], show func(From) To) {
	doc := listDocument[To]{Data: make([]To, len(list.Data))}
	for i, item := range list.Data {
		doc.Data[i] = show(item)
	}
	if list.Next != "" {
		doc.Next = &list.Next
	}
	writeJSON(w, http.StatusOK, doc)
}

// stamp is a time as the API writes it: RFC 3339, UTC, with milliseconds. The zero time is null.
type stamp time.Time

const stampFormat = "2006-01-02T15:04:05.000Z"

// MarshalJSON implements [json.Marshaler].
func (s stamp) MarshalJSON() ([]byte, error) {
	t := time.Time(s)
	if t.IsZero() {
		return []byte("null"), nil
	}
	return append(t.UTC().AppendFormat([]byte{'"'}, stampFormat), '"'), nil
}

// orNull shows an empty text as null.
func orNull[T ~string](s T) *string {
	if s == "" {
		return nil
	}
	text := string(s)
	return &text
}

// statusOrNull shows the status of an answer that never came as null.
func statusOrNull(status int) *int {
	if status == 0 {
		return nil
	}
	return &status
}

// errorClass shows the outcome of an attempt as the class of its error: null for success and where there is none yet.
func errorClass(o event.Outcome) *string {
	if o == event.NoOutcome || o == event.Success {
		return nil
	}
	return orNull(o.String())
}

// foreignText is bytes of a webhook's answer, as JSON can hold them: as text where they are text, and else as base64
// with the encoding said beside it.
type foreignText struct {
	text     any    // string or []byte, which marshals as base64
	encoding string // empty or base64
}

// textOf shows foreign bytes. cut says that they may have been cut off in the middle of a character.
func textOf(b []byte, cut bool) foreignText {
	whole := b
	if cut {
		whole = withoutHalfRune(b)
	}
	if utf8.Valid(whole) {
		return foreignText{text: string(whole)}
	}
	return foreignText{text: b, encoding: "base64"}
}

// withoutHalfRune leaves out the beginning of a character at the end.
func withoutHalfRune(b []byte) []byte {
	for back := 1; back < utf8.UTFMax && back <= len(b); back++ {
		last := b[len(b)-back:]
		if utf8.RuneStart(last[0]) {
			if !utf8.FullRune(last) {
				return b[:len(b)-back]
			}
			break
		}
	}
	return b
}
