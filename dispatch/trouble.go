package dispatch

import (
	"context"
	"fmt"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// TroubleKind is what is wrong with a webhook, in a word.
type TroubleKind string

// The kinds of trouble.
const (
	TroubleDisabled TroubleKind = "disabled" // nothing is sent
	TroubleDown     TroubleKind = "down"     // only probes are sent
	TroubleFailing  TroubleKind = "failing"  // its newest attempts failed
	TroubleLagging  TroubleKind = "lagging"  // deliveries wait for their first attempt for longer than a minute
)

const (
	// A webhook that is not down is said to fail after so many failures in a row, or some time after the first of them.
	failingAfter     = 3
	failingForAWhile = time.Minute
	// maxTroubles bounds how many are told of a tenant.
	maxTroubles = 1000
)

// Trouble is a webhook that needs looking after.
type Trouble struct {
	Webhook event.ID
	Kind    TroubleKind // the worst, if there are several
	Since   time.Time   // zero: not known
	ByHand  bool        // somebody disabled it
	Why     string      // in words
}

// troubleAsk is a question to the scheduler.
type troubleAsk struct {
	tenant event.TenantID
	answer chan []Trouble
}

// Troubles tells which of a tenant's webhooks need looking after, in no order, and not all of them where there are more
// than 1000. It waits for the scheduler, which answers while Run is running.
func (d *Dispatcher) Troubles(ctx context.Context, tenant event.TenantID) ([]Trouble, error) {
	ask := troubleAsk{tenant, make(chan []Trouble, 1)}
	select {
	case d.troubles <- ask:
		return <-ask.answer, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("asking which webhooks need looking after: %w", ctx.Err())
	}
}

// review remembers a webhook for as long as there may be something wrong with it.
func (s *scheduler) review(l *lane) {
	tenant := l.webhook.Tenant
	sound := l.health() == store.Health{Webhook: l.webhook.ID} && l.lateSince.IsZero()
	if !l.deleted && (!l.webhook.Enabled || !sound) {
		if s.ailing[tenant] == nil {
			s.ailing[tenant] = make(map[*lane]struct{})
		}
		s.ailing[tenant][l] = struct{}{}
		return
	}
	delete(s.ailing[tenant], l)
	if len(s.ailing[tenant]) == 0 {
		delete(s.ailing, tenant)
	}
}

// troublesNow answers for a tenant.
func (s *scheduler) troublesNow(tenant event.TenantID, now time.Time) []Trouble {
	var found []Trouble
	for l := range s.ailing[tenant] {
		if len(found) == maxTroubles {
			break
		}
		if t, ok := l.trouble(now); ok {
			found = append(found, t)
		}
	}
	return found
}

// trouble says what is wrong with a webhook, if something is.
func (l *lane) trouble(now time.Time) (Trouble, bool) {
	t := Trouble{Webhook: l.webhook.ID}
	switch {
	case l.deleted:
		return t, false
	case !l.webhook.Enabled:
		t.Kind, t.Since, t.Why = TroubleDisabled, l.webhook.UpdatedAt, disabledWhy(l.webhook.DisabledReason)
		t.ByHand = l.webhook.DisabledReason == event.DisabledByHand
	case l.probe != nil:
		t.Kind, t.Since, t.Why = TroubleDown, l.since, downWhy(l.lastError)
		if t.Since.IsZero() {
			t.Since = l.failingSince // it was down before the start
		}
	case l.failures >= failingAfter || l.failures > 0 && now.Sub(l.failingSince) >= failingForAWhile:
		t.Kind, t.Since = TroubleFailing, l.failingSince
		t.Why = fmt.Sprintf("its last attempts failed, %d in a row", l.failures)
		if l.lastError != event.NoOutcome {
			t.Why += fmt.Sprintf(" (%s)", l.lastError)
		}
	case !l.lateSince.IsZero():
		t.Kind, t.Since = TroubleLagging, l.lateSince
		t.Why = fmt.Sprintf("about %d deliveries wait, the oldest for its first attempt", l.owed)
		if l.gate.After(now) {
			t.Why += "; it asked for a pause with Retry-After"
		}
	default:
		return t, false
	}
	return t, true
}
