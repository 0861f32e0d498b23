package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// uncommitted is how long after its answer a delivery may still be made again when the gateway is killed. A settlement
// waits a few milliseconds for company and then for the disk; the rest is for a machine that is busy with other things.
const uncommitted = 2 * time.Second

// victim is a gateway process that is killed and started again on the same data.
type victim struct {
	t      *testing.T
	sink   *sink
	binary string
	dir    string
	addr   string
	base   string
	flags  []string
	cmd    *exec.Cmd
	logs   *bytes.Buffer
	exited chan struct{} // closed when the process has ended

	killed   []time.Time    // when each life ended
	noted    map[string]int // deliveries that were shown as settled, by the life in which they were
	webhooks map[string]string
}

func newVictim(t *testing.T, sink *sink, flags ...string) *victim {
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
	g := &victim{
		t: t, sink: sink, binary: binary, dir: filepath.Join(dir, "data"), addr: addr, base: "http://" + addr, flags: flags,
		noted: map[string]int{}, webhooks: map[string]string{},
	}
	t.Cleanup(g.end)
	return g
}

func (g *victim) start() {
	g.t.Helper()
	g.logs = new(bytes.Buffer)
	args := append([]string{"serve", "--listen", g.addr, "--data", g.dir, "--log-level", "warn"}, g.flags...)
	g.cmd = exec.Command(g.binary, args...)
	g.cmd.Stdout, g.cmd.Stderr = g.logs, g.logs
	if err := g.cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		g.cmd.Wait()
		close(exited)
	}()
	g.exited = exited
	waitUntil(g.t, 30*time.Second, "the gateway to be ready", func() bool {
		select {
		case <-exited:
			g.t.Fatalf("the gateway ended and said:\n%s", g.logs)
		default:
		}
		resp, err := http.Get(g.base + "/readyz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// kill ends a life. It returns when the sink has got whatever the gateway had sent, so that each request belongs to one
// life, and those of different lives are in the order of the lives.
func (g *victim) kill() {
	g.t.Helper()
	g.killed = append(g.killed, time.Now())
	g.end()
	waitUntil(g.t, 30*time.Second, "the sink to see the connections closed", g.sink.nextLife)
}

// end kills the gateway if it runs.
func (g *victim) end() {
	if g.cmd == nil {
		return
	}
	g.cmd.Process.Signal(syscall.SIGKILL)
	<-g.exited
	g.cmd = nil
	if strings.Contains(g.logs.String(), "panic") || strings.Contains(g.logs.String(), "level=ERROR") {
		g.t.Errorf("the gateway said:\n%s", g.logs)
	}
}

// ask makes a request to a gateway that runs and reads the answer.
func (g *victim) ask(method, path, body string, wantStatus int, into any) {
	g.t.Helper()
	req, err := http.NewRequest(method, g.base+path, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != wantStatus {
		g.t.Fatalf("%s %s: %s %v\n%s", method, path, resp.Status, err, answer)
	}
	if into == nil {
		return
	}
	if err := json.Unmarshal(answer, into); err != nil {
		g.t.Fatalf("%s %s: %v\n%s", method, path, err, answer)
	}
}

// register registers one of the sink's webhooks, with a schedule that no kill uses up.
func (g *victim) register(name, settings string) {
	g.t.Helper()
	g.registerWith(name, settings, `["1s"`+strings.Repeat(`,"1s"`, 99)+`]`)
}

func (g *victim) registerWith(name, settings, schedule string) {
	g.t.Helper()
	// The timeout is as long as can be: an answer that came too late would be a duplicate without a kill.
	body := fmt.Sprintf(`{"url":%q,"timeout":"60s","retry":{"schedule":%s},%s}`, g.sink.URL+"/"+name, schedule, settings)
	var made struct {
		ID string `json:"id"`
	}
	g.ask("POST", "/v1/webhooks", body, http.StatusCreated, &made)
	g.webhooks[name] = made.ID
}

// post posts events to a topic one after another until ctx ends, or all of a number. One whose answer was lost is posted
// again under its key, so that the ledger knows of each.
func (g *victim) post(ctx context.Context, l *ledger, poster int, topic string, most int) {
	client := &http.Client{Timeout: 10 * time.Second}
	for n := 0; ctx.Err() == nil && (most == 0 || n < most); n++ {
		event := posted{
			payload: fmt.Sprintf("customer-%d poster-%d event-%d %s", n%7, poster, n, l.padding), topic: topic,
		}
		for try := 0; ; try++ {
			req, err := http.NewRequest(http.MethodPost, g.base+"/v1/topics/"+topic+"/events", strings.NewReader(event.payload))
			if err != nil {
				g.t.Error(err)
				return
			}
			req.Header.Set("Idempotency-Key", strconv.Itoa(poster)+"/"+topic+"/"+strconv.Itoa(n))
			req.Header.Set("Carillon-Partition-Key", keyOf(event.payload))
			req.Header.Set("Content-Type", "text/plain")
			resp, err := client.Do(req)
			if err == nil {
				var receipt struct {
					ID     string `json:"id"`
					Cursor string `json:"cursor"`
				}
				err = json.NewDecoder(resp.Body).Decode(&receipt)
				resp.Body.Close()
				if err == nil && resp.StatusCode == http.StatusAccepted {
					event.cursor = receipt.Cursor
					l.accept(receipt.ID, event, try > 0)
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
		if most == 0 {
			time.Sleep(time.Duration(rand.IntN(15)) * time.Millisecond) // so that the flaky one can follow
		}
	}
}

// listed is an event or a delivery in a list.
type listed struct {
	ID     string `json:"id"`
	Cursor string `json:"cursor"`
	Topic  string `json:"topic"`
}

// pages reads a list to its end.
func (g *victim) pages(path string, yield func(listed)) {
	g.t.Helper()
	next := ""
	for {
		var page struct {
			Data []listed `json:"data"`
			Next *string  `json:"next"`
		}
		g.ask("GET", path+next, "", http.StatusOK, &page)
		for _, d := range page.Data {
			yield(d)
		}
		if page.Next == nil {
			return
		}
		next = "&page=" + url.QueryEscape(*page.Next)
	}
}

// storedEvents returns the cursors of the events in the log by their ids.
func (g *victim) storedEvents(pattern string) map[string]string {
	g.t.Helper()
	ids := map[string]string{}
	g.pages("/v1/events?limit=500&topic="+url.QueryEscape(pattern), func(e listed) { ids[e.ID] = e.Cursor })
	return ids
}

// note remembers the newest deliveries that the gateway shows as settled in this life: what it shows is stored, and no
// kill may undo it.
func (g *victim) note(state string) {
	g.t.Helper()
	var page struct {
		Data []listed `json:"data"`
	}
	g.ask("GET", "/v1/deliveries?limit=500&state="+state, "", http.StatusOK, &page)
	for _, d := range page.Data {
		if _, ok := g.noted[d.ID]; !ok {
			g.noted[d.ID] = len(g.killed)
		}
	}
}

// checkDuplicates looks at what came to a webhook after it had come with success, and returns it by the life in which
// that success was. The second promise: a crash makes at most those duplicates that were in flight, or answered and not
// yet committed. So of each duplicate,
//
//   - a kill lies between the two requests,
//   - the first was under way when the gateway was killed, or had been answered less than uncommitted before,
//   - and the gateway had not shown it as delivered before it was killed.
//
// A request with Carillon-Replay is owed again: only with others of the same replay is it a duplicate.
func (g *victim) checkDuplicates(name string) map[int][]*arrival {
	g.t.Helper()
	type kind struct {
		delivery string
		replay   bool
		round    int // of replays
	}
	kindOf := func(r *arrival) kind {
		if r.replay {
			return kind{r.delivery, true, r.round}
		}
		return kind{delivery: r.delivery}
	}
	last := map[kind]*arrival{}
	again := map[int][]*arrival{}
	made := map[string]bool{}
	count, inFlight := 0, 0
	all := g.sink.requests(name)
	for _, r := range all {
		first := last[kindOf(r)]
		if shown, ok := g.noted[r.delivery]; ok && shown < r.life && !r.replay {
			g.t.Errorf("%s: delivery %s was shown as settled in life %d, and came again in life %d", name, r.delivery, shown, r.life)
		}
		if first != nil {
			count++
			again[first.life] = append(again[first.life], r)
			switch {
			case first.life == r.life:
				g.t.Errorf("%s: delivery %s came twice in life %d, after %s and %s of it", name, r.delivery, r.life, first.came, r.came)
			case first.answered.IsZero() || first.answered.After(g.killed[first.life]):
				inFlight++
			case g.killed[first.life].Sub(first.answered) > uncommitted:
				g.t.Errorf("%s: delivery %s came again %s after it was answered and %s before the kill", name, r.delivery,
					r.came.Sub(first.answered), g.killed[first.life].Sub(first.answered))
			}
		}
		last[kindOf(r)] = nil // what follows a failure is its retry
		if r.succeeded() {
			made[r.delivery] = true
			last[kindOf(r)] = r
		}
	}
	worst := 0
	for _, requests := range again {
		worst = max(worst, len(requests))
	}
	g.t.Logf("%s: %d deliveries made in %d requests; %d came again, %d of them under way at the kill (%.1f a kill, at most %d)",
		name, len(made), len(all), count, inFlight, float64(count)/float64(max(1, len(g.killed))), worst)
	return again
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
