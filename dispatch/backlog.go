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
	full bool // there may be more that is due now
	err  error
}

// load asks the store for a piece of a lane's backlog.
func (s *scheduler) load(ctx context.Context, workers *sync.WaitGroup, l *lane, now time.Time) {
	l.loading = true
	l.nextDue = time.Time{}
	l.released = make(map[event.Cursor]struct{})
	id := l.webhook.ID
	// Rows that are held come back too, and first: asking for as many more keeps the load from returning only those.
	limit := l.room() + len(l.held)
	workers.Go(func() {
		backlog, err := s.store.Backlog(ctx, id, now, limit)
		s.loaded <- loaded{l, backlog, len(backlog.Due) == limit, err}
	})
}

// takeBacklog queues what a load found.
func (s *scheduler) takeBacklog(got loaded, now time.Time) {
	s.takeNews(now) // rows can be newer than what is known of their webhook
	l := got.lane
	released := l.released
	l.loading, l.released = false, nil
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
	if got.err == nil {
		l.parked = got.Parked
	}
	for _, row := range got.Due {
		if l.held[row.ID.Event] != nil {
			continue
		}
		if _, ok := released[row.ID.Event]; ok {
			// The row is older than what was settled while the load was under way. If it is due again, the next load
			// shows it.
			l.expect(now)
			continue
		}
		t := &task{
			id: row.ID, tenant: row.Tenant, event: row.EventID, topic: row.Topic, accepted: row.CreatedAt, lane: l,
			key: row.OrderKey, wait: s.waitFor(row.EventID), attempts: row.Attempts, step: row.Step, replay: row.Replay,
		}
		l.held[row.ID.Event] = t
		if !l.open() {
			s.callOff(t, l.callOffReason(), now)
			continue
		}
		l.queue(t)
	}
	s.forget(l)
	s.touch(l, now)
}
