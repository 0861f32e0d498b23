package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// problemTypePrefix makes a URI of a problem's kind. It is a name, not an address: nothing is fetched there.
const problemTypePrefix = "urn:problem-type:carillon:"

// kind is a sort of problem: the last part of its type, the same title each time, and its status.
type kind struct {
	name   string
	title  string
	status int
}

// Every kind of problem that the gateway can answer with. openapi.yaml documents them in this order.
var (
	kindBadRequest     = kind{"bad-request", "The request cannot be understood", http.StatusBadRequest}
	kindMalformedBody  = kind{"malformed-body", "The body cannot be parsed", http.StatusBadRequest}
	kindUnauthorized   = kind{"unauthorized", "A valid key is needed", http.StatusUnauthorized}
	kindOrigin         = kind{"forbidden-origin", "Requests from there are not let in", http.StatusForbidden}
	kindForbidden      = kind{"forbidden", "The key may not do this", http.StatusForbidden}
	kindReserved       = kind{"reserved-topic", "The topic is the gateway's own", http.StatusForbidden}
	kindNotFound       = kind{"not-found", "There is no such thing", http.StatusNotFound}
	kindMethod         = kind{"method-not-allowed", "The method is not possible here", http.StatusMethodNotAllowed}
	kindSlowBody       = kind{"request-timeout", "The body did not come in time", http.StatusRequestTimeout}
	kindWrongState     = kind{"wrong-state", "Not possible in this state", http.StatusConflict}
	kindConflict       = kind{"conflict", "It is being changed by others", http.StatusConflict}
	kindKeyInFlight    = kind{"key-in-flight", "The first request with this key is still in flight", http.StatusConflict}
	kindTaken          = kind{"already-exists", "There is one of this name already", http.StatusConflict}
	kindPrecondition   = kind{"precondition-failed", "It was changed since", http.StatusPreconditionFailed}
	kindTooLarge       = kind{"too-large", "The body is too large", http.StatusRequestEntityTooLarge}
	kindMediaType      = kind{"unsupported-media-type", "The content type is not one that is taken here", http.StatusUnsupportedMediaType}
	kindInvalid        = kind{"invalid", "The request is not acceptable", http.StatusUnprocessableEntity}
	kindKeyReused      = kind{"key-reused", "The key was used for another request", http.StatusUnprocessableEntity}
	kindTooManyStreams = kind{"too-many-streams", "Too many streams are open", http.StatusTooManyRequests}
	kindTooManyEvents  = kind{"too-many-events", "Events are posted too fast", http.StatusTooManyRequests}
	kindQuota          = kind{"quota-exceeded", "The tenant has as much as it may have", http.StatusTooManyRequests}
	kindInternal       = kind{"internal", "Something went wrong in the gateway", http.StatusInternalServerError}
	kindNoAnswer       = kind{"no-answer", "No webhook gave an answer", http.StatusBadGateway}
	kindAnswerTooLarge = kind{"answer-too-large", "The webhook's answer is too large to be passed on", http.StatusBadGateway}
	kindNoResponders   = kind{"no-responders", "Nobody is there to answer", http.StatusServiceUnavailable}
	kindNotStored      = kind{"not-stored", "The gateway could not store it", http.StatusServiceUnavailable}
	kindUnknown        = kind{"outcome-unknown", "It may or may not have been stored", http.StatusServiceUnavailable}
	kindUnavailable    = kind{"unavailable", "The gateway cannot do this now", http.StatusServiceUnavailable}
	kindNotReady       = kind{"not-ready", "The gateway is not ready", http.StatusServiceUnavailable}
	kindFull           = kind{"storage-full", "The gateway's storage is full", http.StatusInsufficientStorage}
)

// problem is what a client is told (RFC 9457). Its texts are all written for the client: it never holds the text of an
// error from below.
type problem struct {
	kind
	detail string
	errors []event.FieldError

	retryAfter int // seconds; 0: the answer has no Retry-After

	// outcomes is what each webhook did, for kindNoAnswer.
	outcomes []webhookOutcome
}

var internalProblem = problem{kind: kindInternal,
	detail: "This is a fault of the gateway, not of the request. Its log has more under the id in instance."}

// is makes a problem of this kind. format's arguments must be fit for the client's eyes.
func (k kind) is(format string, args ...any) *problem {
	return &problem{kind: k, detail: fmt.Sprintf(format, args...)}
}

// maxFieldErrors is how many faults one problem tells of: a batch, or a query, can have thousands.
const maxFieldErrors = 50

// in makes a problem of this kind about fields. With one, its own words are the detail; of very many the first are told.
func (k kind) in(fields ...event.FieldError) *problem {
	p := &problem{kind: k, errors: fields[:min(len(fields), maxFieldErrors)]}
	switch {
	case len(fields) == 1:
		p.detail = fields[0].Field + ": " + fields[0].Detail
	case len(fields) > maxFieldErrors:
		p.detail = fmt.Sprintf("%d fields are at fault; errors has the first %d.", len(fields), maxFieldErrors)
	default:
		p.detail = fmt.Sprintf("%d fields are at fault, see errors.", len(fields))
	}
	return p
}

type problemDocument struct {
	Type     string             `json:"type"`
	Title    string             `json:"title"`
	Status   int                `json:"status"`
	Detail   string             `json:"detail"`
	Instance string             `json:"instance"`
	Errors   []event.FieldError `json:"errors,omitempty"`
	Outcomes []webhookOutcome   `json:"outcomes,omitempty"`
}

// refuse answers with a problem.
func (a *API) refuse(w http.ResponseWriter, r *http.Request, p problem) {
	body, err := json.Marshal(problemDocument{
		Type: problemTypePrefix + p.name, Title: p.title, Status: p.status, Detail: p.detail,
		Instance: instanceOf(r), Errors: p.errors, Outcomes: p.outcomes,
	})
	if err != nil {
		panic(fmt.Errorf("marshalling a problem: %w", err)) // it holds nothing that cannot be marshalled
	}
	h := w.Header()
	// What a handler said of the answer that it meant to give is not true of this one.
	for _, name := range []string{"Location", "Etag", "Preference-Applied", "Content-Encoding", "Content-Length"} {
		h.Del(name)
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	// RFC 6750, section 3.
	switch p.kind {
	case kindUnauthorized:
		h.Set("Www-Authenticate", `Bearer realm="carillon"`)
	case kindForbidden:
		h.Set("Www-Authenticate", `Bearer realm="carillon", error="insufficient_scope"`)
	}
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	w.WriteHeader(p.status)
	w.Write(append(body, '\n'))
}

// storeProblem says in the client's terms what an engine's error means for a write, and logs what the client is not
// told. what is what was being done.
func (a *API) storeProblem(r *http.Request, what string, err error) *problem {
	p := knownStoreProblem(err)
	// That the disk is full is logged by the engine, once: every post meets it.
	if p != nil && (p.status < 500 || p.kind == kindFull) {
		return p
	}
	if p == nil {
		p = &problem{kind: kindNotStored, retryAfter: 1, detail: "Nothing was changed; the request can be repeated."}
	}
	if r.Context().Err() == nil {
		a.log.Error("a write failed", "what", what, "request", requestID(r), "problem", p.name, "error", err)
	}
	return p
}

// readProblem is [API.storeProblem] for reads.
func (a *API) readProblem(r *http.Request, what string, err error) *problem {
	if p := knownStoreProblem(err); p != nil && p.status < 500 {
		return p
	}
	if r.Context().Err() != nil || errors.Is(err, context.DeadlineExceeded) {
		return &problem{kind: kindUnavailable, retryAfter: 1, detail: "The request ended before it could be answered."}
	}
	a.log.Error("a read failed", "what", what, "request", requestID(r), "error", err)
	return &internalProblem
}

func knownStoreProblem(err error) *problem {
	if p := quotaProblem(err); p != nil {
		return p
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		return kindNotFound.is("There is none with this id.")
	case errors.Is(err, store.ErrPage):
		return kindBadRequest.in(event.FieldError{Field: "page", Detail: "is not a token that this list gave out"})
	case errors.Is(err, store.ErrKeyReused):
		return kindKeyReused.is("The same Idempotency-Key, or CloudEvent source and id, came before with another topic, type or payload. Use a new one for a new event.")
	case errors.Is(err, store.ErrFull):
		return &problem{kind: kindFull, retryAfter: 30, detail: "Nothing was stored. The operator has to make room on the disk."}
	case errors.Is(err, store.ErrUnknown):
		return &problem{kind: kindUnknown, retryAfter: 1,
			detail: "The gateway lost sight of the write. Repeat the request with the same Idempotency-Key to be sure that it is stored, and stored once."}
	case errors.Is(err, store.ErrNotStored):
		return &problem{kind: kindNotStored, retryAfter: 1, detail: "Nothing was stored; the request can be repeated."}
	}
	return nil
}
