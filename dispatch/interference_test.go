package dispatch

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

func idOf(e *event.Event, w *event.Webhook) event.DeliveryID {
	return event.DeliveryID{Event: e.Cursor, Webhook: w.ID}
}

// The head waits in memory behind a pause, the rest in the store.
func TestCanceledHeadInMemoryFreesTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer func() { r.stop() }()
		w := r.webhook(func(w *event.Webhook) {
			w.Order, w.Retry = event.OrderStrict, event.Schedule{time.Second, time.Hour, time.Hour}
		}, "a")
		gate := status(503)
		gate.RetryAfter = 2 * time.Minute
		r.receiver.to(replying(gate))
		head, next := r.post("a"), r.post("a")
		time.Sleep(3 * time.Minute) // loaded at due, attempted again, gated again
		r.receiver.to(replying(status(200)))
		r.stop()
		r.start()
		time.Sleep(1 * time.Second)
		// make the head due now, held in memory behind the gate
		if _, err := r.d.Retry(t.Context(), 1, idOf(head, w)); err != nil {
			t.Fatal(err)
		}
		settled()
		if _, err := r.d.Cancel(t.Context(), 1, idOf(head, w)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(72 * time.Hour)
		synctest.Wait()
		r.want(next, w, event.Delivered, "", 1)
	})
}

// Somebody retries the delivery that probes, and then gives the webhook another URL.
func TestRetriedProbeSurvivesANewURL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer func() { r.stop() }()
		w := r.webhook(func(w *event.Webhook) {
			w.MaxInFlight = 1
			w.Retry = event.Schedule{time.Second, time.Second, time.Second, time.Second, time.Hour, time.Hour}
		}, "a")
		r.receiver.to(replying(status(500)))
		e := r.post("a")
		time.Sleep(30 * time.Second)
		if h, err := r.d.Health(t.Context(), w); err != nil || h.State != StateDown {
			t.Fatalf("before: %+v (%v)", h, err)
		}
		if _, err := r.d.Retry(t.Context(), 1, idOf(e, w)); err != nil {
			t.Fatal(err)
		}
		settled()
		r.receiver.to(replying(status(200)))
		w, _ = r.engine.Webhook(t.Context(), 1, w.ID)
		w.URL = "http://receiver.test/new"
		if err := r.engine.UpdateWebhook(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		time.Sleep(72 * time.Hour)
		synctest.Wait()
		d, _ := r.delivery(e, w)
		if d.State != event.Delivered {
			t.Fatalf("after 72 h: %s due %s attempts %d", d.State, time.Since(d.Due), d.Attempts)
		}
	})
}

// A 410 comes from the URL that the webhook had when the attempt began.
func TestWhatTheOldURLAnswersDisablesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer func() { r.stop() }()
		w := r.webhook(nil, "a")
		r.receiver.to(func(q Request) Response {
			if q.Webhook.URL == "http://receiver.test/" {
				time.Sleep(5 * time.Second)
				return status(410)
			}
			return status(200)
		})
		r.post("a")
		settled()
		w.URL = "http://receiver.test/new"
		if err := r.engine.UpdateWebhook(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		got, _ := r.engine.Webhook(t.Context(), 1, w.ID)
		if !got.Enabled {
			t.Fatalf("the new URL was disabled for what the old one answered: %s", got.DisabledReason)
		}
	})
}

// An older delivery is retried by hand while the head is in flight, which fails then and waits for long.
func TestRetriedByHandBehindAFailingHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer func() { r.stop() }()
		w := r.webhook(func(w *event.Webhook) { w.Order = event.OrderStrict; w.Retry = event.Schedule{12 * time.Hour} }, "a")
		r.receiver.to(func(q Request) Response {
			if string(q.Event.Payload) == "slow" {
				time.Sleep(5 * time.Second)
				return status(404)
			}
			return status(200)
		})
		a := r.post("a")
		settled()
		b := r.draft("a")
		b.Payload = []byte("slow")
		r.append(b)
		settled()
		if _, err := r.d.Retry(t.Context(), 1, idOf(a, w)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		r.want(b, w, event.Pending, "", 1)
		d, _ := r.delivery(a, w)
		if d.State != event.Delivered {
			t.Fatalf("retried by hand an hour ago, due %s ago: still %s", time.Since(d.Due), d.State)
		}
	})
}

// The probe succeeds after the webhook was disabled.
func TestNoRecoveryOfADisabledWebhook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer func() { r.stop() }()
		w := r.webhook(func(w *event.Webhook) {
			w.MaxInFlight = 1
			w.Retry = event.Schedule{time.Second, time.Second, time.Second, time.Second, time.Hour, time.Hour}
		}, "a")
		r.webhook(nil, "_carillon.**")
		r.receiver.to(replying(status(500)))
		r.post("a")
		time.Sleep(10 * time.Second)
		r.receiver.to(func(Request) Response { time.Sleep(10 * time.Second); return status(200) })
		time.Sleep(5 * time.Second)
		w, _ = r.engine.Webhook(t.Context(), 1, w.ID)
		w.Enabled = false
		if err := r.engine.UpdateWebhook(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		for _, c := range r.receiver.got() {
			if c.topic == TopicRecovered {
				t.Errorf("recovered told of a disabled webhook: %s", c.payload)
			}
		}
	})
}

// More tokens are missing than the new burst has.
func TestLoweredBurstHoldsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer func() { r.stop() }()
		w := r.webhook(func(w *event.Webhook) { w.RateLimit = event.RateLimit{PerSecond: 0.1, Burst: 1000} }, "a")
		for range 900 {
			r.post("a")
		}
		time.Sleep(time.Minute)
		w.RateLimit.Burst = 10
		if err := r.engine.UpdateWebhook(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		time.Sleep(11 * time.Second)
		e := r.post("a")
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if d, _ := r.delivery(e, w); d.State != event.Delivered {
			time.Sleep(48 * time.Hour)
			synctest.Wait()
			_, at := r.delivery(e, w)
			t.Errorf("at 0.1/s, burst 10: sent after %s", at[0].At.Sub(e.Time))
		}
	})
}

// A failed delivery is retried by hand while its webhook is down.
func TestRetryByHandWhileDownHasAFullSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer func() { r.stop() }()
		w := r.webhook(func(w *event.Webhook) {
			w.MaxInFlight = 1
			w.Retry = event.Schedule{time.Second, time.Second, time.Second, time.Second}
		}, "a")
		r.receiver.to(replying(status(404)))
		old := r.post("a")
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		r.want(old, w, event.Failed, event.ReasonExhausted, 5)
		r.receiver.to(replying(status(500)))
		r.post("a")
		time.Sleep(10 * time.Second)
		if _, err := r.d.Retry(t.Context(), 1, idOf(old, w)); err != nil {
			t.Fatal(err)
		}
		r.receiver.to(replying(status(200)))
		time.Sleep(time.Hour)
		synctest.Wait()
		h, _ := r.d.Health(t.Context(), w)
		d, _ := r.delivery(old, w)
		if d.State != event.Delivered {
			t.Fatalf("retried by hand: %s %s after %d attempts; the webhook is %s", d.State, d.Reason, d.Attempts, h.State)
		}
	})
}

// Retention takes the head that waits for its retry.
func TestExpiredHeadFreesTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer func() { r.stop() }()
		w := r.webhook(func(w *event.Webhook) { w.Order, w.Retry = event.OrderStrict, event.Schedule{24 * time.Hour} }, "a")
		r.receiver.to(replying(status(404)))
		r.post("a")
		time.Sleep(10 * time.Minute)
		next := r.post("a")
		time.Sleep(2 * time.Minute)
		r.receiver.to(replying(status(200)))
		r.expire(5 * time.Minute)
		time.Sleep(10 * time.Hour)
		synctest.Wait()
		d, _ := r.delivery(next, w)
		if d.State != event.Delivered {
			t.Fatalf("10 h after its head was expired: %s, due %s ago", d.State, time.Since(d.Due))
		}
	})
}

// Retention takes the head while it waits in memory (gate).
func TestExpiredHeadInMemoryFreesTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer func() { r.stop() }()
		w := r.webhook(func(w *event.Webhook) {
			w.Order, w.Retry = event.OrderStrict, event.Schedule{time.Second, time.Second, time.Second}
		}, "a")
		gate := status(503)
		gate.RetryAfter = time.Minute
		r.receiver.to(replying(gate))
		head := r.post("a")
		time.Sleep(30 * time.Second)
		next := r.post("a")
		time.Sleep(2 * time.Second)
		r.stop()
		r.start() // gate holds; the head is due at the gate's end
		if _, err := r.d.Retry(t.Context(), 1, idOf(head, w)); err != nil {
			t.Fatal(err)
		}
		settled()
		r.receiver.to(replying(status(200)))
		r.expire(25 * time.Second)
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		r.want(next, w, event.Delivered, "", 1)
	})
}

// Each job that begins has the running ones read anew.
func TestSlowReplayGetsOnAmongOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer func() { r.stop() }()
		w := r.webhook(nil, "a")
		for range 5 {
			r.post("a")
		}
		time.Sleep(2 * time.Second)
		f := store.ReplayFilter{States: []event.State{event.Delivered}}
		j, err := r.d.Replay(t.Context(), store.Job{ID: event.NewID(), Tenant: 1, Webhook: w.ID, PerSecond: 1, Filter: f})
		if err != nil {
			t.Fatal(err)
		}
		for range 200 {
			time.Sleep(900 * time.Millisecond)
			if _, err := r.d.Replay(t.Context(), store.Job{ID: event.NewID(), Tenant: 1, Webhook: w.ID, PerSecond: 1, Filter: f}); err != nil {
				t.Fatal(err)
			}
		}
		got, _ := r.engine.Job(t.Context(), 1, j.ID)
		if got.Done == 0 {
			t.Fatalf("after 3 minutes at 1/s: %d of %d", got.Done, got.Total)
		}
	})
}

// All that a down webhook is owed is due only later.
func TestDownIsProbedAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer func() { r.stop() }()
		w := r.webhook(func(w *event.Webhook) {
			w.MaxInFlight = 1
			w.Retry = event.Schedule{time.Second, time.Second, time.Second, time.Second, 24 * time.Hour}
		}, "a")
		r.receiver.to(replying(status(500)))
		e := r.post("a")
		time.Sleep(time.Minute)
		r.stop()
		r.start()
		r.receiver.to(replying(status(200)))
		time.Sleep(5 * time.Hour)
		synctest.Wait()
		h, _ := r.d.Health(t.Context(), w)
		d, _ := r.delivery(e, w)
		if d.State != event.Delivered {
			t.Fatalf("5 h after the restart: webhook %s, next probe %s ago; delivery %s", h.State, time.Since(h.NextProbe), d.State)
		}
	})
}

// Only health is left to be stored when the gateway stops.
func TestHealthAloneIsStoredAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer func() { r.stop() }()
		w := r.webhook(func(w *event.Webhook) {
			w.MaxInFlight = 1
			w.Retry = event.Schedule{time.Second, time.Second, time.Second, time.Second, time.Hour}
		}, "a")
		r.receiver.to(replying(status(500)))
		r.post("a")
		time.Sleep(time.Minute)
		w, _ = r.engine.Webhook(t.Context(), 1, w.ID)
		w.URL += "new"
		if err := r.engine.UpdateWebhook(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		r.stop()
		r.start()
		h, _ := r.d.Health(t.Context(), w)
		if h.State != StateActive {
			t.Fatalf("new URL, after a clean restart: %s, %d failures", h.State, h.Failures)
		}
	})
}

// A pause that is over is forgotten.
func TestHealthyWebhooksHaveNoHealthStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer func() { r.stop() }()
		w := r.webhook(func(w *event.Webhook) { w.Retry = event.Schedule{time.Second, time.Second} }, "a")
		gate := status(503)
		gate.RetryAfter = 10 * time.Second
		r.receiver.to(replying(gate))
		e := r.post("a")
		time.Sleep(5 * time.Second)
		r.receiver.to(replying(status(200)))
		time.Sleep(time.Hour)
		synctest.Wait()
		r.want(e, w, event.Delivered, "", 2)
		if hs, _ := r.engine.Healths(t.Context()); len(hs) > 0 {
			t.Errorf("a healthy webhook has a row of health: %+v", hs)
		}
	})
}
