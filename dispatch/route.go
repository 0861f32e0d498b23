package dispatch

import (
	"context"
	"errors"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// follow hands the log to the scheduler, in order.
func (s *scheduler) follow(ctx context.Context, after event.Cursor) error {
	tail := s.store.Tail(after)
	for {
		events, err := tail.Next(ctx)
		var gone *store.GoneError
		switch {
		case errors.As(err, &gone):
			// Retention has ended what these events owed.
			tail = s.store.Tail(gone.Trimmed)
			continue
		case err != nil:
			return err
		}
		select {
		case s.logged <- events:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// route takes an event from the log and queues what it owes.
func (s *scheduler) route(ev *event.Event, now time.Time) {
	s.head = ev.Cursor
	track := &tracked{cursor: ev.Cursor, at: now}
	var wait *Wait
	if len(ev.Matches) > 0 {
		wait = s.waitFor(ev.ID)
	}
	for _, m := range ev.Matches {
		id := event.DeliveryID{Event: ev.Cursor, Webhook: m.Webhook}
		if _, ok := s.recorded[id]; ok {
			delete(s.recorded, id)
			continue // its row says what is owed
		}
		l := s.lanes[m.Webhook]
		if l == nil {
			// Deleted since the event was accepted: the tombstone settles it.
			l = newLane(&event.Webhook{ID: m.Webhook, Tenant: ev.Tenant})
			l.deleted = true
			s.lanes[m.Webhook] = l
		}
		t := &task{id: id, tenant: ev.Tenant, lane: l, track: track}
		if !m.Disabled { // nobody waits for one that was disabled when the event came
			t.wait = wait
		}
		track.open++
		track.tasks = append(track.tasks, t)
		l.held[ev.Cursor] = t
		switch {
		case m.Disabled || !l.open() || ev.Cursor <= l.webhook.CanceledThrough:
			s.callOff(t, now)
		case l.full(t):
			t.phase = overflow
			s.spill(t, now)
		default:
			s.hold(t, ev)
			l.queue(t, false)
			s.touch(l, now)
		}
	}
	s.floor.add(track)
}

// hold lets a queued task keep its event, if there is room.
func (s *scheduler) hold(t *task, ev *event.Event) {
	if s.heldBytes+len(ev.Payload) <= maxHeldBytes {
		s.heldBytes += len(ev.Payload)
		t.ev = ev
	}
}

func (s *scheduler) unhold(t *task) {
	if t.ev != nil {
		s.heldBytes -= len(t.ev.Payload)
		t.ev = nil
	}
}

// drop takes a task that is queued out of memory.
func (s *scheduler) drop(t *task) {
	s.unhold(t)
	t.phase = dropped
	t.lane.release(t)
}

// spill gives a task its row.
func (s *scheduler) spill(t *task, now time.Time) {
	if t.spilling || t.phase == settling {
		return
	}
	t.spilling = true
	if s.pending.len() == 0 {
		s.pendingFrom = now
	}
	s.pending.spilled = append(s.pending.spilled, t)
	s.metrics.spilled.Inc()
}
