package dispatch

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/carillon/carillon/cloudevent"
	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/filter"
)

// TransformError is why a webhook's transform gave no body. Nothing is sent then, and nothing can be by trying again.
type TransformError struct{ Err error }

// Error says what the transform's package says.
func (e *TransformError) Error() string { return "transforming the payload: " + e.Err.Error() }

// Unwrap gives what the transform's package says.
func (e *TransformError) Unwrap() error { return e.Err }

const (
	jsonType   = "application/json"
	binaryType = "application/octet-stream"
)

// content is what a webhook's request carries of an event.
type content struct {
	body        []byte // shared with the event where it is the payload itself: never written to
	contentType string
}

// render makes the content of a request: the payload, or what the webhook's transform makes of it, in the webhook's
// format. The error is a [TransformError], unless ctx ended first.
func (s *Sender) render(ctx context.Context, w *event.Webhook, ev *event.Event, now time.Time) (content, error) {
	if w.Transform != "" {
		payload, err := s.transform(ctx, w.Transform, ev, now)
		switch {
		case err != nil && ctx.Err() != nil:
			// The machine was too busy for it, which says nothing of the transform.
			return content{}, fmt.Errorf("transforming the payload: %w", ctx.Err())
		case err != nil:
			return content{}, &TransformError{err}
		}
		made := *ev
		made.Payload, made.ContentType = payload, jsonType
		ev = &made
	}
	switch w.Format {
	case event.FormatStandard:
		return content{appendStandard(nil, ev), jsonType}, nil
	case event.FormatCloudEvents:
		return content{cloudevent.AppendJSON(nil, ev, s.source), cloudevent.MediaType + "; charset=utf-8"}, nil
	}
	c := content{ev.Payload, ev.ContentType}
	if c.contentType == "" || !headerValue(c.contentType) {
		c.contentType = binaryType
	}
	return c, nil
}

func (s *Sender) transform(ctx context.Context, source string, ev *event.Event, now time.Time) ([]byte, error) {
	t, err := s.filters.Transform(source)
	if err != nil {
		return nil, fmt.Errorf("compiling: %w", err)
	}
	return t.Apply(ctx, filter.NewInput(ev, now))
}

// appendStandard appends an event as Standard Webhooks recommends a payload to be: its type, which is that of the
// CloudEvent that was posted or else the topic, the time of its acceptance in UTC with milliseconds, and its data.
//
// A payload that is JSON is data as it is, byte for byte, unless its content type says that it is text. Any other text
// in UTF-8 is data as a string; what is not text is data_base64 instead, as in CloudEvents. Without a payload data is null.
func appendStandard(dst []byte, ev *event.Event) []byte {
	kind := ev.Attributes["type"]
	if kind == "" {
		kind = string(ev.Topic)
	}
	dst = appendText(append(dst, `{"type":`...), kind)
	dst = ev.Time.UTC().AppendFormat(append(dst, `,"timestamp":"`...), "2006-01-02T15:04:05.000Z")
	dst = append(dst, `",`...)
	switch text := utf8.Valid(ev.Payload); {
	case len(ev.Payload) == 0:
		dst = append(dst, `"data":null`...)
	case text && !strings.HasPrefix(strings.ToLower(ev.ContentType), "text/") && json.Valid(ev.Payload):
		dst = append(append(dst, `"data":`...), ev.Payload...)
	case text:
		dst = appendText(append(dst, `"data":`...), string(ev.Payload))
	default:
		dst = base64.StdEncoding.AppendEncode(append(dst, `"data_base64":"`...), ev.Payload)
		dst = append(dst, '"')
	}
	return append(dst, '}')
}

// appendText appends a JSON string.
func appendText(dst []byte, s string) []byte {
	buf := bytes.NewBuffer(dst)
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string can always be encoded, and a Buffer takes everything
	return bytes.TrimSuffix(buf.Bytes(), []byte{'\n'})
}

// setAttributes sets the headers that a format has beside the body.
func (s *Sender) setAttributes(h http.Header, w *event.Webhook, ev *event.Event) {
	if w.Format == event.FormatCloudEventsBinary {
		cloudevent.SetHeaders(h, ev, s.source)
	}
}
