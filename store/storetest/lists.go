package storetest

import (
	"errors"
	"slices"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

var listTests = []conformance{
	{"Filters", testListFilters},
	{"OfAnEvent", testListOfEvent},
	{"StablePages", testListStablePages},
	{"BehindALine", testListBehindLine},
}

// list returns all pages of a list of deliveries.
func (h *harness) list(f store.DeliveryFilter, limit int) (ids []event.DeliveryID) {
	h.Helper()
	page := store.Page{Limit: limit}
	for {
		list, err := h.ListDeliveries(h.ctx(), tenant, f, page)
		h.check(err)
		if len(list.Data) > limit || len(list.Data) == 0 && page.Token != "" {
			h.Errorf("%+v: a page of %d for a limit of %d", f, len(list.Data), limit)
		}
		for _, d := range list.Data {
			full, _ := h.delivery(d.ID)
			if d != full {
				h.Errorf("listed as %+v, shown as %+v", d, full)
			}
			ids = append(ids, d.ID)
		}
		if page.Token = list.Next; page.Token == "" {
			return ids
		}
	}
}

func testListFilters(h *harness) {
	one, two := h.webhook(), h.webhook()
	topics := []event.Topic{"orders.created", "orders.paid", "users.new"}
	start := h.clock.Now()
	type made struct {
		id      event.DeliveryID
		event   event.ID
		topic   event.Topic
		at      time.Time
		state   event.State
		outcome event.Outcome
	}
	var all []made
	for i := range 24 {
		r := h.post(topics[i%3], one.ID, two.ID)
		for n, w := range []*event.Webhook{one, two} {
			m := made{id: deliveryID(r, w), event: r.ID, topic: r.Topic, at: r.Time}
			s := h.retry(m.id, 1, time.Hour)
			switch (i + n) % 4 {
			case 0:
				s = h.delivered(m.id, 1)
			case 1:
				s.State, s.Reason, s.Due = event.Failed, event.ReasonExhausted, time.Time{}
				s.Attempt.Status, s.Attempt.Outcome = 0, event.ErrDNS
			}
			h.settle(s)
			m.state, m.outcome = s.State, s.Attempt.Outcome
			if (i+n)%4 == 3 {
				_, err := h.Cancel(h.ctx(), tenant, m.id)
				h.check(err)
				m.state = event.Canceled
			}
			all = append(all, m)
		}
		h.clock.Add(time.Second)
	}
	h.post("orders.created", one.ID) // has no row
	h.clock.Add(time.Second)

	pending, delivered, failed, canceled := event.Pending, event.Delivered, event.Failed, event.Canceled
	for _, test := range []struct {
		name   string
		filter store.DeliveryFilter
		want   func(m made) bool
	}{
		{"all", store.DeliveryFilter{}, func(made) bool { return true }},
		{"webhook", store.DeliveryFilter{Webhook: two.ID}, func(m made) bool { return m.id.Webhook == two.ID }},
		{"pending", store.DeliveryFilter{State: &pending}, func(m made) bool { return m.state == pending }},
		{"delivered", store.DeliveryFilter{State: &delivered}, func(m made) bool { return m.state == delivered }},
		{"failed", store.DeliveryFilter{State: &failed}, func(m made) bool { return m.state == failed }},
		{"canceled", store.DeliveryFilter{State: &canceled}, func(m made) bool { return m.state == canceled }},
		{"outcome", store.DeliveryFilter{Outcome: event.ErrDNS}, func(m made) bool { return m.outcome == event.ErrDNS }},
		{"topic", store.DeliveryFilter{Patterns: []event.Pattern{"users.new"}}, func(m made) bool { return m.topic == "users.new" }},
		{"pattern", store.DeliveryFilter{Patterns: []event.Pattern{"orders.*"}}, func(m made) bool { return m.topic != "users.new" }},
		{"since", store.DeliveryFilter{Since: start.Add(5 * time.Second)}, func(m made) bool { return !m.at.Before(start.Add(5 * time.Second)) }},
		{"until", store.DeliveryFilter{Until: start.Add(5 * time.Second)}, func(m made) bool { return m.at.Before(start.Add(5 * time.Second)) }},
		{"several", store.DeliveryFilter{Webhook: one.ID, State: &failed, Patterns: []event.Pattern{"orders.**"}, Since: start.Add(2 * time.Second)},
			func(m made) bool {
				return m.id.Webhook == one.ID && m.state == failed && m.topic != "users.new" && !m.at.Before(start.Add(2*time.Second))
			}},
		{"event", store.DeliveryFilter{Event: all[4].event}, func(m made) bool { return m.event == all[4].event }},
		{"event and webhook", store.DeliveryFilter{Event: all[4].event, Webhook: one.ID},
			func(m made) bool { return m.event == all[4].event && m.id.Webhook == one.ID }},
		{"unknown webhook", store.DeliveryFilter{Webhook: event.NewID()}, func(made) bool { return false }},
		{"unknown event", store.DeliveryFilter{Event: event.NewID()}, func(made) bool { return false }},
	} {
		want := make(map[event.DeliveryID]bool)
		for _, m := range all {
			if test.want(m) {
				want[m.id] = true
			}
		}
		for _, limit := range []int{1, 5, 100} {
			got := h.list(test.filter, limit)
			if len(got) != len(want) {
				h.Errorf("%s by %d: got %d deliveries, want %d", test.name, limit, len(got), len(want))
			}
			for i, id := range got {
				if !want[id] {
					h.Errorf("%s by %d: got %s", test.name, limit, id)
				}
				if i > 0 && id.Event > got[i-1].Event {
					h.Errorf("%s by %d: an older event comes first", test.name, limit)
				}
			}
		}
	}
	for _, f := range []store.DeliveryFilter{{}, {Webhook: one.ID}, {Event: all[0].event}} {
		future := event.MaxCursor.String()
		for _, token := range []string{"?", "0", "-1", "+1", "99", "a.b", future, future + ".1"} {
			if _, err := h.ListDeliveries(h.ctx(), tenant, f, store.Page{Limit: 5, Token: token}); !errors.Is(err, store.ErrPage) {
				h.Errorf("a foreign token, %s: %v", token, err)
			}
		}
	}
}

func testListOfEvent(h *harness) {
	recorded, bare := h.webhook(), h.webhook()
	d := draft("a", recorded.ID, bare.ID)
	off := event.NewID()
	d.Event.Matches = append(d.Event.Matches, event.Match{Webhook: off, Disabled: true})
	r := h.append(d)[0]
	h.settle(h.delivered(deliveryID(r, recorded), 1))
	got := h.list(store.DeliveryFilter{Event: r.ID}, 1)
	if len(got) != 3 || !slices.Contains(got, deliveryID(r, recorded)) || !slices.Contains(got, deliveryID(r, bare)) ||
		!slices.Contains(got, event.DeliveryID{Event: r.Cursor, Webhook: off}) {
		h.Errorf("listed %v", got)
	}
	pending, canceled := event.Pending, event.Canceled
	if got := h.list(store.DeliveryFilter{Event: r.ID, State: &pending}, 10); len(got) != 1 || got[0] != deliveryID(r, bare) {
		h.Errorf("pending: %v", got)
	}
	if got := h.list(store.DeliveryFilter{Event: r.ID, State: &canceled}, 10); len(got) != 1 || got[0].Webhook != off {
		h.Errorf("canceled: %v", got)
	}
	if got := h.list(store.DeliveryFilter{Event: r.ID, Patterns: []event.Pattern{"b"}}, 10); len(got) != 0 {
		h.Errorf("of another topic: %v", got)
	}
}

// testListStablePages adds rows between the pages.
func testListStablePages(h *harness) {
	w := h.webhook()
	add := func() event.DeliveryID {
		id := deliveryID(h.post("a", w.ID), w)
		h.spill(id)
		return id
	}
	for _, f := range []store.DeliveryFilter{{}, {Webhook: w.ID}} {
		want := h.list(f, 100)
		for range 9 {
			want = append([]event.DeliveryID{add()}, want...)
		}
		var got []event.DeliveryID
		page := store.Page{Limit: 2}
		for {
			list, err := h.ListDeliveries(h.ctx(), tenant, f, page)
			h.check(err)
			for _, d := range list.Data {
				got = append(got, d.ID)
			}
			if page.Token = list.Next; page.Token == "" {
				break
			}
			add()
		}
		if !slices.Equal(got, want) {
			h.Errorf("%+v: got %v, want %v", f, got, want)
		}
	}
}

func testListBehindLine(h *harness) {
	w := h.webhook()
	var ids []event.DeliveryID
	for range 4 {
		id := deliveryID(h.post("a", w.ID), w)
		h.spill(id)
		ids = append(ids, id)
	}
	h.toggle(w, false)
	h.toggle(w, true)
	_, err := h.Reopen(h.ctx(), tenant, ids[1])
	h.check(err)
	pending, canceled := event.Pending, event.Canceled
	for range 2 {
		if got := h.list(store.DeliveryFilter{State: &pending}, 10); !slices.Equal(got, ids[1:2]) {
			h.Errorf("pending: %v", got)
		}
		if got := h.list(store.DeliveryFilter{State: &canceled, Webhook: w.ID}, 10); !slices.Equal(got, []event.DeliveryID{ids[3], ids[2], ids[0]}) {
			h.Errorf("canceled: %v", got)
		}
		h.trimAll(store.Retention{})
	}
}
