package api_test

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/carillon/carillon/dispatch"
)

// ask posts an event and waits for webhooks.
func (g *gateway) ask(topic, query string, h headers) *answer {
	g.t.Helper()
	return g.do("POST", "/v1/topics/"+topic+"/events"+query,
		append(headers{"Content-Type", "text/plain", "Prefer", "wait=30"}, h...), "question")
}

func answering(t *testing.T, status int, contentType, body string) string {
	t.Helper()
	return receiver(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = nil
		if contentType != "" {
			w.Header().Set("Content-Type", contentType)
		}
		w.Header().Set("Set-Cookie", "secret=1")
		w.WriteHeader(status)
		io.WriteString(w, body)
	})
}

func TestSyncFirst(t *testing.T) {
	g := newGateway(t, nil)
	for i, c := range []struct {
		status            int
		contentType, body string
		state             string
	}{
		{200, "text/html", "<script>alert(1)</script>", "delivered"},
		{201, "", "untyped", "delivered"},
		{204, "", "", "delivered"},
		{404, "application/json", `{"no":"such thing"}`, "failed"},
		{302, "text/plain", "elsewhere", "failed"},
		{400, "text/plain", "the webhook's own", "failed"},
		{403, "text/html", "<p>", "failed"},
		{409, "text/plain", "taken", "failed"},
		{413, "", "too much", "failed"},
		{415, "application/x-own", "what?", "failed"},
		{422, "application/json", "[]", "failed"},
		{304, "", "", "failed"},
	} {
		topic := "first." + string(rune('a'+i))
		hook := g.hook(answering(t, c.status, c.contentType, c.body), topic, "")
		a := g.ask(topic, "", nil).want(c.status)
		if string(a.body) != c.body || a.header.Get("Content-Type") != c.contentType {
			t.Errorf("%d: answered %q %q", c.status, a.header.Get("Content-Type"), a.body)
		}
		for name, want := range map[string]string{
			"Carillon-Webhook-Id": hook, "Preference-Applied": "wait=30", "Set-Cookie": "",
			"Content-Security-Policy": "sandbox; default-src 'none'",
		} {
			if got := a.header.Get(name); got != want {
				t.Errorf("%d: %s is %q, want %q", c.status, name, got, want)
			}
		}
		id := a.header.Get("Carillon-Event-Id")
		d := g.deliveriesOf(id)
		if len(d) != 1 || d[0].State != c.state || d[0].AttemptCount != 1 {
			t.Errorf("%d: the delivery is %+v", c.status, d)
		}
		if c.state == "failed" && (d[0].Reason == nil || *d[0].Reason != "answered") {
			t.Errorf("%d: failed for another reason: %+v", c.status, d[0])
		}
	}
}

func TestSyncContentTypeThatCannotBeToldOn(t *testing.T) {
	g := newGateway(t, nil)
	for topic, contentType := range map[string]string{
		"long": "text/" + strings.Repeat("x", 251), "foreign": "text/plain; name=\"é\"", "broken": "text/\xff", "tab": "text/plain;\tx=y",
	} {
		g.hook(answering(t, 200, contentType, "fine"), topic, "")
		if a := g.ask(topic, "", nil).want(200); string(a.body) != "fine" || a.header.Get("Content-Type") != "application/octet-stream" {
			t.Errorf("%s: answered %q %q", topic, a.header.Get("Content-Type"), a.body)
		}
	}
	longest := "text/" + strings.Repeat("x", 250)
	g.hook(answering(t, 200, longest, "fine"), "fits", "")
	if a := g.ask("fits", "", nil).want(200); a.header.Get("Content-Type") != longest {
		t.Errorf("answered %q", a.header.Get("Content-Type"))
	}
}

// A webhook that compresses its answer though nobody asked has that said of it.
func TestSyncCompressedAnswer(t *testing.T) {
	g := newGateway(t, nil)
	g.hook(receiver(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Content-Type", "text/plain")
		io.WriteString(w, "as if compressed")
	}), "t", "")
	a := g.ask("t", "", nil).want(200)
	if a.header.Get("Content-Encoding") != "gzip" || string(a.body) != "as if compressed" {
		t.Errorf("%v %q", a.header, a.body)
	}
}

func TestSyncFirstWaitsThroughFailures(t *testing.T) {
	g := newGateway(t, nil)
	g.hook(answering(t, 500, "text/plain", "broken"), "t", `,"retry":{"schedule":["1h"]}`)
	g.hook("http://127.0.0.1:1/", "t", `,"retry":{"schedule":["1h"]}`)
	good := g.hook(answering(t, 200, "text/plain", "fine"), "t", "")
	a := g.ask("t", "", nil).want(200)
	if string(a.body) != "fine" || a.header.Get("Carillon-Webhook-Id") != good {
		t.Errorf("answered %q by %s", a.body, a.header.Get("Carillon-Webhook-Id"))
	}
}

func TestSyncSuccess(t *testing.T) {
	g := newGateway(t, nil)
	g.hook(answering(t, 404, "text/plain", "not me"), "t", `,"retry":{"schedule":["1h"]}`)
	gate := make(chan struct{})
	release := sync.OnceFunc(func() { close(gate) })
	g.hook(receiver(t, func(w http.ResponseWriter, _ *http.Request) {
		<-gate
		io.WriteString(w, "me")
	}), "t", "")
	t.Cleanup(release) // before the receiver is closed, which waits for its handlers
	var wg sync.WaitGroup
	wg.Go(func() {
		if a := g.ask("t", "?respond=success", nil).want(200); string(a.body) != "me" {
			t.Errorf("answered %q", a.body)
		}
	})
	eventually(t, "the answer that is none", func() bool {
		var list deliveryList
		g.do("GET", "/v1/deliveries?error=status-4xx", nil, "").want(200).into(&list)
		return len(list.Data) == 1
	})
	release()
	wg.Wait()
}

type shownAnswer struct {
	Webhook     string
	Status      *int
	ContentType *string `json:"content_type"`
	Body        *string
	Error       *string
	DurationMS  *int `json:"duration_ms"`
}

func TestSyncAll(t *testing.T) {
	g := newGateway(t, nil)
	good := g.hook(answering(t, 200, "text/plain", "one"), "t", "")
	bad := g.hook(answering(t, 500, "text/plain", "two"), "t", `,"retry":{"schedule":[]}`)
	g.hook(answering(t, 200, "", ""), "t", `,"enabled":false`)
	var all []shownAnswer
	a := g.ask("t", "?respond=all", nil).want(200).into(&all)
	if a.header.Get("Carillon-Webhook-Id") != "" || a.header.Get("Preference-Applied") != "wait=30" || a.header.Get("Carillon-Event-Id") == "" {
		t.Errorf("headers %v", a.header)
	}
	if len(all) != 2 {
		t.Fatalf("answers %s", a.body)
	}
	byHook := map[string]shownAnswer{all[0].Webhook: all[0], all[1].Webhook: all[1]}
	if got := byHook[good]; got.Status == nil || *got.Status != 200 || *got.Body != "one" || got.Error != nil || *got.ContentType != "text/plain" {
		t.Errorf("answers %s", a.body)
	}
	if got := byHook[bad]; got.Status == nil || *got.Status != 500 || *got.Body != "two" || *got.Error != "status-5xx" {
		t.Errorf("answers %s", a.body)
	}
}

// hanging is a receiver that answers nothing until its test ends.
func hanging(t *testing.T) string {
	t.Helper()
	done := make(chan struct{})
	url := receiver(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-done:
		case <-r.Context().Done():
		}
	})
	t.Cleanup(func() { close(done) })
	return url
}

func TestSyncExpires(t *testing.T) {
	g := newGateway(t, nil)
	g.hook(hanging(t), "t", "")
	var rec receipt
	// Of two waits the first counts.
	b := g.do("POST", "/v1/topics/t/events", headers{"Prefer", "wait=1", "Prefer", "wait=60"}, "x").want(202).into(&rec)
	if b.header.Get("Location") != "/v1/events/"+rec.ID || b.header.Get("Carillon-Webhook-Id") != "" || rec.Webhooks != 1 {
		t.Errorf("answered %v %s", b.header, b.body)
	}
	if d := g.deliveriesOf(rec.ID); len(d) != 1 || d[0].State != "pending" {
		t.Errorf("the delivery does not go on: %+v", d)
	}
	var all []shownAnswer
	c := g.do("POST", "/v1/topics/t/events?respond=all", headers{"Prefer", "wait=1"}, "x").want(200).into(&all)
	if len(all) != 1 || all[0].Error == nil || *all[0].Error != "timeout" || all[0].Status != nil || all[0].DurationMS != nil {
		t.Errorf("answers %s", c.body)
	}
}

func TestSyncNobodyAnswers(t *testing.T) {
	g := newGateway(t, nil)
	hook := g.hook(answering(t, 503, "text/plain", "no"), "t", `,"retry":{"schedule":[]}`)
	a := g.ask("t", "", nil)
	p := a.wantProblem(502, "no-answer")
	if len(p.Outcomes) != 1 || p.Outcomes[0].Webhook != hook || *p.Outcomes[0].Status != 503 || *p.Outcomes[0].Error != "status-5xx" {
		t.Errorf("outcomes %s", a.body)
	}
	g.do("GET", "/v1/events/"+a.header.Get("Carillon-Event-Id"), nil, "").want(200)
	var all []shownAnswer
	g.ask("t", "?respond=all", nil).want(200).into(&all)
	if len(all) != 1 || *all[0].Status != 503 {
		t.Errorf("answers %+v", all)
	}
}

func TestSyncNoResponders(t *testing.T) {
	g := newGateway(t, nil)
	g.hook(answering(t, 200, "", ""), "t", `,"enabled":false`)
	before := g.stored()
	g.ask("t", "", nil).wantProblem(503, "no-responders")
	p := g.ask("other", "?respond=all", nil).wantProblem(503, "no-responders")
	if want := "No enabled webhook matches other. The event is not stored."; p.Detail != want {
		t.Errorf("detail %q", p.Detail)
	}
	if g.stored() != before {
		t.Error("the event was stored")
	}
	g.do("POST", "/v1/topics/t/events", headers{"Prefer", "wait=0"}, "x").want(202)
	g.do("POST", "/v1/topics/t/events?respond=success", headers{"Prefer", "respond-async, foo=\"wait=9\""}, "x").want(202)
}

func TestSyncAnswerTooLarge(t *testing.T) {
	g := newGateway(t, nil)
	largest := strings.Repeat("x", dispatch.MaxAnswer)
	g.hook(answering(t, 200, "text/plain", largest), "fits", "")
	if a := g.ask("fits", "", nil).want(200); len(a.body) != len(largest) {
		t.Errorf("%d bytes", len(a.body))
	}
	g.hook(answering(t, 200, "text/plain", largest+"x"), "large", "")
	a := g.ask("large", "", nil)
	a.wantProblem(502, "answer-too-large")
	if a.header.Get("Carillon-Webhook-Id") != "" || a.header.Get("Preference-Applied") != "" {
		t.Errorf("headers %v", a.header)
	}
}

func TestSyncSwitchingProtocolsIsNoAnswer(t *testing.T) {
	g := newGateway(t, nil)
	g.hook(receiver(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
	}), "t", `,"retry":{"schedule":[]}`)
	g.ask("t", "", nil).wantProblem(502, "no-answer")
}

func TestSyncCloudEvent(t *testing.T) {
	g := newGateway(t, nil)
	g.hook(answering(t, 200, "text/plain", "fine"), "t", "")
	ce := `{"specversion":"1.0","id":"1","source":"/s","type":"t"}`
	a := g.do("POST", "/v1/events", headers{"Content-Type", "application/cloudevents+json", "Prefer", "wait=30"}, ce).want(200)
	if string(a.body) != "fine" {
		t.Errorf("answered %q", a.body)
	}
	batch := `[{"specversion":"1.0","id":"2","source":"/s","type":"t"}]`
	g.do("POST", "/v1/events", headers{"Content-Type", "application/cloudevents-batch+json", "Prefer", "wait=30"}, batch).want(202)
}

func TestSyncReplayJoinsTheWait(t *testing.T) {
	g := newGateway(t, nil)
	gate, asked := make(chan struct{}), make(chan struct{}, 10)
	release := sync.OnceFunc(func() { close(gate) })
	g.hook(receiver(t, func(w http.ResponseWriter, _ *http.Request) {
		asked <- struct{}{}
		<-gate
		io.WriteString(w, "fine")
	}), "t", "")
	t.Cleanup(release) // before the receiver is closed, which waits for its handlers
	var wg sync.WaitGroup
	answers := make([]*answer, 3)
	wg.Go(func() { answers[0] = g.ask("t", "", headers{"Idempotency-Key", "k"}) })
	<-asked
	// One after the other: two at the same moment would meet in flight. So could one and the first, whose webhook is asked when
	// the event is stored, and perhaps before its own POST goes on.
	past409 := func(query string) *answer {
		for {
			if a := g.ask("t", query, headers{"Idempotency-Key", "k"}); a.status != 409 {
				return a
			}
		}
	}
	for i, query := range []string{"", "?respond=all"} {
		wg.Go(func() { answers[i+1] = past409(query) })
		eventually(t, "the replay", func() bool {
			return strings.Contains(g.scrape(), "carillon_events_replayed_total "+string(rune('1'+i)))
		})
	}
	release()
	wg.Wait()
	for i, a := range answers[:2] {
		a.want(200)
		if string(a.body) != "fine" || (a.header.Get("Idempotent-Replayed") == "true") != (i > 0) {
			t.Errorf("poster %d was answered %v %q", i, a.header, a.body)
		}
	}
	var all []shownAnswer
	answers[2].want(200).into(&all)
	if len(all) != 1 || *all[0].Body != "fine" {
		t.Errorf("answers %s", answers[2].body)
	}
	if len(asked) != 0 {
		t.Error("the webhook was asked twice")
	}

	var rec receipt
	a := g.ask("t", "", headers{"Idempotency-Key", "k"}).want(202).into(&rec)
	if a.header.Get("Idempotent-Replayed") != "true" || rec.ID != answers[0].header.Get("Carillon-Event-Id") {
		t.Errorf("replayed after the wait: %v %s", a.header, a.body)
	}
}

func TestSyncReplayAfterTheWebhookIsGone(t *testing.T) {
	g := newGateway(t, nil)
	hook := g.hook(answering(t, 200, "text/plain", "fine"), "t", "")
	key := headers{"Idempotency-Key", "k"}
	first := g.ask("t", "", key).want(200).header.Get("Carillon-Event-Id")
	ce := `{"specversion":"1.0","id":"1","source":"/s","type":"t"}`
	waiting := append(headers{"Prefer", "wait=30"}, ceJSON...)
	bare := g.do("POST", "/v1/events", waiting, ce).want(200).header.Get("Carillon-Event-Id")
	g.do("PATCH", "/v1/webhooks/"+hook, jsonType, `{"enabled":false}`).want(200)
	before := g.stored()

	for _, query := range []string{"", "?respond=all"} {
		var rec receipt
		a := g.ask("t", query, key).want(202).into(&rec)
		if rec.ID != first || rec.Webhooks != 1 || a.header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("replayed %s, first %s: %v", a.body, first, a.header)
		}
	}
	var rec receipt
	if a := g.do("POST", "/v1/events", waiting, ce).want(202).into(&rec); rec.ID != bare {
		t.Errorf("replayed %s, first %s", a.body, bare)
	}
	g.do("POST", "/v1/topics/t/events", append(headers{"Prefer", "wait=30"}, key...), "another").wantProblem(422, "key-reused")
	g.ask("t", "", headers{"Idempotency-Key", "new"}).wantProblem(503, "no-responders")
	g.ask("t", "", nil).wantProblem(503, "no-responders")
	if g.stored() != before {
		t.Error("something was stored")
	}
	// What was refused for want of responders keeps no key.
	g.do("PATCH", "/v1/webhooks/"+hook, jsonType, `{"enabled":true}`).want(200)
	if a := g.ask("t", "", headers{"Idempotency-Key", "new"}).want(200); a.header.Get("Idempotent-Replayed") != "" {
		t.Error("a refused request is replayed")
	}
}

func TestDrainSendsWaitersHome(t *testing.T) {
	g := newGateway(t, nil)
	g.hook(hanging(t), "t", "")
	var wg sync.WaitGroup
	wg.Go(func() { g.ask("t", "", nil).want(202) })
	eventually(t, "the event", func() bool { return strings.Contains(g.scrape(), "carillon_events_accepted_total 1") })
	g.api.Drain()
	wg.Wait()
	g.ask("t", "", nil).want(202)
}

// scrape reads the metrics.
func (g *gateway) scrape() string {
	g.t.Helper()
	return string(g.do("GET", "/metrics", nil, "").want(200).body)
}

// A filter that fails leaves nobody to answer, as an event that nobody wants does; but that is not what is said of it.
func TestSyncWhereOnlyFiltersFail(t *testing.T) {
	g := newGateway(t, nil)
	g.hook(answering(t, 200, "", ""), "t", `,"filter":"data.n > 1"`)
	before := g.stored()
	p := g.ask("t", "", nil).wantProblem(503, "no-responders")
	if want := "No webhook is owed the event: the filters of those that match t failed on it; their health says why. The event is not stored."; p.Detail != want {
		t.Errorf("detail %q", p.Detail)
	}
	if g.stored() != before {
		t.Error("something was stored")
	}
}
