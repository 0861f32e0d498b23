package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/carillon/carillon/stats"
)

const statsStreamPath = "/v1/stats/stream"

// statsWriteTimeout is how long a client may leave unread what no longer fits in between.
const statsWriteTimeout = 30 * time.Second

// streamStatus is what a stream is told of itself, as streams of events are.
type streamStatus struct {
	Status string `json:"status"`
}

// streamStats answers with a stream of points: the last hour at once, and then each as it comes. Like a stream of events
// it is always answered with 200, and says when to come back: a browser takes any other status for final.
func (a *API) streamStats(w http.ResponseWriter, r *http.Request) *problem {
	if p := noQuery(r); p != nil {
		return p
	}
	s := statsStream{w: w, control: http.NewResponseController(w)}
	beginEventStream(w, s.control)
	ctx, end := a.waits.begin(r.Context(), statsStreamAge)
	defer end()
	watch, err := a.cfg.Stats.Watch(tenantOf(r))
	there := false
	switch {
	case ctx.Err() != nil || errors.Is(err, stats.ErrClosed):
		there = s.goodbye("", statsRetry)
	case err != nil:
		there = s.goodbye("full", statsFullRetry)
	default:
		there = s.run(ctx, watch, func() bool { return a.stillLetIn(r) })
	}
	if err == nil {
		a.cfg.Stats.Leave(watch)
	}
	if there {
		// The connection may serve another request, whose writes are not the stream's.
		_ = s.control.SetWriteDeadline(time.Time{})
	}
	return nil
}

// stillLetIn asks at the door again, and whether the tenant is there: keys are revoked and expire while a stream is open, and
// tenants go.
func (a *API) stillLetIn(r *http.Request) bool {
	return stillIn(r) == nil && a.tenants.Name(tenantOf(r)) != ""
}

// statsStream is one answer under way.
type statsStream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	b       bytes.Buffer
}

// run sends until ctx or the watch ends, or the reader is not let in any more, which it asks before each point. It is
// false if the client has gone.
func (s *statsStream) run(ctx context.Context, watch *stats.Watch, letIn func() bool) bool {
	s.retry(statsRetry)
	writeBlock(&s.b, "history", showHistory(watch.Before))
	if s.send() != nil {
		return false
	}
	for {
		select {
		case <-ctx.Done():
			return s.goodbye("", statsRetry)
		case point, more := <-watch.Points:
			switch {
			case !more:
				return s.goodbye("", statsRetry)
			case !letIn():
				return s.goodbye("expired", statsRetry)
			}
			writeBlock(&s.b, "point", showPoint(point))
			if s.send() != nil {
				return false
			}
		}
	}
}

// retry says when to come back: after so long, or up to twice that, so that not all come at once.
func (s *statsStream) retry(least time.Duration) {
	after := least + rand.N(least) // #nosec G404 -- jitter is no secret
	fmt.Fprintf(&s.b, "retry: %d\n", after.Milliseconds())
}

// goodbye ends the stream, and says why unless that is empty. It is false if the client has gone.
func (s *statsStream) goodbye(why string, retry time.Duration) bool {
	s.retry(retry)
	s.b.WriteByte('\n')
	if why != "" {
		writeBlock(&s.b, "_stream", streamStatus{why})
	}
	return s.send() == nil
}

// send puts what was written on the wire, and empties the buffer.
func (s *statsStream) send() error {
	_ = s.control.SetWriteDeadline(time.Now().Add(statsWriteTimeout)) // where there are none there is no connection that could stall
	defer s.b.Reset()
	if _, err := s.w.Write(s.b.Bytes()); err != nil {
		return err
	}
	return s.control.Flush()
}
