package dispatch

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/carillon/carillon/event"
)

// DefaultOrigin is what a gateway calls itself when it asks for consent, unless it was told otherwise.
const DefaultOrigin = "carillon"

// ErrNoConsent is wrapped by every [ConsentError].
var ErrNoConsent = errors.New("the URL's owner has not consented")

// ConsentError says why a webhook counts as one whose owner has not consented. Its text is meant for the one who
// registers the webhook.
type ConsentError struct {
	Outcome event.Outcome // of the request; Success, or a status, where an answer came
	Status  int           // of the answer; 0 where none came
	Err     error         // why no answer came, for the log and never for a client; nil where one came
	detail  string
}

// Error says what was missing.
func (e *ConsentError) Error() string { return e.detail }

// Unwrap gives [ErrNoConsent].
func (e *ConsentError) Unwrap() error { return ErrNoConsent }

// Handshake asks the owner of a webhook's URL for consent (CloudEvents HTTP 1.1 Web Hooks, section 4), within the webhook's
// Timeout: with an OPTIONS request that names the gateway's origin, and the webhook's rate limit if it has one, and has its
// headers and auth. Consent is an answer, of whatever status, whose WebHook-Allowed-Origin is that origin or an asterisk,
// and whose WebHook-Allowed-Rate, if it has one, the webhook's rate limit keeps to: there is no other bound on what would be
// sent. The callback of section 4.1, by which consent could come later, is not offered.
//
// The error is a [ConsentError], unless ctx ended first.
func (s *Sender) Handshake(ctx context.Context, w *event.Webhook) error {
	attemptCtx, cancel := context.WithTimeoutCause(ctx, w.Timeout, errDeadline)
	defer cancel()
	began := time.Now()
	answer, err := s.askConsent(withDialContext(attemptCtx, ctx), w)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return fmt.Errorf("asking for consent: %w", ctx.Err())
	default:
		outcome := outcomeOfError(err)
		if context.Cause(attemptCtx) == errDeadline || time.Since(began) >= w.Timeout {
			outcome = event.ErrTimeout
		}
		return &ConsentError{Outcome: outcome, Err: err, detail: "gave no answer to the request for consent: " + outcome.String()}
	}
	refuse := func(format string, args ...any) error {
		return &ConsentError{
			Outcome: event.OutcomeOfStatus(answer.status), Status: answer.status, detail: fmt.Sprintf(format, args...),
		}
	}
	switch answer.origin {
	case "":
		return refuse("answered the request for consent with status %d and without one WebHook-Allowed-Origin", answer.status)
	case "*":
	default:
		if !strings.EqualFold(answer.origin, s.origin) {
			return refuse("answered the request for consent with a WebHook-Allowed-Origin that is neither %s nor *", s.origin)
		}
	}
	// An asterisk is any rate, and what is neither that nor a number agrees to none in particular.
	allowed, err := strconv.Atoi(answer.rate)
	if err == nil && allowed >= 0 && (w.RateLimit.PerSecond <= 0 || w.RateLimit.PerSecond*60 > float64(allowed)) {
		return refuse("consents to %d requests a minute; rate_limit must be set to that or less", allowed)
	}
	return nil
}

// consentAnswer is what counts of an answer to a request for consent.
type consentAnswer struct {
	status       int
	origin, rate string
}

func (s *Sender) askConsent(ctx context.Context, w *event.Webhook) (consentAnswer, error) {
	target, err := url.Parse(w.URL)
	if err != nil {
		return consentAnswer{}, fmt.Errorf("reading the webhook's URL: %w", withoutURL(err))
	}
	h := http.Header{"User-Agent": {s.userAgent}}
	addHeaders(h, w)
	setAuthorization(h, &w.Auth)
	h["Accept-Encoding"] = []string{"identity"}
	h["Webhook-Request-Origin"] = []string{s.origin}
	if rate := w.RateLimit.PerSecond; rate > 0 {
		h["Webhook-Request-Rate"] = []string{strconv.Itoa(int(math.Ceil(rate * 60)))}
	}
	delete(h, "Content-Type") // there is no content
	transport, release, err := s.authorize(ctx, &w.Auth, h)
	if err != nil {
		return consentAnswer{}, err
	}
	defer release()
	req := &http.Request{
		Method: http.MethodOptions, URL: target, Host: target.Host, Header: h, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	resp, err := transport.RoundTrip(req.WithContext(ctx))
	if err != nil {
		return consentAnswer{}, &answerError{"asking", err}
	}
	// The head says it all.
	if err := resp.Body.Close(); err != nil {
		return consentAnswer{}, fmt.Errorf("closing the answer: %w", err)
	}
	if resp.StatusCode == http.StatusUnauthorized {
		s.refused(&w.Auth, h)
	}
	answer := consentAnswer{status: resp.StatusCode, rate: strings.TrimSpace(resp.Header.Get("WebHook-Allowed-Rate"))}
	// Of two, it could not be told which one counts.
	if values := resp.Header.Values("WebHook-Allowed-Origin"); len(values) == 1 {
		answer.origin = strings.TrimSpace(values[0])
	}
	return answer, nil
}
