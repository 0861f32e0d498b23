package api

import (
	"net/http"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/stream"
)

// streamParameters are those that both addresses of a stream take.
var streamParameters = []string{"event", "format", "last_event_id", "since"}

// streamTopics answers with a stream of the patterns in the query.
func (a *API) streamTopics(w http.ResponseWriter, r *http.Request) *problem {
	q := readQuery(r, append([]string{"topic"}, streamParameters...)...)
	patterns := q.patterns("topic")
	if len(q.values["topic"]) == 0 {
		q.wrong("topic", "is required: a topic, or a pattern such as orders.* or **; may be given several times")
	}
	return a.stream(w, r, q, patterns)
}

// streamPattern answers with a stream of the pattern in the path.
func (a *API) streamPattern(w http.ResponseWriter, r *http.Request) *problem {
	pattern, p := pathPattern(r, "pattern")
	if p != nil {
		return p
	}
	return a.stream(w, r, readQuery(r, streamParameters...), []event.Pattern{pattern})
}

func (a *API) stream(w http.ResponseWriter, r *http.Request, q *query, patterns []event.Pattern) *problem {
	sub := stream.Subscription{Tenant: tenantOf(r), Patterns: patterns}
	if name, given := q.text("event"); given {
		sub.Named = name == "topic"
		if !sub.Named {
			q.wrong("event", "must be topic, or be left out")
		}
	}
	if format, given := q.text("format"); given {
		if format != "cloudevents" {
			q.wrong("format", "must be cloudevents, or be left out")
		}
		sub.Format = stream.CloudEvents
	}
	sub.Start = streamStart(r, q)
	if p := q.problem(); p != nil {
		return p
	}
	if err := a.streams.Serve(r.Context(), w, sub); err != nil {
		a.log.Error("a stream failed", "request", requestID(r), "error", err)
	}
	return nil
}

// streamStart says where a stream begins. What a reconnecting client adds beats what its URL said from the first: the
// header, which browsers send, and then last_event_id, which those send that cannot set headers, and send empty at
// first. Neither is ever refused: an EventSource that is answered with an error does not come back.
func streamStart(r *http.Request, q *query) stream.Start {
	var start stream.Start
	if since, given := q.text("since"); given {
		// A cursor can look like days: 000000000001d is one.
		if _, err := event.ParseCursor(since); err != nil {
			if ago, err := parseDuration(since); err == nil {
				since = ago.String() // the stream knows only the units of Go
			}
		}
		var err error
		if start, err = stream.ParseSince(since, time.Now()); err != nil {
			q.wrong("since", "%s", err)
		}
	}
	if ids := q.values["last_event_id"]; len(ids) > 0 && ids[0] != "" {
		start = stream.AfterID(ids[0])
	}
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		start = stream.AfterID(id)
	}
	return start
}
