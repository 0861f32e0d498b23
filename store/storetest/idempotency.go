package storetest

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

var idempotencyTests = []conformance{
	{"Replay", testReplay},
	{"Reused", testKeyReused},
	{"WithinOneAppend", testKeyWithinOneAppend},
	{"AtTheSameTime", testKeyAtTheSameTime},
	{"Window", testKeyWindow},
	{"OutlivesItsEvent", testKeyOutlivesItsEvent},
	{"Tenants", testKeyTenants},
}

func keyed(key string, fingerprint byte) store.Draft {
	d := draft("a", event.NewID())
	d.Key, d.Fingerprint = key, [16]byte{fingerprint}
	return d
}

// sameReceipt reports whether r is first again.
func sameReceipt(r, first store.Receipt) bool {
	first.Replayed = true
	return r.ID == first.ID && r.Topic == first.Topic && r.Cursor == first.Cursor && r.Time.Equal(first.Time) &&
		r.Webhooks == first.Webhooks && r.Replayed
}

func testReplay(h *harness) {
	first := h.append(keyed("k", 1))[0]
	if first.Replayed {
		h.Error("the first is replayed")
	}
	for range 2 {
		head := h.boundsNow().Head
		receipts := h.append(draft("b"), keyed("k", 1), draft("c"))
		if !sameReceipt(receipts[1], first) {
			h.Errorf("got %+v, want %+v again", receipts[1], first)
		}
		if receipts[0].Replayed || receipts[2].Replayed {
			h.Error("a draft without a key is replayed")
		}
		if events := h.readAll(head, []event.Pattern{"**"}, 10); len(events) != 2 {
			h.Errorf("a replay stored %d events", len(events)-2)
		}
		h.reopen()
	}
}

func testKeyReused(h *harness) {
	h.append(keyed("k", 1))
	head := h.boundsNow().Head
	if _, err := h.Append(h.ctx(), []store.Draft{keyed("k", 2)}); !errors.Is(err, store.ErrKeyReused) {
		h.Errorf("got %v", err)
	}
	if now := h.boundsNow().Head; now != head {
		h.Errorf("the head moved from %s to %s", head, now)
	}
}

func testKeyWithinOneAppend(h *harness) {
	receipts := h.append(keyed("k", 1), keyed("l", 1), keyed("k", 1))
	if !sameReceipt(receipts[2], receipts[0]) || receipts[1].Replayed {
		h.Errorf("got %+v", receipts)
	}
	_, err := h.Append(h.ctx(), []store.Draft{keyed("m", 1), keyed("m", 2)})
	if !errors.Is(err, store.ErrKeyReused) {
		h.Errorf("two requests under one key: %v", err)
	}
	if r := h.append(keyed("m", 2))[0]; r.Replayed {
		h.Error("a refused append kept its key")
	}
}

// testKeyAtTheSameTime has many posters race for the same few keys: each key is stored once.
func testKeyAtTheSameTime(h *harness) {
	const posters, keys = 16, 20
	var mu sync.Mutex
	cursors := make(map[string]event.Cursor)
	first := make(map[string]int)
	var wg sync.WaitGroup
	for range posters {
		wg.Go(func() {
			for i := range keys {
				key := fmt.Sprint(i)
				receipts, err := h.Append(h.ctx(), []store.Draft{keyed(key, 1)})
				if err != nil {
					h.Error(err)
					return
				}
				mu.Lock()
				if c, ok := cursors[key]; ok && c != receipts[0].Cursor {
					h.Errorf("key %s has cursors %s and %s", key, c, receipts[0].Cursor)
				}
				cursors[key] = receipts[0].Cursor
				if !receipts[0].Replayed {
					first[key]++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for key, n := range first {
		if n != 1 {
			h.Errorf("key %s was stored %d times", key, n)
		}
	}
	if events := h.readAll(0, []event.Pattern{"**"}, 100); len(events) != keys {
		h.Errorf("%d events for %d keys", len(events), keys)
	}
}

func testKeyWindow(h *harness) {
	first := h.append(keyed("k", 1))[0]
	h.clock.Add(IdempotencyWindow - time.Minute)
	if r := h.append(keyed("k", 1))[0]; !sameReceipt(r, first) {
		h.Errorf("within the window: %+v", r)
	}
	h.clock.Add(2 * time.Minute)
	second := h.append(keyed("k", 2))[0]
	if second.Replayed || second.Cursor == first.Cursor {
		h.Errorf("past the window: %+v", second)
	}
	if r := h.append(keyed("k", 2))[0]; !sameReceipt(r, second) {
		h.Errorf("the key's second life: %+v", r)
	}
	// Trim forgets what its own bound says.
	h.clock.Add(10 * time.Minute)
	h.trimAll(store.Retention{Keys: 5 * time.Minute})
	if r := h.append(keyed("k", 3))[0]; r.Replayed {
		h.Error("a trimmed key was remembered")
	}
}

func testKeyOutlivesItsEvent(h *harness) {
	first := h.append(keyed("k", 1))[0]
	h.clock.Add(IdempotencyWindow / 2)
	if n := h.trimAll(store.Retention{Age: time.Minute, Keys: IdempotencyWindow}).Events; n != 1 {
		h.Fatalf("%d events trimmed", n)
	}
	if r := h.append(keyed("k", 1))[0]; !sameReceipt(r, first) {
		h.Errorf("got %+v, want %+v again", r, first)
	}
}

func testKeyTenants(h *harness) {
	mine := h.append(keyed("k", 1))[0]
	d := keyed("k", 2)
	d.Event.Tenant = another
	if theirs := h.append(d)[0]; theirs.Replayed || theirs.Cursor == mine.Cursor {
		h.Errorf("another tenant's key answered %+v", theirs)
	}
}
