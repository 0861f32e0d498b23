package api

import (
	"context"
	"sync"

	"github.com/carillon/carillon/event"
)

// webhookLocks lets requests to change a webhook through one after the other, so that those which are sent together do
// not make each other begin again. It is this process's alone, and the engine changes webhooks without it (one that
// answers 410 is disabled): what must not be lost is still guarded by the version that a write names. The zero value is
// ready for use.
type webhookLocks struct {
	mu   sync.Mutex
	held map[event.ID]*webhookLock
}

type webhookLock struct {
	turn  chan struct{} // holds one token while the webhook is being changed
	users int           // who has the turn, and who waits for it
}

// lock waits for its turn at a webhook; call unlock when done. Its error is ctx's.
func (l *webhookLocks) lock(ctx context.Context, id event.ID) (unlock func(), err error) {
	l.mu.Lock()
	lock := l.held[id]
	if lock == nil {
		if l.held == nil {
			l.held = make(map[event.ID]*webhookLock)
		}
		lock = &webhookLock{turn: make(chan struct{}, 1)}
		l.held[id] = lock
	}
	lock.users++
	l.mu.Unlock()

	leave := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if lock.users--; lock.users == 0 {
			delete(l.held, id)
		}
	}
	select {
	case lock.turn <- struct{}{}:
		return func() {
			<-lock.turn
			leave()
		}, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}
