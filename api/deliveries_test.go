package api_test

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

type shownDelivery struct {
	ID, Event, Webhook, Topic, State string
	Reason                           *string
	AttemptCount                     int     `json:"attempt_count"`
	DueAt                            *string `json:"due_at"`
	EndedAt                          *string `json:"ended_at"`
	LastStatus                       *int    `json:"last_status"`
	Error                            *string
	Attempts                         []struct {
		Number int
		Status *int
		Error  *string
		Answer string
	}
}

type deliveryList struct {
	Data []shownDelivery
	Next *string
}

// deliveriesOf lists an event's deliveries.
func (g *gateway) deliveriesOf(event string) []shownDelivery {
	g.t.Helper()
	var list deliveryList
	g.do("GET", "/v1/deliveries?event="+event, nil, "").want(200).into(&list)
	return list.Data
}

// ended waits until an event's only delivery has ended, and returns it with its attempts.
func (g *gateway) ended(event string) shownDelivery {
	g.t.Helper()
	var d shownDelivery
	eventually(g.t, "the delivery's end", func() bool {
		all := g.deliveriesOf(event)
		if len(all) != 1 {
			g.t.Fatalf("deliveries: %+v", all)
		}
		return all[0].State != "pending"
	})
	g.do("GET", "/v1/deliveries/"+g.deliveriesOf(event)[0].ID, nil, "").want(200).into(&d)
	return d
}

func TestDeliveryIsShownWithItsAttempts(t *testing.T) {
	g := newGateway(t, nil)
	var asked atomic.Int32
	url := receiver(t, func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) == 1 {
			w.WriteHeader(500)
			// More than is kept, with a character of three bytes across the end of it.
			io.WriteString(w, strings.Repeat("€", 4000))
			return
		}
		io.WriteString(w, "fine")
	})
	hook := g.hook(url, "orders.*", `,"retry":{"schedule":["1s"]}`)
	rec := g.publish("orders.created", "x")
	if rec.Webhooks != 1 {
		t.Errorf("receipt %+v", rec)
	}
	d := g.ended(rec.ID)
	if d.State != "delivered" || d.Reason != nil || d.Event != rec.ID || d.Webhook != hook || d.Topic != "orders.created" ||
		d.AttemptCount != 2 || d.EndedAt == nil || d.DueAt != nil || *d.LastStatus != 200 || d.Error != nil {
		t.Errorf("delivery %+v", d)
	}
	if len(d.Attempts) != 2 {
		t.Fatalf("attempts %+v", d.Attempts)
	}
	if a := d.Attempts[0]; *a.Status != 500 || *a.Error != "status-5xx" || a.Answer != strings.Repeat("€", 4096/3) {
		t.Errorf("first attempt: %d bytes of answer, %+v", len(a.Answer), a.Error)
	}
	if a := d.Attempts[1]; *a.Status != 200 || a.Error != nil || a.Answer != "fine" {
		t.Errorf("second attempt %+v", a)
	}
}

func TestDeliveriesAreListedByWhatIsAsked(t *testing.T) {
	g := newGateway(t, nil)
	good := g.hook(receiver(t, func(http.ResponseWriter, *http.Request) {}), "good.*", "")
	bad := g.hook(receiver(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }), "bad.*", `,"retry":{"schedule":[]}`)
	ok, failed := g.publish("good.one", "x"), g.publish("bad.one", "x")
	if d := g.ended(ok.ID); d.State != "delivered" {
		t.Errorf("delivery %+v", d)
	}
	if d := g.ended(failed.ID); d.State != "failed" || *d.Reason != "exhausted" || *d.Error != "status-4xx" {
		t.Errorf("delivery %+v", d)
	}
	for query, want := range map[string]string{
		"webhook=" + good:            ok.ID,
		"webhook=" + bad:             failed.ID,
		"topic=good.*":               ok.ID,
		"topic=nothing&topic=bad.**": failed.ID,
		"state=delivered":            ok.ID,
		"state=failed":               failed.ID,
		"error=status-4xx":           failed.ID,
		"event=" + ok.ID:             ok.ID,
		"limit=1":                    failed.ID,
		"since=2020-01-01T00:00:00Z&topic=good.*": ok.ID,
	} {
		var list deliveryList
		g.do("GET", "/v1/deliveries?"+query, nil, "").want(200).into(&list)
		if len(list.Data) != 1 || list.Data[0].Event != want {
			t.Errorf("%s: %+v", query, list.Data)
		}
	}
	for _, query := range []string{"state=canceled", "error=dns", "until=2020-01-01T00:00:00Z", "webhook=" + ok.ID} {
		var list deliveryList
		g.do("GET", "/v1/deliveries?"+query, nil, "").want(200).into(&list)
		if len(list.Data) != 0 {
			t.Errorf("%s: %+v", query, list.Data)
		}
	}
}

func TestRetryAndCancelByHand(t *testing.T) {
	g := newGateway(t, nil)
	var status atomic.Int32
	status.Store(500)
	hook := g.hook(receiver(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(status.Load())) }),
		"a", `,"retry":{"schedule":["1h"]}`)
	rec := g.publish("a", "x")
	var d shownDelivery
	eventually(t, "the first attempt", func() bool {
		d = g.deliveriesOf(rec.ID)[0]
		return d.AttemptCount == 1
	})
	if d.State != "pending" || d.DueAt == nil {
		t.Errorf("delivery %+v", d)
	}
	path := "/v1/deliveries/" + d.ID
	g.do("POST", path+"/cancel", nil, "").want(200).into(&d)
	if d.State != "canceled" || *d.Reason != "by-hand" {
		t.Errorf("canceled: %+v", d)
	}
	g.do("POST", path+"/cancel", nil, "").wantProblem(409, "wrong-state")

	status.Store(200)
	d = shownDelivery{}
	g.do("POST", path+"/retry", nil, "").want(200).into(&d)
	if d.State != "pending" || d.Reason != nil {
		t.Errorf("retried: %+v", d)
	}
	if d := g.ended(rec.ID); d.State != "delivered" || d.AttemptCount != 2 {
		t.Errorf("delivery %+v", d)
	}

	g.do("PATCH", "/v1/webhooks/"+hook, jsonType, `{"enabled":false}`).want(200)
	g.do("POST", path+"/retry", nil, "").wantProblem(409, "wrong-state")
	absent := "/v1/deliveries/0000000000fff-" + hook
	g.do("GET", absent, nil, "").wantProblem(404, "not-found")
	g.do("POST", absent+"/retry", nil, "").wantProblem(404, "not-found")
	g.do("POST", absent+"/cancel", nil, "").wantProblem(404, "not-found")
}
