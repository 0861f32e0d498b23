package api_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/carillon/carillon/stats"
)

// statsPoint is a point as a client reads it.
type statsPoint struct {
	Time             time.Time
	Events           int
	Deliveries       struct{ Delivered, Retrying, Failed, Canceled int }
	Latency          *struct{ P50, P99 float64 } `json:"latency_ms"`
	Backlog, Streams int
}

type statsAnswer struct {
	IntervalMS int `json:"interval_ms"`
	Points     []statsPoint
	Now        statsPoint
	Attention  []struct {
		Webhook, Problem, Detail string
		Since                    *time.Time
	}
}

// total sums up what a history and the present tell.
func (a *statsAnswer) total() (sum statsPoint) {
	for _, p := range append(slices.Clone(a.Points), a.Now) {
		sum.Events += p.Events
		sum.Deliveries.Delivered += p.Deliveries.Delivered
		sum.Deliveries.Retrying += p.Deliveries.Retrying
		sum.Deliveries.Failed += p.Deliveries.Failed
		sum.Deliveries.Canceled += p.Deliveries.Canceled
	}
	return sum
}

func TestStats(t *testing.T) {
	g := newGateway(t, nil)
	good := receiver(t, func(w http.ResponseWriter, _ *http.Request) {})
	bad := receiver(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(400) })
	g.hook(good, "orders.*", "")
	trying := g.hook(bad, "orders.*", `,"retry":{"schedule":["1h"]}`)
	dead := g.hook(bad, "orders.*", `,"retry":{"schedule":[]}`)
	off := g.hook(good, "orders.*", `,"enabled":false`)
	g.openStream("GET", "/v1/stream?topic=orders.*", nil, "")
	const n = 4
	for range n {
		g.publish("orders.eu", "x")
	}
	g.publish("nobody", "x")
	var got statsAnswer
	eventually(t, "all to be counted", func() bool {
		got = statsAnswer{}
		g.do("GET", "/v1/stats", nil, "").want(200).into(&got)
		d := got.total().Deliveries
		return d.Delivered == n && d.Retrying == n && d.Failed == n && d.Canceled == n && got.total().Events == n+1
	})
	if got.IntervalMS != 5000 || got.Now.Streams != 1 {
		t.Errorf("got %+v", got)
	}
	// What is pending is asked for every five seconds; what needs attention is looked for as often.
	eventually(t, "the backlog and a measured point", func() bool {
		got = statsAnswer{}
		g.do("GET", "/v1/stats", nil, "").want(200).into(&got)
		measured := slices.ContainsFunc(got.Points, func(p statsPoint) bool {
			return p.Latency != nil && p.Latency.P99 >= p.Latency.P50 && p.Latency.P50 > 0
		})
		return got.Now.Backlog == n && measured && len(got.Attention) == 3 && got.Attention[0].Problem == "failing"
	})
	problems := make(map[string]string)
	for _, c := range got.Attention {
		problems[c.Webhook] = c.Problem
		if c.Since == nil || c.Since.IsZero() || c.Detail == "" {
			t.Errorf("got %+v", c)
		}
	}
	if problems[trying] != "failing" || problems[dead] != "failing" || problems[off] != "disabled" || got.Attention[2].Webhook != off {
		t.Errorf("needing attention are %v", got.Attention)
	}
	if strings.Contains(fmt.Sprint(got.Attention), bad) {
		t.Errorf("a receiver's address is told: %v", got.Attention)
	}
	g.do("DELETE", "/v1/webhooks/"+dead, nil, "").want(204)
	got = statsAnswer{}
	g.do("GET", "/v1/stats", nil, "").want(200).into(&got)
	for _, c := range got.Attention {
		if c.Webhook == dead {
			t.Errorf("a deleted webhook needs attention: %+v", c)
		}
	}
	g.tryBad("GET", "/v1/stats?limit=1", nil, "").wantProblem(400, "bad-request", "limit")
	g.tryBad("GET", "/v1/stats/stream?limit=1", nil, "").wantProblem(400, "bad-request", "limit")
}

// A dead letter of a webhook that succeeds again is what is left to look at.
func TestStatsTellOfDeadLetters(t *testing.T) {
	g := newGateway(t, nil)
	var status atomic.Int32
	status.Store(400)
	hook := g.hook(receiver(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(status.Load())) }), "a", `,"retry":{"schedule":[]},"order":"strict"`)
	g.publish("a", "x")
	eventually(t, "a dead letter", func() bool {
		return strings.Contains(string(g.do("GET", "/v1/deliveries?state=failed", nil, "").want(200).body), hook)
	})
	status.Store(200)
	g.publish("a", "x")
	eventually(t, "the dead letter alone", func() bool {
		var got statsAnswer
		g.do("GET", "/v1/stats", nil, "").want(200).into(&got)
		return len(got.Attention) == 1 && got.Attention[0].Webhook == hook && got.Attention[0].Problem == "dead-letters"
	})
}

// nextBlock reads the next block of an event stream: its event, its data and whatever else is in it.
func nextBlock(t *testing.T, s *bufio.Scanner) (name, data, rest string) {
	t.Helper()
	for s.Scan() {
		field, value, _ := strings.Cut(s.Text(), ": ")
		switch field {
		case "":
			return name, data, rest
		case "event":
			name = value
		case "data":
			data += value
		default:
			rest += s.Text()
		}
	}
	t.Fatalf("the stream ended: %v", s.Err())
	return "", "", ""
}

func TestStatsStream(t *testing.T) {
	g := newGatewayWithKey(t, adminKey, nil)
	key := g.makeKey(asAdmin, `{"name":"x","scopes":["manage"]}`)
	res := g.openStream("GET", "/v1/stats/stream", bearer(key.Key), "")
	if got := res.Header.Get("Content-Type"); got != "text/event-stream" || res.Header.Get("Cache-Control") != "no-store, no-transform" {
		t.Errorf("headers are %v", res.Header)
	}
	body := bufio.NewScanner(res.Body)
	body.Buffer(nil, 1<<20)
	name, data, rest := nextBlock(t, body)
	var history statsAnswer
	if err := json.Unmarshal([]byte(data), &history); err != nil || name != "history" || history.IntervalMS != 5000 || history.Points == nil ||
		!strings.HasPrefix(rest, "retry: ") {
		t.Fatalf("opens with %s %s %s: %v", name, data, rest, err)
	}
	g.do("POST", "/v1/topics/a/events", slices.Concat(asAdmin, headers{"Content-Type", "text/plain"}), "x").want(202)
	events := 0
	for range 3 { // the event can be on either side of a point
		name, data, _ := nextBlock(t, body)
		var p statsPoint
		if err := json.Unmarshal([]byte(data), &p); err != nil || name != "point" || p.Time.IsZero() {
			t.Fatalf("got %s %s: %v", name, data, err)
		}
		if events += p.Events; events > 0 {
			break
		}
	}
	if events != 1 {
		t.Errorf("%d events were told", events)
	}
	// A key that is revoked ends it in place of the next point.
	g.do("DELETE", "/v1/keys/"+key.ID, asAdmin, "").want(204)
	if name, data, _ := nextBlock(t, body); name != "" {
		t.Fatalf("got %s %s", name, data)
	}
	if name, data, _ := nextBlock(t, body); name != "_stream" || data != `{"status":"expired"}` {
		t.Errorf("got %s %s", name, data)
	}
	if body.Scan() {
		t.Errorf("after the end came %s", body.Text())
	}
}

func TestStatsStreamsAreBoundedAndEnd(t *testing.T) {
	g := newGateway(t, nil)
	var open []*bufio.Scanner
	for range stats.MaxWatchesOfTenant {
		s := bufio.NewScanner(g.openStream("GET", "/v1/stats/stream", nil, "").Body)
		s.Buffer(nil, 1<<20)
		if name, _, _ := nextBlock(t, s); name != "history" {
			t.Fatalf("got %s", name)
		}
		open = append(open, s)
	}
	full := bufio.NewScanner(g.openStream("GET", "/v1/stats/stream", nil, "").Body)
	if name, _, rest := nextBlock(t, full); name != "" || !strings.HasPrefix(rest, "retry: 1") {
		t.Errorf("got %s %s", name, rest)
	}
	if name, data, _ := nextBlock(t, full); name != "_stream" || data != `{"status":"full"}` {
		t.Errorf("got %s %s", name, data)
	}
	g.api.Drain()
	for _, s := range open {
		name, _, rest := nextBlock(t, s)
		for name == "point" {
			name, _, rest = nextBlock(t, s)
		}
		if name != "" || !strings.HasPrefix(rest, "retry: ") || s.Scan() {
			t.Errorf("ends with %s %s", name, rest)
		}
	}
	late := bufio.NewScanner(g.openStream("GET", "/v1/stats/stream", nil, "").Body)
	if name, _, rest := nextBlock(t, late); name != "" || !strings.HasPrefix(rest, "retry: ") || late.Scan() {
		t.Errorf("after the end: %s %s", name, rest)
	}
}

// The numbers are a tenant's: all of them and no other's, and not for who reaches only a part of it.
func TestStatsKeepToTheirTenant(t *testing.T) {
	g := newGatewayWithKey(t, adminKey, nil)
	mine, theirs := g.makeTenant("mine", `{}`), g.makeTenant("theirs", `{}`)
	asText := headers{"Content-Type", "text/plain"}
	for range 3 {
		g.do("POST", "/v1/topics/a/events", slices.Concat(theirs, asText), "x").want(202)
	}
	g.do("POST", "/v1/topics/a/events", slices.Concat(mine, asText), "x").want(202)
	for who, c := range map[string]struct {
		h    headers
		want int
	}{"mine": {mine, 1}, "theirs": {theirs, 3}, "the admin": {asAdmin, 0}, "the admin for them": {forTenant("theirs"), 3}} {
		eventually(t, who, func() bool {
			var got statsAnswer
			g.do("GET", "/v1/stats", c.h, "").want(200).into(&got)
			return got.total().Events == c.want
		})
	}
	s := bufio.NewScanner(g.openStream("GET", "/v1/stats/stream", mine, "").Body)
	s.Buffer(nil, 1<<20)
	sum := 0
	for i := 0; i < 3 && sum == 0; i++ {
		name, data, _ := nextBlock(t, s)
		var p statsPoint
		var h statsAnswer
		if name == "history" {
			if err := json.Unmarshal([]byte(data), &h); err != nil {
				t.Fatal(err)
			}
			p = h.total()
		} else if err := json.Unmarshal([]byte(data), &p); err != nil {
			t.Fatal(err)
		}
		sum += p.Events
	}
	if sum != 1 {
		t.Errorf("the stream tells of %d events", sum)
	}
	part := bearer(g.makeKey(asAdmin, `{"name":"x","scopes":["manage"],"topics":["orders.**"]}`).Key)
	all := bearer(g.makeKey(asAdmin, `{"name":"x","scopes":["manage"],"topics":["**"]}`).Key)
	portal := bearer(g.portalToken(asAdmin, `{"topics":["**"]}`))
	for _, path := range []string{"/v1/stats", "/v1/stats/stream"} {
		g.do("GET", path, part, "").wantProblem(403, "forbidden")
		g.do("GET", path, portal, "").wantProblem(403, "forbidden")
	}
	g.do("GET", "/v1/stats", all, "").want(200)
}

// While the deliveries are not running nobody waits for ever.
func TestStatsAreNotWaitedForAtTheEnd(t *testing.T) {
	g := newGateway(t, nil)
	g.api.Drain()
	g.do("GET", "/v1/stats", nil, "").wantProblem(503, "unavailable")
}
