package api_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/carillon/carillon/api"
	"github.com/carillon/carillon/event"
)

func TestHealthAndReadiness(t *testing.T) {
	var ready error
	g := newGateway(t, func(c *api.Config) { c.Ready = func() error { return ready } })
	g.do("GET", "/healthz", nil, "").want(200)
	g.do("GET", "/readyz", nil, "").want(200)
	ready = errInner
	g.do("GET", "/healthz", nil, "").want(200)
	a := g.do("GET", "/readyz", nil, "")
	a.wantProblem(503, "not-ready")
	if strings.Contains(string(a.body), "inner") {
		t.Errorf("the client is told of the inside: %s", a.body)
	}
	if a := g.tryBad("HEAD", "/healthz", nil, "").want(200); len(a.body) != 0 {
		t.Errorf("HEAD has the body %q", a.body)
	}
}

func TestOpenAPIIsServed(t *testing.T) {
	g := newGateway(t, nil)
	if a := g.do("GET", "/openapi.yaml", nil, "").want(200); string(a.body) != string(openAPIText()) {
		t.Error("another text is served")
	}
}

func TestMetrics(t *testing.T) {
	g := newGateway(t, nil)
	g.publish("t", "x")
	for range 2 {
		g.do("POST", "/v1/topics/t/events", headers{"Idempotency-Key", "k"}, "x").want(202)
	}
	g.tryBad("POST", "/v1/topics/a..b/events", nil, "x").want(422)
	g.tryBad("GET", "/v1/path/of/my/own", nil, "").want(404)
	g.tryBad("BREW", "/v1/events", nil, "").want(405)
	g.ask("t", "", nil).want(503)
	text := g.scrape()
	for _, want := range []string{
		"carillon_events_accepted_total 2",
		"carillon_events_replayed_total 1",
		`carillon_publish_refused_total{reason="invalid"} 1`,
		`carillon_publish_refused_total{reason="no-responders"} 1`,
		`carillon_sync_waits_total{result="no-responders"} 1`,
		`carillon_http_requests_total{method="POST",route="/v1/topics/{topic}/events",status="202"} 3`,
		`carillon_http_requests_total{method="GET",route="none",status="404"} 1`,
		`carillon_http_requests_total{method="other",route="none",status="405"} 1`,
		`carillon_http_request_seconds_count{route="/v1/topics/{topic}/events"} 5`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(text, "my/own") {
		t.Error("a client's own text is a label")
	}
}

func TestQueriesAreNotLogged(t *testing.T) {
	g := newGateway(t, nil)
	g.tryBad("GET", "/v1/events?token=s3cret", nil, "").want(400)
	if log := g.log.String(); !strings.Contains(log, "path=/v1/events") || strings.Contains(log, "s3cret") {
		t.Errorf("log:\n%s", log)
	}
}

// panickingStore panics where it reads one event.
type panickingStore struct{ api.Store }

func (panickingStore) Event(context.Context, event.TenantID, event.ID) (*event.Event, error) {
	panic(errInner)
}

func TestPanicIsAProblem(t *testing.T) {
	g := newGateway(t, func(c *api.Config) { c.Store = panickingStore{c.Store} })
	a := g.do("GET", "/v1/events/"+someID, nil, "")
	p := a.wantProblem(500, "internal")
	if strings.Contains(string(a.body), "inner") {
		t.Errorf("the client is told of the inside: %s", a.body)
	}
	log := g.log.String()
	if !strings.Contains(log, errInner.Error()) || !strings.Contains(log, strings.TrimPrefix(p.Instance, "urn:uuid:")) {
		t.Errorf("log:\n%s", log)
	}
	if !strings.Contains(g.scrape(), `route="/v1/events/{id}",status="500"} 1`) {
		t.Error("not counted")
	}
}

func TestStreamsOpen(t *testing.T) {
	g := newGateway(t, nil)
	for _, path := range []string{
		"/v1/stream?topic=orders.*&topic=users.**", "/v1/topics/orders.*/stream",
		"/v1/stream?topic=a&event=topic&format=cloudevents&since=10m&last_event_id=nonsense",
	} {
		ctx, cancel := context.WithCancel(t.Context())
		r := g.request("GET", path, headers{"Accept", "text/event-stream"}, nil).WithContext(ctx)
		theContract().checkRequest(t, r, nil)
		res, err := g.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		head := make([]byte, 4)
		if _, err := io.ReadFull(res.Body, head); err != nil {
			t.Fatal(err)
		}
		cancel()
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" {
			t.Errorf("%s: %d %v", path, res.StatusCode, res.Header)
		}
		g.checked(r, res, nil)
	}
}
