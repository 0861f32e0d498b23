package main

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// relay stands between clients and a gateway, and passes on the bytes of both as they are. It remembers them, and can
// cut its links as a network does.
type relay struct {
	url      string
	target   string
	listener net.Listener
	running  sync.WaitGroup

	mu    sync.Mutex
	ended bool
	links []*link
	cutAt string // the first link over which this is answered is cut behind it
}

// link is one connection through a relay. The relay's mutex guards it.
type link struct {
	client, gateway net.Conn
	asked, answered []byte
	last, cut       time.Time // when the client last said something; when the relay cut it, zero if it did not
}

// newRelay begins a relay to the gateway at a URL.
func newRelay(t *testing.T, gateway string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{url: "http://" + l.Addr().String(), target: strings.TrimPrefix(gateway, "http://"), listener: l}
	r.running.Go(r.accept)
	t.Cleanup(r.close)
	return r
}

func (r *relay) close() {
	r.listener.Close()
	r.mu.Lock()
	r.ended = true
	for _, l := range r.links {
		l.close()
	}
	r.mu.Unlock()
	r.running.Wait()
}

func (l *link) close() {
	l.client.Close()
	l.gateway.Close()
}

func (r *relay) accept() {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return // closed
		}
		gateway, err := net.Dial("tcp", r.target)
		if err != nil {
			client.Close() // the gateway is down
			continue
		}
		l := &link{client: client, gateway: gateway}
		r.mu.Lock()
		if r.ended {
			l.close()
		}
		r.links = append(r.links, l)
		r.running.Go(func() { r.pass(l, client, gateway, r.ask) })
		r.running.Go(func() { r.pass(l, gateway, client, r.answer) })
		r.mu.Unlock()
	}
}

// pass passes on what comes from one side, as far as note says, until a side or the link has ended.
func (r *relay) pass(l *link, from, to net.Conn, note func(*link, []byte) (int, bool)) {
	defer l.close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		n, cut := note(l, buffer[:n])
		if _, failed := to.Write(buffer[:n]); err != nil || failed != nil || cut {
			return
		}
	}
}

func (r *relay) ask(l *link, text []byte) (int, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(text) > 0 {
		l.asked, l.last = append(l.asked, text...), time.Now()
	}
	return len(text), false
}

func (r *relay) answer(l *link, text []byte) (int, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := len(l.answered)
	l.answered = append(l.answered, text...)
	if r.cutAt == "" {
		return len(text), false
	}
	at := bytes.Index(l.answered, []byte(r.cutAt))
	if at < 0 {
		return len(text), false
	}
	l.answered = l.answered[:max(before, at+len(r.cutAt))]
	r.cutAt, l.cut = "", time.Now()
	return len(l.answered) - before, true
}

// cutBehind has the first link over which a text is answered cut behind it.
func (r *relay) cutBehind(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cutAt = text
}

// cut ends all links that there are.
func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range r.links {
		if l.cut.IsZero() {
			l.cut = time.Now() // before the client can know
		}
		l.close()
	}
}

// exchange is one request for a stream, and as much of its answer as has come.
type exchange struct {
	request *http.Request
	answer  *http.Response // nil as long as its header has not come
	body    string
	came    time.Time // when the link's last request did, which a stream is
	cut     time.Time // zero if the relay did not
}

// streams returns what went over the links for addresses of streams, in the order in which it was asked for. That is not
// the order of the links: a browser makes some before it needs them.
func (r *relay) streams() []exchange {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []exchange
	for _, l := range r.links {
		asked, answered := bufio.NewReader(bytes.NewReader(l.asked)), bufio.NewReader(bytes.NewReader(l.answered))
		for {
			request, err := http.ReadRequest(asked)
			if err != nil {
				break
			}
			if _, err := io.Copy(io.Discard, request.Body); err != nil {
				break
			}
			e := exchange{request: request, came: l.last, cut: l.cut}
			if answer, err := http.ReadResponse(answered, request); err == nil {
				e.answer = answer
				body, _ := io.ReadAll(answer.Body) // an error says that there is no end yet
				e.body = string(body)
			}
			if strings.HasSuffix(request.URL.Path, "/stream") {
				all = append(all, e)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b exchange) int { return a.came.Compare(b.came) })
	return all
}

// awaitStream waits until the n-th stream, counted from 1, has said a text, and returns it.
func (r *relay) awaitStream(t *testing.T, n int, text string) exchange {
	t.Helper()
	var all []exchange
	waitUntil(t, patience, "a stream to say "+text, func() bool {
		all = r.streams()
		return len(all) >= n && strings.Contains(all[n-1].body, text)
	})
	return all[n-1]
}

// fields returns the values of a field in a stream, in the order in which they came. It is for the fields that the
// gateway writes by itself, whose lines are its own.
func (e exchange) fields(name string) []string {
	var values []string
	for line := range strings.Lines(e.body) {
		if value, found := strings.CutPrefix(line, name+": "); found && strings.HasSuffix(value, "\n") {
			values = append(values, strings.TrimSuffix(value, "\n"))
		}
	}
	return values
}
