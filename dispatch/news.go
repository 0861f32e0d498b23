package dispatch

import (
	"container/heap"
	"slices"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// takeNews applies what changed outside: webhooks, and deliveries by hand. It comes before events are routed: the store
// tells of a webhook's change before it shows the events accepted after it.
func (s *scheduler) takeNews(now time.Time) {
	changes, hands, freed := s.news()
	for _, id := range freed {
		if l := s.lanes[id]; l != nil {
			l.expect(now)
			s.touch(l, now)
		}
	}
	for _, c := range changes {
		s.webhookChanged(c, now)
	}
	for _, h := range hands {
		s.doneByHand(h, now)
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
	before, wasOpen := l.webhook, l.open()
	l.webhook, l.deleted, l.disabling = c.Webhook, c.Deleted, false
	l.window.setCeiling(max(1, c.Webhook.MaxInFlight))
	if l.open() && (!wasOpen || before.URL != c.Webhook.URL) {
		s.beginAnew(l, now)
	}
	if !l.open() {
		s.owes(l, -l.owed)
		l.void = l.loading
		if l.probe != nil {
			s.comeUp(l, now) // it is not even probed
		}
		busy := make(map[*Wait]bool) // told when what is under way has ended
		for _, t := range l.held {
			busy[t.wait] = true
			if t.idle() {
				s.callOff(t, l.callOffReason(), now)
			}
		}
		s.endWaits(c.Webhook.ID, busy)
	}
	s.review(l)
	s.settleDown(l, now)
}

// callOff settles a delivery that must not be attempted.
func (s *scheduler) callOff(t *task, reason event.Reason, now time.Time) {
	s.unhold(t)
	t.lane.set(t, settling)
	s.addSettlement(settlement{t, store.Settlement{
		ID: t.id, Tenant: t.tenant, OrderKey: t.key, State: event.Canceled, Reason: reason, Step: t.step,
	}}, now)
}

// settleDown has a lane looked at in the next turn of the loop, or removes it, if its webhook is deleted and nothing of it
// is in memory.
func (s *scheduler) settleDown(l *lane, now time.Time) {
	if !l.deleted || len(l.held) > 0 || l.loading || l.inFlight > 0 {
		s.touch(l, now)
		return
	}
	if l.heapAt >= 0 {
		heap.Remove(&s.wakes, l.heapAt)
	}
	s.owes(l, -l.owed)
	s.review(l)
	delete(s.lanes, l.webhook.ID)
}

// endWaits tells every wait for a webhook that is no longer attempted, but those for which something is under way, that
// nothing more comes from it.
func (s *scheduler) endWaits(webhook event.ID, but map[*Wait]bool) {
	s.mu.Lock()
	var waits []*Wait
	for _, w := range s.waits {
		if !but[w] && slices.Contains(w.webhooks, webhook) {
			waits = append(waits, w)
		}
	}
	s.mu.Unlock()
	for _, w := range waits {
		w.settled(webhook, true)
	}
}
