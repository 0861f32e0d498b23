package dispatch

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
)

func loopbackOpen() bool { return true }

func TestGuardRanges(t *testing.T) {
	g := NewGuard(GuardConfig{})
	// Each range by its first and last address, and the neighbours that are public (empty where none is).
	for _, c := range []struct{ first, last, before, after string }{
		{"0.0.0.0", "0.255.255.255", "", "1.0.0.0"},
		{"10.0.0.0", "10.255.255.255", "9.255.255.255", "11.0.0.0"},
		{"100.64.0.0", "100.127.255.255", "100.63.255.255", "100.128.0.0"},
		{"127.0.0.0", "127.255.255.255", "126.255.255.255", "128.0.0.0"},
		{"168.63.129.16", "168.63.129.16", "168.63.129.15", "168.63.129.17"},
		{"169.254.0.0", "169.254.255.255", "169.253.255.255", "169.255.0.0"},
		{"172.16.0.0", "172.31.255.255", "172.15.255.255", "172.32.0.0"},
		{"192.0.0.0", "192.0.0.255", "191.255.255.255", "192.0.1.0"},
		{"192.0.2.0", "192.0.2.255", "192.0.1.255", "192.0.3.0"},
		{"192.31.196.0", "192.31.196.255", "192.31.195.255", "192.31.197.0"},
		{"192.52.193.0", "192.52.193.255", "192.52.192.255", "192.52.194.0"},
		{"192.88.99.0", "192.88.99.255", "192.88.98.255", "192.88.100.0"},
		{"192.168.0.0", "192.168.255.255", "192.167.255.255", "192.169.0.0"},
		{"192.175.48.0", "192.175.48.255", "192.175.47.255", "192.175.49.0"},
		{"198.18.0.0", "198.19.255.255", "198.17.255.255", "198.20.0.0"},
		{"198.51.100.0", "198.51.100.255", "198.51.99.255", "198.51.101.0"},
		{"203.0.113.0", "203.0.113.255", "203.0.112.255", "203.0.114.0"},
		{"224.0.0.0", "239.255.255.255", "223.255.255.255", ""},
		{"240.0.0.0", "255.255.255.255", "", ""},
		{"169.254.169.254", "169.254.170.2", "", ""},
		{"100.100.100.200", "100.100.100.200", "", ""},

		// Everything below and above of 2000::/3, then what is special in it.
		{"::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", "2000::"},
		{"4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ""},
		{"::1", "::ffff", "", ""},
		{"64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "", ""},
		{"100::", "100::ffff:ffff:ffff:ffff", "", ""},
		{"2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:200::"},
		{"2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::"},
		{"2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2003::"},
		{"2620:4f:8000::", "2620:4f:8000:ffff:ffff:ffff:ffff:ffff", "2620:4f:7fff:ffff:ffff:ffff:ffff:ffff", "2620:4f:8001::"},
		{"3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:1000::"},
		{"5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", ""},
		{"fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", ""},
		{"fd00:ec2::254", "fd00:ec2::254", "", ""},
		{"fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", ""},
		{"fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", ""},
		{"ff00::", "ffff::", "", ""},

		// Embeddings.
		{"::ffff:127.0.0.1", "::ffff:169.254.169.254", "", "::ffff:8.8.8.8"},
		{"::127.0.0.1", "::8.8.8.8", "", ""},
		{"64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::8.8.8.8", "64:ff9b::1.1.1.1"},
		{"64:ff9b::169.254.169.254", "64:ff9b::255.255.255.255", "", ""},
		{"2002:7f00:1::", "2002:a9fe:a9fe::1", "", ""},
	} {
		for _, blocked := range []string{c.first, c.last} {
			if err := g.check(netip.MustParseAddr(blocked)); !errors.Is(err, ErrBlocked) {
				t.Errorf("%s: got %v, want it blocked", blocked, err)
			}
		}
		for _, public := range []string{c.before, c.after} {
			if public == "" {
				continue
			}
			if err := g.check(netip.MustParseAddr(public)); err != nil {
				t.Errorf("%s: %v, want it allowed", public, err)
			}
		}
	}
	for _, addr := range []netip.Addr{{}, netip.MustParseAddr("fe80::1%eth0"), netip.MustParseAddr("2606:4700::1%eth0")} {
		if err := g.check(addr); !errors.Is(err, ErrBlocked) {
			t.Errorf("%s: got %v, want it blocked", addr, err)
		}
	}
}

func TestGuardOpened(t *testing.T) {
	g := NewGuard(GuardConfig{Allow: []netip.Prefix{
		netip.MustParsePrefix("10.1.2.3/16"), // host bits set, as people write it
		netip.MustParsePrefix("::ffff:192.168.1.0/120"),
		netip.MustParsePrefix("fd00:1::/32"),
	}})
	for addr, open := range map[string]bool{
		"10.1.0.1": true, "10.1.255.255": true, "10.2.0.0": false, "10.0.255.255": false,
		"::ffff:10.1.0.1": true, "64:ff9b::10.1.0.1": true, "64:ff9b::10.2.0.1": false,
		"2002:a01:1::": true, "2002:a02:1::": false,
		"192.168.1.77": true, "192.168.2.1": false,
		"fd00:1::5": true, "fd00:2::5": false, "127.0.0.1": false, "::1": false, "8.8.8.8": true,
	} {
		if err := g.check(netip.MustParseAddr(addr)); (err == nil) != open {
			t.Errorf("%s: %v, want open %v", addr, err, open)
		}
	}

	loopback := NewGuard(GuardConfig{AllowLoopback: loopbackOpen})
	for addr, open := range map[string]bool{
		"127.0.0.1": true, "127.9.9.9": true, "::1": true, "::ffff:127.0.0.1": true,
		"0.0.0.0": false, "::": false, "10.0.0.1": false, "169.254.169.254": false, "64:ff9b::127.0.0.1": false,
	} {
		if err := loopback.check(netip.MustParseAddr(addr)); (err == nil) != open {
			t.Errorf("with loopback, %s: %v, want open %v", addr, err, open)
		}
	}
}

func TestCheckURL(t *testing.T) {
	g := NewGuard(GuardConfig{})
	loopback := NewGuard(GuardConfig{AllowLoopback: loopbackOpen})
	const (
		fine     = iota
		refused  // leads where requests may not go
		unsound  // is no acceptable URL, whatever is open
		loopOnly // refused, but fine where loopback is open
	)
	for raw, want := range map[string]int{
		"https://example.com/hook": fine, "http://example.com:8080": fine, "https://EXAMPLE.com.": fine,
		"https://xn--bcher-kva.example": fine, "https://8.8.8.8": fine, "https://8.8.8.8./": fine, "http://134744072": fine,
		"http://0x8.0x8.0x8.0x8": fine, "https://[2606:4700::1]:443/": fine, "https://a_b.example": fine,
		"https://0x7f.example": fine, "https://127.0.0.1.example": fine, "https://notlocalhost": fine,
		"http://example.com:": fine, "http://example.com:65535": fine,

		"http://127.0.0.1": loopOnly, "http://127.0.0.1.": loopOnly, "http://127.1": loopOnly, "http://0x7f.1": loopOnly,
		"http://0X7F000001": loopOnly, "http://2130706433": loopOnly, "http://2130706433./": loopOnly, "http://0177.0.0.1": loopOnly,
		"http://017700000001": loopOnly, "http://127.0x0.00.1:99": loopOnly, "http://0x7f.0.1": loopOnly, "http://[::1]": loopOnly,
		"http://[::ffff:127.0.0.1]": loopOnly, "http://[::ffff:7f00:1]": loopOnly, "http://localhost": loopOnly,
		"http://LocalHost.": loopOnly, "http://a.b.localhost:3000/x": loopOnly,
		"http://0000000000000000000000177.0.0.1": loopOnly,

		"http://0": refused, "http://0x": refused, "http://0.0.0.0": refused, "http://10.1": refused, "http://169.254.169.254": refused,
		"http://2852039166": refused, "http://0xa9fea9fe": refused, "http://0251.0376.0251.0376": refused,
		"http://192.168.257": refused, "http://172.1048577": refused, "http://[fd00::1]": refused, "http://[fe80::1%25eth0]": refused,
		"http://[64:ff9b::7f00:1]": refused, "http://[2002:7f00:1::]": refused, "http://[::7f00:1]": refused, "http://[::]": refused,
		"http://255.255.255.255": refused, "http://4294967295": refused,

		"": unsound, "example.com": unsound, "ftp://example.com": unsound, "http://": unsound, "http:127.0.0.1": unsound,
		"http://:80": unsound, "http://example.com:0": unsound, "http://example.com:65536": unsound,
		"http://256.1.1.1": unsound, "http://1.2.3.4.5": unsound, "http://4294967296": unsound, "http://127.0.0.08": unsound,
		"http://a.1": unsound, "http://1..2": unsound, "http://1.2.3.256": unsound, "http://127.0.0.1..": unsound, "http://a..b": unsound,
		"http://.": unsound, "http://[1.2.3.4]": unsound, "http://[::1": unsound, "http://[:::]": unsound,
		"http://１２７.0.0.1": unsound, "http://127。0。0。1": unsound, "http://ⓛocalhost": unsound, "http://bücher.example": unsound,
		"http://loc\u00adalhost": unsound, "http://%31%32%37.0.0.1": unsound, "http://a%E3%80%82b": unsound,
		"http://a\\@127.0.0.1": unsound, "http://exa mple.com": unsound, "http://a*b": unsound, "http://a,b": unsound,
		"http://" + strings.Repeat("a", 64) + ".example": unsound, "http://" + strings.Repeat("abcdefg.", 32) + "example": unsound,
	} {
		err, open := g.CheckURL(raw), loopback.CheckURL(raw)
		blocked := errors.Is(err, ErrBlocked)
		switch want {
		case fine:
			if err != nil {
				t.Errorf("%q: %v, want it accepted", raw, err)
			}
		case refused:
			if !blocked || open == nil {
				t.Errorf("%q: %v, and with loopback %v; want it blocked in both", raw, err, open)
			}
		case loopOnly:
			if !blocked || open != nil {
				t.Errorf("%q: %v, and with loopback %v; want it blocked only without", raw, err, open)
			}
		case unsound:
			if err == nil || blocked || open == nil {
				t.Errorf("%q: %v, and with loopback %v; want it refused as a URL", raw, err, open)
			}
		}
	}
	// Only one family of loopback is open: the name can still be reached.
	v6 := NewGuard(GuardConfig{Allow: []netip.Prefix{netip.MustParsePrefix("::1/128")}})
	if err := v6.CheckURL("http://localhost"); err != nil {
		t.Errorf("localhost with ::1 open: %v", err)
	}
}

// nameServer answers every A query with the addresses that answer gives for the n-th look-up, from 1, and every AAAA
// query with none.
func nameServer(answer func(n int) []string) *net.Resolver {
	var lookups atomic.Int64
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe() // not a PacketConn: the resolver speaks DNS over TCP on it
		go func() {
			defer func() { _ = server.Close() }()
			for {
				var size [2]byte
				if _, err := io.ReadFull(server, size[:]); err != nil {
					return
				}
				query := make([]byte, binary.BigEndian.Uint16(size[:]))
				if _, err := io.ReadFull(server, query); err != nil {
					return
				}
				end := 12
				for query[end] != 0 {
					end += int(query[end]) + 1
				}
				end += 5 // the root label, type and class
				var addrs []string
				if binary.BigEndian.Uint16(query[end-4:]) == 1 {
					addrs = answer(int(lookups.Add(1)))
				}
				reply := append([]byte{query[0], query[1], 0x81, 0x80, 0, 1, 0, byte(len(addrs)), 0, 0, 0, 0}, query[12:end]...)
				for _, a := range addrs {
					v4 := netip.MustParseAddr(a).As4()
					reply = append(reply, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
					reply = append(reply, v4[:]...)
				}
				if _, err := server.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...)); err != nil {
					return
				}
			}
		}()
		return client, nil
	}}
}

func sink(t testing.TB, handler http.HandlerFunc) (server *httptest.Server, addr netip.AddrPort) {
	t.Helper()
	server = httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server, netip.MustParseAddrPort(server.Listener.Addr().String())
}

func TestRebinding(t *testing.T) {
	_, addr := sink(t, func(http.ResponseWriter, *http.Request) {})
	if !addr.Addr().Is4() {
		t.Skip("the test server listens on IPv6 only")
	}
	// The test server's own address is open, the rest of loopback is not: what the name turns into must not be dialled.
	g := NewGuard(GuardConfig{Allow: []netip.Prefix{netip.PrefixFrom(addr.Addr(), 32)}})
	g.resolver = nameServer(func(n int) []string {
		switch n {
		case 1:
			return []string{addr.Addr().String()}
		case 2:
			return []string{"127.0.0.53", "169.254.169.254"}
		default:
			return []string{"169.254.169.254", addr.Addr().String()}
		}
	})
	dial := func() error {
		conn, err := g.DialContext(t.Context(), "tcp", net.JoinHostPort("rebind.test", portOf(addr)))
		if err == nil {
			_ = conn.Close()
		}
		return err
	}
	if err := g.CheckURL("http://rebind.test"); err != nil {
		t.Fatal(err)
	}
	if err := dial(); err != nil {
		t.Fatalf("first dial: %v", err)
	}
	if err := dial(); !errors.Is(err, ErrBlocked) {
		t.Fatalf("second dial: %v, want it blocked", err)
	}
	if err := dial(); err != nil {
		t.Fatalf("of a mix, the allowed address: %v", err)
	}
}

func portOf(a netip.AddrPort) string { _, port, _ := net.SplitHostPort(a.String()); return port }

func TestDialSpellings(t *testing.T) {
	_, addr := sink(t, func(http.ResponseWriter, *http.Request) {})
	if addr.Addr() != netip.MustParseAddr("127.0.0.1") {
		t.Skip("the test server does not listen on 127.0.0.1")
	}
	closed, open := NewGuard(GuardConfig{}), NewGuard(GuardConfig{AllowLoopback: loopbackOpen})
	for _, host := range []string{"127.0.0.1", "127.0.0.1.", "127.1", "0x7f.1", "2130706433", "0177.0.0.1", "::ffff:127.0.0.1"} {
		target := net.JoinHostPort(host, portOf(addr))
		if _, err := closed.DialContext(t.Context(), "tcp", target); !errors.Is(err, ErrBlocked) {
			t.Errorf("%s: %v, want it blocked", host, err)
		}
		conn, err := open.DialContext(t.Context(), "tcp", target)
		if err != nil {
			t.Errorf("%s with loopback open: %v", host, err)
			continue
		}
		_ = conn.Close()
	}
}

func FuzzCheckURL(f *testing.F) {
	for _, s := range []string{
		"http://127.0.0.1", "http://0x7f.1", "http://[::ffff:10.0.0.1]:80/", "http://[fe80::1%25a]", "https://example.com./x?y#z",
		"http://2130706433", "http://１２７.0.0.1", "http://a%2e", "http://0x", "http://localhost.", "http://1.2.3.4.5", "http:x",
	} {
		f.Add(s)
	}
	g := NewGuard(GuardConfig{})
	dialled := ""
	transport := newTransport(dialer{func(_ context.Context, _, addr string) (net.Conn, error) {
		dialled = addr
		return nil, errors.New("not dialled")
	}, nil})
	f.Fuzz(func(t *testing.T, raw string) {
		if g.CheckURL(raw) != nil {
			return
		}
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatalf("accepted %q, which does not parse: %v", raw, err)
		}
		host := strings.TrimSuffix(u.Hostname(), ".")
		if addr, err := netip.ParseAddr(host); err == nil && g.check(addr) != nil {
			t.Fatalf("accepted %q, whose address is blocked", raw)
		}
		for _, c := range host {
			if c > 0x7f {
				t.Fatalf("accepted %q, beyond ASCII", raw)
			}
		}
		// What net/http makes of it is the same host, and open.
		dialled = ""
		r := &http.Request{Method: http.MethodPost, URL: u, Host: u.Host, Header: http.Header{}}
		if _, err := transport.RoundTrip(r.WithContext(t.Context())); err == nil || dialled == "" {
			return // a URL that net/http does not send to
		}
		sent, _, err := net.SplitHostPort(dialled)
		if err != nil || !strings.EqualFold(strings.TrimSuffix(sent, "."), host) {
			t.Fatalf("accepted %q, which dials %q", raw, dialled)
		}
		if addr, isLiteral, err := parseLiteral(sent); err != nil || isLiteral && g.check(addr) != nil {
			t.Fatalf("accepted %q, which dials %q", raw, dialled)
		}
	})
}
