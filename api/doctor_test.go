package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// block is one block of a doctor's answer.
type block struct{ comments, event, data string }

func blocksOf(text string) []block {
	var blocks []block
	for part := range strings.SplitSeq(strings.TrimSuffix(text, "\n\n"), "\n\n") {
		var b block
		for line := range strings.SplitSeq(part, "\n") {
			switch name, value, _ := strings.Cut(line, ": "); name {
			case "":
				b.comments += value + "\n"
			case "event":
				b.event = value
			case "data":
				b.data = value
			default:
				b.data = "unexpected: " + line
			}
		}
		blocks = append(blocks, b)
	}
	return blocks
}

func TestDoctorTellsHowTheRequestArrivedAndTicks(t *testing.T) {
	g := newGateway(t, nil)
	a := g.do("GET", "/v1/stream/doctor?ticks=3&interval=10ms&silence=20ms", headers{
		"Via", "1.1 outer", "Via", "1.0 inner\"", "X-Forwarded-For", "203.0.113.7", "Accept-Encoding", "gzip",
		"Authorization", "Bearer hidden", "Cookie", "session=hidden", "X-Own", "hidden",
	}, "").want(200)
	blocks := blocksOf(string(a.body))
	var names []string
	for _, b := range blocks {
		names = append(names, b.event)
	}
	// The one without a name is the comment before the silence.
	if want := []string{"doctor", "tick", "tick", "tick", "", "tick", "done"}; !slices.Equal(names, want) {
		t.Fatalf("blocks %q:\n%s", names, a.body)
	}

	var arrival struct {
		Protocol, Remote, Host string
		Headers                map[string][]string
		Time                   time.Time
		Plan                   json.RawMessage
	}
	if err := json.Unmarshal([]byte(blocks[0].data), &arrival); err != nil {
		t.Fatal(err)
	}
	if arrival.Protocol != "HTTP/1.1" || !strings.HasPrefix(arrival.Remote, "127.0.0.1:") || arrival.Host != g.host {
		t.Errorf("arrival %+v", arrival)
	}
	wantHeaders := map[string][]string{"Via": {"1.1 outer", "1.0 inner\""}, "X-Forwarded-For": {"203.0.113.7"}, "Accept-Encoding": {"gzip"}}
	if fmt.Sprint(arrival.Headers) != fmt.Sprint(wantHeaders) {
		t.Errorf("headers %q", arrival.Headers)
	}
	if string(arrival.Plan) != `{"ticks":3,"interval":"10ms","silence":"20ms"}` {
		t.Errorf("plan %s", arrival.Plan)
	}
	if strings.Contains(string(a.body), "hidden") || strings.Contains(string(a.body), "silence=") {
		t.Errorf("more is shown than should be:\n%s", a.body)
	}

	last := arrival.Time
	for i, b := range []block{blocks[1], blocks[2], blocks[3], blocks[5]} {
		var tick struct {
			N, Of int
			Sent  time.Time
		}
		if err := json.Unmarshal([]byte(b.data), &tick); err != nil {
			t.Fatal(err)
		}
		if tick.N != i+1 || tick.Of != 4 || !tick.Sent.After(last) {
			t.Errorf("tick %d is %s, after %s", i+1, b.data, last)
		}
		last = tick.Sent
	}
	if blocks[6].data != `{"status":"complete"}` {
		t.Errorf("it ended with %s", blocks[6].data)
	}
	for i, want := range map[int]string{0: "all at once", 1: "all at once", 2: "all at once", 4: "Now nothing for 20ms", 5: "nothing was cut"} {
		if !strings.Contains(blocks[i].comments, want) {
			t.Errorf("block %d does not say %q but %q", i, want, blocks[i].comments)
		}
	}
}

// What a proxy does with a stream depends on its headers: the doctor's must be those of a real one.
func TestDoctorHasTheHeadersOfAStream(t *testing.T) {
	g := newGateway(t, nil)
	answers := make([]*http.Response, 2)
	for i, path := range []string{"/v1/stream?topic=a", "/v1/stream/doctor"} {
		res := g.open(path)
		if res.StatusCode != 200 {
			t.Fatalf("%s: %s", path, res.Status)
		}
		answers[i] = res
	}
	for _, name := range []string{
		"Content-Type", "Content-Encoding", "Cache-Control", "X-Accel-Buffering", "X-Content-Type-Options", "Vary", "Expires", "Etag",
	} {
		if !slices.Equal(answers[0].Header[name], answers[1].Header[name]) {
			t.Errorf("%s: a stream has %q, a doctor %q", name, answers[0].Header[name], answers[1].Header[name])
		}
	}
	// A proxy can hand chunks on that it would hold back were they a body that ends with its connection.
	if a, b := answers[0], answers[1]; !slices.Equal(a.TransferEncoding, b.TransferEncoding) || a.Close != b.Close || a.ContentLength != b.ContentLength {
		t.Errorf("a stream is sent as %q, closes: %t; a doctor as %q, closes: %t", a.TransferEncoding, a.Close, b.TransferEncoding, b.Close)
	}
	if got := answers[1].Header.Get("Cache-Control"); got != "no-store, no-transform" {
		t.Errorf("Cache-Control is %q", got)
	}
}

// open asks for a stream and returns when its head has come. It is left when the test ends, or earlier by closing the
// body.
func (g *gateway) open(path string) *http.Response {
	g.t.Helper()
	ctx, cancel := context.WithCancel(g.t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, g.url+path, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	res, err := g.client.Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	// Before the gateway is taken down, which would wait for it.
	g.t.Cleanup(func() {
		cancel()
		res.Body.Close()
	})
	return res
}

func TestDoctorsOldHTTP(t *testing.T) {
	g := newGateway(t, nil)
	a := g.raw("GET /v1/stream/doctor?ticks=1&interval=10ms HTTP/1.0\r\nHost: "+g.host+"\r\n\r\n", false).want(200)
	blocks := blocksOf(string(a.body))
	if len(blocks) != 3 || !strings.Contains(blocks[0].data, `"protocol":"HTTP/1.0"`) || blocks[2].event != "done" {
		t.Errorf("got %s", a.body)
	}
}

func TestDoctorsAreBounded(t *testing.T) {
	g := newGateway(t, nil)
	var open []*http.Response
	for range 32 {
		res := g.open("/v1/stream/doctor?ticks=100&interval=5s")
		if res.StatusCode != 200 {
			t.Fatalf("number %d: %s", len(open)+1, res.Status)
		}
		open = append(open, res)
	}
	a := g.do("GET", "/v1/stream/doctor", nil, "")
	a.wantProblem(503, "unavailable")
	if got := a.header.Get("Retry-After"); got != "10" {
		t.Errorf("Retry-After is %q", got)
	}
	// Bad parameters are told of all the same, and a client that leaves makes room.
	g.tryBad("GET", "/v1/stream/doctor?ticks=0", nil, "").wantProblem(400, "bad-request", "ticks")
	open[0].Body.Close()
	eventually(t, "room for another", func() bool {
		return g.do("GET", "/v1/stream/doctor?ticks=1&interval=10ms", nil, "").status == 200
	})
}

func TestDrainEndsDoctors(t *testing.T) {
	g := newGateway(t, nil)
	res := g.open("/v1/stream/doctor?ticks=100&interval=5s&silence=150s")
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() && lines.Text() != "event: doctor" {
	}
	g.api.Drain()
	var rest []string
	for lines.Scan() {
		rest = append(rest, lines.Text())
	}
	if err := lines.Err(); err != nil {
		t.Error(err)
	}
	text := strings.Join(rest, "\n")
	if !strings.HasSuffix(text, "event: done\ndata: {\"status\":\"stopping\"}\n") || strings.Contains(text, "event: tick") {
		t.Errorf("it ended with %q", text)
	}
	a := g.do("GET", "/v1/stream/doctor", nil, "")
	a.wantProblem(503, "unavailable")
	if a.header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After is %q", a.header.Get("Retry-After"))
	}
}

func TestDoctorStandsBehindTheDoor(t *testing.T) {
	g := newGateway(t, nil)
	g.tryBad("GET", "/v1/stream/doctor", headers{"Origin", "https://evil.example"}, "").wantProblem(403, "forbidden-origin")
}
