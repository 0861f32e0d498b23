package stream

import (
	"net/netip"
	"testing"
)

func TestSeats(t *testing.T) {
	at := netip.MustParseAddr
	s := &seats{
		limits: Limits{Total: 8, PerKey: 2, PerAddress: 2}, byKey: make(map[string]int), byAddress: make(map[netip.Addr]int),
	}
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
		if got := s.take(test.key, test.address); got != test.want {
			t.Errorf("stream %d: %t, want %t", i, got, test.want)
		}
	}
	s.free("a", at("192.0.2.2"))
	if s.taken() != 7 || !s.take("a", at("192.0.2.2")) {
		t.Errorf("a place that became free is not taken again: %+v", s.byAddress)
	}
	for _, seat := range []struct {
		key     string
		address netip.Addr
	}{
		{"", at("192.0.2.1")}, {"a", at("192.0.2.1")}, {"a", at("192.0.2.2")}, {"b", at("2001:db8::9")}, {"b", at("2001:db8::2")},
		{"", at("2001:db8:0:1::1")}, {"", at("127.0.0.1")}, {"", at("::1")},
	} {
		s.free(seat.key, seat.address)
	}
	if s.taken() != 0 || len(s.byKey) != 0 || len(s.byAddress) != 0 {
		t.Errorf("all are free, and there remain %d, %v, %v", s.taken(), s.byKey, s.byAddress)
	}
}
