package dispatch

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carillon/carillon/event"
)

// What receivers do that mean harm, or do by mistake. Each test says what comes of it, and that it takes no longer than
// the webhook's timeout. More of them: redirects, answers of all sizes and those that would unpack to more are in
// send_test.go, names that change their addresses and spellings of addresses in guard_test.go.

// hostile is a webhook at the other end of pipes, which hold nothing: what it has written, the sender has read. In a
// bubble, where it belongs, no time passes but that which both sides wait for.
type hostile struct {
	serve   func(net.Conn)
	dials   atomic.Int64
	written atomic.Int64
	running sync.WaitGroup
}

type countingConn struct {
	net.Conn
	written *atomic.Int64
}

func (c countingConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.written.Add(int64(n))
	return n, err
}

func (r *hostile) connect(context.Context, string, string) (net.Conn, error) {
	r.dials.Add(1)
	client, server := net.Pipe()
	r.running.Go(func() {
		defer func() { _ = server.Close() }()
		r.serve(countingConn{server, &r.written})
	})
	return client, nil
}

// sender makes a sender that reaches the receiver whatever the URL, and trusts a.
func (r *hostile) sender(t *testing.T, pool *x509.CertPool) *Sender {
	t.Cleanup(r.running.Wait)
	s := newSender(t, nil)
	s.transport = newTransport(dialer{r.connect, &tls.Config{RootCAs: pool, NextProtos: []string{"h2", "http/1.1"}}})
	return s
}

// attack makes an attempt on a receiver within 15 seconds.
func attack(t *testing.T, r *hostile) Response {
	t.Helper()
	request := attemptOn("http://127.0.0.1/")
	request.Webhook.Timeout = event.DefaultTimeout
	return r.sender(t, nil).Send(t.Context(), request)
}

// trickle writes a text at a byte a second.
func trickle(c net.Conn, text string) {
	for i := range len(text) {
		time.Sleep(time.Second)
		if _, err := io.WriteString(c, text[i:i+1]); err != nil {
			return
		}
	}
}

// untilClosed takes what the sender sends, and says nothing.
func untilClosed(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// endless writes a text again and again.
func endless(c net.Conn, text string) {
	for {
		if _, err := io.WriteString(c, text); err != nil {
			return
		}
	}
}

func wantTimeout(t *testing.T, got Response, status int) {
	t.Helper()
	if got.Attempt.Outcome != event.ErrTimeout || got.Attempt.Status != status || got.Err == nil || got.Interrupted {
		t.Errorf("%+v, want a timeout with status %d", got, status)
	}
	if got.Attempt.Duration != event.DefaultTimeout {
		t.Errorf("it took %v, want %v", got.Attempt.Duration, event.DefaultTimeout)
	}
}

func TestHostileTrickledBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := attack(t, &hostile{serve: func(c net.Conn) {
			readRequest(c)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
			trickle(c, strings.Repeat("-", 1000))
		}})
		wantTimeout(t, got, 200)
		if n := len(got.Attempt.Answer); n < 13 || n > 15 {
			t.Errorf("%d bytes of the answer are kept", n)
		}
	})
}

func TestHostileTrickledHead(t *testing.T) {
	for name, head := range map[string]string{
		"status line": "HTTP/1.1 200 OK and so on and so on",
		"header":      strings.Repeat("X: y\r\n", 100),
		"early hints": strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 100),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := attack(t, &hostile{serve: func(c net.Conn) {
					readRequest(c)
					if name == "header" {
						_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n")
					}
					trickle(c, head)
				}})
				wantTimeout(t, got, 0)
			})
		})
	}
}

func TestHostileSilence(t *testing.T) {
	for name, serve := range map[string]func(net.Conn){
		"never answers":           untilClosed,
		"never reads the request": func(c net.Conn) { time.Sleep(time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { wantTimeout(t, attack(t, &hostile{serve: serve}), 0) })
		})
	}
	t.Run("after its head", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			got := attack(t, &hostile{serve: func(c net.Conn) {
				readRequest(c)
				_, _ = io.WriteString(c, "HTTP/1.1 503 Later\r\nContent-Length: 1\r\n\r\n")
				untilClosed(c)
			}})
			wantTimeout(t, got, 503)
		})
	})
	t.Run("after switching protocols", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			got := attack(t, &hostile{serve: func(c net.Conn) {
				readRequest(c)
				_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
				untilClosed(c)
			}})
			if got.Attempt.Outcome != event.ErrReset || got.Attempt.Status != 101 || got.Err == nil || got.Attempt.Duration != 0 {
				t.Errorf("%+v", got)
			}
		})
	})
}

func TestHostileTLSHandshake(t *testing.T) {
	for name, serve := range map[string]func(net.Conn){
		"silent": untilClosed,
		"trickled": func(c net.Conn) {
			go untilClosed(c)
			trickle(c, "\x16\x03\x03\x40\x00\x02\x00\x3f\xfc"+strings.Repeat("\x00", 1000))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &hostile{serve: serve}
				request := attemptOn("https://127.0.0.1/")
				request.Webhook.Timeout = event.DefaultTimeout
				wantTimeout(t, r.sender(t, nil).Send(t.Context(), request), 0)
			})
		})
	}
}

// How much is read of what never ends.
func TestHostileEndless(t *testing.T) {
	for name, c := range map[string]struct {
		serve    func(net.Conn)
		want     event.Outcome
		status   int
		mostRead int64
	}{
		"body": {
			func(c net.Conn) {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
				endless(c, strings.Repeat("b", 1000))
			},
			event.Success, 200, maxAnswerRead + 16<<10,
		},
		"body that fails": {
			func(c net.Conn) {
				_, _ = io.WriteString(c, "HTTP/1.1 500 Oh\r\n\r\n")
				endless(c, strings.Repeat("b", 1000))
			},
			event.ErrStatus5xx, 500, maxAnswerRead + 16<<10,
		},
		"chunks": {
			func(c net.Conn) {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
				endless(c, "1\r\nb\r\n")
			},
			event.Success, 200, 6*maxAnswerRead + 16<<10,
		},
		"length of a chunk": {
			func(c net.Conn) {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
				endless(c, "0000")
			},
			event.ErrReset, 200, 16 << 10,
		},
		// 16 bytes a chunk are free, whatever their extensions say; net/http gives up on an excess of those.
		"extensions of chunks": {
			func(c net.Conn) {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
				endless(c, "1;"+strings.Repeat("e", 1000)+"\r\nb\r\n")
			},
			event.ErrReset, 200, maxAnswerRead,
		},
		"trailer": {
			func(c net.Conn) {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n0\r\n")
				endless(c, "X: "+strings.Repeat("t", 100)+"\r\n")
			},
			event.ErrReset, 200, 16 << 10,
		},
		"head": {
			func(c net.Conn) {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n")
				endless(c, "X-A: "+strings.Repeat("a", 100)+"\r\n")
			},
			event.ErrReset, 0, maxAnswerHeader + 16<<10,
		},
		"header": {
			func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nX-A: "); endless(c, "aaaaaaaaaa") },
			event.ErrReset, 0, maxAnswerHeader + 16<<10,
		},
		"status line":  {func(c net.Conn) { endless(c, "HTTP/1.1 200 OK") }, event.ErrReset, 0, maxAnswerHeader + 16<<10},
		"early hints":  {func(c net.Conn) { endless(c, "HTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\n") }, event.ErrReset, 0, maxAnswerHeader + 16<<10},
		"continuation": {func(c net.Conn) { endless(c, "HTTP/1.1 100 Continue\r\n\r\n") }, event.ErrReset, 0, maxAnswerHeader + 16<<10},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &hostile{serve: func(conn net.Conn) { readRequest(conn); c.serve(conn) }}
				got := attack(t, r)
				if got.Attempt.Outcome != c.want || got.Attempt.Status != c.status || got.Interrupted {
					t.Errorf("%+v", got)
				}
				if got.Attempt.Duration != 0 {
					t.Errorf("it waited for %v", got.Attempt.Duration)
				}
				// The second request of an attempt, on another connection, may cost as much again.
				if n, dials := r.written.Load(), r.dials.Load(); n > c.mostRead*dials || dials > 2 {
					t.Errorf("%d bytes were read on %d connections, want at most %d on each", n, dials, c.mostRead)
				}
			})
		})
	}
}

// Answers that break off, or are no HTTP.
func TestHostileBrokenAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		answer string // after which the connection is closed
		want   event.Outcome
		status int
		kept   string
	}{
		"nothing":               {"", event.ErrReset, 0, ""},
		"half a status line":    {"HTTP/1.1 20", event.ErrReset, 0, ""},
		"half a head":           {"HTTP/1.1 200 OK\r\nContent-", event.ErrReset, 0, ""},
		"a head without length": {"HTTP/1.1 200 OK\r\n\r\n", event.Success, 200, ""}, // the end says where it ends (RFC 9112, 6.3)
		"no body":               {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", event.ErrReset, 200, ""},
		"half a body":           {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", event.ErrReset, 200, "abc"},
		"half of the chunks":    {"HTTP/1.1 410 Gone\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", event.ErrReset, 410, "abc"},
		"a trailer":             {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n", event.Success, 200, "abc"},
		"half a trailer":        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n", event.ErrReset, 200, "abc"},
		"two lengths":           {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", event.ErrReset, 0, ""},
		"a negative length":     {"HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\nabcd", event.ErrReset, 0, ""},
		"no such status":        {"HTTP/1.1 99 Hm\r\nContent-Length: 0\r\n\r\n", event.ErrReset, 0, ""},
		"another protocol":      {"220 smtp ready\r\n\r\n", event.ErrReset, 0, ""},
		"switched protocols":    {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", event.ErrReset, 101, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &hostile{serve: func(conn net.Conn) { readRequest(conn); _, _ = io.WriteString(conn, c.answer) }}
				s := r.sender(t, nil)
				for _, whole := range []bool{false, true} {
					request := attemptOn("http://127.0.0.1/")
					request.Whole = whole
					got := s.Send(t.Context(), request)
					if got.Attempt.Outcome != c.want || got.Attempt.Status != c.status || string(got.Attempt.Answer) != c.kept {
						t.Errorf("whole %v: %+v", whole, got)
					}
					if whole && c.want == event.Success && string(got.Body) != c.kept || c.want != event.Success && got.Body != nil {
						t.Errorf("whole %v: body %q", whole, got.Body)
					}
				}
			})
		})
	}
}

// A reset is not the orderly end that closing is: over TCP, since a pipe knows no resets.
func TestHostileResets(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		unread bool
		status int
	}{
		"at once":              {"", true, 0},
		"after the request":    {"", false, 0},
		"in the head":          {"HTTP/1.1 200 OK\r\nX-A: b\r\n", false, 0},
		"in the body":          {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc", false, 200},
		"in a body of no size": {"HTTP/1.1 200 OK\r\n\r\nabc", false, 200},
	} {
		t.Run(name, func(t *testing.T) {
			addr := rawServer(t, func(conn net.Conn) {
				if !c.unread {
					readRequest(conn)
				}
				_, _ = io.WriteString(conn, c.answer)
				_ = conn.(*net.TCPConn).SetLinger(0)
			})
			got := newSender(t, nil).Send(t.Context(), attemptOn("http://"+addr))
			// What was sent just before a reset may be lost with it.
			if o := got.Attempt.Outcome; o != event.ErrReset && (o != event.ErrConnect || !c.unread) || got.Err == nil {
				t.Errorf("%+v", got)
			}
			if got.Attempt.Status != c.status && got.Attempt.Status != 0 {
				t.Errorf("status %d, want %d", got.Attempt.Status, c.status)
			}
		})
	}
}

func TestHostileRedirectToMetadata(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &hostile{serve: func(c net.Conn) {
			readRequest(c)
			_, _ = io.WriteString(c, "HTTP/1.1 307 Elsewhere\r\nLocation: http://169.254.169.254/latest/meta-data/\r\nContent-Length: 0\r\n\r\n")
		}}
		got := attack(t, r)
		if got.Attempt.Outcome != event.ErrStatus3xx || got.Attempt.Status != 307 || r.dials.Load() != 1 {
			t.Errorf("%+v after %d dials", got, r.dials.Load())
		}
	})
}

// The name was fine when the webhook was registered, and for its first delivery.
func TestHostileNameChangesItsAddress(t *testing.T) {
	_, addr := sink(t, func(http.ResponseWriter, *http.Request) {})
	// The test server's own address stands for a public one; the rest of loopback is closed.
	g := NewGuard(GuardConfig{Allow: []netip.Prefix{netip.PrefixFrom(addr.Addr(), addr.Addr().BitLen())}})
	g.resolver = nameServer(func(n int) []string {
		if n == 1 {
			return []string{addr.Addr().String()}
		}
		return []string{[]string{"127.0.0.53", "169.254.169.254", "10.0.0.1"}[n%3]}
	})
	target := "http://" + net.JoinHostPort("rebind.test", portOf(addr))
	if err := g.CheckURL(target); err != nil {
		t.Fatal(err)
	}
	s := newSender(t, func(c *SenderConfig) { c.Guard = g })
	if got := s.Send(t.Context(), attemptOn(target)); got.Attempt.Outcome != event.Success {
		t.Fatalf("%+v", got)
	}
	for range 3 {
		s.transport.CloseIdleConnections()
		if got := s.Send(t.Context(), attemptOn(target)); got.Attempt.Outcome != event.ErrBlocked || !errors.Is(got.Err, ErrBlocked) {
			t.Errorf("%+v", got)
		}
	}
}

func TestHostileCertificates(t *testing.T) {
	trusted, stranger := newAuthority(t), newAuthority(t)
	s := newSender(t, func(c *SenderConfig) { c.RootCAs = trusted.pool() })
	for name, c := range map[string]struct {
		certificate tls.Certificate
		want        event.Outcome
	}{
		"good":        {trusted.issue(t, nil), event.Success},
		"expired":     {trusted.issue(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) }), event.ErrTLS},
		"of tomorrow": {trusted.issue(t, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(24 * time.Hour) }), event.ErrTLS},
		"another host's": {
			trusted.issue(t, func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"example.com"} }), event.ErrTLS,
		},
		"a client's": {
			trusted.issue(t, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }), event.ErrTLS,
		},
		"self-signed":     {(&authority{}).issue(t, nil), event.ErrTLS},
		"of no authority": {stranger.issue(t, nil), event.ErrTLS},
	} {
		t.Run(name, func(t *testing.T) {
			addr := rawServer(t, func(conn net.Conn) {
				server := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{c.certificate}})
				if server.HandshakeContext(t.Context()) != nil {
					return
				}
				readRequest(server)
				_, _ = io.WriteString(server, "HTTP/1.1 204 Fine\r\n\r\n")
			})
			got := s.Send(t.Context(), attemptOn("https://"+addr))
			if got.Attempt.Outcome != c.want || c.want == event.ErrTLS && got.Err == nil {
				t.Errorf("%+v", got)
			}
		})
	}
}

// An answer that comes before the request was read counts, and ends the attempt; the connection is not used again.
func TestHostileAnswerBeforeTheBodyIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &hostile{serve: func(c net.Conn) {
			_, _ = io.ReadFull(c, make([]byte, 100))
			_, _ = io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
			time.Sleep(time.Hour) // reads nothing more
		}}
		s := r.sender(t, nil)
		request := attemptOn("http://127.0.0.1/")
		request.Event.Payload = make([]byte, 1<<20)
		for range 2 {
			got := s.Send(t.Context(), request)
			if got.Attempt.Outcome != event.ErrStatus4xx || got.Attempt.Status != 413 || string(got.Attempt.Answer) != "no" {
				t.Errorf("%+v", got)
			}
			if got.Attempt.Duration > time.Second {
				t.Errorf("it took %v", got.Attempt.Duration)
			}
			synctest.Wait()
		}
		if n := r.dials.Load(); n != 2 {
			t.Errorf("%d connections, want a new one for each attempt", n)
		}
	})
}

// A second answer behind the first is nobody's: it must not be taken for the next attempt's.
func TestHostileSmuggledAnswer(t *testing.T) {
	before := log.Writer()
	log.SetOutput(io.Discard) // net/http complains
	t.Cleanup(func() { log.SetOutput(before) })
	for name, more := range map[string]string{
		"in one piece": "",
		"later":        " ",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &hostile{}
				r.serve = func(c net.Conn) {
					const smuggled = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nsmugg"
					first := "HTTP/1.1 500 Oh\r\nContent-Length: 3\r\n\r\nown"
					for {
						if n, _ := c.Read(make([]byte, 64<<10)); n == 0 {
							return
						}
						if more == "" {
							_, _ = io.WriteString(c, first+smuggled)
							continue
						}
						_, _ = io.WriteString(c, first)
						time.Sleep(time.Second)
						_, _ = io.WriteString(c, smuggled)
					}
				}
				s := r.sender(t, nil)
				for i := range 3 {
					got := s.Send(t.Context(), attemptOn("http://127.0.0.1/"))
					if got.Attempt.Outcome != event.ErrStatus5xx || string(got.Attempt.Answer) != "own" {
						t.Errorf("attempt %d: %+v", i, got)
					}
					time.Sleep(2 * time.Second)
					synctest.Wait()
				}
				if n := r.dials.Load(); n != 3 {
					t.Errorf("%d connections, want a new one for each attempt", n)
				}
			})
		})
	}
}

// queuedConn takes what is written and passes it on later. On a pipe alone, two sides that both write first would wait for
// one another.
type queuedConn struct {
	net.Conn
	queue  chan []byte
	broken chan struct{}
}

func (c *queuedConn) Write(b []byte) (int, error) {
	select {
	case c.queue <- bytes.Clone(b):
		return len(b), nil
	case <-c.broken:
		return 0, io.ErrClosedPipe
	}
}

func queueing(raw net.Conn) (c *queuedConn, closeQueue func()) {
	c = &queuedConn{raw, make(chan []byte, 16), make(chan struct{})}
	done := make(chan struct{})
	go func() {
		defer close(c.broken)
		for {
			select {
			case b := <-c.queue:
				if _, err := raw.Write(b); err != nil {
					return
				}
			case <-done:
				return
			}
		}
	}()
	return c, func() { close(done); _ = raw.Close(); <-c.broken }
}

// What follows speaks HTTP/2 (RFC 9113) by hand: libraries behave.

const (
	frameHeaders, frameSettings, frameGoAway, frameContinuation = 1, 4, 7, 9

	http2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
)

func frame(kind, flags byte, stream uint32, payload []byte) []byte {
	b := []byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), kind, flags}
	return append(binary.BigEndian.AppendUint32(b, stream), payload...)
}

// overHTTP2 serves connections over TLS with HTTP/2, from behind the preface and the settings on. onHeaders is called
// for each request, and everything else the sender says is taken and not answered.
func overHTTP2(t *testing.T, onHeaders func(c net.Conn, stream uint32)) (*hostile, *x509.CertPool) {
	t.Helper()
	a := newAuthority(t)
	config := &tls.Config{Certificates: []tls.Certificate{a.issue(t, nil)}, NextProtos: []string{"h2"}}
	return &hostile{serve: func(raw net.Conn) {
		queue, closeQueue := queueing(raw)
		defer closeQueue()
		c := tls.Server(queue, config)
		if _, err := io.ReadFull(c, make([]byte, len(http2Preface))); err != nil {
			return
		}
		_, _ = c.Write(frame(frameSettings, 0, 0, nil))
		for {
			head := make([]byte, 9)
			if _, err := io.ReadFull(c, head); err != nil {
				return
			}
			size := int64(head[0])<<16 | int64(head[1])<<8 | int64(head[2])
			if _, err := io.CopyN(io.Discard, c, size); err != nil {
				return
			}
			switch kind, flags := head[3], head[4]; {
			case kind == frameSettings && flags == 0:
				_, _ = c.Write(frame(frameSettings, 1, 0, nil))
			case kind == frameHeaders:
				onHeaders(c, binary.BigEndian.Uint32(head[5:]))
			}
		}
	}}, a.pool()
}

func TestHostileHTTP2(t *testing.T) {
	ok := []byte{0x88} // :status 200
	literal := func(name, value string) []byte {
		return fmt.Appendf(nil, "\x00%c%s%c%s", len(name), name, len(value), value)
	}
	for name, c := range map[string]struct {
		onHeaders func(net.Conn, uint32)
		payload   int
		want      event.Outcome
		status    int
		took      time.Duration
		mostRead  int64
	}{
		"answers": {
			onHeaders: func(c net.Conn, stream uint32) { _, _ = c.Write(frame(frameHeaders, 5, stream, ok)) },
			want:      event.Success, status: 200, mostRead: 16 << 10,
		},
		"never opens its window": {
			onHeaders: func(net.Conn, uint32) {}, payload: 1 << 20,
			want: event.ErrTimeout, took: event.DefaultTimeout, mostRead: 16 << 10,
		},
		"goes away from each request": {
			onHeaders: func(c net.Conn, stream uint32) { _, _ = c.Write(frame(frameGoAway, 0, 0, make([]byte, 8))) },
			want:      event.ErrReset, took: -1, mostRead: 16 << 10,
		},
		"continues its head for ever": {
			onHeaders: func(c net.Conn, stream uint32) {
				go untilClosed(c)
				_, _ = c.Write(frame(frameHeaders, 0, stream, ok))
				block := bytes.Repeat(literal("x-a", strings.Repeat("a", 100)), 10)
				for {
					if _, err := c.Write(frame(frameContinuation, 0, stream, block)); err != nil {
						return
					}
				}
			},
			want: event.ErrReset, mostRead: 1 << 20,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, pool := overHTTP2(t, c.onHeaders)
				request := attemptOn("https://127.0.0.1/")
				request.Webhook.Timeout = event.DefaultTimeout
				request.Event.Payload = append(request.Event.Payload, make([]byte, c.payload)...)
				got := r.sender(t, pool).Send(t.Context(), request)
				if got.Attempt.Outcome != c.want || got.Attempt.Status != c.status {
					t.Errorf("%+v", got)
				}
				if c.took >= 0 && got.Attempt.Duration != c.took || got.Attempt.Duration > event.DefaultTimeout {
					t.Errorf("it took %v", got.Attempt.Duration)
				}
				if n, dials := r.written.Load(), r.dials.Load(); n > c.mostRead*dials || dials > 3 {
					t.Errorf("%d bytes were read on %d connections", n, dials)
				}
			})
		})
	}
}
