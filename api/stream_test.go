package api_test

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/carillon/carillon/event"
)

// readStream opens a stream and returns its lines, without ids and retry, up to the one that ends it.
func (g *gateway) readStream(path, lastEventID, last string) []string {
	g.t.Helper()
	ctx, cancel := context.WithCancel(g.t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, g.url+path, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	if lastEventID != "" {
		r.Header.Set("Last-Event-ID", lastEventID)
	}
	res, err := g.client.Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" {
		g.t.Fatalf("GET %s: %s, %s", path, res.Status, res.Header.Get("Content-Type"))
	}
	var lines []string
	for body := bufio.NewScanner(res.Body); body.Scan(); {
		line := body.Text()
		if line == "" || strings.HasPrefix(line, "id: ") || strings.HasPrefix(line, "retry: ") {
			continue
		}
		lines = append(lines, line)
		if strings.Contains(line, last) {
			return lines
		}
	}
	g.t.Fatalf("GET %s ended after %q", path, lines)
	return nil
}

func TestStreamAddresses(t *testing.T) {
	g := newGateway(t, nil)
	first := g.publish("orders.eu", "one")
	g.publish("users.x", "two")
	g.publish("orders.us", "three")
	future := event.MaxCursor.String()
	resumed := "event: _stream\ndata: {\"status\":\"resumed\"}\n"
	for _, test := range []struct{ name, path, header, last, want string }{
		{"topics", "/v1/stream?topic=orders.*&topic=users.x&since=earliest", "", "three",
			resumed + "data: one\ndata: two\ndata: three"},
		{"pattern in the path", "/v1/topics/orders.*/stream?since=1h", "", "three", resumed + "data: one\ndata: three"},
		{"days", "/v1/topics/orders.*/stream?since=1d", "", "three", resumed + "data: one\ndata: three"},
		{"escaped pattern", "/v1/topics/orders%2E%2A/stream?since=1h", "", "three", resumed + "data: one\ndata: three"},
		{"named", "/v1/stream?topic=**&event=topic&since=" + first.Cursor, "", "three",
			resumed + "event: users.x\ndata: two\nevent: orders.us\ndata: three"},
		{"the header beats the query", "/v1/stream?topic=**&since=earliest&last_event_id=zzz", first.Cursor, "three",
			resumed + "data: two\ndata: three"},
		{"last_event_id beats since", "/v1/stream?topic=**&since=earliest&last_event_id=" + first.Cursor, "", "three",
			resumed + "data: two\ndata: three"},
		{"an empty last_event_id is none", "/v1/stream?topic=orders.eu&since=earliest&last_event_id=", "", "one",
			resumed + "data: one"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := strings.Join(g.readStream(test.path, test.header, test.last), "\n"); got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
	for _, id := range []string{"42", future, "ü"} {
		if got := g.readStream("/v1/stream?topic=**", id, "status"); !strings.Contains(got[1], `"gap"`) {
			t.Errorf("Last-Event-ID %q: %q", id, got)
		}
	}
	if got := g.readStream("/v1/stream?topic=**&last_event_id=nonsense", "", "status"); !strings.Contains(got[1], `"gap"`) {
		t.Errorf("a last_event_id that is none: %q", got)
	}
	got := g.readStream("/v1/stream?topic=orders.eu&format=cloudevents&since=earliest", "", "carilloncursor")
	if !strings.Contains(got[2], first.Cursor) {
		t.Errorf("format=cloudevents: %q", got)
	}
}

func TestStreamRefusals(t *testing.T) {
	g := newGateway(t, nil)
	for _, test := range []struct{ path, field string }{
		{"/v1/stream", "topic"},
		{"/v1/stream?topic=", "topic"},
		{"/v1/stream?topic=a..b", "topic"},
		{"/v1/stream?topic=a&topic=b**", "topic"},
		{"/v1/stream?topic=a&event=name", "event"},
		{"/v1/stream?topic=a&format=xml", "format"},
		{"/v1/stream?topic=a&since=yesterday", "since"},
		{"/v1/stream?topic=a&since=", "since"},
		{"/v1/stream?topic=a&since=1h&since=2h", "since"},
		{"/v1/stream?topic=a&topics=b", "topics"},
		{"/v1/topics/a..b/stream", "pattern"},
		{"/v1/topics/a/stream?topic=b", "topic"},
	} {
		g.tryBad(http.MethodGet, test.path, nil, "").wantProblem(http.StatusBadRequest, "bad-request", test.field)
	}
}
