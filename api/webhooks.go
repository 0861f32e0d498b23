package api

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/sign"
	"github.com/carillon/carillon/store"
)

// webhookDocument is a webhook as the API shows it: never with its secret.
type webhookDocument struct {
	ID             event.ID          `json:"id"`
	URL            string            `json:"url"`
	Topics         []event.Pattern   `json:"topics"`
	Enabled        bool              `json:"enabled"`
	DisabledReason *string           `json:"disabled_reason"`
	Retry          retryDocument     `json:"retry"`
	Timeout        span              `json:"timeout"`
	MaxInFlight    int               `json:"max_in_flight"`
	Description    string            `json:"description"`
	Metadata       map[string]string `json:"metadata"`
	CreatedAt      stamp             `json:"created_at"`
	UpdatedAt      stamp             `json:"updated_at"`
}

type retryDocument struct {
	Schedule []span `json:"schedule"`
}

// createdWebhook is the one answer that shows a secret.
type createdWebhook struct {
	webhookDocument
	Secret string `json:"secret"`
}

func showWebhook(w *event.Webhook) webhookDocument {
	doc := webhookDocument{
		ID: w.ID, URL: w.URL, Topics: w.Topics, Enabled: w.Enabled, DisabledReason: orNull(w.DisabledReason),
		Retry: retryDocument{make([]span, len(w.Retry))}, Timeout: span(w.Timeout), MaxInFlight: w.MaxInFlight,
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
	if bad = append(bad, a.judgeURL(hook, bad)...); len(bad) > 0 {
		return kindInvalid.in(bad...)
	}
	if hook.Secret == "" {
		hook.Secret = event.Secret(sign.NewSecret())
	}
	// The engine may keep the webhook and share it: from here on it is only read.
	secret := hook.Secret.Reveal()
	if err := a.store.CreateWebhook(r.Context(), hook); err != nil {
		return a.storeProblem(r, "creating a webhook", err)
	}
	h := w.Header()
	h.Set("Location", "/v1/webhooks/"+hook.ID.String())
	h.Set("Etag", webhookTag(hook))
	h.Set("Cache-Control", "no-store")
	writeJSON(w, http.StatusCreated, createdWebhook{showWebhook(hook), secret})
	return nil
}

// judgeURL asks the guard about a URL of which nothing worse is known.
func (a *API) judgeURL(w *event.Webhook, known []event.FieldError) []event.FieldError {
	for _, err := range known {
		if err.Field == "url" {
			return nil
		}
	}
	if err := a.cfg.Guard.CheckURL(w.URL); err != nil {
		return []event.FieldError{{Field: "url", Detail: err.Error()}}
	}
	return nil
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
	hook, err := a.store.Webhook(r.Context(), tenantOf(r), id)
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

// patchTries is how often a patch is tried that loses against changes which the engine makes by itself, or another node.
const patchTries = 10

// turnAt waits until no other request changes the webhook, and returns the webhook as it is then.
func (a *API) turnAt(r *http.Request, id event.ID) (_ *event.Webhook, end func(), _ *problem) {
	end, err := a.changing.lock(r.Context(), id)
	if err != nil {
		return nil, nil, a.readProblem(r, "waiting to change a webhook", err)
	}
	hook, err := a.store.Webhook(r.Context(), tenantOf(r), id)
	if err != nil {
		end()
		return nil, nil, a.readProblem(r, "reading a webhook", err)
	}
	return hook, end, nil
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
	hook, end, p := a.turnAt(r, hook.ID)
	if p != nil {
		return p
	}
	defer end()
	for range patchTries {
		if p := checkMatch(r, hook); p != nil {
			return p
		}
		// Others read the webhook that the engine gave: a copy is changed.
		changed := *hook
		bad := applyWebhook(&changed, members)
		if changed.URL != hook.URL {
			bad = append(bad, a.judgeURL(&changed, bad)...)
		}
		if len(bad) > 0 {
			return kindInvalid.in(bad...)
		}
		if sameSettings(&changed, hook) {
			writeWebhook(w, hook)
			return nil
		}
		err := a.store.UpdateWebhook(r.Context(), &changed)
		if err == nil {
			writeWebhook(w, &changed)
			return nil
		}
		if !errors.Is(err, store.ErrConflict) {
			return a.storeProblem(r, "changing a webhook", err)
		}
		if hook, err = a.store.Webhook(r.Context(), tenantOf(r), hook.ID); err != nil {
			return a.readProblem(r, "reading a webhook", err)
		}
	}
	return &problem{kind: kindConflict, retryAfter: 1, detail: "The webhook is being changed too often at the moment; try again."}
}

// sameSettings reports whether a patch that made a of b has changed nothing. Then nothing is written, and the version
// stays what it is.
func sameSettings(a, b *event.Webhook) bool {
	return a.URL == b.URL && slices.Equal(a.Topics, b.Topics) && a.Secret == b.Secret && slices.Equal(a.Retry, b.Retry) &&
		a.Timeout == b.Timeout && a.MaxInFlight == b.MaxInFlight && a.Description == b.Description &&
		maps.Equal(a.Metadata, b.Metadata) && a.Enabled == b.Enabled && a.DisabledReason == b.DisabledReason
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
