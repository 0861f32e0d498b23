package dispatch

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carillon/carillon/event"
)

// inOrder checks that the requests of each key came in log order: none before the last one of those before it.
func inOrder(t *testing.T, calls []call, webhook event.ID, key func(call) string) {
	t.Helper()
	newest := map[string]event.Cursor{}
	for _, c := range calls {
		if c.webhook != webhook {
			continue
		}
		k := key(c)
		if c.cursor < newest[k] {
			t.Fatalf("%s of %q was requested after %s", c.cursor, k, newest[k])
		}
		newest[k] = c.cursor
	}
}

func everything(call) string { return "" }

func partition(c call) string { return c.key }

func TestStrictOrderWaitsForTheHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.stop()
		w := r.webhook(func(w *event.Webhook) { w.Order = event.OrderStrict }, "a")
		failing := map[event.Cursor]int{4: 1, 8: 99} // the log begins at 1
		r.receiver.to(func(q Request) Response {
			time.Sleep(10 * time.Millisecond)
			if q.Attempt <= failing[q.Event.Cursor] {
				return status(500)
			}
			return status(200)
		})
		var events []*event.Event
		for range 20 {
			events = append(events, r.post("a"))
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		for i, e := range events {
			switch i {
			case 3:
				r.want(e, w, event.Delivered, "", 2)
			case 7:
				r.want(e, w, event.Failed, event.ReasonExhausted, 3)
			default:
				r.want(e, w, event.Delivered, "", 1)
			}
		}
		inOrder(t, r.receiver.got(), w.ID, everything)
	})
}

func TestKeyOrderHoldsUpOnlyItsKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.stop()
		w := r.webhook(func(w *event.Webhook) { w.Order = event.OrderKey }, "a")
		healed := false
		r.receiver.to(func(q Request) Response {
			r.receiver.mu.Lock()
			defer r.receiver.mu.Unlock()
			if q.Event.PartitionKey == "bad" && !healed {
				return status(422)
			}
			return status(200)
		})
		var bad, good, free []*event.Event
		// More than fit in memory: they must not keep the others out.
		for i := range 2 * lookAhead {
			bad = append(bad, r.postKey("a", "bad"))
			if i%8 == 0 {
				good = append(good, r.postKey("a", fmt.Sprint("good", i%3)))
				free = append(free, r.post("a"))
			}
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		for i := range good {
			r.want(good[i], w, event.Delivered, "", 1)
			r.want(free[i], w, event.Delivered, "", 1)
		}
		r.want(bad[0], w, event.Pending, "", 1)
		r.want(bad[1], w, event.Pending, "", 0)
		late := r.postKey("a", "good1")
		settled()
		r.want(late, w, event.Delivered, "", 1)

		r.receiver.mu.Lock()
		healed = true
		r.receiver.mu.Unlock()
		time.Sleep(time.Minute)
		synctest.Wait()
		r.want(bad[0], w, event.Delivered, "", 2)
		for _, e := range bad[1:] {
			r.want(e, w, event.Delivered, "", 1)
		}
		inOrder(t, r.receiver.got(), w.ID, func(c call) string {
			if c.key == "" {
				return c.cursor.String()
			}
			return c.key
		})
	})
}

func TestStrictBacklogDrainsInOrderOverRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		w := r.webhook(func(w *event.Webhook) { w.Order, w.Retry = event.OrderStrict, event.DefaultSchedule() }, "a")
		r.receiver.to(replying(hang))
		var events []*event.Event
		for range 2*lookAhead + 100 {
			events = append(events, r.post("a"))
		}
		time.Sleep(2 * time.Second)
		r.receiver.to(func(Request) Response {
			time.Sleep(time.Millisecond)
			return status(200)
		})
		for range 4 {
			time.Sleep(20 * time.Second)
			r.stop()
			r.start()
			for range 5 {
				events = append(events, r.post("a"))
			}
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		for _, e := range events {
			if d, _ := r.delivery(e, w); d.State != event.Delivered {
				t.Fatalf("%s is %s", d.ID, d.State)
			}
		}
		inOrder(t, r.receiver.got(), w.ID, everything)
		r.stop()
	})
}

func TestCanceledHeadFreesTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.stop()
		w := r.webhook(func(w *event.Webhook) { w.Order, w.Retry = event.OrderStrict, event.Schedule{time.Hour} }, "a")
		r.receiver.to(replying(status(404)))
		head, next := r.post("a"), r.post("a")
		time.Sleep(5 * time.Second)
		r.receiver.to(replying(status(200)))
		r.want(next, w, event.Pending, "", 0)
		if _, err := r.d.Cancel(t.Context(), event.DefaultTenant, event.DeliveryID{Event: head.Cursor, Webhook: w.ID}); err != nil {
			t.Fatal(err)
		}
		settled()
		r.want(head, w, event.Canceled, event.ReasonByHand, 1)
		r.want(next, w, event.Delivered, "", 1)
	})
}

// TestOrderAtRandom fails, hangs, waits, restarts and retries by hand at random, and checks that the requests of a key
// come in log order wherever nobody stepped in.
func TestOrderAtRandom(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rnd := rand.New(rand.NewPCG(seed, 7))
				answers := rand.New(rand.NewPCG(seed, 8))
				r := newRig(t)
				healed := false
				r.receiver.to(func(q Request) Response {
					r.receiver.mu.Lock()
					k := answers.IntN(10)
					if healed {
						k = 0
					}
					took := time.Duration(answers.IntN(400)) * time.Millisecond
					r.receiver.mu.Unlock()
					time.Sleep(took)
					switch {
					case k < 7:
						return status(200)
					case k < 9:
						return status(400)
					}
					return hang
				})
				setting := func(o event.Order) func(*event.Webhook) {
					return func(w *event.Webhook) {
						w.Order, w.Timeout = o, time.Second
						w.Retry = event.Schedule{time.Second, 3 * time.Second, 10 * time.Second}
					}
				}
				strict, keyed := r.webhook(setting(event.OrderStrict), "a"), r.webhook(setting(event.OrderKey), "a")
				var events []*event.Event
				for range 60 {
					switch k := rnd.IntN(12); {
					case k < 6:
						for range 1 + rnd.IntN(20) {
							events = append(events, r.postKey("a", fmt.Sprint("k", rnd.IntN(4))))
						}
					case k == 6:
						r.stop()
						r.start()
					default:
						time.Sleep(time.Duration(rnd.IntN(3000)) * time.Millisecond)
					}
				}
				r.receiver.mu.Lock()
				healed = true
				r.receiver.mu.Unlock()
				time.Sleep(6 * time.Hour)
				synctest.Wait()
				for _, w := range []*event.Webhook{strict, keyed} {
					for _, e := range events {
						if d, _ := r.delivery(e, w); d.State == event.Pending {
							t.Fatalf("%s of the %s webhook is still pending, due %s", d.ID, w.Order, d.Due)
						}
					}
				}
				calls := r.receiver.got()
				inOrder(t, calls, strict.ID, everything)
				inOrder(t, calls, keyed.ID, partition)
				r.stop()
			})
		})
	}
}
