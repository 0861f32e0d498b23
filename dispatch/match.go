package dispatch

import (
	"bytes"
	"slices"
	"sync"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// matcher knows every webhook and says which ones an event is owed to. Safe for concurrent use.
type matcher struct {
	mu       sync.RWMutex
	tenants  map[event.TenantID]*event.Index[event.ID]
	disabled map[event.ID]bool
}

func newMatcher() *matcher {
	return &matcher{tenants: make(map[event.TenantID]*event.Index[event.ID]), disabled: make(map[event.ID]bool)}
}

func (m *matcher) apply(changes []store.WebhookChange) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range changes {
		w := c.Webhook
		index := m.tenants[w.Tenant]
		if index == nil {
			index = new(event.Index[event.ID])
			m.tenants[w.Tenant] = index
		}
		delete(m.disabled, w.ID)
		if c.Deleted {
			index.Set(w.ID, nil)
			continue
		}
		index.Set(w.ID, w.Topics)
		if !w.Enabled {
			m.disabled[w.ID] = true
		}
	}
}

// match returns the webhooks in the order of their ids, which is the order of their creation.
func (m *matcher) match(tenant event.TenantID, topic event.Topic) []event.Match {
	m.mu.RLock()
	defer m.mu.RUnlock()
	index := m.tenants[tenant]
	if index == nil {
		return nil
	}
	var matches []event.Match
	index.Match(topic, func(id event.ID) {
		matches = append(matches, event.Match{Webhook: id, Disabled: m.disabled[id]})
	})
	slices.SortFunc(matches, func(a, b event.Match) int { return bytes.Compare(a.Webhook[:], b.Webhook[:]) })
	return matches
}
