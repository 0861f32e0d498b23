package dispatch

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// toldOf returns the payloads of one topic that a webhook was sent.
func (r *rig) toldOf(w *event.Webhook, topic event.Topic) []string {
	var payloads []string
	for _, c := range r.receiver.got() {
		if c.webhook == w.ID && c.topic == topic {
			payloads = append(payloads, c.payload)
		}
	}
	return payloads
}

func TestWebhookThatFailsForDaysIsDisabled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.stop()
		w := r.webhook(func(w *event.Webhook) { w.Retry = event.DefaultSchedule() }, "a")
		flaky := r.webhook(func(w *event.Webhook) { w.Retry = event.DefaultSchedule() }, "a")
		news := r.webhook(nil, event.Pattern(TopicDisabled), event.Pattern(TopicFailed))
		r.receiver.to(func(q Request) Response {
			// One success a day keeps a webhook.
			if q.Webhook.ID == news.ID || q.Webhook.ID == flaky.ID && time.Now().Hour() == 3 {
				return status(200)
			}
			return status(404)
		})
		began := time.Now()
		var disabled time.Time
		for range 24 * 7 {
			r.post("a")
			time.Sleep(time.Hour)
			synctest.Wait()
			if got, err := r.engine.Webhook(t.Context(), event.DefaultTenant, w.ID); err != nil {
				t.Fatal(err)
			} else if !got.Enabled && disabled.IsZero() {
				disabled = time.Now()
				if got.DisabledReason != event.DisabledFailing {
					t.Errorf("disabled for %q", got.DisabledReason)
				}
			}
		}
		if after := disabled.Sub(began); after < disableAfter || after > disableAfter+2*time.Hour {
			t.Errorf("disabled after %s", after)
		}
		if got, err := r.engine.Webhook(t.Context(), event.DefaultTenant, flaky.ID); err != nil || !got.Enabled {
			t.Errorf("one with a success each day is disabled too: %+v (%v)", got, err)
		}
		payloads := r.toldOf(news, TopicDisabled)
		var told disabledNews
		if len(payloads) != 1 {
			t.Fatalf("told %q", payloads)
		}
		if err := json.Unmarshal([]byte(payloads[0]), &struct {
			*disabledNews
			LastError string `json:"last_error"`
		}{&told, ""}); err != nil || told.Webhook != w.ID || told.Reason != event.DisabledFailing || told.Failures < 10 ||
			told.FailingSince.Sub(began).Abs() > time.Minute || told.LastStatus != 404 {
			t.Errorf("told %s (%v)", payloads[0], err)
		}
		// What comes while it is disabled is on record.
		e := r.post("a")
		settled()
		r.want(e, w, event.Canceled, event.ReasonDisabled, 0)
	})
}

func TestFailuresOutliveARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		w := r.webhook(func(w *event.Webhook) { w.Retry = event.Schedule{} }, "a")
		r.receiver.to(replying(status(404)))
		for range 12 {
			r.post("a")
			time.Sleep(12 * time.Hour)
			r.stop()
			r.start()
		}
		synctest.Wait()
		got, err := r.engine.Webhook(t.Context(), event.DefaultTenant, w.ID)
		if err != nil || got.Enabled || got.DisabledReason != event.DisabledFailing {
			t.Errorf("after twelve failures over six days: %+v (%v)", got, err)
		}
		r.stop()
	})
}

func TestGivingUpIsAnnouncedButNotOfAnnouncements(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.stop()
		w := r.webhook(nil, "a")
		news := r.webhook(nil, "_carillon.**")
		r.receiver.to(replying(status(404))) // also to who is told
		e := r.post("a")
		time.Sleep(time.Hour)
		synctest.Wait()
		r.want(e, w, event.Failed, event.ReasonExhausted, 3)
		payloads := r.toldOf(news, TopicFailed)
		if len(payloads) != 3 { // three attempts at the one announcement
			t.Fatalf("told %d times: %q", len(payloads), payloads)
		}
		var told map[string]any
		if err := json.Unmarshal([]byte(payloads[0]), &told); err != nil {
			t.Fatal(err)
		}
		for field, want := range map[string]any{
			"webhook": w.ID.String(), "event": e.ID.String(), "topic": "a", "reason": "exhausted", "deliveries": 1.0, "attempts": 3.0,
			"last_status": 404.0, "last_error": "status-4xx", "delivery": event.DeliveryID{Event: e.Cursor, Webhook: w.ID}.String(),
		} {
			if told[field] != want {
				t.Errorf("%s is %v, want %v", field, told[field], want)
			}
		}
		if b, err := r.engine.Bounds(t.Context()); err != nil || b.Head != e.Cursor+1 {
			t.Errorf("the log's head is %s (%v): announcements announce themselves", b.Head, err)
		}
	})
}

func TestExpiredDeliveriesAreAnnounced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.stop()
		w := r.webhook(func(w *event.Webhook) { w.Retry = event.Schedule{24 * time.Hour} }, "a")
		news := r.webhook(nil, event.Pattern(TopicFailed))
		r.receiver.to(func(q Request) Response {
			if q.Webhook.ID == news.ID {
				return status(200)
			}
			return status(404)
		})
		first := r.post("a")
		r.post("a")
		last := r.post("a")
		time.Sleep(2 * time.Hour)
		r.expire(time.Hour)
		payloads := r.toldOf(news, TopicFailed)
		if len(payloads) != 1 {
			t.Fatalf("told %q", payloads)
		}
		var told map[string]any
		if err := json.Unmarshal([]byte(payloads[0]), &told); err != nil || told["webhook"] != w.ID.String() || told["reason"] != "expired" ||
			told["deliveries"] != 3.0 || told["first_event"] != first.ID.String() || told["last_event"] != last.ID.String() {
			t.Errorf("told %v (%v)", told, err)
		}
	})
}

func TestReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		w := r.webhook(func(w *event.Webhook) { w.Retry = event.Schedule{} }, "a")
		r.receiver.to(replying(status(404)))
		var events []*event.Event
		for range 300 {
			events = append(events, r.post("a"))
		}
		time.Sleep(10 * time.Second)
		r.receiver.to(replying(status(200)))
		good := r.post("a")
		time.Sleep(10 * time.Second)
		filter := store.ReplayFilter{States: []event.State{event.Failed, event.Canceled}}
		if n, err := r.engine.CountReplay(t.Context(), event.DefaultTenant, w.ID, filter); err != nil || n != 300 {
			t.Fatalf("would replay %d (%v)", n, err)
		}
		job, err := r.d.Replay(t.Context(), store.Job{
			ID: event.NewID(), Tenant: event.DefaultTenant, Webhook: w.ID, Filter: filter, PerSecond: 20,
		})
		if err != nil || job.Total != 300 || job.State != store.JobRunning {
			t.Fatalf("%+v (%v)", job, err)
		}
		before := len(r.receiver.got())
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if n := len(r.receiver.got()) - before; n < 80 || n > 110 {
			t.Errorf("%d replayed in five seconds, at 20 a second", n)
		}
		r.stop() // it goes on after a restart
		r.start()
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if job, err = r.engine.Job(t.Context(), event.DefaultTenant, job.ID); err != nil || job.State != store.JobDone || job.Done != 300 {
			t.Errorf("%+v (%v)", job, err)
		}
		for _, e := range events {
			r.want(e, w, event.Delivered, "", 2)
		}
		r.want(good, w, event.Delivered, "", 1)
		for _, c := range r.receiver.got() {
			if c.replay != (c.attempt == 2) {
				t.Fatalf("attempt %d says replay %t", c.attempt, c.replay)
			}
		}
		r.stop()
	})
}
