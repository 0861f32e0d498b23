package transport

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// serveWith serves a handler as the gateway is served, and returns a connection to it.
func serveWith(t *testing.T, h http.HandlerFunc) (net.Conn, *bufio.Reader) {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	s.Config = NewServer(ServerConfig{Handler: h, MaxHeader: 64 << 10, Log: slog.New(slog.DiscardHandler)})
	s.Start()
	t.Cleanup(s.Close)
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	// A server that waits for a body which is not coming gives up after all of bodyGrace.
	if err := conn.SetReadDeadline(time.Now().Add(bodyGrace / 2)); err != nil {
		t.Fatal(err)
	}
	return conn, bufio.NewReader(conn)
}

func readAnswer(t *testing.T, from *bufio.Reader) (int, string) {
	t.Helper()
	res, err := http.ReadResponse(from, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

const expecting = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"

func TestARefusalAsksForNoBody(t *testing.T) {
	conn, from := serveWith(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	if _, err := io.WriteString(conn, expecting); err != nil {
		t.Fatal(err)
	}
	if status, _ := readAnswer(t, from); status != http.StatusForbidden {
		t.Errorf("status %d", status)
	}
}

func TestABodyThatIsReadIsAskedFor(t *testing.T) {
	conn, from := serveWith(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		fmt.Fprint(w, string(body), err)
	})
	if _, err := io.WriteString(conn, expecting); err != nil {
		t.Fatal(err)
	}
	if status, _ := readAnswer(t, from); status != http.StatusContinue {
		t.Fatalf("status %d", status)
	}
	if _, err := io.WriteString(conn, "body"); err != nil {
		t.Fatal(err)
	}
	if status, body := readAnswer(t, from); status != http.StatusOK || body != "body<nil>" {
		t.Errorf("status %d, %q", status, body)
	}
}
