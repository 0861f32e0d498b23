package dispatch

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/carillon/carillon/event"
)

// What is owed is known while a webhook is down, after a restart, and when it is disabled; so is what is wrong with it.
func TestBacklogsAndTroubles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer func() { r.stop() }()
		w := r.webhook(func(w *event.Webhook) { w.Retry = event.DefaultSchedule() }, "a")
		r.webhook(nil, "a")
		r.receiver.to(func(q Request) Response {
			if q.Webhook.ID == w.ID {
				return status(500)
			}
			return status(200)
		})
		told := func(when string, owed int64, kind TroubleKind) {
			t.Helper()
			var backlogs map[event.TenantID]int64
			for range 3 { // what one asks is put right for the next
				var err error
				if backlogs, err = r.d.Backlogs(t.Context()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(5 * time.Second)
				synctest.Wait()
			}
			if backlogs[w.Tenant] != owed {
				t.Errorf("%s: %d deliveries are told to be pending, want %d", when, backlogs[w.Tenant], owed)
			}
			troubles, err := r.d.Troubles(t.Context(), w.Tenant)
			if err != nil {
				t.Fatal(err)
			}
			if len(troubles) != 1 || troubles[0].Webhook != w.ID || troubles[0].Kind != kind || troubles[0].Why == "" || troubles[0].Since.IsZero() {
				t.Errorf("%s: troubles are %+v, want one: %s", when, troubles, kind)
			}
			if others, err := r.d.Troubles(t.Context(), w.Tenant+1); err != nil || len(others) != 0 {
				t.Errorf("%s: another tenant is told %+v, %v", when, others, err)
			}
		}
		for range 100 {
			r.post("a")
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		told("down", 100, TroubleDown)

		r.stop()
		r.start()
		synctest.Wait()
		told("after a restart", 100, TroubleDown)

		w, err := r.engine.Webhook(t.Context(), w.Tenant, w.ID)
		if err != nil {
			t.Fatal(err)
		}
		w.Enabled = false
		if err := r.engine.UpdateWebhook(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		told("disabled", 0, TroubleDisabled)
	})
}
