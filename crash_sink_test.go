package main

import (
	"cmp"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// behaviour is how one webhook of a sink answers.
type behaviour struct {
	refuse int // one request in so many is refused, as long as
	atMost int // its delivery was refused less often than this,
	status int // with this status; 0 is 500
	pause  int // one request in so many is answered 100 ms late
	takes  time.Duration
}

// arrival is one request that the sink got.
type arrival struct {
	event, delivery, payload string
	replay                   bool
	life                     int // of the gateway that made it
	round                    int // of replays
	status                   int
	came, answered           time.Time // answered is zero as long as it is not
}

func (r *arrival) succeeded() bool { return r.status >= 200 && r.status < 300 }

// cursor is the event's place in the log, which a delivery's id begins with. Cursors are of one length.
func (r *arrival) cursor() string {
	cursor, _, _ := strings.Cut(r.delivery, "-")
	return cursor
}

func (r *arrival) key() string { return keyOf(r.payload) }

// sink is the receiver of all webhooks, each at the path of its name. It remembers every request.
type sink struct {
	*httptest.Server
	behaviours map[string]behaviour

	mu      sync.Mutex
	open    int // connections
	life    int
	round   map[string]int
	down    map[string]bool // webhooks that answer 503
	got     map[string][]*arrival
	taken   map[string]map[string]bool // events that were taken, by webhook
	refused map[string]int             // how often, by delivery
}

func newSink(t *testing.T, behaviours map[string]behaviour) *sink {
	s := &sink{
		behaviours: behaviours, round: map[string]int{}, down: map[string]bool{}, got: map[string][]*arrival{}, taken: map[string]map[string]bool{},
		refused: map[string]int{},
	}
	for name := range behaviours {
		s.taken[name] = map[string]bool{}
	}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(s.take))
	s.Server.Config.ConnState = s.count
	s.Server.Start()
	t.Cleanup(s.Close)
	return s
}

func (s *sink) count(_ net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch state {
	case http.StateNew:
		s.open++
	case http.StateClosed:
		s.open--
	}
}

// nextLife begins the gateway's next life, once all of the last one has come in.
func (s *sink) nextLife() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open > 0 {
		return false
	}
	s.life++
	return true
}

// nextRound tells what a webhook got by one replay from what it gets by the next.
func (s *sink) nextRound(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.round[name]++
}

func (s *sink) take(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	payload, err := io.ReadAll(r.Body)
	if err != nil {
		return // half of it was sent when the gateway was killed
	}
	b := s.behaviours[name]
	got := &arrival{
		event: r.Header.Get("webhook-id"), delivery: r.Header.Get("Carillon-Delivery"), payload: string(payload),
		replay: r.Header.Get("Carillon-Replay") == "true", came: time.Now(),
	}
	s.mu.Lock()
	got.life, got.round = s.life, s.round[name]
	s.got[name] = append(s.got[name], got)
	s.mu.Unlock()
	if b.pause > 0 && rand.IntN(b.pause) == 0 {
		time.Sleep(100 * time.Millisecond)
	}
	time.Sleep(b.takes)

	s.mu.Lock()
	defer s.mu.Unlock()
	got.status, got.answered = http.StatusOK, time.Now()
	switch {
	case s.down[name]:
		got.status = http.StatusServiceUnavailable
	case b.refuse > 0 && s.refused[got.delivery] < b.atMost && rand.IntN(b.refuse) == 0:
		s.refused[got.delivery]++
		got.status = cmp.Or(b.status, http.StatusInternalServerError)
	default:
		s.taken[name][got.event] = true
	}
	w.WriteHeader(got.status)
}

// setDown has a webhook answer 503, or end doing so.
func (s *sink) setDown(name string, down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down[name] = down
}

// requests returns what came to a webhook so far, in the order in which it came.
func (s *sink) requests(name string) []*arrival {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*arrival, len(s.got[name]))
	for i, r := range s.got[name] {
		as := *r // its answer may still be to come
		all[i] = &as
	}
	return all
}

// missing counts the owed events that a webhook has not taken.
func (s *sink) missing(name string, accepted map[string]posted, owed func(posted) bool) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	missing := 0
	for id, event := range accepted {
		if owed(event) && !s.taken[name][id] {
			missing++
		}
	}
	return missing
}

// took reports whether a webhook has taken an event.
func (s *sink) took(name, event string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken[name][event]
}

// checkPayloads holds what came against what was posted.
func (s *sink) checkPayloads(t *testing.T, accepted map[string]posted) {
	t.Helper()
	for name := range s.behaviours {
		for _, r := range s.requests(name) {
			if want, ok := accepted[r.event]; ok && r.payload != want.payload {
				t.Errorf("%s: event %s was delivered as %q, posted as %q", name, r.event, r.payload, want.payload)
			}
		}
	}
}

// checkOrder holds the requests of each line against the log: none for an event may come after one for a later event, in
// one life of the gateway as over all of them.
func checkOrder(t *testing.T, s *sink, name string, line func(*arrival) string) {
	t.Helper()
	last := map[string]*arrival{}
	for _, r := range s.requests(name) {
		before := last[line(r)]
		if before != nil && r.cursor() < before.cursor() {
			t.Errorf("%s: a request for %s (life %d, status %d) came after one for %s (life %d, status %d)", name,
				r.cursor(), r.life, r.status, before.cursor(), before.life, before.status)
		}
		if before != nil && r.cursor() > before.cursor() && !before.succeeded() {
			t.Errorf("%s: a request for %s came while %s was not delivered", name, r.cursor(), before.cursor())
		}
		last[line(r)] = r
	}
}
