package api

import (
	"cmp"
	"errors"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// patchTries is how often a patch is tried that loses against changes which the engine makes by itself, or another node.
const patchTries = 10

// turnAt waits until no other request changes the webhook, and returns the webhook as it is then.
func (a *API) turnAt(r *http.Request, id event.ID) (_ *event.Webhook, end func(), _ *problem) {
	end, err := a.changing.lock(r.Context(), id)
	if err != nil {
		return nil, nil, a.readProblem(r, "waiting to change a webhook", err)
	}
	hook, err := a.managedWebhook(r, id)
	if err != nil {
		end()
		return nil, nil, a.readProblem(r, "reading a webhook", err)
	}
	return hook, end, nil
}

// change lets nobody else change a webhook while edit does. edit is given the webhook as it is and a copy of it to write
// to, whose maps and slices it must leave as they are; more than once where the engine was quicker, which changes
// webhooks by itself. Nothing is stored where edit has changed nothing, or returns a problem. edit must not wait for
// anybody: a webhook can be disabled and deleted at any time.
func (a *API) change(r *http.Request, id event.ID, edit func(old, w *event.Webhook) *problem) (*event.Webhook, *problem) {
	hook, end, p := a.turnAt(r, id)
	if p != nil {
		return nil, p
	}
	defer end()
	for range patchTries {
		if p := checkMatch(r, hook); p != nil {
			return nil, p
		}
		// Others read the webhook that the engine gave: a copy is changed.
		changed := *hook
		if p := edit(hook, &changed); p != nil {
			return nil, p
		}
		if sameSettings(&changed, hook) {
			return hook, nil
		}
		err := a.store.UpdateWebhook(r.Context(), &changed)
		if err == nil {
			return &changed, nil
		}
		if !errors.Is(err, store.ErrConflict) {
			return nil, a.storeProblem(r, "changing a webhook", err)
		}
		if hook, err = a.managedWebhook(r, hook.ID); err != nil {
			return nil, a.readProblem(r, "reading a webhook", err)
		}
	}
	return nil, &problem{kind: kindConflict, retryAfter: 1, detail: "The webhook is being changed too often at the moment; try again."}
}

// sameSettings reports whether an edit that made a of b has changed nothing. Then nothing is written, and the version
// stays what it is.
func sameSettings(a, b *event.Webhook) bool {
	return a.URL == b.URL && slices.Equal(a.Topics, b.Topics) && a.Secret == b.Secret && slices.Equal(a.Retry, b.Retry) &&
		a.Timeout == b.Timeout && a.MaxInFlight == b.MaxInFlight && a.Description == b.Description &&
		maps.Equal(a.Metadata, b.Metadata) && a.Enabled == b.Enabled && a.DisabledReason == b.DisabledReason &&
		a.Filter == b.Filter && a.Transform == b.Transform && a.Handshake == b.Handshake &&
		cmp.Or(a.Format, event.FormatRaw) == cmp.Or(b.Format, event.FormatRaw) && maps.Equal(a.Headers, b.Headers) &&
		reflect.DeepEqual(a.Auth, b.Auth) && signingOf(a) == signingOf(b) && a.RateLimit == b.RateLimit &&
		cmp.Or(a.Order, event.OrderNone) == cmp.Or(b.Order, event.OrderNone) && slices.Equal(a.OldSecrets, b.OldSecrets)
}

// checkMatch holds a request's If-Match (RFC 9110, section 13.1.1) against the webhook as it is.
func checkMatch(r *http.Request, hook *event.Webhook) *problem {
	given := r.Header.Values("If-Match")
	if len(given) == 0 {
		return nil
	}
	for tag := range strings.SplitSeq(strings.Join(given, ","), ",") {
		if tag = strings.TrimSpace(tag); tag == "*" || tag == webhookTag(hook) {
			return nil
		}
	}
	return kindPrecondition.is("The webhook's ETag is %s now.", webhookTag(hook))
}
