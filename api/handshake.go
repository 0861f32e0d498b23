package api

import (
	"errors"
	"net/http"
	"time"

	"github.com/carillon/carillon/dispatch"
	"github.com/carillon/carillon/event"
)

// handshakeSlack is how much longer than its own deadline a handshake is waited for.
const handshakeSlack = 5 * time.Second

// shakeHands asks the owner of a webhook's URL for consent.
func (a *API) shakeHands(r *http.Request, hook *event.Webhook) *problem {
	ctx, end := a.waits.begin(r.Context(), hook.Timeout+handshakeSlack)
	defer end()
	err := a.dispatch.Handshake(ctx, hook)
	var refusal *dispatch.ConsentError
	switch {
	case err == nil:
		return nil
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
