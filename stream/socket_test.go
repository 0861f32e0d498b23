package stream

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// narrowSocket is a socket that takes only what its test lets it take.
type narrowSocket struct {
	mu      sync.Mutex
	room    int // bytes that it takes before the next await; negative: any number
	each    int // what each await makes room for; 0: nothing, until more is called
	sent    bytes.Buffer
	changed chan struct{}
	over    chan struct{} // closed by close and finish
	hurried bool
	writes  int
	awaits  int
}

func newNarrowSocket(room, each int) *narrowSocket {
	return &narrowSocket{room: room, each: each, changed: make(chan struct{}), over: make(chan struct{})}
}

func (s *narrowSocket) tell() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *narrowSocket) write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.over:
		return 0, errReaderGone
	default:
	}
	s.writes++
	n := len(b)
	if s.room >= 0 {
		n = min(n, s.room)
		s.room -= n
	}
	s.sent.Write(b[:n])
	s.tell()
	return n, nil
}

func (s *narrowSocket) await(timeout time.Duration) error {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for {
		s.mu.Lock()
		s.awaits++
		changed, ready := s.changed, s.room != 0
		if !ready && s.each > 0 {
			s.room, ready = s.each, true
		}
		hurried := s.hurried
		s.mu.Unlock()
		if ready {
			return nil
		}
		if hurried {
			return errReaderGone
		}
		select {
		case <-changed:
		case <-s.over:
			return errReaderGone
		case <-timer.C:
			return errReaderGone
		}
	}
}

func (s *narrowSocket) hurry() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hurried = true
	s.tell()
}

func (s *narrowSocket) finish() { s.close() }

func (s *narrowSocket) watch(gone func()) {
	go func() {
		<-s.over
		gone()
	}()
}

func (s *narrowSocket) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.over:
	default:
		close(s.over)
		s.tell()
	}
}

// more makes room for so many bytes; negative: for any number.
func (s *narrowSocket) more(bytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.room = bytes
	s.tell()
}

// until returns what was sent once it ends with a text.
func (s *narrowSocket) until(t *testing.T, end string) string {
	t.Helper()
	for {
		s.mu.Lock()
		text, changed := s.sent.String(), s.changed
		s.mu.Unlock()
		if strings.HasSuffix(text, end) {
			return text
		}
		select {
		case <-changed:
		case <-s.over:
			t.Fatalf("the stream has ended after %q", text)
		case <-t.Context().Done():
			t.Fatal("the test has ended")
		}
	}
}

// serveOn opens a stream on a socket.
func serveOn(t *testing.T, hub *Hub, s socket, sub Subscription) {
	t.Helper()
	hub.takeOver = func(http.ResponseWriter, *http.Request, func() *watcher) (socket, error) { return s, nil }
	if err := hub.Serve(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil), sub); err != nil {
		t.Fatal(err)
	}
}

func runInside(t *testing.T, cfg Config) (hub *Hub, stop func()) {
	hub = New(cfg)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- hub.Run(ctx) }()
	return hub, sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// split cuts a stream into its head and its body.
func split(t *testing.T, text string) (head, body string) {
	t.Helper()
	h, b, ok := strings.Cut(text, "\r\n\r\n")
	if !ok {
		t.Fatalf("no end of the head in %q", text)
	}
	resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(text)), nil)
	if err != nil {
		t.Fatalf("the head: %v", err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK || !resp.Close || resp.Header.Get("Content-Type") == "" || resp.Header.Get("Date") == "" {
		t.Errorf("the head is %q", h)
	}
	return h, b
}

// pieces returns what a stream sends to a socket that takes so many bytes at a time: replayed, live, and between.
func pieces(t *testing.T, each int) string {
	f := &replay{}
	f.append("a", "one", "two\nlines", "", string(bytes.Repeat([]byte("x"), 300)), "five")
	hub, stop := runInside(t, Config{Log: f, RingEvents: 2})
	defer stop()
	sock := newNarrowSocket(each, each)
	serveOn(t, hub, sock, Subscription{Tenant: 1, Patterns: []event.Pattern{"a"}, Start: Start{from: fromEarliest}})
	sock.until(t, "data: five\n\n")
	f.append("a", "six", "seven")
	f.append("b", "not asked for")
	f.append("a", "eight")
	_, body := split(t, sock.until(t, "data: eight\n\n"))
	_, body, _ = strings.Cut(body, "\n") // the retry is chance
	return body
}

// Whatever a socket takes at a time, what it gets is the same.
func TestEveryPieceSize(t *testing.T) {
	want := pieces(t, 1<<20)
	for each := 1; each < 420; each++ {
		if got := pieces(t, each); got != want {
			t.Fatalf("in pieces of %d bytes:\n%q\nwant\n%q", each, got, want)
		}
	}
}

// A socket that takes nothing holds up neither its shard nor the other streams, holds nothing meanwhile, and gets everything
// when it takes something again.
func TestFullSocket(t *testing.T) {
	f := &replay{}
	hub, stop := runInside(t, Config{Log: f, RingEvents: 8})
	defer stop()
	full, free := newNarrowSocket(-1, 0), newNarrowSocket(-1, 0)
	for _, s := range []*narrowSocket{full, free} {
		serveOn(t, hub, s, Subscription{Tenant: 1, Patterns: []event.Pattern{"a"}})
		s.until(t, "\n\n")
	}
	full.more(0)
	var want strings.Builder
	for i := range 1000 {
		text := fmt.Sprint(i)
		f.append("a", text)
		fmt.Fprintf(&want, "data: %d\n", i)
		free.until(t, "data: "+text+"\n\n")
	}
	full.mu.Lock()
	if strings.Contains(full.sent.String(), "data:") {
		t.Error("the full socket took something")
	}
	full.mu.Unlock()
	full.more(-1)
	got := full.until(t, "data: 999\n\n")
	var data strings.Builder
	for line := range strings.Lines(got) {
		if strings.HasPrefix(line, "data:") {
			data.WriteString(line)
		}
	}
	if data.String() != want.String() {
		t.Errorf("it got %q", got)
	}
}

func (s *narrowSocket) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent.String()
}

// keepsUp waits until the newest stream has caught up.
func keepsUp(hub *Hub) {
	for {
		if all := hub.Streams(1, event.ID{}, 1000); len(all) > 0 && !all[len(all)-1].CatchingUp {
			return
		}
		runtime.Gosched()
	}
}

// What comes between the last whole event and a half one is more than a piece of the ring: the half one is completed all
// the same, and not begun again in its own middle.
func TestHalfAnEventFarOff(t *testing.T) {
	f := &replay{}
	hub, stop := runInside(t, Config{Log: f, Shards: 1})
	defer stop()
	sock := newNarrowSocket(-1, 0)
	serveOn(t, hub, sock, Subscription{Tenant: 1, Patterns: []event.Pattern{"a"}})
	sock.until(t, "\n\n")
	keepsUp(hub)
	sock.more(len("id: 0000000000001\ndata: A\n\n") + 20)
	f.appendAll(func(add func(event.Topic, string)) {
		add("a", "A")
		for range 3 * ringBatch {
			add("noise", "n")
		}
		add("a", "BBBBBBBB")
	})
	sock.until(t, "\nda")
	sock.more(-1)
	_, body := split(t, sock.until(t, "BBBBBBBB\n\n"))
	if strings.Count(body, "id: ") != 3 || strings.Count(body, "data: ") != 2 {
		t.Errorf("got %q", body)
	}
}

// Half of an event cannot be completed once retention has removed it.
func TestHalfAnEventIsGone(t *testing.T) {
	f := &replay{}
	hub, stop := runInside(t, Config{Log: f, RingEvents: 1})
	defer stop()
	sock := newNarrowSocket(-1, 0)
	serveOn(t, hub, sock, Subscription{Tenant: 1, Patterns: []event.Pattern{"a"}})
	sock.until(t, "\n\n")
	sock.more(22)
	f.append("a", "an event of which not all is sent")
	sock.until(t, "data")
	f.append("a", "2")
	waiting := func() bool {
		sock.mu.Lock()
		defer sock.mu.Unlock()
		return sock.awaits > 0
	}
	for hub.ring.head() != 2 || !waiting() { // so that nobody has the first one any more
		runtime.Gosched()
	}
	f.trim(2)
	hub.pages.mu.Lock()
	clear(hub.pages.held) // as when others catch up meanwhile
	hub.pages.order, hub.pages.bytes = nil, 0
	hub.pages.mu.Unlock()
	sock.more(-1)
	<-sock.over
	for len(hub.Streams(1, event.ID{}, 1)) > 0 {
		runtime.Gosched()
	}
}

func TestSocketHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &replay{}
		hub, stop := runInside(t, Config{Log: f})
		sock := newNarrowSocket(-1, 0)
		serveOn(t, hub, sock, Subscription{Tenant: 1, Patterns: []event.Pattern{"a"}})
		synctest.Wait()
		beats := func() int {
			sock.mu.Lock()
			defer sock.mu.Unlock()
			return strings.Count(sock.sent.String(), "\n:\n")
		}
		time.Sleep(DefaultHeartbeat)
		if beats() != 1 {
			t.Fatalf("%d heartbeats after an interval, want 1", beats())
		}
		// What was written is sign enough; and the id follows what the stream did not ask for.
		time.Sleep(DefaultHeartbeat / 2)
		f.append("a", "1")
		f.append("b", "2")
		time.Sleep(DefaultHeartbeat - 2*time.Second)
		if beats() != 1 {
			t.Errorf("a heartbeat came though the stream was not silent: %q", sock.sent.String())
		}
		time.Sleep(2 * time.Second)
		if got := sock.until(t, "\n\n"); !strings.HasSuffix(got, "\n:\nid: 0000000000002\n\n") || beats() != 2 {
			t.Errorf("%d heartbeats in %q", beats(), got)
		}
		time.Sleep(100 * DefaultHeartbeat)
		if n := beats(); n < 102 || n > 115 {
			t.Errorf("%d heartbeats after 102 intervals", n)
		}
		stop()
	})
}

// A stream ends when it has been open for as long as it may, and is told if what it came in with has expired.
func TestSocketEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub, stop := runInside(t, Config{Log: &replay{}, MaxAge: time.Hour})
		old, oldToo, expired := newNarrowSocket(-1, 0), newNarrowSocket(-1, 0), newNarrowSocket(-1, 0)
		begun := time.Now()
		serveOn(t, hub, old, Subscription{Tenant: 1, Patterns: []event.Pattern{"a"}})
		serveOn(t, hub, oldToo, Subscription{Tenant: 1, Patterns: []event.Pattern{"a"}, Expires: begun.Add(24 * time.Hour)})
		serveOn(t, hub, expired, Subscription{Tenant: 1, Patterns: []event.Pattern{"a"}, Expires: begun.Add(10 * time.Minute)})
		<-expired.over
		if took := time.Since(begun); took < 10*time.Minute || took > 10*time.Minute+2*time.Second {
			t.Errorf("the token's stream ended after %s", took)
		}
		if got := expired.sent.String(); !strings.HasSuffix(got, "\n\nevent: _stream\ndata: {\"status\":\"expired\"}\n\n") {
			t.Errorf("it ended with %q", got)
		}
		<-old.over
		if took := time.Since(begun); took < 54*time.Minute || took > time.Hour+2*time.Second {
			t.Errorf("the old stream ended after %s", took)
		}
		<-oldToo.over // long before what it came in with expires
		if took := time.Since(begun); took > time.Hour+2*time.Second {
			t.Errorf("the old stream of a token ended after %s", took)
		}
		for _, s := range []*narrowSocket{old, oldToo} {
			if got := s.sent.String(); !regexp.MustCompile(`\n\nretry: \d+\n\n$`).MatchString(got) {
				t.Errorf("it ended with %q", got)
			}
		}
		stop()
	})
}

// A socket that takes nothing at all is closed after a while, and not earlier if it takes a little now and then.
func TestStalledSocketIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &replay{}
		hub, stop := runInside(t, Config{Log: f})
		sock := newNarrowSocket(-1, 0)
		serveOn(t, hub, sock, Subscription{Tenant: 1, Patterns: []event.Pattern{"a"}})
		synctest.Wait()
		sock.more(0)
		f.append("a", strings.Repeat("x", 1000))
		for range 10 {
			time.Sleep(DefaultWriteTimeout - time.Second)
			sock.more(10)
			synctest.Wait()
		}
		begun := time.Now()
		<-sock.over
		if took := time.Since(begun); took != DefaultWriteTimeout {
			t.Errorf("closed after %s", took)
		}
		stop()
	})
}

// busySocket makes something new for its shard with each write.
type busySocket struct {
	*narrowSocket
	hub  *Hub
	next event.Cursor
	busy atomic.Bool
}

func (s *busySocket) write(b []byte) (int, error) {
	if s.busy.Load() {
		time.Sleep(10 * time.Millisecond)
		s.next++
		s.hub.publish([]*event.Event{{ID: event.NewID(), Tenant: 1, Topic: "a", Payload: []byte("x"), Cursor: s.next}})
	}
	return s.narrowSocket.write(b)
}

// A shard that always has something to send does not forget those who have nothing to get.
func TestWheelTurnsUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub, stop := runInside(t, Config{Log: &replay{}, Shards: 1})
		busy := &busySocket{narrowSocket: newNarrowSocket(-1, 0), hub: hub, next: 1}
		serveOn(t, hub, busy, Subscription{Tenant: 1, Patterns: []event.Pattern{"a"}})
		quiet := newNarrowSocket(-1, 0)
		serveOn(t, hub, quiet, Subscription{Tenant: 1, Patterns: []event.Pattern{"q"}})
		synctest.Wait()
		busy.busy.Store(true)
		hub.publish([]*event.Event{{ID: event.NewID(), Tenant: 1, Topic: "a", Payload: []byte("x"), Cursor: 1}})
		time.Sleep(10 * DefaultHeartbeat)
		busy.busy.Store(false)
		if n := strings.Count(quiet.text(), "\n:\n"); n < 8 {
			t.Errorf("%d heartbeats in 10 intervals", n)
		}
		stop()
	})
}

// Streams that wait for their turn to catch up say so, and those whose clients leave wait no longer.
func TestWaitingForATurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &replay{}
		f.append("a", "x")
		hub, stop := runInside(t, Config{Log: f})
		synctest.Wait()
		for range cap(hub.turns) {
			hub.turns <- struct{}{} // somebody's page takes long
		}
		stays := newNarrowSocket(-1, 0)
		serveOn(t, hub, stays, Subscription{Tenant: 1, Patterns: []event.Pattern{"a"}, Start: Start{from: fromEarliest}})
		for range 100 {
			s := newNarrowSocket(-1, 0)
			serveOn(t, hub, s, Subscription{Tenant: 1, Patterns: []event.Pattern{"a"}, Start: Start{from: fromEarliest}})
			synctest.Wait()
			s.close()
		}
		synctest.Wait()
		if n := hub.pages.count(); n != 1 {
			t.Errorf("%d streams catch up, 1 is open", n)
		}
		time.Sleep(10 * DefaultHeartbeat)
		if n := strings.Count(stays.text(), "\n:\n"); n < 6 {
			t.Errorf("%d heartbeats in 10 intervals", n)
		}
		<-hub.turns
		stays.until(t, "data: x\n\n")
		for range cap(hub.turns) - 1 {
			<-hub.turns
		}
		stop()
	})
}

// That the hub ends while a page is being read is no failure of the stream's.
func TestEndWhileReading(t *testing.T) {
	f := &replay{}
	f.append("a", "x")
	var said bytes.Buffer
	log := &stuckLog{replay: f, reading: make(chan struct{})}
	hub, stop := runInside(t, Config{Log: log, Logger: slog.New(slog.NewTextHandler(&said, nil))})
	sock := newNarrowSocket(-1, 0)
	serveOn(t, hub, sock, Subscription{Tenant: 1, Patterns: []event.Pattern{"a"}, Start: Start{from: fromEarliest}})
	<-log.reading
	stop()
	if said.Len() > 0 {
		t.Errorf("logged %s", &said)
	}
	if !regexp.MustCompile(`\n\nretry: \d+\n\n$`).MatchString(sock.text()) {
		t.Errorf("ends with %q", sock.text())
	}
}

// stuckLog reads nothing until ctx ends.
type stuckLog struct {
	*replay
	reading chan struct{}
}

func (l *stuckLog) Read(ctx context.Context, _ event.TenantID, _ store.ReadQuery) (store.ReadResult, error) {
	close(l.reading)
	<-ctx.Done()
	return store.ReadResult{}, ctx.Err()
}

// However the end of a key falls among the changes of its socket's state, the stream ends, and without half an event
// before its last words.
func TestKeyEndsAtAnyTime(t *testing.T) {
	f := &replay{}
	hub, stop := runInside(t, Config{Log: f, RingEvents: 4})
	defer stop()
	for i := range 400 {
		key := fmt.Sprint(i)
		sock := newNarrowSocket(i%50-1, 7*(i%3)) // -1 takes all, and some take nothing after a while
		serveOn(t, hub, sock, Subscription{Tenant: 1, Patterns: []event.Pattern{"a"}, Key: key})
		var wg sync.WaitGroup
		wg.Go(func() {
			for range i % 7 {
				f.append("a", "an event")
			}
		})
		wg.Go(func() { hub.EndKey(key) })
		<-sock.over
		wg.Wait()
		text := sock.sent.String()
		if before, last, told := strings.Cut(text, "event: _stream\n"); told && (last != "data: {\"status\":\"expired\"}\n\n" || !strings.HasSuffix(before, "\n\n")) {
			t.Fatalf("it ended with %q", text)
		}
	}
	for len(hub.Streams(1, event.ID{}, 1)) > 0 {
		runtime.Gosched()
	}
}
