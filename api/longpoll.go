package api

import (
	"bytes"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/stream"
)

// maxPollWait is how long a poll may wait: what stands between usually cuts a silent request after a minute.
const maxPollWait = 60 * time.Second

// pollEvents answers with what comes after a cursor, and waits for it if there is nothing yet and the client so wishes.
func (a *API) pollEvents(w http.ResponseWriter, r *http.Request) *problem {
	pattern, p := pathPattern(r, "topic")
	if p != nil {
		return p
	}
	q := readQuery(r, "after", "wait", "limit", "filter")
	sub := stream.Subscription{Patterns: []event.Pattern{pattern}}
	subscribeAs(r, &sub)
	if text, given := q.text("after"); given {
		c, err := event.ParseCursor(text)
		if err != nil {
			q.wrong("after", "is no cursor of this gateway; leave it out to begin with what comes, and then send the next of the answer before")
		}
		sub.Start = stream.AfterID(c.String())
	}
	wait := time.Duration(0)
	if text, given := q.text("wait"); given {
		seconds, err := strconv.Atoi(text)
		if most := int(maxPollWait / time.Second); err != nil || seconds < 0 || seconds > most {
			q.wrong("wait", "must be a whole number of seconds from 0 to %d", most)
		}
		wait = time.Duration(seconds) * time.Second
	}
	limit := q.page().Limit
	a.readFilter(q, &sub)
	if p := q.problem(); p != nil {
		return p
	}
	if p := checkReach(r, sub.Patterns, fixedField("topic")); p != nil {
		return p
	}
	polled, err := a.streams.Poll(r.Context(), sub, limit, wait)
	if errors.Is(err, stream.ErrFull) {
		return &tooManyStreams
	}
	if errors.Is(err, stream.ErrExpired) {
		return kindUnauthorized.is("The key or token that the poll came with has expired, or was revoked.")
	}
	if err != nil {
		return a.readProblem(r, "polling", err)
	}
	writePolled(w, polled)
	return nil
}

// writePolled writes the events as they were encoded: they are JSON already.
func writePolled(w http.ResponseWriter, polled stream.Polled) {
	var body bytes.Buffer
	body.WriteString(`{"data":[`)
	for i, text := range polled.Events {
		if i > 0 {
			body.WriteByte(',')
		}
		body.Write(text)
	}
	body.WriteString(`],"next":"` + polled.Next.String() + `","gap":`)
	if polled.Gap {
		body.WriteString(`{"oldest":"` + polled.Oldest.String() + `"}}`)
	} else {
		body.WriteString(`null}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	w.Write(append(body.Bytes(), '\n'))
}
