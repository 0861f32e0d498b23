package storetest

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// RunModel drives an engine and a model of the ledger through random steps, with restarts between them, and after each
// holds the one to the other: owed = matched − ended, and a restart that reads only what is above the floor finds it all.
func RunModel(t *testing.T, open Open) {
	rapid.Check(t, func(r *rapid.T) {
		m := &model{harness: newModelHarness(t, open), deliveries: make(map[event.DeliveryID]*modelDelivery)}
		defer m.stop()
		for range 3 {
			m.webhooks = append(m.webhooks, m.webhook())
		}
		r.Repeat(map[string]func(*rapid.T){
			"append":  m.append,
			"spill":   m.spill,
			"settle":  m.settle,
			"floor":   m.raise,
			"cancel":  m.cancelOne,
			"reopen":  m.reopenOne,
			"toggle":  m.toggleOne,
			"trim":    m.trim,
			"sweep":   m.sweep,
			"restart": func(*rapid.T) { m.reopen() },
			"wait":    func(r *rapid.T) { m.clock.Add(time.Duration(rapid.IntRange(1, 90).Draw(r, "s")) * time.Second) },
			"":        m.compare,
		})
	})
}

// newModelHarness is like newHarness, but the harness is stopped by the one who made it: one test makes many.
func newModelHarness(t *testing.T, open Open) *harness {
	h := &harness{TB: t, open: open, dir: t.TempDir(), clock: &clock{now: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)}}
	h.start()
	return h
}

// model is what the engine should hold.
type model struct {
	*harness
	webhooks   []*event.Webhook
	deliveries map[event.DeliveryID]*modelDelivery
	events     []modelEvent
	floor      event.Cursor
}

type modelEvent struct {
	cursor  event.Cursor
	time    time.Time
	matches []event.Match
}

type modelDelivery struct {
	state    event.State
	reason   event.Reason
	attempts int
	row      bool
	due      time.Time // of a pending one with a row
	spilled  bool      // its due is any that has come
}

// ids lists the model's deliveries in a fixed order.
func (m *model) ids() []event.DeliveryID {
	return slices.SortedFunc(maps.Keys(m.deliveries), func(a, b event.DeliveryID) int {
		return cmp.Or(cmp.Compare(a.Event, b.Event), slices.Compare(a.Webhook[:], b.Webhook[:]))
	})
}

func (m *model) pick(r *rapid.T) (event.DeliveryID, *modelDelivery) {
	ids := m.ids()
	if len(ids) == 0 {
		r.Skip("no delivery yet")
	}
	id := rapid.SampledFrom(ids).Draw(r, "delivery")
	return id, m.deliveries[id]
}

func (m *model) enabled(id event.ID) bool {
	for _, w := range m.webhooks {
		if w.ID == id {
			return w.Enabled
		}
	}
	return false
}

func (m *model) append(r *rapid.T) {
	d := draft("a")
	for _, w := range m.webhooks {
		if rapid.Bool().Draw(r, "matches") {
			match := event.Match{Webhook: w.ID, Disabled: !w.Enabled}
			match.FilterError = w.Enabled && rapid.IntRange(0, 5).Draw(r, "filter") == 0
			d.Event.Matches = append(d.Event.Matches, match)
		}
	}
	receipt := m.harness.append(d)[0]
	m.events = append(m.events, modelEvent{receipt.Cursor, receipt.Time, d.Event.Matches})
	for _, match := range d.Event.Matches {
		made := &modelDelivery{}
		made.reason = neverOwed(match)
		if made.reason != "" {
			made.state = event.Canceled
		}
		m.deliveries[event.DeliveryID{Event: receipt.Cursor, Webhook: match.Webhook}] = made
	}
}

func (m *model) spill(r *rapid.T) {
	id, d := m.pick(r)
	if !d.row && m.neverOwed(id) != "" {
		r.Skip("was never owed")
	}
	m.harness.spill(id)
	if !d.row {
		d.row, d.spilled = true, d.state == event.Pending
	}
}

// neverOwed says why a delivery was canceled from the start; empty for one that was owed.
func (m *model) neverOwed(id event.DeliveryID) event.Reason {
	for _, ev := range m.events {
		if ev.cursor == id.Event {
			match, _ := matchOf(ev.matches, id.Webhook)
			return neverOwed(match)
		}
	}
	return ""
}

func neverOwed(match event.Match) event.Reason {
	switch {
	case match.Disabled:
		return event.ReasonDisabled
	case match.FilterError:
		return event.ReasonFilterError
	}
	return ""
}

func matchOf(matches []event.Match, id event.ID) (event.Match, bool) {
	i := slices.IndexFunc(matches, func(m event.Match) bool { return m.Webhook == id })
	if i < 0 {
		return event.Match{}, false
	}
	return matches[i], true
}

func (m *model) settle(r *rapid.T) {
	id, d := m.pick(r)
	if !d.row && m.neverOwed(id) != "" {
		r.Skip("was never owed")
	}
	// A number that was used is void.
	number := rapid.IntRange(max(1, d.attempts), d.attempts+1).Draw(r, "number")
	var s store.Settlement
	switch rapid.IntRange(0, 2).Draw(r, "answer") {
	case 0:
		s = m.delivered(id, number)
	case 1:
		s = m.retry(id, number, time.Duration(rapid.IntRange(0, 120).Draw(r, "in"))*time.Second)
	case 2:
		s = m.retry(id, number, 0)
		s.State, s.Reason, s.Due = event.Failed, event.ReasonExhausted, time.Time{}
	}
	writes := store.Settlements{Settled: []store.Settlement{s}}
	if rapid.Bool().Draw(r, "spilled too") {
		writes.Spilled = []store.Spill{{ID: id, Tenant: tenant}}
	}
	m.check(m.Settle(m.ctx(), writes))
	if number <= d.attempts {
		return
	}
	d.attempts++
	d.row = true
	switch {
	case d.state == event.Pending:
		d.state, d.reason, d.due, d.spilled = s.State, s.Reason, s.Due, false
	case s.State == event.Delivered:
		d.state, d.reason = event.Delivered, ""
	}
}

// raise does what the dispatcher does: it spills what has no row up to a cursor, puts on record what was never owed, and
// raises the floor to it.
func (m *model) raise(r *rapid.T) {
	if len(m.events) == 0 {
		r.Skip("no event yet")
	}
	to := rapid.SampledFrom(m.events).Draw(r, "event").cursor
	var s store.Settlements
	for _, id := range m.ids() {
		d, reason := m.deliveries[id], m.neverOwed(id)
		switch {
		case id.Event <= m.floor || id.Event > to || d.row:
		case reason != "":
			s.Settled = append(s.Settled, store.Settlement{ID: id, Tenant: tenant, State: event.Canceled, Reason: reason})
			d.row = true
		default:
			s.Spilled = append(s.Spilled, store.Spill{ID: id, Tenant: tenant})
			d.row, d.spilled = true, d.state == event.Pending
		}
	}
	s.Floor = to
	m.check(m.Settle(m.ctx(), s))
	m.floor = max(m.floor, to)
}

func (m *model) cancelOne(r *rapid.T) {
	id, d := m.pick(r)
	_, err := m.Cancel(m.ctx(), tenant, id)
	if d.state != event.Pending {
		if !errors.Is(err, store.ErrState) {
			r.Fatalf("canceling %s, which is %s: %v", id, d.state, err)
		}
		return
	}
	m.check(err)
	d.row, d.state, d.reason = true, event.Canceled, event.ReasonByHand
}

func (m *model) reopenOne(r *rapid.T) {
	id, d := m.pick(r)
	_, err := m.Reopen(m.ctx(), tenant, id)
	if !m.enabled(id.Webhook) {
		if !errors.Is(err, store.ErrState) {
			r.Fatalf("reopening %s of a disabled webhook: %v", id, err)
		}
		return
	}
	m.check(err)
	d.row, d.state, d.reason, d.due, d.spilled = true, event.Pending, "", m.clock.Now(), false
}

func (m *model) toggleOne(r *rapid.T) {
	w := rapid.SampledFrom(m.webhooks).Draw(r, "webhook")
	m.toggle(w, !w.Enabled)
	if w.Enabled {
		return
	}
	for id, d := range m.deliveries {
		if id.Webhook == w.ID && d.state == event.Pending {
			d.state, d.reason = event.Canceled, event.ReasonDisabled
		}
	}
}

func (m *model) trim(r *rapid.T) {
	age := time.Duration(rapid.IntRange(30, 300).Draw(r, "age")) * time.Second
	done := m.trimAll(store.Retention{Age: age})
	events, expired := 0, 0
	for len(m.events) > 0 && m.events[0].time.Before(m.clock.Now().Add(-age)) {
		for _, match := range m.events[0].matches {
			id := event.DeliveryID{Event: m.events[0].cursor, Webhook: match.Webhook}
			if m.deliveries[id].state == event.Pending {
				expired++
			}
			delete(m.deliveries, id)
		}
		m.events = m.events[1:]
		events++
	}
	if done.Events != events || done.Expired != expired {
		r.Fatalf("trimmed %+v, want %d events and %d expired", done, events, expired)
	}
}

func (m *model) sweep(r *rapid.T) {
	if done := m.trimAll(store.Retention{}); done.Events != 0 || done.Expired != 0 {
		r.Fatalf("a sweep trimmed %+v", done)
	}
}

// compare holds the engine to the model.
func (m *model) compare(r *rapid.T) {
	backlogs := make(map[event.DeliveryID]event.Delivery)
	for _, w := range m.webhooks {
		b, err := m.Backlog(m.ctx(), w.ID, m.clock.Now().Add(time.Hour), 1000)
		m.check(err)
		for _, d := range b.Due {
			backlogs[d.ID] = d
		}
	}
	// What a restart finds: rows that are pending, and matches above the floor without one.
	floor, err := m.Floor(m.ctx())
	m.check(err)
	if floor != m.floor {
		r.Fatalf("the floor is %s, want %s", floor, m.floor)
	}
	owed := make(map[event.DeliveryID]bool)
	for id := range backlogs {
		owed[id] = true
	}
	rows := m.recorded(0)
	lines := make(map[event.ID]*event.Webhook)
	for _, w := range m.webhooks {
		lines[w.ID] = m.getWebhook(w.ID)
	}
	from := max(floor, m.boundsNow().Trimmed)
	for _, ev := range m.readAll(from, []event.Pattern{"**"}, 1000) {
		for _, match := range ev.Matches {
			id := event.DeliveryID{Event: ev.Cursor, Webhook: match.Webhook}
			if w := lines[match.Webhook]; match.Owed() && !rows[id] && w.Enabled && ev.Cursor > w.CanceledThrough {
				owed[id] = true
			}
		}
	}
	for _, id := range m.ids() {
		want := m.deliveries[id]
		got, attempts := m.delivery(id)
		describe := fmt.Sprintf("%s is %+v, want %+v", id, got, *want)
		switch {
		case got.State != want.state || got.Reason != want.reason || got.Attempts != want.attempts || len(attempts) != want.attempts:
			r.Fatal(describe)
		case owed[id] != (want.state == event.Pending):
			r.Fatalf("owed is %t: %s", owed[id], describe)
		case rows[id] && !want.row, want.row && !rows[id] && want.state == event.Pending:
			r.Fatalf("has a row is %t: %s", rows[id], describe)
		}
		if want.state == event.Pending && want.row {
			d, ok := backlogs[id]
			if !ok || !want.spilled && !d.Due.Equal(want.due) || want.spilled && d.Due.After(m.clock.Now()) {
				r.Fatalf("due at %s: %s", d.Due, describe)
			}
		}
		delete(owed, id)
		delete(rows, id)
	}
	if len(owed) > 0 || len(rows) > 0 {
		r.Fatalf("owed to nobody: %v; rows of nobody: %v", owed, rows)
	}
}
