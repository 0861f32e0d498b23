package api

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/carillon/carillon/event"
)

func TestWebhookLocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l webhookLocks
		one, two := event.NewID(), event.NewID()
		unlock, err := l.lock(t.Context(), one)
		if err != nil {
			t.Fatal(err)
		}
		other, err := l.lock(t.Context(), two) // does not wait for the first
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := l.lock(ctx, one); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		})
		inside := 0
		for range 10 {
			wg.Go(func() {
				unlock, err := l.lock(t.Context(), one)
				if err != nil {
					t.Error(err)
					return
				}
				defer unlock()
				inside++ // the race detector sees it if there are two
			})
		}
		synctest.Wait()
		if inside != 0 {
			t.Errorf("%d are inside", inside)
		}
		cancel()
		synctest.Wait()
		unlock()
		other()
		wg.Wait()
		if inside != 10 || len(l.held) != 0 {
			t.Errorf("%d were inside, %d locks are left", inside, len(l.held))
		}
	})
}
