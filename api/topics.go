package api

import (
	"net/http"
	"slices"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// topicDocument is a topic of which the log holds events.
type topicDocument struct {
	Topic  event.Topic `json:"topic"`
	Events int64       `json:"events"`
	Last   lastEvent   `json:"last"`
}

// lastEvent is a topic's newest event.
type lastEvent struct {
	Cursor event.Cursor `json:"cursor"`
	Time   stamp        `json:"time"`
}

func (a *API) listTopics(w http.ResponseWriter, r *http.Request) *problem {
	q := readQuery(r, "limit", "page")
	page := q.page()
	if p := q.problem(); p != nil {
		return p
	}
	list, err := a.store.ListTopics(r.Context(), tenantOf(r), page)
	if err != nil {
		return a.readProblem(r, "listing topics", err)
	}
	who := principalOf(r)
	list.Data = slices.DeleteFunc(list.Data, func(t store.TopicSummary) bool { return !who.Reaches(t.Topic) })
	writeList(w, list, func(t store.TopicSummary) topicDocument {
		return topicDocument{t.Topic, t.Events, lastEvent{t.Last, stamp(t.LastAt)}}
	})
	return nil
}
