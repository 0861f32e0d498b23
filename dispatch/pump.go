package dispatch

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// touch has a lane whose state changed looked at in the next turn of the loop.
func (s *scheduler) touch(l *lane, now time.Time) { s.wakeAt(l, now) }

func (s *scheduler) wakeAt(l *lane, at time.Time) {
	l.wakeAt = at
	if l.heapAt >= 0 {
		heap.Fix(&s.wakes, l.heapAt)
	} else {
		heap.Push(&s.wakes, l)
	}
}

// wakeLanes sees to every lane whose time has come, and to those that waited for room.
func (s *scheduler) wakeLanes(ctx context.Context, workers *sync.WaitGroup, now time.Time) {
	for s.blocked.len() > 0 && s.room() {
		l, _ := s.blocked.pop()
		l.blocked = false
		s.pump(ctx, workers, l, now)
	}
	for len(s.wakes) > 0 && !s.wakes[0].wakeAt.After(now) {
		s.pump(ctx, workers, heap.Pop(&s.wakes).(*lane), now)
	}
}

// mayLoad reports whether the store should be asked for a lane's backlog. Deliveries that wait for their turn are asked
// for only when all that was owed at the start has a row: one that has none yet may come before them.
func (s *scheduler) mayLoad(l *lane) bool {
	return l.wantsLoad() && (s.settledIn || !l.webhook.Order.Ordered())
}

// room reports whether the process can take on another attempt.
func (s *scheduler) room() bool { return s.inFlight < s.maxInFlight && s.storeKeepsUp() }

// roomFor is room for a lane: one that has nothing in flight always has a slot, however many webhooks hang, unless it is
// down itself.
func (s *scheduler) roomFor(l *lane) bool {
	return (s.inFlight < s.maxInFlight || l.inFlight == 0 && l.probe == nil) && s.storeKeepsUp()
}

func (s *scheduler) storeKeepsUp() bool { return s.storing+len(s.pending.settled) < maxUnsettled }

// pump starts what a lane may start, asks the store for more of its backlog, and sets when it is looked at again.
func (s *scheduler) pump(ctx context.Context, workers *sync.WaitGroup, l *lane, now time.Time) {
	if s.stopping {
		return
	}
	if l.probe != nil && l.open() && !l.disabling {
		s.giveUpParked(l, now)
	}
	for {
		if at, ok := l.ready(now); !ok || at.After(now) {
			break
		}
		if !s.roomFor(l) {
			if !l.blocked {
				l.blocked = true
				s.blocked.push(l)
			}
			break
		}
		l.bucket.take(l.webhook.RateLimit)
		s.start(ctx, workers, l.next())
	}
	if s.mayLoad(l) && (!l.nextDue.After(now) || l.lacksProber(now)) {
		s.load(ctx, workers, l, now, l.nextDue.After(now))
	}
	if at := l.wake(now); !at.IsZero() && at.After(now) {
		s.wakeAt(l, at)
	}
}
