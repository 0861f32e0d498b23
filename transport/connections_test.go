package transport

import (
	"bufio"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// patience is how long a test waits for what should come at once.
const patience = 30 * time.Second

// bounded is a server on loopback whose connections are bounded.
type bounded struct {
	*Connections
	address string
}

func serveBounded(t *testing.T, b Bounds, settings *tls.Config, h http.HandlerFunc) *bounded {
	t.Helper()
	b.CountLoopback = true
	all := NewConnections(b, prometheus.NewRegistry())
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	server := NewServer(ServerConfig{Handler: h, TLS: settings, MaxHeader: 64 << 10, Log: slog.New(slog.DiscardHandler)})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if settings != nil {
			_ = server.ServeTLS(all.Listener(l, true), "", "")
		} else {
			_ = server.Serve(all.Listener(l, false))
		}
	}()
	t.Cleanup(func() {
		server.Close()
		<-ended
	})
	return &bounded{all, l.Addr().String()}
}

// dial connects, and reports whether the server let it be.
func (b *bounded) dial(t *testing.T) (net.Conn, bool) {
	t.Helper()
	before := b.count()
	refused := b.refusals(t)
	conn, err := net.Dial("tcp", b.address)
	if err != nil {
		return nil, false // reset before it was known here to be open
	}
	t.Cleanup(func() { conn.Close() })
	b.await(t, func() bool { return b.count() > before || b.refusals(t) > refused })
	return conn, b.refusals(t) == refused
}

func (b *bounded) refusals(t *testing.T) (n float64) {
	for _, reason := range []string{refusedTotal, refusedAddress, refusedHandshakes} {
		n += testutil.ToFloat64(b.refused.WithLabelValues(reason))
	}
	return n
}

func (b *bounded) await(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited for too long; %d connections are open", b.count())
		}
	}
}

// What is over the bound is closed, and each that closes makes room for one.
func TestConnectionsAreBounded(t *testing.T) {
	for reason, bounds := range map[string]Bounds{refusedTotal: {Total: 3}, refusedAddress: {PerAddress: 3}} {
		b := serveBounded(t, bounds, nil, func(http.ResponseWriter, *http.Request) {})
		var open []net.Conn
		for range 3 {
			conn, ok := b.dial(t)
			if !ok {
				t.Fatalf("%s: refused with %d open", reason, b.count())
			}
			open = append(open, conn)
		}
		conn, ok := b.dial(t)
		if ok {
			t.Errorf("%s: one too many was let in", reason)
		}
		if conn != nil {
			if _, err := conn.Read(make([]byte, 1)); err == nil {
				t.Errorf("%s: a refused connection is served", reason)
			}
		}
		if n := testutil.ToFloat64(b.refused.WithLabelValues(reason)); n != 1 {
			t.Errorf("%s: %v were counted as refused", reason, n)
		}
		open[0].Close()
		b.await(t, func() bool { return b.count() == 2 })
		if _, ok := b.dial(t); !ok {
			t.Errorf("%s: refused although one has left", reason)
		}
	}
}

// A connection that a stream has taken over counts until the stream closes it, and is counted down once however often it
// is closed.
func TestTakenConnectionsCount(t *testing.T) {
	taken := make(chan net.Conn, 1)
	b := serveBounded(t, Bounds{Total: 10}, nil, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
		}
		if _, ok := conn.(interface{ CloseWrite() error }); !ok {
			t.Errorf("a %T cannot be closed for writing", conn)
		}
		taken <- conn
	})
	client, _ := b.dial(t)
	if _, err := io.WriteString(client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	conn := <-taken
	other, _ := b.dial(t)
	if n := b.count(); n != 2 {
		t.Errorf("%d connections are open", n)
	}
	conn.Close()
	conn.Close()
	if n := b.count(); n != 1 {
		t.Errorf("%d connections are open after one was closed twice", n)
	}
	other.Close()
	b.await(t, func() bool { return b.count() == 0 })
	if n := len(b.open.by); n != 0 {
		t.Errorf("%d addresses are remembered", n)
	}
}

// Who does not finish the handshake is one of few; who has brought a request makes room for the next.
func TestHandshakesAreBounded(t *testing.T) {
	certFile, keyFile := writePair(t, t.TempDir(), "gateway.test", time.Now().Add(time.Hour))
	pair, err := LoadPair(certFile, keyFile, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	b := serveBounded(t, Bounds{HandshakesPerAddress: 2}, TLSConfig(pair, prometheus.NewRegistry()), func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil {
			t.Error("no TLS")
		}
	})
	silent, _ := b.dial(t)
	for _, proto := range []string{"h2", "http/1.1"} {
		raw, ok := b.dial(t)
		if !ok {
			t.Fatalf("%s: refused with one handshake under way", proto)
		}
		if _, ok := b.dial(t); ok {
			t.Errorf("%s: a third handshake was let in", proto)
		}
		secure := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{proto}})
		if err := secure.Handshake(); err != nil || secure.ConnectionState().NegotiatedProtocol != proto {
			t.Fatalf("%s: %v, %q", proto, err, secure.ConnectionState().NegotiatedProtocol)
		}
		first := "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
		if proto == "h2" {
			first = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"
		}
		if _, err := io.WriteString(secure, first); err != nil {
			t.Fatal(err)
		}
		b.await(t, func() bool {
			b.mu.Lock()
			defer b.mu.Unlock()
			return b.young.all == 1
		})
	}
	silent.Close()
	b.await(t, func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.young.all == 0 && b.open.all == 2
	})
}

func TestWhatAConnectionIsCountedAs(t *testing.T) {
	c := NewConnections(Bounds{Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}}, prometheus.NewRegistry())
	for remote, want := range map[string]string{
		"203.0.113.9:1": "203.0.113.9", "[::ffff:203.0.113.9]:1": "203.0.113.9", "[2001:db8:1:2:3:4:5:6]:1": "2001:db8:1:2::",
		"127.0.0.1:1": "", "127.9.9.9:1": "", "[::1]:1": "", "10.1.2.3:1": "", "[::ffff:10.1.2.3]:1": "", "[fd00::1]:1": "", "[fe80::1%1]:1": "fe80::",
	} {
		got := c.counted(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(remote)))
		if want == "" && got.IsValid() || want != "" && got.String() != want {
			t.Errorf("%s: %s, want %q", remote, got, want)
		}
	}
}

// Clients cannot fill the log.
func TestLogIsQuiet(t *testing.T) {
	var said strings.Builder
	q := &quietLog{log: slog.New(slog.NewTextHandler(&said, nil))}
	for range 1000 {
		for _, line := range []string{"http: TLS handshake error from 203.0.113.9:1: EOF\n", "http: something is wrong\n"} {
			if n, err := io.WriteString(q, line); n != len(line) || err != nil {
				t.Fatal(n, err)
			}
		}
	}
	if n := strings.Count(said.String(), "\n"); n != linesPerMinute || strings.Contains(said.String(), "handshake") {
		t.Errorf("%d lines:\n%s", n, &said)
	}
	q.minute = q.minute.Add(-time.Hour)
	if _, err := io.WriteString(q, "again\n"); err != nil || !strings.Contains(said.String(), "msg=again lines_left_out=990") {
		t.Errorf("%v:\n%s", err, &said)
	}
}

// A client that speaks HTTP where TLS is spoken is told so.
func TestPlainHTTPOverTLS(t *testing.T) {
	certFile, keyFile := writePair(t, t.TempDir(), "gateway.test", time.Now().Add(time.Hour))
	pair, err := LoadPair(certFile, keyFile, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	b := serveBounded(t, Bounds{}, TLSConfig(pair, prometheus.NewRegistry()), func(http.ResponseWriter, *http.Request) { t.Error("served") })
	conn, _ := b.dial(t)
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if status, _ := readAnswer(t, bufio.NewReader(conn)); status != http.StatusBadRequest {
		t.Errorf("status %d", status)
	}
}
