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

// TestEverythingAtRandom posts, waits, restarts, and in odd runs also disables, moves, reorders, replays, cancels and
// retries, and checks that everything ends, that nothing succeeds twice unless somebody asked for it, and that order holds
// where nobody stepped in.
func TestEverythingAtRandom(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rnd := rand.New(rand.NewPCG(seed, 21))
				ar := rand.New(rand.NewPCG(seed, 22))
				r := newRig(t)
				defer func() { r.stop() }()
				ok := map[event.DeliveryID]int{}
				again := map[event.DeliveryID]int{}
				stepped := map[event.ID]bool{}
				lastKey := map[string]event.Cursor{}
				healed := false
				bad := map[event.ID]int{}
				r.receiver.to(func(q Request) Response {
					id := event.DeliveryID{Event: q.Event.Cursor, Webhook: q.Webhook.ID}
					r.receiver.mu.Lock()
					key := ""
					switch q.Webhook.Order {
					case event.OrderStrict:
						key = q.Webhook.ID.String()
					case event.OrderKey:
						if q.Event.PartitionKey != "" {
							key = q.Webhook.ID.String() + q.Event.PartitionKey
						}
					}
					if key != "" && !stepped[q.Webhook.ID] {
						if q.Event.Cursor < lastKey[key] {
							t.Errorf("order: %s after %s", q.Event.Cursor, lastKey[key])
						}
						lastKey[key] = q.Event.Cursor
					}
					k := ar.IntN(10) + bad[q.Webhook.ID]
					if healed {
						k = 0
					}
					d := time.Duration(ar.IntN(600)) * time.Millisecond
					r.receiver.mu.Unlock()
					time.Sleep(d)
					switch {
					case k < 6:
						r.receiver.mu.Lock()
						ok[id]++
						if ok[id] > 1+again[id] {
							t.Errorf("%s succeeded %d times, reopened %d", id, ok[id], again[id])
						}
						r.receiver.mu.Unlock()
						return status(200)
					case k < 7:
						return status(404)
					case k < 8:
						return status(500)
					case k < 9:
						a := status(503)
						a.RetryAfter = 7 * time.Second
						return a
					}
					return hang
				})
				var hooks []*event.Webhook
				for i, o := range []event.Order{event.OrderNone, event.OrderStrict, event.OrderKey, event.OrderStrict, event.OrderKey} {
					hooks = append(hooks, r.webhook(func(w *event.Webhook) {
						w.Order, w.Timeout = o, time.Second
						w.MaxInFlight = 1 + 3*i
						w.Retry = event.Schedule{time.Second, 3 * time.Second, 10 * time.Second, time.Minute, time.Hour}
						if i == 4 {
							w.RateLimit = event.RateLimit{PerSecond: 20, Burst: 5}
						}
					}, "a"))
				}
				interfere := seed%2 == 1
				var events []*event.Event
				pick := func() *event.Event { return events[rnd.IntN(len(events))] }
				update := func(i int, f func(*event.Webhook)) {
					w, err := r.engine.Webhook(t.Context(), 1, hooks[i].ID)
					if err != nil {
						t.Fatal(err)
					}
					f(w)
					if err := r.engine.UpdateWebhook(t.Context(), w); err != nil {
						t.Fatal(err)
					}
				}
				step := func(w *event.Webhook) {
					r.receiver.mu.Lock()
					stepped[w.ID] = true
					r.receiver.mu.Unlock()
				}
				events = append(events, r.postKey("a", "k0"))
				for range 80 {
					i := rnd.IntN(len(hooks))
					w := hooks[i]
					switch k := rnd.IntN(24); {
					case k < 8:
						for range 1 + rnd.IntN(50) {
							key := ""
							if j := rnd.IntN(5); j > 0 {
								key = fmt.Sprint("k", j)
							}
							events = append(events, r.postKey("a", key))
						}
					case k < 10:
						e := r.draft("a")
						wt := r.d.Expect(e.ID, Mode(rnd.IntN(3)), e.Matches)
						if _, err := r.engine.Append(t.Context(), []store.Draft{{Event: e}}); err != nil {
							t.Fatal(err)
						}
						events = append(events, e)
						ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rnd.IntN(3000))*time.Millisecond)
						wt.Await(ctx)
						cancel()
						r.d.Release(e.ID, wt)
					case k == 10:
						r.stop()
						r.start()
					case k == 11:
						r.receiver.mu.Lock()
						bad[w.ID] = []int{0, 6, 8}[rnd.IntN(3)]
						r.receiver.mu.Unlock()
					case k == 12 && interfere:
						update(i, func(w *event.Webhook) { w.Enabled = !w.Enabled })
					case k == 13 && interfere:
						update(i, func(w *event.Webhook) { w.URL = fmt.Sprint("http://receiver.test/", rnd.IntN(100)) })
					case k == 14 && interfere:
						step(w)
						update(i, func(w *event.Webhook) {
							w.Order = []event.Order{event.OrderNone, event.OrderStrict, event.OrderKey}[rnd.IntN(3)]
						})
					case k == 15 && interfere:
						update(i, func(w *event.Webhook) { w.MaxInFlight = 1 + rnd.IntN(20) })
					case k == 16 && interfere:
						step(w)
						r.receiver.mu.Lock()
						for _, e := range events {
							again[idOf(e, w)]++
						}
						r.receiver.mu.Unlock()
						_, _ = r.d.Replay(t.Context(), store.Job{ID: event.NewID(), Tenant: 1, Webhook: w.ID, PerSecond: 200,
							Filter: store.ReplayFilter{States: []event.State{event.Failed, event.Canceled, event.Delivered}}})
					case k < 19 && interfere:
						// the oldest pending ones: heads
						for _, e := range events {
							if d, _, err := r.engine.Delivery(t.Context(), 1, idOf(e, w)); err == nil && d.State == event.Pending {
								_, _ = r.d.Cancel(t.Context(), 1, idOf(e, w))
								break
							}
						}
					case k < 21 && interfere:
						step(w)
						e := pick()
						r.receiver.mu.Lock()
						again[idOf(e, w)]++
						r.receiver.mu.Unlock()
						_, _ = r.d.Retry(t.Context(), 1, idOf(e, w))
					default:
						time.Sleep(time.Duration(rnd.IntN(6000)) * time.Millisecond)
					}
				}
				r.receiver.mu.Lock()
				healed = true
				r.receiver.mu.Unlock()
				for i := range hooks {
					update(i, func(w *event.Webhook) { w.Enabled = true })
				}
				time.Sleep(30 * time.Hour)
				synctest.Wait()
				for _, e := range events {
					for _, w := range hooks {
						d, _ := r.delivery(e, w)
						if d.State == event.Pending {
							t.Errorf("%s (%s) pending, due %s, attempts %d", d.ID, w.Order, time.Since(d.Due), d.Attempts)
						}
						if d.State != event.Delivered && d.State == event.Pending && ok[d.ID] > 0 {
							t.Errorf("%s %s though 200", d.ID, d.State)
						}
					}
				}
				floor, _ := r.engine.Floor(t.Context())
				if b, _ := r.engine.Bounds(t.Context()); floor != b.Head {
					t.Errorf("floor %s head %s", floor, b.Head)
				}
			})
		})
	}
}
