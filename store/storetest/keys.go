package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

var keyTests = []conformance{
	{"CreateAndRead", testKeyCreate},
	{"List", testKeyList},
	{"Revoke", testKeyRevoke},
	{"Touch", testKeyTouch},
	{"Watch", testKeyWatch},
	{"WatchInOrder", testKeyWatchInOrder},
	{"Tenants", testKeysOfTenants},
}

func newKey(tenant event.TenantID, expires time.Time) *event.Key {
	return &event.Key{
		ID: event.NewID(), Tenant: tenant, Name: "shop", Hash: event.HashKey(event.NewKeyToken()),
		Scopes: []event.Scope{event.ScopePublish, event.ScopeSubscribe}, Patterns: []event.Pattern{"orders.**", "users.*"},
		ExpiresAt: expires,
	}
}

func sameKey(a, b *event.Key) bool {
	return a.ID == b.ID && a.Tenant == b.Tenant && a.Name == b.Name && a.Hash == b.Hash && slices.Equal(a.Scopes, b.Scopes) &&
		slices.Equal(a.Patterns, b.Patterns) && a.CreatedAt.Equal(b.CreatedAt) && a.ExpiresAt.Equal(b.ExpiresAt) &&
		a.LastUsedAt.Equal(b.LastUsedAt) && a.RevokedAt.Equal(b.RevokedAt)
}

func (h *harness) key() *event.Key {
	h.Helper()
	k := newKey(tenant, time.Time{})
	h.check(h.CreateKey(h.ctx(), k))
	return k
}

func (h *harness) getKey(id event.ID) *event.Key {
	h.Helper()
	k, err := h.Key(h.ctx(), tenant, id)
	h.check(err)
	return k
}

func testKeyCreate(h *harness) {
	k := newKey(tenant, h.clock.Now().Add(time.Hour))
	h.check(h.CreateKey(h.ctx(), k))
	plain := &event.Key{ID: event.NewID(), Tenant: tenant, Name: "admin", Hash: event.HashKey(event.NewKeyToken()), Scopes: []event.Scope{event.ScopeAdmin}}
	h.check(h.CreateKey(h.ctx(), plain))
	if !k.CreatedAt.Equal(h.clock.Now()) || !k.LastUsedAt.IsZero() || !k.RevokedAt.IsZero() {
		h.Errorf("created as %+v", k)
	}
	for range 2 {
		for _, want := range []*event.Key{k, plain} {
			if got := h.getKey(want.ID); !sameKey(got, want) {
				h.Errorf("got %+v, want %+v", got, want)
			}
		}
		h.reopen()
	}
	sameID, sameHash := newKey(tenant, time.Time{}), newKey(tenant, time.Time{})
	sameID.ID, sameHash.Hash = k.ID, k.Hash
	for what, again := range map[string]*event.Key{"id": sameID, "hash": sameHash} {
		if err := h.CreateKey(h.ctx(), again); !errors.Is(err, store.ErrConflict) {
			h.Errorf("the same %s again: %v", what, err)
		}
	}
	if _, err := h.Key(h.ctx(), tenant, event.NewID()); !errors.Is(err, store.ErrNotFound) {
		h.Errorf("an unknown key: %v", err)
	}
	// What the caller does with its copy afterwards is its own affair.
	for _, mine := range []*event.Key{k, h.getKey(k.ID)} {
		mine.Scopes[0], mine.Patterns[0] = "changed", "changed"
		if got := h.getKey(k.ID); got.Scopes[0] == "changed" || got.Patterns[0] == "changed" {
			h.Error("the engine shares the caller's key")
		}
	}
}

func testKeyList(h *harness) {
	var want []event.ID
	for i := range 7 {
		k := h.key()
		want = append([]event.ID{k.ID}, want...)
		if i == 3 {
			h.check(h.RevokeKey(h.ctx(), tenant, k.ID)) // it stays
		}
	}
	h.checkPages(want, func(page store.Page) (ids []event.ID, next string, err error) {
		list, err := h.ListKeys(h.ctx(), tenant, page)
		for _, k := range list.Data {
			ids = append(ids, k.ID)
		}
		return ids, list.Next, err
	})
}

func testKeyRevoke(h *harness) {
	k := h.key()
	h.clock.Add(time.Minute)
	at := h.clock.Now()
	h.check(h.RevokeKey(h.ctx(), tenant, k.ID))
	for range 2 {
		if got := h.getKey(k.ID); !got.RevokedAt.Equal(at) || !got.CreatedAt.Equal(k.CreatedAt) || got.Hash != k.Hash {
			h.Errorf("revoked as %+v", got)
		}
		h.clock.Add(time.Minute)
		h.check(h.RevokeKey(h.ctx(), tenant, k.ID)) // it stays as it is
		h.reopen()
	}
	if err := h.RevokeKey(h.ctx(), tenant, event.NewID()); !errors.Is(err, store.ErrNotFound) {
		h.Errorf("an unknown key: %v", err)
	}
}

func testKeyTouch(h *harness) {
	used, revoked, idle := h.key(), h.key(), h.key()
	at := h.clock.Now().Add(time.Minute)
	h.check(h.RevokeKey(h.ctx(), tenant, revoked.ID))
	h.check(h.TouchKeys(h.ctx(), map[event.ID]time.Time{used.ID: at, revoked.ID: at, event.NewID(): at}))
	h.check(h.TouchKeys(h.ctx(), map[event.ID]time.Time{used.ID: at.Add(-time.Second)})) // late news
	for range 2 {
		if got := h.getKey(used.ID); !got.LastUsedAt.Equal(at) {
			h.Errorf("last used at %s, not %s", got.LastUsedAt, at)
		}
		// Its last use may be told after its end, and must not undo that.
		if got := h.getKey(revoked.ID); !got.LastUsedAt.Equal(at) || !got.Revoked() {
			h.Errorf("used and revoked: %+v", got)
		}
		if got := h.getKey(idle.ID); !got.LastUsedAt.IsZero() {
			h.Errorf("not used, and last used at %s", got.LastUsedAt)
		}
		h.reopen()
	}

	// At the same time neither undoes the other.
	var wg sync.WaitGroup
	for i := range 20 {
		k := h.key()
		later := at.Add(time.Duration(i) * time.Second)
		wg.Go(func() {
			if err := h.TouchKeys(h.ctx(), map[event.ID]time.Time{k.ID: later}); err != nil {
				h.Error(err)
			}
		})
		wg.Go(func() {
			if err := h.RevokeKey(h.ctx(), tenant, k.ID); err != nil {
				h.Error(err)
			}
		})
		wg.Wait()
		if got := h.getKey(k.ID); !got.LastUsedAt.Equal(later) || !got.Revoked() {
			h.Errorf("touched and revoked together: %+v", got)
		}
	}
}

func testKeyWatch(h *harness) {
	first, second := h.key(), h.key()
	h.check(h.RevokeKey(h.ctx(), tenant, second.ID))
	var seen [][]*event.Key
	stop, err := h.WatchKeys(func(keys []*event.Key) { seen = append(seen, keys) })
	h.check(err)
	if len(seen) != 1 || len(seen[0]) != 2 || !sameKey(seen[0][0], first) || !seen[0][1].Revoked() {
		h.Fatalf("at first it gave %+v", seen)
	}
	latest := func(what string, id event.ID, revoked bool) {
		h.Helper()
		if len(seen) == 0 || len(seen[len(seen)-1]) != 1 {
			h.Fatalf("%s: not told of before it returned", what)
		}
		if got := seen[len(seen)-1][0]; got.ID != id || got.Revoked() != revoked {
			h.Errorf("%s: got %+v", what, got)
		}
		seen = nil
	}
	theirs := newKey(another, time.Time{})
	h.check(h.CreateKey(h.ctx(), theirs))
	latest("a creation", theirs.ID, false)
	h.check(h.TouchKeys(h.ctx(), map[event.ID]time.Time{first.ID: h.clock.Now()}))
	if len(seen) != 0 {
		h.Errorf("told of a use: %+v", seen)
	}
	h.check(h.RevokeKey(h.ctx(), tenant, first.ID))
	latest("a revocation", first.ID, true)
	h.check(h.RevokeKey(h.ctx(), tenant, first.ID))
	if len(seen) != 0 {
		h.Errorf("told of the same revocation again: %+v", seen)
	}
	stop()
	h.key()
	if len(seen) != 0 {
		h.Errorf("told of %+v after the end", seen)
	}
}

// testKeyWatchInOrder has watchers begin in the midst of changes: they miss none and hear them in order.
func testKeyWatchInOrder(h *harness) {
	const made = 50
	done := make(chan []event.ID)
	go func() {
		var ids []event.ID
		for i := range made {
			k := newKey(tenant, time.Time{})
			k.Name = fmt.Sprint(i)
			if err := h.CreateKey(h.ctx(), k); err != nil {
				h.Error(err)
			}
			ids = append(ids, k.ID)
		}
		done <- ids
	}()
	heard := make([][]event.ID, 20)
	var stops []func()
	for i := range heard {
		stop, err := h.WatchKeys(func(keys []*event.Key) {
			for _, k := range keys {
				heard[i] = append(heard[i], k.ID)
			}
		})
		h.check(err)
		stops = append(stops, stop)
	}
	want := <-done
	for i, stop := range stops {
		stop()
		if !slices.Equal(heard[i], want) {
			h.Errorf("heard of %v, want %v", heard[i], want)
		}
	}
}

func testKeysOfTenants(h *harness) {
	theirs := newKey(another, time.Time{})
	h.check(h.CreateKey(h.ctx(), theirs))
	if _, err := h.Key(h.ctx(), tenant, theirs.ID); !errors.Is(err, store.ErrNotFound) {
		h.Errorf("Key: %v", err)
	}
	if err := h.RevokeKey(h.ctx(), tenant, theirs.ID); !errors.Is(err, store.ErrNotFound) {
		h.Errorf("RevokeKey: %v", err)
	}
	list, err := h.ListKeys(h.ctx(), tenant, store.Page{Limit: 10})
	h.check(err)
	if len(list.Data) != 0 {
		h.Errorf("ListKeys gives %d", len(list.Data))
	}
	if got, err := h.Key(h.ctx(), another, theirs.ID); err != nil || !sameKey(got, theirs) {
		h.Errorf("the other tenant gets %+v, %v", got, err)
	}
}
