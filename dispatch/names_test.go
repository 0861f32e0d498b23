package dispatch

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/carillon/carillon/event"
)

// dnsRecord is an answer's record: an address, or the canonical name of what was asked for.
type dnsRecord struct {
	addr  netip.Addr
	cname string
}

const (
	dnsA     = 1
	dnsCNAME = 5
	dnsAAAA  = 28
)

// zone answers queries for names by their records: those of a name's CNAME come with it, as a recursive resolver's do. A name
// that it does not know has no addresses. It counts the queries.
type zone struct {
	records map[string][]dnsRecord
	queries atomic.Int64
}

func (z *zone) resolver() *net.Resolver {
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
				z.queries.Add(1)
				reply := z.answer(query)
				if _, err := server.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...)); err != nil {
					return
				}
			}
		}()
		return client, nil
	}}
}

func (z *zone) answer(query []byte) []byte {
	var labels []string
	end := 12
	for query[end] != 0 {
		labels = append(labels, string(query[end+1:end+1+int(query[end])]))
		end += int(query[end]) + 1
	}
	end += 5 // the root label, type and class
	kind := binary.BigEndian.Uint16(query[end-4:])
	reply := append([]byte{query[0], query[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, query[12:end]...)
	owner := strings.ToLower(strings.Join(labels, "."))
	for hops := 0; owner != "" && hops < 4; hops++ {
		next := ""
		for _, r := range z.records[owner] {
			data, rtype := []byte(nil), uint16(dnsA)
			switch {
			case r.cname != "":
				next, data, rtype = r.cname, dnsName(r.cname), dnsCNAME
			case r.addr.Is4():
				data = r.addr.AsSlice()
			default:
				data, rtype = r.addr.AsSlice(), dnsAAAA
			}
			if rtype != dnsCNAME && rtype != kind {
				continue
			}
			reply = append(reply, dnsName(owner)...)
			reply = binary.BigEndian.AppendUint16(reply, rtype)
			reply = append(reply, 0, 1, 0, 0, 0, 0)
			reply = binary.BigEndian.AppendUint16(reply, uint16(len(data)))
			reply = append(reply, data...)
			reply[7]++
		}
		owner = next
	}
	return reply
}

func dnsName(name string) []byte {
	var b []byte
	for label := range strings.SplitSeq(name, ".") {
		b = append(append(b, byte(len(label))), label...)
	}
	return append(b, 0)
}

func at(addrs ...string) []dnsRecord {
	var records []dnsRecord
	for _, a := range addrs {
		records = append(records, dnsRecord{addr: netip.MustParseAddr(a)})
	}
	return records
}

func alias(name string) []dnsRecord { return []dnsRecord{{cname: name}} }

// Names are judged by what they resolve to, whatever they are called and by whatever way they get there.
func TestGuardJudgesWhatANameResolvesTo(t *testing.T) {
	z := &zone{records: map[string][]dnsRecord{
		"metadata.google.internal":   at("169.254.169.254"),
		"instance-data.ec2.internal": at("169.254.169.254", "fd00:ec2::254"),
		"loopback.test":              at("127.0.0.1"),
		"loopback6.test":             at("::1"),
		"localtest.me":               at("127.0.0.1", "::1"), // a real name does this
		"alias-to-localhost.test":    alias("localhost"),
		"localhost":                  at("127.0.0.1", "::1"),
		"alias-of-alias.test":        alias("alias-to-private.test"),
		"alias-to-private.test":      alias("db.corp.test"),
		"db.corp.test":               at("10.0.0.5"),
		"unspecified.test":           at("0.0.0.0", "::"),
		"mapped.test":                at("::ffff:127.0.0.1"),
		"compatible.test":            at("::127.0.0.1"),
		"nat64.test":                 at("64:ff9b::a9fe:a9fe"),
		"6to4.test":                  at("2002:7f00:1::"),
		"teredo.test":                at("2001:0:4136:e378:8000:63bf:3fff:fdd2"),
		"isatap.test":                at("2606:4700::5efe:a00:5"),
		"private6.test":              at("fd12:3456::1"),
		"link-local.test":            at("fe80::1"),
		"all-of-them.test":           at("10.0.0.1", "172.16.0.1", "192.168.0.1", "fd00::1", "169.254.169.254", "127.0.0.53"),
		"router.test":                at("192.168.1.1"),
		"azure.test":                 at("168.63.129.16"),
		"broadcast.test":             at("255.255.255.255"),
	}}
	g := NewGuard(GuardConfig{})
	g.resolver = z.resolver()
	s := newSender(t, func(c *SenderConfig) { c.Guard = g })
	for name := range z.records {
		if name == "localhost" {
			continue // refused at registration already
		}
		t.Run(name, func(t *testing.T) {
			for _, host := range []string{name, name + ".", strings.ToUpper(name)} {
				before := z.queries.Load()
				if err := g.CheckURL("http://" + host + "/"); err != nil {
					t.Errorf("registering %s: %v; a name is judged when it is dialled", host, err)
				}
				if z.queries.Load() != before {
					t.Errorf("registering %s asks the DNS", host)
				}
				if _, err := g.DialContext(t.Context(), "tcp", net.JoinHostPort(host, "80")); !errors.Is(err, ErrBlocked) {
					t.Errorf("dialling %s: %v, want it blocked", host, err)
				}
				if z.queries.Load() == before {
					t.Errorf("dialling %s did not ask the zone", host)
				}
				for _, scheme := range []string{"http://", "https://"} {
					got := s.Send(t.Context(), attemptOn(scheme+host+"/"))
					if got.Attempt.Outcome != event.ErrBlocked || !errors.Is(got.Err, ErrBlocked) {
						t.Errorf("sending to %s%s: %+v", scheme, host, got)
					}
				}
			}
		})
	}
}

// Of several addresses the one that is refused is not dialled, wherever it stands, and does not keep the other from being.
func TestGuardPassesOverTheBlockedOfSeveralAddresses(t *testing.T) {
	_, addr := sink(t, func(http.ResponseWriter, *http.Request) {})
	open, port := addr.Addr().String(), portOf(addr)
	z := &zone{records: map[string][]dnsRecord{
		"first.test":  at("127.0.0.53", open),
		"last.test":   at(open, "127.0.0.53"),
		"among.test":  at("10.0.0.1", open, "169.254.169.254"),
		"family.test": at("::1", open, "fd00::1"),
	}}
	// The test server's own address stands for a public one; the rest of loopback is closed.
	g := NewGuard(GuardConfig{Allow: []netip.Prefix{netip.PrefixFrom(addr.Addr(), addr.Addr().BitLen())}})
	g.resolver = z.resolver()
	for name := range z.records {
		conn, err := g.DialContext(t.Context(), "tcp", net.JoinHostPort(name, port))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := remoteAddr(conn); got != addr.Addr() {
			t.Errorf("%s led to %s", name, got)
		}
		_ = conn.Close()
	}
}

// What the transport dials is what was judged: the host of an accepted URL goes to the dialler as it stands, whatever else the
// URL holds, and one that is an address is an address that is open.
func TestDialledHostIsTheJudgedHost(t *testing.T) {
	g := NewGuard(GuardConfig{})
	for raw, want := range map[string]string{
		// The host of these is the public one to some parser, and the inner one to another. Either it is refused, or the
		// public one is what is dialled.
		"http://8.8.8.8@127.0.0.1/":                   "",
		"http://8.8.8.8:80@127.0.0.1:80/":             "",
		"http://8.8.8.8%40127.0.0.1/":                 "",
		"http://127.0.0.1@8.8.8.8/":                   "8.8.8.8:80",
		"http://127.0.0.1:6379@8.8.8.8/":              "8.8.8.8:80",
		"http://127.0.0.1%2f@8.8.8.8/":                "8.8.8.8:80",
		"http://8.8.8.8#@127.0.0.1/":                  "8.8.8.8:80",
		"http://8.8.8.8?@127.0.0.1/":                  "8.8.8.8:80",
		"http://8.8.8.8/@127.0.0.1/":                  "8.8.8.8:80",
		"http://8.8.8.8\\@127.0.0.1/":                 "",
		"http://127.0.0.1\\@8.8.8.8/":                 "",
		"http://8.8.8.8 @127.0.0.1/":                  "",
		"http://1.1.1.1 &@127.0.0.1# @8.8.8.8/":       "",
		"http://8.8.8.8:80:127.0.0.1/":                "",
		"http://8.8.8.8:80@[::1]/":                    "",
		"http://[::1]@8.8.8.8/":                       "",
		"http://[::1]8.8.8.8/":                        "",
		"http://[8.8.8.8]/":                           "",
		"http://[::ffff:8.8.8.8]/":                    "8.8.8.8:80",
		"http://[::ffff:808:808]:81/":                 "8.8.8.8:81",
		"http://[::1].example.com/":                   "",
		"http://[::1%25]/":                            "",
		"http://[::1%2525lo]/":                        "",
		"http://[2606:4700::1/":                       "",
		"http://2606:4700::1/":                        "",
		"http://8.8.8.8%00.example.com/":              "",
		"http://8.8.8.8\x00/":                         "",
		"http://8.8.8.8\r\nHost: 127.0.0.1/":          "",
		"http://8.8.8.8\t/":                           "",
		"http:///127.0.0.1/":                          "",
		"http:/127.0.0.1/":                            "",
		"http:\\\\127.0.0.1/":                         "",
		"//127.0.0.1/":                                "",
		"\thttp://127.0.0.1/":                         "",
		"HTTP://127.0.0.1/":                           "",
		"HTTPS://8.8.8.8/":                            "8.8.8.8:443",
		"http://8.8.8.8:0127/":                        "8.8.8.8:0127", // a port is decimal to Go's resolver too
		"http://8.8.8.8:65536/":                       "",
		"http://8.8.8.8:99999999999999999999/":        "",
		"http://8.8.8.8:-1/":                          "",
		"http://8.8.8.8:+80/":                         "",
		"http://8.8.8.8:0x50/":                        "",
		"http://8.8.8.8:８０/":                          "",
		"http://8.8.8.8:/":                            "8.8.8.8:80",
		"https://8.8.8.8.:/":                          "8.8.8.8:443",
		"http://0x08080808/":                          "8.8.8.8:80",
		"http://010.8.8.8/":                           "8.8.8.8:80",
		"http://8.0x80808/":                           "8.8.8.8:80",
		"http://134744072:8080/":                      "8.8.8.8:8080",
		"http://127.0.0.1.example.com/":               "127.0.0.1.example.com:80",
		"http://example.com./":                        "example.com.:80",
		"http://example.com../":                       "",
		"http://.example.com/":                        "",
		"http://example..com/":                        "",
		"http://./":                                   "",
		"http://../":                                  "",
		"http://１６９.２５４.１６９.２５４/":                     "", // fullwidth digits
		"http://169．254．169．254/":                     "", // fullwidth full stops
		"http://169。254。169。254/":                     "", // ideographic full stops
		"http://169｡254｡169｡254/":                     "", // halfwidth ideographic full stops
		"http://①②⑦.⓪.⓪.①/":                           "", // enclosed digits
		"http://𝟏𝟐𝟕.𝟎.𝟎.𝟏/":                           "", // mathematical digits
		"http://١٢٧.٠.٠.١/":                           "", // Arabic-Indic digits
		"http://loc\u00ADalhost/":                     "", // a soft hyphen, which mapping drops
		"http://lo\u200Dcalhost/":                     "", // a joiner
		"http://localho\u017Ft/":                      "", // a long s, which case folding makes an s
		"http://ʟocalhost/":                           "",
		"http://%6c%6f%63%61%6c%68%6f%73%74/":         "",
		"http://127%2E0%2E0%2E1/":                     "",
		"http://%31%32%37.0.0.1/":                     "",
		"http://%EF%BC%91%EF%BC%92%EF%BC%97.0.0.1/":   "",
		"http://xn--localhost-/":                      "xn--localhost-:80", // a name that resolves to nothing
		"http://0/":                                   "",
		"http://00000/":                               "",
		"http://0x/":                                  "",
		"http://127.1/":                               "",
		"http://127.0.1/":                             "",
		"http://0177.1/":                              "",
		"http://0x7f.1/":                              "",
		"http://0x7F.0X0.0x0.0X1/":                    "",
		"http://0300.0250.1/":                         "", // 192.168.0.1
		"http://0xc0a80001/":                          "",
		"http://3232235521/":                          "",
		"http://192.168.1/":                           "",
		"http://10.1/":                                "",
		"http://0xA9FEA9FE/":                          "",
		"http://2852039166./":                         "",
		"http://169.254.43518/":                       "",
		"http://0251.254.169.254/":                    "",
		"http://169.0xfea9fe/":                        "",
		"http://000000000000000000000000251.16689662": "",
		"http://4294967296/":                          "", // beyond 32 bits: some resolvers wrap
		"http://4294967297/":                          "",
		"http://18446744073709551617/":                "",
		"http://256.0.0.1/":                           "",
		"http://127.0.0.256/":                         "",
		"http://127.0.0.1.0/":                         "",
		"http://0127.0.0.09/":                         "",
		"http://127.0.0.1e0/":                         "127.0.0.1e0:80", // its last label is no number: a name
		"http://[::ffff:127.0.0.1]/":                  "",
		"http://[0:0:0:0:0:ffff:7f00:0001]/":          "",
		"http://[::]/":                                "",
		"http://[0000::1]/":                           "",
		"http://[::127.0.0.1]/":                       "",
		"http://[64:ff9b::10.0.0.1]/":                 "",
		"http://[64:ff9b:1::8.8.8.8]/":                "",
		"http://[64:ff9b::8.8.8.8]/":                  "[64:ff9b::808:808]:80",
	} {
		dialled := ""
		record := func(_ context.Context, _, addr string) (net.Conn, error) {
			dialled = addr
			host, port, err := net.SplitHostPort(addr)
			if err != nil {
				t.Fatal(err)
			}
			// As DialContext does it.
			if literal, ok, err := parseLiteral(host); err == nil && ok {
				dialled = netip.AddrPortFrom(literal.Unmap(), 0).Addr().String()
				dialled = net.JoinHostPort(dialled, port)
				if err := g.check(literal); err != nil {
					t.Errorf("%q is accepted, and dials %s: %v", raw, addr, err)
				}
			}
			return nil, errors.New("not dialled")
		}
		if err := g.CheckURL(raw); err != nil {
			if want != "" {
				t.Errorf("%q: %v, want %s dialled", raw, err, want)
			}
			continue
		}
		s := newSender(t, nil)
		s.transport = newTransport(dialer{record, &tls.Config{MinVersion: tls.VersionTLS12}})
		s.Send(t.Context(), attemptOn(raw))
		if dialled != want {
			t.Errorf("%q dials %q, want %q", raw, dialled, want)
		}
	}
}

// Whatever goes out for a webhook goes by the guard: deliveries, those with a client's certificate, requests for consent,
// and for tokens.
func TestEveryRequestForAWebhookIsGuarded(t *testing.T) {
	var requests sync.Map
	server, addr := sink(t, func(_ http.ResponseWriter, r *http.Request) { requests.Store(r.Method+" "+r.URL.Path, true) })
	z := &zone{records: map[string][]dnsRecord{"inner.test": at(addr.Addr().String())}}
	g := NewGuard(GuardConfig{})
	g.resolver = z.resolver()
	s := newSender(t, func(c *SenderConfig) { c.Guard = g })
	inner := "http://" + net.JoinHostPort("inner.test", portOf(addr))
	certificate := clientAuth(t, newAuthority(t), "client")
	for name, change := range map[string]func(*event.Webhook){
		"a delivery":                           func(w *event.Webhook) { w.URL = inner },
		"a delivery to a literal address":      func(w *event.Webhook) { w.URL = server.URL },
		"a delivery over TLS":                  func(w *event.Webhook) { w.URL = "https" + strings.TrimPrefix(inner, "http") },
		"a delivery with a client certificate": func(w *event.Webhook) { w.URL, w.Auth = inner, certificate },
		"a token": func(w *event.Webhook) {
			w.URL = "http://203.0.113.1/" // never reached: the token comes first
			w.Auth = event.Auth{Type: event.AuthOAuth2, TokenURL: inner + "/token", ClientID: "c", ClientSecret: "s"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := attemptOn("")
			change(r.Webhook)
			want := event.ErrBlocked
			if r.Webhook.Auth.Type == event.AuthOAuth2 {
				want = event.ErrAuth // there is no token to send
			}
			if got := s.Send(t.Context(), r); got.Attempt.Outcome != want || !errors.Is(got.Err, ErrBlocked) {
				t.Errorf("%+v", got)
			}
			var refusal *ConsentError
			if err := s.Handshake(t.Context(), r.Webhook); !errors.As(err, &refusal) || refusal.Outcome != want || !errors.Is(refusal.Err, ErrBlocked) {
				t.Errorf("asking for consent: %v", err)
			}
		})
	}
	requests.Range(func(request, _ any) bool { t.Errorf("%s arrived", request); return true })
}
