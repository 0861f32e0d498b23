package api_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/carillon/carillon/api"
	"github.com/carillon/carillon/store"
)

func TestIdempotencyKeyReplays(t *testing.T) {
	g := newGateway(t, nil)
	post := func(topic, key, body string) *answer {
		t.Helper()
		return g.do("POST", "/v1/topics/"+topic+"/events", headers{"Idempotency-Key", key, "Content-Type", "text/plain"}, body)
	}
	var first, again, other receipt
	post("orders", "k1", "x").want(202).into(&first)
	before := g.stored()
	a := post("orders", "k1", "x").want(202).into(&again)
	if again != first || a.header.Get("Idempotent-Replayed") != "true" || a.header.Get("Location") != "/v1/events/"+first.ID {
		t.Errorf("replayed %+v, first %+v", again, first)
	}
	post("orders", "k1", "y").wantProblem(422, "key-reused")
	post("invoices", "k1", "x").wantProblem(422, "key-reused")
	if g.stored() != before {
		t.Error("a replay changed the store")
	}
	post("orders", "k2", "x").want(202).into(&other)
	if other.ID == first.ID {
		t.Error("another key has the same event")
	}
}

func TestIdempotencyKeyOfABatch(t *testing.T) {
	g := newGateway(t, nil)
	post := func(body string) *answer {
		t.Helper()
		return g.do("POST", "/v1/events", headers{"Idempotency-Key", "b1", "Content-Type", "application/cloudevents-batch+json"}, body)
	}
	one := `{"specversion":"1.0","id":"1","source":"/s","type":"t","data":1}`
	two := `{"specversion":"1.0","id":"2","source":"/s","type":"t","data":2}`
	var first, again []receipt
	post("[" + one + "," + two + "]").want(202).into(&first)
	post("[" + one + "," + two + "]").want(202).into(&again)
	if len(again) != 2 || again[0].ID != first[0].ID || again[1].ID != first[1].ID || !again[0].Replayed || !again[1].Replayed {
		t.Errorf("replayed %+v, first %+v", again, first)
	}
	before := g.stored()
	post("["+one+"]").wantProblem(422, "key-reused")
	post("["+two+","+one+"]").wantProblem(422, "key-reused")
	if g.stored() != before {
		t.Error("a refused batch changed the store")
	}
}

func TestABatchTellsWhichEventsCameBefore(t *testing.T) {
	g := newGateway(t, nil)
	h := headers{"Content-Type", "application/cloudevents-batch+json"}
	ce := func(id, data string) string {
		return `{"specversion":"1.0","id":"` + id + `","source":"/s","type":"t","data":` + data + `}`
	}
	g.do("POST", "/v1/events", h, "["+ce("1", "1")+","+ce("2", "1")+"]").want(202)
	before := g.stored()
	all := []string{ce("1", "1"), ce("2", "2"), ce("3", "1"), ce("3", "1"), ce("3", "2")}
	g.do("POST", "/v1/events", h, "["+strings.Join(all, ",")+"]").wantProblem(422, "key-reused", "[1].id", "[4].id")
	if g.stored() != before {
		t.Error("a refused batch changed the store")
	}
	// Of a key of the request itself there is no event to name.
	under := append(headers{"Idempotency-Key", "k"}, h...)
	g.do("POST", "/v1/events", under, "["+ce("2", "2")+"]").want(202)
	g.do("POST", "/v1/events", under, "["+ce("2", "3")+"]").wantProblem(422, "key-reused")
}

func TestIdempotencyKeyTakesThePlaceOfSourceAndID(t *testing.T) {
	g := newGateway(t, nil)
	post := func(h headers, id string) (r receipt, replayed bool) {
		t.Helper()
		body := `{"specversion":"1.0","id":"` + id + `","source":"/s","type":"t","data":1}`
		a := g.do("POST", "/v1/events", append(h, ceJSON...), body).want(202).into(&r)
		return r, a.header.Get("Idempotent-Replayed") == "true"
	}
	bare, _ := post(nil, "1")
	under, replayed := post(headers{"Idempotency-Key", "k"}, "1")
	if replayed || under.ID == bare.ID {
		t.Error("the event's own key counts under a key of the request")
	}
	if again, replayed := post(headers{"Idempotency-Key", "k"}, "1"); !replayed || again != under {
		t.Errorf("replayed %+v, first %+v", again, under)
	}
	if again, replayed := post(nil, "1"); !replayed || again != bare {
		t.Errorf("replayed %+v, first %+v", again, bare)
	}
}

// slowStore holds appends back until it is told to let them go.
type slowStore struct {
	api.Store
	begun chan struct{}
	goOn  chan struct{}
}

func (s *slowStore) Append(ctx context.Context, drafts []store.Draft) ([]store.Receipt, error) {
	s.begun <- struct{}{}
	<-s.goOn
	return s.Store.Append(ctx, drafts)
}

func TestIdempotencyKeyInFlight(t *testing.T) {
	slow := &slowStore{begun: make(chan struct{}), goOn: make(chan struct{})}
	g := newGateway(t, func(c *api.Config) { slow.Store, c.Store = c.Store, slow })
	var wg sync.WaitGroup
	wg.Go(func() {
		g.do("POST", "/v1/topics/t/events", headers{"Idempotency-Key", "k"}, "x").want(202)
	})
	<-slow.begun
	a := g.do("POST", "/v1/topics/t/events", headers{"Idempotency-Key", "k"}, "x")
	a.wantProblem(409, "key-in-flight")
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	wg.Go(func() { g.do("POST", "/v1/topics/t/events", headers{"Idempotency-Key", "other"}, "x").want(202) })
	<-slow.begun
	close(slow.goOn)
	wg.Wait()
	go func() { <-slow.begun }()
	a = g.do("POST", "/v1/topics/t/events", headers{"Idempotency-Key", "k"}, "x").want(202)
	if a.header.Get("Idempotent-Replayed") != "true" {
		t.Error("not replayed")
	}
}

func TestStorageErrorsAreTold(t *testing.T) {
	broken := &brokenStore{}
	g := newGateway(t, func(c *api.Config) { broken.Store, c.Store = c.Store, broken })
	for _, c := range []struct {
		err    error
		status int
		kind   string
	}{
		{store.ErrFull, 507, "storage-full"},
		{store.ErrNotStored, 503, "not-stored"},
		{store.ErrUnknown, 503, "outcome-unknown"},
		{errInner, 503, "not-stored"},
	} {
		broken.err = c.err
		a := g.do("POST", "/v1/topics/t/events", headers{"Content-Type", "text/plain"}, "x")
		a.wantProblem(c.status, c.kind)
		if a.header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", c.kind)
		}
		// The engine itself logs that the disk is full: once, not for every post.
		if logged := containsText(g.log.String(), c.err.Error()); logged != (c.err != store.ErrFull) {
			t.Errorf("%s: the error is in the log: %v", c.kind, logged)
		}
	}
	broken.err = errInner
	for _, path := range []string{"/v1/events", "/v1/topics", "/v1/events/0197a2c4-1f3e-7c11-9a3b-5f2d8c4e6b01"} {
		a := g.do("GET", path, nil, "")
		a.wantProblem(500, "internal")
		if containsText(string(a.body), "inner") {
			t.Errorf("the client is told of the inside: %s", a.body)
		}
	}
}
