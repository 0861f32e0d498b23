package cloudevent

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/carillon/carillon/event"
)

// The extensions that the gateway adds to what it gives out. Attributes of these names that an event came with are
// left out.
const (
	CursorAttribute = "carilloncursor" // the event's cursor
	TopicAttribute  = "carillontopic"  // the event's topic
)

// DefaultSource is the source of events that were not posted as CloudEvents.
const DefaultSource = "/carillon"

const timeFormat = "2006-01-02T15:04:05.000Z"

// AppendJSON appends an event to dst as one CloudEvent in the JSON event format, on one line, without a newline at its
// end.
//
// An event that was posted as a CloudEvent has its own attributes, all as strings. What a plain event lacks it gets:
// its id is the event's, its source is the given one, its type the topic, its time that of acceptance in UTC with
// milliseconds. Each event has the extensions [CursorAttribute] and [TopicAttribute], and partitionkey and traceparent
// where it has them.
//
// The payload is data where that is faithful: the JSON itself, compacted, under a content type of JSON; a string
// under one of text. Everything else is data_base64: other types, bytes that are not UTF-8 or declared to be something
// else, and what calls itself JSON and is not. An empty payload has neither member.
func AppendJSON(dst []byte, e *event.Event, source string) []byte {
	own := func(name, otherwise string) string {
		if v, ok := e.Attributes[name]; ok {
			return v
		}
		return otherwise
	}
	dst = append(dst, `{"specversion":"1.0"`...)
	dst = appendMember(dst, "id", own("id", e.ID.String()))
	dst = appendMember(dst, "source", own("source", source))
	dst = appendMember(dst, "type", own("type", string(e.Topic)))
	dst = appendMember(dst, "time", own("time", e.Time.UTC().Format(timeFormat)))
	if len(e.Attributes) > 0 {
		for _, name := range slices.Sorted(maps.Keys(e.Attributes)) {
			if !written(name) {
				dst = appendMember(dst, name, e.Attributes[name])
			}
		}
	}
	if e.PartitionKey != "" {
		dst = appendMember(dst, "partitionkey", e.PartitionKey)
	}
	if v := cmp.Or(e.Traceparent, e.Attributes["traceparent"]); v != "" {
		dst = appendMember(dst, "traceparent", v)
	}
	dst = appendMember(dst, CursorAttribute, e.Cursor.String())
	dst = appendMember(dst, TopicAttribute, string(e.Topic))
	if e.ContentType != "" {
		dst = appendMember(dst, "datacontenttype", e.ContentType)
	} else if len(e.Payload) > 0 {
		// A CloudEvent with data and no type says that it is JSON (JSON event format, section 3.1); this one says nothing.
		dst = appendMember(dst, "datacontenttype", "application/octet-stream")
	}
	return append(appendData(dst, e), '}')
}

// written reports whether AppendJSON writes a member of this name by itself.
func written(name string) bool {
	switch name {
	case "specversion", "id", "source", "type", "time", "partitionkey", "traceparent", "datacontenttype", "data",
		"data_base64", CursorAttribute, TopicAttribute:
		return true
	}
	return false
}

func appendMember(dst []byte, name, value string) []byte {
	dst = append(appendString(append(dst, ','), name), ':')
	return appendString(dst, value)
}

// appendData appends the member that carries the payload, if there is any.
func appendData(dst []byte, e *event.Event) []byte {
	if len(e.Payload) == 0 {
		return dst
	}
	essence, charset := mediaType(e.ContentType)
	if isUTF8(charset) && utf8.Valid(e.Payload) {
		switch {
		case isJSON(essence):
			buf := bytes.NewBuffer(append(dst, `,"data":`...))
			if json.Compact(buf, e.Payload) == nil {
				return buf.Bytes()
			}
		case isText(essence):
			return appendString(append(dst, `,"data":`...), string(e.Payload))
		}
	}
	dst = append(dst, `,"data_base64":"`...)
	return append(base64.StdEncoding.AppendEncode(dst, e.Payload), '"')
}

// appendString appends a text as a JSON string. What is not UTF-8 in it becomes U+FFFD.
func appendString(dst []byte, s string) []byte {
	const digits = "0123456789abcdef"
	dst = append(dst, '"')
	begin := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(append(dst, s[begin:i]...), "\uFFFD"...)
				begin = i + 1
			}
			i += size
			continue
		}
		if c < ' ' || c == '"' || c == '\\' {
			dst = append(dst, s[begin:i]...)
			switch c {
			case '"', '\\':
				dst = append(dst, '\\', c)
			case '\n':
				dst = append(dst, `\n`...)
			case '\r':
				dst = append(dst, `\r`...)
			case '\t':
				dst = append(dst, `\t`...)
			default:
				dst = append(dst, `\u00`...)
				dst = append(dst, digits[c>>4], digits[c&15])
			}
			begin = i + 1
		}
		i++
	}
	return append(append(dst, s[begin:]...), '"')
}
