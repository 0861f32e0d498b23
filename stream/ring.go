package stream

import (
	"cmp"
	"slices"
	"sync"

	"github.com/carillon/carillon/event"
)

// frameOverhead is what a frame and its event cost besides payload and encodings, roughly.
const frameOverhead = 512

// ring holds the newest events of the log, of all tenants, bounded by count and by bytes. Safe for concurrent use.
type ring struct {
	maxEvents, maxBytes int

	mu     sync.Mutex
	frames []*frame
	bytes  int

	// after is the cursor behind the oldest frame: whatever the log has above it, up to tailed, is here.
	after event.Cursor

	// tailed is the cursor up to which the hub has followed the log.
	tailed event.Cursor
}

// add puts events at the ring's end.
func (r *ring) add(events []*event.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range events {
		f := &frame{event: e, size: frameOverhead + len(e.Payload)}
		r.frames = append(r.frames, f)
		r.bytes += f.size
		r.tailed = e.Cursor
		r.shrink()
	}
}

// grew counts an encoding that was made of a frame. The frame may have left the ring meanwhile.
func (r *ring) grew(f *frame, bytes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f.event.Cursor <= r.after {
		return
	}
	f.size += bytes
	r.bytes += bytes
	r.shrink()
}

// shrink lets the oldest frames go. The newest always stays, however large: those who wait for it would otherwise each
// go to the log and encode it again.
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
	r.mu.Lock()
	defer r.mu.Unlock()
	r.frames, r.bytes, r.after, r.tailed = nil, 0, c, c
}

// head returns the cursor up to which the hub has followed the log.
func (r *ring) head() event.Cursor {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tailed
}

// read fills dst with frames after a cursor, as many as there is room for, but none after those whose payloads reach so
// many bytes. It returns how many, and the cursor up to which there is nothing besides them. held is false if the ring
// does not reach back to the cursor.
func (r *ring) read(c event.Cursor, dst []*frame, bytes int) (n int, through event.Cursor, held bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c < r.after {
		return 0, c, false
	}
	first, found := slices.BinarySearchFunc(r.frames, c, func(f *frame, c event.Cursor) int {
		return cmp.Compare(f.event.Cursor, c)
	})
	if found {
		first++
	}
	for _, f := range r.frames[first:] {
		if n == len(dst) || bytes <= 0 {
			return n, dst[n-1].event.Cursor, true
		}
		dst[n] = f
		bytes -= len(f.event.Payload)
		n++
	}
	return n, max(c, r.tailed), true
}
