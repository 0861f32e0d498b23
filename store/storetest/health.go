package storetest

import (
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

var healthTests = []conformance{
	{"Stored", testHealth},
	{"Deleted", testHealthDeleted},
}

// healths asks for every webhook's health.
func (h *harness) healths() map[event.ID]store.Health {
	h.Helper()
	all, err := h.Healths(h.ctx())
	h.check(err)
	byID := make(map[event.ID]store.Health)
	for _, one := range all {
		if _, twice := byID[one.Webhook]; twice {
			h.Errorf("webhook %s has two healths", one.Webhook)
		}
		byID[one.Webhook] = one
	}
	return byID
}

func sameHealth(a, b store.Health) bool {
	return a.Webhook == b.Webhook && a.Failures == b.Failures && a.FailingSince.Equal(b.FailingSince) && a.Down == b.Down &&
		a.Gate.Equal(b.Gate)
}

func testHealth(h *harness) {
	one, two, healthy := h.webhook(), h.webhook(), h.webhook()
	if got := h.healths(); len(got) != 0 {
		h.Errorf("at first: %+v", got)
	}
	now := h.clock.Now()
	failing := store.Health{Webhook: one.ID, Failures: 7, FailingSince: now.Add(-time.Hour), Down: true, Gate: now.Add(time.Minute)}
	gated := store.Health{Webhook: two.ID, Gate: now.Add(time.Hour)}
	set := func(all ...store.Health) {
		h.Helper()
		h.check(h.Settle(h.ctx(), store.Settlements{Health: all}))
	}
	check := func(want ...store.Health) {
		h.Helper()
		got := h.healths()
		if len(got) != len(want) {
			h.Errorf("healths are %+v", got)
		}
		for _, w := range want {
			if !sameHealth(got[w.Webhook], w) {
				h.Errorf("health is %+v, want %+v", got[w.Webhook], w)
			}
		}
	}
	set(failing, gated, store.Health{Webhook: healthy.ID}, store.Health{Webhook: event.NewID(), Failures: 1})
	for range 2 {
		check(failing, gated)
		h.reopen()
	}
	failing.Failures, failing.Down = 8, false
	set(failing)
	check(failing, gated)
	one.Description = "changed"
	h.check(h.UpdateWebhook(h.ctx(), one)) // its settings are no matter of its health
	check(failing, gated)
	set(store.Health{Webhook: one.ID})
	for range 2 {
		check(gated)
		h.reopen()
	}
}

func testHealthDeleted(h *harness) {
	w, kept := h.webhook(), h.webhook()
	h.post("a", w.ID) // keeps the tombstone
	set := func() {
		h.Helper()
		h.check(h.Settle(h.ctx(), store.Settlements{Health: []store.Health{{Webhook: w.ID, Failures: 3}, {Webhook: kept.ID, Down: true}}}))
	}
	set()
	h.check(h.DeleteWebhook(h.ctx(), tenant, w.ID))
	for range 2 {
		if got := h.healths(); len(got) != 1 || !got[kept.ID].Down {
			h.Errorf("with one deleted: %+v", got)
		}
		set() // what concerns it is left out
		h.reopen()
	}
}
