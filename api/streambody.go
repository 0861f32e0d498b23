package api

import (
	"fmt"
	"net/http"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/stream"
)

// maxBodyPatterns is how many patterns a subscription in a body may have: it is there for those that are too long for a
// URL.
const maxBodyPatterns = 1000

// postStream answers with a stream of what the body asks for.
func (a *API) postStream(w http.ResponseWriter, r *http.Request) *problem {
	if p := noQuery(r); p != nil {
		return p
	}
	members, p := a.readObject(w, r, "application/json")
	if p != nil {
		return p
	}
	body := streamBody{api: a}
	for _, m := range members {
		body.read(m)
	}
	if body.sub.Patterns == nil && len(body.bad) == 0 {
		body.wrong("topics", "is required: topics, or patterns such as orders.* or **")
	}
	if len(body.bad) > 0 {
		return kindInvalid.in(body.bad...)
	}
	// As in a query: what a client adds that comes back beats what it said from the first, and is never refused.
	for _, id := range []string{body.lastEventID, r.Header.Get("Last-Event-ID")} {
		if id != "" {
			body.sub.Start = stream.AfterID(id)
		}
	}
	return a.serveStream(w, r, body.sub, topicField)
}

// streamBody reads a subscription that is a JSON object.
type streamBody struct {
	api         *API
	sub         stream.Subscription
	lastEventID string
	bad         []event.FieldError
}

func (b *streamBody) wrong(field, format string, args ...any) {
	b.bad = append(b.bad, event.FieldError{Field: field, Detail: fmt.Sprintf(format, args...)})
}

// read takes one member. A null is as if it were left out.
func (b *streamBody) read(m member) {
	if m.name == "topics" {
		b.topics(m)
		return
	}
	if m.null() {
		return
	}
	text, err := readValue[string](m, "a text")
	switch m.name {
	case "format", "event", "filter", "since", "last_event_id":
		if err != nil {
			b.bad = append(b.bad, *err)
			return
		}
	}
	switch m.name {
	case "format":
		switch text {
		case "raw":
		case "cloudevents":
			b.sub.Format = stream.CloudEvents
		default:
			b.wrong(m.name, "must be raw or cloudevents")
		}
	case "event":
		if b.sub.Named = text == "topic"; !b.sub.Named {
			b.wrong(m.name, "must be topic, or be left out")
		}
	case "filter":
		if err := b.api.setStreamFilter(&b.sub, text); err != nil {
			b.wrong(m.name, "%s", err)
		}
	case "since":
		start, err := parseSince(text)
		if err != nil {
			b.wrong(m.name, "%s", err)
		}
		b.sub.Start = start
	case "last_event_id":
		b.lastEventID = text
	default:
		b.wrong(m.name, "unknown field")
	}
}

func (b *streamBody) topics(m member) {
	topics, err := readValue[[]string](m, "a list of topic patterns")
	switch {
	case err != nil:
		b.bad = append(b.bad, *err)
		return
	case len(topics) == 0 || len(topics) > maxBodyPatterns:
		b.wrong(m.name, "has %d patterns; 1 to %d are allowed", len(topics), maxBodyPatterns)
		return
	}
	for i, text := range topics {
		pattern, err := event.ParsePattern(text)
		if err != nil {
			b.wrong(fmt.Sprintf("topics[%d]", i), "%s", err)
			continue
		}
		b.sub.Patterns = append(b.sub.Patterns, pattern)
	}
}
