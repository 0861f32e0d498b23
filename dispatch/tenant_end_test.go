package dispatch

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
	"github.com/carillon/carillon/store/sqlite"
)

// A tenant's end takes events out of the middle of the log, and its end too. What others are owed in order comes all the
// same after a restart that finds the newest events gone, and not only when somebody posts again.
func TestRestartAfterATenantsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		w := r.webhook(func(w *event.Webhook) { w.Order = event.OrderStrict }, "a")
		settled()
		r.stop()

		// A gateway that was killed has left this: deliveries that wait, and above the floor another tenant's events.
		var owed []*event.Event
		between(t, r.path, func(e *sqlite.Engine) {
			spilled := store.Settlements{}
			for range 2 {
				ev := &event.Event{ID: event.NewID(), Tenant: event.DefaultTenant, Topic: "a", Matches: []event.Match{{Webhook: w.ID}}}
				appendTo(t, e, ev)
				owed = append(owed, ev)
				id := event.DeliveryID{Event: ev.Cursor, Webhook: w.ID}
				spilled.Spilled = append(spilled.Spilled, store.Spill{ID: id, Tenant: w.Tenant, OrderKey: w.Order.OrderKey("")})
				spilled.Floor = ev.Cursor
			}
			if err := e.Settle(t.Context(), spilled); err != nil {
				t.Fatal(err)
			}
			gone := &event.Tenant{Name: "gone"}
			if err := e.CreateTenant(t.Context(), gone); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				appendTo(t, e, &event.Event{ID: event.NewID(), Tenant: gone.ID, Topic: "a"})
			}
			if err := e.DeleteTenant(t.Context(), gone.ID); err != nil {
				t.Fatal(err)
			}
			for range 20 {
				if _, err := e.Trim(t.Context(), store.Retention{}); err != nil {
					t.Fatal(err)
				}
			}
		})

		r.start()
		time.Sleep(time.Minute)
		synctest.Wait()
		for _, ev := range owed {
			r.want(ev, w, event.Delivered, "", 1)
		}
		r.stop()
		between(t, r.path, func(e *sqlite.Engine) {
			for more := true; more; {
				step, err := e.Trim(t.Context(), store.Retention{})
				if err != nil {
					t.Fatal(err)
				}
				more = step.More
			}
			b, err := e.Bounds(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			left, err := e.EventsAt(t.Context(), []event.Cursor{owed[1].Cursor + 1, owed[1].Cursor + 2, b.Head}, 1<<20)
			if err != nil || len(left) != 0 {
				t.Errorf("of the tenant is left %+v, %v", left, err)
			}
		})
	})
}

// between runs an engine alone, as between two lives of the gateway.
func between(t *testing.T, path string, do func(*sqlite.Engine)) {
	t.Helper()
	e, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := e.Run(ctx); err != nil {
			t.Error("engine:", err)
		}
	})
	do(e)
	stop()
	running.Wait()
	if err := e.Close(); err != nil {
		t.Error("closing:", err)
	}
}

func appendTo(t *testing.T, e *sqlite.Engine, ev *event.Event) {
	t.Helper()
	if _, err := e.Append(t.Context(), []store.Draft{{Event: ev}}); err != nil {
		t.Fatal(err)
	}
}
