package stream_test

import (
	"bufio"
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/stream"
)

// transports are the ways in which a stream reaches its client: over a socket that the hub has taken over, and by
// net/http.
var transports = []struct {
	name  string
	start func(*httptest.Server)
}{
	{"HTTP/1.1", (*httptest.Server).Start},
	{"HTTP/1.1 with TLS", (*httptest.Server).StartTLS},
	{"HTTP/2", func(s *httptest.Server) { s.EnableHTTP2 = true; s.StartTLS() }},
}

// overEach runs a test over each of the transports. get opens a stream.
func overEach(t *testing.T, cfg stream.Config, test func(t *testing.T, log *memLog, hub *stream.Hub, end func(), get func() *http.Response)) {
	for _, transport := range transports {
		t.Run(transport.name, func(t *testing.T) {
			log := newMemLog()
			cfg.Log = log
			var said bytes.Buffer
			cfg.Logger = slog.New(slog.NewTextHandler(&said, nil))
			defer func() {
				if said.Len() > 0 {
					t.Errorf("logged %s", &said)
				}
			}()
			hub, end := startHub(t, cfg)
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				sub := subscribe("a")
				sub.Key = "key"
				sub.Start = stream.AfterID(r.Header.Get("Last-Event-ID"))
				if r.Header.Get("Last-Event-ID") == "" {
					sub.Start = stream.Start{}
				}
				if err := hub.Serve(w, r, sub); err != nil {
					t.Error(err)
				}
			}))
			// Deadlines for the whole of a request do not concern streams.
			server.Config.WriteTimeout = time.Second
			server.Config.ReadTimeout = time.Second
			transport.start(server)
			defer server.Close()
			defer end()
			test(t, log, hub, end, func() *http.Response {
				resp, err := server.Client().Get(server.URL)
				if err != nil {
					t.Fatal(err)
				}
				if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
					t.Fatalf("answered %s, %s", resp.Status, resp.Header.Get("Content-Type"))
				}
				return resp
			})
		})
	}
}

// awaitStreams waits until so many streams are open.
func awaitStreams(t testing.TB, hub *stream.Hub, want int) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		open := hub.Streams(tenantA, event.ID{}, 1000)
		if len(open) == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d streams are open, want %d: %+v", len(open), want, open)
		}
		time.Sleep(time.Millisecond)
	}
}

// The server's deadlines do not end a stream, one that is left is cleared away, and one that reads nothing at all is
// closed.
func TestDeadlines(t *testing.T) {
	cfg := stream.Config{WriteTimeout: 200 * time.Millisecond, Heartbeat: 100 * time.Millisecond}
	overEach(t, cfg, func(t *testing.T, log *memLog, hub *stream.Hub, _ func(), get func() *http.Response) {
		reading := get()
		p := newParser(reading.Body)
		for p.comments < 15 { // longer than the server would have allowed
			if _, err := p.block(); err != nil {
				t.Fatalf("the stream broke off after %d heartbeats: %v", p.comments, err)
			}
		}
		awaitStreams(t, hub, 1)
		reading.Body.Close()
		awaitStreams(t, hub, 0)
		stalled := get()
		defer stalled.Body.Close()
		for range 32 {
			log.append(tenantA, "a", make([]byte, 1<<20))
		}
		awaitStreams(t, hub, 0)
	})
}

// A stream that is silent for longer than its reader may stall is not one that has stalled.
func TestSilenceIsNoStall(t *testing.T) {
	cfg := stream.Config{WriteTimeout: 20 * time.Millisecond, Heartbeat: 500 * time.Millisecond}
	overEach(t, cfg, func(t *testing.T, _ *memLog, _ *stream.Hub, _ func(), get func() *http.Response) {
		resp := get()
		defer resp.Body.Close()
		p := newParser(resp.Body)
		for p.comments < 3 {
			if _, err := p.block(); err != nil {
				t.Fatalf("the stream broke off after %d heartbeats: %v", p.comments, err)
			}
		}
	})
}

// A reader that has stalled does not hold up the end of the hub: with the ordinary deadline this test would hang.
func TestEndDoesNotWaitForTheStalled(t *testing.T) {
	overEach(t, stream.Config{WriteTimeout: time.Hour}, func(t *testing.T, log *memLog, hub *stream.Hub, end func(), get func() *http.Response) {
		resp := get()
		defer resp.Body.Close()
		for range 32 { // more than the kernel's buffers take
			log.append(tenantA, "a", make([]byte, 1<<20))
		}
		end()
		awaitStreams(t, hub, 0)
	})
}

// What a stream gets is the same over each transport, to its last bytes.
func TestTransports(t *testing.T) {
	overEach(t, stream.Config{}, func(t *testing.T, log *memLog, hub *stream.Hub, end func(), get func() *http.Response) {
		resp := get()
		defer resp.Body.Close()
		p := newParser(resp.Body)
		if b, err := p.block(); err != nil || b.dispatched || b.id != event.Cursor(0).String() || p.retry == "" {
			t.Fatalf("opens with %+v, %v", b, err)
		}
		large := string(make([]byte, 3<<20))
		log.append(tenantA, "a", []byte("1"), []byte(large), []byte("3"))
		for _, want := range []string{"1", large, "3"} {
			if b, err := p.next(); err != nil || b.data != want {
				t.Fatalf("got %d bytes, %v, want %d", len(b.data), err, len(want))
			}
		}
		p.retry = ""
		end()
		rest, err := io.ReadAll(p.r)
		if err != nil || len(rest) == 0 || string(rest[:7]) != "retry: " {
			t.Errorf("ends with %q, %v", rest, err)
		}
	})
}

// A client that leaves in any way is noticed, and so is one that talks without end.
func TestClientsThatLeave(t *testing.T) {
	for name, leave := range map[string]func(*testing.T, *net.TCPConn){
		"closes": func(_ *testing.T, c *net.TCPConn) { c.Close() },
		"closes for writing": func(t *testing.T, c *net.TCPConn) {
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
		},
		"resets": func(t *testing.T, c *net.TCPConn) {
			if err := c.SetLinger(0); err != nil {
				t.Fatal(err)
			}
			c.Close()
		},
		"talks without end": func(_ *testing.T, c *net.TCPConn) {
			for range 1 << 10 {
				if _, err := c.Write(make([]byte, 1<<10)); err != nil {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			log := newMemLog()
			hub := runHub(t, stream.Config{Log: log})
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if err := hub.Serve(w, r, subscribe("a")); err != nil {
					t.Error(err)
				}
			}))
			defer server.Close()
			conn, err := net.Dial("tcp", server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			// What is said on the stream itself means nothing, also if it looks like another request.
			if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			awaitStreams(t, hub, 1)
			log.append(tenantA, "a", []byte("1"))
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil || !resp.Close {
				t.Fatalf("%v, close %t", err, resp.Close)
			}
			if b, err := newParser(resp.Body).next(); err != nil || b.data != "1" {
				t.Fatalf("got %+v, %v", b, err)
			}
			leave(t, conn.(*net.TCPConn))
			awaitStreams(t, hub, 0)
		})
	}
}
