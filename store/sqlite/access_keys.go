package sqlite

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"github.com/ncruces/go-sqlite3"

	"github.com/carillon/carillon/event"
)

// storedKey is a key as the engine keeps it in memory. It is never changed, only replaced.
type storedKey struct {
	num int64
	key *event.Key
}

// accessKeys is every key, in memory. The writer changes it after each commit.
type accessKeys struct {
	mu       sync.RWMutex
	byID     map[event.ID]*storedKey
	byHash   map[event.KeyHash]event.ID
	ordered  []*storedKey // oldest first; replaced, never changed
	watchers watchers[*event.Key]
}

// load reads every key.
func (a *accessKeys) load(c *conn) error {
	a.byID = make(map[event.ID]*storedKey)
	a.byHash = make(map[event.KeyHash]event.ID)
	return c.each(`SELECT num, id, tenant, name, hash, scopes, topics, created, expires, used, revoked FROM access_key
		WHERE tenant IN `+standingTenants+` ORDER BY num`, nil,
		func(s *sqlite3.Stmt) (bool, error) {
			k := &storedKey{num: s.ColumnInt64(0), key: &event.Key{
				ID:         columnID(s, 1),
				Tenant:     event.TenantID(s.ColumnInt64(2)),
				Name:       s.ColumnText(3),
				CreatedAt:  columnTime(s, 7),
				ExpiresAt:  columnTime(s, 8),
				LastUsedAt: columnTime(s, 9),
				RevokedAt:  columnTime(s, 10),
			}}
			copy(k.key.Hash[:], s.ColumnRawBlob(4))
			if err := json.Unmarshal(s.ColumnRawBlob(5), &k.key.Scopes); err != nil {
				return false, fmt.Errorf("reading the scopes of key %s: %w", k.key.ID, err)
			}
			if err := json.Unmarshal(s.ColumnRawBlob(6), &k.key.Patterns); err != nil {
				return false, fmt.Errorf("reading the topics of key %s: %w", k.key.ID, err)
			}
			a.byID[k.key.ID] = k
			a.byHash[k.key.Hash] = k.key.ID
			a.ordered = append(a.ordered, k)
			return true, nil
		})
}

// get returns a key; nil if there is none.
func (a *accessKeys) get(id event.ID) *storedKey {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.byID[id]
}

// hashed reports whether a key has this hash.
func (a *accessKeys) hashed(hash event.KeyHash) bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	_, found := a.byHash[hash]
	return found
}

// all returns the keys, oldest first. The slice is shared.
func (a *accessKeys) all() []*storedKey {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.ordered
}

// publish makes a commit's changes visible, and tells the watchers of the keys that are news to them.
func (a *accessKeys) publish(changed map[event.ID]*storedKey, news []event.ID) {
	if len(changed) == 0 {
		return
	}
	a.watchers.mu.Lock()
	defer a.watchers.mu.Unlock()

	a.mu.Lock()
	ordered := slices.Clone(a.ordered)
	for id, k := range changed {
		a.byID[id] = k
		a.byHash[k.key.Hash] = id
		at, found := slices.BinarySearchFunc(ordered, k.num, func(o *storedKey, num int64) int { return int(o.num - num) })
		if found {
			ordered[at] = k
		} else {
			ordered = slices.Insert(ordered, at, k)
		}
	}
	a.ordered = ordered
	a.mu.Unlock()

	told := make([]*event.Key, len(news))
	for i, id := range news {
		told[i] = changed[id].key
	}
	a.watchers.tell(told)
}

// expel forgets all keys of a tenant that is deleted.
func (a *accessKeys) expel(tenant event.TenantID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	ordered := make([]*storedKey, 0, len(a.ordered))
	for _, k := range a.ordered {
		if k.key.Tenant != tenant {
			ordered = append(ordered, k)
			continue
		}
		delete(a.byID, k.key.ID)
		delete(a.byHash, k.key.Hash)
	}
	a.ordered = ordered
}

// watch implements [store.Keys.WatchKeys].
func (a *accessKeys) watch(changed func([]*event.Key)) (stop func()) {
	return a.watchers.watch(changed, func() []*event.Key {
		a.mu.RLock()
		defer a.mu.RUnlock()
		all := make([]*event.Key, len(a.ordered))
		for i, k := range a.ordered {
			all[i] = k.key
		}
		return all
	})
}

// accessKey returns a key as of this batch; nil if there is none.
func (b *batch) accessKey(id event.ID) *storedKey {
	if k := b.keysHere[id]; k != nil {
		return k
	}
	return b.e.accessKeys.get(id)
}

// keepKey makes a key, whose row is written, the batch's. news says that watchers are to hear of it.
func (b *batch) keepKey(k *storedKey, news bool) {
	if b.keysHere == nil {
		b.keysHere = make(map[event.ID]*storedKey)
	}
	b.keysHere[k.key.ID] = k
	if news {
		b.keyNews = append(b.keyNews, k.key.ID)
	}
}

// cloneKey copies a key with all that it points to.
func cloneKey(k *event.Key) *event.Key {
	c := *k
	c.Scopes = slices.Clone(k.Scopes)
	c.Patterns = slices.Clone(k.Patterns)
	return &c
}
