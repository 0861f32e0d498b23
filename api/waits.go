package api

import (
	"context"
	"sync"
	"time"
)

// waits are the requests that wait at the moment, so that a shutdown can send them home: synchronous posters with their
// receipts, doctors with what they have told. The zero value is ready for use.
type waits struct {
	mu      sync.Mutex
	drained bool
	next    int
	cancels map[int]context.CancelFunc
}

// begin returns a context that ends after so long, with ctx, or when the API is drained. Call end when done with it.
func (ws *waits) begin(ctx context.Context, most time.Duration) (_ context.Context, end func()) {
	ctx, cancel := context.WithTimeout(ctx, most)
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.drained {
		cancel()
		return ctx, cancel
	}
	if ws.cancels == nil {
		ws.cancels = make(map[int]context.CancelFunc)
	}
	number := ws.next
	ws.next++
	ws.cancels[number] = cancel
	return ctx, func() {
		cancel()
		ws.mu.Lock()
		defer ws.mu.Unlock()
		delete(ws.cancels, number)
	}
}

func (ws *waits) drain() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.drained = true
	for _, cancel := range ws.cancels {
		cancel()
	}
}
