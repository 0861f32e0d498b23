package sqlite

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ncruces/go-sqlite3"

	"github.com/carillon/carillon/event"
)

// storedTenant is a tenant as the engine keeps it in memory. It is never changed, only replaced, but for used, which its
// successors share.
type storedTenant struct {
	tenant *event.Tenant
	used   *atomic.Int64 // bytes of its events, as of the last commit
}

// tenants is every tenant that is there, in memory. The writer changes it after each commit.
type tenants struct {
	mu       sync.RWMutex
	byID     map[event.TenantID]*storedTenant
	byName   map[string]*storedTenant
	watchers watchers[*event.Tenant]

	// leaving are the deleted tenants that have left something, the oldest first. Of the writer alone.
	leaving []event.TenantID
}

const tenantColumns = `num, name, version, events_per_second, stored_bytes, webhooks, streams, used, created, updated, deleted`

// standingTenants are those that are there, for a subquery.
const standingTenants = `(SELECT num FROM tenant WHERE deleted = 0)`

// load reads every tenant.
func (t *tenants) load(c *conn) error {
	t.byID = make(map[event.TenantID]*storedTenant)
	t.byName = make(map[string]*storedTenant)
	return c.each(`SELECT `+tenantColumns+` FROM tenant ORDER BY num`, nil, func(s *sqlite3.Stmt) (bool, error) {
		st := &storedTenant{used: new(atomic.Int64), tenant: &event.Tenant{
			ID:      event.TenantID(s.ColumnInt64(0)),
			Name:    s.ColumnText(1),
			Version: s.ColumnInt64(2),
			Quotas: event.Quotas{
				EventsPerSecond: s.ColumnInt64(3),
				StoredBytes:     s.ColumnInt64(4),
				Webhooks:        s.ColumnInt64(5),
				Streams:         s.ColumnInt64(6),
			},
			CreatedAt: columnTime(s, 8),
			UpdatedAt: columnTime(s, 9),
			DeletedAt: columnTime(s, 10),
		}}
		if st.tenant.Deleted() {
			t.leaving = append(t.leaving, st.tenant.ID)
			return true, nil
		}
		st.used.Store(s.ColumnInt64(7))
		t.byID[st.tenant.ID] = st
		t.byName[st.tenant.Name] = st
		return true, nil
	})
}

// get returns a tenant that is there; nil if there is none.
func (t *tenants) get(id event.TenantID) *storedTenant {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.byID[id]
}

func (t *tenants) named(name string) *storedTenant {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.byName[name]
}

// nobody owns nothing.
const nobody event.TenantID = 0

// standing returns the tenant as it is to be asked for in the tables: what a deleted one has left there is nobody's.
func (t *tenants) standing(id event.TenantID) event.TenantID {
	if t.get(id) == nil {
		return nobody
	}
	return id
}

// byNames returns the tenants in the order of their names.
func (t *tenants) byNames() []*storedTenant {
	t.mu.RLock()
	defer t.mu.RUnlock()
	all := make([]*storedTenant, 0, len(t.byName))
	for _, name := range slices.Sorted(maps.Keys(t.byName)) {
		all = append(all, t.byName[name])
	}
	return all
}

// publish makes a commit's changes visible, and tells the watchers.
func (t *tenants) publish(changed []*event.Tenant) {
	if len(changed) == 0 {
		return
	}
	t.watchers.mu.Lock()
	defer t.watchers.mu.Unlock()

	t.mu.Lock()
	for _, now := range changed {
		if now.Deleted() {
			delete(t.byID, now.ID)
			delete(t.byName, now.Name)
			t.leaving = append(t.leaving, now.ID)
			continue
		}
		st := &storedTenant{tenant: now, used: new(atomic.Int64)}
		if old := t.byID[now.ID]; old != nil {
			st.used = old.used
		}
		t.byID[now.ID] = st
		t.byName[now.Name] = st
	}
	t.mu.Unlock()
	t.watchers.tell(changed)
}

// watch implements [store.Tenants.WatchTenants].
func (t *tenants) watch(changed func([]*event.Tenant)) (stop func()) {
	return t.watchers.watch(changed, func() []*event.Tenant {
		t.mu.RLock()
		defer t.mu.RUnlock()
		all := make([]*event.Tenant, 0, len(t.byID))
		for _, id := range slices.Sorted(maps.Keys(t.byID)) {
			all = append(all, t.byID[id].tenant)
		}
		return all
	})
}
