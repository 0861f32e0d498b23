package storetest

import (
	"errors"
	"reflect"
	"slices"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

var deliveryLogTests = []conformance{
	{"Age", testLogAge},
	{"Bytes", testLogBytes},
	{"SmallSteps", testLogSteps},
	{"FanOut", testLogFanOut},
	{"Pending", testLogPending},
	{"Floor", testLogFloor},
	{"Late", testLogLate},
}

// gone checks that the delivery log keeps these no longer, and those.
func (h *harness) gone(gone []event.DeliveryID, kept ...event.DeliveryID) {
	h.Helper()
	for _, id := range gone {
		if d, _, err := h.Delivery(h.ctx(), tenant, id); !errors.Is(err, store.ErrNotFound) {
			h.Errorf("%s is still there: %+v, %v", id, d, err)
		}
	}
	for _, id := range kept {
		if _, _, err := h.Delivery(h.ctx(), tenant, id); err != nil {
			h.Errorf("%s: %v", id, err)
		}
	}
	rows := h.recorded(0)
	for _, id := range gone {
		if rows[id] {
			h.Errorf("%s still has a row", id)
		}
	}
}

func testLogAge(h *harness) {
	w := h.webhook()
	old := h.posts(3, w)
	h.settle(h.delivered(old[0], 1), h.retry(old[1], 1, 0), h.retry(old[1], 2, 0), h.failed(old[1], 3))
	_, err := h.Cancel(h.ctx(), tenant, old[2])
	h.check(err)
	h.clock.Add(time.Hour)
	young := h.posts(1, w)
	h.settle(h.delivered(young[0], 1))
	h.floor(young[0].Event)
	if done := h.trimAll(store.Retention{DeliveryAge: 2 * time.Hour}); !reflect.DeepEqual(done, store.Trimmed{}) {
		h.Errorf("trimmed %+v too early", done)
	}
	if done := h.trimAll(store.Retention{}); !reflect.DeepEqual(done, store.Trimmed{}) {
		h.Errorf("trimmed %+v without a bound", done)
	}
	for i := range 2 {
		done := h.trimAll(store.Retention{DeliveryAge: 30 * time.Minute})
		if want := (store.Trimmed{Logged: 3 * (1 - i)}); !reflect.DeepEqual(done, want) {
			h.Errorf("trimmed %+v, want %+v", done, want)
		}
		h.gone(old, young...)
		h.reopen()
	}
	if got := h.list(store.DeliveryFilter{}, 10); !slices.Equal(got, young) {
		h.Errorf("listed %v", got)
	}
	if ev := h.readAll(0, []event.Pattern{"**"}, 10); len(ev) != 4 {
		h.Errorf("%d events are left", len(ev))
	}
	// The rest goes with the events.
	h.clock.Add(time.Hour)
	if done := h.trimAll(store.Retention{Age: 30 * time.Minute, DeliveryAge: time.Minute}); done.Events != 4 || done.Expired != 0 {
		h.Errorf("trimmed %+v", done)
	}
}

// logged makes n deliveries that have ended, each with so many attempts, and raises the floor over them.
func (h *harness) logged(w *event.Webhook, n, attempts int) (ids []event.DeliveryID) {
	h.Helper()
	for _, r := range h.fill(n, w.ID) {
		ids = append(ids, deliveryID(r, w))
	}
	for part := range slices.Chunk(ids, 500) {
		var s store.Settlements
		for _, id := range part {
			for number := range attempts - 1 {
				s.Settled = append(s.Settled, h.retry(id, number+1, 0))
			}
			s.Settled = append(s.Settled, h.delivered(id, attempts))
		}
		s.Floor = part[len(part)-1].Event
		h.check(h.Settle(h.ctx(), s))
	}
	return ids
}

func testLogBytes(h *harness) {
	w := h.webhook()
	const n = 3000
	ids := h.logged(w, n, 2)
	if done := h.trimAll(store.Retention{DeliveryBytes: 64 << 20}); !reflect.DeepEqual(done, store.Trimmed{}) {
		h.Errorf("trimmed %+v within the bound", done)
	}
	// Whatever the engine's estimate is, a tenth of this is less than what is there.
	bound := int64(n * 2 * 40 / 10)
	done := h.trimAll(store.Retention{DeliveryBytes: bound})
	if done.Logged == 0 || done.Logged == n || done.Events != 0 || done.Expired != 0 {
		h.Fatalf("trimmed %+v of %d", done, n)
	}
	h.gone(ids[:done.Logged], ids[done.Logged:]...)
	if again := h.trimAll(store.Retention{DeliveryBytes: bound}); !reflect.DeepEqual(again, store.Trimmed{}) {
		h.Errorf("trimmed %+v more", again)
	}
}

func testLogSteps(h *harness) {
	w := h.webhook()
	const n = 2500
	ids := h.logged(w, n, 1)
	sum, steps := 0, 0
	for more := true; more; steps++ {
		step, err := h.Trim(h.ctx(), store.Retention{DeliveryBytes: 1})
		h.check(err)
		sum += step.Logged
		more = step.More
		if steps > n {
			h.Fatal("it does not end")
		}
		if steps == 2 {
			h.gone(ids[:sum], ids[sum:]...)
			h.reopen()
		}
	}
	if sum != n || steps < 4 {
		h.Errorf("%d of %d went in %d steps", sum, n, steps)
	}
}

// testLogFanOut has one event with more deliveries than go in one step.
func testLogFanOut(h *harness) {
	const n = 1000
	d := draft("a")
	var hooks []*event.Webhook
	for range n {
		w := h.webhook()
		hooks = append(hooks, w)
		d.Event.Matches = append(d.Event.Matches, event.Match{Webhook: w.ID})
	}
	r := h.append(d)[0]
	var s store.Settlements
	for i, w := range hooks {
		if i%100 == 0 {
			s.Spilled = append(s.Spilled, store.Spill{ID: deliveryID(r, w), Tenant: tenant})
			continue
		}
		s.Settled = append(s.Settled, h.delivered(deliveryID(r, w), 1))
	}
	s.Floor = r.Cursor
	h.check(h.Settle(h.ctx(), s))
	step, err := h.Trim(h.ctx(), store.Retention{DeliveryBytes: 1})
	h.check(err)
	rest := h.trimAll(store.Retention{DeliveryBytes: 1})
	if step.Logged == 0 || !step.More || step.Logged+rest.Logged != n-n/100 {
		h.Errorf("trimmed %+v, then %+v", step, rest)
	}
	if rows := h.recorded(0); len(rows) != n/100 {
		h.Errorf("%d rows are left of %d that are pending", len(rows), n/100)
	}
}

// testLogPending keeps what is pending, and what ended after its turn had come goes at last with its event.
func testLogPending(h *harness) {
	w, off := h.webhook(), h.webhook()
	ids := h.posts(4, w)
	behind := deliveryID(h.post("a", off.ID), off)
	h.spill(ids[1], ids[2], behind)
	h.settle(h.delivered(ids[0], 1), h.retry(ids[3], 1, time.Hour))
	h.floor(behind.Event)
	h.toggle(off, false)
	r := store.Retention{DeliveryBytes: 1, DeliveryAge: time.Minute}
	if done := h.trimAll(r); done.Logged != 2 || done.Swept != 1 {
		h.Errorf("trimmed %+v", done)
	}
	h.gone([]event.DeliveryID{ids[0], behind}, ids[1:]...)
	h.settle(h.delivered(ids[1], 1))
	if done := h.trimAll(r); done.Logged != 0 {
		h.Errorf("trimmed %+v", done)
	}
	h.reopen()
	h.turn(w, false, ids[2], ids[3])
	h.clock.Add(time.Hour)
	if done := h.trimAll(store.Retention{Age: time.Minute, DeliveryAge: time.Minute}); done.Expired != 2 || done.Events != 5 {
		h.Errorf("trimmed %+v", done)
	}
	if rows := h.recorded(0); len(rows) != 0 {
		h.Errorf("rows are %v", rows)
	}
}

// testLogFloor removes nothing above the floor: a missing row there is a delivery that is owed.
func testLogFloor(h *harness) {
	w := h.webhook()
	ids := h.posts(4, w)
	h.settle(h.delivered(ids[0], 1), h.delivered(ids[1], 1), h.delivered(ids[3], 1))
	h.floor(ids[0].Event)
	h.clock.Add(time.Hour)
	r := store.Retention{DeliveryBytes: 1, DeliveryAge: time.Minute}
	for i, r := range []store.Retention{{DeliveryAge: time.Minute}, {DeliveryBytes: 1}, r} {
		if done := h.trimAll(r); done.Logged != 1-min(i, 1) {
			h.Errorf("%+v trimmed %+v", r, done)
		}
		h.gone(ids[:1], ids[1:]...)
	}
	h.state(ids[1], event.Delivered, "")
	h.state(ids[3], event.Delivered, "")
	h.settle(h.delivered(ids[2], 1))
	h.floor(ids[3].Event)
	if done := h.trimAll(r); done.Logged != 3 {
		h.Errorf("trimmed %+v", done)
	}
	h.gone(ids)
}

// testLogLate brings nothing back that the delivery log no longer keeps.
func testLogLate(h *harness) {
	w := h.webhook()
	ids := h.posts(2, w)
	h.settle(h.failed(ids[0], 1), h.delivered(ids[1], 1))
	h.floor(ids[1].Event)
	h.trimAll(store.Retention{DeliveryBytes: 1})
	late := h.delivered(ids[0], 2)
	late.Announce = news("_carillon.delivery.late")
	h.settle(late)
	h.spill(ids[1])
	h.gone(ids)
	if topics := h.announced(); len(topics) != 0 {
		h.Errorf("announced %v", topics)
	}
	if _, err := h.Reopen(h.ctx(), tenant, ids[0]); !errors.Is(err, store.ErrNotFound) {
		h.Errorf("Reopen: %v", err)
	}
	if _, err := h.Cancel(h.ctx(), tenant, ids[0]); !errors.Is(err, store.ErrNotFound) {
		h.Errorf("Cancel: %v", err)
	}
}
