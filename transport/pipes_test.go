package transport

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
)

// pipes is a listener whose connections are in memory, so that a test with the clock of synctest can use it.
type pipes struct {
	conns chan net.Conn
	ended chan struct{}
	once  sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.ended:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.ended) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// pipe serves a handler as the gateway is served, and returns a connection to it. It is closed when the test ends.
func pipe(t *testing.T, h http.HandlerFunc) (net.Conn, *bufio.Reader) {
	t.Helper()
	server := NewServer(ServerConfig{Handler: h, MaxHeader: 64 << 10, Log: slog.New(slog.DiscardHandler)})
	l := &pipes{conns: make(chan net.Conn), ended: make(chan struct{})}
	var running sync.WaitGroup
	running.Go(func() { _ = server.Serve(l) })
	client, other := net.Pipe()
	l.conns <- other
	t.Cleanup(func() {
		client.Close()
		server.Close()
		running.Wait()
	})
	return client, bufio.NewReader(client)
}

// say writes to a server that may have stopped listening.
func say(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}
