package api

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// sender is where a request comes from, and how it was sent, as far as the gateway believes it: what the connection itself
// shows, or what a trusted proxy at its other end says of its own client. The headers are those that proxies agree on, the
// X-Forwarded- ones. Forwarded (RFC 7239) is not read: two ways to say the same are two ways to say different things, and
// most proxies hand on untouched the one that they do not write.
type sender struct {
	address netip.AddrPort // not valid where that is no address; port 0 where the proxy does not say it
	secure  bool           // over TLS
	host    string         // the name, maybe with a port, that the client sent the request to
	proxied bool           // a trusted proxy stands between
}

// senderOf finds where a request comes from. proxies are the trusted ones.
func senderOf(r *http.Request, proxies []netip.Prefix) sender {
	s := sender{secure: r.TLS != nil, host: r.Host}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return s
	}
	s.address = netip.AddrPortFrom(peer.Addr().Unmap(), peer.Port())
	if !trusted(proxies, s.address.Addr()) {
		return s
	}
	s.proxied = true
	s.address = forwardedFor(s.address, r.Header.Values("X-Forwarded-For"), proxies)
	// Of these the last word is that of the proxy which is trusted; what stands before it may be anybody's.
	if scheme := lastOf(r.Header.Values("X-Forwarded-Proto")); scheme != "" {
		s.secure = strings.EqualFold(scheme, "https") || strings.EqualFold(scheme, "wss")
	}
	if host := lastOf(r.Header.Values("X-Forwarded-Host")); validHost(host) {
		s.host = host
	}
	return s
}

func trusted(proxies []netip.Prefix, address netip.Addr) bool {
	address = address.WithZone("")
	return slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(address) })
}

// forwardedFor walks from the proxy at the other end of the connection towards the client. Each proxy has added the address
// of its own peer at the right, so an entry is believed if a trusted proxy wrote it. The walk ends at the first address that
// is not a trusted proxy's, which is the client; what stands left of that the client may have made up. Where an entry is no
// address, it ends at the proxy that wrote it.
func forwardedFor(peer netip.AddrPort, lines []string, proxies []netip.Prefix) netip.AddrPort {
	found := peer
	for i := len(lines) - 1; i >= 0; i-- {
		rest, more := lines[i], true
		for more {
			entry := rest
			comma := strings.LastIndexByte(rest, ',')
			if more = comma >= 0; more {
				entry, rest = rest[comma+1:], rest[:comma]
			}
			address, ok := parseForwarded(strings.Trim(entry, " \t"))
			if !ok {
				return found
			}
			found = address
			if !trusted(proxies, found.Addr()) {
				return found
			}
		}
	}
	return found
}

// parseForwarded reads an entry of X-Forwarded-For: an address, as some write it with a port.
func parseForwarded(text string) (netip.AddrPort, bool) {
	address, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
	port := uint16(0)
	if err != nil {
		withPort, err := netip.ParseAddrPort(text)
		if err != nil {
			return netip.AddrPort{}, false
		}
		address, port = withPort.Addr(), withPort.Port()
	}
	// A zone means something to the proxy's machine only.
	if address.Zone() != "" || address.IsUnspecified() {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(address.Unmap(), port), true
}

// lastOf returns the last element of a header that is a list.
func lastOf(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	last := lines[len(lines)-1]
	return strings.Trim(last[strings.LastIndexByte(last, ',')+1:], " \t")
}

// validHost reports whether a text can stand in a URL as a host, and nothing else.
func validHost(host string) bool {
	if host == "" || len(host) > 255+len(":65535") {
		return false
	}
	for i := range len(host) {
		switch c := host[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("-._:[]", c) >= 0:
		default:
			return false
		}
	}
	u, err := url.Parse("https://" + host)
	if err != nil || u.Host != host || u.Hostname() == "" || strings.HasSuffix(host, ":") {
		return false
	}
	if _, err := strconv.ParseUint(u.Port(), 10, 16); u.Port() != "" && err != nil {
		return false
	}
	// An address of IPv6 stands in brackets.
	return !strings.Contains(u.Hostname(), ":") || net.ParseIP(u.Hostname()) != nil
}

// remoteOf returns where a request comes from: the client, also behind trusted proxies; not valid where that is no address.
// The port is 0 where a proxy does not say it.
func remoteOf(r *http.Request) netip.AddrPort { return requestOf(r).sender.address }

// secure reports whether the client spoke TLS, with the gateway or with a trusted proxy.
func secure(r *http.Request) bool { return requestOf(r).sender.secure }

// originOf returns the origin that the client sent the request to, such as https://events.example.com. While the gateway
// is open to any Host, its name is the client's own claim: it may be told to that client, and to nobody else.
func originOf(r *http.Request) string {
	scheme := "http"
	if secure(r) {
		scheme = "https"
	}
	return scheme + "://" + requestOf(r).sender.host
}

// remoteText is where a request comes from, for people.
func remoteText(r *http.Request) string {
	switch remote := remoteOf(r); {
	case !remote.IsValid():
		return r.RemoteAddr
	case remote.Port() == 0:
		return remote.Addr().String()
	default:
		return remote.String()
	}
}
