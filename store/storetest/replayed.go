package storetest

import (
	"errors"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

var replayedTests = []conformance{
	{"Replay", testReplayed},
	{"Window", testReplayedWindow},
	{"Tenants", testReplayedTenants},
}

// wantReplayed asks for a draft's first receipt; nil: there must be none.
func wantReplayed(h *harness, d store.Draft, first *store.Receipt) {
	h.Helper()
	head := h.boundsNow().Head
	r, found, err := h.Replayed(h.ctx(), d)
	switch {
	case err != nil:
		h.Error(err)
	case first == nil && (found || r != store.Receipt{}):
		h.Errorf("got %+v, want none", r)
	case first != nil && (!found || !sameReceipt(r, *first)):
		h.Errorf("got %+v (%t), want %+v again", r, found, *first)
	}
	if now := h.boundsNow().Head; now != head {
		h.Errorf("asking moved the head from %s to %s", head, now)
	}
}

func testReplayed(h *harness) {
	wantReplayed(h, keyed("k", 1), nil)
	wantReplayed(h, keyed("k", 1), nil) // asking keeps no key
	first := h.append(keyed("k", 1), draft("a", event.NewID()))[0]
	for range 2 {
		wantReplayed(h, keyed("k", 1), &first)
		wantReplayed(h, keyed("l", 1), nil)
		wantReplayed(h, draft("a"), nil)
		if _, found, err := h.Replayed(h.ctx(), keyed("k", 2)); found || !errors.Is(err, store.ErrKeyReused) {
			h.Errorf("another request under the key: %t, %v", found, err)
		}
		h.reopen()
	}
}

func testReplayedWindow(h *harness) {
	first := h.append(keyed("k", 1))[0]
	h.clock.Add(IdempotencyWindow - time.Minute)
	wantReplayed(h, keyed("k", 1), &first)
	h.clock.Add(2 * time.Minute)
	wantReplayed(h, keyed("k", 1), nil)
	wantReplayed(h, keyed("k", 2), nil)
}

func testReplayedTenants(h *harness) {
	h.append(keyed("k", 1))
	theirs := keyed("k", 2)
	theirs.Event.Tenant = another
	wantReplayed(h, theirs, nil)
}
