package dispatch

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

const (
	// gather is how long settlements wait for others to share a commit with: one costs 360 to 730 µs of CPU alone and a
	// tenth of it in company. A waiting poster's never waits.
	gather = 5 * time.Millisecond
	// gatherEnough is how many make a commit worth its while at once.
	gatherEnough = 128
	// settleRetry is how long to wait after a commit failed.
	settleRetry = 250 * time.Millisecond
)

// settlement is a task with what is to be stored of it.
type settlement struct {
	task *task
	store.Settlement
}

// batch is one write to the ledger, with the tasks it is about.
type batch struct {
	settled   []settlement
	spilled   []*task
	health    map[event.ID]store.Health
	announced []*event.Event
	floor     event.Cursor
	urgent    bool // somebody waits for it
}

func (b *batch) len() int { return len(b.settled) + len(b.spilled) }

// some reports whether the batch is worth a write.
func (b *batch) some() bool { return b.len()+len(b.health)+len(b.announced) > 0 }

// write is the batch as the store takes it.
func (b *batch) write() store.Settlements {
	w := store.Settlements{Floor: b.floor, Announced: b.announced, Health: slices.Collect(maps.Values(b.health))}
	for i := range b.settled {
		w.Settled = append(w.Settled, b.settled[i].Settlement)
	}
	for _, t := range b.spilled {
		w.Spilled = append(w.Spilled, store.Spill{ID: t.id, Tenant: t.tenant, OrderKey: t.key})
	}
	return w
}

// settle writes batches until the channel is closed. A batch that the store refuses is tried again until ctx ends: what
// it says has happened, and forgetting it would make it happen again.
func (s *scheduler) settle(ctx context.Context) {
	defer close(s.stored)
	for b := range s.toStore {
		write := b.write()
		failures := 0
		for {
			err := s.store.Settle(ctx, write)
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				return
			}
			if failures == 0 {
				s.log.Error("deliveries cannot be settled; trying again", "error", err, "deliveries", b.len())
			}
			failures++
			select {
			case <-ctx.Done():
				return
			case <-time.After(settleRetry):
			}
		}
		select {
		case s.stored <- b:
		case <-ctx.Done():
			return
		}
	}
}

func (s *scheduler) addSettlement(r settlement, now time.Time) {
	if s.pending.len() == 0 {
		s.pendingFrom = now
	}
	s.pending.settled = append(s.pending.settled, r)
	t := r.task
	s.pending.urgent = s.pending.urgent || t.wait != nil || t.key != 0 && (t.lane.parked || len(t.lane.turns.behind(t)) > 0)
}

// setHealth has a lane's health stored with the next write.
func (s *scheduler) setHealth(l *lane, now time.Time) {
	if s.pending.health == nil {
		s.pending.health = make(map[event.ID]store.Health)
	}
	if s.pending.len() == 0 && len(s.pending.health) == 0 {
		s.pendingFrom = now
	}
	s.pending.health[l.webhook.ID] = l.health()
	s.review(l)
}

// flush hands what is to be stored to the writer, if it is idle and the batch worth it.
func (s *scheduler) flush(now time.Time) {
	if !s.stopping {
		s.floor.overdue(now.Add(-spillAfter), func(t *task) { s.spill(t, now) })
	}
	if floor := s.floor.advance(); floor != s.storedFloor && s.floorFrom.IsZero() {
		s.floorFrom = now
	}
	s.metrics.floorLag.Set(float64(s.floor.events.len()))
	s.settleIn(now)
	due := s.pending.urgent || s.pending.len() >= gatherEnough ||
		s.pending.some() && !now.Before(s.pendingFrom.Add(gather)) ||
		s.floor.at != s.storedFloor && !now.Before(s.floorFrom.Add(floorEvery))
	anything := s.pending.some() || s.floor.at != s.storedFloor
	if s.busy || !anything || !due && !s.stopping {
		return
	}
	b := s.pending
	b.floor = s.floor.at
	s.pending, s.floorFrom = batch{}, time.Time{}
	s.busy, s.storing, s.owing = true, b.len(), b.some()
	s.toStore <- &b
}

// wasStored lets go of what is durable now.
func (s *scheduler) wasStored(b *batch, now time.Time) {
	s.busy, s.storing, s.owing = false, 0, false
	s.storedFloor = max(s.storedFloor, b.floor)
	if s.floor.at == s.storedFloor {
		s.floorFrom = time.Time{}
	}
	for _, r := range b.settled {
		t, l := r.task, r.task.lane
		s.floor.recorded(t)
		ended := r.State != event.Pending || t.canceled && !t.reopened
		s.tellWait(t, ended)
		s.tallied(&r, ended)
		switch {
		case ended:
			if r.State != event.Pending {
				s.metrics.ended[r.State].Inc()
			}
			s.leave(t, now)
		case l.probe != nil && l.probe.task == t && !t.reopened:
			t.step, t.due, t.began = r.Step, r.Due, scheduleBegan(l.webhook, r.Step, r.Due)
			l.set(t, queued)
		default:
			s.retire(t, now)
			l.expect(r.Due)
		}
		if t.reopened {
			l.expect(now)
		}
		s.settleDown(l, now)
	}
	for _, t := range b.spilled {
		s.floor.recorded(t)
		t.spilling = false
		switch t.phase {
		case queued:
			s.unhold(t)
		case overflow:
			t.lane.release(t)
			t.lane.expect(now)
			s.touch(t.lane, now)
		}
	}
}

// settleIn notes when all that was in the log at the start has its row, and looks at the lanes that waited for that.
func (s *scheduler) settleIn(now time.Time) {
	if s.settledIn || s.floor.at < s.startHead {
		return
	}
	s.settledIn = true
	for _, l := range s.lanes {
		if l.wantsLoad() {
			s.touch(l, now)
		}
	}
}

// tellWait passes on that what came of a task is stored.
func (s *scheduler) tellWait(t *task, ended bool) {
	if t.wait != nil {
		t.wait.settled(t.id.Webhook, ended)
	}
}
