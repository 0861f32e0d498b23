package api

import (
	"net/http"
	"slices"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// eventDocument is an event as the API shows it.
type eventDocument struct {
	receiptDocument
	ContentType  *string           `json:"content_type"`
	Size         int               `json:"size"` // of the payload, in bytes
	PartitionKey *string           `json:"partition_key"`
	Traceparent  *string           `json:"traceparent"`
	Attributes   map[string]string `json:"attributes"` // null: it was not posted as a CloudEvent
	Payload      string            `json:"payload"`    // where to get it
	Deliveries   string            `json:"deliveries"` // where they are listed
}

func showEvent(e *event.Event, size, owed int) eventDocument {
	id := e.ID.String()
	return eventDocument{
		receiptDocument: receiptDocument{ID: e.ID, Topic: e.Topic, Cursor: e.Cursor, Time: stamp(e.Time), Webhooks: owed},
		ContentType:     orNull(e.ContentType),
		Size:            size,
		PartitionKey:    orNull(e.PartitionKey),
		Traceparent:     orNull(e.Traceparent),
		Attributes:      e.Attributes,
		Payload:         eventPath + id + "/payload",
		Deliveries:      "/v1/deliveries?event=" + id,
	}
}

func (a *API) listEvents(w http.ResponseWriter, r *http.Request) *problem {
	q := readQuery(r, "topic", "since", "until", "limit", "page")
	now := time.Now()
	f := store.EventFilter{Patterns: q.patterns("topic"), Since: q.moment("since", now), Until: q.moment("until", now)}
	page := q.page()
	if p := q.problem(); p != nil {
		return p
	}
	who := principalOf(r)
	if len(f.Patterns) == 0 {
		f.Patterns = who.Patterns
	}
	list, err := a.store.ListEvents(r.Context(), tenantOf(r), f, page)
	if err != nil {
		return a.readProblem(r, "listing events", err)
	}
	// What was asked for can be more than the key reaches.
	list.Data = slices.DeleteFunc(list.Data, func(s store.EventSummary) bool { return !who.Reaches(s.Event.Topic) })
	writeList(w, list, func(s store.EventSummary) eventDocument { return showEvent(s.Event, s.Size, s.Owed) })
	return nil
}

// event returns the event that the path names.
func (a *API) event(r *http.Request) (*event.Event, *problem) {
	if p := noQuery(r); p != nil {
		return nil, p
	}
	id, p := pathID(r)
	if p != nil {
		return nil, p
	}
	e, err := a.store.Event(r.Context(), tenantOf(r), id)
	if err != nil {
		return nil, a.readProblem(r, "reading an event", err)
	}
	if !principalOf(r).Reaches(e.Topic) {
		return nil, a.readProblem(r, "reading an event", store.ErrNotFound)
	}
	return e, nil
}

func (a *API) getEvent(w http.ResponseWriter, r *http.Request) *problem {
	e, p := a.event(r)
	if p != nil {
		return p
	}
	writeJSON(w, http.StatusOK, showEvent(e, len(e.Payload), e.Owed()))
	return nil
}

// getPayload gives back what was posted, byte for byte. It may be anything, a page with scripts in it too.
func (a *API) getPayload(w http.ResponseWriter, r *http.Request) *problem {
	e, p := a.event(r)
	if p != nil {
		return p
	}
	contentType := e.ContentType
	if contentType == "" {
		contentType = "application/octet-stream"
	}
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("Cache-Control", "private, no-cache")
	w.WriteHeader(http.StatusOK)
	w.Write(e.Payload)
	return nil
}
