package dispatch

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carillon/carillon/event"
)

func TestFiltersDecideWhoIsOwedAnEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.stop()
		all := r.webhook(nil, "a")
		large := r.webhook(func(w *event.Webhook) { w.Filter = "data.amount > 100" }, "a")
		off := r.webhook(func(w *event.Webhook) { w.Filter, w.Enabled = "data.amount > 100", false }, "a")
		post := func(payload string) *event.Event {
			e := &event.Event{ID: event.NewID(), Tenant: event.DefaultTenant, Topic: "a", Payload: []byte(payload)}
			e.Matches = r.d.Match(e)
			r.append(e)
			return e
		}
		much, little, broken := post(`{"amount":150}`), post(`{"amount":50}`), post(`no JSON`)
		settled()
		for _, c := range []struct {
			ev   *event.Event
			want []event.Match
		}{
			{much, []event.Match{{Webhook: all.ID}, {Webhook: large.ID}, {Webhook: off.ID, Disabled: true}}},
			{little, []event.Match{{Webhook: all.ID}}},
			{broken, []event.Match{{Webhook: all.ID}, {Webhook: large.ID, FilterError: true}, {Webhook: off.ID, Disabled: true, FilterError: true}}},
		} {
			if len(c.ev.Matches) != len(c.want) {
				t.Fatalf("%s matches %+v, want %+v", c.ev.Payload, c.ev.Matches, c.want)
			}
			for i, m := range c.ev.Matches {
				if m != c.want[i] {
					t.Errorf("%s matches %+v, want %+v", c.ev.Payload, c.ev.Matches, c.want)
				}
			}
		}
		r.want(much, large, event.Delivered, "", 1)
		r.want(broken, large, event.Canceled, event.ReasonFilterError, 0)
		r.want(broken, all, event.Delivered, "", 1)
		h, err := r.d.Health(t.Context(), large)
		if err != nil || h.FilterErrors != 1 || h.LastFilterError == "" || h.LastFilterErrorAt.IsZero() {
			t.Errorf("the webhook shows %+v (%v)", h, err)
		}
	})
}

func TestTrySaysWhatWouldBecomeOfAnEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.stop()
		r.d.previewer = NewSender(SenderConfig{Guard: NewGuard(GuardConfig{}), UserAgent: "Carillon/test"})
		w := r.webhook(func(w *event.Webhook) {
			w.Secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
			w.Filter, w.Transform = "data.n > 1", "{double: (.n * 2)}"
		}, "a.*")
		for _, c := range []struct {
			topic         event.Topic
			payload       string
			matches       bool
			why, has, err string
		}{
			{"b", `{}`, false, "topic", "", ""},
			{"a.b", `{"n":1}`, false, "filter", "", ""},
			{"a.b", `{}`, false, "filter-error", "", "no such key"},
			{"a.b", `{"n":2}`, true, "", `{"double":4}`, ""},
		} {
			got, err := r.d.Try(t.Context(), w, &event.Event{
				ID: event.NewID(), Tenant: event.DefaultTenant, Topic: c.topic, Payload: []byte(c.payload), Time: time.Now(),
			})
			if err != nil || got.Matches != c.matches || got.Why != c.why || !strings.Contains(got.Detail, c.err) || (got.Request != nil) != (c.has != "") {
				t.Errorf("%s %s: %+v", c.topic, c.payload, got)
			} else if c.has != "" && !strings.Contains(string(got.Request.Body), c.has) {
				t.Errorf("%s would send %s", c.payload, got.Request.Body)
			}
		}
		w.Filter, w.Transform = "", ".n / 0"
		if got, err := r.d.Try(t.Context(), w, &event.Event{ID: event.NewID(), Topic: "a.b", Payload: []byte(`{"n":1}`)}); err != nil || got.Why != "transform-error" {
			t.Errorf("%+v", got)
		}
	})
}

func TestGateOutlivesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		w := r.webhook(nil, "a")
		busy := status(429)
		busy.RetryAfter = time.Hour
		r.receiver.to(replying(busy))
		r.post("a")
		settled()
		r.stop()
		r.receiver.to(replying(status(200)))
		r.start()
		e := r.post("a")
		time.Sleep(50 * time.Minute)
		synctest.Wait()
		if n := len(r.receiver.got()); n != 1 {
			t.Errorf("%d requests within the hour that the webhook asked for", n)
		}
		if h, err := r.d.Health(t.Context(), w); err != nil || h.State != StateThrottled || h.GatedUntil.IsZero() {
			t.Errorf("%+v (%v)", h, err)
		}
		time.Sleep(15 * time.Minute)
		synctest.Wait()
		r.want(e, w, event.Delivered, "", 1)
		r.stop()
	})
}

func TestFailingTransformFailsTheDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.stop()
		w := r.webhook(nil, "a")
		r.receiver.to(replying(Response{Refused: event.ReasonTransformError, Err: &TransformError{errors.New("cannot add")}}))
		e := r.post("a")
		settled()
		r.want(e, w, event.Failed, event.ReasonTransformError, 0)
		h, err := r.d.Health(t.Context(), w)
		if err != nil || h.TransformErrors != 1 || h.LastTransformError != "cannot add" || h.LastTransformErrorAt.IsZero() || h.Failures != 0 {
			t.Errorf("the webhook shows %+v (%v)", h, err)
		}
	})
}
