package stream

import (
	"cmp"
	"slices"

	"github.com/carillon/carillon/event"
)

// frameOverhead is what a frame and its event cost besides payload and encodings, roughly.
const frameOverhead = 512

// ring holds the newest events of the log, of all tenants, bounded by count and by bytes. The hub's lock guards it.
type ring struct {
	maxEvents, maxBytes int

	frames []*frame
	bytes  int

	// after is the cursor behind the oldest frame: whatever the log has above it, up to what the hub has tailed, is here.
	after event.Cursor
}

// add puts an event at the ring's end.
func (r *ring) add(e *event.Event) {
	f := &frame{event: e, size: frameOverhead + len(e.Payload)}
	r.frames = append(r.frames, f)
	r.bytes += f.size
	r.shrink()
}

// grew counts an encoding that was made of a frame. The frame may have left the ring meanwhile.
func (r *ring) grew(f *frame, bytes int) {
	if f.event.Cursor <= r.after {
		return
	}
	f.size += bytes
	r.bytes += bytes
	r.shrink()
}

// shrink lets the oldest frames go. The newest always stays, however large: those who are woken for it would otherwise
// each go to the log and encode it again.
func (r *ring) shrink() {
	for len(r.frames) > 1 && (len(r.frames) > r.maxEvents || r.bytes > r.maxBytes) {
		oldest := r.frames[0]
		r.bytes -= oldest.size
		r.after = oldest.event.Cursor
		r.frames[0] = nil
		r.frames = r.frames[1:]
	}
}

// reset empties the ring: it goes on after c.
func (r *ring) reset(c event.Cursor) {
	r.frames, r.bytes, r.after = nil, 0, c
}

// copyAfter fills dst with frames after a cursor and returns how many: as many as there is room for, but none after
// those whose payloads reach pageBytes, since a reader that stalls keeps alive what it holds.
func (r *ring) copyAfter(c event.Cursor, dst []*frame) int {
	first, found := slices.BinarySearchFunc(r.frames, c, func(f *frame, c event.Cursor) int {
		return cmp.Compare(f.event.Cursor, c)
	})
	if found {
		first++
	}
	n, bytes := 0, 0
	for _, f := range r.frames[first:] {
		if n == len(dst) || bytes >= pageBytes {
			break
		}
		dst[n] = f
		bytes += len(f.event.Payload)
		n++
	}
	return n
}
