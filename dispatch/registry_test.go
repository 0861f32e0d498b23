package dispatch

import (
	"errors"
	"net"
	"net/netip"
	"testing"
)

// rangeRow is a range of addresses by its edges: the last address before it, its first and its last, and the first behind it.
// An edge is empty where the address space ends; one that belongs to another range is blocked as part of that.
type rangeRow struct {
	prefix, name, rfc          string
	before, first, last, after string
}

// registry4 is the IANA IPv4 Special-Purpose Address Registry, row by row.
var registry4 = []rangeRow{
	{"0.0.0.0/8", "This network", "RFC 791, 3.2", "", "0.0.0.0", "0.255.255.255", "1.0.0.0"},
	{"0.0.0.0/32", "This host on this network", "RFC 1122, 3.2.1.3", "", "0.0.0.0", "0.0.0.0", "0.0.0.1"},
	{"10.0.0.0/8", "Private-Use", "RFC 1918", "9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0"},
	{"100.64.0.0/10", "Shared Address Space", "RFC 6598", "100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0"},
	{"127.0.0.0/8", "Loopback", "RFC 1122, 3.2.1.3", "126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0"},
	{"169.254.0.0/16", "Link Local", "RFC 3927", "169.253.255.255", "169.254.0.0", "169.254.255.255", "169.255.0.0"},
	{"172.16.0.0/12", "Private-Use", "RFC 1918", "172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0"},
	{"192.0.0.0/24", "IETF Protocol Assignments", "RFC 6890, 2.1", "191.255.255.255", "192.0.0.0", "192.0.0.255", "192.0.1.0"},
	{"192.0.0.0/29", "IPv4 Service Continuity Prefix", "RFC 7335", "191.255.255.255", "192.0.0.0", "192.0.0.7", "192.0.0.8"},
	{"192.0.0.8/32", "IPv4 dummy address", "RFC 7600", "192.0.0.7", "192.0.0.8", "192.0.0.8", "192.0.0.9"},
	{"192.0.0.9/32", "Port Control Protocol Anycast", "RFC 7723", "192.0.0.8", "192.0.0.9", "192.0.0.9", "192.0.0.10"},
	{"192.0.0.10/32", "Traversal Using Relays around NAT Anycast", "RFC 8155", "192.0.0.9", "192.0.0.10", "192.0.0.10", "192.0.0.11"},
	{"192.0.0.170/32", "NAT64/DNS64 Discovery", "RFC 8880, RFC 7050", "192.0.0.169", "192.0.0.170", "192.0.0.170", "192.0.0.171"},
	{"192.0.0.171/32", "NAT64/DNS64 Discovery", "RFC 8880, RFC 7050", "192.0.0.170", "192.0.0.171", "192.0.0.171", "192.0.0.172"},
	{"192.0.2.0/24", "Documentation (TEST-NET-1)", "RFC 5737", "192.0.1.255", "192.0.2.0", "192.0.2.255", "192.0.3.0"},
	{"192.31.196.0/24", "AS112-v4", "RFC 7535", "192.31.195.255", "192.31.196.0", "192.31.196.255", "192.31.197.0"},
	{"192.52.193.0/24", "AMT", "RFC 7450", "192.52.192.255", "192.52.193.0", "192.52.193.255", "192.52.194.0"},
	{"192.88.99.0/24", "Deprecated (6to4 Relay Anycast)", "RFC 7526", "192.88.98.255", "192.88.99.0", "192.88.99.255", "192.88.100.0"},
	{"192.88.99.2/32", "6a44-relay anycast address", "RFC 6751", "192.88.99.1", "192.88.99.2", "192.88.99.2", "192.88.99.3"},
	{"192.168.0.0/16", "Private-Use", "RFC 1918", "192.167.255.255", "192.168.0.0", "192.168.255.255", "192.169.0.0"},
	{"192.175.48.0/24", "Direct Delegation AS112 Service", "RFC 7534", "192.175.47.255", "192.175.48.0", "192.175.48.255", "192.175.49.0"},
	{"198.18.0.0/15", "Benchmarking", "RFC 2544", "198.17.255.255", "198.18.0.0", "198.19.255.255", "198.20.0.0"},
	{"198.51.100.0/24", "Documentation (TEST-NET-2)", "RFC 5737", "198.51.99.255", "198.51.100.0", "198.51.100.255", "198.51.101.0"},
	{"203.0.113.0/24", "Documentation (TEST-NET-3)", "RFC 5737", "203.0.112.255", "203.0.113.0", "203.0.113.255", "203.0.114.0"},
	{"240.0.0.0/4", "Reserved", "RFC 1112, 4", "239.255.255.255", "240.0.0.0", "255.255.255.255", ""},
	{"255.255.255.255/32", "Limited Broadcast", "RFC 8190, RFC 919, 7", "255.255.255.254", "255.255.255.255", "255.255.255.255", ""},
}

// registry6 is the IANA IPv6 Special-Purpose Address Registry, row by row, but for the v4-mapped addresses, which are IPv4 to a
// socket, and 64:ff9b::/96, which is public where what it embeds is: TestGuardJudgesWhatIsEmbedded has those.
var registry6 = []rangeRow{
	{"::1/128", "Loopback Address", "RFC 4291", "::", "::1", "::1", "::2"},
	{"::/128", "Unspecified Address", "RFC 4291", "", "::", "::", "::1"},
	{"64:ff9b:1::/48", "IPv4-IPv6 Translat.", "RFC 8215", "64:ff9b:0:ffff:ffff:ffff:ffff:ffff", "64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "64:ff9b:2::"},
	{"100::/64", "Discard-Only Address Block", "RFC 6666", "ff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "100::", "100::ffff:ffff:ffff:ffff", "100:0:0:1::"},
	{"100:0:0:1::/64", "Dummy IPv6 Prefix", "RFC 9780", "100::ffff:ffff:ffff:ffff", "100:0:0:1::", "100:0:0:1:ffff:ffff:ffff:ffff", "100:0:0:2::"},
	{"2001::/23", "IETF Protocol Assignments", "RFC 2928", "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:200::"},
	{"2001::/32", "TEREDO", "RFC 4380, RFC 8190", "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff", "2001:1::"},
	{"2001:1::1/128", "Port Control Protocol Anycast", "RFC 7723", "2001:1::", "2001:1::1", "2001:1::1", "2001:1::2"},
	{"2001:1::2/128", "Traversal Using Relays around NAT Anycast", "RFC 8155", "2001:1::1", "2001:1::2", "2001:1::2", "2001:1::3"},
	{"2001:1::3/128", "DNS-SD Service Registration Protocol Anycast", "RFC 9665", "2001:1::2", "2001:1::3", "2001:1::3", "2001:1::4"},
	{"2001:2::/48", "Benchmarking", "RFC 5180, RFC Errata 1752", "2001:1:ffff:ffff:ffff:ffff:ffff:ffff", "2001:2::", "2001:2:0:ffff:ffff:ffff:ffff:ffff", "2001:2:1::"},
	{"2001:3::/32", "AMT", "RFC 7450", "2001:2:ffff:ffff:ffff:ffff:ffff:ffff", "2001:3::", "2001:3:ffff:ffff:ffff:ffff:ffff:ffff", "2001:4::"},
	{"2001:4:112::/48", "AS112-v6", "RFC 7535", "2001:4:111:ffff:ffff:ffff:ffff:ffff", "2001:4:112::", "2001:4:112:ffff:ffff:ffff:ffff:ffff", "2001:4:113::"},
	{"2001:10::/28", "Deprecated (previously ORCHID)", "RFC 4843", "2001:f:ffff:ffff:ffff:ffff:ffff:ffff", "2001:10::", "2001:1f:ffff:ffff:ffff:ffff:ffff:ffff", "2001:20::"},
	{"2001:20::/28", "ORCHIDv2", "RFC 7343", "2001:1f:ffff:ffff:ffff:ffff:ffff:ffff", "2001:20::", "2001:2f:ffff:ffff:ffff:ffff:ffff:ffff", "2001:30::"},
	{"2001:30::/28", "Drone Remote ID Protocol Entity Tags (DETs) Prefix", "RFC 9374", "2001:2f:ffff:ffff:ffff:ffff:ffff:ffff", "2001:30::", "2001:3f:ffff:ffff:ffff:ffff:ffff:ffff", "2001:40::"},
	{"2001:db8::/32", "Documentation", "RFC 3849", "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::"},
	{"2002::/16", "6to4", "RFC 3056", "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2003::"},
	{"2620:4f:8000::/48", "Direct Delegation AS112 Service", "RFC 7534", "2620:4f:7fff:ffff:ffff:ffff:ffff:ffff", "2620:4f:8000::", "2620:4f:8000:ffff:ffff:ffff:ffff:ffff", "2620:4f:8001::"},
	{"3fff::/20", "Documentation", "RFC 9637", "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:1000::"},
	{"5f00::/16", "Segment Routing (SRv6) SIDs", "RFC 9602", "5eff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "5f01::"},
	{"fc00::/7", "Unique-Local", "RFC 4193, RFC 8190", "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fe00::"},
	{"fe80::/10", "Link-Local Unicast", "RFC 4291", "fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fec0::"},
}

// registryBeside is what is special by other documents than the two registries.
var registryBeside = []rangeRow{
	{"224.0.0.0/4", "Multicast", "RFC 5771", "223.255.255.255", "224.0.0.0", "239.255.255.255", "240.0.0.0"},
	{"168.63.129.16/32", "Azure's wire server and DNS, at a public address", "", "168.63.129.15", "168.63.129.16", "168.63.129.16", "168.63.129.17"},
	{"::/3", "What is no global unicast, below", "RFC 4291, 2.4", "", "::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2000::"},
	{"::/96", "IPv4-Compatible", "RFC 4291, 2.5.5.1", "", "::", "::ffff:ffff", "::1:0:0"},
	{"::ffff:0:0:0/96", "IPv4-translated", "RFC 2765, 2.1", "::fffe:ffff:ffff:ffff", "::ffff:0:0:0", "::ffff:0:ffff:ffff", "::ffff:1:0:0"},
	{"4000::/2", "What is no global unicast, above", "RFC 4291, 2.4", "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "4000::", "7fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "8000::"},
	{"8000::/1", "What is no global unicast, above", "RFC 4291, 2.4", "7fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "8000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ""},
	{"fec0::/10", "Site-Local", "RFC 3879", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ff00::"},
	{"ff00::/8", "Multicast", "RFC 4291, 2.7", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ""},
}

// everywhere asks a guard about an address in each way that there is: at registration, and at the dial.
func everywhere(t *testing.T, g *Guard, addr string, wantOpen bool) {
	t.Helper()
	host := netip.MustParseAddr(addr)
	url := "http://" + host.String() + "/"
	if host.Is6() {
		url = "http://[" + host.String() + "]/"
	}
	for how, err := range map[string]error{
		"registering " + url:       g.CheckURL(url),
		"dialling " + addr:         g.control(t.Context(), "tcp", net.JoinHostPort(addr, "80"), nil),
		"the judgement of " + addr: g.check(host),
	} {
		if wantOpen && err != nil {
			t.Errorf("%s: %v, want it open", how, err)
		}
		if !wantOpen && !errors.Is(err, ErrBlocked) {
			t.Errorf("%s: %v, want it blocked", how, err)
		}
	}
}

func TestGuardBlocksEverySpecialRangeOfTheRegistries(t *testing.T) {
	g := NewGuard(GuardConfig{})
	rows := append(append(append([]rangeRow{}, registry4...), registry6...), registryBeside...)
	elsewhere := func(addr netip.Addr) bool {
		for _, r := range rows {
			if netip.MustParsePrefix(r.prefix).Contains(addr) {
				return true
			}
		}
		return false
	}
	for _, r := range rows {
		t.Run(r.prefix, func(t *testing.T) {
			prefix := netip.MustParsePrefix(r.prefix)
			first, last := netip.MustParseAddr(r.first), netip.MustParseAddr(r.last)
			if prefix.Masked().Addr() != first || !prefix.Contains(last) || prefix.Contains(last.Next()) {
				t.Fatalf("%s to %s are not the edges of %s", r.first, r.last, r.prefix)
			}
			everywhere(t, g, r.first, false)
			everywhere(t, g, r.last, false)
			for _, edge := range []struct {
				name string
				addr netip.Addr
			}{{r.before, first.Prev()}, {r.after, last.Next()}} {
				if (edge.name == "") == edge.addr.IsValid() || edge.name != "" && netip.MustParseAddr(edge.name) != edge.addr {
					t.Fatalf("%q is not the neighbour of %s, %v is", edge.name, r.prefix, edge.addr)
				}
				if edge.name != "" {
					everywhere(t, g, edge.name, !elsewhere(edge.addr))
				}
			}
		})
	}
}

// What the guard blocks has a row above: nothing of the public internet is closed by mistake.
func TestGuardBlocksNothingButTheRegistries(t *testing.T) {
	known := map[netip.Prefix]bool{}
	for _, rows := range [][]rangeRow{registry4, registry6, registryBeside} {
		for _, r := range rows {
			known[netip.MustParsePrefix(r.prefix)] = true
		}
	}
	covered := func(p netip.Prefix) bool {
		for k := range known {
			if k.Bits() <= p.Bits() && k.Contains(p.Addr()) {
				return true
			}
		}
		return false
	}
	for _, s := range append(append([]special{}, special4...), special6...) {
		if !covered(s.prefix) {
			t.Errorf("%s (%s) has no row", s.prefix, s.kind)
		}
	}
}

func TestGuardBlocksMetadataServices(t *testing.T) {
	g := NewGuard(GuardConfig{})
	loopback := NewGuard(GuardConfig{AllowLoopback: loopbackOpen})
	for _, addr := range []string{
		"169.254.169.254", // AWS, Google Cloud, Azure, DigitalOcean, Oracle Cloud, OpenStack …
		"169.254.170.2",   // credentials of tasks on AWS ECS
		"169.254.170.23",  // credentials of pods on AWS EKS
		"169.254.169.123", // AWS's clock
		"169.254.42.42",   // Scaleway
		"168.63.129.16",   // Azure's wire server
		"100.100.100.200", // Alibaba Cloud
		"192.0.0.192",     // Oracle Cloud Classic
		"fd00:ec2::254",   // AWS, over IPv6
		"fd00:ec2::23",    // credentials of pods on AWS EKS, over IPv6
		"fd20:ce::254",    // Google Cloud, over IPv6
		"fe80::a9fe:a9fe", // OpenStack, over IPv6
	} {
		everywhere(t, g, addr, false)
		everywhere(t, loopback, addr, false)
	}
}

func TestGuardJudgesWhatIsEmbedded(t *testing.T) {
	g := NewGuard(GuardConfig{})
	// The IPv4 addresses that are embedded: one of each kind that matters, and a public one.
	const loopback, private, link, public = "127.0.0.1", "10.0.0.1", "169.254.169.254", "8.8.8.8"
	for name, c := range map[string]struct {
		embed func(v4 netip.Addr) netip.Addr
		open  bool // for a public address in it
	}{
		"v4-mapped (RFC 4291, 2.5.5.2)":           {behind("::ffff:0.0.0.0"), true},
		"v4-compatible (RFC 4291, 2.5.5.1)":       {behind("::"), false},
		"IPv4-translated (RFC 2765, 2.1)":         {behind("::ffff:0:0:0"), false},
		"NAT64, well-known (RFC 6052, 2.1)":       {behind("64:ff9b::"), true},
		"NAT64, local, /96 (RFC 8215)":            {behind("64:ff9b:1::"), false},
		"NAT64, local, /96 of another (RFC 8215)": {behind("64:ff9b:1:abcd::"), false},
		"NAT64, local, /48 (RFC 6052, 2.2)": {func(v4 netip.Addr) netip.Addr {
			b, f := netip.MustParseAddr("64:ff9b:1::").As16(), v4.As4()
			b[6], b[7], b[9], b[10] = f[0], f[1], f[2], f[3]
			return netip.AddrFrom16(b)
		}, false},
		"6to4 (RFC 3056)": {func(v4 netip.Addr) netip.Addr {
			b, f := netip.MustParseAddr("2002::1").As16(), v4.As4()
			copy(b[2:], f[:])
			return netip.AddrFrom16(b)
		}, false},
		"Teredo, the server (RFC 4380, 4)": {func(v4 netip.Addr) netip.Addr {
			b, f := netip.MustParseAddr("2001::").As16(), v4.As4()
			copy(b[4:], f[:])
			return netip.AddrFrom16(b)
		}, false},
		"Teredo, the client, inverted (RFC 4380, 4)": {func(v4 netip.Addr) netip.Addr {
			b, f := netip.MustParseAddr("2001::").As16(), v4.As4()
			for i := range f {
				b[12+i] = ^f[i]
			}
			return netip.AddrFrom16(b)
		}, false},
		"ISATAP (RFC 5214, 6.1)":                       {behind("2606:4700::5efe:0:0"), false},
		"ISATAP, called universally unique (RFC 5214)": {behind("2606:4700::200:5efe:0:0"), false},
		"ISATAP, link-local (RFC 5214)":                {behind("fe80::5efe:0:0"), false},
	} {
		t.Run(name, func(t *testing.T) {
			for _, special := range []string{loopback, private, link} {
				everywhere(t, g, c.embed(netip.MustParseAddr(special)).String(), false)
			}
			everywhere(t, g, c.embed(netip.MustParseAddr(public)).String(), c.open)
		})
	}
	// Every row of the IPv4 registry by its edges, in the two embeddings that are ways to the public internet.
	for _, rows := range [][]rangeRow{registry4, registryBeside} {
		for _, r := range rows {
			if !netip.MustParseAddr(r.first).Is4() {
				continue
			}
			for _, prefix := range []string{"::ffff:0.0.0.0", "64:ff9b::"} {
				for _, addr := range []string{r.first, r.last} {
					everywhere(t, g, behind(prefix)(netip.MustParseAddr(addr)).String(), false)
				}
			}
		}
	}
	// The edges of the well-known NAT64 prefix itself: no global unicast is on either side.
	for _, addr := range []string{"64:ff9a:ffff:ffff:ffff:ffff:ffff:ffff", "64:ff9b::1:0:0"} {
		everywhere(t, g, addr, false)
	}
}

// behind embeds IPv4 addresses in the last four bytes behind a prefix.
func behind(prefix string) func(netip.Addr) netip.Addr {
	return func(v4 netip.Addr) netip.Addr {
		b, f := netip.MustParseAddr(prefix).As16(), v4.As4()
		copy(b[12:], f[:])
		return netip.AddrFrom16(b)
	}
}

func TestGuardBlocksZones(t *testing.T) {
	g := NewGuard(GuardConfig{Allow: []netip.Prefix{netip.MustParsePrefix("::/0"), netip.MustParsePrefix("0.0.0.0/0")}})
	for _, addr := range []string{"fe80::1%eth0", "2606:4700::1%eth0", "::1%lo", "::ffff:8.8.8.8%1"} {
		if err := g.control(t.Context(), "tcp", net.JoinHostPort(addr, "80"), nil); !errors.Is(err, ErrBlocked) {
			t.Errorf("dialling %s: %v, want it blocked", addr, err)
		}
	}
	for _, host := range []string{"[fe80::1%25eth0]", "[2606:4700::1%25eth0]", "[::1%25lo]", "[fe80::1%25%65th0]"} {
		if err := g.CheckURL("http://" + host); !errors.Is(err, ErrBlocked) {
			t.Errorf("registering %s: %v, want it blocked", host, err)
		}
	}
}
