package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/stream"
)

// openStream opens a stream that stays open for the time of the test, and reads its head.
func (g *gateway) openStream(method, path string, h headers, body string) *http.Response {
	g.t.Helper()
	ctx, cancel := context.WithCancel(g.t.Context())
	g.t.Cleanup(cancel)
	r := g.request(method, path, h, bodyOf(body)).WithContext(ctx)
	res, err := g.client.Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { res.Body.Close() })
	if res.StatusCode != http.StatusOK {
		g.t.Fatalf("%s %s: %s", method, path, res.Status)
	}
	return res
}

// lines reads a stream up to the line that has a text, and returns all of them but ids, retry and blank ones.
func lines(t *testing.T, body *bufio.Scanner, last string) string {
	t.Helper()
	var got []string
	for body.Scan() {
		line := body.Text()
		if line == "" || strings.HasPrefix(line, "id: ") || strings.HasPrefix(line, "retry: ") {
			continue
		}
		got = append(got, line)
		if strings.Contains(line, last) {
			return strings.Join(got, "\n")
		}
	}
	t.Fatalf("the stream ended after %q", got)
	return ""
}

func TestPostStream(t *testing.T) {
	g := newGateway(t, nil)
	g.publish("orders.eu", "one")
	second := g.publish("users.x", "two")
	g.publish("orders.us", "three")
	asJSON := headers{"Content-Type", "application/json"}
	for _, test := range []struct{ name, body, id, last, want string }{
		{"topics", `{"topics":["orders.*","users.x"],"since":"earliest"}`, "", "three", "data: one\ndata: two\ndata: three"},
		{"nulls", `{"topics":["orders.*"],"since":"1d","format":null,"event":null,"filter":null,"last_event_id":null}`, "", "three",
			"data: one\ndata: three"},
		{"named", `{"topics":["**"],"event":"topic","last_event_id":"` + second.Cursor + `"}`, "", "three",
			"event: orders.us\ndata: three"},
		{"the header beats the body", `{"topics":["**"],"last_event_id":"zzz"}`, second.Cursor, "three", "data: three"},
		{"filter", `{"topics":["**"],"since":"earliest","filter":"topic.startsWith('orders.') && topic != 'orders.eu'"}`, "", "three",
			"data: three"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := asJSON
			if test.id != "" {
				h = append(h, "Last-Event-ID", test.id)
			}
			res := g.openStream("POST", "/v1/stream", h, test.body)
			want := "event: _stream\ndata: {\"status\":\"resumed\"}\n" + test.want
			if got := lines(t, bufio.NewScanner(res.Body), test.last); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
	many := `{"topics":["` + strings.Repeat(`orders.eu","`, 1000) + `orders.eu"]}`
	for _, test := range []struct {
		body   string
		fields []string
	}{
		{`{}`, []string{"topics"}},
		{`{"topics":null}`, []string{"topics"}},
		{`{"topics":[]}`, []string{"topics"}},
		{`{"topics":["a","b..c","**.d"]}`, []string{"topics[1]", "topics[2]"}},
		{many, []string{"topics"}},
		{`{"topics":["a"],"format":"xml","event":"name","since":"yesterday","filter":"topic ==","other":1}`,
			[]string{"format", "event", "since", "filter", "other"}},
		{`{"topics":["a"],"since":17,"last_event_id":[]}`, []string{"since", "last_event_id"}},
	} {
		g.tryBad("POST", "/v1/stream", asJSON, test.body).wantProblem(http.StatusUnprocessableEntity, "invalid", test.fields...)
	}
	g.tryBad("POST", "/v1/stream", headers{"Content-Type", "text/plain"}, `{"topics":["a"]}`).wantProblem(http.StatusUnsupportedMediaType, "unsupported-media-type")
	g.tryBad("POST", "/v1/stream?topic=a", asJSON, `{"topics":["a"]}`).wantProblem(http.StatusBadRequest, "bad-request", "topic")
}

func TestStreamFilter(t *testing.T) {
	g := newGateway(t, nil)
	filtered := "/v1/stream?topic=orders.*&filter=" + url.QueryEscape("data.total > 100")
	live := bufio.NewScanner(g.openStream("GET", filtered, nil, "").Body)
	first := g.publish("orders.eu", `{"total":99}`)
	g.publish("orders.eu", "not JSON")
	g.publish("users.x", `{"total":1000}`)
	g.publish("orders.eu", `{"total":101}`)
	if got := lines(t, live, "101"); got != `data: {"total":101}` {
		t.Errorf("live: %s", got)
	}
	again := bufio.NewScanner(g.openStream("GET", filtered+"&lastEventId="+first.Cursor, nil, "").Body)
	if got := lines(t, again, "101"); got != "event: _stream\ndata: {\"status\":\"resumed\"}\ndata: {\"total\":101}" {
		t.Errorf("resumed: %s", got)
	}
	g.tryBad("GET", "/v1/stream?topic=a&filter=topic+%3D%3D", nil, "").wantProblem(http.StatusBadRequest, "bad-request", "filter")
}

// line is a line of NDJSON: a CloudEvent or what the gateway says of the stream.
type line struct {
	Data           string
	CarillonCursor string
	CarillonTopic  string
	Stream         *struct {
		Status, Oldest, Cursor string
		Retry                  int
	} `json:"_stream"`
}

func nextLine(t *testing.T, body *bufio.Scanner) line {
	t.Helper()
	if !body.Scan() {
		t.Fatalf("the stream ended: %v", body.Err())
	}
	var l line
	if err := json.Unmarshal(body.Bytes(), &l); err != nil {
		t.Fatalf("%v in %q", err, body.Text())
	}
	return l
}

func TestLines(t *testing.T) {
	g := newGateway(t, nil)
	asLines := headers{"Accept", "text/html;q=0.5, application/x-ndjson"}
	res := g.openStream("GET", "/v1/stream?topic=orders.*", asLines, "")
	if got := res.Header.Get("Content-Type"); got != "application/x-ndjson" {
		t.Errorf("content type %q", got)
	}
	body := bufio.NewScanner(res.Body)
	if l := nextLine(t, body); l.Stream == nil || l.Stream.Cursor != event.Cursor(0).String() || l.Stream.Status != "" {
		t.Errorf("opens with %s", body.Text())
	}
	first := g.publish("orders.eu", "a\nb")
	if l := nextLine(t, body); l.Data != "a\nb" || l.CarillonCursor != first.Cursor || l.CarillonTopic != "orders.eu" || l.Stream != nil {
		t.Errorf("got %s", body.Text())
	}
	g.publish("orders.eu", "c")
	res = g.openStream("GET", "/v1/stream?topic=orders.*&last_event_id="+first.Cursor, asLines, "")
	body = bufio.NewScanner(res.Body)
	if l := nextLine(t, body); l.Stream == nil || l.Stream.Cursor != first.Cursor || l.Stream.Status != "resumed" {
		t.Errorf("resumes with %s", body.Text())
	}
	if l := nextLine(t, body); l.Data != "c" {
		t.Errorf("got %s", body.Text())
	}
	res = g.openStream("GET", "/v1/stream?topic=orders.*&last_event_id=zzz", asLines, "")
	body = bufio.NewScanner(res.Body)
	if l := nextLine(t, body); l.Stream == nil || l.Stream.Status != "gap" || l.Stream.Oldest != event.Cursor(0).String() {
		t.Errorf("after an unknown id: %s", body.Text())
	}
	if got := g.openStream("GET", "/v1/stream?topic=a", headers{"Accept", "application/x-ndjson;q=0"}, "").Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("lines that are refused are sent all the same: %s", got)
	}
}

// polled is a poll's answer.
type polled struct {
	Data []line
	Next string
	Gap  *struct{ Oldest string }
}

func (g *gateway) poll(path string) polled {
	g.t.Helper()
	var p polled
	g.do("GET", path, nil, "").want(200).into(&p)
	return p
}

func TestPoll(t *testing.T) {
	g := newGateway(t, nil)
	first := g.publish("orders.eu", "one")
	if p := g.poll("/v1/topics/orders.*/events"); len(p.Data) != 0 || p.Next != first.Cursor || p.Gap != nil {
		t.Errorf("a first poll: %+v", p)
	}
	g.publish("users.x", "not asked for")
	last := g.publish("orders.us", "two")
	g.publish("orders.us", "three")
	p := g.poll("/v1/topics/orders.*/events?limit=2&after=" + event.Cursor(0).String())
	if len(p.Data) != 2 || p.Data[0].Data != "one" || p.Data[1].Data != "two" || p.Next != last.Cursor || p.Gap != nil {
		t.Errorf("two: %+v", p)
	}
	p = g.poll("/v1/topics/orders.*/events?wait=60&after=" + p.Next)
	if len(p.Data) != 1 || p.Data[0].Data != "three" {
		t.Errorf("the rest: %+v", p)
	}
	// Nothing matches, but the place moves.
	if q := g.poll("/v1/topics/other/events?after=" + event.Cursor(0).String()); len(q.Data) != 0 || q.Next != p.Next {
		t.Errorf("nothing: %+v", q)
	}
	if q := g.poll("/v1/topics/orders.*/events?filter=false&after=" + event.Cursor(0).String()); len(q.Data) != 0 || q.Next != p.Next {
		t.Errorf("filtered: %+v", q)
	}
	if q := g.poll("/v1/topics/orders.*/events?after=" + event.MaxCursor.String()); q.Gap == nil || q.Next != p.Next {
		t.Errorf("after the future: %+v", q)
	}
	waited := make(chan polled)
	go func() { waited <- g.poll("/v1/topics/orders.*/events?wait=60&after=" + p.Next) }()
	g.publish("users.x", "not asked for")
	four := g.publish("orders.us", "four")
	if p := <-waited; len(p.Data) != 1 || p.Data[0].Data != "four" || p.Next != four.Cursor {
		t.Errorf("waited for: %+v", p)
	}
	for _, test := range []struct{ query, field string }{
		{"after=zzz", "after"}, {"after=", "after"}, {"wait=61", "wait"}, {"wait=9223372037", "wait"}, {"wait=18446744074", "wait"}, {"wait=-1", "wait"}, {"wait=1s", "wait"},
		{"limit=0", "limit"}, {"filter=(", "filter"}, {"since=1h", "since"},
	} {
		g.tryBad("GET", "/v1/topics/orders.*/events?"+test.query, nil, "").wantProblem(http.StatusBadRequest, "bad-request", test.field)
	}
	g.tryBad("GET", "/v1/topics/a..b/events", nil, "").wantProblem(http.StatusBadRequest, "bad-request", "topic")
}

// shown is a stream as the list shows it.
type shown struct {
	ID, Format, Cursor string
	Topics             []string
	Filter, Event      *string
	Address, Key       *string
	OpenedAt           time.Time `json:"opened_at"`
	Lag                int
	CatchingUp         bool `json:"catching_up"`
}

func TestListStreams(t *testing.T) {
	g := newGateway(t, nil)
	var list struct {
		Data []shown
		Next *string
	}
	get := func(query string) []shown {
		g.do("GET", "/v1/streams"+query, nil, "").want(200).into(&list)
		return list.Data
	}
	if got := get(""); len(got) != 0 {
		t.Errorf("streams before there are any: %+v", got)
	}
	g.openStream("GET", "/v1/stream?topic=orders.*&topic=users.x&event=topic", nil, "")
	g.openStream("GET", "/v1/stream?topic=orders.*&filter=true", headers{"Accept", "application/x-ndjson"}, "")
	eventually(t, "both streams keep up", func() bool {
		got := get("")
		return len(got) == 2 && !got[0].CatchingUp && !got[1].CatchingUp
	})
	receipt := g.publish("orders.eu", "x")
	eventually(t, "both have the event", func() bool {
		got := get("")
		return len(got) == 2 && got[0].Cursor == receipt.Cursor && got[1].Cursor == receipt.Cursor
	})
	first, second := list.Data[0], list.Data[1]
	if strings.Join(first.Topics, " ") != "orders.* users.x" || first.Format != "raw" || first.Event == nil || first.Filter != nil || first.Lag != 0 ||
		first.Address == nil || *first.Address != "127.0.0.1" || time.Since(first.OpenedAt) > time.Hour {
		t.Errorf("the first: %+v", first)
	}
	if second.Format != "ndjson" || second.Event != nil || second.Filter == nil || *second.Filter != "true" {
		t.Errorf("the second: %+v", second)
	}
	if got := get("?limit=1"); len(got) != 1 || got[0].ID != first.ID || list.Next == nil {
		t.Errorf("a page: %+v", got)
	}
	if got := get("?limit=1&page=" + *list.Next); len(got) != 1 || got[0].ID != second.ID || list.Next != nil {
		t.Errorf("the next page: %+v, %v", got, list.Next)
	}
	g.tryBad("GET", "/v1/streams?page=zzz", nil, "").wantProblem(http.StatusBadRequest, "bad-request", "page")
}

// Whoever finds no place is told in a way that its client survives.
func TestTooManyStreams(t *testing.T) {
	g := newGatewayWith(t, stream.Config{Limits: stream.Limits{Total: 1}}, "", nil)
	g.openStream("GET", "/v1/stream?topic=a", nil, "")
	res := g.openStream("GET", "/v1/stream?topic=a", nil, "")
	body := bufio.NewScanner(res.Body)
	if got := lines(t, body, "full"); got != "event: _stream\ndata: {\"status\":\"full\"}" {
		t.Errorf("a second stream: %q", got)
	}
	for body.Scan() {
		if body.Text() != "" {
			t.Errorf("a second stream goes on with %q", body.Text())
		}
	}
	for _, path := range []string{"/v1/topics/a/stream", "/v1/topics/a/events"} {
		a := g.tryBad("GET", path, headers{"Accept", "application/x-ndjson"}, "")
		a.wantProblem(http.StatusTooManyRequests, "too-many-streams")
		if a.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	}
}
