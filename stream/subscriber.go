package stream

import (
	"context"
	"fmt"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

const (
	// ringBatch is how many frames are taken from the ring under one hold of the hub's lock.
	ringBatch = 64

	// pageEvents and pageBytes bound what a stream that catches up holds of the log, besides the event that reaches them.
	pageEvents = 256
	pageBytes  = 64 << 10

	// trailingPause is how long to wait for a log whose reads trail its tail.
	trailingPause = 20 * time.Millisecond
)

// subscriber is one stream's place in the log. It belongs to the goroutine that serves the stream, but for what the
// hub's lock guards.
type subscriber struct {
	hub      *Hub
	tenant   event.TenantID
	patterns []event.Pattern
	form     form
	wake     chan struct{}

	// told is the last id that the client has.
	told event.Cursor

	// Guarded by the hub's lock.
	group    *group
	parkedAt int // place among the group's parked; negative: not parked

	// position is the cursor up to which every event was sent or did not match. The hub moves it while the subscriber is
	// parked; otherwise it belongs to the subscriber.
	position event.Cursor
}

// forward sends a piece of what comes after the position. It reports whether there was nothing, and the subscriber is
// parked: then everything sent has left, and wake tells when to go on.
func (s *subscriber) forward(ctx context.Context, out *wire) (parked bool, err error) {
	var batch [ringBatch]*frame
	s.hub.mu.Lock()
	if s.position >= s.hub.tailed {
		s.group.park(s)
		s.hub.mu.Unlock()
		return true, out.flush()
	}
	if s.position < s.hub.ring.after {
		s.hub.mu.Unlock()
		return false, s.replay(ctx, out)
	}
	n := s.hub.ring.copyAfter(s.position, batch[:])
	s.hub.mu.Unlock()

	sent := 0
	for i, f := range batch[:n] {
		batch[i] = nil // the ring may let it go while this stream waits for its reader
		s.position = f.event.Cursor
		if f.event.Tenant != s.tenant || !event.MatchAny(s.patterns, f.event.Topic) {
			continue
		}
		if err := out.add(s.hub.encoded(f, s.form)); err != nil {
			return false, err
		}
		s.told = s.position
		sent++
	}
	s.hub.metrics.events.Add(float64(sent))
	return false, nil
}

// replay sends a page of the log.
func (s *subscriber) replay(ctx context.Context, out *wire) error {
	// A page can take a while, and what was gathered must not wait for it.
	if err := out.flush(); err != nil {
		return err
	}
	s.hub.metrics.logReads.Inc()
	page, err := s.hub.log.Read(ctx, s.tenant, store.ReadQuery{
		After:    s.position,
		Patterns: s.patterns,
		Limit:    pageEvents,
		Bytes:    pageBytes,
	})
	if trimmed, ok := goneBeyond(err, s.position); ok {
		s.hub.metrics.gaps.Inc()
		s.position = trimmed
		return out.add(appendGap(nil, trimmed))
	}
	if err != nil {
		return fmt.Errorf("read the log: %w", err)
	}
	for _, e := range page.Events {
		if err := out.addEvent(e, s.form, s.hub.source); err != nil {
			return err
		}
		s.told = e.Cursor
	}
	s.hub.metrics.events.Add(float64(len(page.Events)))
	if page.Through <= s.position {
		return pause(ctx, trailingPause)
	}
	s.position = page.Through
	return nil
}

// pause waits, unless ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// checkpoint returns how far a silent stream has come. For a parked one that is as far as the hub has: whatever it has
// seen since did not match, or it would have woken the subscriber.
func (s *subscriber) checkpoint() event.Cursor {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if s.parkedAt >= 0 {
		s.position = max(s.position, s.hub.tailed)
	}
	return s.position
}
