package stream

import (
	"net/netip"
	"sync"

	"github.com/carillon/carillon/event"
)

// Limits bound how many streams may be open. Zero is no bound.
type Limits struct {
	Total      int
	PerKey     int // of a tenant's streams that came in with the same key
	PerAddress int // of streams from the same address; loopback addresses are not counted

	// PerTenant says how many streams of a tenant may be open. It must be quick and must not call the hub. nil: no bound.
	PerTenant func(event.TenantID) int
}

// seats counts open streams. Safe for concurrent use.
type seats struct {
	limits Limits

	mu        sync.Mutex
	total     int
	byKey     map[keyOf]int
	byAddress map[netip.Addr]int
	byTenant  map[event.TenantID]int
}

// keyOf is a key as one tenant's streams came in with it. Who issues JWTs may call somebody the same in two tenants, or
// nobody anything.
type keyOf struct {
	tenant event.TenantID
	key    string
}

func newSeats(limits Limits) seats {
	return seats{
		limits: limits, byKey: make(map[keyOf]int), byAddress: make(map[netip.Addr]int), byTenant: make(map[event.TenantID]int),
	}
}

// take gives a stream its place. It is false, and nothing is taken, if one of the limits has been reached.
func (s *seats) take(tenant event.TenantID, key string, address netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	full := func(limit, n int) bool { return limit > 0 && n >= limit }
	if full(s.limits.Total, s.total) {
		return false
	}
	if key != "" && full(s.limits.PerKey, s.byKey[keyOf{tenant, key}]) {
		return false
	}
	place, counted := counted(address)
	if counted && full(s.limits.PerAddress, s.byAddress[place]) {
		return false
	}
	if s.limits.PerTenant != nil && full(s.limits.PerTenant(tenant), s.byTenant[tenant]) {
		return false
	}
	s.total++
	s.byTenant[tenant]++
	if key != "" {
		s.byKey[keyOf{tenant, key}]++
	}
	if counted {
		s.byAddress[place]++
	}
	return true
}

// counted returns what an address is counted as: of IPv6 the /64, since that is what one subscriber of a network is given.
func counted(address netip.Addr) (netip.Addr, bool) {
	address = address.Unmap().WithZone("")
	if !address.IsValid() || address.IsLoopback() {
		return netip.Addr{}, false
	}
	if address.Is6() {
		address = netip.PrefixFrom(address, 64).Masked().Addr()
	}
	return address, true
}

func (s *seats) free(tenant event.TenantID, key string, address netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total--
	lower(s.byTenant, tenant)
	if key != "" {
		lower(s.byKey, keyOf{tenant, key})
	}
	if place, counted := counted(address); counted {
		lower(s.byAddress, place)
	}
}

func lower[K comparable](counts map[K]int, key K) {
	if counts[key]--; counts[key] == 0 {
		delete(counts, key)
	}
}

// takenBy tells how many streams of a tenant are open, polls counted.
func (s *seats) takenBy(tenant event.TenantID) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byTenant[tenant]
}

func (s *seats) taken() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}
