package dispatch

import "net/netip"

// special is a range of addresses that no request may go to, and what it is, in words that fit "… is an address of X".
type special struct {
	prefix netip.Prefix
	kind   string
}

// special4 holds the ranges of the IANA IPv4 special-purpose registry (RFC 6890 and what has been added since), multicast, and
// metadata services outside of these. Those with a wider range come after what they contain.
var special4 = specials(
	"168.63.129.16/32", "a metadata address", // Azure's; it is a public address otherwise
	"169.254.169.254/32", "a metadata address",
	"100.100.100.200/32", "a metadata address",
	"255.255.255.255/32", "the broadcast address",
	"0.0.0.0/32", "the unspecified address",
	"0.0.0.0/8", "an address of this network (RFC 791)",
	"10.0.0.0/8", "a private address",
	"100.64.0.0/10", "a carrier-grade NAT address",
	"127.0.0.0/8", "a loopback address",
	"169.254.0.0/16", "a link-local address",
	"172.16.0.0/12", "a private address",
	"192.0.0.0/24", "an address for IETF protocols",
	"192.0.2.0/24", "a documentation address",
	"192.31.196.0/24", "an address of AS112",
	"192.52.193.0/24", "an address of AMT relays",
	"192.88.99.0/24", "an address of 6to4 relays",
	"192.168.0.0/16", "a private address",
	"192.175.48.0/24", "an address of AS112",
	"198.18.0.0/15", "a benchmarking address",
	"198.51.100.0/24", "a documentation address",
	"203.0.113.0/24", "a documentation address",
	"224.0.0.0/4", "a multicast address",
	"240.0.0.0/4", "a reserved address",
)

// special6 holds those of the IPv6 registry. What lies outside of 2000::/3 is refused in any case; it is here only to be
// called by its name.
var special6 = specials(
	"::/128", "the unspecified address",
	"::1/128", "a loopback address",
	"::/96", "a v4-compatible address",
	"::ffff:0:0:0/96", "an IPv4-translated address",
	"64:ff9b:1::/48", "an address of a local NAT64",
	"100::/64", "a discard-only address",
	"100:0:0:1::/64", "a dummy address",
	"2001::/32", "a Teredo address",
	"2001:2::/48", "a benchmarking address",
	"2001:10::/28", "an ORCHID address",
	"2001:20::/28", "an ORCHID address",
	"2001::/23", "an address for IETF protocols",
	"2001:db8::/32", "a documentation address",
	"2002::/16", "a 6to4 address", // whose relay would decide where it leads
	"2620:4f:8000::/48", "an address of AS112",
	"3fff::/20", "a documentation address",
	"5f00::/16", "an SRv6 segment",
	"fd00:ec2::254/128", "a metadata address",
	"fc00::/7", "a private address",
	"fe80::/10", "a link-local address",
	"fec0::/10", "a site-local address",
	"ff00::/8", "a multicast address",
)

var (
	globalUnicast = netip.MustParsePrefix("2000::/3")
	nat64         = netip.MustParsePrefix("64:ff9b::/96")
	sixToFour     = netip.MustParsePrefix("2002::/16")
	v4Compatible  = netip.MustParsePrefix("::/96")
)

func specials(pairs ...string) []special {
	ranges := make([]special, 0, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		ranges = append(ranges, special{netip.MustParsePrefix(pairs[i]), pairs[i+1]})
	}
	return ranges
}

// specialKind says what is special about an address, or is empty for one of the public internet. The address must have
// no zone and not be v4-mapped.
func specialKind(addr netip.Addr) string {
	ranges := special6
	if addr.Is4() {
		ranges = special4
	}
	for _, s := range ranges {
		if s.prefix.Contains(addr) {
			return s.kind
		}
	}
	// The well-known NAT64 prefix is how an IPv6-only network reaches the public IPv4 internet (RFC 6052).
	if nat64.Contains(addr) {
		v4, _ := embedded(addr)
		return specialKind(v4)
	}
	if addr.Is6() && !globalUnicast.Contains(addr) {
		return "not an address of the public internet"
	}
	if isISATAP(addr) {
		return "an ISATAP address" // a tunnel to the IPv4 address in it, from wherever its prefix is routed to
	}
	return ""
}

// isISATAP reports whether an address ends in the interface identifier of ISATAP (RFC 5214, section 6.1), under any prefix.
func isISATAP(addr netip.Addr) bool {
	b := addr.As16()
	return addr.Is6() && b[8]&^0x02 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe
}

// embedded returns the IPv4 address inside of a NAT64, 6to4, ISATAP or v4-compatible one. The unspecified address and ::1 embed none.
func embedded(addr netip.Addr) (netip.Addr, bool) {
	if addr.Is4() || addr.IsLoopback() || addr.IsUnspecified() {
		return netip.Addr{}, false
	}
	b := addr.As16()
	switch {
	case nat64.Contains(addr), v4Compatible.Contains(addr), isISATAP(addr):
		return netip.AddrFrom4([4]byte(b[12:16])), true
	case sixToFour.Contains(addr):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	}
	return netip.Addr{}, false
}
