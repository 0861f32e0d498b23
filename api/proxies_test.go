package api

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

var testProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}

func TestWhereARequestComesFrom(t *testing.T) {
	type headers = map[string][]string
	for name, test := range map[string]struct {
		peer    string
		headers headers
		tls     bool

		address string
		origin  string
	}{
		"nobody between":          {"203.0.113.9:1234", nil, false, "203.0.113.9:1234", "http://gateway.example"},
		"nobody, over TLS":        {"203.0.113.9:1234", nil, true, "203.0.113.9:1234", "https://gateway.example"},
		"an IPv4 address in IPv6": {"[::ffff:203.0.113.9]:1234", nil, false, "203.0.113.9:1234", "http://gateway.example"},
		"spoofed by anybody": {"203.0.113.9:1234", headers{
			"X-Forwarded-For": {"192.0.2.1"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"evil.example"},
			"Forwarded": {"for=192.0.2.1;proto=https;host=evil.example"}, "X-Real-Ip": {"192.0.2.1"},
		}, false, "203.0.113.9:1234", "http://gateway.example"},
		"a trusted proxy": {"10.1.2.3:80", headers{
			"X-Forwarded-For": {"203.0.113.9"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"events.example:8443"},
		}, false, "203.0.113.9:0", "https://events.example:8443"},
		"a trusted proxy in IPv6":                      {"[fd00::1]:80", headers{"X-Forwarded-For": {"2001:db8::1"}}, false, "[2001:db8::1]:0", "http://gateway.example"},
		"a trusted proxy with an IPv4 address in IPv6": {"[::ffff:10.1.2.3]:80", headers{"X-Forwarded-For": {"203.0.113.9"}}, false, "203.0.113.9:0", "http://gateway.example"},
		"Forwarded is not read":                        {"10.1.2.3:80", headers{"Forwarded": {"for=192.0.2.1;proto=https;host=evil.example"}}, false, "10.1.2.3:80", "http://gateway.example"},
		"spoofed through a trusted proxy":              {"10.1.2.3:80", headers{"X-Forwarded-For": {"127.0.0.1, 203.0.113.9"}}, false, "203.0.113.9:0", "http://gateway.example"},
		"spoofed by a proxy's address":                 {"10.1.2.3:80", headers{"X-Forwarded-For": {"192.0.2.1, 10.9.9.9, 203.0.113.9"}}, false, "203.0.113.9:0", "http://gateway.example"},
		"spoofed in a line of its own":                 {"10.1.2.3:80", headers{"X-Forwarded-For": {"192.0.2.1", "203.0.113.9"}}, false, "203.0.113.9:0", "http://gateway.example"},
		"two trusted proxies":                          {"10.1.2.3:80", headers{"X-Forwarded-For": {"192.0.2.1, 203.0.113.9,10.4.5.6"}}, false, "203.0.113.9:0", "http://gateway.example"},
		"two trusted proxies, two lines":               {"10.1.2.3:80", headers{"X-Forwarded-For": {"192.0.2.1, 203.0.113.9", "10.4.5.6"}}, false, "203.0.113.9:0", "http://gateway.example"},
		"a client among the proxies":                   {"10.1.2.3:80", headers{"X-Forwarded-For": {"10.7.7.7, 10.4.5.6"}}, false, "10.7.7.7:0", "http://gateway.example"},
		"with a port":                                  {"10.1.2.3:80", headers{"X-Forwarded-For": {"203.0.113.9:5555"}}, false, "203.0.113.9:5555", "http://gateway.example"},
		"IPv6 in brackets":                             {"10.1.2.3:80", headers{"X-Forwarded-For": {"[2001:db8::1]"}}, false, "[2001:db8::1]:0", "http://gateway.example"},
		"IPv6 with a port":                             {"10.1.2.3:80", headers{"X-Forwarded-For": {"[2001:db8::1]:5555"}}, false, "[2001:db8::1]:5555", "http://gateway.example"},
		"no address at the right":                      {"10.1.2.3:80", headers{"X-Forwarded-For": {"203.0.113.9, unknown"}}, false, "10.1.2.3:80", "http://gateway.example"},
		"no address behind a proxy":                    {"10.1.2.3:80", headers{"X-Forwarded-For": {"203.0.113.9, _hidden, 10.4.5.6"}}, false, "10.4.5.6:0", "http://gateway.example"},
		"empty":                                        {"10.1.2.3:80", headers{"X-Forwarded-For": {""}}, false, "10.1.2.3:80", "http://gateway.example"},
		"an empty entry":                               {"10.1.2.3:80", headers{"X-Forwarded-For": {"203.0.113.9,"}}, false, "10.1.2.3:80", "http://gateway.example"},
		"a zone":                                       {"10.1.2.3:80", headers{"X-Forwarded-For": {"fe80::1%eth0"}}, false, "10.1.2.3:80", "http://gateway.example"},
		"no address in particular":                     {"10.1.2.3:80", headers{"X-Forwarded-For": {"0.0.0.0"}}, false, "10.1.2.3:80", "http://gateway.example"},
		"octal":                                        {"10.1.2.3:80", headers{"X-Forwarded-For": {"0177.0.0.1"}}, false, "10.1.2.3:80", "http://gateway.example"},
		"a scheme from the client":                     {"10.1.2.3:80", headers{"X-Forwarded-Proto": {"https, http"}}, false, "10.1.2.3:80", "http://gateway.example"},
		"a scheme that is none":                        {"10.1.2.3:80", headers{"X-Forwarded-Proto": {"javascript"}}, true, "10.1.2.3:80", "http://gateway.example"},
		"over TLS to the proxy's own":                  {"10.1.2.3:80", nil, true, "10.1.2.3:80", "https://gateway.example"},
		"a host from the client":                       {"10.1.2.3:80", headers{"X-Forwarded-Host": {"evil.example, events.example"}}, false, "10.1.2.3:80", "http://events.example"},
		"a host with a path":                           {"10.1.2.3:80", headers{"X-Forwarded-Host": {"evil.example/path"}}, false, "10.1.2.3:80", "http://gateway.example"},
		"a host with a user":                           {"10.1.2.3:80", headers{"X-Forwarded-Host": {"gateway.example@evil.example"}}, false, "10.1.2.3:80", "http://gateway.example"},
		"a host that is markup":                        {"10.1.2.3:80", headers{"X-Forwarded-Host": {"<b>"}}, false, "10.1.2.3:80", "http://gateway.example"},
		"a host in IPv6":                               {"10.1.2.3:80", headers{"X-Forwarded-Host": {"[2001:db8::1]:443"}}, false, "10.1.2.3:80", "http://[2001:db8::1]:443"},
		"a host half in brackets":                      {"10.1.2.3:80", headers{"X-Forwarded-Host": {"[2001:db8::1"}}, false, "10.1.2.3:80", "http://gateway.example"},
		"a host that is a port":                        {"10.1.2.3:80", headers{"X-Forwarded-Host": {":443"}}, false, "10.1.2.3:80", "http://gateway.example"},
		"a host that is too long":                      {"10.1.2.3:80", headers{"X-Forwarded-Host": {strings.Repeat("a", 300)}}, false, "10.1.2.3:80", "http://gateway.example"},
		"no TCP at all":                                {"@", headers{"X-Forwarded-For": {"203.0.113.9"}}, false, "invalid AddrPort", "http://gateway.example"},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "http://gateway.example/", nil)
			r.RemoteAddr = test.peer
			for header, values := range test.headers {
				r.Header[http.CanonicalHeaderKey(header)] = values
			}
			if test.tls {
				r.TLS = &tls.ConnectionState{}
			}
			r = r.WithContext(context.WithValue(r.Context(), requestKey{}, &request{sender: senderOf(r, testProxies)}))
			if got := remoteOf(r).String(); got != test.address {
				t.Errorf("comes from %s, want %s", got, test.address)
			}
			if got := originOf(r); got != test.origin {
				t.Errorf("was sent to %s, want %s", got, test.origin)
			}
			if got := secure(r); got != strings.HasPrefix(test.origin, "https:") {
				t.Errorf("secure: %t", got)
			}
		})
	}
}

func TestNamesOfRequests(t *testing.T) {
	for given, taken := range map[string]bool{
		"0197a2c4-5a10-7b21-8e4f-0d1c2b3a4958": true, "f00dcafe": true, "a.b_c-D9": true, strings.Repeat("x", maxRequestID): true,
		"": false, "a b": false, "a\tb": false, "ä": false, "a\"b": false, "a,b": false, "<b>": false, "a=b": false, strings.Repeat("x", maxRequestID+1): false,
	} {
		for _, proxied := range []bool{true, false} {
			r := httptest.NewRequest("GET", "/", nil)
			r.Header.Set(requestIDHeader, given)
			id := nameRequest(r, sender{proxied: proxied})
			if want := taken && proxied; (id == given) != want || id == "" {
				t.Errorf("%q, from a trusted proxy %t: named %q", given, proxied, id)
			}
		}
	}
}

// Whatever stands there, the client is the peer or one of the addresses that were named, and an address that stands left
// of one that is no trusted proxy's is never believed.
func FuzzForwardedFor(f *testing.F) {
	for _, seed := range []string{"203.0.113.9", "192.0.2.1, 10.4.5.6", "[2001:db8::1]:80,unknown", ",,", "10.1.1.1,10.2.2.2", "fe80::1%eth0", "::ffff:10.0.0.1"} {
		f.Add(seed, seed)
	}
	peer := netip.MustParseAddrPort("10.1.2.3:80")
	f.Fuzz(func(t *testing.T, first, second string) {
		lines := []string{first, second}
		got := forwardedFor(peer, lines, testProxies)
		if !got.IsValid() || got.Addr().Zone() != "" || got.Addr().Is4In6() {
			t.Fatalf("%q: %s", lines, got)
		}
		// The plain way to say the same.
		entries := strings.Split(strings.Join(lines, ","), ",")
		want := peer
		for i := len(entries) - 1; i >= 0; i-- {
			at, ok := parseForwarded(strings.Trim(entries[i], " \t"))
			if !ok {
				break
			}
			want = at
			if !trusted(testProxies, at.Addr()) {
				break
			}
		}
		if got != want {
			t.Fatalf("%q: %s, want %s", lines, got, want)
		}
		// What is added at the right by a proxy that is not trusted is all that counts.
		if spoofed := forwardedFor(peer, append(lines, "203.0.113.9"), testProxies); spoofed.Addr() != netip.MustParseAddr("203.0.113.9") {
			t.Fatalf("%q: believed %s", lines, spoofed)
		}
	})
}

func FuzzForwardedHost(f *testing.F) {
	for _, seed := range []string{"events.example", "[::1]:443", "a:b", "a@b", "..", "[", "a:99999999"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, host string) {
		if !validHost(host) {
			return
		}
		r := httptest.NewRequest("GET", "/", nil)
		r = r.WithContext(context.WithValue(r.Context(), requestKey{}, &request{sender: sender{host: host}}))
		again, err := http.NewRequest("GET", originOf(r)+"/path", nil)
		if err != nil || again.URL.Host != host || again.URL.Path != "/path" || again.URL.User != nil {
			t.Fatalf("%q: %v, %v", host, again, err)
		}
	})
}
