package dispatch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/carillon/carillon/event"
)

// The rule by which a webhook that nobody looks after is disabled: so many failures over so long, and no success between.
const (
	disableAfter    = 5 * 24 * time.Hour
	disableFailures = 10
)

// WebhookState is how a webhook is doing, in a word.
type WebhookState string

// The states of a webhook.
const (
	StateActive    WebhookState = "active"
	StateThrottled WebhookState = "throttled" // it asked for a pause with Retry-After
	StateDown      WebhookState = "down"      // only probes are sent
	StateDisabled  WebhookState = "disabled"
)

// Health is how a webhook is doing.
type Health struct {
	State WebhookState
	Why   string    // in words; empty where the state says it all
	Since time.Time // when it came into the state; zero: since the start, or never known

	Window      int // how many attempts may be under way at once, as found out; at most MaxInFlight
	MaxInFlight int
	InFlight    int
	GatedUntil  time.Time // throttled: until then
	NextProbe   time.Time // down: when the next one is made

	Failures     int // in a row
	FailingSince time.Time

	Backlog           int64 // deliveries that are pending
	OldestUndelivered time.Time

	// Of the attempts since MeasuredSince: ten to twenty minutes, in memory alone.
	MeasuredSince       time.Time
	Attempts, Successes int64
	P50, P99            time.Duration // of an attempt, a sixth too long at most

	// Since the start, in memory alone.
	TransformErrors      int64 // events on which the transform failed
	LastTransformError   string
	LastTransformErrorAt time.Time

	FilterErrors      int64 // events on which the filter failed, since the start
	LastFilterError   string
	LastFilterErrorAt time.Time
}

// healthAsk is a question to the scheduler.
type healthAsk struct {
	webhook event.ID
	answer  chan Health
}

// Health tells how a webhook is doing. It waits for the scheduler, which answers while Run is running.
func (d *Dispatcher) Health(ctx context.Context, w *event.Webhook) (Health, error) {
	ask := healthAsk{w.ID, make(chan Health, 1)}
	var h Health
	select {
	case d.asks <- ask:
		h = <-ask.answer
	case <-ctx.Done():
		return Health{}, fmt.Errorf("asking how a webhook is doing: %w", ctx.Err())
	}
	waiting, err := d.store.Waiting(ctx, w.ID)
	if err != nil {
		return Health{}, fmt.Errorf("counting what a webhook is owed: %w", err)
	}
	h.Backlog += waiting.Deliveries
	if !waiting.Oldest.IsZero() && (h.OldestUndelivered.IsZero() || waiting.Oldest.Before(h.OldestUndelivered)) {
		h.OldestUndelivered = waiting.Oldest
	}
	h.MaxInFlight = w.MaxInFlight
	if !w.Enabled {
		h.State, h.Why, h.Since = StateDisabled, disabledWhy(w.DisabledReason), w.UpdatedAt
	}
	h.FilterErrors, h.LastFilterError, h.LastFilterErrorAt = d.matcher.filterErrors(w.ID)
	return h, nil
}

func disabledWhy(r event.DisabledReason) string {
	switch r {
	case event.DisabledGone:
		return "it answered 410 Gone"
	case event.DisabledFailing:
		return fmt.Sprintf("it failed at least %d times over %d days, without a success between", disableFailures, disableAfter/(24*time.Hour))
	}
	return "somebody disabled it"
}

// downWhy says what the attempts of a down webhook end with.
func downWhy(o event.Outcome) string {
	switch o {
	case event.ErrAuth:
		return "its token endpoint gives no token (auth)"
	case event.ErrStatus5xx, event.ErrThrottled:
		return fmt.Sprintf("it says that it cannot take more (%s)", o)
	case event.NoOutcome:
		return "it was down before the gateway was started again"
	}
	return fmt.Sprintf("it does not answer (%s)", o)
}

// transformFailures is how a webhook's transform has failed since the start.
type transformFailures struct {
	events int64
	last   string
	lastAt time.Time
	told   time.Time
}

// transformFailed counts a failure, shows it on the webhook and logs it now and then.
func (s *scheduler) transformFailed(t *task, err error, now time.Time) {
	f := &t.lane.transforms
	f.events++
	f.last, f.lastAt = "", now
	if failed, ok := errors.AsType[*TransformError](err); ok {
		f.last = failed.Err.Error()
	}
	if now.Sub(f.told) >= complainEvery {
		f.told = now
		s.log.Warn("a webhook's transform failed on an event; its delivery has failed", "delivery", t.id, "error", err, "events", f.events)
	}
}

// healthNow answers for a lane, of what is in memory. Deliveries with a row are the store's to count.
func (s *scheduler) healthNow(webhook event.ID, now time.Time) Health {
	h := Health{State: StateActive}
	l := s.lanes[webhook]
	if l == nil {
		return h
	}
	h.Since, h.Window, h.InFlight = l.since, l.window.limit(), l.inFlight
	h.Failures, h.FailingSince = l.failures, l.failingSince
	switch {
	case l.probe != nil:
		h.State, h.NextProbe = StateDown, l.probe.at
		h.Why = downWhy(l.lastError) + "; one delivery at a time probes it"
	case l.gate.After(now):
		h.State, h.GatedUntil = StateThrottled, l.gate
		h.Why = "it answered 429 or 503 and asked for a pause"
	case l.window.steady && l.window.limit() < l.window.ceiling:
		h.Why = "failures have narrowed its window; it widens as attempts succeed"
	}
	h.TransformErrors, h.LastTransformError, h.LastTransformErrorAt = l.transforms.events, l.transforms.last, l.transforms.lastAt
	for _, t := range l.held {
		if t.track == nil || t.phase == settling {
			continue
		}
		h.Backlog++
		if h.OldestUndelivered.IsZero() || t.accepted.Before(h.OldestUndelivered) {
			h.OldestUndelivered = t.accepted
		}
	}
	if r := l.record; r != nil {
		r.turn(now)
		h.MeasuredSince = r.before.from
		h.Attempts = int64(r.now.attempts) + int64(r.before.attempts)
		h.Successes = int64(r.now.successes) + int64(r.before.successes)
		h.P50, h.P99 = r.quantile(.5), r.quantile(.99)
	}
	return h
}

// judge notes for the webhook's health what came of an attempt, and returns why the webhook is to be disabled for it;
// empty: it is not.
func (s *scheduler) judge(l *lane, a *event.Attempt, success bool, now time.Time) event.DisabledReason {
	if l.record == nil {
		l.record = &record{now: half{from: now}, before: half{from: now}}
	}
	l.record.add(now, success, a.Duration)
	if success {
		passed := !l.gate.IsZero() && !l.gate.After(now)
		if l.failures > 0 || l.ailing || passed {
			l.failures, l.failingSince, l.ailing = 0, time.Time{}, false
			if passed {
				l.gate = time.Time{}
			}
			s.setHealth(l, now)
		}
		return ""
	}
	l.lastError = a.Outcome
	if l.failures++; l.failures == 1 {
		l.failingSince = a.At
	}
	// More failures than the rule asks for change nothing.
	if l.failures <= disableFailures {
		s.setHealth(l, now)
	}
	if l.failures >= disableFailures && now.Sub(l.failingSince) >= disableAfter {
		return event.DisabledFailing
	}
	return ""
}

// beginAnew forgets how a webhook was doing: it was enabled again, or leads to another receiver.
func (s *scheduler) beginAnew(l *lane, now time.Time) {
	s.comeUp(l, now)
	l.era++
	l.gate, l.record = time.Time{}, nil
	l.failures, l.failingSince, l.ailing = 0, time.Time{}, false
	s.setHealth(l, now)
}
