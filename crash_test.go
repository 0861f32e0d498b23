package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// crashes is how often TestNothingIsLostWhenKilled kills the gateway, unless CARILLON_KILLS says otherwise.
const crashes = 10

// TestNothingIsLostWhenKilled kills the gateway with SIGKILL at random moments under load and keeps the ledger outside
// of it: every event for which a poster had a 202 must be in the log, on the stream once and in order, and at every
// webhook that it was owed to.
func TestNothingIsLostWhenKilled(t *testing.T) {
	kills := crashes
	if s := os.Getenv("CARILLON_KILLS"); s != "" {
		var err error
		if kills, err = strconv.Atoi(s); err != nil {
			t.Fatal("CARILLON_KILLS:", err)
		}
	}
	g := newVictim(t)
	sink := newSink(t)
	g.start()
	for _, name := range []string{"fine", "flaky", "slow"} {
		g.register(sink.URL+"/"+name, "load.**")
	}

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var load, following sync.WaitGroup
	ledger := &ledger{accepted: make(map[string]string)}
	for i := range 8 {
		load.Go(func() { g.post(ctx, ledger, i) })
	}
	stream := &follower{}
	followCtx, stopFollowing := context.WithCancel(t.Context())
	defer stopFollowing()
	following.Go(func() { stream.follow(followCtx, g.base) })

	for range kills {
		time.Sleep(time.Duration(20+rand.IntN(250)) * time.Millisecond) // the moment is the point, not a wait for something
		g.kill()
		g.start()
	}
	stop()
	load.Wait()

	accepted := ledger.all()
	t.Logf("%d kills, %d events accepted, %d posts repeated under their key", kills, len(accepted), ledger.repeated)
	if len(accepted) < kills {
		t.Fatal("too few events were accepted for the test to mean anything")
	}
	stored := g.storedEvents()
	for id := range accepted {
		if !stored[id] {
			t.Errorf("event %s was accepted and is not in the log", id)
		}
	}
	owed := func() (missing int) {
		for _, name := range []string{"fine", "flaky", "slow"} {
			for id := range accepted {
				if sink.delivered(name, id) == 0 {
					missing++
				}
			}
		}
		return missing
	}
	waitUntil(t, 3*time.Minute, "every owed delivery to arrive", func() bool { return owed() == 0 })
	waitUntil(t, time.Minute, "the stream to show every event", func() bool { return stream.has(accepted) })
	stopFollowing()
	following.Wait()
	if stream.fault != "" {
		t.Error("stream:", stream.fault)
	}
	for _, name := range []string{"fine", "flaky", "slow"} {
		again := 0
		for id := range accepted {
			again += sink.delivered(name, id) - 1
		}
		// Only what was in flight, or answered and not yet committed, when the process died may come twice.
		t.Logf("%s: %d of %d deliveries came again (%.1f a kill)", name, again, len(accepted), float64(again)/float64(kills))
	}
	for id, payload := range sink.payloads() {
		if want, ok := accepted[id]; ok && payload != want {
			t.Errorf("event %s was delivered as %q, posted as %q", id, payload, want)
		}
	}
	g.kill()
}

// victim is a gateway process that is killed and started again on the same data.
type victim struct {
	t      *testing.T
	binary string
	dir    string
	addr   string
	base   string
	cmd    *exec.Cmd
	logs   *bytes.Buffer
}

func newVictim(t *testing.T) *victim {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "carillon")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	// The same over all starts, so that clients reconnect to it.
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	g := &victim{t: t, binary: binary, dir: filepath.Join(dir, "data"), addr: addr}
	g.base = "http://" + g.addr
	t.Cleanup(g.kill)
	return g
}

func (g *victim) start() {
	g.t.Helper()
	g.logs = new(bytes.Buffer)
	g.cmd = exec.Command(g.binary, "serve", "--listen", g.addr, "--data", g.dir, "--log-level", "warn")
	g.cmd.Stdout, g.cmd.Stderr = g.logs, g.logs
	if err := g.cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	waitUntil(g.t, 30*time.Second, "the gateway to be ready", func() bool {
		resp, err := http.Get(g.base + "/readyz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

func (g *victim) kill() {
	if g.cmd == nil {
		return
	}
	g.cmd.Process.Signal(syscall.SIGKILL)
	g.cmd.Wait()
	g.cmd = nil
	if strings.Contains(g.logs.String(), "panic") || strings.Contains(g.logs.String(), "level=ERROR") {
		g.t.Errorf("the gateway said:\n%s", g.logs)
	}
}

func (g *victim) register(url, pattern string) {
	g.t.Helper()
	schedule := `"1s"` + strings.Repeat(`,"1s"`, 99)
	body := fmt.Sprintf(`{"url":%q,"topics":[%q],"timeout":"2s","retry":{"schedule":[%s]}}`, url, pattern, schedule)
	resp, err := http.Post(g.base+"/v1/webhooks", "application/json", strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		answer, _ := io.ReadAll(resp.Body)
		g.t.Fatalf("registering: %s\n%s", resp.Status, answer)
	}
}

// post posts events one after another until ctx ends. One whose answer was lost is posted again under its key, so that
// the ledger knows of each.
func (g *victim) post(ctx context.Context, l *ledger, poster int) {
	client := &http.Client{Timeout: 10 * time.Second}
	for n := 0; ctx.Err() == nil; n++ {
		payload := fmt.Sprintf("poster-%d-event-%d", poster, n)
		for try := 0; ; try++ {
			req, err := http.NewRequest(http.MethodPost, g.base+"/v1/topics/load.p"+strconv.Itoa(poster)+"/events", strings.NewReader(payload))
			if err != nil {
				g.t.Error(err)
				return
			}
			req.Header.Set("Idempotency-Key", payload)
			req.Header.Set("Content-Type", "text/plain")
			resp, err := client.Do(req)
			if err == nil {
				var receipt struct {
					ID string `json:"id"`
				}
				err = json.NewDecoder(resp.Body).Decode(&receipt)
				resp.Body.Close()
				if err == nil && resp.StatusCode == http.StatusAccepted {
					l.accept(receipt.ID, payload, try > 0)
					break
				}
				if err == nil && resp.StatusCode != http.StatusServiceUnavailable && resp.StatusCode != http.StatusConflict {
					g.t.Errorf("posting: %s", resp.Status)
					return
				}
			}
			if ctx.Err() != nil && try > 100 {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

func (g *victim) storedEvents() map[string]bool {
	g.t.Helper()
	ids := map[string]bool{}
	next := ""
	for {
		var page struct {
			Data []struct {
				ID string `json:"id"`
			} `json:"data"`
			Next *string `json:"next"`
		}
		resp, err := http.Get(g.base + "/v1/events?limit=500" + next)
		if err != nil {
			g.t.Fatal(err)
		}
		err = json.NewDecoder(resp.Body).Decode(&page)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			g.t.Fatal("listing events:", resp.Status, err)
		}
		for _, e := range page.Data {
			ids[e.ID] = true
		}
		if page.Next == nil {
			return ids
		}
		next = "&page=" + url.QueryEscape(*page.Next)
	}
}

// ledger is what posters were promised.
type ledger struct {
	mu       sync.Mutex
	accepted map[string]string // payload by event id
	repeated int
}

func (l *ledger) accept(id, payload string, repeated bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.accepted[id] = payload
	if repeated {
		l.repeated++
	}
}

func (l *ledger) all() map[string]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.accepted
}

// sink is the receiver of all webhooks: one that works, one that fails at first, and one that now and then is slow.
type sink struct {
	*httptest.Server
	mu   sync.Mutex
	seen map[string]map[string]int // by webhook, by event id: how often it was taken
	fail map[string]bool           // events that flaky has refused once
	body map[string]string
}

func newSink(t *testing.T) *sink {
	s := &sink{seen: map[string]map[string]int{}, fail: map[string]bool{}, body: map[string]string{}}
	s.Server = httptest.NewServer(http.HandlerFunc(s.take))
	t.Cleanup(s.Close)
	return s
}

func (s *sink) take(w http.ResponseWriter, r *http.Request) {
	payload, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	name, id := strings.TrimPrefix(r.URL.Path, "/"), r.Header.Get("webhook-id")
	if name == "slow" && rand.IntN(50) == 0 {
		time.Sleep(100 * time.Millisecond)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if name == "flaky" && !s.fail[id] && rand.IntN(4) == 0 {
		s.fail[id] = true
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	if s.seen[name] == nil {
		s.seen[name] = map[string]int{}
	}
	s.seen[name][id]++
	s.body[id] = string(payload)
}

func (s *sink) delivered(name, id string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen[name][id]
}

func (s *sink) payloads() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.body
}

// follower reads a stream over all restarts and checks that ids grow and nothing comes twice.
type follower struct {
	mu    sync.Mutex
	last  string
	seen  map[string]bool // by payload
	fault string
}

func (f *follower) follow(ctx context.Context, base string) {
	for ctx.Err() == nil {
		f.read(ctx, base)
		time.Sleep(20 * time.Millisecond)
	}
}

func (f *follower) read(ctx context.Context, base string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/v1/stream?topic=load.**", nil)
	if err != nil {
		return
	}
	f.mu.Lock()
	if f.last != "" {
		req.Header.Set("Last-Event-ID", f.last)
	} else {
		req.URL.RawQuery += "&since=earliest"
	}
	f.mu.Unlock()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return
	}
	defer resp.Body.Close()
	blocks := newBlockReader(resp.Body)
	for {
		block, err := blocks.next()
		if err != nil {
			return // an unfinished block is dropped, as a browser does
		}
		f.take(block)
	}
}

func (f *follower) take(b block) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if b.event == "_stream" {
		if !strings.Contains(b.data, "resumed") {
			f.fault = "told of " + b.data
		}
		return
	}
	if b.id == "" {
		return
	}
	if b.hasData {
		if b.id <= f.last {
			f.fault = fmt.Sprintf("id %s came after %s", b.id, f.last)
		}
		if f.seen[b.data] {
			f.fault = fmt.Sprintf("%q came twice", b.data)
		}
		if f.seen == nil {
			f.seen = map[string]bool{}
		}
		f.seen[b.data] = true
	}
	f.last = b.id
}

func (f *follower) has(accepted map[string]string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, payload := range accepted {
		if !f.seen[payload] {
			return false
		}
	}
	return true
}

// waitUntil waits for a condition; the time is only there so that a broken gateway ends the test.
func waitUntil(t *testing.T, most time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(most)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s for %s", most, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
