package storetest

import (
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// RunOrder drives an engine and a model of who waits for whom through random steps. After each, the backlog shows of
// every key the lowest cursor and no other; at the end, working the backlogs off goes in log order for every key.
func RunOrder(t *testing.T, open Open) {
	rapid.Check(t, func(r *rapid.T) {
		m := &orderModel{harness: newModelHarness(t, open), rows: make(map[event.DeliveryID]*orderedRow)}
		defer m.stop()
		for range 2 {
			m.webhooks = append(m.webhooks, m.webhook())
		}
		r.Repeat(map[string]func(*rapid.T){
			"append":  m.append,
			"spill":   m.spill,
			"settle":  m.settle,
			"reopen":  m.reopenOne,
			"cancel":  m.cancelOne,
			"trim":    m.trim,
			"forget":  m.forget,
			"toggle":  m.toggleOne,
			"job":     m.job,
			"restart": func(*rapid.T) { m.harness.reopen() },
			"wait":    func(r *rapid.T) { m.clock.Add(time.Duration(rapid.IntRange(1, 60).Draw(r, "s")) * time.Second) },
			"":        m.compare,
		})
		m.drain(r)
	})
}

// orderModel is which rows are pending, and what they wait for.
type orderModel struct {
	*harness
	webhooks []*event.Webhook
	ids      []event.DeliveryID // of what the log holds, in its order
	times    map[event.Cursor]time.Time
	rows     map[event.DeliveryID]*orderedRow
}

type orderedRow struct {
	key      uint64
	pending  bool
	attempts int
}

func (m *orderModel) pick(r *rapid.T) event.DeliveryID {
	if len(m.ids) == 0 {
		r.Skip("no delivery yet")
	}
	return rapid.SampledFrom(m.ids).Draw(r, "delivery")
}

func (m *orderModel) key(r *rapid.T) uint64 { return uint64(rapid.IntRange(0, 3).Draw(r, "key")) }

func (m *orderModel) enabled(id event.ID) bool {
	return slices.ContainsFunc(m.webhooks, func(w *event.Webhook) bool { return w.ID == id && w.Enabled })
}

// row makes the model's row for a delivery that may not have one. Behind a line it is not pending.
func (m *orderModel) row(id event.DeliveryID, key uint64) *orderedRow {
	row := m.rows[id]
	if row == nil {
		row = &orderedRow{key: key, pending: m.owed(id)}
		m.rows[id] = row
	}
	return row
}

func (m *orderModel) owed(id event.DeliveryID) bool {
	for _, w := range m.webhooks {
		if w.ID == id.Webhook {
			return w.Enabled && id.Event > w.CanceledThrough
		}
	}
	return false
}

func (m *orderModel) append(r *rapid.T) {
	for range rapid.IntRange(1, 4).Draw(r, "n") {
		receipt := m.post("a", m.webhooks[0].ID, m.webhooks[1].ID)
		if m.times == nil {
			m.times = make(map[event.Cursor]time.Time)
		}
		m.times[receipt.Cursor] = receipt.Time
		for _, w := range m.webhooks {
			m.ids = append(m.ids, deliveryID(receipt, w))
		}
	}
}

func (m *orderModel) spill(r *rapid.T) {
	var s store.Settlements
	for range rapid.IntRange(1, 3).Draw(r, "n") {
		id, key := m.pick(r), m.key(r)
		s.Spilled = append(s.Spilled, store.Spill{ID: id, Tenant: tenant, OrderKey: key})
		m.row(id, key)
	}
	m.check(m.Settle(m.ctx(), s))
}

func (m *orderModel) settle(r *rapid.T) {
	var all []store.Settlement
	for range rapid.IntRange(1, 3).Draw(r, "n") {
		id, key := m.pick(r), m.key(r)
		row := m.row(id, key)
		row.attempts++
		var s store.Settlement
		switch rapid.IntRange(0, 2).Draw(r, "answer") {
		case 0:
			s = m.delivered(id, row.attempts)
			row.pending = false
		case 1:
			s = m.retry(id, row.attempts, time.Duration(rapid.IntRange(0, 120).Draw(r, "in"))*time.Second)
		case 2:
			s = m.failed(id, row.attempts)
			row.pending = false
		}
		all = append(all, m.keyed(s, key))
	}
	m.harness.settle(all...)
}

func (m *orderModel) reopenOne(r *rapid.T) {
	id := m.pick(r)
	if !m.enabled(id.Webhook) {
		r.Skip("is disabled")
	}
	_, err := m.Reopen(m.ctx(), tenant, id)
	m.check(err)
	m.row(id, 0).pending = true
}

func (m *orderModel) cancelOne(r *rapid.T) {
	id := m.pick(r)
	if row := m.rows[id]; row != nil && !row.pending || row == nil && !m.owed(id) {
		r.Skip("is not pending")
	}
	_, err := m.Cancel(m.ctx(), tenant, id)
	m.check(err)
	m.row(id, 0).pending = false
}

func (m *orderModel) trim(r *rapid.T) {
	age := time.Duration(rapid.IntRange(20, 200).Draw(r, "age")) * time.Second
	m.trimAll(store.Retention{Age: age})
	m.ids = slices.DeleteFunc(m.ids, func(id event.DeliveryID) bool {
		gone := m.times[id.Event].Before(m.clock.Now().Add(-age))
		if gone {
			delete(m.rows, id)
		}
		return gone
	})
}

// forget has the delivery log forget what has ended, as far as everything has a row.
func (m *orderModel) forget(*rapid.T) {
	floor, at := event.Cursor(0), event.Cursor(0)
	for _, id := range m.ids {
		if id.Event > at {
			floor, at = at, id.Event
		}
		if m.rows[id] == nil {
			break
		}
	}
	m.floor(floor)
	m.trimAll(store.Retention{DeliveryBytes: 1})
	m.ids = slices.DeleteFunc(m.ids, func(id event.DeliveryID) bool {
		_, _, err := m.Delivery(m.ctx(), tenant, id)
		if err != nil && m.rows[id].pending {
			m.Fatalf("the delivery log forgot %s, which is pending", id)
		}
		if err != nil {
			delete(m.rows, id)
		}
		return err != nil
	})
}

func (m *orderModel) toggleOne(r *rapid.T) {
	w := rapid.SampledFrom(m.webhooks).Draw(r, "webhook")
	m.toggle(w, !w.Enabled)
	if w.Enabled {
		return
	}
	for id, row := range m.rows {
		if id.Webhook == w.ID {
			row.pending = false
		}
	}
}

// job replays what a webhook was owed, as far as the floor lets it.
func (m *orderModel) job(r *rapid.T) {
	w := rapid.SampledFrom(m.webhooks).Draw(r, "webhook")
	if !w.Enabled {
		r.Skip("is disabled")
	}
	job, err := m.CreateJob(m.ctx(), store.Job{ID: event.NewID(), Tenant: tenant, Webhook: w.ID,
		Filter: store.ReplayFilter{States: []event.State{event.Failed, event.Canceled}}})
	m.check(err)
	_, made, err := m.StepJob(m.ctx(), job.ID, rapid.IntRange(1, 5).Draw(r, "limit"))
	m.check(err)
	for _, id := range made {
		if m.rows[id] == nil || m.rows[id].pending {
			r.Fatalf("%s was replayed, and is %+v", id, m.rows[id])
		}
		m.rows[id].pending = true
	}
}

// turns returns the deliveries whose turn it is, and whether there are others.
func (m *orderModel) turns(w *event.Webhook) (turns map[event.DeliveryID]bool, parked bool) {
	turns = make(map[event.DeliveryID]bool)
	heads := make(map[uint64]bool)
	for _, id := range m.ids {
		row := m.rows[id]
		if id.Webhook != w.ID || row == nil || !row.pending {
			continue
		}
		if row.key != 0 && heads[row.key] {
			parked = true
			continue
		}
		heads[row.key] = true
		turns[id] = true
	}
	return turns, parked
}

func (m *orderModel) compare(r *rapid.T) {
	for _, w := range m.webhooks {
		want, parked := m.turns(w)
		b, err := m.Backlog(m.ctx(), w.ID, m.clock.Now().Add(time.Hour), 1000)
		m.check(err)
		got := make(map[event.DeliveryID]bool)
		for _, d := range b.Due {
			got[d.ID] = true
			if d.OrderKey != m.rows[d.ID].key {
				r.Fatalf("%s has the key %d, want %d", d.ID, d.OrderKey, m.rows[d.ID].key)
			}
		}
		if !maps.Equal(got, want) || b.Parked != parked {
			r.Fatalf("it is the turn of %v (others parked: %t), want %v (%t)", got, b.Parked, want, parked)
		}
	}
}

// drain works off what is owed.
func (m *orderModel) drain(r *rapid.T) {
	m.clock.Add(time.Hour)
	for _, w := range m.webhooks {
		last := make(map[uint64]event.Cursor)
		for {
			b, err := m.Backlog(m.ctx(), w.ID, m.clock.Now(), 2)
			m.check(err)
			if len(b.Due) == 0 {
				if b.Parked || !b.Next.IsZero() {
					r.Fatalf("nothing is due, and there is more: %+v", b)
				}
				break
			}
			for _, d := range b.Due {
				if d.OrderKey != 0 && d.ID.Event <= last[d.OrderKey] {
					r.Fatalf("%s comes after %s, of the same key", d.ID.Event, last[d.OrderKey])
				}
				last[d.OrderKey] = d.ID.Event
				m.harness.settle(m.delivered(d.ID, d.Attempts+1))
				m.rows[d.ID].pending = false
			}
		}
		if left, _ := m.turns(w); len(left) > 0 {
			r.Fatalf("never shown: %v", left)
		}
	}
}
