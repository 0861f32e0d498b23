package dispatch

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/carillon/carillon/event"
)

// How many deliveries are pending is kept as an estimate, since to know it exactly would be to count rows again and again.
// What comes from the log and what ends is counted as it passes; everything else (replays, what somebody cancels, what
// expires) is found when a webhook's rows are counted in the store, which happens by turns and takes no more than
// countShare of the time: small backlogs are counted about every time that somebody asks, one of many millions
// every few minutes.
const (
	// countShare is how long counting may take for each time that somebody asks. One count may take longer, and then there is
	// none for as many times.
	countShare = 25 * time.Millisecond
	// countLook is how many webhooks are looked at in one turn.
	countLook = 1024
	// lateAfter is how long a delivery may wait for its first attempt before its webhook is said to lag.
	lateAfter = time.Minute
)

// Tally is told what becomes of deliveries once it is stored. It is called by one goroutine, for each of them, and must be
// quick.
type Tally interface {
	// Settled tells the state of a delivery after its settlement: Pending is an attempt that failed and is followed by another
	// one. took is how long it was from the event's acceptance to the end of the first attempt, if that was a success and
	// no replay; otherwise it is negative. The acceptance is known to a millisecond.
	Settled(tenant event.TenantID, state event.State, took time.Duration)
}

// tallied tells what became of a delivery, and counts it out of what is owed if it has ended.
func (s *scheduler) tallied(r *settlement, ended bool) {
	t, state := r.task, r.State
	switch {
	case state == event.Delivered || state == event.Failed:
		s.owes(t.lane, -1)
	case state == event.Pending && ended:
		state = event.Canceled // by hand, while it was attempted
	case state == event.Pending && r.Attempt == nil:
		return
	}
	if s.tally == nil {
		return
	}
	took := time.Duration(-1)
	if a := r.Attempt; a != nil && a.Number == 1 && state == event.Delivered && !t.replay {
		took = max(a.At.Add(a.Duration).Sub(t.accepted), a.Duration)
	}
	s.tally.Settled(t.tenant, state, took)
}

// owes changes by n how many deliveries a webhook is owed.
func (s *scheduler) owes(l *lane, n int64) {
	n = max(n, -l.owed)
	if n == 0 {
		return
	}
	l.owed += n
	s.owedBy[l.webhook.Tenant] += n
	if l.owed > 0 {
		s.lookAt(l)
	}
}

// lookAt has a webhook looked at when it is next asked what is owed.
func (s *scheduler) lookAt(l *lane) {
	if !l.owing {
		l.owing = true
		s.toCount.push(l)
	}
}

// Backlogs returns how many deliveries are pending, about, of each tenant that has any. It waits for the scheduler, which
// answers while Run is running; asking it every few seconds keeps the numbers true.
func (d *Dispatcher) Backlogs(ctx context.Context) (map[event.TenantID]int64, error) {
	ask := make(chan map[event.TenantID]int64, 1)
	select {
	case d.backlogs <- ask:
		return <-ask, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("asking how many deliveries are pending: %w", ctx.Err())
	}
}

func (s *scheduler) backlogsNow() map[event.TenantID]int64 {
	maps.DeleteFunc(s.owedBy, func(_ event.TenantID, n int64) bool { return n == 0 })
	return maps.Clone(s.owedBy)
}

// counted is what some webhooks' rows were counted to be.
type counted struct {
	lanes []*lane
	rows  []int64 // of the first of them: the others' turn has not come
	took  time.Duration
}

// recount looks at some of the webhooks that are owed something, and has the rows counted of those that have any.
func (s *scheduler) recount(ctx context.Context, workers *sync.WaitGroup, now time.Time) {
	s.countTime = min(s.countTime+countShare, countShare)
	if s.counting || s.countTime <= 0 || s.stopping {
		return
	}
	var ask []*lane
	var ids []event.ID
	for range min(s.toCount.len(), countLook) {
		l, _ := s.toCount.pop()
		l.owing = false
		s.findLate(l, now)
		switch {
		case !l.open():
			s.owes(l, -l.owed)
		case l.nextDue.IsZero() && !l.parked && !l.loading && l.overflown == 0:
			s.owes(l, s.inMemory(l)-l.owed)
		default:
			ask, ids = append(ask, l), append(ids, l.webhook.ID)
		}
		if l.owed > 0 {
			s.lookAt(l)
		}
	}
	if len(ask) == 0 {
		return
	}
	s.counting = true
	limit := s.countTime
	workers.Go(func() {
		began := time.Now()
		got := counted{lanes: ask}
		for _, id := range ids {
			waiting, err := s.store.Waiting(ctx, id)
			if err != nil {
				if ctx.Err() == nil {
					s.log.Error("what a webhook is owed cannot be counted", "webhook", id, "error", err)
				}
				break
			}
			got.rows = append(got.rows, waiting.Deliveries)
			if time.Since(began) >= limit {
				break
			}
		}
		got.took = time.Since(began)
		s.counts <- got
	})
}

// takeCounts makes counts what is owed.
func (s *scheduler) takeCounts(got counted) {
	s.counting = false
	s.countTime -= got.took
	for i, l := range got.lanes {
		if !l.open() {
			continue // what it was owed has been forgotten
		}
		if i >= len(got.rows) {
			s.lookAt(l)
			continue
		}
		s.owes(l, got.rows[i]+s.inMemory(l)-l.owed)
	}
}

// inMemory counts the deliveries of a webhook that are pending and have no row.
func (s *scheduler) inMemory(l *lane) int64 {
	n := int64(0)
	for _, t := range l.held {
		if t.track != nil && t.phase != settling {
			n++
		}
	}
	return n
}

// findLate notes whether a webhook keeps deliveries waiting for their first attempts for too long, and since when.
func (s *scheduler) findLate(l *lane, now time.Time) {
	l.lateSince = time.Time{}
	if l.open() && l.probe == nil {
		for _, q := range [...]*fifo[*task]{&l.urgent, &l.fresh, &l.backlog} {
			skipDropped(q)
			if q.len() == 0 {
				continue
			}
			if t := q.at(0); now.Sub(t.began) >= lateAfter && (l.lateSince.IsZero() || t.began.Before(l.lateSince)) {
				l.lateSince = t.began
			}
		}
	}
	s.review(l)
}
