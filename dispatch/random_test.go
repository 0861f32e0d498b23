package dispatch

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// TestRandom posts, waits, cancels, retries, disables and restarts at random, and checks that everything owed ends, once.
func TestRandom(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rnd := rand.New(rand.NewPCG(seed, 1))
				r := newRig(t)
				ok := map[event.DeliveryID]int{}
				healed := false
				answerRnd := rand.New(rand.NewPCG(seed, 2))
				r.receiver.to(func(q Request) Response {
					id := event.DeliveryID{Event: q.Event.Cursor, Webhook: q.Webhook.ID}
					r.receiver.mu.Lock()
					k := answerRnd.IntN(10)
					if healed {
						k = 0
					}
					d := time.Duration(answerRnd.IntN(3000)) * time.Millisecond
					r.receiver.mu.Unlock()
					if k < 8 {
						time.Sleep(d)
					}
					switch {
					case k < 5:
						r.receiver.mu.Lock()
						ok[id]++
						n := ok[id]
						r.receiver.mu.Unlock()
						if n > 1 {
							t.Errorf("%s delivered %d times (attempt %d)", id, n, q.Attempt)
						}
						return status(200)
					case k < 7:
						return status(500)
					case k < 8:
						a := status(503)
						a.RetryAfter = 10 * time.Second
						return a
					}
					return hang
				})
				webhooks := []*event.Webhook{}
				for i := range 4 {
					webhooks = append(webhooks, r.webhook(func(w *event.Webhook) {
						w.MaxInFlight = 1 + i*2
						w.Timeout = 2 * time.Second
						w.Retry = event.Schedule{time.Second, 2 * time.Second, 5 * time.Second, 5 * time.Second}
					}, "a"))
				}
				var events []*event.Event
				for range 100 {
					switch k := rnd.IntN(20); {
					case k < 8:
						for range 1 + rnd.IntN(60) {
							events = append(events, r.post("a"))
						}
					case k < 10:
						e := r.draft("a")
						w := r.d.Expect(e.ID, Mode(rnd.IntN(3)), e.Matches)
						if _, err := r.engine.Append(t.Context(), []store.Draft{{Event: e}}); err != nil {
							t.Fatal(err)
						}
						events = append(events, e)
						ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rnd.IntN(3000))*time.Millisecond)
						w.Await(ctx)
						cancel()
						r.d.Release(e.ID, w)
					case k < 12:
						w := webhooks[rnd.IntN(len(webhooks))]
						w.Enabled = !w.Enabled
						if err := r.engine.UpdateWebhook(t.Context(), w); err != nil {
							t.Fatal(err)
						}
					case k < 15 && len(events) > 0:
						e := events[rnd.IntN(len(events))]
						id := event.DeliveryID{Event: e.Cursor, Webhook: webhooks[rnd.IntN(len(webhooks))].ID}
						_, _ = r.d.Cancel(t.Context(), 1, id) // refused where it has ended
					case k < 17 && len(events) > 0:
						e := events[rnd.IntN(len(events))]
						id := event.DeliveryID{Event: e.Cursor, Webhook: webhooks[rnd.IntN(len(webhooks))].ID}
						if d, _, err := r.engine.Delivery(t.Context(), 1, id); err == nil && d.State >= event.Failed {
							_, _ = r.d.Retry(t.Context(), 1, id) // refused while its webhook is disabled
						}
					case k == 17:
						r.stop()
						r.start()
					default:
						time.Sleep(time.Duration(rnd.IntN(4000)) * time.Millisecond)
					}
				}
				r.receiver.mu.Lock()
				healed = true
				r.receiver.mu.Unlock()
				for _, w := range webhooks {
					if !w.Enabled {
						w.Enabled = true
						if err := r.engine.UpdateWebhook(t.Context(), w); err != nil {
							t.Fatal(err)
						}
					}
				}
				time.Sleep(3 * time.Hour)
				synctest.Wait()
				for _, e := range events {
					for _, w := range webhooks {
						d, _ := r.delivery(e, w)
						id := event.DeliveryID{Event: e.Cursor, Webhook: w.ID}
						if d.State == event.Pending {
							t.Errorf("%s is still pending, due %s, attempts %d", id, d.Due, d.Attempts)
						}
						if d.State != event.Delivered && ok[id] > 0 {
							t.Errorf("%s is %s %s though answered 200", id, d.State, d.Reason)
						}
					}
				}
				floor, _ := r.engine.Floor(t.Context())
				if b, _ := r.engine.Bounds(t.Context()); floor != b.Head {
					t.Errorf("floor %s head %s", floor, b.Head)
				}
				r.stop()
			})
		})
	}
}
