package stream

import (
	"bytes"
	"encoding/base64"
	"sync"
	"unicode/utf8"

	"github.com/carillon/carillon/cloudevent"
	"github.com/carillon/carillon/event"
)

// Format is what the data of a stream's events is.
type Format uint8

// The formats of a stream.
const (
	// Raw is the payload as posted; one that is not UTF-8 comes as base64 under the event name _base64.
	Raw Format = iota
	// CloudEvents is the event as one line of CloudEvents JSON, with the extension carilloncursor.
	CloudEvents
	// Lines is no event stream but NDJSON: each line is a CloudEvent in JSON, as with CloudEvents, or an object with the
	// one member _stream, by which the gateway says what an event stream has comments and ids for.
	Lines
)

// String gives the name by which the API knows the format.
func (f Format) String() string {
	switch f {
	case CloudEvents:
		return "cloudevents"
	case Lines:
		return "ndjson"
	default:
		return "raw"
	}
}

// form is one of the ways in which an event can be encoded: a format, with or without the topic as the event's name.
type form uint8

const forms = 5

func formOf(f Format, named bool) form {
	if named && f != Lines {
		return form(f)<<1 | 1
	}
	return form(f) << 1
}

func (f form) format() Format { return Format(f >> 1) }
func (f form) named() bool    { return f&1 != 0 }

// The event names that are not topics. A topic can be none of them: only the gateway posts to a first token that begins
// with an underscore, and its own topics are below _carillon.
const (
	nameBase64 = "_base64"
	nameStream = "_stream"
)

// frame is an event with its encodings, each made when the first subscriber wants it and then shared by all.
type frame struct {
	event *event.Event
	forms [forms]struct {
		once sync.Once
		text []byte
	}

	// size is what the ring counts for this frame, guarded by its lock.
	size int
}

// appendFrame appends the event as one block of an event stream (WHATWG HTML, section 9.2.6), or as one line.
func appendFrame(dst []byte, e *event.Event, f form, source string) []byte {
	if f.format() == Lines {
		return append(cloudevent.AppendJSON(dst, e, source), '\n')
	}
	dst = appendID(dst, e.Cursor)
	text := f.format() == CloudEvents || utf8.Valid(e.Payload)
	switch {
	case !text:
		// The name says how to read the data, so it goes before the topic.
		dst = append(dst, "event: "+nameBase64+"\n"...)
	case f.named():
		dst = append(dst, "event: "...)
		dst = append(dst, e.Topic...)
		dst = append(dst, '\n')
	}
	switch {
	case f.format() == CloudEvents:
		dst = appendData(dst, cloudevent.AppendJSON(nil, e, source))
	case text:
		dst = appendData(dst, e.Payload)
	default:
		dst = append(dst, "data: "...)
		dst = base64.StdEncoding.AppendEncode(dst, e.Payload)
		dst = append(dst, '\n')
	}
	return append(dst, '\n')
}

// appendData appends text as data lines, one for each of its own lines. The space after the colon is always there: a
// client strips one, and would otherwise strip the payload's.
func appendData(dst, text []byte) []byte {
	for {
		dst = append(dst, "data: "...)
		end := bytes.IndexAny(text, "\r\n")
		if end < 0 {
			dst = append(dst, text...)
			return append(dst, '\n')
		}
		dst = append(dst, text[:end]...)
		dst = append(dst, '\n')
		if text[end] == '\r' && end+1 < len(text) && text[end+1] == '\n' {
			end++
		}
		text = text[end+1:]
	}
}
