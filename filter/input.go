package filter

import (
	"bytes"
	"encoding/json"
	"io"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/carillon/carillon/event"
)

// maxDepth is how deeply a payload's arrays and objects may be nested to be looked at. Both languages recurse over
// values; nothing that people exchange comes near it.
const maxDepth = 512

// maxParsed is how many bytes a payload may have to be looked at, and maxValues how many values, members and places in
// arrays: a byte may become some sixty of memory.
const (
	maxParsed = 16 << 20
	maxValues = 1 << 20
)

// maxNumber is how many characters a payload's number may have: those that are computed with cost the square of it.
const maxNumber = 1 << 10

// Input is one event as filters and transforms see it. The payload is parsed when one of them first asks for it, once
// for all of them. An Input is not safe for concurrent use, and the event must not be written to while it is used.
type Input struct {
	ev   *event.Event
	time time.Time

	parsed bool
	data   any // nil, bool, string, json.Number, []any, map[string]any; shared, never written to
	cel    ref.Val
}

// NewInput looks at an event, whose time is now if the log has not given it one yet.
//
// Whatever the content type says, a payload that is JSON (RFC 8259) is data, and any other one is null. So is one that
// is larger than 16 MiB or has more than a million values, is nested more than 512 levels deep or has a number of more
// than 1024 characters. Of two members of an object with the same name the last one counts.
func NewInput(ev *event.Event, now time.Time) *Input {
	t := ev.Time
	if t.IsZero() {
		t = now
	}
	return &Input{ev: ev, time: t}
}

func (in *Input) payload() any {
	if !in.parsed {
		in.data, in.parsed = parse(in.ev.Payload), true
	}
	return in.data
}

// value is the payload as CEL has it.
func (in *Input) value() ref.Val {
	if in.cel == nil {
		in.cel = types.DefaultTypeAdapter.NativeToValue(in.payload())
	}
	return in.cel
}

func (in *Input) eventType() string {
	if t := in.ev.Attributes["type"]; t != "" {
		return t
	}
	return string(in.ev.Topic)
}

func parse(payload []byte) any {
	if !worthParsing(payload) {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(payload))
	dec.UseNumber()
	var v any
	if dec.Decode(&v) != nil {
		return nil
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil
	}
	return v
}

// worthParsing reports whether the bytes keep the bounds that [NewInput] names. What it says of bytes that are not JSON
// does not count.
func worthParsing(payload []byte) bool {
	if len(payload) > maxParsed {
		return false
	}
	depth, number, values, quoted := 0, 0, 0, false
	for i := 0; i < len(payload); i++ {
		c := payload[i]
		if quoted {
			switch c {
			case '\\':
				i++
			case '"':
				quoted = false
			}
			continue
		}
		if c == ',' || c == ':' || c == '[' || c == '{' {
			if values++; values > maxValues {
				return false
			}
		}
		switch {
		case c == '"':
			quoted = true
		case c == '[' || c == '{':
			if depth++; depth > maxDepth {
				return false
			}
		case c == ']' || c == '}':
			depth--
		}
		if c >= '0' && c <= '9' || c == '.' || c == '-' || c == '+' || c == 'e' || c == 'E' {
			if number++; number > maxNumber {
				return false
			}
		} else {
			number = 0
		}
	}
	return true
}
