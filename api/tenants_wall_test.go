package api_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// belongings are the ids of something of each sort that a tenant has, by the route's part before the id.
type belongings map[string]string

// furnish gives a tenant something of everything, as who h says, and waits until it is all there.
func (g *gateway) furnish(h headers, mark string) belongings {
	g.t.Helper()
	failing := receiver(g.t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	var hook, made struct{ ID string }
	// One failure, then a pause that outlasts the test: one delivery is pending, and one has failed.
	g.do("POST", "/v1/webhooks", slices.Concat(h, asJSON),
		fmt.Sprintf(`{"url":%q,"topics":["%s.**"],"description":%q,"retry":{"schedule":[]}}`, failing, mark, mark)).want(201).into(&hook)
	var posted receipt
	g.do("POST", "/v1/topics/"+mark+".a/events", h, mark).want(202).into(&posted)
	var deliveries struct{ Data []struct{ ID, State string } }
	eventually(g.t, "a failed delivery", func() bool {
		g.do("GET", "/v1/deliveries?state=failed", h, "").want(200).into(&deliveries)
		return len(deliveries.Data) == 1
	})
	g.do("POST", "/v1/webhooks/"+hook.ID+"/replay", slices.Concat(h, asJSON), `{"states":["failed"]}`).want(202).into(&made)
	key := g.makeKey(h, fmt.Sprintf(`{"name":%q,"scopes":["publish"]}`, mark))
	return belongings{
		"/v1/events": posted.ID, "/v1/webhooks": hook.ID, "/v1/deliveries": deliveries.Data[0].ID, "/v1/jobs": made.ID, "/v1/keys": key.ID,
	}
}

// bodies are what routes are sent where an example of openapi.yaml would not do. {webhook} stands for a webhook's id.
var bodies = map[string]string{
	"PATCH /v1/webhooks/{id}":              `{"description":"mine now"}`,
	"POST /v1/webhooks/{id}/rotate-secret": `{"overlap":"1h"}`,
	"POST /v1/webhooks/{id}/replay":        `{"states":["failed","delivered"]}`,
	"POST /v1/webhooks/test":               `{"webhook":"{webhook}","event":{"topic":"a"}}`,
}

// holdings is all that a tenant has, as the store tells it.
func (g *gateway) holdings(name string) string {
	g.t.Helper()
	ctx, page := g.t.Context(), store.Page{Limit: 500}
	id, found := g.tenants.ByName(name)
	if !found {
		g.t.Fatalf("there is no tenant %s", name)
	}
	var b strings.Builder
	events, err := g.engine.ListEvents(ctx, id, store.EventFilter{}, page)
	deliveries, err2 := g.engine.ListDeliveries(ctx, id, store.DeliveryFilter{}, page)
	webhooks, err3 := g.engine.ListWebhooks(ctx, id, page)
	keys, err4 := g.engine.ListKeys(ctx, id, page)
	jobs, err5 := g.engine.ListJobs(ctx, id, page)
	for _, err := range []error{err, err2, err3, err4, err5} {
		if err != nil {
			g.t.Fatal(err)
		}
	}
	for _, e := range events.Data {
		fmt.Fprintln(&b, *e.Event)
	}
	for _, d := range deliveries.Data {
		fmt.Fprintln(&b, d)
	}
	for _, w := range webhooks.Data {
		fmt.Fprintln(&b, *w)
	}
	for _, k := range keys.Data {
		k.LastUsedAt = time.Time{}
		fmt.Fprintln(&b, *k)
	}
	for _, j := range jobs.Data {
		fmt.Fprintln(&b, j)
	}
	return b.String()
}

// settled waits until nothing more happens of a tenant by itself.
func (g *gateway) settled(name string) string {
	g.t.Helper()
	eventually(g.t, "the end of what is under way", func() bool {
		id, _ := g.tenants.ByName(name)
		jobs, err := g.engine.ListJobs(g.t.Context(), id, store.Page{Limit: 10})
		if err != nil {
			g.t.Fatal(err)
		}
		pending := event.Pending
		waiting, err := g.engine.ListDeliveries(g.t.Context(), id, store.DeliveryFilter{State: &pending}, store.Page{Limit: 1})
		if err != nil {
			g.t.Fatal(err)
		}
		return !slices.ContainsFunc(jobs.Data, func(j store.Job) bool { return j.State == store.JobRunning }) && len(waiting.Data) == 0
	})
	return g.holdings(name)
}

// Filters that name what is another's find nothing, whoever asks.
func TestFiltersFindNothingOfAnother(t *testing.T) {
	g := newGatewayWithKey(t, adminKey, nil)
	has := g.furnish(g.makeTenant("theirs", `{}`), "theirs")
	mine := g.makeTenant("mine", `{}`)
	for who, h := range map[string]headers{"another tenant's admin": mine, "the default tenant's admin": asAdmin, "an admin who acts for another": forTenant("mine")} {
		for _, path := range []string{
			"/v1/deliveries?webhook=" + has["/v1/webhooks"], "/v1/deliveries?event=" + has["/v1/events"], "/v1/deliveries?topic=theirs.**",
			"/v1/events?topic=theirs.**", "/v1/events?topic=**",
		} {
			if a := g.do("GET", path, h, "").want(200); !strings.Contains(string(a.body), `"data":[]`) {
				t.Errorf("%s is listed what is another's by %s: %s", who, path, a.body)
			}
		}
	}
}

// Streams and polls carry what is their tenant's, also where both use the same topics, keys and CloudEvents.
func TestStreamsKeepToTheirTenant(t *testing.T) {
	g := newGatewayWithKey(t, adminKey, nil)
	a, b := g.makeTenant("a", `{}`), g.makeTenant("b", `{}`)
	ours, theirs := g.linesOf(a, "/v1/stream?topic=**"), g.linesOf(b, "/v1/stream?topic=**")
	again, asText := headers{"Idempotency-Key", "the-same"}, headers{"Content-Type", "text/plain"}
	for i := range 20 {
		if i == 0 {
			for _, h := range []headers{a, b} {
				if r := g.do("POST", "/v1/topics/t/events", slices.Concat(h, again), "first").want(202); r.header.Get("Idempotent-Replayed") != "" {
					t.Error("one tenant's key replays another's event")
				}
			}
		}
		g.do("POST", "/v1/topics/t/events", slices.Concat(a, asText), fmt.Sprintf("of a %d", i)).want(202)
		g.do("POST", "/v1/topics/t/events", slices.Concat(b, asText), fmt.Sprintf("of b %d", i)).want(202)
	}
	replayed := g.linesOf(a, "/v1/stream?topic=**&since=earliest")
	for what, s := range map[string]struct {
		lines interface {
			Scan() bool
			Text() string
		}
		mark, last string
	}{
		"live a": {ours, "of b", "data: of a 19"}, "live b": {theirs, "of a", "data: of b 19"}, "replayed a": {replayed, "of b", "data: of a 19"},
	} {
		for s.lines.Scan() {
			if strings.Contains(s.lines.Text(), s.mark) {
				t.Errorf("%s carries %q", what, s.lines.Text())
			}
			if s.lines.Text() == s.last {
				break
			}
		}
	}
	for _, h := range []headers{a, b} {
		poll := g.do("GET", "/v1/topics/t/events?after="+event.Cursor(0).String(), h, "").want(200)
		if strings.Contains(string(poll.body), "of a") == strings.Contains(string(poll.body), "of b") {
			t.Errorf("a poll brings %s", poll.body)
		}
	}
	// The other's filter finds none of it, and a cursor is a place in the log, not a way over the wall.
	var mine receipt
	g.do("POST", "/v1/topics/t/events", a, "x").want(202).into(&mine)
	poll := g.do("GET", "/v1/topics/t/events?after="+mine.Cursor, b, "").want(200)
	if !strings.Contains(string(poll.body), `"data":[]`) {
		t.Errorf("after another's cursor: %s", poll.body)
	}
}

// Whatever two tenants do, each sees what it did itself and nothing else.
func TestTwoTenantsSeeOnlyTheirOwn(t *testing.T) {
	g := newGatewayWithKey(t, adminKey, nil)
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		who := make(map[string]headers)
		events, hooks := make(map[string][]string), make(map[string][]string)
		names := []string{fmt.Sprintf("a-%d", round), fmt.Sprintf("b-%d", round)}
		for _, name := range names {
			who[name] = g.makeTenant(name, `{}`)
		}
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			name := rapid.SampledFrom(names).Draw(rt, "tenant")
			h := who[name]
			if rapid.Bool().Draw(rt, "by the operator") {
				h = forTenant(name)
			}
			switch rapid.IntRange(0, 4).Draw(rt, "step") {
			case 0, 1:
				var r receipt
				key := fmt.Sprint(rapid.IntRange(0, 3).Draw(rt, "key"))
				g.do("POST", "/v1/topics/t/events", slices.Concat(h, headers{"Idempotency-Key", key}), "x").want(202).into(&r)
				if !slices.Contains(events[name], r.ID) {
					events[name] = append(events[name], r.ID)
				}
			case 2:
				var w struct{ ID string }
				g.do("POST", "/v1/webhooks", slices.Concat(h, asJSON), `{"url":"http://127.0.0.1:1/","topics":["other"]}`).want(201).into(&w)
				hooks[name] = append(hooks[name], w.ID)
			case 3:
				if len(hooks[name]) > 0 {
					g.do("DELETE", "/v1/webhooks/"+hooks[name][0], h, "").want(204)
					hooks[name] = hooks[name][1:]
				}
			case 4:
				g.do("DELETE", "/v1/tenants/"+name, asAdmin, "").want(204)
				who[name] = g.makeTenant(name, `{}`)
				events[name], hooks[name] = nil, nil
			}
		}
		for _, name := range names {
			for path, want := range map[string][]string{"/v1/events": events[name], "/v1/webhooks": hooks[name]} {
				var list struct{ Data []struct{ ID string } }
				g.do("GET", path, who[name], "").want(200).into(&list)
				var got []string
				for _, d := range list.Data {
					got = append([]string{d.ID}, got...)
				}
				if !slices.Equal(got, want) {
					rt.Errorf("%s of %s has %v, want %v", path, name, got, want)
				}
			}
			g.do("DELETE", "/v1/tenants/"+name, asAdmin, "").want(204)
		}
		for range 100 { // bounded: what each round leaves is little
			step, err := g.engine.Trim(context.WithoutCancel(t.Context()), store.Retention{})
			if err != nil {
				rt.Fatal(err)
			}
			if !step.More {
				break
			}
		}
	})
	if n, err := g.engine.ListTenants(t.Context(), store.Page{Limit: 500}); err != nil || len(n.Data) != 1 {
		t.Errorf("left are %d tenants, %v", len(n.Data), err)
	}
}
