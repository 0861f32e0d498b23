package api

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/carillon/carillon/dispatch"
	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

const (
	// maxConcerns is how many webhooks are listed that need attention.
	maxConcerns = 50
	// concernsKept is for how long a tenant's concerns are not looked for again, and concernsOf of how many tenants they
	// are kept.
	concernsKept = 5 * time.Second
	concernsOf   = 64
	// deadFor is how far back failed deliveries are looked at, and deadLetters how many of the newest.
	deadFor     = 24 * time.Hour
	deadLetters = 500
)

// concernDocument is a webhook that needs attention.
type concernDocument struct {
	Webhook event.ID `json:"webhook"`
	Problem string   `json:"problem"`
	Since   stamp    `json:"since"`
	Detail  string   `json:"detail"`
}

// concern is a webhook with the worst that is wrong with it.
type concern struct {
	concernDocument
	weight int // the worst first
}

// The order of what is wrong. What somebody has done himself is no news.
const (
	weightDisabled = iota
	weightDown
	weightFailing
	weightLagging
	weightDead
	weightByHand
)

// concerns remembers for a moment what needs attention, so that whoever asks often does not have the scheduler and the
// store asked as often.
type concerns struct {
	turn  chan struct{} // holds one while somebody looks
	known map[event.TenantID]knownConcerns
}

type knownConcerns struct {
	at   time.Time
	list []concern // the worst first
}

func newConcerns() concerns {
	return concerns{turn: make(chan struct{}, 1), known: make(map[event.TenantID]knownConcerns)}
}

// attention lists what the request's tenant should look at.
func (a *API) attention(r *http.Request) ([]concernDocument, *problem) {
	ctx, end := a.waits.begin(r.Context(), healthWait)
	defer end()
	list, err := a.concernsOf(ctx, tenantOf(r))
	if err != nil && ctx.Err() != nil {
		return nil, &problem{kind: kindUnavailable, retryAfter: 1, detail: "The gateway's deliveries are starting, stopping or very busy."}
	}
	if err != nil {
		return nil, a.readProblem(r, "asking what needs attention", err)
	}
	shown := make([]concernDocument, 0, min(len(list), maxConcerns))
	for _, c := range list {
		if len(shown) == maxConcerns {
			break
		}
		if _, err := a.managedWebhook(r, c.Webhook); err == nil { // else deleted, or not for this key
			shown = append(shown, c.concernDocument)
		}
	}
	return shown, nil
}

// concernsOf looks for what is wrong in a tenant, unless that was done a moment ago.
func (a *API) concernsOf(ctx context.Context, tenant event.TenantID) ([]concern, error) {
	select {
	case a.concerns.turn <- struct{}{}:
		defer func() { <-a.concerns.turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for others who ask: %w", ctx.Err())
	}
	now := time.Now()
	if known, ok := a.concerns.known[tenant]; ok && now.Sub(known.at) < concernsKept {
		return known.list, nil
	}
	list, err := a.findConcerns(ctx, tenant, now)
	if err != nil {
		return nil, err
	}
	if len(a.concerns.known) >= concernsOf {
		clear(a.concerns.known)
	}
	a.concerns.known[tenant] = knownConcerns{now, list}
	return list, nil
}

func (a *API) findConcerns(ctx context.Context, tenant event.TenantID, now time.Time) ([]concern, error) {
	troubles, err := a.dispatch.Troubles(ctx, tenant)
	if err != nil {
		return nil, err
	}
	failed := event.Failed
	dead, err := a.store.ListDeliveries(ctx, tenant, store.DeliveryFilter{State: &failed, Since: now.Add(-deadFor)}, store.Page{Limit: deadLetters})
	if err != nil {
		return nil, err
	}
	worst := make(map[event.ID]concern)
	add := func(c concern) {
		if known, ok := worst[c.Webhook]; !ok || c.weight < known.weight {
			worst[c.Webhook] = c
		}
	}
	for _, t := range troubles {
		add(concern{concernDocument{t.Webhook, string(t.Kind), stamp(t.Since), t.Why}, weightOf(t)})
	}
	for _, c := range deadLettersBy(dead) {
		add(c)
	}
	list := make([]concern, 0, len(worst))
	for _, c := range worst {
		list = append(list, c)
	}
	slices.SortFunc(list, func(x, y concern) int {
		return cmp.Or(cmp.Compare(x.weight, y.weight), time.Time(x.Since).Compare(time.Time(y.Since)),
			slices.Compare(x.Webhook[:], y.Webhook[:]))
	})
	return list, nil
}

func weightOf(t dispatch.Trouble) int {
	switch t.Kind {
	case dispatch.TroubleDown:
		return weightDown
	case dispatch.TroubleFailing:
		return weightFailing
	case dispatch.TroubleLagging:
		return weightLagging
	}
	if t.ByHand {
		return weightByHand
	}
	return weightDisabled
}

// deadLettersBy counts failed deliveries by webhook.
func deadLettersBy(dead store.List[event.Delivery]) (list []concern) {
	type letters struct {
		n     int
		first time.Time
	}
	by := make(map[event.ID]letters)
	for _, d := range dead.Data {
		of := by[d.ID.Webhook]
		of.n++
		if of.first.IsZero() || d.EndedAt.Before(of.first) {
			of.first = d.EndedAt
		}
		by[d.ID.Webhook] = of
	}
	for hook, of := range by {
		detail := fmt.Sprintf("of the events of the last 24 hours, %d could not be delivered", of.n)
		if dead.Next != "" {
			detail = fmt.Sprintf("of the newest events, at least %d could not be delivered", of.n)
		}
		list = append(list, concern{concernDocument{hook, "dead-letters", stamp(of.first), detail}, weightDead})
	}
	return list
}
