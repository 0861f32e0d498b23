package dispatch

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

type lateSettle struct {
	Ledger
	pause time.Duration
}

func (l *lateSettle) Settle(ctx context.Context, b store.Settlements) error {
	time.Sleep(l.pause)
	return l.Ledger.Settle(ctx, b)
}

// The head is canceled while what came of its attempt is on its way into the store.
func TestCancelWhileAFailureIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, path: t.TempDir() + "/log.db", receiver: &receiver{answer: replying(status(404))}}
		r.wrap = func(l Ledger) Ledger { return &lateSettle{l, 100 * time.Millisecond} }
		r.start()
		defer func() { r.stop() }()
		w := r.webhook(func(w *event.Webhook) { w.Order, w.Retry = event.OrderStrict, event.Schedule{24 * time.Hour} }, "a")
		r.receiver.to(func(Request) Response { time.Sleep(3 * time.Second); return status(404) })
		head, next := r.post("a"), r.post("a")
		time.Sleep(3060 * time.Millisecond)
		if _, err := r.d.Cancel(t.Context(), 1, idOf(head, w)); err != nil {
			t.Fatal(err)
		}
		r.receiver.to(replying(status(200)))
		time.Sleep(10 * time.Hour)
		synctest.Wait()
		d, _ := r.delivery(next, w)
		if d.State != event.Delivered {
			h, _ := r.delivery(head, w)
			t.Fatalf("10 h after its head (%s) was canceled: %s, due %s ago", h.State, d.State, time.Since(d.Due))
		}
	})
}

type lateBacklog struct {
	Ledger
	pause time.Duration
}

func (l *lateBacklog) Backlog(ctx context.Context, id event.ID, now time.Time, limit int) (store.Backlog, error) {
	b, err := l.Ledger.Backlog(ctx, id, now, limit)
	time.Sleep(l.pause) // between the snapshot and the scheduler's hearing of it
	return b, err
}

func TestOrderWithALateLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, path: t.TempDir() + "/log.db", receiver: &receiver{}}
		r.wrap = func(l Ledger) Ledger { return &lateBacklog{l, 30 * time.Millisecond} }
		r.start()
		defer func() { r.stop() }()
		w := r.webhook(func(w *event.Webhook) {
			w.Order, w.Retry = event.OrderStrict, event.Schedule{10 * time.Second, 10 * time.Second}
		}, "a")
		r.receiver.to(func(q Request) Response {
			if q.Event.Cursor == 1 && q.Attempt == 1 {
				time.Sleep(20 * time.Millisecond)
				return status(404)
			}
			return status(200)
		})
		var drafts []store.Draft
		for range 200 {
			drafts = append(drafts, store.Draft{Event: r.draft("a")})
		}
		if _, err := r.engine.Append(t.Context(), drafts); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		inOrder(t, r.receiver.got(), w.ID, everything)
	})
}

func lateLoad(t *testing.T, meanwhile func(*rig, *event.Event, *event.Webhook)) {
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, path: t.TempDir() + "/log.db", receiver: &receiver{answer: replying(status(404))}}
		r.wrap = func(l Ledger) Ledger { return &lateBacklog{l, 30 * time.Millisecond} }
		r.start()
		defer func() { r.stop() }()
		w := r.webhook(func(w *event.Webhook) { w.Retry = event.Schedule{10 * time.Second, time.Hour} }, "a")
		e := r.post("a")
		time.Sleep(10*time.Second + 20*time.Millisecond)
		n := len(r.receiver.got())
		meanwhile(r, e, w)
		time.Sleep(time.Minute)
		synctest.Wait()
		d, _ := r.delivery(e, w)
		if got := len(r.receiver.got()); got != n || d.State != event.Canceled {
			t.Fatalf("%d attempts before, %d after the cancel; %s %s", n, got, d.State, d.Reason)
		}
	})
}

func TestCancelDuringALoad(t *testing.T) {
	lateLoad(t, func(r *rig, e *event.Event, w *event.Webhook) {
		if _, err := r.d.Cancel(r.t.Context(), 1, idOf(e, w)); err != nil {
			t.Fatal(err)
		}
	})
}

func TestDisablingAndEnablingDuringALoad(t *testing.T) {
	lateLoad(t, func(r *rig, e *event.Event, w *event.Webhook) {
		for range 2 {
			w.Enabled = !w.Enabled
			if err := r.engine.UpdateWebhook(r.t.Context(), w); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// The head of a burst fails while the rest is on its way into the store and back.
func TestOrderWhateverTheHeadTakes(t *testing.T) {
	for us := 250; us <= 4000; us += 250 {
		synctest.Test(t, func(t *testing.T) {
			r := &rig{t: t, path: t.TempDir() + "/log.db", receiver: &receiver{}}
			r.wrap = func(l Ledger) Ledger { return &lateBacklog{&lateSettle{l, time.Millisecond}, 2 * time.Millisecond} }
			r.start()
			defer func() { r.stop() }()
			w := r.webhook(func(w *event.Webhook) {
				w.Order, w.Retry = event.OrderStrict, event.Schedule{10 * time.Second, 10 * time.Second}
			}, "a")
			r.receiver.to(func(q Request) Response {
				if q.Event.Cursor == 1 && q.Attempt == 1 {
					time.Sleep(time.Duration(us) * time.Microsecond)
					return status(404)
				}
				return status(200)
			})
			var drafts []store.Draft
			for range 100 {
				drafts = append(drafts, store.Draft{Event: r.draft("a")})
			}
			if _, err := r.engine.Append(t.Context(), drafts); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
			synctest.Wait()
			inOrder(t, r.receiver.got(), w.ID, everything)
		})
	}
}
