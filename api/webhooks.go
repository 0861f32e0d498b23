package api

import (
	"cmp"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/carillon/carillon/dispatch"
	"github.com/carillon/carillon/event"
)

// webhookDocument is a webhook as the API shows it: never with a secret.
type webhookDocument struct {
	ID              event.ID           `json:"id"`
	URL             string             `json:"url"`
	Topics          []event.Pattern    `json:"topics"`
	Enabled         bool               `json:"enabled"`
	DisabledReason  *string            `json:"disabled_reason"`
	Filter          *string            `json:"filter"`
	Transform       *string            `json:"transform"`
	Format          event.Format       `json:"format"`
	Headers         map[string]string  `json:"headers"`
	Auth            *authDocument      `json:"auth"`
	Signing         event.Signing      `json:"signing"`
	PublicKey       *string            `json:"public_key"`
	OldSecretsUntil []stamp            `json:"old_secrets_until"`
	Retry           retryDocument      `json:"retry"`
	Timeout         span               `json:"timeout"`
	MaxInFlight     int                `json:"max_in_flight"`
	RateLimit       *rateLimitDocument `json:"rate_limit"`
	Order           event.Order        `json:"order"`
	Handshake       bool               `json:"handshake"`
	Description     string             `json:"description"`
	Metadata        map[string]string  `json:"metadata"`
	CreatedAt       stamp              `json:"created_at"`
	UpdatedAt       stamp              `json:"updated_at"`
}

type retryDocument struct {
	Schedule []span `json:"schedule"`
}

// webhookWithSecret is the one answer that shows a secret: after it was made.
type webhookWithSecret struct {
	webhookDocument
	Secret string `json:"secret,omitempty"`
}

func showWebhook(w *event.Webhook) webhookDocument {
	doc := webhookDocument{
		ID: w.ID, URL: w.URL, Topics: w.Topics, Enabled: w.Enabled, DisabledReason: orNull(w.DisabledReason),
		Filter: orNull(w.Filter), Transform: orNull(w.Transform), Format: cmp.Or(w.Format, event.FormatRaw),
		Headers: showHeaders(w.Headers), Auth: showAuth(&w.Auth),
		Signing: signingOf(w), PublicKey: publicKey(w), OldSecretsUntil: overlapsUntil(w, time.Now()),
		Retry: retryDocument{make([]span, len(w.Retry))}, Timeout: span(w.Timeout), MaxInFlight: w.MaxInFlight,
		RateLimit: showRateLimit(w.RateLimit), Order: cmp.Or(w.Order, event.OrderNone), Handshake: w.Handshake,
		Description: w.Description, Metadata: w.Metadata, CreatedAt: stamp(w.CreatedAt), UpdatedAt: stamp(w.UpdatedAt),
	}
	for i, d := range w.Retry {
		doc.Retry.Schedule[i] = span(d)
	}
	if doc.Metadata == nil {
		doc.Metadata = map[string]string{}
	}
	return doc
}

const webhookPath = "/v1/webhooks/"

// webhookTag is the entity tag of a webhook: its version.
func webhookTag(w *event.Webhook) string { return strconv.Quote(strconv.FormatInt(w.Version, 10)) }

func (a *API) createWebhook(w http.ResponseWriter, r *http.Request) *problem {
	if p := noQuery(r); p != nil {
		return p
	}
	members, p := a.readObject(w, r, "application/json")
	if p != nil {
		return p
	}
	hook := newWebhook()
	hook.ID = event.NewID()
	hook.Tenant = tenantOf(r)
	bad := applyWebhook(hook, members)
	bad = append(bad, a.judgeURL(hook, bad)...)
	bad = append(bad, a.judgeAuth(hook, bad)...)
	if len(bad) > 0 {
		return kindInvalid.in(bad...)
	}
	if p := checkReach(r, hook.Topics, topicField); p != nil {
		return p
	}
	if hook.Secret == "" {
		hook.Secret = newSecret(hook.Signing)
	}
	if hook.Handshake {
		if p := a.shakeHands(r, hook); p != nil {
			return p
		}
	}
	if err := a.store.CreateWebhook(r.Context(), hook); err != nil {
		return a.storeProblem(r, "creating a webhook", err)
	}
	w.Header().Set("Location", webhookPath+hook.ID.String())
	writeSecret(w, http.StatusCreated, hook)
	return nil
}

// writeSecret answers with a webhook whose secret was just made.
func writeSecret(w http.ResponseWriter, status int, hook *event.Webhook) {
	h := w.Header()
	h.Set("Etag", webhookTag(hook))
	h.Set("Cache-Control", "no-store")
	writeJSON(w, status, webhookWithSecret{showWebhook(hook), shownSecret(hook)})
}

// judgeURL asks the guard about a URL of which nothing worse is known.
func (a *API) judgeURL(w *event.Webhook, known []event.FieldError) []event.FieldError {
	if faultIn(known, "url") {
		return nil
	}
	if err := a.cfg.Guard.CheckURL(w.URL); err != nil {
		return []event.FieldError{{Field: "url", Detail: err.Error()}}
	}
	return nil
}

// judgeAuth looks at an auth of which nothing worse is known, and asks the guard about its token endpoint.
func (a *API) judgeAuth(w *event.Webhook, known []event.FieldError) []event.FieldError {
	if faultIn(known, "auth") {
		return nil
	}
	return dispatch.CheckAuth(w.Auth, a.cfg.Guard)
}

// faultIn reports whether a fault of a field, or of a part of it, is known.
func faultIn(known []event.FieldError, field string) bool {
	return slices.ContainsFunc(known, func(err event.FieldError) bool {
		return err.Field == field || strings.HasPrefix(err.Field, field+".")
	})
}

func (a *API) listWebhooks(w http.ResponseWriter, r *http.Request) *problem {
	q := readQuery(r, "limit", "page")
	page := q.page()
	if p := q.problem(); p != nil {
		return p
	}
	list, err := a.store.ListWebhooks(r.Context(), tenantOf(r), page)
	if err != nil {
		return a.readProblem(r, "listing webhooks", err)
	}
	list.Data = slices.DeleteFunc(list.Data, func(hook *event.Webhook) bool { return !manages(r, hook.Topics) })
	writeList(w, list, showWebhook)
	return nil
}

// webhook returns the webhook that the path names.
func (a *API) webhook(r *http.Request) (*event.Webhook, *problem) {
	if p := noQuery(r); p != nil {
		return nil, p
	}
	id, p := pathID(r)
	if p != nil {
		return nil, p
	}
	hook, err := a.managedWebhook(r, id)
	if err != nil {
		return nil, a.readProblem(r, "reading a webhook", err)
	}
	return hook, nil
}

func (a *API) getWebhook(w http.ResponseWriter, r *http.Request) *problem {
	hook, p := a.webhook(r)
	if p != nil {
		return p
	}
	writeWebhook(w, hook)
	return nil
}

func writeWebhook(w http.ResponseWriter, hook *event.Webhook) {
	w.Header().Set("Etag", webhookTag(hook))
	writeJSON(w, http.StatusOK, showWebhook(hook))
}

func (a *API) patchWebhook(w http.ResponseWriter, r *http.Request) *problem {
	hook, p := a.webhook(r)
	if p != nil {
		return p
	}
	// Read before the others are made to wait.
	members, p := a.readObject(w, r, "application/merge-patch+json", "application/json")
	if p != nil {
		return p
	}
	id := hook.ID
	// What the URL's owner is to be asked about, and what it has consented to.
	var wanted, agreed *event.Webhook
	renewed := false
	edit := func(old, w *event.Webhook) *problem {
		bad := applyWebhook(w, members)
		bad = append(bad, checkOrigin(old, w, members, bad)...)
		if w.URL != old.URL {
			bad = append(bad, a.judgeURL(w, bad)...)
		}
		if !reflect.DeepEqual(w.Auth, old.Auth) {
			bad = append(bad, a.judgeAuth(w, bad)...)
		}
		if len(bad) > 0 {
			return kindInvalid.in(bad...)
		}
		if p := checkReach(r, w.Topics, topicField); p != nil {
			return p
		}
		if renewed = w.Secret == ""; renewed {
			w.Secret = newSecret(signingOf(w))
		}
		if needsConsent(old, w) && (agreed == nil || !sameConsent(w, agreed)) {
			wanted = w // in the first turn; in the second there is no more asking
			return &problem{kind: kindConflict, retryAfter: 1,
				detail: "Somebody else changed the webhook while its URL's owner was asked for consent. Nothing of this was changed; try again."}
		}
		return nil
	}
	hook, p = a.change(r, id, edit)
	if wanted != nil {
		// Nobody has to wait for the owner who wants to disable or delete the webhook: it is asked between two turns.
		if p := a.shakeHands(r, wanted); p != nil {
			return p
		}
		agreed = wanted
		hook, p = a.change(r, id, edit)
	}
	switch {
	case p != nil:
		return p
	case renewed:
		writeSecret(w, http.StatusOK, hook)
	default:
		writeWebhook(w, hook)
	}
	return nil
}

// deleteWebhook holds If-Match against the webhook while no other request changes it. What the engine changes by itself
// between the two, or another node, does not keep the webhook.
func (a *API) deleteWebhook(w http.ResponseWriter, r *http.Request) *problem {
	hook, p := a.webhook(r)
	if p != nil {
		return p
	}
	hook, end, p := a.turnAt(r, hook.ID)
	if p != nil {
		return p
	}
	defer end()
	if p := checkMatch(r, hook); p != nil {
		return p
	}
	if err := a.store.DeleteWebhook(r.Context(), tenantOf(r), hook.ID); err != nil {
		return a.storeProblem(r, "deleting a webhook", err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// pingWebhook has one request sent that is in no log, and answers what came back.
func (a *API) pingWebhook(w http.ResponseWriter, r *http.Request) *problem {
	hook, p := a.webhook(r)
	if p != nil {
		return p
	}
	answer := a.dispatch.Ping(r.Context(), hook)
	// Of this answer only as much is read as is kept of any attempt's.
	first := answer.Attempt.Answer
	writeJSON(w, http.StatusOK, showAnswerAs(answer, textOf(first, len(first) == event.MaxAnswerKept)))
	return nil
}
