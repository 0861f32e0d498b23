package stream

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/carillon/carillon/event"
)

// pollScan is how long a poll looks for events that match, besides the time that it waits for them to come.
const pollScan = 5 * time.Second

// Polled is what a poll brought.
type Polled struct {
	Events [][]byte     // each a CloudEvent in JSON; shared, not to be written to
	Next   event.Cursor // where to poll from the next time

	// Gap says that retention has removed events before those that are here; after Oldest the log still holds everything.
	Gap    bool
	Oldest event.Cursor
}

// ErrExpired is returned for a poll whose key is no longer valid.
var ErrExpired = errors.New("what the poll was made with is no longer valid")

// Poll returns events of the subscription, at most limit and not much more than a page of the log, and waits so long for
// the first of them. It is a stream that ends with its first piece: it counts against the limits ([ErrFull]) and is fed
// in the same way. Format and Named do not concern it. When the hub ends, so does the wait; when its key does, it is
// [ErrExpired].
func (h *Hub) Poll(ctx context.Context, sub Subscription, limit int, wait time.Duration) (Polled, error) {
	select {
	case <-h.begun:
	case <-ctx.Done():
		return Polled{}, ctx.Err()
	}
	if !h.seats.take(sub.Tenant, sub.Key, sub.Address.Addr()) {
		h.metrics.refused.Inc()
		return Polled{}, ErrFull
	}
	start, err := sub.Start.resolve(ctx, h.log)
	if err != nil {
		h.seats.free(sub.Tenant, sub.Key, sub.Address.Addr())
		return Polled{}, err
	}
	s := &subscriber{
		hub: h, tenant: sub.Tenant, form: formOf(Lines, false), key: sub.Key, address: sub.Address, opened: time.Now().UnixMilli(),
		until: sub.Expires, wake: make(chan struct{}, 1), quit: make(chan struct{}), position: start.position,
	}
	s.shown.Store(uint64(s.position))
	polled := Polled{Next: start.position, Gap: start.told == gap, Oldest: start.oldest}
	if !h.join(s, sub) {
		h.seats.free(sub.Tenant, sub.Key, sub.Address.Addr())
		if s.revoked.Load() {
			return Polled{}, ErrExpired
		}
		return polled, nil
	}
	defer h.leave(s)
	timeout := time.NewTimer(wait)
	defer timeout.Stop()
	var due <-chan time.Time
	if !s.until.IsZero() {
		timer := time.NewTimer(time.Until(s.until))
		defer timer.Stop()
		due = timer.C
	}
	h.pages.begin()
	defer h.pages.end()
	if polled.Gap {
		h.metrics.gaps.Inc()
	}
	for waiting := time.Now(); !polled.Gap; { // one is told at once
		switch {
		case s.due(time.Now()):
			return Polled{}, ErrExpired
		case h.hasEnded(), ctx.Err() != nil, time.Since(waiting) > wait+pollScan:
			polled.Next = s.position
			return polled, ctx.Err()
		}
		if s.keepUp() {
			select {
			case <-s.wake:
				continue
			case <-s.quit:
				return Polled{}, ErrExpired
			case <-due:
				return Polled{}, ErrExpired
			case <-timeout.C:
			case <-h.ended:
			case <-ctx.Done():
			}
			polled.Next = s.checkpoint()
			return polled, ctx.Err()
		}
		found, err := s.poll(ctx, &polled, limit)
		if errors.Is(err, errOver) {
			return polled, nil
		}
		if err != nil || found {
			return polled, err
		}
	}
	return polled, nil
}

// poll takes one piece; found says that there was something in it.
func (s *subscriber) poll(ctx context.Context, polled *Polled, limit int) (found bool, err error) {
	before := s.position
	c, _, err := s.nextInTurn(ctx) // not recycled: the events are handed on
	if err != nil {
		return false, err
	}
	if c.gap {
		polled.Gap, polled.Oldest, polled.Next = true, c.through, c.through
		s.hub.metrics.gaps.Inc()
		return true, nil
	}
	n := min(limit, len(c.ends))
	for i := range n {
		polled.Events = append(polled.Events, bytes.TrimSuffix(c.text[c.start(i):c.ends[i]], []byte("\n")))
	}
	s.hub.metrics.events.Add(float64(n))
	s.advance(c, len(c.text))
	polled.Next = s.position
	if n < len(c.ends) {
		polled.Next = c.cursors[n-1]
	}
	if n == 0 && s.position == before && s.behind() {
		return false, pause(ctx, trailingPause)
	}
	return n > 0, nil
}
