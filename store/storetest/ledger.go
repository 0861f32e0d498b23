package storetest

import (
	"bytes"
	"errors"
	"reflect"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

var ledgerTests = []conformance{
	{"Unrecorded", testUnrecorded},
	{"FilterError", testFilterError},
	{"BelowTheFloor", testBelowFloor},
	{"Settle", testSettle},
	{"SettleTwice", testSettleTwice},
	{"SettleAfterCancel", testSettleAfterCancel},
	{"SettleUnknown", testSettleUnknown},
	{"Spill", testSpill},
	{"LateSpill", testLateSpill},
	{"Floor", testFloor},
	{"Backlog", testBacklog},
	{"Dues", testDues},
	{"Waiting", testWaiting},
	{"Reopen", testReopen},
	{"Cancel", testCancel},
	{"Line", testLine},
	{"LineAndReopen", testLineAndReopen},
	{"LineAndSettle", testLineAndSettle},
	{"LineAfterDisabling", testLineAfterDisabling},
	{"Delete", testDeleteCancels},
	{"Sweep", testSweep},
	{"Tenants", testLedgerTenants},
}

func testUnrecorded(h *harness) {
	w := h.webhook()
	off := event.NewID()
	d := draft("orders.created", w.ID)
	d.Event.Matches = append(d.Event.Matches, event.Match{Webhook: off, Disabled: true})
	r := h.append(d)[0]
	got, attempts := h.delivery(deliveryID(r, w))
	if got.State != event.Pending || got.EventID != r.ID || got.Topic != r.Topic || got.Tenant != tenant ||
		got.ID != deliveryID(r, w) || !got.CreatedAt.Equal(r.Time) || got.Due.IsZero() || len(attempts) != 0 {
		h.Errorf("a delivery without a row: %+v, %+v", got, attempts)
	}
	h.state(event.DeliveryID{Event: r.Cursor, Webhook: off}, event.Canceled, event.ReasonDisabled)
	for _, id := range []event.DeliveryID{{Event: r.Cursor, Webhook: event.NewID()}, {Event: r.Cursor + 1, Webhook: w.ID}} {
		if _, _, err := h.Delivery(h.ctx(), tenant, id); !errors.Is(err, store.ErrNotFound) {
			h.Errorf("a delivery that is none: %v", err)
		}
	}
	if ids := h.recorded(0); len(ids) != 0 {
		h.Errorf("rows at first: %v", ids)
	}
}

// testFilterError matches a webhook whose filter failed: that delivery was never owed.
func testFilterError(h *harness) {
	w, other := h.webhook(), h.webhook()
	post := func() store.Receipt {
		h.Helper()
		d := draft("a", other.ID)
		d.Event.Matches = append(d.Event.Matches, event.Match{Webhook: w.ID, FilterError: true})
		return h.append(d)[0]
	}
	bare, settled, reopened, behind := post(), post(), post(), post()
	if bare.Webhooks != 1 {
		h.Errorf("a poster is told of %d webhooks", bare.Webhooks)
	}
	events, err := h.ListEvents(h.ctx(), tenant, store.EventFilter{}, store.Page{Limit: 1})
	h.check(err)
	if events.Data[0].Owed != 1 {
		h.Errorf("%d are owed the event", events.Data[0].Owed)
	}
	record := func(r store.Receipt) {
		h.Helper()
		h.settle(store.Settlement{ID: deliveryID(r, w), Tenant: tenant, State: event.Canceled, Reason: event.ReasonFilterError})
	}
	record(settled)
	got, err := h.Reopen(h.ctx(), tenant, deliveryID(reopened, w))
	h.check(err)
	if got.State != event.Pending {
		h.Errorf("reopened: %+v", got)
	}
	if _, err := h.Cancel(h.ctx(), tenant, deliveryID(bare, w)); !errors.Is(err, store.ErrState) {
		h.Errorf("canceled though it never was pending: %v", err)
	}
	for range 2 {
		for _, r := range []store.Receipt{bare, settled, behind} {
			d := h.state(deliveryID(r, w), event.Canceled, event.ReasonFilterError)
			if d.EndedAt.IsZero() || !d.Due.IsZero() {
				h.Errorf("a filter failed: %+v", d)
			}
		}
		h.state(deliveryID(bare, other), event.Pending, "")
		h.state(deliveryID(reopened, w), event.Pending, "")
		h.reopen()
	}
	canceled := event.Canceled
	if got := h.list(store.DeliveryFilter{Event: bare.ID, State: &canceled}, 10); len(got) != 1 || got[0].Webhook != w.ID {
		h.Errorf("listed %v", got)
	}
	// A line that is drawn later does not change why.
	h.toggle(w, false)
	record(behind)
	h.toggle(w, true)
	h.state(deliveryID(bare, w), event.Canceled, event.ReasonFilterError)
	h.state(deliveryID(behind, w), event.Canceled, event.ReasonFilterError)
	h.state(deliveryID(reopened, w), event.Canceled, event.ReasonDisabled)
	// Nothing of it expires but what the other was owed.
	h.clock.Add(time.Hour)
	if done := h.trimAll(store.Retention{Age: time.Minute}); done.Expired != 4 {
		h.Errorf("trimmed %+v, want 4 expired", done)
	}
}

// testBelowFloor asks for deliveries at or below the floor that have no row: there are none any more.
func testBelowFloor(h *harness) {
	w := h.webhook()
	below, recorded, above := h.post("a", w.ID), h.post("a", w.ID), h.post("a", w.ID)
	h.check(h.Settle(h.ctx(), store.Settlements{
		Settled: []store.Settlement{h.delivered(deliveryID(recorded, w), 1)}, Floor: recorded.Cursor}))
	id := deliveryID(below, w)
	for range 2 {
		_, _, err := h.Delivery(h.ctx(), tenant, id)
		_, reopen := h.Reopen(h.ctx(), tenant, id)
		_, cancel := h.Cancel(h.ctx(), tenant, id)
		for how, err := range map[string]error{"Delivery": err, "Reopen": reopen, "Cancel": cancel} {
			if !errors.Is(err, store.ErrNotFound) {
				h.Errorf("%s: %v", how, err)
			}
		}
		if got := h.list(store.DeliveryFilter{Event: below.ID}, 10); len(got) != 0 {
			h.Errorf("listed %v", got)
		}
		h.settle(h.delivered(id, 1)) // a late attempt
		h.spill(id)
		if rows := h.recorded(0); len(rows) != 1 {
			h.Errorf("rows are %v", rows)
		}
		h.state(deliveryID(recorded, w), event.Delivered, "")
		h.state(deliveryID(above, w), event.Pending, "")
		h.reopen()
	}
}

func testSettle(h *harness) {
	w := h.webhook()
	r := h.post("a", w.ID)
	id := deliveryID(r, w)
	first := h.retry(id, 1, time.Minute)
	h.settle(first)
	d := h.state(id, event.Pending, "")
	if d.Attempts != 1 || d.Step != 1 || !d.Due.Equal(first.Due) || d.LastStatus != 500 || d.LastOutcome != event.ErrStatus5xx ||
		!d.EndedAt.IsZero() {
		h.Errorf("after the first attempt: %+v", d)
	}
	h.clock.Add(time.Minute)
	h.settle(h.retry(id, 2, time.Minute))
	h.clock.Add(time.Minute)
	last := h.delivered(id, 3)
	last.Attempt.Answer = nil
	h.settle(last)
	for range 2 {
		d, attempts := h.delivery(id)
		if d.State != event.Delivered || d.Attempts != 3 || d.Step != 3 || !d.Due.IsZero() || !d.EndedAt.Equal(h.clock.Now()) ||
			d.LastStatus != 200 || d.LastOutcome != event.Success {
			h.Errorf("delivered: %+v", d)
		}
		if len(attempts) != 3 {
			h.Fatalf("%d attempts of 3", len(attempts))
		}
		for i, want := range []*event.Attempt{first.Attempt, nil, last.Attempt} {
			if want == nil {
				continue
			}
			got := attempts[i]
			if got.Number != want.Number || !got.At.Equal(want.At) || got.Duration != want.Duration || got.Status != want.Status ||
				got.Outcome != want.Outcome || !bytes.Equal(got.Answer, want.Answer) {
				h.Errorf("attempt %d is %+v, want %+v", i+1, got, want)
			}
		}
		h.reopen()
	}
	// One that gives up without an attempt.
	r = h.post("a", w.ID)
	h.settle(store.Settlement{ID: deliveryID(r, w), Tenant: tenant, State: event.Failed, Reason: event.ReasonExhausted, Step: 4})
	d = h.state(deliveryID(r, w), event.Failed, event.ReasonExhausted)
	if d.Attempts != 0 || d.EndedAt.IsZero() || d.LastOutcome != event.NoOutcome {
		h.Errorf("given up without an attempt: %+v", d)
	}
}

func testSettleTwice(h *harness) {
	w := h.webhook()
	id := deliveryID(h.post("a", w.ID), w)
	one, two := h.retry(id, 1, time.Minute), h.retry(id, 2, time.Hour)
	h.settle(one, two)
	h.settle(one)
	h.settle(two, one)
	d, attempts := h.delivery(id)
	if d.Attempts != 2 || len(attempts) != 2 || !d.Due.Equal(two.Due) || d.Step != 2 {
		h.Errorf("settled again: %+v with %d attempts", d, len(attempts))
	}
	end := h.delivered(id, 3)
	h.settle(end, end)
	h.settle(one, two, end)
	if d, attempts = h.delivery(id); d.State != event.Delivered || d.Attempts != 3 || len(attempts) != 3 {
		h.Errorf("settled again: %+v with %d attempts", d, len(attempts))
	}
}

func testSettleAfterCancel(h *harness) {
	w := h.webhook()
	failing, succeeding := deliveryID(h.post("a", w.ID), w), deliveryID(h.post("a", w.ID), w)
	for _, id := range []event.DeliveryID{failing, succeeding} {
		if _, err := h.Cancel(h.ctx(), tenant, id); err != nil {
			h.Fatal(err)
		}
	}
	h.settle(h.retry(failing, 1, time.Minute), h.delivered(succeeding, 1))
	if d := h.state(failing, event.Canceled, event.ReasonByHand); d.Attempts != 1 || d.LastStatus != 500 || !d.Due.IsZero() {
		h.Errorf("canceled, then answered: %+v", d)
	}
	if d := h.state(succeeding, event.Delivered, ""); d.Attempts != 1 {
		h.Errorf("canceled, then delivered: %+v", d)
	}
	// What is delivered stays delivered.
	h.settle(h.retry(succeeding, 2, time.Minute))
	if d := h.state(succeeding, event.Delivered, ""); d.Attempts != 2 {
		h.Errorf("delivered, then a late answer: %+v", d)
	}
	h.settle(store.Settlement{ID: failing, Tenant: tenant, State: event.Failed, Reason: event.ReasonExhausted})
	h.state(failing, event.Canceled, event.ReasonByHand)
}

func testSettleUnknown(h *harness) {
	w := h.webhook()
	r := h.post("a", w.ID)
	h.settle(
		h.delivered(event.DeliveryID{Event: r.Cursor, Webhook: event.NewID()}, 1),
		h.delivered(event.DeliveryID{Event: r.Cursor + 10, Webhook: w.ID}, 1),
		h.delivered(deliveryID(r, w), 1),
	)
	h.spill(event.DeliveryID{Event: r.Cursor + 10, Webhook: w.ID}, event.DeliveryID{Event: r.Cursor, Webhook: event.NewID()})
	if ids := h.recorded(0); len(ids) != 1 || !ids[deliveryID(r, w)] {
		h.Errorf("rows are %v", ids)
	}
}

func testSpill(h *harness) {
	w := h.webhook()
	id := deliveryID(h.post("a", w.ID), w)
	h.spill(id, id)
	d := h.state(id, event.Pending, "")
	if d.Attempts != 0 || d.Due.IsZero() || d.Due.After(h.clock.Now()) {
		h.Errorf("spilled: %+v", d)
	}
	if ids := h.recorded(0); len(ids) != 1 || !ids[id] {
		h.Errorf("rows are %v", ids)
	}
	// Due at once, though the clock has fallen since.
	h.clock.Add(-time.Hour)
	id = deliveryID(h.post("a", w.ID), w)
	h.spill(id)
	if d := h.state(id, event.Pending, ""); d.Due.After(h.clock.Now()) {
		h.Errorf("spilled, and due only at %s", d.Due)
	}
}

func testLateSpill(h *harness) {
	w := h.webhook()
	settled, retried, canceled := deliveryID(h.post("a", w.ID), w), deliveryID(h.post("a", w.ID), w), deliveryID(h.post("a", w.ID), w)
	retry := h.retry(retried, 1, time.Minute)
	h.settle(h.delivered(settled, 1), retry)
	if _, err := h.Cancel(h.ctx(), tenant, canceled); err != nil {
		h.Fatal(err)
	}
	h.spill(settled, retried, canceled)
	h.state(settled, event.Delivered, "")
	h.state(canceled, event.Canceled, event.ReasonByHand)
	if d := h.state(retried, event.Pending, ""); !d.Due.Equal(retry.Due) || d.Attempts != 1 {
		h.Errorf("a late spill made it %+v", d)
	}
}

func testFloor(h *harness) {
	floor := func() event.Cursor {
		h.Helper()
		c, err := h.Floor(h.ctx())
		h.check(err)
		return c
	}
	if c := floor(); c != 0 {
		h.Errorf("at first: %s", c)
	}
	w := h.webhook()
	var ids []event.DeliveryID
	for range 4 {
		ids = append(ids, deliveryID(h.post("a", w.ID), w))
	}
	h.check(h.Settle(h.ctx(), store.Settlements{
		Settled: []store.Settlement{h.delivered(ids[0], 1)},
		Spilled: []store.Spill{{ID: ids[1], Tenant: tenant}},
		Floor:   ids[1].Event,
	}))
	for range 2 {
		if c := floor(); c != ids[1].Event {
			h.Errorf("the floor is %s, want %s", c, ids[1].Event)
		}
		h.floor(ids[0].Event)
		if c := floor(); c != ids[1].Event {
			h.Errorf("the floor fell to %s", c)
		}
		h.reopen()
	}
	h.spill(ids[2])
	if got := h.recorded(ids[0].Event); len(got) != 2 || !got[ids[1]] || !got[ids[2]] {
		h.Errorf("rows above %s: %v", ids[0].Event, got)
	}
}

// backlog returns the events of the webhook's backlog, and when the first of the others is due.
func (h *harness) backlog(w *event.Webhook, limit int) (cursors []event.Cursor, next time.Time) {
	h.Helper()
	b, err := h.Backlog(h.ctx(), w.ID, h.clock.Now(), limit)
	h.check(err)
	for _, d := range b.Due {
		if d.State != event.Pending || d.ID.Webhook != w.ID || d.EventID.IsZero() || d.Topic == "" || d.Due.After(h.clock.Now()) {
			h.Errorf("in the backlog: %+v", d)
		}
		cursors = append(cursors, d.ID.Event)
	}
	return cursors, b.Next
}

func testBacklog(h *harness) {
	w, other := h.webhook(), h.webhook()
	var ids []event.DeliveryID
	for range 6 {
		r := h.post("a", w.ID, other.ID)
		ids = append(ids, deliveryID(r, w))
		h.spill(deliveryID(r, other))
		h.clock.Add(time.Second)
	}
	if cursors, next := h.backlog(w, 10); len(cursors) != 0 || !next.IsZero() {
		h.Errorf("without rows: %v, %s", cursors, next)
	}
	h.settle(h.retry(ids[0], 1, time.Minute), h.retry(ids[1], 1, 30*time.Second), h.retry(ids[5], 1, 30*time.Second),
		h.delivered(ids[2], 1))
	h.spill(ids[3], ids[4])
	check := func(limit int, next time.Time, want ...event.DeliveryID) {
		h.Helper()
		cursors, got := h.backlog(w, limit)
		same := len(cursors) == len(want)
		for i := range min(len(cursors), len(want)) {
			same = same && cursors[i] == want[i].Event
		}
		if !same || !got.Equal(next) {
			h.Errorf("backlog is %v, then %s; want %v, then %s", cursors, got, want, next)
		}
	}
	start := h.clock.Now()
	check(10, start.Add(30*time.Second), ids[3], ids[4])
	first, _ := h.delivery(ids[4])
	check(1, first.Due, ids[3])
	h.reopen()
	h.clock.Add(30 * time.Second)
	check(10, start.Add(time.Minute), ids[3], ids[4], ids[1], ids[5])
	h.clock.Add(30 * time.Second)
	check(10, time.Time{}, ids[3], ids[4], ids[1], ids[5], ids[0])
	h.settle(h.delivered(ids[1], 2), h.delivered(ids[3], 1))
	check(10, time.Time{}, ids[4], ids[5], ids[0])
	check(2, start.Add(time.Minute), ids[4], ids[5])
	if b, err := h.Backlog(h.ctx(), event.NewID(), h.clock.Now(), 5); err != nil || len(b.Due) != 0 || !b.Next.IsZero() || b.Parked {
		h.Errorf("of an unknown webhook: %+v, %v", b, err)
	}
}

func testDues(h *harness) {
	one, two, none, ended, disabled := h.webhook(), h.webhook(), h.webhook(), h.webhook(), h.webhook()
	r := h.post("a", one.ID, two.ID, none.ID, ended.ID, disabled.ID)
	h.clock.Add(time.Second)
	s := h.post("a", one.ID)
	h.settle(h.retry(deliveryID(r, one), 1, time.Hour), h.retry(deliveryID(r, two), 1, time.Minute),
		h.retry(deliveryID(s, one), 1, 2*time.Hour), h.delivered(deliveryID(r, ended), 1))
	h.spill(deliveryID(r, disabled))
	disabled.Enabled = false
	h.check(h.UpdateWebhook(h.ctx(), disabled))
	dues, err := h.Dues(h.ctx())
	h.check(err)
	if len(dues) != 2 || !dues[one.ID].Equal(h.clock.Now().Add(time.Hour)) || !dues[two.ID].Equal(h.clock.Now().Add(time.Minute)) {
		h.Errorf("dues are %v", dues)
	}
}

func testWaiting(h *harness) {
	w, other := h.webhook(), h.webhook()
	check := func(w *event.Webhook, want store.Waiting) {
		h.Helper()
		got, err := h.Waiting(h.ctx(), w.ID)
		h.check(err)
		if got.Deliveries != want.Deliveries || !got.Oldest.Equal(want.Oldest) {
			h.Errorf("waiting: %+v, want %+v", got, want)
		}
	}
	check(w, store.Waiting{})
	check(&event.Webhook{ID: event.NewID()}, store.Waiting{})
	var receipts []store.Receipt
	for range 4 {
		receipts = append(receipts, h.post("a", w.ID, other.ID))
		h.clock.Add(time.Second)
	}
	check(w, store.Waiting{}) // none has a row
	h.settle(h.delivered(deliveryID(receipts[0], w), 1), h.retry(deliveryID(receipts[1], w), 1, time.Hour))
	h.spillKeyed(7, deliveryID(receipts[2], w), deliveryID(receipts[3], w)) // one of them is parked
	h.spill(deliveryID(receipts[0], other))
	check(w, store.Waiting{Deliveries: 3, Oldest: receipts[1].Time})
	check(other, store.Waiting{Deliveries: 1, Oldest: receipts[0].Time})
	h.settle(h.delivered(deliveryID(receipts[1], w), 2))
	check(w, store.Waiting{Deliveries: 2, Oldest: receipts[2].Time})
	h.toggle(w, false)
	check(w, store.Waiting{})
}

func testReopen(h *harness) {
	w := h.webhook()
	failed, delivered, bare, off := deliveryID(h.post("a", w.ID), w), deliveryID(h.post("a", w.ID), w), deliveryID(h.post("a", w.ID), w), draft("a")
	off.Event.Matches = []event.Match{{Webhook: w.ID, Disabled: true}}
	canceled := deliveryID(h.append(off)[0], w)
	failure := h.retry(failed, 1, 0)
	failure.State, failure.Reason, failure.Due = event.Failed, event.ReasonExhausted, time.Time{}
	h.settle(failure, h.delivered(delivered, 1))
	h.clock.Add(time.Minute)
	for _, id := range []event.DeliveryID{failed, delivered, bare, canceled} {
		before, _ := h.delivery(id)
		got, err := h.Reopen(h.ctx(), tenant, id)
		h.check(err)
		d := h.state(id, event.Pending, "")
		if got.State != event.Pending || d.Step != 0 || !d.Due.Equal(h.clock.Now()) || !d.EndedAt.IsZero() ||
			d.Attempts != before.Attempts || d.LastStatus != before.LastStatus {
			h.Errorf("reopened: %+v, stored %+v", got, d)
		}
		if got.ID != id || got.EventID != d.EventID || got.Topic != d.Topic || !got.Due.Equal(d.Due) || !got.CreatedAt.Equal(d.CreatedAt) {
			h.Errorf("Reopen returned %+v of %+v", got, d)
		}
	}
	if cursors, _ := h.backlog(w, 10); len(cursors) != 4 {
		h.Errorf("the backlog has %v", cursors)
	}
	h.settle(h.delivered(failed, 2))
	if d, attempts := h.delivery(failed); d.State != event.Delivered || len(attempts) != 2 {
		h.Errorf("delivered at last: %+v", d)
	}
	w.Enabled = false
	h.check(h.UpdateWebhook(h.ctx(), w))
	if _, err := h.Reopen(h.ctx(), tenant, failed); !errors.Is(err, store.ErrState) {
		h.Errorf("with the webhook disabled: %v", err)
	}
	if _, err := h.Reopen(h.ctx(), tenant, event.DeliveryID{Event: failed.Event, Webhook: event.NewID()}); !errors.Is(err, store.ErrNotFound) {
		h.Errorf("one that is none: %v", err)
	}
}

func testCancel(h *harness) {
	w := h.webhook()
	bare, spilled, done := deliveryID(h.post("a", w.ID), w), deliveryID(h.post("a", w.ID), w), deliveryID(h.post("a", w.ID), w)
	h.spill(spilled)
	h.settle(h.delivered(done, 1))
	for _, id := range []event.DeliveryID{bare, spilled} {
		got, err := h.Cancel(h.ctx(), tenant, id)
		h.check(err)
		d := h.state(id, event.Canceled, event.ReasonByHand)
		if got.State != event.Canceled || got.Reason != event.ReasonByHand || !d.EndedAt.Equal(h.clock.Now()) || !d.Due.IsZero() {
			h.Errorf("canceled: %+v, stored %+v", got, d)
		}
		if _, err := h.Cancel(h.ctx(), tenant, id); !errors.Is(err, store.ErrState) {
			h.Errorf("canceled again: %v", err)
		}
	}
	if _, err := h.Cancel(h.ctx(), tenant, done); !errors.Is(err, store.ErrState) {
		h.Errorf("canceled when delivered: %v", err)
	}
	if _, err := h.Cancel(h.ctx(), tenant, event.DeliveryID{Event: bare.Event, Webhook: event.NewID()}); !errors.Is(err, store.ErrNotFound) {
		h.Errorf("one that is none: %v", err)
	}
	if ids := h.recorded(0); len(ids) != 3 {
		h.Errorf("rows are %v", ids)
	}
	if cursors, _ := h.backlog(w, 10); len(cursors) != 0 {
		h.Errorf("the backlog has %v", cursors)
	}
}

// toggle enables or disables a webhook.
func (h *harness) toggle(w *event.Webhook, enabled bool) {
	h.Helper()
	current := h.getWebhook(w.ID)
	current.Enabled = enabled
	h.check(h.UpdateWebhook(h.ctx(), current))
	*w = *current
}

func testLine(h *harness) {
	w, other := h.webhook(), h.webhook()
	spilled, bare, retried, done := h.post("a", w.ID, other.ID), h.post("a", w.ID), h.post("a", w.ID), h.post("a", w.ID)
	h.spill(deliveryID(spilled, w), deliveryID(spilled, other))
	h.settle(h.retry(deliveryID(retried, w), 1, time.Minute), h.delivered(deliveryID(done, w), 1))
	h.clock.Add(time.Second)
	h.toggle(w, false)
	drawn := h.clock.Now()
	if w.CanceledThrough < done.Cursor || w.CanceledReason != event.ReasonDisabled || w.DisabledReason != event.DisabledByHand {
		h.Errorf("disabled: %+v", w)
	}
	h.clock.Add(time.Second)
	check := func() {
		h.Helper()
		for _, r := range []store.Receipt{spilled, bare, retried} {
			d := h.state(deliveryID(r, w), event.Canceled, event.ReasonDisabled)
			if !d.Due.IsZero() || !d.EndedAt.Equal(drawn) {
				h.Errorf("behind the line: %+v", d)
			}
		}
		h.state(deliveryID(done, w), event.Delivered, "")
		h.state(deliveryID(spilled, other), event.Pending, "")
		if cursors, next := h.backlog(w, 10); len(cursors) != 0 || !next.IsZero() {
			h.Errorf("the backlog has %v, then %s", cursors, next)
		}
	}
	check()
	h.toggle(w, true)
	check()
	h.reopen()
	check()
	h.trimAll(store.Retention{})
	check()
	after := h.post("a", w.ID)
	h.state(deliveryID(after, w), event.Pending, "")
	h.spill(deliveryID(after, w))
	if cursors, _ := h.backlog(w, 10); len(cursors) != 1 || cursors[0] != after.Cursor {
		h.Errorf("the backlog has %v", cursors)
	}
}

func testLineAndReopen(h *harness) {
	w := h.webhook()
	spilled, bare, ended := h.post("a", w.ID), h.post("a", w.ID), h.post("a", w.ID)
	h.spill(deliveryID(spilled, w))
	h.settle(h.delivered(deliveryID(ended, w), 1))
	h.toggle(w, false)
	h.toggle(w, true)
	for _, r := range []store.Receipt{spilled, bare, ended} {
		if _, err := h.Reopen(h.ctx(), tenant, deliveryID(r, w)); err != nil {
			h.Fatal(err)
		}
	}
	check := func(state event.State, reason event.Reason, backlog int) {
		h.Helper()
		for _, r := range []store.Receipt{spilled, bare, ended} {
			h.state(deliveryID(r, w), state, reason)
		}
		if cursors, _ := h.backlog(w, 10); len(cursors) != backlog {
			h.Errorf("the backlog has %v", cursors)
		}
	}
	check(event.Pending, "", 3)
	h.trimAll(store.Retention{})
	h.reopen()
	check(event.Pending, "", 3)
	h.settle(h.retry(deliveryID(bare, w), 1, 0))
	check(event.Pending, "", 3)
	h.toggle(w, false) // a second line
	check(event.Canceled, event.ReasonDisabled, 0)
	h.toggle(w, true)
	h.trimAll(store.Retention{})
	check(event.Canceled, event.ReasonDisabled, 0)
}

// testLineAndSettle settles and spills behind a line.
func testLineAndSettle(h *harness) {
	w := h.webhook()
	var ids []event.DeliveryID
	for range 6 {
		ids = append(ids, deliveryID(h.post("a", w.ID), w))
	}
	h.spill(ids[0], ids[1])
	h.toggle(w, false)
	h.toggle(w, true)
	h.settle(h.retry(ids[0], 1, 0), h.delivered(ids[1], 1), h.retry(ids[2], 1, 0), h.delivered(ids[3], 1))
	h.spill(ids[4])
	for i, want := range []struct {
		state    event.State
		reason   event.Reason
		attempts int
	}{
		{event.Canceled, event.ReasonDisabled, 1}, {event.Delivered, "", 1},
		{event.Canceled, event.ReasonDisabled, 1}, {event.Delivered, "", 1},
		{event.Canceled, event.ReasonDisabled, 0}, {event.Canceled, event.ReasonDisabled, 0},
	} {
		if d := h.state(ids[i], want.state, want.reason); d.Attempts != want.attempts {
			h.Errorf("delivery %d: %+v", i, d)
		}
	}
	if cursors, _ := h.backlog(w, 10); len(cursors) != 0 {
		h.Errorf("the backlog has %v", cursors)
	}
	if _, err := h.Cancel(h.ctx(), tenant, ids[5]); !errors.Is(err, store.ErrState) {
		h.Errorf("canceled by hand behind a line: %v", err)
	}
}

// testLineAfterDisabling appends an event that was matched just before its webhook was disabled.
func testLineAfterDisabling(h *harness) {
	w := h.webhook()
	h.toggle(w, false)
	late := deliveryID(h.post("a", w.ID), w)
	spilled := deliveryID(h.post("a", w.ID), w)
	h.spill(spilled)
	for _, id := range []event.DeliveryID{late, spilled} {
		h.state(id, event.Canceled, event.ReasonDisabled)
	}
	h.toggle(w, true)
	for _, id := range []event.DeliveryID{late, spilled} {
		h.state(id, event.Canceled, event.ReasonDisabled)
	}
}

func testDeleteCancels(h *harness) {
	w := h.webhook()
	spilled, bare, done := deliveryID(h.post("a", w.ID), w), deliveryID(h.post("a", w.ID), w), deliveryID(h.post("a", w.ID), w)
	h.spill(spilled)
	h.settle(h.delivered(done, 1))
	h.check(h.DeleteWebhook(h.ctx(), tenant, w.ID))
	late := deliveryID(h.post("a", w.ID), w) // matched just before
	check := func() {
		h.Helper()
		for _, id := range []event.DeliveryID{spilled, bare, late} {
			h.state(id, event.Canceled, event.ReasonDeleted)
		}
		h.state(done, event.Delivered, "")
	}
	check()
	h.settle(h.delivered(bare, 1))
	h.state(bare, event.Delivered, "")
	bare = spilled
	h.spill(late)
	check()
	h.reopen()
	h.trimAll(store.Retention{})
	check()
	if _, err := h.Reopen(h.ctx(), tenant, spilled); !errors.Is(err, store.ErrState) && !errors.Is(err, store.ErrNotFound) {
		h.Errorf("reopened with its webhook deleted: %v", err)
	}
	// Once the log holds nothing of it, nothing is left.
	h.clock.Add(time.Hour)
	h.trimAll(store.Retention{Age: time.Minute})
	h.reopen()
	if ids := h.recorded(0); len(ids) != 0 {
		h.Errorf("rows are %v", ids)
	}
}

func testSweep(h *harness) {
	w, other := h.webhook(), h.webhook()
	const events = 1200
	receipts := h.fill(events, w.ID, other.ID)
	var s store.Settlements
	for _, r := range receipts {
		s.Spilled = append(s.Spilled, store.Spill{ID: deliveryID(r, w), Tenant: tenant}, store.Spill{ID: deliveryID(r, other), Tenant: tenant})
	}
	s.Floor = receipts[events-1].Cursor
	h.check(h.Settle(h.ctx(), s))
	h.toggle(w, false)
	h.toggle(w, true)
	again := deliveryID(receipts[7], w)
	if _, err := h.Reopen(h.ctx(), tenant, again); err != nil {
		h.Fatal(err)
	}
	step, err := h.Trim(h.ctx(), store.Retention{})
	h.check(err)
	if step.Swept == 0 || step.Swept == events || !step.More {
		h.Errorf("one step is not small: %+v", step)
	}
	h.reopen()
	if rest := h.trimAll(store.Retention{}); step.Swept+rest.Swept != events-1 || rest.Expired != 0 || rest.Events != 0 {
		h.Errorf("swept %d and %+v", step.Swept, rest)
	}
	if again := h.trimAll(store.Retention{}); !reflect.DeepEqual(again, store.Trimmed{}) {
		h.Errorf("swept again: %+v", again)
	}
	if cursors, _ := h.backlog(w, 10); len(cursors) != 1 || cursors[0] != again.Event {
		h.Errorf("the backlog has %v", cursors)
	}
	if cursors, _ := h.backlog(other, events+1); len(cursors) != events {
		h.Errorf("the other's backlog has %d", len(cursors))
	}
}

func testLedgerTenants(h *harness) {
	w := newWebhook(another)
	h.check(h.CreateWebhook(h.ctx(), w))
	d := draft("a", w.ID)
	d.Event.Tenant = another
	id := deliveryID(h.append(d)[0], w)
	foreign := func(how string, err error) {
		h.Helper()
		if !errors.Is(err, store.ErrNotFound) {
			h.Errorf("%s: %v", how, err)
		}
	}
	_, _, err := h.Delivery(h.ctx(), tenant, id)
	foreign("Delivery", err)
	_, err = h.Reopen(h.ctx(), tenant, id)
	foreign("Reopen", err)
	_, err = h.Cancel(h.ctx(), tenant, id)
	foreign("Cancel", err)
	h.spill(id)                  // names the wrong tenant
	h.settle(h.delivered(id, 1)) // so does this
	if ids := h.recorded(0); len(ids) != 0 {
		h.Errorf("written across the wall: %v", ids)
	}
	h.check(h.Settle(h.ctx(), store.Settlements{Spilled: []store.Spill{{ID: id, Tenant: another}}}))
	for _, f := range []store.DeliveryFilter{{}, {Webhook: w.ID}, {Event: d.Event.ID}} {
		list, err := h.ListDeliveries(h.ctx(), tenant, f, store.Page{Limit: 10})
		h.check(err)
		if len(list.Data) != 0 {
			h.Errorf("%+v lists %+v", f, list.Data)
		}
		list, err = h.ListDeliveries(h.ctx(), another, f, store.Page{Limit: 10})
		h.check(err)
		if len(list.Data) != 1 {
			h.Errorf("%+v lists %d to their owner", f, len(list.Data))
		}
	}
	if got, _, err := h.Delivery(h.ctx(), another, id); err != nil || got.Tenant != another {
		h.Errorf("the other tenant gets %+v, %v", got, err)
	}
}
