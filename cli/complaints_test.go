package cli

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
)

// lines gives each line that is written to it to whoever waits.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

// TestComplaintsRepeatNothing has a receiver send back, without being asked, what it was sent.
func TestComplaintsRepeatNothing(t *testing.T) {
	written := make(lines, 10)
	defer hearComplaints(slog.New(slog.NewTextHandler(written, &slog.HandlerOptions{Level: slog.LevelDebug})))()

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	answered := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		req, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		<-answered
		_, _ = io.WriteString(c, "Authorization: "+req.Header.Get("Authorization")+"\r\n")
		_, _ = io.Copy(io.Discard, c) // until the client has had enough
	}()
	transport := &http.Transport{}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+l.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer s3cret")
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	close(answered)
	if line := <-written; strings.Contains(line, "s3cret") || !strings.Contains(line, "nsolicited") {
		t.Errorf("it is logged as %s", line)
	}
	<-ended
	transport.CloseIdleConnections()
}
