package event

import (
	"errors"
	"strings"
)

// Cursor is an event's place in the log. Cursors strictly grow in the order of acceptance and may skip; one is never
// given out twice, not after a restart, an emptied log, a restore or a move to another engine.
//
// The upper 15 bits are the log's epoch, raised by whatever could otherwise repeat a sequence (a restore from a backup),
// and the lower 48 a sequence. Only engines look inside. The zero Cursor is before every event.
//
// Its text form, the SSE id, is 13 digits of base 32 (RFC 4648, section 7, in lower case), so that texts sort as
// cursors do and fit no JavaScript number by accident.
type Cursor uint64

// MaxCursor is the largest cursor: engines keep cursors in signed 64-bit columns.
const MaxCursor Cursor = 1<<63 - 1

// ErrCursor is returned for a text that is no cursor.
var ErrCursor = errors.New("not a cursor of this gateway")

const (
	cursorDigits = "0123456789abcdefghijklmnopqrstuv"
	cursorLen    = 13
	epochShift   = 48
)

// FirstOfEpoch returns the cursor before the first one of an epoch.
func FirstOfEpoch(epoch uint16) Cursor { return Cursor(epoch) << epochShift }

// Epoch returns the epoch in which c was given out.
func (c Cursor) Epoch() uint16 { return uint16(c >> epochShift) }

// ParseCursor reads the text form. Its errors are always [ErrCursor].
func ParseCursor(s string) (Cursor, error) {
	if len(s) != cursorLen {
		return 0, ErrCursor
	}
	var c Cursor
	for i := range len(s) {
		d := strings.IndexByte(cursorDigits, s[i])
		if d < 0 || (i == 0 && d > 7) {
			return 0, ErrCursor
		}
		c = c<<5 | Cursor(d)
	}
	return c, nil
}

// String gives the text form.
func (c Cursor) String() string { return string(c.AppendText(make([]byte, 0, cursorLen))) }

// AppendText appends the text form to b.
func (c Cursor) AppendText(b []byte) []byte {
	for shift := 60; shift >= 0; shift -= 5 {
		b = append(b, cursorDigits[(c>>shift)&31])
	}
	return b
}

// MarshalText implements [encoding.TextMarshaler].
func (c Cursor) MarshalText() ([]byte, error) { return c.AppendText(nil), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (c *Cursor) UnmarshalText(text []byte) error {
	parsed, err := ParseCursor(string(text))
	if err != nil {
		return err
	}
	*c = parsed
	return nil
}
