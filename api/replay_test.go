package api_test

import (
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

type job struct {
	ID, Kind, Webhook, State string
	Total, Done              int
	PerSecond                int `json:"per_second"`
	Since, Until             *string
	Topics, States           []string
}

func TestReplay(t *testing.T) {
	g := newGateway(t, nil)
	var status, replayed atomic.Int32
	status.Store(500)
	hook := g.hook(receiver(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Carillon-Replay") == "true" {
			replayed.Add(1)
		}
		w.WriteHeader(int(status.Load()))
	}), "a.*", `,"retry":{"schedule":[]}`)
	lost, other := g.publish("a.one", "1"), g.publish("a.two", "2")
	for _, id := range []string{lost.ID, other.ID} {
		if d := g.ended(id); d.State != "failed" {
			t.Fatalf("delivery %+v", d)
		}
	}
	status.Store(200)
	path := "/v1/webhooks/" + hook + "/replay"
	count := func(body string, want int) {
		t.Helper()
		var got struct{ Total int }
		if g.do("POST", path, jsonType, body).want(200).into(&got); got.Total != want {
			t.Errorf("%s: %d, want %d", body, got.Total, want)
		}
	}
	count(`{"dry_run":true}`, 2)
	count(`{"dry_run":true,"topics":["a.one"]}`, 1)
	count(`{"dry_run":true,"since":"1h"}`, 2)
	count(`{"dry_run":true,"since":"1d"}`, 2)
	count(`{"dry_run":true,"until":"1d"}`, 0)
	count(`{"dry_run":true,"until":"1h"}`, 0)
	count(`{"dry_run":true,"since":"2020-01-01T00:00:00Z","until":"2020-01-02T00:00:00+01:00"}`, 0)
	count(`{"dry_run":true,"states":["delivered"]}`, 0)

	var made job
	a := g.do("POST", path, jsonType, `{"topics":["a.one"],"since":"1h","per_second":100}`).want(202).into(&made)
	if made.Kind != "replay" || made.Webhook != hook || made.PerSecond != 100 || made.Since == nil || made.Until != nil ||
		!slices.Equal(made.Topics, []string{"a.one"}) || !slices.Equal(made.States, []string{"failed", "canceled"}) ||
		a.header.Get("Location") != "/v1/jobs/"+made.ID {
		t.Errorf("made %s", a.body)
	}
	eventually(t, "the job's end", func() bool {
		g.do("GET", "/v1/jobs/"+made.ID, nil, "").want(200).into(&made)
		return made.State == "done"
	})
	if made.Total != 1 || made.Done != 1 {
		t.Errorf("done %+v", made)
	}
	eventually(t, "the delivery", func() bool { return g.deliveriesOf(lost.ID)[0].State == "delivered" })
	if replayed.Load() != 1 || g.deliveriesOf(other.ID)[0].State != "failed" {
		t.Errorf("%d were replayed", replayed.Load())
	}
	if a := g.do("GET", "/v1/deliveries?event="+lost.ID, nil, "").want(200); !strings.Contains(string(a.body), `"replay":true`) {
		t.Errorf("shown %s", a.body)
	}
	g.do("POST", "/v1/jobs/"+made.ID+"/cancel", nil, "").wantProblem(409, "wrong-state")
	var list struct {
		Data []job
		Next *string
	}
	g.do("GET", "/v1/jobs", nil, "").want(200).into(&list)
	if len(list.Data) != 1 || list.Data[0].ID != made.ID || list.Next != nil {
		t.Errorf("listed %+v", list)
	}
	g.do("PATCH", "/v1/webhooks/"+hook, jsonType, `{"enabled":false}`).want(200)
	g.do("POST", path, jsonType, `{}`).wantProblem(409, "wrong-state")
	count(`{"dry_run":true}`, 1)
}

func TestReplaysThatAreRefused(t *testing.T) {
	g := newGateway(t, nil)
	path := "/v1/webhooks/" + g.hook("https://example.com/", "a", "") + "/replay"
	before := g.stored()
	for body, field := range map[string]string{
		`{"since":"yesterday"}`: "since", `{"since":7}`: "since", `{"until":"-1h"}`: "until", `{"since":"1h","until":"2h"}`: "until",
		`{"since":"2026-11-22T18:00:00Z","until":"2026-11-22T18:00:00Z"}`: "until", `{"topics":[]}`: "topics", `{"topics":"a"}`: "topics",
		`{"topics":["a","a..b"]}`: "topics[1]", `{"states":[]}`: "states", `{"states":["pending"]}`: "states[0]", `{"states":["failed","lost"]}`: "states[1]",
		`{"states":"failed"}`: "states", `{"per_second":0}`: "per_second", `{"per_second":10001}`: "per_second", `{"per_second":1.5}`: "per_second",
		`{"dry_run":"yes"}`: "dry_run", `{"webhook":"x"}`: "webhook",
	} {
		g.tryBad("POST", path, jsonType, body).wantProblem(422, "invalid", field)
	}
	g.tryBad("POST", path, jsonType, `[]`).wantProblem(400, "malformed-body")
	g.tryBad("POST", path, nil, "").wantProblem(415, "unsupported-media-type")
	if g.stored() != before {
		t.Error("something was stored")
	}
	var list struct{ Data []job }
	if g.do("GET", "/v1/jobs", nil, "").want(200).into(&list); len(list.Data) != 0 {
		t.Errorf("jobs %+v", list.Data)
	}
}

func TestARunningReplayIsCanceled(t *testing.T) {
	g := newGateway(t, nil)
	hook := g.hook(receiver(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }), "a", `,"retry":{"schedule":[]}`)
	const lost = 60 // a minute's replay
	var all []string
	for range lost {
		all = append(all, g.publish("a", "x").ID)
	}
	for _, id := range all {
		g.ended(id)
	}
	var made, again job
	path := "/v1/webhooks/" + hook + "/replay"
	g.do("POST", path, jsonType, `{"per_second":1}`).want(202).into(&made)
	if g.do("POST", path, jsonType, `{"per_second":1}`).want(202).into(&again); again.ID != made.ID {
		t.Errorf("asked for again, it is another job")
	}
	g.do("POST", "/v1/jobs/"+made.ID+"/cancel", nil, "").want(200).into(&made)
	if made.State != "canceled" || made.Total != lost || made.Done >= lost {
		t.Errorf("canceled %+v", made)
	}
}

// Pages of deliveries neither repeat nor leave out what was there at the first one, whatever is accepted meanwhile.
func TestPagesOfDeliveriesStayWhileEventsCome(t *testing.T) {
	g := newGateway(t, nil)
	g.hook(receiver(t, func(http.ResponseWriter, *http.Request) {}), "a", "")
	want := make(map[string]bool)
	for range 9 {
		rec := g.publish("a", "x")
		g.ended(rec.ID)
		want[rec.ID] = true
	}
	path := "/v1/deliveries?topic=a&state=delivered&limit=2"
	for page := path; ; {
		var list deliveryList
		g.do("GET", page, nil, "").want(200).into(&list)
		for _, d := range list.Data {
			if !want[d.Event] {
				t.Errorf("%s came twice, or later than the first page", d.Event)
			}
			delete(want, d.Event)
		}
		if list.Next == nil {
			break
		}
		g.ended(g.publish("a", "new").ID)
		page = path + "&page=" + *list.Next
	}
	if len(want) != 0 {
		t.Errorf("left out: %v", want)
	}
}
