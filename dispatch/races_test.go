package dispatch

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// lateTail is a store whose log is read late.
type lateTail struct {
	Ledger
	open chan struct{}
}

type lateNext struct {
	store.Tail
	open chan struct{}
}

func (l *lateTail) Tail(c event.Cursor) store.Tail { return &lateNext{l.Ledger.Tail(c), l.open} }

func (l *lateNext) Next(ctx context.Context) ([]*event.Event, error) {
	select {
	case <-l.open:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return l.Tail.Next(ctx)
}

func lateRig(t *testing.T) (*rig, chan struct{}) {
	r := newRig(t)
	r.stop()
	open := make(chan struct{})
	r.startWith(func(l Ledger) Ledger { return &lateTail{l, open} })
	return r, open
}

func TestRetryBeforeTheLogIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, open := lateRig(t)
		defer func() { r.stop() }()
		w := r.webhook(nil, "a")
		r.receiver.to(func(Request) Response { time.Sleep(5 * time.Second); return status(200) })
		e := r.post("a")
		if _, err := r.d.Retry(t.Context(), w.Tenant, event.DeliveryID{Event: e.Cursor, Webhook: w.ID}); err != nil {
			t.Fatal(err)
		}
		settled()
		close(open)
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := len(r.receiver.got()); n != 1 {
			t.Fatalf("%d requests, want 1", n)
		}
	})
}

func TestCancelBeforeTheLogIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, open := lateRig(t)
		defer func() { r.stop() }()
		w := r.webhook(nil, "a")
		e := r.post("a")
		if _, err := r.d.Cancel(t.Context(), w.Tenant, event.DeliveryID{Event: e.Cursor, Webhook: w.ID}); err != nil {
			t.Fatal(err)
		}
		settled()
		close(open)
		settled()
		if n := len(r.receiver.got()); n != 0 {
			t.Fatalf("%d requests, want none", n)
		}
	})
}

func TestWhatALineCanceledIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, open := lateRig(t)
		defer func() { r.stop() }()
		w := r.webhook(nil, "a")
		e := r.post("a")
		for _, on := range []bool{false, true} {
			w.Enabled = on
			if err := r.engine.UpdateWebhook(t.Context(), w); err != nil {
				t.Fatal(err)
			}
		}
		r.want(e, w, event.Canceled, event.ReasonDisabled, 0)
		close(open)
		settled()
		if n := len(r.receiver.got()); n != 0 {
			t.Fatalf("%d requests for a canceled delivery, want none", n)
		}
	})
}

// slowSettle commits at once and says so late.
type slowSettle struct {
	Ledger
	delay time.Duration
}

func (l *slowSettle) Settle(ctx context.Context, b store.Settlements) error {
	err := l.Ledger.Settle(ctx, b)
	time.Sleep(l.delay)
	return err
}

func TestRetryWhileASettlementReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.stop()
		r.startWith(func(l Ledger) Ledger { return &slowSettle{Ledger: l, delay: 100 * time.Millisecond} })
		defer func() { r.stop() }()
		w := r.webhook(func(w *event.Webhook) { w.Retry = nil }, "a")
		r.receiver.to(replying(status(500)))
		e := r.post("a")
		time.Sleep(50 * time.Millisecond)
		synctest.Wait()
		r.want(e, w, event.Failed, event.ReasonExhausted, 1)
		r.receiver.to(replying(status(200)))
		if _, err := r.d.Retry(t.Context(), w.Tenant, event.DeliveryID{Event: e.Cursor, Webhook: w.ID}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		r.want(e, w, event.Delivered, "", 2)
	})
}

func TestRetryDuringTheLastAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.stop()
		w := r.webhook(func(w *event.Webhook) { w.Retry = nil }, "a")
		r.receiver.to(func(Request) Response { time.Sleep(5 * time.Second); return status(500) })
		e := r.post("a")
		settled()
		d, err := r.d.Retry(t.Context(), w.Tenant, event.DeliveryID{Event: e.Cursor, Webhook: w.ID})
		if err != nil || d.State != event.Pending {
			t.Fatal(d, err)
		}
		time.Sleep(4 * time.Second)
		r.receiver.to(replying(status(200)))
		time.Sleep(time.Hour)
		synctest.Wait()
		r.want(e, w, event.Delivered, "", 2)
	})
}

func TestHealthyWebhooksKeepASlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.stop()
		stuck := map[event.ID]bool{}
		for range 4 {
			stuck[r.webhook(func(w *event.Webhook) { w.MaxInFlight = event.MaxMaxInFlight; w.Timeout = time.Minute }, "a").ID] = true
		}
		fine := r.webhook(nil, "b")
		r.receiver.to(func(q Request) Response {
			if stuck[q.Webhook.ID] {
				return hang
			}
			return status(200)
		})
		for range event.MaxMaxInFlight + 10 {
			r.post("a")
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		e := r.post("b")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		r.want(e, fine, event.Delivered, "", 1)
	})
}

func TestGateEndsWithTheURL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.stop()
		w := r.webhook(nil, "a")
		busy := status(503)
		busy.RetryAfter = 24 * time.Hour
		r.receiver.to(replying(busy))
		r.post("a")
		settled()
		r.receiver.to(replying(status(200)))
		w.URL = "http://elsewhere.test/"
		if err := r.engine.UpdateWebhook(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		e := r.post("a")
		settled()
		r.want(e, w, event.Delivered, "", 1)
	})
}

type hookedBacklog struct {
	Ledger
	before atomic.Pointer[func()]
}

func (l *hookedBacklog) Backlog(ctx context.Context, w event.ID, now time.Time, limit int) (store.Backlog, error) {
	if f := l.before.Swap(nil); f != nil {
		(*f)()
	}
	return l.Ledger.Backlog(ctx, w, now, limit)
}

// A delivery reopened after its webhook was enabled again must not be called off by a load that overtakes the news.
func TestReopenedIsNotCalledOffByOldNews(t *testing.T) {
	for i := range 12 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.stop()
				h := &hookedBacklog{}
				r.startWith(func(l Ledger) Ledger { h.Ledger = l; return h })
				defer func() { r.stop() }()
				w := r.webhook(nil, "a")
				r.receiver.to(replying(status(500)))
				e := r.post("a")
				settled()
				w.Enabled = false
				if err := r.engine.UpdateWebhook(t.Context(), w); err != nil {
					t.Fatal(err)
				}
				settled()
				r.receiver.to(replying(status(200)))
				f := func() {
					w.Enabled = true
					if err := r.engine.UpdateWebhook(t.Context(), w); err != nil {
						t.Error(err)
					}
					if _, err := r.d.Retry(t.Context(), 1, event.DeliveryID{Event: e.Cursor, Webhook: w.ID}); err != nil {
						t.Error(err)
					}
				}
				h.before.Store(&f)
				time.Sleep(time.Hour)
				synctest.Wait()
				r.want(e, w, event.Delivered, "", 2)
			})
		})
	}
}

func TestStoppingWithAFailingStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.stop()
		dead := &deadLedger{left: 0}
		r.startWith(func(l Ledger) Ledger { dead.Ledger = l; return dead })
		r.webhook(nil, "a")
		r.post("a")
		settled()
		began := time.Now()
		r.stop()
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("stopping with nothing in flight took %s", took)
		}
	})
}

func TestWhatADisabledWebhookMissedIsListed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.stop()
		w := r.webhook(func(w *event.Webhook) { w.Enabled = false }, "a")
		r.post("a")
		settled()
		l, err := r.engine.ListDeliveries(t.Context(), 1, store.DeliveryFilter{Webhook: w.ID}, store.Page{Limit: 10})
		if err != nil || len(l.Data) != 1 {
			t.Fatalf("%d deliveries of the disabled webhook are listed (%v), want 1", len(l.Data), err)
		}
	})
}
