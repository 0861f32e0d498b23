package api_test

import (
	"bytes"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

type shownEvent struct {
	receipt
	ContentType  *string `json:"content_type"`
	Size         int
	PartitionKey *string `json:"partition_key"`
	Traceparent  *string
	Attributes   map[string]string
	Payload      string
	Deliveries   string
}

type eventList struct {
	Data []shownEvent
	Next *string
}

const someTrace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func TestPublishAndReadBack(t *testing.T) {
	g := newGateway(t, nil)
	payload := []byte("\x00\xff<b>any bytes</b>\r\n")
	r := g.request("POST", "/v1/topics/orders.created/events", headers{
		"Content-Type", "application/x-anything", "Carillon-Partition-Key", "customer-17", "Traceparent", someTrace,
	}, payload)
	var rec receipt
	a := g.send(r).want(202).into(&rec)
	if got := a.header.Get("Location"); got != "/v1/events/"+rec.ID {
		t.Errorf("Location %q", got)
	}
	if rec.Topic != "orders.created" || rec.Webhooks != 0 || rec.Time.IsZero() {
		t.Errorf("receipt %+v", rec)
	}

	var e shownEvent
	g.do("GET", "/v1/events/"+rec.ID, nil, "").want(200).into(&e)
	if e.receipt != rec {
		t.Errorf("the event is %+v, its receipt %+v", e.receipt, rec)
	}
	if *e.ContentType != "application/x-anything" || e.Size != len(payload) || *e.PartitionKey != "customer-17" ||
		*e.Traceparent != someTrace || e.Attributes != nil {
		t.Errorf("event %+v", e)
	}
	a = g.do("GET", e.Payload, nil, "").want(200)
	if !bytes.Equal(a.body, payload) {
		t.Errorf("payload %q", a.body)
	}
	if got := a.header.Get("Content-Type"); got != "application/x-anything" {
		t.Errorf("content type %q", got)
	}
	if got := a.header.Get("Content-Security-Policy"); got != "sandbox; default-src 'none'" {
		t.Errorf("policy %q", got)
	}
	g.do("GET", e.Deliveries, nil, "").want(200)
}

func TestPayloadWithoutTypeIsNotGuessed(t *testing.T) {
	g := newGateway(t, nil)
	var rec receipt
	g.send(g.request("POST", "/v1/topics/pages/events", nil, []byte("<html><script>alert(1)</script>"))).want(202).into(&rec)
	a := g.do("GET", "/v1/events/"+rec.ID+"/payload", nil, "").want(200)
	if got := a.header.Get("Content-Type"); got != "application/octet-stream" {
		t.Errorf("content type %q", got)
	}
	var empty receipt
	g.send(g.request("POST", "/v1/topics/pages/events", nil, nil)).want(202).into(&empty)
	if a := g.do("GET", "/v1/events/"+empty.ID+"/payload", nil, "").want(200); len(a.body) != 0 {
		t.Errorf("payload %q", a.body)
	}
	if a := g.tryBad("HEAD", "/v1/events/"+rec.ID+"/payload", nil, "").want(200); len(a.body) != 0 {
		t.Errorf("HEAD has the body %q", a.body)
	}
}

func TestTopicIsUnescapedOnce(t *testing.T) {
	g := newGateway(t, nil)
	var rec receipt
	g.tryBad("POST", "/v1/topics/orders%2Ecreated/events", nil, "x").want(202).into(&rec)
	if rec.Topic != "orders.created" {
		t.Errorf("topic %q", rec.Topic)
	}
	g.tryBad("POST", "/v1/topics/orders%252Ecreated/events", nil, "x").wantProblem(422, "invalid", "topic")
	g.tryBad("POST", "/v1/topics/orders%2Fcreated/events", nil, "x").wantProblem(422, "invalid", "topic")
}

func TestBrokenTraceparentIsDropped(t *testing.T) {
	g := newGateway(t, nil)
	for _, trace := range []string{
		"x", "00-00000000000000000000000000000000-00f067aa0ba902b7-01", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", someTrace + "-more", "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
	} {
		var rec receipt
		var e shownEvent
		g.do("POST", "/v1/topics/t/events", headers{"Traceparent", trace}, "x").want(202).into(&rec)
		g.do("GET", "/v1/events/"+rec.ID, nil, "").want(200).into(&e)
		if e.Traceparent != nil {
			t.Errorf("%q was kept", trace)
		}
	}
}

func TestListEvents(t *testing.T) {
	g := newGateway(t, nil)
	var all []receipt
	for i := range 7 {
		all = append(all, g.publish(fmt.Sprintf("list.%c", 'a'+i%2), "x"))
	}
	slices.Reverse(all)

	var ids []string
	page := "/v1/events?limit=3"
	for pages := 0; ; pages++ {
		var list eventList
		g.do("GET", page, nil, "").want(200).into(&list)
		for _, e := range list.Data {
			ids = append(ids, e.ID)
		}
		if list.Next == nil {
			if pages != 2 {
				t.Errorf("%d pages", pages+1)
			}
			break
		}
		page = "/v1/events?limit=3&page=" + url.QueryEscape(*list.Next)
	}
	if want := idsOf(all); !slices.Equal(ids, want) {
		t.Errorf("listed %v, want %v", ids, want)
	}

	var list eventList
	g.do("GET", "/v1/events?topic=list.a&topic=nothing.*", nil, "").want(200).into(&list)
	if len(list.Data) != 4 {
		t.Errorf("%d events on list.a", len(list.Data))
	}
	from := url.QueryEscape(all[2].Time.Format(time.RFC3339Nano))
	g.do("GET", "/v1/events?since="+from, nil, "").want(200).into(&list)
	for _, e := range list.Data {
		if e.Time.Before(all[2].Time) {
			t.Errorf("%s was accepted before", e.ID)
		}
	}
	if !slices.Contains(idsOfEvents(list.Data), all[2].ID) {
		t.Errorf("since leaves its own moment out")
	}
	g.do("GET", "/v1/events?until="+from, nil, "").want(200).into(&list)
	if slices.Contains(idsOfEvents(list.Data), all[2].ID) {
		t.Errorf("until takes its own moment in")
	}
	// Durations count back from now, days too.
	list = eventList{}
	g.do("GET", "/v1/events?since=1.5d", nil, "").want(200).into(&list)
	if len(list.Data) != len(all) {
		t.Errorf("%d events in a day and a half, want %d", len(list.Data), len(all))
	}
	list = eventList{}
	g.do("GET", "/v1/events?until=1h", nil, "").want(200).into(&list)
	if len(list.Data) != 0 {
		t.Errorf("%d events from before the last hour", len(list.Data))
	}
	g.do("GET", "/v1/events?since=-1h", nil, "").wantProblem(400, "bad-request", "since")
	g.do("GET", "/v1/deliveries?since=7d&until=1h", nil, "").want(200)
}

func idsOf(receipts []receipt) []string {
	var ids []string
	for _, r := range receipts {
		ids = append(ids, r.ID)
	}
	return ids
}

func idsOfEvents(events []shownEvent) []string {
	var ids []string
	for _, e := range events {
		ids = append(ids, e.ID)
	}
	return ids
}

func TestListTopics(t *testing.T) {
	g := newGateway(t, nil)
	g.publish("b.two", "x")
	g.publish("a.one", "x")
	last := g.publish("b.two", "x")
	var list struct {
		Data []struct {
			Topic  string
			Events int
			Last   struct{ Cursor string }
		}
		Next *string
	}
	g.do("GET", "/v1/topics", nil, "").want(200).into(&list)
	if len(list.Data) != 2 || list.Next != nil {
		t.Fatalf("topics %+v", list)
	}
	if b := list.Data[1]; list.Data[0].Topic != "a.one" || b.Topic != "b.two" || b.Events != 2 || b.Last.Cursor != last.Cursor {
		t.Errorf("topics %+v", list.Data)
	}
	g.do("GET", "/v1/topics?limit=1", nil, "").want(200).into(&list)
	if len(list.Data) != 1 || list.Next == nil {
		t.Fatalf("first page %+v", list)
	}
	g.do("GET", "/v1/topics?limit=1&page="+url.QueryEscape(*list.Next), nil, "").want(200).into(&list)
	if len(list.Data) != 1 || list.Data[0].Topic != "b.two" {
		t.Errorf("second page %+v", list)
	}
}

func TestCloudEventsInAllModes(t *testing.T) {
	g := newGateway(t, nil)
	var rec receipt
	g.do("POST", "/v1/events", headers{"Ce-Specversion", "1.0", "Ce-Id", "1", "Ce-Source", "/shop", "Ce-Type", "orders.created",
		"Ce-Partitionkey", "p", "Content-Type", "text/plain"}, "binary").want(202).into(&rec)
	var e shownEvent
	g.do("GET", "/v1/events/"+rec.ID, nil, "").want(200).into(&e)
	if e.Topic != "orders.created" || e.Attributes["source"] != "/shop" || e.Attributes["id"] != "1" || *e.PartitionKey != "p" {
		t.Errorf("event %+v", e)
	}

	structured := `{"specversion":"1.0","id":"2","source":"/shop","type":"orders.paid","data":{"a": 1}}`
	a := g.do("POST", "/v1/events", headers{"Content-Type", "application/cloudevents+json"}, structured).want(202).into(&rec)
	if a.header.Get("Idempotent-Replayed") != "" {
		t.Error("a first event is said to be replayed")
	}
	a = g.do("GET", "/v1/events/"+rec.ID+"/payload", nil, "").want(200)
	if string(a.body) != `{"a": 1}` || a.header.Get("Content-Type") != "application/json" {
		t.Errorf("payload %q %q", a.body, a.header.Get("Content-Type"))
	}
	var again receipt
	a = g.do("POST", "/v1/events", headers{"Content-Type", "application/cloudevents+json"}, structured).want(202).into(&again)
	if again != rec || a.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("posted again, the receipt is %+v, was %+v", again, rec)
	}
	changed := strings.Replace(structured, `"a": 1`, `"a": 2`, 1)
	g.do("POST", "/v1/events", headers{"Content-Type", "application/cloudevents+json"}, changed).wantProblem(422, "key-reused")

	batch := `[{"specversion":"1.0","id":"3","source":"/shop","type":"orders.paid","data":3},` + structured + `]`
	var recs []receipt
	a = g.do("POST", "/v1/events", headers{"Content-Type", "application/cloudevents-batch+json"}, batch).want(202).into(&recs)
	if len(recs) != 2 || recs[0].Replayed || !recs[1].Replayed || recs[1].ID != rec.ID || a.header.Get("Idempotent-Replayed") != "" {
		t.Errorf("receipts %+v", recs)
	}
	a = g.do("POST", "/v1/events", headers{"Content-Type", "application/cloudevents-batch+json"}, batch).want(202).into(&recs)
	if a.header.Get("Idempotent-Replayed") != "true" {
		t.Error("a batch that is replayed whole does not say so")
	}
	g.do("POST", "/v1/events", headers{"Content-Type", "application/cloudevents-batch+json"}, "[]").want(202).into(&recs)
	if len(recs) != 0 {
		t.Errorf("receipts for nothing: %+v", recs)
	}

	// On a topic's own URL the type may be anything.
	g.do("POST", "/v1/topics/own/events", headers{"Ce-Specversion", "1.0", "Ce-Id", "9", "Ce-Source", "/shop", "Ce-Type", "https://x/y?"}, "x").
		want(202).into(&rec)
	if rec.Topic != "own" {
		t.Errorf("topic %q", rec.Topic)
	}
}

func TestBatchIsRefusedWhole(t *testing.T) {
	g := newGateway(t, nil)
	before := g.stored()
	batch := `[{"specversion":"1.0","id":"1","source":"/s","type":"fine"},{"specversion":"1.0","id":"2","source":"/s","type":"not a topic"}]`
	g.do("POST", "/v1/events", headers{"Content-Type", "application/cloudevents-batch+json"}, batch).
		wantProblem(422, "invalid", "[1].type")
	batch = `[{"specversion":"1.0","id":"1","source":"/s","type":"fine"},{"specversion":"1.0","id":"2","source":"/s","type":"_carillon.x"}]`
	g.do("POST", "/v1/events", headers{"Content-Type", "application/cloudevents-batch+json"}, batch).
		wantProblem(403, "reserved-topic", "[1].type")
	if g.stored() != before {
		t.Error("a refused batch changed the store")
	}
}
