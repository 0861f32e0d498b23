package cli

import (
	"fmt"
	"net/netip"
)

// cidr is a range of addresses, written as 10.20.0.0/16.
type cidr netip.Prefix

// mappedBits is how many bits of an IPv4-mapped address stand before the IPv4 address (RFC 4291, section 2.5.5.2).
const mappedBits = 96

// UnmarshalText implements [encoding.TextUnmarshaler]. Its error is meant for the one who wrote the text.
func (c *cidr) UnmarshalText(text []byte) error {
	prefix, err := netip.ParsePrefix(string(text))
	if err == nil {
		// Addresses are compared without their mapping: ::ffff:10.20.0.0/112 would be in no range.
		if bits := prefix.Bits() - mappedBits; prefix.Addr().Is4In6() && bits >= 0 {
			prefix = netip.PrefixFrom(prefix.Addr().Unmap(), bits)
		}
		*c = cidr(prefix)
		return nil
	}
	if addr, err := netip.ParseAddr(string(text)); err == nil && addr.Zone() == "" {
		return fmt.Errorf("%q is no CIDR; for one address write %s/%d", text, addr, addr.BitLen())
	}
	return fmt.Errorf("%q is no CIDR; 10.20.0.0/16 and fd00::/8 are", text)
}

// String gives the range as it is written.
func (c cidr) String() string { return netip.Prefix(c).String() }

func prefixes(ranges []cidr) []netip.Prefix {
	all := make([]netip.Prefix, len(ranges))
	for i, c := range ranges {
		all[i] = netip.Prefix(c)
	}
	return all
}
