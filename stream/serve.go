package stream

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/carillon/carillon/event"
)

// Clients that lost their stream together are told to come back spread over this time.
const (
	minRetry = 2 * time.Second
	maxRetry = 5 * time.Second
)

// Subscription is what a stream was asked to carry. It must not be changed once given to [Hub.Serve].
type Subscription struct {
	Tenant   event.TenantID
	Patterns []event.Pattern // any of them; an event that several match comes once
	Format   Format
	Named    bool // each event has its topic as its name; not those that come as base64
	Start    Start
}

// Serve answers with an event stream, and returns when the client has left, has read nothing for too long, or the hub
// ends. The status is always 200, also when the hub has ended or the log cannot be read: a browser takes any other for
// final, and here it is told to come back. An error is the log's, or says that the response cannot be streamed; the
// answer was given all the same, and there is only left to log it.
//
// ctx is the request's. The deadlines that the server has set for the whole of a request are lifted.
func (h *Hub) Serve(ctx context.Context, w http.ResponseWriter, sub Subscription) error {
	out := &wire{w: w, control: http.NewResponseController(w), timeout: h.writeTimeout}
	defer out.release()
	// It would end the request's context, and with it the stream.
	_ = out.control.SetReadDeadline(time.Time{})
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store, no-transform")
	header.Set("X-Accel-Buffering", "no")
	header.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusOK)

	err := h.carry(ctx, out, sub)
	switch {
	case errors.Is(err, errReaderGone) || ctx.Err() != nil:
		return nil
	case out.end() == nil:
		// The connection may serve another request, whose writes are not the stream's.
		_ = out.control.SetWriteDeadline(time.Time{})
	}
	return err
}

// carry does what Serve does between the header and the end.
func (h *Hub) carry(ctx context.Context, out *wire, sub Subscription) error {
	if h.hasEnded() {
		return nil
	}
	start, err := sub.Start.resolve(ctx, h.log)
	if err != nil {
		return err
	}
	h.metrics.open.Inc()
	defer h.metrics.open.Dec()
	s := h.join(sub, start.position, out)
	defer h.leave(s, out)
	if err := out.open(start); err != nil {
		return err
	}
	if start.told == gap {
		h.metrics.gaps.Inc()
	}

	silence := time.NewTimer(h.heartbeat)
	defer silence.Stop()
	for {
		parked, err := s.forward(ctx, out)
		if err != nil {
			return err
		}
		if !parked {
			if h.hasEnded() || ctx.Err() != nil {
				return ctx.Err()
			}
			// A long replay of what does not match is silent, too.
			if time.Since(out.wrote) >= h.heartbeat {
				if err := s.beat(out); err != nil {
					return err
				}
			}
			continue
		}
		if err := h.wait(ctx, s, out, silence); err != nil || h.hasEnded() {
			return err
		}
	}
}

// wait returns when the parked subscriber has something to send, or the hub has ended. Meanwhile it breaks the silence.
func (h *Hub) wait(ctx context.Context, s *subscriber, out *wire, silence *time.Timer) error {
	for {
		select {
		case <-s.wake:
			return nil
		case <-h.ended:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-silence.C:
			left := h.heartbeat - time.Since(out.wrote)
			if left <= 0 {
				if err := s.beat(out); err != nil {
					return err
				}
				left = h.heartbeat
			}
			silence.Reset(left)
		}
	}
}

func (h *Hub) hasEnded() bool {
	select {
	case <-h.ended:
		return true
	default:
		return false
	}
}

// beat sends a comment, so that no proxy takes the connection for dead. It brings the client's id up to date, if that
// has fallen behind: a client that comes back after a week without a match would else read that week again, or be told
// of a gap that does not concern it.
func (s *subscriber) beat(out *wire) error {
	text := []byte(":\n")
	if c := s.checkpoint(); c != s.told {
		text = appendID(text, c)
		s.told = c
	}
	if err := out.add(append(text, '\n')); err != nil {
		return err
	}
	return out.flush()
}

// open sends a stream's first bytes: at once, so that the client knows that it is connected, and with an id, so that it
// can resume even if it loses the connection before the first event.
func (o *wire) open(start place) error {
	text := appendID(appendRetry(nil), start.position)
	text = append(text, '\n')
	switch start.told {
	case resumed:
		text = appendResumed(text)
	case gap:
		text = appendGap(text, start.oldest)
	}
	if err := o.add(text); err != nil {
		return err
	}
	return o.flush()
}

// end sends a stream's last bytes. The end of the body makes an EventSource reconnect; the retry says when.
func (o *wire) end() error {
	if err := o.add(append(appendRetry(nil), '\n')); err != nil {
		return err
	}
	return o.flush()
}

// appendRetry appends the line that says after how many milliseconds to reconnect.
func appendRetry(dst []byte) []byte {
	after := minRetry + rand.N(maxRetry-minRetry)
	dst = append(dst, "retry: "...)
	dst = strconv.AppendInt(dst, after.Milliseconds(), 10)
	return append(dst, '\n')
}
