package api

import (
	"errors"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/stream"
)

// streamParameters are those that both addresses of a stream take. lastEventId is what some client libraries send for
// browsers that cannot set headers.
var streamParameters = []string{"event", "filter", "format", "last_event_id", "lastEventId", "since"}

// streamTopics answers with a stream of the patterns in the query.
func (a *API) streamTopics(w http.ResponseWriter, r *http.Request) *problem {
	q := readQuery(r, append([]string{"topic"}, streamParameters...)...)
	patterns := q.patterns("topic")
	if len(q.values["topic"]) == 0 {
		q.wrong("topic", "is required: a topic, or a pattern such as orders.* or **; may be given several times")
	}
	return a.stream(w, r, q, patterns, "topic")
}

// streamPattern answers with a stream of the pattern in the path.
func (a *API) streamPattern(w http.ResponseWriter, r *http.Request) *problem {
	pattern, p := pathPattern(r, "pattern")
	if p != nil {
		return p
	}
	return a.stream(w, r, readQuery(r, streamParameters...), []event.Pattern{pattern}, "pattern")
}

// stream answers with a stream of patterns, which field named.
func (a *API) stream(w http.ResponseWriter, r *http.Request, q *query, patterns []event.Pattern, field string) *problem {
	sub := stream.Subscription{Patterns: patterns}
	if name, given := q.text("event"); given {
		sub.Named = q.word("event", name, "topic")
	}
	if format, given := q.text("format"); given {
		q.word("format", format, "cloudevents")
		sub.Format = stream.CloudEvents
	}
	a.readFilter(q, &sub)
	sub.Start = streamStart(r, q)
	if p := q.problem(); p != nil {
		return p
	}
	return a.serveStream(w, r, sub, fixedField(field))
}

// word takes a parameter that can only be one word.
func (q *query) word(name, got, want string) bool {
	if got != want {
		q.wrong(name, "must be %s, or be left out", want)
	}
	return got == want
}

// readFilter compiles the filter of the query, if there is one.
func (a *API) readFilter(q *query, sub *stream.Subscription) {
	source, given := q.text("filter")
	if !given {
		return
	}
	if err := a.setStreamFilter(sub, source); err != nil {
		q.wrong("filter", "%s", err)
	}
}

// setStreamFilter compiles a filter, of which many streams can have the same. The error is meant for the client.
func (a *API) setStreamFilter(sub *stream.Subscription, source string) (err error) {
	sub.Filter, err = a.filters.Filter(source)
	sub.FilterSource = source
	return err
}

// subscribeAs makes a subscription that of who sent the request.
func subscribeAs(r *http.Request, sub *stream.Subscription) {
	who := principalOf(r)
	sub.Tenant, sub.Key, sub.Expires, sub.Address = tenantOf(r), who.KeyText(), who.Expires, remoteOf(r)
	sub.Hidden = sub.Tenant != who.Tenant || who.Foreign
}

// serveStream answers with a stream, of lines if those are what the client accepts. field names each pattern's place in
// the request.
func (a *API) serveStream(w http.ResponseWriter, r *http.Request, sub stream.Subscription, field func(int) string) *problem {
	if p := checkReach(r, sub.Patterns, field); p != nil {
		return p
	}
	subscribeAs(r, &sub)
	if acceptsLines(r) {
		sub.Format = stream.Lines
	}
	err := a.streams.Serve(w, r, sub)
	if errors.Is(err, stream.ErrFull) {
		return &tooManyStreams
	}
	if err != nil {
		a.log.Error("a stream failed", "request", requestID(r), "error", err)
	}
	return nil
}

// tooManyStreams is for clients that take an error for one: an EventSource is told in its stream.
var tooManyStreams = problem{kind: kindTooManyStreams, retryAfter: 10,
	detail: "As many streams as the gateway allows are open already: in all, of the tenant, from this address or with this key."}

// acceptsLines reports whether the client asks for NDJSON by name.
func acceptsLines(r *http.Request) bool {
	for accepted := range strings.SplitSeq(strings.Join(r.Header.Values("Accept"), ","), ",") {
		if mediaType, parameters, err := mime.ParseMediaType(accepted); err == nil && mediaType == "application/x-ndjson" {
			return strings.Trim(parameters["q"], "0.") != "" || parameters["q"] == ""
		}
	}
	return false
}

// streamStart says where a stream begins. What a reconnecting client adds beats what its URL said from the first: the
// header, which browsers send, and then last_event_id, which those send that cannot set headers, and send empty at
// first. Neither is ever refused: an EventSource that is answered with an error does not come back.
func streamStart(r *http.Request, q *query) stream.Start {
	var start stream.Start
	if since, given := q.text("since"); given {
		var err error
		if start, err = parseSince(since); err != nil {
			q.wrong("since", "%s", err)
		}
	}
	for _, name := range []string{"lastEventId", "last_event_id"} {
		if ids := q.values[name]; len(ids) > 0 && ids[0] != "" {
			start = stream.AfterID(ids[0])
		}
	}
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		start = stream.AfterID(id)
	}
	return start
}

// parseSince reads where a stream begins. The error's text is meant for the client.
func parseSince(text string) (stream.Start, error) {
	// A cursor can look like days: 000000000001d is one.
	if _, err := event.ParseCursor(text); err != nil {
		if ago, err := parseDuration(text); err == nil {
			text = ago.String() // the stream knows only the units of Go
		}
	}
	return stream.ParseSince(text, time.Now())
}
