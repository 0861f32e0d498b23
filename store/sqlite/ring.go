package sqlite

import (
	"slices"
	"sync"

	"github.com/carillon/carillon/event"
)

const (
	ringCount = 4096
	ringBytes = 16 << 20 // of payload
)

// ring holds the newest events, so that tails which keep up never ask the database.
type ring struct {
	mu     sync.Mutex
	events []*event.Event // every event after lost, in order; the first skip of them are gone
	skip   int
	bytes  int          // of payload
	lost   event.Cursor // the ring holds all that came after this
	wake   chan struct{}
}

// reset empties the ring: everything up to head is to be read from the database.
func (r *ring) reset(head event.Cursor) {
	r.events, r.skip, r.bytes, r.lost = nil, 0, 0, head
	r.wake = make(chan struct{})
}

// add appends committed events and wakes the tails.
func (r *ring) add(events []*event.Event) {
	if len(events) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, ev := range events {
		r.bytes += len(ev.Payload)
	}
	r.events = append(r.events, events...)
	for len(r.events)-r.skip > ringCount || r.bytes > ringBytes {
		r.drop()
	}
	r.compact()
	close(r.wake)
	r.wake = make(chan struct{})
}

// forget drops what retention removed: a tail that far behind is to be told.
func (r *ring) forget(trimmed event.Cursor) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.skip < len(r.events) && r.events[r.skip].Cursor <= trimmed {
		r.drop()
	}
	r.lost = max(r.lost, trimmed)
	r.compact()
}

// drop lets go of the oldest event.
func (r *ring) drop() {
	ev := r.events[r.skip]
	r.events[r.skip] = nil
	r.skip++
	r.bytes -= len(ev.Payload)
	r.lost = ev.Cursor
}

// compact moves the events to the front once half of the slice is gone, which costs each event one move.
func (r *ring) compact() {
	if r.skip*2 > len(r.events) {
		n := copy(r.events, r.events[r.skip:])
		clear(r.events[n:])
		r.events, r.skip = r.events[:n], 0
	}
}

// after returns up to limit events after a cursor. If there are none yet, wake is closed when there may be. held is false
// if the ring does not reach back that far.
func (r *ring) after(c event.Cursor, limit int) (events []*event.Event, wake <-chan struct{}, held bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c < r.lost {
		return nil, nil, false
	}
	live := r.events[r.skip:]
	at, _ := slices.BinarySearchFunc(live, c+1, func(ev *event.Event, c event.Cursor) int {
		switch {
		case ev.Cursor < c:
			return -1
		case ev.Cursor > c:
			return 1
		}
		return 0
	})
	live = live[at:]
	return slices.Clone(live[:min(limit, len(live))]), r.wake, true
}
