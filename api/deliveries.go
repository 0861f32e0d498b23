package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// deliveryDocument is a delivery as lists show it.
type deliveryDocument struct {
	ID           event.DeliveryID `json:"id"`
	Event        event.ID         `json:"event"`
	Webhook      event.ID         `json:"webhook"`
	Topic        event.Topic      `json:"topic"`
	State        event.State      `json:"state"`
	Reason       *string          `json:"reason"`
	AttemptCount int              `json:"attempt_count"`
	Replay       bool             `json:"replay"`
	CreatedAt    stamp            `json:"created_at"`
	DueAt        stamp            `json:"due_at"`
	EndedAt      stamp            `json:"ended_at"`
	LastStatus   *int             `json:"last_status"`
	Error        *string          `json:"error"` // the last attempt's
}

// deliveryWithAttempts is one delivery as it is shown by itself.
type deliveryWithAttempts struct {
	deliveryDocument
	Attempts []attemptDocument `json:"attempts"`
}

// attemptDocument is one attempt.
type attemptDocument struct {
	Number         int     `json:"number"`
	Time           stamp   `json:"time"`
	DurationMS     int64   `json:"duration_ms"`
	Status         *int    `json:"status"`
	Error          *string `json:"error"`
	Answer         any     `json:"answer"` // the first bytes of the answer's body
	AnswerEncoding string  `json:"answer_encoding,omitempty"`
}

func showDelivery(d event.Delivery) deliveryDocument {
	return deliveryDocument{
		ID: d.ID, Event: d.EventID, Webhook: d.ID.Webhook, Topic: d.Topic,
		State: d.State, Reason: orNull(d.Reason), AttemptCount: d.Attempts, Replay: d.Replay,
		CreatedAt: stamp(d.CreatedAt), DueAt: stamp(d.Due), EndedAt: stamp(d.EndedAt),
		LastStatus: statusOrNull(d.LastStatus), Error: errorClass(d.LastOutcome),
	}
}

func showAttempt(t event.Attempt) attemptDocument {
	answer := textOf(t.Answer, len(t.Answer) == event.MaxAnswerKept)
	return attemptDocument{
		Number: t.Number, Time: stamp(t.At), DurationMS: t.Duration.Milliseconds(),
		Status: statusOrNull(t.Status), Error: errorClass(t.Outcome),
		Answer: answer.text, AnswerEncoding: answer.encoding,
	}
}

// errorClasses returns the names of all outcomes that are errors.
func errorClasses() []string {
	var names []string
	for _, o := range event.Outcomes() {
		if class := errorClass(o); class != nil {
			names = append(names, *class)
		}
	}
	return names
}

func (a *API) listDeliveries(w http.ResponseWriter, r *http.Request) *problem {
	q := readQuery(r, "webhook", "event", "topic", "state", "error", "since", "until", "limit", "page")
	now := time.Now()
	f := store.DeliveryFilter{
		Webhook: q.id("webhook"), Event: q.id("event"), Patterns: q.patterns("topic"),
		Since: q.moment("since", now), Until: q.moment("until", now),
	}
	if text, given := q.text("state"); given {
		if state, err := event.ParseState(text); err != nil {
			q.wrong("state", "%s", err)
		} else {
			f.State = &state
		}
	}
	if text, given := q.text("error"); given {
		outcome, err := event.ParseErrorClass(text)
		if err != nil {
			q.wrong("error", "%s; they are %s", err, strings.Join(errorClasses(), ", "))
		}
		f.Outcome = outcome
	}
	page := q.page()
	if p := q.problem(); p != nil {
		return p
	}
	list, err := a.store.ListDeliveries(r.Context(), tenantOf(r), f, page)
	if err != nil {
		return a.readProblem(r, "listing deliveries", err)
	}
	list.Data = slices.DeleteFunc(list.Data, func(d event.Delivery) bool { return !a.managesDelivery(r, d) })
	writeList(w, list, showDelivery)
	return nil
}

// pathDelivery returns the delivery's id in the path.
func pathDelivery(r *http.Request) (event.DeliveryID, *problem) {
	if p := noQuery(r); p != nil {
		return event.DeliveryID{}, p
	}
	text, p := pathValue(r, "id")
	if p != nil {
		return event.DeliveryID{}, p
	}
	id, err := event.ParseDeliveryID(text)
	if err != nil {
		return event.DeliveryID{}, kindBadRequest.in(event.FieldError{Field: "id", Detail: "is not a delivery's id"})
	}
	return id, nil
}

func (a *API) getDelivery(w http.ResponseWriter, r *http.Request) *problem {
	id, p := pathDelivery(r)
	if p != nil {
		return p
	}
	d, attempts, err := a.store.Delivery(r.Context(), tenantOf(r), id)
	if err == nil && !a.managesDelivery(r, d) {
		err = store.ErrNotFound
	}
	if err != nil {
		return a.readProblem(r, "reading a delivery", err)
	}
	doc := deliveryWithAttempts{showDelivery(d), make([]attemptDocument, len(attempts))}
	for i, t := range attempts {
		doc.Attempts[i] = showAttempt(t)
	}
	writeJSON(w, http.StatusOK, doc)
	return nil
}

func (a *API) retryDelivery(w http.ResponseWriter, r *http.Request) *problem {
	return a.changeDelivery(w, r, a.dispatch.Retry, "Its webhook is disabled or deleted: enable it first.")
}

func (a *API) cancelDelivery(w http.ResponseWriter, r *http.Request) *problem {
	return a.changeDelivery(w, r, a.dispatch.Cancel, "Only a pending delivery can be canceled.")
}

// checkDelivery refuses a delivery that the request's key does not manage. Nothing is read for a key that is not bound.
func (a *API) checkDelivery(r *http.Request, id event.DeliveryID) *problem {
	if len(principalOf(r).Patterns) == 0 {
		return nil
	}
	d, _, err := a.store.Delivery(r.Context(), tenantOf(r), id)
	if err == nil && !a.managesDelivery(r, d) {
		err = store.ErrNotFound
	}
	if err != nil {
		return a.readProblem(r, "reading a delivery", err)
	}
	return nil
}

// changeDelivery does something to a delivery by hand. impossible is what to say where its state forbids it.
func (a *API) changeDelivery(w http.ResponseWriter, r *http.Request,
	change func(context.Context, event.TenantID, event.DeliveryID) (event.Delivery, error), impossible string,
) *problem {
	id, p := pathDelivery(r)
	if p != nil {
		return p
	}
	if p := a.checkDelivery(r, id); p != nil {
		return p
	}
	d, err := change(r.Context(), tenantOf(r), id)
	if errors.Is(err, store.ErrState) {
		return kindWrongState.is("%s", impossible)
	}
	if err != nil {
		return a.storeProblem(r, "changing a delivery", err)
	}
	writeJSON(w, http.StatusOK, showDelivery(d))
	return nil
}
