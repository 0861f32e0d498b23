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
	l, ev := t.lane, t.ev
	s.unhold(t)
	l.set(t, inFlight)
	t.era, t.round = l.era, l.window.round
	l.inFlight++
	if t.retry() {
		l.retrying++
	}
	s.inFlight++
	s.metrics.inFlight.Set(float64(s.inFlight))
	request := Request{
		Webhook: l.webhook, Event: ev, Attempt: t.attempts + 1, Replay: t.replay, Whole: t.wait != nil && t.wait.awaited(),
	}
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

// finish decides what an attempt's result means for its delivery and its webhook.
func (s *scheduler) finish(f finished, now time.Time) {
	t, l := f.task, f.task.lane
	inFlightThen := l.inFlight
	l.inFlight--
	if t.retry() {
		l.retrying--
	}
	s.inFlight--
	s.metrics.inFlight.Set(float64(s.inFlight))
	defer func() { s.settleDown(l, now) }()

	var gone *store.GoneError
	switch {
	case errors.Is(f.err, store.ErrNotFound) || errors.As(f.err, &gone):
		// Retention removed the event, and with it what was owed; the store leaves a settlement of it out.
		s.floor.recorded(t)
		s.tellWait(t, true)
		s.leave(t, now)
		return
	case f.Interrupted || f.err != nil && s.stopping:
		return // the log or its row keeps it owed
	case f.err != nil:
		s.log.Error("an event cannot be read; its delivery waits", "delivery", t.id, "error", f.err)
		s.retire(t, now)
		l.expect(now.Add(loadRetry))
		return
	}

	result := settlement{t, store.Settlement{ID: t.id, Tenant: t.tenant, OrderKey: t.key, Step: t.step}}
	if f.Refused != "" {
		result.State, result.Reason = event.Failed, f.Refused
		result.Announce = s.announceFailed(t, f.Refused, nil)
		s.transformFailed(t, f.Err, now)
	} else {
		s.judgeAttempt(&result, f, inFlightThen, now)
	}
	l.set(t, settling)
	s.addSettlement(result, now)
}

// judgeAttempt says what becomes of a delivery, and of its webhook's window and health, by an attempt.
func (s *scheduler) judgeAttempt(result *settlement, f finished, inFlightThen int, now time.Time) {
	t, l, attempt := f.task, f.task.lane, f.Attempt
	s.metrics.attempts[attempt.Outcome].Inc()
	s.metrics.seconds.Observe(attempt.Duration.Seconds())
	result.Attempt = &attempt
	early := now.Before(t.due) // a probe, whose schedule does not ask for an attempt yet
	if !early {
		result.Step++
	}
	claimed := t.wait != nil && t.wait.claim(f.Answer)
	answered := attempt.Outcome.Answered() || f.TooLarge // else a status may stand there that came without the rest
	success := answered && attempt.Status >= 200 && attempt.Status < 300
	current := l.open() && t.era == l.era // else it says nothing about the webhook as it is now
	if success && l.ailing && current {
		if ev := s.announceRecovered(t); ev != nil {
			s.pending.announced = append(s.pending.announced, ev)
		}
		s.log.Info("a webhook has recovered", "webhook", l.webhook.ID, "failing_since", l.failingSince)
	}
	if current {
		if disable := s.judge(l, &attempt, success, now); disable != "" {
			result.Disable = disable
		}
	}
	switch {
	case success:
		result.State = event.Delivered
	case answered && attempt.Status == 410 && (current || !l.open()):
		result.State, result.Reason, result.Disable = event.Failed, event.ReasonGone, event.DisabledGone
	case claimed:
		result.State, result.Reason = event.Failed, event.ReasonAnswered
	case early:
		result.State, result.Due = event.Pending, t.due
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
	if result.State == event.Failed && result.Reason != event.ReasonAnswered {
		result.Announce = s.announceFailed(t, result.Reason, &attempt)
	}
	if result.Disable != "" && l.open() {
		l.disabling = true
		result.AnnounceDisabled = s.announceDisabled(t, result.Disable, &attempt)
		s.metrics.disabled.Inc()
		s.log.Warn("a webhook is disabled", "webhook", l.webhook.ID, "why", disabledWhy(result.Disable))
	}
	if current && answered && (attempt.Status == 429 || attempt.Status == 503) && f.RetryAfter > 0 {
		if until := now.Add(min(f.RetryAfter, event.MaxRetryAfter)); until.After(l.gate) {
			l.gate = until
			s.setHealth(l, now)
		}
	}
	t.attempts = max(t.attempts, attempt.Number)
	if current {
		s.pace(t, success, attempt.Outcome, inFlightThen, result.Due, now)
	}
	if s.debug {
		s.log.Debug("attempt", "delivery", t.id, "webhook", l.webhook.ID, "attempt", attempt.Number, "outcome", attempt.Outcome,
			"status", attempt.Status, "duration", attempt.Duration, "state", result.State, "error", f.Err)
	}
}

// pace moves the webhook's window by an attempt, and finds out whether it is down, or up again.
func (s *scheduler) pace(t *task, success bool, outcome event.Outcome, inFlightThen int, due, now time.Time) {
	l := t.lane
	switch {
	case !overload(outcome):
		if l.probe != nil {
			s.comeUp(l, now)
		}
		if success {
			l.window.succeeded(inFlightThen)
		} else {
			l.window.answered()
		}
	case l.probe != nil:
		if l.probe.task == nil && !due.IsZero() {
			l.probe.task = t
		}
		s.pauseProbe(l, now)
	case l.window.failed(t.round):
		if due.IsZero() {
			t = nil // it has ended
		}
		s.goDown(l, t, now)
	}
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
