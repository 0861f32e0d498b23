package stream

import (
	"context"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"testing"
	"time"
	"weak"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

type feed struct{ events chan []*event.Event }

func (f *feed) Bounds(context.Context) (store.Bounds, error) { return store.Bounds{}, nil }
func (f *feed) Read(context.Context, event.TenantID, store.ReadQuery) (store.ReadResult, error) {
	panic("not read")
}
func (f *feed) Tail(event.Cursor) store.Tail                                  { return f }
func (f *feed) CursorBefore(context.Context, time.Time) (event.Cursor, error) { return 0, nil }
func (f *feed) Next(ctx context.Context) ([]*event.Event, error) {
	select {
	case e := <-f.events:
		return e, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// stalled is a response that stops taking anything after its opening.
type stalled struct {
	mu      sync.Mutex
	writes  int
	blocked chan struct{}
	free    chan struct{}
}

func (s *stalled) Header() http.Header { return http.Header{} }
func (s *stalled) WriteHeader(int)     {}
func (s *stalled) Flush()              {}
func (s *stalled) Write(b []byte) (int, error) {
	s.mu.Lock()
	s.writes++
	n := s.writes
	s.mu.Unlock()
	if n == 2 {
		close(s.blocked)
	}
	if n >= 2 {
		<-s.free
	}
	return len(b), nil
}

// A stalled reader pins what it holds of the ring, after the ring itself has let it go.
func TestStalledReaderLetsGoOfTheRing(t *testing.T) {
	f := &feed{make(chan []*event.Event)}
	hub := New(Config{Log: f})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = hub.Run(ctx) })
	var pinned []weak.Pointer[event.Event]
	next := event.Cursor(0)
	batch := func(n int, watch bool) {
		var events []*event.Event
		for range n {
			next++
			e := &event.Event{Cursor: next, Tenant: 1, Topic: "a", Payload: make([]byte, 1<<20)}
			if watch {
				pinned = append(pinned, weak.Make(e))
			}
			events = append(events, e)
		}
		f.events <- events
	}
	w := &stalled{blocked: make(chan struct{}), free: make(chan struct{})}
	wg.Go(func() {
		_ = hub.Serve(w, httptest.NewRequestWithContext(ctx, "GET", "/", nil), Subscription{Tenant: 1, Patterns: []event.Pattern{"a"}})
	})
	for parked := false; !parked; runtime.Gosched() {
		for _, info := range hub.Streams(1, event.ID{}, 1) {
			parked = !info.CatchingUp
		}
	}
	batch(14, true)
	<-w.blocked
	for range 4 {
		batch(14, false) // the ring has dropped the first by now
	}
	f.events <- nil
	runtime.GC()
	runtime.GC()
	alive := 0
	for _, p := range pinned {
		if p.Value() != nil {
			alive++
		}
	}
	cancel()
	close(w.free)
	wg.Wait()
	if alive > 2 {
		t.Errorf("a stalled reader holds %d events of 1 MiB that the ring has dropped", alive)
	}
}
