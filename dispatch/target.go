package dispatch

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// maxHostBytes is how long a name can be in the DNS (RFC 1035, section 2.3.4), in its text form.
const maxHostBytes = 253

// CheckURL judges a URL whose host is a literal address, in any spelling that a resolver or a browser would take for
// one (WHATWG URL, section 3.5), or a name for loopback (RFC 6761, section 6.3); any other name is judged when it is
// dialled. The error's text is meant for the one who registers the URL, and wraps [ErrBlocked] where the URL is sound
// and leads where requests may not go.
func (g *Guard) CheckURL(rawURL string) error {
	u, err := url.Parse(rawURL)
	if err != nil {
		return errors.New("is not a URL")
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return errors.New("must begin with http:// or https://")
	}
	host := u.Hostname()
	if host == "" {
		return errors.New("names no host")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return fmt.Errorf("has the port %s; 1 to 65535 are allowed", port)
		}
	}
	addr, isLiteral, err := parseLiteral(host)
	switch {
	case err != nil:
		return err
	case isLiteral:
		return leadsTo(g.check(addr))
	}
	if err := checkName(host); err != nil {
		return err
	}
	if loopbackName(host) {
		// Either family will do: both are tried when the name is dialled.
		if g.check(netip.IPv6Unspecified().Next()) == nil {
			return nil
		}
		return leadsTo(g.check(netip.AddrFrom4([4]byte{127, 0, 0, 1})))
	}
	return nil
}

func leadsTo(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("leads to an address that is refused: %w; the operator can open ranges with --webhook-allow", err)
}

func loopbackName(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// checkName refuses what cannot be a host's name in the DNS. Characters beyond ASCII are refused because the mapping to
// ASCII can turn them into anything, digits and dots included.
func checkName(host string) error {
	if len(strings.TrimSuffix(host, ".")) > maxHostBytes {
		return fmt.Errorf("has a host name of %d bytes; at most %d are allowed", len(host), maxHostBytes)
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(host, "."), ".") {
		if label == "" || len(label) > 63 {
			return errors.New("has a host name with a label that is empty or longer than 63 bytes")
		}
		for _, c := range label {
			switch {
			case c > 0x7f:
				return errors.New("has a host name with characters beyond ASCII; write it in its xn-- form")
			case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
			default:
				return fmt.Errorf("has a host name with %q; allowed are A-Z a-z 0-9 - _ and dots", c)
			}
		}
	}
	return nil
}

// parseLiteral reads a host that is an address: an IPv6 one (without brackets), or an IPv4 one in any of the forms of
// inet_aton: one to four numbers, each decimal, octal or hexadecimal, with or without a dot at the end. A host whose
// last part is a number and that is no address all the same is an error, as in browsers: it is no name either.
func parseLiteral(host string) (addr netip.Addr, isLiteral bool, err error) {
	if strings.ContainsAny(host, ":%") {
		addr, err := netip.ParseAddr(host)
		if err != nil {
			return netip.Addr{}, false, errors.New("has a host that is no IPv6 address")
		}
		return addr, true, nil
	}
	parts := strings.Split(strings.TrimSuffix(host, "."), ".")
	if last := parts[len(parts)-1]; !looksNumeric(last) {
		return netip.Addr{}, false, nil
	}
	v4, ok := parseNumbers(parts)
	if !ok {
		return netip.Addr{}, false, errors.New("has a host that is neither a name nor an IPv4 address")
	}
	return v4, true, nil
}

// looksNumeric reports whether a label makes its host an address or nothing: it is all digits, or 0x and hexadecimal
// digits, however many.
func looksNumeric(label string) bool {
	hex, isHex := strings.CutPrefix(strings.ToLower(label), "0x")
	if isHex {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return label != "" && strings.Trim(label, "0123456789") == ""
}

// parseNumbers puts an address together from its parts: the last one fills all of the bytes that are left.
func parseNumbers(parts []string) (netip.Addr, bool) {
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var address uint64
	for i, part := range parts {
		n, ok := parseNumber(part)
		if !ok {
			return netip.Addr{}, false
		}
		if i < len(parts)-1 {
			if n > 0xff {
				return netip.Addr{}, false
			}
			address |= n << (24 - 8*i)
			continue
		}
		if n >= 1<<(8*(4-i)) {
			return netip.Addr{}, false
		}
		address |= n
	}
	return netip.AddrFrom4([4]byte{byte(address >> 24), byte(address >> 16), byte(address >> 8), byte(address)}), true
}

// parseNumber reads one part: 0x is hexadecimal, a leading 0 octal. 0x alone is zero, as in browsers.
func parseNumber(s string) (uint64, bool) {
	if s == "" {
		return 0, false
	}
	base, digits := 10, s
	switch {
	case strings.HasPrefix(strings.ToLower(s), "0x"):
		base, digits = 16, s[2:]
	case len(s) > 1 && s[0] == '0':
		base, digits = 8, s[1:]
	}
	digits = strings.TrimLeft(digits, "0")
	if digits == "" {
		return 0, true
	}
	if strings.HasPrefix(digits, "+") {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, base, 64)
	return n, err == nil && n <= 1<<32-1
}
