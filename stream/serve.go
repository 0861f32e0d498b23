package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/filter"
)

// Subscription is what a stream was asked to carry. It must not be changed once given to [Hub.Serve].
type Subscription struct {
	Tenant   event.TenantID
	Patterns []event.Pattern // any of them; an event that several match comes once
	Filter   *filter.Filter  // of those, the ones that it accepts; nil: all
	Format   Format
	Named    bool // each event has its topic as its name; not those that come as base64
	Start    Start

	FilterSource string // what Filter was compiled from: who has the same shares its evaluation

	Key     string         // who opens the stream, for limits, lists and [Hub.EndKey]; empty: nobody in particular
	Hidden  bool           // the tenant is not told Key: it is another's
	Address netip.AddrPort // where from
	Expires time.Time      // when what it was opened with is no longer valid: the stream is told so and ends; zero: never
}

// ErrFull is returned for a stream of lines where there are too many streams already.
var ErrFull = errors.New("too many streams are open")

// fullRetry is the least time after which who found no place should come back; the most is twice that.
const fullRetry = 10 * time.Second

// Serve answers with a stream. The status is always 200, also when there is no place, the hub has ended or the log cannot
// be read: a browser takes any other for final, and here it is told to come back. Only of lines, which no browser reads
// by itself, the caller has to answer [ErrFull] in its own way: nothing has been written then.
//
// A connection of HTTP/1 without TLS is taken from the server, and Serve returns when the hub has it; the stream ends
// when the client leaves, has read nothing for too long, or the hub ends. Any other is served until then. The deadlines
// that the server has set for the whole of a request are lifted. Other errors than ErrFull are the log's, or say that the
// connection cannot be streamed on; there is nothing left to answer then, and only to log them.
func (h *Hub) Serve(w http.ResponseWriter, r *http.Request, sub Subscription) error {
	header := w.Header()
	if sub.Format == Lines {
		header.Set("Content-Type", "application/x-ndjson")
	} else {
		header.Set("Content-Type", "text/event-stream")
	}
	header.Set("Cache-Control", "no-store, no-transform")
	header.Set("X-Accel-Buffering", "no")
	header.Set("X-Content-Type-Options", "nosniff")

	// Until Run has begun there is nobody to look after a connection.
	select {
	case <-h.begun:
	case <-h.ended:
	case <-r.Context().Done():
		return nil
	}
	if !h.seats.take(sub.Tenant, sub.Key, sub.Address.Addr()) {
		h.metrics.refused.Inc()
		if sub.Format == Lines {
			return ErrFull
		}
		h.turnAway(w, sub.Format, statusFull, fullRetry+rand.N(fullRetry)) // #nosec G404 -- jitter is no secret
		return nil
	}
	start, err := sub.Start.resolve(r.Context(), h.log)
	if err != nil || h.hasEnded() {
		h.seats.free(sub.Tenant, sub.Key, sub.Address.Addr())
		h.turnAway(w, sub.Format, "", h.comeBack())
		if r.Context().Err() != nil || h.hasEnded() {
			return nil
		}
		return err
	}
	if start.told == gap {
		h.metrics.gaps.Inc()
	}
	s := &subscriber{
		hub: h, tenant: sub.Tenant, form: formOf(sub.Format, sub.Named),
		id: event.NewID(), key: sub.Key, hidden: sub.Hidden, address: sub.Address, opened: time.Now().UnixMilli(), until: h.closing(sub.Expires),
		position: start.position, told: start.position, wrote: h.now(),
	}
	s.token = !sub.Expires.IsZero() && s.until.Equal(sub.Expires)
	s.shown.Store(uint64(s.position))
	s.sock, err = h.takeOver(w, r, h.watcher)
	if err != nil {
		h.seats.free(sub.Tenant, sub.Key, sub.Address.Addr())
		return fmt.Errorf("take over a connection: %w", err)
	}
	if s.sock == nil {
		s.wake, s.quit = make(chan struct{}, 1), make(chan struct{})
		return h.carry(w, r, s, sub, start)
	}
	s.rest = append(appendHead(nil, header), h.opening(sub.Format, start)...)
	if !h.join(s, sub) {
		h.seats.free(sub.Tenant, sub.Key, sub.Address.Addr())
		s.rest = append(appendHead(nil, header), s.unseated()...)
		_, _ = s.sock.write(s.rest)
		s.sock.finish()
		return nil
	}
	s.sock.watch(func() {
		defer h.tasks.Done() // join counted it
		h.leave(s)
	})
	go func() {
		defer h.tasks.Done() // join counted it
		s.catchUp(h.ctx)
	}()
	return nil
}

// closing returns when a stream that is opened now is closed.
func (h *Hub) closing(expires time.Time) time.Time {
	var until time.Time
	if h.maxAge > 0 {
		until = time.Now().Add(h.maxAge - rand.N(h.maxAge/10+1)) // #nosec G404 -- jitter is no secret
	}
	if !expires.IsZero() && (until.IsZero() || expires.Before(until)) {
		return expires
	}
	return until
}

// turnAway answers with a stream that ends at once.
func (h *Hub) turnAway(w http.ResponseWriter, in Format, why string, after time.Duration) {
	w.WriteHeader(http.StatusOK)
	// A client that has left needs no answer.
	_, _ = w.Write(appendGoodbye(nil, in, why, after))
}

// appendHead appends the head of a response whose body ends with its connection (RFC 9112, section 6.3): there are no
// chunks, so that what is sent to one is sent to all.
func appendHead(dst []byte, header http.Header) []byte {
	dst = append(dst, "HTTP/1.1 200 OK\r\n"...)
	header = header.Clone()
	header.Set("Connection", "close")
	header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	header.Del("Content-Length")
	header.Del("Transfer-Encoding")
	for _, name := range slices.Sorted(maps.Keys(header)) {
		for _, value := range header[name] {
			if strings.ContainsAny(value, "\r\n") {
				continue // it would be the beginning of another header
			}
			dst = append(append(append(append(dst, name...), ": "...), value...), "\r\n"...)
		}
	}
	return append(dst, "\r\n"...)
}

// carry serves a stream through net/http: over HTTP/2 or TLS, where a connection is not the stream's alone.
func (h *Hub) carry(w http.ResponseWriter, r *http.Request, s *subscriber, sub Subscription, start place) error {
	ctx := r.Context()
	out := &response{w: w, control: http.NewResponseController(w), timeout: h.writeTimeout}
	// A deadline costs something, and between heartbeats there is none that passes in silence if it is long.
	out.lifts = r.ProtoMajor > 1 && h.writeTimeout < 2*h.heartbeat
	// It would end the request's context, and with it the stream.
	_ = out.control.SetReadDeadline(time.Time{})
	s.hurry = out.hurry
	w.WriteHeader(http.StatusOK)
	if !h.join(s, sub) {
		h.seats.free(sub.Tenant, sub.Key, sub.Address.Addr())
		return out.send(s.unseated())
	}
	defer h.leave(s)
	defer out.finish()
	defer context.AfterFunc(h.ctx, out.hurry)()
	err := s.stream(ctx, out, h.opening(sub.Format, start))
	switch {
	case errors.Is(err, errReaderGone) || ctx.Err() != nil:
		return nil
	case errors.Is(err, errOld):
		err = out.send(s.farewell())
	case errors.Is(err, errOver):
		err = out.send(s.goodbye())
	default:
		_ = out.send(s.goodbye()) // err says more
		return err
	}
	if err == nil {
		// The connection may serve another request, whose writes are not the stream's.
		_ = out.control.SetWriteDeadline(time.Time{})
	}
	return ignoreGone(err)
}

func ignoreGone(err error) error {
	if errors.Is(err, errReaderGone) {
		return nil
	}
	return err
}

// stream sends until ctx or the hub ends, or the stream is due: its error says which.
func (s *subscriber) stream(ctx context.Context, out *response, opening []byte) error {
	if err := out.send(opening); err != nil {
		return err
	}
	silence := time.NewTimer(s.hub.heartbeat)
	defer silence.Stop()
	s.hub.pages.begin()
	defer s.hub.pages.end()
	for {
		switch {
		case s.hub.hasEnded():
			return errOver
		case ctx.Err() != nil:
			return ctx.Err()
		case s.due(time.Now()):
			return errOld
		case s.keepUp():
			s.hub.pages.end()
			err := s.wait(ctx, out, silence)
			s.hub.pages.begin()
			if err != nil {
				return err
			}
			continue
		}
		before := s.position
		if err := s.pull(ctx, out); err != nil {
			return err
		}
		if s.position == before && s.behind() {
			if err := pause(ctx, trailingPause); err != nil {
				return err
			}
		}
		// A long replay of what does not match is silent, too.
		if time.Since(out.wrote) >= s.hub.heartbeat {
			if err := out.send(s.heartbeat(s.position)); err != nil {
				return err
			}
		}
	}
}

// pull sends one chunk.
func (s *subscriber) pull(ctx context.Context, out *response) error {
	c, own, err := s.nextInTurn(ctx)
	if err != nil {
		return err
	}
	if own {
		defer c.recycle()
	}
	if c.gap {
		return out.send(s.passGap(c))
	}
	if err := out.send(c.text); err != nil {
		return err
	}
	s.hub.metrics.events.Add(float64(s.advance(c, len(c.text))))
	return nil
}

// wait returns when there is something to send to a stream that has kept up. Meanwhile it breaks the silence.
func (s *subscriber) wait(ctx context.Context, out *response, silence *time.Timer) error {
	var due <-chan time.Time
	if !s.until.IsZero() {
		timer := time.NewTimer(time.Until(s.until))
		defer timer.Stop()
		due = timer.C
	}
	silence.Reset(s.hub.heartbeat - time.Since(out.wrote))
	for {
		select {
		case <-s.wake:
			return nil
		case <-s.hub.ended:
			return errOver
		case <-ctx.Done():
			return ctx.Err()
		case <-due:
			return errOld
		case <-s.quit:
			return errOld
		case <-silence.C:
			if err := out.send(s.heartbeat(s.checkpoint())); err != nil {
				return err
			}
			silence.Reset(s.hub.heartbeat)
		}
	}
}
