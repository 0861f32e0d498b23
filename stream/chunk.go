package stream

import (
	"slices"
	"sync"

	"github.com/carillon/carillon/event"
)

const (
	// pageEvents and pageBytes bound what a stream that catches up takes at once, besides the event that reaches them.
	pageEvents = 256
	pageBytes  = 64 << 10
)

// chunk is a run of encoded events, one after the other: what leaves in one write. Once made it is only read, and may be
// shared.
type chunk struct {
	text    []byte
	ends    []int          // of each event in text
	cursors []event.Cursor // of each event

	// through is the cursor up to which every event is in the chunk, or was not asked for.
	through event.Cursor

	// gap says that retention has removed what should be here, up to through; there is no text.
	gap bool

	room []byte // where the text is, unless it is one shared frame's
}

// add appends an event's encoding. The text of a single event is shared and not copied.
func (c *chunk) add(text []byte, at event.Cursor) {
	switch len(c.ends) {
	case 0:
		c.text = text
	case 1:
		c.room = append(append(c.room[:0], c.text...), text...)
		c.text = c.room
	default:
		c.room = append(c.room, text...)
		c.text = c.room
	}
	c.ends = append(c.ends, len(c.text))
	c.cursors = append(c.cursors, at)
}

// reset empties the chunk, keeping its room.
func (c *chunk) reset() {
	c.text, c.ends, c.cursors, c.through, c.gap = nil, c.ends[:0], c.cursors[:0], 0, false
}

// start returns where an event begins in the text.
func (c *chunk) start(i int) int {
	if i == 0 {
		return 0
	}
	return c.ends[i-1]
}

// after returns the first event above a cursor; len(c.ends) if there is none.
func (c *chunk) after(at event.Cursor) int {
	if len(c.cursors) > 0 && c.cursors[0] > at {
		return 0 // as it nearly always is
	}
	i, found := slices.BinarySearch(c.cursors, at)
	if found {
		i++
	}
	return i
}

// whole returns how many events are complete in the first bytes of the text.
func (c *chunk) whole(bytes int) int {
	if bytes == len(c.text) {
		return len(c.ends)
	}
	i, found := slices.BinarySearch(c.ends, bytes)
	if found {
		i++
	}
	return i
}

// chunks are those that streams build for themselves: each has one only for as long as it takes to write it.
var chunks = sync.Pool{New: func() any { return new(chunk) }}

func newChunk() *chunk { return chunks.Get().(*chunk) }

// recycle gives a chunk of [newChunk] back.
func (c *chunk) recycle() {
	// One that a large event has made grow would keep that memory for small ones.
	if cap(c.room) > 2*pageBytes {
		c.room = nil
	}
	c.reset()
	chunks.Put(c)
}
