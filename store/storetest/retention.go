package storetest

import (
	"errors"
	"reflect"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

var retentionTests = []conformance{
	{"Age", testRetentionAge},
	{"Bytes", testRetentionBytes},
	{"SmallSteps", testRetentionSteps},
	{"Expired", testRetentionExpired},
	{"LateSettlement", testRetentionLateSettlement},
}

func testRetentionAge(h *harness) {
	old := h.post("a")
	h.clock.Add(time.Hour)
	young := h.post("a")
	if done := h.trimAll(store.Retention{Age: 2 * time.Hour}); !reflect.DeepEqual(done, store.Trimmed{}) {
		h.Errorf("trimmed %+v too early", done)
	}
	if done := h.trimAll(store.Retention{}); !reflect.DeepEqual(done, store.Trimmed{}) {
		h.Errorf("trimmed %+v without a bound", done)
	}
	h.clock.Add(30 * time.Minute)
	if done := h.trimAll(store.Retention{Age: time.Hour}); !reflect.DeepEqual(done, store.Trimmed{Events: 1}) {
		h.Errorf("trimmed %+v", done)
	}
	if _, err := h.Event(h.ctx(), tenant, old.ID); !errors.Is(err, store.ErrNotFound) {
		h.Errorf("a trimmed event: %v", err)
	}
	if _, err := h.Event(h.ctx(), tenant, young.ID); err != nil {
		h.Error(err)
	}
}

func testRetentionBytes(h *harness) {
	const size = 4 << 20
	receipts := h.fill(8000)
	done := h.trimAll(store.Retention{Bytes: size})
	if done.Events == 0 || done.Events == len(receipts) {
		h.Fatalf("trimmed %+v of %d events of %d bytes", done, len(receipts), PayloadBytes)
	}
	// What is left is about as much as was asked for: the newest.
	left := h.readAll(h.boundsNow().Trimmed, []event.Pattern{"**"}, 500)
	if len(left)+done.Events != len(receipts) || left[0].Cursor != receipts[done.Events].Cursor {
		h.Errorf("%d events are left after %d were trimmed", len(left), done.Events)
	}
	if bytes := len(left) * PayloadBytes; bytes < size/4 || bytes > size {
		h.Errorf("%d bytes of payload are left of %d", bytes, size)
	}
	if again := h.trimAll(store.Retention{Bytes: size}); again.Events != 0 {
		h.Errorf("trimmed %d more", again.Events)
	}
}

func testRetentionSteps(h *harness) {
	const events = 3000
	h.fill(events)
	h.clock.Add(time.Hour)
	last := h.boundsNow().Trimmed
	steps := 0
	for sum := 0; sum < events; steps++ {
		step, err := h.Trim(h.ctx(), store.Retention{Age: time.Minute})
		h.check(err)
		sum += step.Events
		if step.Events == 0 || step.Events == events || step.More != (sum < events) && sum < events {
			h.Fatalf("step %d is %+v", steps, step)
		}
		b := h.boundsNow()
		if b.Trimmed <= last {
			h.Fatalf("the log begins at %s, and began at %s", b.Trimmed, last)
		}
		last = b.Trimmed
	}
	if steps < 2 {
		h.Errorf("%d events went in %d steps", events, steps)
	}
}

func testRetentionExpired(h *harness) {
	w, off, other := h.webhook(), h.webhook(), h.webhook()
	var receipts []store.Receipt
	for range 8 {
		receipts = append(receipts, h.post("a", w.ID))
	}
	id := func(i int) event.DeliveryID { return deliveryID(receipts[i], w) }
	h.settle(h.delivered(id(0), 1), h.retry(id(1), 1, time.Hour)) // one owed
	h.spill(id(2))                                                // two
	h.floor(receipts[2].Cursor)
	_, err := h.Cancel(h.ctx(), tenant, id(3)) // above the floor: canceled here, four more owed without a row
	h.check(err)
	d := draft("a", other.ID)
	d.Event.Matches = append(d.Event.Matches, event.Match{Webhook: w.ID, Disabled: true}, event.Match{Webhook: off.ID})
	last := h.append(d)[0] // one owed to other; off is canceled by its line
	h.toggle(off, false)
	h.clock.Add(time.Hour)
	kept := h.post("a", w.ID)
	h.spill(deliveryID(kept, w))
	if done := h.trimAll(store.Retention{Age: time.Minute}); done.Events != 9 || done.Expired != 2+4+1 {
		h.Errorf("trimmed %+v, want 9 events and 7 expired", done)
	}
	if ids := h.recorded(0); len(ids) != 1 || !ids[deliveryID(kept, w)] {
		h.Errorf("rows are %v", ids)
	}
	if _, _, err := h.Delivery(h.ctx(), tenant, deliveryID(last, other)); !errors.Is(err, store.ErrNotFound) {
		h.Errorf("a delivery of a trimmed event: %v", err)
	}
	if cursors, _ := h.backlog(w, 10); len(cursors) != 1 {
		h.Errorf("the backlog has %v", cursors)
	}
}

func testRetentionLateSettlement(h *harness) {
	w := h.webhook()
	bare, spilled := deliveryID(h.post("a", w.ID), w), deliveryID(h.post("a", w.ID), w)
	h.spill(spilled)
	h.clock.Add(time.Hour)
	h.trimAll(store.Retention{Age: time.Minute})
	stays := deliveryID(h.post("a", w.ID), w)
	h.settle(h.delivered(bare, 1), h.retry(spilled, 1, 0), h.delivered(stays, 1))
	h.spill(bare, spilled)
	if ids := h.recorded(0); len(ids) != 1 || !ids[stays] {
		h.Errorf("rows are %v", ids)
	}
	for _, do := range []func() error{
		func() error { _, err := h.Reopen(h.ctx(), tenant, spilled); return err },
		func() error { _, err := h.Cancel(h.ctx(), tenant, bare); return err },
	} {
		if err := do(); !errors.Is(err, store.ErrNotFound) {
			h.Errorf("by hand on a trimmed delivery: %v", err)
		}
	}
}
