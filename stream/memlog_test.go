package stream_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
	"github.com/carillon/carillon/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	tenantA event.TenantID = 1
	tenantB event.TenantID = 2
)

// memLog is a log in memory. Cursors are 1, 2, 3 …
type memLog struct {
	reads atomic.Int64

	mu      sync.Mutex
	events  []*event.Event // all that ever were
	trimmed event.Cursor
	changed chan struct{} // closed and replaced by each append
	hold    bool          // tails see nothing new
	broken  error         // what every method but Tail returns
}

func newMemLog() *memLog { return &memLog{changed: make(chan struct{})} }

func (l *memLog) append(tenant event.TenantID, topic event.Topic, payloads ...[]byte) event.Cursor {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range payloads {
		l.events = append(l.events, &event.Event{
			ID: event.NewID(), Tenant: tenant, Topic: topic, Payload: p, Cursor: event.Cursor(len(l.events) + 1),
			Time: time.Unix(int64(len(l.events)+1), 0),
		})
	}
	close(l.changed)
	l.changed = make(chan struct{})
	return event.Cursor(len(l.events))
}

func (l *memLog) trim(c event.Cursor) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.trimmed = c
}

func (l *memLog) holdTails(hold bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hold = hold
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *memLog) setBroken(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = err
}

func (l *memLog) Bounds(context.Context) (store.Bounds, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return store.Bounds{Trimmed: l.trimmed, Head: event.Cursor(len(l.events))}, l.broken
}

func (l *memLog) Read(_ context.Context, tenant event.TenantID, q store.ReadQuery) (store.ReadResult, error) {
	l.reads.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken != nil {
		return store.ReadResult{}, l.broken
	}
	if q.After < l.trimmed {
		return store.ReadResult{}, &store.GoneError{Trimmed: l.trimmed}
	}
	r := store.ReadResult{Through: q.After}
	for bytes, examined := 0, 0; int(r.Through) < len(l.events) && examined < 1000 && len(r.Events) < q.Limit; examined++ {
		e := l.events[r.Through]
		r.Through++
		if e.Tenant == tenant && event.MatchAny(q.Patterns, e.Topic) {
			r.Events = append(r.Events, e)
			if bytes += len(e.Payload); q.Bytes > 0 && bytes >= q.Bytes {
				break
			}
		}
	}
	r.End = int(r.Through) == len(l.events)
	return r, nil
}

func (l *memLog) CursorBefore(_ context.Context, t time.Time) (event.Cursor, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.trimmed
	for int(c) < len(l.events) && l.events[c].Time.Before(t) {
		c++
	}
	return c, l.broken
}

type memTail struct {
	log   *memLog
	after event.Cursor
}

func (l *memLog) Tail(after event.Cursor) store.Tail { return &memTail{l, after} }

func (t *memTail) Next(ctx context.Context) ([]*event.Event, error) {
	for {
		t.log.mu.Lock()
		events, changed, trimmed, hold := t.log.events, t.log.changed, t.log.trimmed, t.log.hold
		t.log.mu.Unlock()
		if !hold && t.after < trimmed {
			return nil, &store.GoneError{Trimmed: trimmed}
		}
		if !hold && int(t.after) < len(events) {
			events = events[t.after:min(len(events), int(t.after)+100)]
			t.after = events[len(events)-1].Cursor
			return events, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// runHub runs a hub for the time of a test.
func runHub(t testing.TB, cfg stream.Config) *stream.Hub {
	hub, stop := startHub(t, cfg)
	t.Cleanup(stop)
	return hub
}

// startHub runs a hub until stop, which waits for it.
func startHub(t testing.TB, cfg stream.Config) (hub *stream.Hub, stop func()) {
	hub = stream.New(cfg)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- hub.Run(ctx) }()
	return hub, sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// response is an http.ResponseWriter whose every write waits until the client has read it.
type response struct {
	*io.PipeWriter
	header http.Header
	status int
}

func (r *response) Header() http.Header  { return r.header }
func (r *response) WriteHeader(code int) { r.status = code }
func (r *response) Flush()               {}

// client is the other end of a stream.
type client struct {
	*parser
	t        testing.TB
	response *response
	body     *io.PipeReader
	cancel   context.CancelFunc
	served   chan error // what Serve returned
}

func openStream(t testing.TB, hub *stream.Hub, sub stream.Subscription) *client {
	return openStreamContext(t.Context(), t, hub, sub)
}

func openStreamContext(ctx context.Context, t testing.TB, hub *stream.Hub, sub stream.Subscription) *client {
	ctx, cancel := context.WithCancel(ctx)
	r, w := io.Pipe()
	c := &client{newParser(r), t, &response{w, http.Header{}, 0}, r, cancel, make(chan error, 1)}
	go func() {
		err := hub.Serve(c.response, httptest.NewRequestWithContext(ctx, "GET", "/", nil), sub)
		w.Close()
		c.served <- err
	}()
	return c
}

// close leaves the stream and waits until the gateway has noticed.
func (c *client) close() {
	c.cancel()
	c.body.Close()
	if err := <-c.served; err != nil {
		c.t.Errorf("Serve: %v", err)
	}
}

func (c *client) block() block {
	c.t.Helper()
	b, err := c.parser.block()
	if err != nil {
		c.t.Fatalf("the stream broke off: %v", err)
	}
	return b
}

func (c *client) next() block {
	c.t.Helper()
	b, err := c.parser.next()
	if err != nil {
		c.t.Fatalf("the stream broke off: %v", err)
	}
	return b
}

// want reads events and compares their data.
func (c *client) want(data ...string) {
	c.t.Helper()
	for _, want := range data {
		if got := c.next(); got.data != want || got.name == "_stream" {
			c.t.Fatalf("got %+v, want %q", got, want)
		}
	}
}

// status reads a _stream block and compares it.
func (c *client) status(status string) {
	c.t.Helper()
	before := c.lastID
	b := c.next()
	if b.name != "_stream" || !strings.Contains(b.data, fmt.Sprintf(`"status":%q`, status)) {
		c.t.Fatalf("got %+v, want status %s", b, status)
	}
	// The id was set by the opening block at the earliest, never by the status.
	if before != "" && b.id != before {
		c.t.Fatalf("the status moved the id from %s to %s", before, b.id)
	}
}

func numbered(from, through int) [][]byte {
	var all [][]byte
	for i := from; i <= through; i++ {
		all = append(all, fmt.Appendf(nil, "%d", i))
	}
	return all
}

func texts(payloads [][]byte) []string {
	all := make([]string, len(payloads))
	for i, p := range payloads {
		all[i] = string(bytes.Clone(p))
	}
	return all
}
