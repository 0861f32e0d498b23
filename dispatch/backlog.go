package dispatch

import (
	"context"
	"sync"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// loaded is a piece of a lane's backlog.
type loaded struct {
	lane *lane
	store.Backlog
	events map[event.Cursor]*event.Event // of the first of them
	full   bool                          // there may be more that is due now
	prober bool                          // it was asked for one delivery to probe with, due or not
	err    error
}

// loadBytes bounds the payloads that are read with a piece of a backlog. What they leave out is read when it is sent: one
// event by itself costs some 30 µs of CPU, a fifth of a delivery from the backlog.
const loadBytes = 1 << 20

// whenever is later than anything is due.
const whenever = 100 * 365 * 24 * time.Hour

// load asks the store for a piece of a lane's backlog; or, to probe with, for its first delivery, even if it is not due.
func (s *scheduler) load(ctx context.Context, workers *sync.WaitGroup, l *lane, now time.Time, prober bool) {
	l.loading = true
	l.nextDue = time.Time{}
	l.released, l.yielded, l.void = make(map[event.Cursor]struct{}), make(map[uint64]struct{}), false
	id := l.webhook.ID
	// Rows that are held come back too, and first: asking for as many more keeps the load from returning only those.
	limit := l.room() + len(l.held)
	if prober {
		limit, now = 1+len(l.held), now.Add(whenever)
	}
	held := make(map[event.Cursor]struct{}, len(l.held))
	for cursor := range l.held {
		held[cursor] = struct{}{}
	}
	alone := l.probe != nil // its deliveries mostly wait
	workers.Go(func() {
		got := loaded{lane: l, prober: prober}
		got.Backlog, got.err = s.store.Backlog(ctx, id, now, limit)
		got.full = len(got.Due) == limit && !prober
		if got.err == nil && !alone {
			got.events, got.err = s.eventsOf(ctx, got.Due, held)
		}
		s.loaded <- got
	})
}

// eventsOf reads the events of the first of these deliveries that are not held.
func (s *scheduler) eventsOf(ctx context.Context, due []event.Delivery, held map[event.Cursor]struct{}) (map[event.Cursor]*event.Event, error) {
	cursors := make([]event.Cursor, 0, len(due))
	for _, d := range due {
		if _, ok := held[d.ID.Event]; !ok {
			cursors = append(cursors, d.ID.Event)
		}
	}
	events, err := s.store.EventsAt(ctx, cursors, loadBytes)
	if err != nil {
		return nil, err
	}
	byCursor := make(map[event.Cursor]*event.Event, len(events))
	for _, ev := range events {
		byCursor[ev.Cursor] = ev
	}
	return byCursor, nil
}

// takeBacklog queues what a load found.
func (s *scheduler) takeBacklog(got loaded, now time.Time) {
	s.takeNews(now) // rows can be newer than what is known of their webhook
	l := got.lane
	released, yielded, void := l.released, l.yielded, l.void
	l.loading, l.released, l.yielded, l.void = false, nil, nil, false
	switch {
	case got.err != nil:
		if !s.stopping {
			s.log.Error("a webhook's backlog cannot be read; trying again", "webhook", l.webhook.ID, "error", got.err)
		}
		l.expect(now.Add(loadRetry))
	case got.full:
		l.expect(now)
	case !got.Next.IsZero():
		l.expect(got.Next)
	}
	if got.err != nil {
		got.Due = nil
	} else {
		l.parked = got.Parked
	}
	if void {
		// The rows may have been behind the line that closing drew.
		got.Due = nil
		l.expect(now)
	}
	if len(got.Due) > 0 {
		s.lookAt(l)
	}
	for _, row := range got.Due {
		if l.held[row.ID.Event] != nil {
			continue
		}
		// A row can be older than what was settled while the load was under way. So can its having the turn: one that
		// comes before it may have got its row meanwhile. What is due all the same, the next load shows.
		_, gone := released[row.ID.Event]
		_, late := yielded[row.OrderKey]
		if gone || late {
			l.expect(now)
			continue
		}
		if row.Due.After(now) && (l.probe == nil || l.probe.task != nil || !l.open()) {
			l.expect(row.Due)
			continue
		}
		t := &task{
			id: row.ID, tenant: row.Tenant, event: row.EventID, topic: row.Topic, accepted: row.CreatedAt, lane: l,
			key: row.OrderKey, wait: s.waitFor(row.EventID), attempts: row.Attempts, step: row.Step, replay: row.Replay,
			began: scheduleBegan(l.webhook, row.Step, row.Due),
		}
		l.held[row.ID.Event] = t
		if !l.open() {
			s.callOff(t, l.callOffReason(), now)
			continue
		}
		if row.Due.After(now) {
			s.probeWith(t, row.Due)
			continue
		}
		if ev := got.events[row.ID.Event]; ev != nil {
			s.hold(t, ev)
		}
		l.queue(t)
	}
	s.settleDown(l, now)
}

// probeWith has a webhook that is down probed by a delivery that is not due.
func (s *scheduler) probeWith(t *task, due time.Time) {
	l := t.lane
	t.due = due
	if t.key != 0 && !l.turns.join(t) {
		// Others of its key are in memory: theirs is the turn.
		l.turns.leave(t)
		l.release(t)
		l.expect(due)
		return
	}
	l.probe.task = t
}
