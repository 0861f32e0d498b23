package dispatch

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// finished is an attempt that was made, or could not be for want of its event.
type finished struct {
	task *task
	Response
	err error // the event cannot be read
}

// start makes an attempt.
func (s *scheduler) start(ctx context.Context, workers *sync.WaitGroup, t *task) {
	ev := t.ev
	s.unhold(t)
	t.phase = inFlight
	t.lane.inFlight++
	s.inFlight++
	s.metrics.inFlight.Set(float64(s.inFlight))
	request := Request{Webhook: t.lane.webhook, Event: ev, Attempt: t.attempts + 1, Whole: t.wait != nil && t.wait.awaited()}
	workers.Go(func() {
		if request.Event == nil {
			var err error
			if request.Event, err = s.store.EventAt(ctx, t.id.Event); err != nil {
				s.finished <- finished{task: t, err: err}
				return
			}
		}
		s.finished <- finished{task: t, Response: s.sender.Send(ctx, request)}
	})
}

// finish decides what an attempt's result means for its delivery.
func (s *scheduler) finish(f finished, now time.Time) {
	t, l := f.task, f.task.lane
	l.inFlight--
	s.inFlight--
	s.metrics.inFlight.Set(float64(s.inFlight))
	defer func() { s.touch(l, now) }()

	var gone *store.GoneError
	switch {
	case errors.Is(f.err, store.ErrNotFound) || errors.As(f.err, &gone):
		// Retention removed the event, and with it what was owed; the store leaves a settlement of it out.
		s.floor.recorded(t)
		s.tellWait(t, true)
		l.release(t)
		s.forget(l)
		return
	case f.Interrupted || f.err != nil && s.stopping:
		return // the log or its row keeps it owed
	case f.err != nil:
		s.log.Error("an event cannot be read; its delivery waits", "delivery", t.id, "error", f.err)
		t.phase = overflow
		if t.track != nil || t.spilling {
			s.spill(t, now)
			return
		}
		l.release(t)
		l.expect(now.Add(loadRetry))
		return
	}

	attempt := f.Attempt
	s.metrics.attempts[attempt.Outcome].Inc()
	s.metrics.seconds.Observe(attempt.Duration.Seconds())
	result := settlement{t, store.Settlement{ID: t.id, Tenant: t.tenant, Attempt: &attempt, Step: t.step + 1}}
	claimed := t.wait != nil && t.wait.claim(f.Answer)
	answered := attempt.Outcome.Answered() || f.TooLarge // else a status may stand there that came without the rest
	switch {
	case answered && attempt.Status >= 200 && attempt.Status < 300:
		result.State = event.Delivered
	case answered && attempt.Status == 410:
		result.State, result.Reason, result.Disable = event.Failed, event.ReasonGone, event.DisabledGone
		l.gone = true
		s.metrics.disabled.Inc()
		s.log.Warn("a webhook answered 410 Gone and is disabled", "webhook", l.webhook.ID)
	case claimed:
		result.State, result.Reason = event.Failed, event.ReasonAnswered
	default:
		due, again := l.webhook.Retry.Next(t.step+1, now, s.random(), f.RetryAfter)
		if again {
			// Times are stored in milliseconds, and an attempt is never early.
			result.State, result.Due = event.Pending, due.Truncate(event.Precision).Add(event.Precision)
			s.metrics.retries.Inc()
		} else {
			result.State, result.Reason = event.Failed, event.ReasonExhausted
			s.log.Warn("a delivery has used up its schedule", "delivery", t.id, "webhook", l.webhook.ID,
				"outcome", attempt.Outcome, "status", attempt.Status, "error", f.Err)
		}
	}
	if result.State == event.Pending && (t.canceled || !l.open()) {
		result.State, result.Reason, result.Due = event.Canceled, event.ReasonByHand, time.Time{}
		if !l.open() {
			result.Reason = l.callOffReason()
		}
	}
	if t.reopened && result.State != event.Delivered && result.Disable == "" && !claimed {
		result.State, result.Reason, result.Step, result.Due = event.Pending, "", 0, now
	}
	if answered && (attempt.Status == 429 || attempt.Status == 503) && f.RetryAfter > 0 {
		l.gate = latest(l.gate, now.Add(min(f.RetryAfter, event.MaxRetryAfter)))
	}
	if s.debug {
		s.log.Debug("attempt", "delivery", t.id, "webhook", l.webhook.ID, "attempt", attempt.Number, "outcome", attempt.Outcome,
			"status", attempt.Status, "duration", attempt.Duration, "state", result.State, "error", f.Err)
	}
	t.phase = settling
	s.addSettlement(result, now)
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
