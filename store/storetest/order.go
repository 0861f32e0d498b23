package storetest

import (
	"slices"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

var orderTests = []conformance{
	{"Parked", testParked},
	{"KeysAndWebhooks", testParkedKeys},
	{"LowerCursor", testParkedLowerCursor},
	{"Due", testParkedDue},
	{"ByHand", testParkedByHand},
	{"Line", testParkedLine},
	{"Trim", testParkedTrim},
	{"Read", testOrderKeyRead},
}

// posts makes n deliveries to a webhook.
func (h *harness) posts(n int, w *event.Webhook) (ids []event.DeliveryID) {
	h.Helper()
	for range n {
		ids = append(ids, deliveryID(h.post("a", w.ID), w))
	}
	return ids
}

// turn checks which deliveries' turn it is, and whether others wait behind them.
func (h *harness) turn(w *event.Webhook, parked bool, want ...event.DeliveryID) {
	h.Helper()
	b, err := h.Backlog(h.ctx(), w.ID, h.clock.Now().Add(1000*time.Hour), 1000)
	h.check(err)
	var got []event.DeliveryID
	for _, d := range b.Due {
		got = append(got, d.ID)
	}
	slices.SortFunc(got, func(a, b event.DeliveryID) int { return int(a.Event) - int(b.Event) })
	if !slices.Equal(got, want) || b.Parked != parked {
		h.Errorf("it is the turn of %v (others parked: %t), want %v (%t)", got, b.Parked, want, parked)
	}
}

func (h *harness) keyed(s store.Settlement, key uint64) store.Settlement {
	s.OrderKey = key
	return s
}

func testParked(h *harness) {
	w := h.webhook()
	ids := h.posts(4, w)
	h.spillKeyed(7, ids...)
	h.turn(w, true, ids[0])
	h.reopen()
	h.turn(w, true, ids[0])
	h.settle(h.retry(ids[0], 1, time.Minute)) // it blocks the others
	h.turn(w, true, ids[0])
	if got, next := h.backlog(w, 10); len(got) != 0 || !next.Equal(h.clock.Now().Add(time.Minute)) {
		h.Errorf("a failing head: %v, then %s", got, next)
	}
	if dues, err := h.Dues(h.ctx()); err != nil || !dues[w.ID].Equal(h.clock.Now().Add(time.Minute)) {
		h.Errorf("dues are %v, %v", dues, err)
	}
	h.settle(h.delivered(ids[0], 2))
	h.turn(w, true, ids[1])
	h.settle(h.failed(ids[1], 1), h.delivered(ids[2], 1))
	h.turn(w, false, ids[3])
	h.settle(h.delivered(ids[3], 1))
	h.turn(w, false)
}

func testParkedKeys(h *harness) {
	w, other := h.webhook(), h.webhook()
	var ids, others []event.DeliveryID
	for range 6 {
		r := h.post("a", w.ID, other.ID)
		ids, others = append(ids, deliveryID(r, w)), append(others, deliveryID(r, other))
	}
	const big = 1<<64 - 1
	h.spillKeyed(1, ids[0], ids[2])
	h.spillKeyed(big, ids[1], ids[3])
	h.spillKeyed(1, others[1], others[2])
	h.spill(ids[4], ids[5], others[4], others[5])
	h.turn(w, true, ids[0], ids[1], ids[4], ids[5])
	h.turn(other, true, others[1], others[4], others[5])
	h.settle(h.delivered(ids[1], 1))
	h.turn(w, true, ids[0], ids[3], ids[4], ids[5])
	if d, _ := h.delivery(ids[3]); d.OrderKey != big {
		h.Errorf("the key is %d", d.OrderKey)
	}
	h.settle(h.delivered(ids[0], 1))
	h.turn(w, false, ids[2], ids[3], ids[4], ids[5])
	h.turn(other, true, others[1], others[4], others[5])
}

// testParkedLowerCursor gives a delivery its row when later ones have theirs.
func testParkedLowerCursor(h *harness) {
	w := h.webhook()
	ids := h.posts(4, w)
	h.spillKeyed(7, ids[2], ids[3])
	h.turn(w, true, ids[2])
	h.settle(h.keyed(h.retry(ids[1], 1, time.Hour), 7))
	h.turn(w, true, ids[1])
	h.settle(h.keyed(h.delivered(ids[0], 1), 7)) // ends without having been pending
	h.turn(w, true, ids[1])
	h.settle(h.delivered(ids[2], 1)) // a request that was made all the same
	h.turn(w, true, ids[1])
	h.settle(h.keyed(h.delivered(ids[1], 2), 8)) // the row keeps its key
	h.turn(w, false, ids[3])
	if d, _ := h.delivery(ids[1]); d.OrderKey != 7 {
		h.Errorf("the key is %d", d.OrderKey)
	}
	// Both in one write.
	ids = h.posts(2, w)
	h.check(h.Settle(h.ctx(), store.Settlements{
		Settled: []store.Settlement{h.delivered(ids[0], 1)},
		Spilled: []store.Spill{{ID: ids[1], Tenant: tenant, OrderKey: 9}, {ID: ids[0], Tenant: tenant, OrderKey: 9}},
	}))
	h.settle(h.delivered(ids[1], 1))
}

// testParkedDue parks retries: released, each is due when it was before.
func testParkedDue(h *harness) {
	w := h.webhook()
	ids := h.posts(2, w)
	second := h.keyed(h.retry(ids[1], 1, time.Hour), 7)
	h.settle(second)
	h.spillKeyed(7, ids[0])
	h.turn(w, true, ids[0])
	h.clock.Add(time.Second)
	h.settle(h.delivered(ids[0], 1))
	if got, next := h.backlog(w, 10); len(got) != 0 || !next.Equal(second.Due) {
		h.Errorf("released: %v, then %s, want %s", got, next, second.Due)
	}
}

func testParkedByHand(h *harness) {
	w := newWebhook(tenant)
	w.Order = event.OrderStrict
	h.check(h.CreateWebhook(h.ctx(), w))
	ids := h.posts(4, w)
	h.spillKeyed(1, ids[1], ids[2])
	cancel := func(id event.DeliveryID) {
		h.Helper()
		_, err := h.Cancel(h.ctx(), tenant, id)
		h.check(err)
	}
	open := func(id event.DeliveryID) {
		h.Helper()
		d, err := h.Reopen(h.ctx(), tenant, id)
		h.check(err)
		if d.OrderKey != 1 || d.Replay {
			h.Errorf("reopened: %+v", d)
		}
	}
	cancel(ids[1])
	h.turn(w, false, ids[2])
	open(ids[1])
	h.turn(w, true, ids[1])
	open(ids[0]) // has no row: the webhook's order says what it waits for
	h.turn(w, true, ids[0])
	open(ids[3])
	h.turn(w, true, ids[0])
	open(ids[2]) // pending, and parked
	h.turn(w, true, ids[0])
	cancel(ids[1]) // parked
	h.turn(w, true, ids[0])
	cancel(ids[0])
	h.turn(w, true, ids[2])
	cancel(ids[2])
	h.turn(w, false, ids[3])
	cancel(ids[3])
	h.turn(w, false)
}

func testParkedLine(h *harness) {
	w := h.webhook()
	ids := h.posts(4, w)
	h.spillKeyed(7, ids[:3]...)
	h.toggle(w, false)
	h.turn(w, false)
	h.toggle(w, true)
	// Behind the line nobody waits, and nobody is waited for.
	_, err := h.Reopen(h.ctx(), tenant, ids[1])
	h.check(err)
	h.turn(w, false, ids[1])
	last := h.posts(1, w)[0]
	h.spillKeyed(7, last)
	h.turn(w, true, ids[1])
	h.settle(h.retry(ids[0], 1, 0)) // canceled, and stays so
	h.turn(w, true, ids[1])
	h.trimAll(store.Retention{}) // sweeps
	h.turn(w, true, ids[1])
	_, err = h.Reopen(h.ctx(), tenant, ids[2]) // it was parked when the line was drawn
	h.check(err)
	h.turn(w, true, ids[1])
	h.settle(h.delivered(ids[1], 1))
	h.turn(w, true, ids[2])
	h.settle(h.delivered(ids[2], 1))
	h.turn(w, false, last)
}

func testParkedTrim(h *harness) {
	w := h.webhook()
	old := h.posts(3, w)
	h.clock.Add(time.Hour)
	ids := h.posts(3, w)
	h.spillKeyed(7, old[0], old[2], ids[0], ids[1])
	h.spillKeyed(8, old[1])
	h.spillKeyed(9, ids[2])
	h.turn(w, true, old[0], old[1], ids[2])
	if done := h.trimAll(store.Retention{Age: time.Minute}); done.Expired != 3 {
		h.Errorf("trimmed %+v", done)
	}
	h.turn(w, true, ids[0], ids[2])
	h.settle(h.delivered(ids[0], 1))
	h.turn(w, false, ids[1], ids[2])
}

// testOrderKeyRead reads keys, of deliveries with and without a row.
func testOrderKeyRead(h *harness) {
	w := newWebhook(tenant)
	w.Order = event.OrderKey
	h.check(h.CreateWebhook(h.ctx(), w))
	key := w.Order.OrderKey("customer-17")
	d := draft("a", w.ID)
	d.Event.PartitionKey = "customer-17"
	r := h.append(d)[0]
	id := deliveryID(r, w)
	for range 2 {
		got, _ := h.delivery(id)
		list, err := h.ListDeliveries(h.ctx(), tenant, store.DeliveryFilter{Event: r.ID}, store.Page{Limit: 1})
		h.check(err)
		if key == 0 || got.OrderKey != key || list.Data[0].OrderKey != key {
			h.Errorf("the key is %d, and listed as %d; want %d", got.OrderKey, list.Data[0].OrderKey, key)
		}
		h.spillKeyed(key, id)
	}
	b, err := h.Backlog(h.ctx(), w.ID, h.clock.Now(), 1)
	h.check(err)
	list, err := h.ListDeliveries(h.ctx(), tenant, store.DeliveryFilter{Webhook: w.ID}, store.Page{Limit: 1})
	h.check(err)
	canceled, err := h.Cancel(h.ctx(), tenant, id)
	h.check(err)
	if b.Due[0].OrderKey != key || list.Data[0].OrderKey != key || canceled.OrderKey != key {
		h.Errorf("keys are %d, %d, %d; want %d", b.Due[0].OrderKey, list.Data[0].OrderKey, canceled.OrderKey, key)
	}
}
