package dispatch

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// What the real sender gives for a 200 with more than 1 MiB while somebody waits.
func large(q Request) Response {
	if !q.Whole {
		return status(200)
	}
	a := status(200)
	a.Attempt.Outcome, a.TooLarge = event.ErrTooLarge, true
	return a
}

func TestLargeSuccessIsDeliveredOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.stop()
		quick, big := r.webhook(nil, "a"), r.webhook(nil, "a")
		r.receiver.to(func(q Request) Response {
			if q.Webhook.ID == quick.ID {
				return body(200, "yes")
			}
			time.Sleep(time.Second)
			return large(q)
		})
		r.expect("a", First, time.Minute)
		time.Sleep(time.Hour)
		synctest.Wait()
		n := 0
		for _, c := range r.receiver.got() {
			if c.webhook == big.ID {
				n++
			}
		}
		if n != 1 {
			t.Fatalf("the webhook that answered 200 got the event %d times", n)
		}
	})
}

func TestLargeSuccessThatDecidesIsDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.stop()
		w := r.webhook(nil, "a")
		r.receiver.to(large)
		e, _ := r.expect("a", First, time.Minute)
		r.want(e, w, event.Delivered, "", 1)
	})
}

func TestWaitIsToldOfEveryEnd(t *testing.T) {
	for name, end := range map[string]func(*rig, *event.Webhook, *event.Event){
		"disabled": func(r *rig, w *event.Webhook, _ *event.Event) {
			w.Enabled = false
			if err := r.engine.UpdateWebhook(r.t.Context(), w); err != nil {
				r.t.Error(err)
			}
		},
		"deleted": func(r *rig, w *event.Webhook, _ *event.Event) {
			if err := r.engine.DeleteWebhook(r.t.Context(), w.Tenant, w.ID); err != nil {
				r.t.Error(err)
			}
		},
		"canceled": func(r *rig, w *event.Webhook, e *event.Event) {
			if _, err := r.d.Cancel(r.t.Context(), w.Tenant, event.DeliveryID{Event: e.Cursor, Webhook: w.ID}); err != nil {
				r.t.Error(err)
			}
		},
	} {
		for _, at := range []time.Duration{500 * time.Millisecond, 3 * time.Second} { // in flight, between attempts
			t.Run(name+at.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t)
					defer r.stop()
					w := r.webhook(nil, "a")
					r.receiver.to(func(Request) Response { time.Sleep(time.Second); return status(500) })
					e := r.draft("a")
					wait := r.d.Expect(e.ID, First, e.Matches)
					defer r.d.Release(e.ID, wait)
					if _, err := r.engine.Append(t.Context(), []store.Draft{{Event: e}}); err != nil {
						t.Fatal(err)
					}
					time.Sleep(at)
					end(r, w, e)
					began := time.Now()
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					v := wait.Await(ctx)
					if !v.Complete || time.Since(began) > 10*time.Second {
						t.Fatalf("complete is %v after %s", v.Complete, time.Since(began))
					}
				})
			})
		}
	}
}

func TestPostersThatLeftLeaveABoundedQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.stop()
		w := r.webhook(func(w *event.Webhook) { w.MaxInFlight = 1; w.Timeout = 60 * time.Second }, "a")
		d2, err := newDispatcher(Config{Store: r.engine, Log: r.d.log}, r.receiver)
		if err != nil {
			t.Fatal(err)
		}
		defer d2.Close()
		s, err := newScheduler(t.Context(), d2)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 20000 {
			e := r.draft("a")
			e.Cursor = event.Cursor(i + 1)
			wait := d2.Expect(e.ID, First, e.Matches)
			s.route(e, time.Now())
			d2.Release(e.ID, wait) // its wait=1 is over
		}
		if l := s.lanes[w.ID]; l.urgent.len() > 4*lookAhead {
			t.Fatalf("%d deliveries wait in memory (%d held), %d spilled", l.urgent.len(), len(l.held), len(s.pending.spilled))
		}
	})
}

// A wait keeps every answer whole, however many there are.
func TestAWaitIsBounded(t *testing.T) {
	ids := make([]event.ID, 200)
	for i := range ids {
		ids[i] = event.NewID()
	}
	w := newWait(First, ids)
	for _, id := range ids {
		a := Answer{Webhook: id, Attempt: event.Attempt{Status: 500, Outcome: event.ErrStatus5xx}, Body: make([]byte, MaxAnswer)}
		w.claim(a)
	}
	held := 0
	for _, a := range w.answers {
		held += len(a.Body)
	}
	if held > 16*MaxAnswer {
		t.Errorf("one wait holds %d MiB of answers that decide nothing", held>>20)
	}
}
