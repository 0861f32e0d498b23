package dispatch

import (
	"container/heap"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// takeNews applies what changed outside: webhooks, and deliveries by hand. It comes before events are routed: the store
// tells of a webhook's change before it shows the events accepted after it.
func (s *scheduler) takeNews(now time.Time) {
	changes, hands := s.news()
	for _, c := range changes {
		s.webhookChanged(c, now)
	}
	for _, h := range hands {
		l := s.lanes[h.id.Webhook]
		if l == nil {
			continue
		}
		t := l.held[h.id.Event]
		switch {
		case !h.canceled:
			l.expect(now)
		case t != nil && t.idle():
			s.floor.recorded(t)
			s.drop(t)
			s.tellWait(t, true)
		case t != nil:
			s.floor.recorded(t)
		}
		s.touch(l, now)
	}
}

func (s *scheduler) webhookChanged(c store.WebhookChange, now time.Time) {
	l := s.lanes[c.Webhook.ID]
	if l == nil {
		if c.Deleted {
			return
		}
		l = newLane(c.Webhook)
		s.lanes[c.Webhook.ID] = l
	}
	l.hook, l.deleted, l.gone = c.Webhook, c.Deleted, false
	if !l.open() {
		for _, t := range l.held {
			if t.idle() {
				s.callOff(t, now)
			}
		}
	}
	s.forget(l)
	s.touch(l, now)
}

// callOff settles a delivery that must not be attempted, because its webhook is disabled or deleted.
func (s *scheduler) callOff(t *task, now time.Time) {
	reason := event.ReasonDisabled
	if t.lane.deleted {
		reason = event.ReasonDeleted
	}
	s.unhold(t)
	t.phase = settling
	s.addSettlement(settlement{t, store.Settlement{
		ID: t.id, Tenant: t.tenant, State: event.Canceled, Reason: reason, Step: t.step,
	}}, now)
}

// forget removes a deleted webhook's lane once nothing of it is in memory.
func (s *scheduler) forget(l *lane) {
	if l.deleted && len(l.held) == 0 && !l.loading && l.inFlight == 0 {
		if l.heapAt >= 0 {
			heap.Remove(&s.wakes, l.heapAt)
		}
		delete(s.lanes, l.hook.ID)
	}
}
