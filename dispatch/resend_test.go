package dispatch

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/sign"
)

// A receiver that takes a request and drops the connection (a handler that panics) must not get one attempt many times.
func TestOneAttemptIsTwoRequestsAtMost(t *testing.T) {
	var broken atomic.Bool
	var hits atomic.Int32
	const connections = 8
	var together sync.WaitGroup
	together.Add(connections)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if broken.Load() {
			hits.Add(1)
			panic(http.ErrAbortHandler)
		}
		together.Done()
		together.Wait()
	}))
	defer server.Close()
	s := NewSender(SenderConfig{Guard: NewGuard(GuardConfig{AllowLoopback: func() bool { return true }})})
	defer s.Close()
	w := &event.Webhook{ID: event.NewID(), URL: server.URL, Secret: event.Secret(sign.NewSecret()), Timeout: 10 * time.Second}
	r := Request{Webhook: w, Event: &event.Event{ID: event.NewID(), Topic: "a", Payload: []byte("x")}, Attempt: 1}
	var all sync.WaitGroup
	for range connections {
		all.Go(func() { s.Send(t.Context(), r) })
	}
	all.Wait()
	broken.Store(true)
	got := s.Send(t.Context(), r)
	t.Log(got.Attempt.Outcome, got.Err)
	if n := hits.Load(); n > 2 {
		t.Errorf("one attempt reached the receiver %d times", n)
	}
}
