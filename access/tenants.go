package access

import (
	"math"
	"sync"

	"github.com/carillon/carillon/event"
)

// TenantStore is what is needed of an engine; see [store.Tenants].
type TenantStore interface {
	WatchTenants(changed func([]*event.Tenant)) (stop func(), err error)
}

// Tenants is every tenant that there is, in memory: who names one is answered without asking the store. Safe for concurrent
// use.
type Tenants struct {
	ended func(event.TenantID)
	stop  func()

	mu     sync.RWMutex
	byName map[string]*event.Tenant
	byID   map[event.TenantID]*event.Tenant
}

// NewTenants reads the tenants and follows them until Close. ended is told of each tenant that is deleted, before its
// deletion is answered and when nobody finds it here any more; it must be quick and must not call the store. nil: nobody.
func NewTenants(s TenantStore, ended func(event.TenantID)) (*Tenants, error) {
	t := &Tenants{ended: ended, byName: make(map[string]*event.Tenant), byID: make(map[event.TenantID]*event.Tenant)}
	stop, err := s.WatchTenants(t.take)
	if err != nil {
		return nil, err
	}
	t.stop = stop
	return t, nil
}

// Close ends the following of changes.
func (t *Tenants) Close() { t.stop() }

func (t *Tenants) take(changed []*event.Tenant) {
	t.mu.Lock()
	for _, now := range changed {
		if now.Deleted() {
			delete(t.byName, now.Name)
			delete(t.byID, now.ID)
			continue
		}
		t.byName[now.Name] = now
		t.byID[now.ID] = now
	}
	t.mu.Unlock()
	for _, now := range changed {
		if now.Deleted() && t.ended != nil {
			t.ended(now.ID)
		}
	}
}

// ByName finds a tenant by its name; false if there is none.
func (t *Tenants) ByName(name string) (event.TenantID, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	found := t.byName[name]
	if found == nil {
		return 0, false
	}
	return found.ID, true
}

// Name tells what a tenant is called; empty for one that is not there.
func (t *Tenants) Name(id event.TenantID) string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if found := t.byID[id]; found != nil {
		return found.Name
	}
	return ""
}

// Quotas returns what a tenant may use; false for one that is not there.
func (t *Tenants) Quotas(id event.TenantID) (event.Quotas, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	found := t.byID[id]
	if found == nil {
		return event.Quotas{}, false
	}
	return found.Quotas, true
}

// StreamsOf returns how many streams a tenant may have open; 0 is no bound.
func (t *Tenants) StreamsOf(id event.TenantID) int {
	quotas, _ := t.Quotas(id)
	return int(min(quotas.Streams, math.MaxInt32))
}

// Count tells how many tenants there are.
func (t *Tenants) Count() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.byID)
}
