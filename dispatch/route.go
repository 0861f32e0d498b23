package dispatch

import (
	"context"
	"errors"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// piece is what the log has next: events, or how far retention has removed what was not read yet.
type piece struct {
	events  []*event.Event
	through event.Cursor
}

// take routes a piece of the log.
func (s *scheduler) take(p piece, now time.Time) {
	if p.events == nil {
		s.head = max(s.head, p.through)
		s.floor.add(&tracked{cursor: p.through, at: now})
	}
	for _, ev := range p.events {
		s.route(ev, now)
	}
}

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
			events = nil
		case err != nil:
			return err
		}
		next := piece{events: events}
		if gone != nil {
			next.through = gone.Trimmed
		}
		select {
		case s.logged <- next:
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
		t := &task{
			id: id, tenant: ev.Tenant, event: ev.ID, topic: ev.Topic, accepted: ev.Time, began: ev.Time, lane: l, track: track,
			key: l.webhook.Order.OrderKey(ev.PartitionKey),
		}
		if m.Owed() { // nobody waits for one that was never owed
			t.wait = wait
		}
		track.open++
		track.tasks = append(track.tasks, t)
		l.held[ev.Cursor] = t
		switch {
		case m.FilterError:
			s.callOff(t, event.ReasonFilterError, now)
		case m.Disabled || !l.open() || ev.Cursor <= l.webhook.CanceledThrough:
			s.callOff(t, l.callOffReason(), now)
		case l.full(t) || t.key != 0 && !(s.settledIn && l.direct()):
			s.owes(l, 1)
			l.overflow(t)
			s.spill(t, now)
		default:
			s.owes(l, 1)
			s.hold(t, ev)
			l.queue(t)
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

// leave takes a task out of memory, of which nothing more will come here, and lets the next one have its turn.
func (s *scheduler) leave(t *task, now time.Time) {
	l := t.lane
	s.unhold(t)
	l.release(t)
	l.endTurn(t)
	if t.key != 0 && !l.direct() {
		l.expect(now) // the store may have released the next one
	}
}

// retire takes a task out of memory that stays pending in the store, or will: it is loaded again when it is due. Those
// that wait for their turn behind it go too, since the store shows them after it.
func (s *scheduler) retire(t *task, now time.Time) {
	l := t.lane
	for _, behind := range l.turns.behind(t) {
		l.turns.leave(behind)
		s.yield(behind, now)
		l.expect(now) // one that is older than t, retried by hand, has its turn now
	}
	l.turns.leave(t)
	s.yield(t, now)
}

// yield has a task leave memory as soon as it has its row.
func (s *scheduler) yield(t *task, now time.Time) {
	s.unhold(t)
	l := t.lane
	if l.loading && t.key != 0 {
		l.yielded[t.key] = struct{}{}
	}
	if t.track == nil && !t.spilling {
		l.parked = l.parked || t.key != 0
		l.release(t)
		return
	}
	l.overflow(t)
	s.spill(t, now)
}

// spill gives a task its row.
func (s *scheduler) spill(t *task, now time.Time) {
	if t.spilling || t.phase == settling || t.track == nil {
		return
	}
	t.spilling = true
	if s.pending.len() == 0 {
		s.pendingFrom = now
	}
	s.pending.spilled = append(s.pending.spilled, t)
	s.metrics.spilled.Inc()
}
