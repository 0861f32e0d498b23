package stream

import (
	"net/netip"
	"testing"

	"github.com/carillon/carillon/event"
)

func TestSeats(t *testing.T) {
	at := netip.MustParseAddr
	made := newSeats(Limits{Total: 8, PerKey: 2, PerAddress: 2})
	s := &made
	for i, test := range []struct {
		key     string
		address netip.Addr
		want    bool
	}{
		{"", at("192.0.2.1"), true},
		{"a", at("192.0.2.1"), true},
		{"a", at("::ffff:192.0.2.1"), false}, // the same address
		{"a", at("192.0.2.2"), true},
		{"a", at("192.0.2.2"), false}, // the same key
		{"b", at("2001:db8::1"), true},
		{"b", at("2001:db8::2"), true},
		{"", at("2001:db8::ffff:3"), false}, // the same network
		{"", at("2001:db8:0:1::1"), true},
		{"", at("127.0.0.1"), true}, // not counted by address
		{"", at("::1"), true},
		{"", netip.Addr{}, false}, // all taken
	} {
		if got := s.take(1, test.key, test.address); got != test.want {
			t.Errorf("stream %d: %t, want %t", i, got, test.want)
		}
	}
	s.free(1, "a", at("192.0.2.2"))
	if s.taken() != 7 || !s.take(1, "a", at("192.0.2.2")) {
		t.Errorf("a place that became free is not taken again: %+v", s.byAddress)
	}
	for _, seat := range []struct {
		key     string
		address netip.Addr
	}{
		{"", at("192.0.2.1")}, {"a", at("192.0.2.1")}, {"a", at("192.0.2.2")}, {"b", at("2001:db8::9")}, {"b", at("2001:db8::2")},
		{"", at("2001:db8:0:1::1")}, {"", at("127.0.0.1")}, {"", at("::1")},
	} {
		s.free(1, seat.key, seat.address)
	}
	if s.taken() != 0 || len(s.byKey) != 0 || len(s.byAddress) != 0 || len(s.byTenant) != 0 {
		t.Errorf("all are free, and there remain %d, %v, %v", s.taken(), s.byKey, s.byAddress)
	}
}

func TestSeatsOfTenants(t *testing.T) {
	most := map[event.TenantID]int{2: 2, 3: 1}
	s := newSeats(Limits{Total: 6, PerTenant: func(id event.TenantID) int { return most[id] }})
	for i, test := range []struct {
		tenant event.TenantID
		want   bool
	}{
		{1, true}, {1, true}, {1, true}, // no bound
		{2, true}, {2, true}, {2, false},
		{3, true}, {3, false},
		{1, false}, // all taken
	} {
		if got := s.take(test.tenant, "", netip.Addr{}); got != test.want {
			t.Errorf("stream %d, of tenant %d: %t, want %t", i, test.tenant, got, test.want)
		}
	}
	s.free(2, "", netip.Addr{})
	if s.takenBy(2) != 1 || !s.take(2, "", netip.Addr{}) {
		t.Errorf("a place that became free is not taken again: %v", s.byTenant)
	}
	most[2] = 1 // as many as there are already stay
	s.free(1, "", netip.Addr{})
	if s.take(2, "", netip.Addr{}) || s.takenBy(2) != 2 {
		t.Errorf("tenant 2 has %d", s.takenBy(2))
	}
}
