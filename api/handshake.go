package api

import (
	"errors"
	"maps"
	"net/http"
	"reflect"
	"time"

	"github.com/carillon/carillon/dispatch"
	"github.com/carillon/carillon/event"
)

// handshakeSlack is how much longer than its own deadline a handshake is waited for.
const handshakeSlack = 5 * time.Second

// needsConsent reports whether the owner of a webhook's URL has to be asked before w takes the place of old.
func needsConsent(old, w *event.Webhook) bool {
	return w.Handshake && (!old.Handshake || w.URL != old.URL)
}

// sameConsent reports whether the owner of a URL would be asked the same about both webhooks, and in the same way.
func sameConsent(a, b *event.Webhook) bool {
	return a.URL == b.URL && a.Handshake == b.Handshake && a.RateLimit == b.RateLimit && maps.Equal(a.Headers, b.Headers) &&
		reflect.DeepEqual(a.Auth, b.Auth)
}

// shakeHands asks the owner of a webhook's URL for consent.
func (a *API) shakeHands(r *http.Request, hook *event.Webhook) *problem {
	ctx, end := a.waits.begin(r.Context(), hook.Timeout+handshakeSlack)
	defer end()
	err := a.dispatch.Handshake(ctx, hook)
	var refusal *dispatch.ConsentError
	switch {
	case err == nil:
		return stillIn(r)
	case errors.As(err, &refusal):
		if refusal.Err != nil {
			a.log.Info("a webhook's owner could not be asked for consent", "request", requestID(r), "error", refusal.Err)
		}
		return kindInvalid.in(event.FieldError{Field: "url", Detail: refusal.Error()})
	case ctx.Err() == nil:
		a.log.Error("a handshake could not be made", "request", requestID(r), "webhook", hook.ID, "error", err)
	}
	return &problem{kind: kindUnavailable, retryAfter: 1, detail: "The URL's owner could not be asked for consent. Nothing was changed."}
}
