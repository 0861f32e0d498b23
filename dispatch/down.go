package dispatch

import (
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

const (
	// shortestPause and longestPause are between a down webhook's probes; the pause doubles from one to the other.
	shortestPause = time.Second
	longestPause  = time.Minute
	// giveUpAtOnce bounds how many parked deliveries are given up in one turn of the loop.
	giveUpAtOnce = 256
)

// probe is how a webhook that is down is asked whether it is back: by one delivery, again and again, while the others
// are parked without attempts.
type probe struct {
	// task makes the probes; nil: whatever is first in line will. Its schedule goes on as if it were not: a step is used
	// up only by an attempt at or after its due time.
	task  *task
	pause time.Duration // before jitter
	at    time.Time     // of the next one
	// givingUp says that deliveries are too old to be waited with: very many of them may be behind those in memory.
	givingUp bool
}

// goDown makes a webhook down whose delivery t has just failed.
func (s *scheduler) goDown(l *lane, t *task, now time.Time) {
	s.log.Warn("a webhook is down; one delivery probes it", "webhook", l.webhook.ID, "failures", l.failures)
	l.probe = &probe{task: t, pause: shortestPause}
	s.metrics.down.Inc()
	l.ailing, l.since = true, now
	s.setHealth(l, now)
	s.pauseProbe(l, now)
	// What is not needed for probes waits in the store: there can be very many webhooks that are down, for very long.
	for _, q := range [...]*fifo[*task]{&l.fresh, &l.backlog, &l.retries} {
		for _, parked := range q.cut(lookAheadDown) {
			if parked.phase == queued {
				s.retire(parked, now)
				l.expect(now)
			}
		}
	}
}

// pauseProbe sets when the next probe is made.
func (s *scheduler) pauseProbe(l *lane, now time.Time) {
	p := l.probe
	p.at = now.Add(time.Duration(float64(p.pause) * (1 - event.RetryJitter + 2*event.RetryJitter*s.random())))
	p.pause = min(2*p.pause, longestPause)
}

// comeUp ends a webhook's being down: it begins anew, with a small window.
func (s *scheduler) comeUp(l *lane, now time.Time) {
	p := l.probe
	l.probe = nil
	if p != nil {
		s.metrics.down.Dec()
	}
	round := l.window.round + 1 // what is in flight says nothing about the new window
	l.window = newWindow(l.webhook.MaxInFlight)
	l.window.round = round
	l.since = now
	if p != nil && p.task != nil && p.task.phase == queued {
		// Its row is in the store, pending, and due when its schedule says.
		s.retire(p.task, now)
		l.expect(latest(p.task.due, now))
	}
}

// scheduleBegan returns about when the schedule began of which a delivery has used so many steps and is due for the next:
// when its event was accepted, or when somebody made it pending again.
func scheduleBegan(w *event.Webhook, step int, due time.Time) time.Time {
	for _, d := range w.Retry[:min(step, len(w.Retry))] {
		due = due.Add(-d)
	}
	return due
}

// patience is how long a delivery waits behind a webhook that is down, from when its schedule began: as long as if all of
// it had been used up, and at least as long as to have a probe made before it.
func patience(w *event.Webhook) time.Duration {
	sum := time.Duration(0)
	for _, d := range w.Retry {
		sum += d
	}
	return max(sum, longestPause)
}

// oldestGivesUp returns when the oldest delivery that waits in memory behind a down webhook gives up; zero: none waits.
func (l *lane) oldestGivesUp() time.Time {
	var at time.Time
	for _, q := range [...]*fifo[*task]{&l.urgent, &l.fresh, &l.backlog, &l.retries} {
		skipDropped(q)
		if q.len() > 0 && (at.IsZero() || q.at(0).began.Before(at)) {
			at = q.at(0).began
		}
	}
	if at.IsZero() {
		return at
	}
	return at.Add(patience(l.webhook))
}

// giveUpParked fails deliveries that have waited too long behind a down webhook.
func (s *scheduler) giveUpParked(l *lane, now time.Time) {
	before := now.Add(-patience(l.webhook))
	given := 0
	for _, q := range [...]*fifo[*task]{&l.urgent, &l.fresh, &l.backlog, &l.retries} {
		for skipDropped(q); q.len() > 0 && !q.at(0).began.After(before); skipDropped(q) {
			if given++; given > giveUpAtOnce {
				l.probe.givingUp = true
				s.touch(l, now)
				return
			}
			t, _ := q.pop()
			s.unhold(t)
			l.set(t, settling)
			s.addSettlement(settlement{t, store.Settlement{
				ID: t.id, Tenant: t.tenant, OrderKey: t.key, State: event.Failed, Reason: event.ReasonExhausted, Step: t.step,
				Announce: s.announceFailed(t, event.ReasonExhausted, nil),
			}}, now)
		}
	}
	l.probe.givingUp = given > 0
	if given > 0 {
		s.log.Warn("deliveries were given up behind a webhook that is down", "webhook", l.webhook.ID, "deliveries", given)
	}
}
