package dispatch

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carillon/carillon/event"
)

func TestDownWebhookIsProbedByOneDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.stop()
		w := r.webhook(func(w *event.Webhook) { w.Retry = event.DefaultSchedule() }, "a")
		news := r.webhook(nil, event.Pattern(TopicRecovered))
		up := false
		r.receiver.to(func(q Request) Response {
			r.receiver.mu.Lock()
			defer r.receiver.mu.Unlock()
			if up || q.Webhook.ID == news.ID {
				return status(200)
			}
			return status(500)
		})
		var events []*event.Event
		for range 100 {
			events = append(events, r.post("a"))
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		h, err := r.d.Health(t.Context(), w)
		if err != nil || h.State != StateDown || h.Window != 1 || h.NextProbe.IsZero() || h.Why == "" || h.Backlog != 100 {
			t.Fatalf("after ten minutes: %+v (%v)", h, err)
		}
		// 4 + 2 + 1 attempts and 5 at a window of one, and then probes: with pauses that double to a minute, some 14.
		calls := r.receiver.got()
		if len(calls) < 20 || len(calls) > 40 {
			t.Errorf("%d requests to a webhook that is down", len(calls))
		}
		attempts := map[event.Cursor]int{}
		for _, c := range calls[len(calls)-8:] {
			attempts[c.cursor]++
		}
		if len(attempts) != 1 {
			t.Errorf("the last eight probes were made by %d deliveries", len(attempts))
		}
		if c := calls[len(calls)-1].at.Sub(calls[len(calls)-2].at); c < 50*time.Second || c > 70*time.Second {
			t.Errorf("the last two probes are %s apart", c)
		}
		// A step is used up only when it is due, however often the delivery probes.
		for _, e := range events {
			d, _ := r.delivery(e, w)
			if d.Step > 4 {
				t.Errorf("%d steps of the schedule are used up after ten minutes, with %d attempts", d.Step, d.Attempts)
			}
		}

		r.receiver.mu.Lock()
		up = true
		r.receiver.mu.Unlock()
		time.Sleep(75 * time.Second)
		synctest.Wait()
		delivered := 0
		for _, e := range events {
			if d, _ := r.delivery(e, w); d.State == event.Delivered {
				delivered++
			} else if d.Attempts == 0 {
				t.Errorf("%s is parked after the recovery", d.ID)
			}
		}
		if delivered < 80 {
			t.Errorf("%d delivered a probe after the recovery", delivered)
		}
		if h, err := r.d.Health(t.Context(), w); err != nil || h.State != StateActive || h.Failures != 0 {
			t.Errorf("after the recovery: %+v (%v)", h, err)
		}
		told := 0
		for _, c := range r.receiver.got() {
			if c.webhook == news.ID {
				told++
				var got recoveredNews
				if err := json.Unmarshal([]byte(c.payload), &got); err != nil || got.Webhook != w.ID || got.Failures == 0 {
					t.Errorf("told %s (%v)", c.payload, err)
				}
			}
		}
		if told != 1 {
			t.Errorf("the recovery was told %d times", told)
		}
	})
}

func TestDownOutlivesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		w := r.webhook(func(w *event.Webhook) { w.Retry = event.DefaultSchedule() }, "a")
		r.receiver.to(replying(status(503)))
		for range 50 {
			r.post("a")
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		r.stop()
		before := len(r.receiver.got())
		r.start()
		defer func() { r.stop() }()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if h, err := r.d.Health(t.Context(), w); err != nil || h.State != StateDown || h.Failures == 0 {
			t.Errorf("after the restart: %+v (%v)", h, err)
		}
		if n := len(r.receiver.got()) - before; n < 1 || n > 4 {
			t.Errorf("%d requests within five seconds of a restart", n)
		}
	})
}

func TestParkedDeliveriesGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.stop()
		schedule := event.Schedule{10 * time.Second, time.Minute, 10 * time.Minute}
		w := r.webhook(func(w *event.Webhook) { w.Retry = schedule }, "a")
		news := r.webhook(nil, event.Pattern(TopicFailed))
		r.receiver.to(func(q Request) Response {
			if q.Webhook.ID == news.ID {
				return status(200)
			}
			return status(500)
		})
		const n = 3 * lookAhead
		var events []*event.Event
		for range n {
			events = append(events, r.post("a"))
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		pending, parked := 0, 0
		for _, e := range events {
			if d, _ := r.delivery(e, w); d.State == event.Pending {
				pending++
				if d.Attempts == 0 {
					parked++
				}
			}
		}
		if pending != n || parked < n-40 {
			t.Errorf("after ten minutes %d are pending and %d parked, of %d", pending, parked, n)
		}
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		failed := 0
		for _, e := range events {
			if d, _ := r.delivery(e, w); d.State == event.Failed && d.Reason == event.ReasonExhausted {
				failed++
			}
		}
		if failed != n {
			t.Errorf("%d of %d gave up", failed, n)
		}
		told := map[string]bool{}
		for _, c := range r.receiver.got() {
			var got struct {
				Webhook, Delivery string
				Reason            event.Reason
			}
			if c.webhook != news.ID {
				continue
			}
			if err := json.Unmarshal([]byte(c.payload), &got); err != nil || got.Reason != event.ReasonExhausted || got.Webhook != w.ID.String() {
				t.Fatalf("told %s (%v)", c.payload, err)
			}
			told[got.Delivery] = true
		}
		if len(told) != n {
			t.Errorf("%d deliveries were told of, of %d", len(told), n)
		}
	})
}

func TestRetriesDoNotStarveFirstAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.stop()
		w := r.webhook(func(w *event.Webhook) {
			w.MaxInFlight = 4
			for range 50 {
				w.Retry = append(w.Retry, 2*time.Second)
			}
		}, "a", "b")
		r.receiver.to(func(q Request) Response {
			time.Sleep(time.Second)
			return status(404) // an answer, which narrows no window
		})
		for range 60 {
			r.post("a")
		}
		time.Sleep(time.Minute) // all were attempted, and far more are due again than the window takes
		for range 10 {
			r.post("b")
		}
		began := time.Now()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		first, retries := 0, 0
		for _, c := range r.receiver.got() {
			switch {
			case c.webhook != w.ID || c.at.Before(began):
			case c.topic == "b" && c.attempt == 1 && c.at.Sub(began) < 6*time.Second:
				first++
			case c.topic == "a":
				retries++
			}
		}
		if first != 10 || retries < 15 {
			t.Errorf("%d of 10 first attempts within six seconds, and %d retries within ten", first, retries)
		}
	})
}

// A delivery that somebody cancels while its probe is under way is not what the next probe is made with.
func TestCanceledProbeIsNotMadeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.stop()
		w := r.webhook(func(w *event.Webhook) { w.MaxInFlight, w.Timeout, w.Retry = 1, time.Second, event.DefaultSchedule() }, "a")
		r.receiver.to(replying(hang))
		for range 8 {
			r.post("a")
		}
		time.Sleep(2 * time.Minute)
		for range 4 {
			var probing event.Cursor
			for n := len(r.receiver.got()); probing == 0; time.Sleep(100 * time.Millisecond) { // until one is under way
				if calls := r.receiver.got(); len(calls) > n {
					probing = calls[n].cursor
				}
			}
			id := event.DeliveryID{Event: probing, Webhook: w.ID}
			if _, err := r.d.Cancel(t.Context(), event.DefaultTenant, id); err != nil {
				t.Fatal(err)
			}
			n := len(r.receiver.got())
			time.Sleep(5 * time.Minute)
			synctest.Wait()
			later := r.receiver.got()[n:]
			if len(later) == 0 {
				t.Fatal("nothing probes any more")
			}
			for _, c := range later {
				if c.cursor == probing {
					t.Fatalf("%s was canceled and is attempted again", id)
				}
			}
		}
	})
}
