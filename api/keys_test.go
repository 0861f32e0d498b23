package api_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/carillon/carillon/event"
)

const adminKey = "0123456789-of-the-admin"

var (
	asAdmin = bearer(adminKey)
	asJSON  = headers{"Content-Type", "application/json"}
)

func bearer(key string) headers { return headers{"Authorization", "Bearer " + key} }

// keyShown is a key as a client reads it.
type keyShown struct {
	ID, Name, Tenant, Key                string
	Scopes, Topics                       []string
	Created_at                           time.Time
	Expires_at, Last_used_at, Revoked_at *time.Time
}

// makeKey makes a key as whoever h says.
func (g *gateway) makeKey(h headers, body string) keyShown {
	g.t.Helper()
	var k keyShown
	g.do("POST", "/v1/keys", slices.Concat(h, asJSON), body).want(201).into(&k)
	return k
}

func TestKeysLive(t *testing.T) {
	g := newGatewayWithKey(t, adminKey, nil)
	a := g.do("POST", "/v1/keys", slices.Concat(asAdmin, asJSON),
		`{"name":"the shop","scopes":["publish","subscribe"],"topics":["orders.**"],"expires_in":"720h"}`).want(201)
	var made keyShown
	a.into(&made)
	if a.header.Get("Location") != "/v1/keys/"+made.ID || a.header.Get("Cache-Control") != "no-store" || !event.WholeToken(event.Secret(made.Key)) {
		t.Errorf("made: %v %s", a.header, a.body)
	}
	if made.Name != "the shop" || !slices.Equal(made.Topics, []string{"orders.**"}) || made.Expires_at == nil ||
		made.Expires_at.Sub(made.Created_at).Round(time.Minute) != 720*time.Hour {
		t.Errorf("made: %s", a.body)
	}
	for _, path := range []string{"/v1/keys", "/v1/keys/" + made.ID} {
		if a := g.do("GET", path, asAdmin, "").want(200); !strings.Contains(string(a.body), made.ID) || strings.Contains(string(a.body), "crn_") {
			t.Errorf("%s: %s", path, a.body)
		}
	}
	mine := bearer(made.Key)
	g.do("POST", "/v1/topics/orders.paid/events", mine, "x").want(202)
	g.do("DELETE", "/v1/keys/"+made.ID, asAdmin, "").want(204)
	g.do("POST", "/v1/topics/orders.paid/events", mine, "x").wantProblem(401, "unauthorized")
	g.do("DELETE", "/v1/keys/"+made.ID, asAdmin, "").want(204)
	var shown keyShown
	g.do("GET", "/v1/keys/"+made.ID, asAdmin, "").want(200).into(&shown)
	if shown.Revoked_at == nil {
		t.Errorf("revoked, and shown as %+v", shown)
	}
	g.do("GET", "/v1/keys/"+someID, asAdmin, "").wantProblem(404, "not-found")
	g.do("DELETE", "/v1/keys/"+someID, asAdmin, "").wantProblem(404, "not-found")
	g.tryBad("GET", "/v1/keys/x", asAdmin, "").wantProblem(400, "bad-request", "id")

	brief := g.makeKey(asAdmin, `{"name":"brief","scopes":["publish"],"expires_in":"1s"}`)
	eventually(t, "the end of a key", func() bool {
		return g.do("POST", "/v1/topics/t/events", bearer(brief.Key), "x").status == 401
	})
	if a := g.do("POST", "/v1/topics/t/events", bearer(brief.Key), "x"); !strings.Contains(string(a.body), "has expired") {
		t.Errorf("expired: %s", a.body)
	}
	cut := made.Key[:len(made.Key)-1]
	if a := g.do("GET", "/v1/topics", bearer(cut), ""); a.status != 401 || !strings.Contains(string(a.body), "not whole") {
		t.Errorf("cut off: %d %s", a.status, a.body)
	}
	for _, secret := range []string{made.Key, brief.Key, adminKey} {
		if strings.Contains(g.log.String(), secret) {
			t.Error("a key is in the log")
		}
	}
}

func TestKeysAreRefused(t *testing.T) {
	g := newGatewayWithKey(t, adminKey, nil)
	for body, fields := range map[string][]string{
		`{}`:                             {"name", "scopes"},
		`{"name":1,"scopes":["admin"]}`:  {"name"},
		`{"name":"x","scopes":"admin"}`:  {"scopes"},
		`{"name":"x","scopes":[]}`:       {"scopes"},
		`{"name":"x","scopes":["root"]}`: {"scopes[0]"},
		`{"name":"x","scopes":["publish"],"topics":["a..b"]}`:      {"topics[0]"},
		`{"name":"x","scopes":["publish"],"topics":[]}`:            {"topics"},
		`{"name":"x","scopes":["admin"],"topics":["a"]}`:           {"topics"},
		`{"name":"x","scopes":["publish"],"expires_in":"0s"}`:      {"expires_in"},
		`{"name":"x","scopes":["publish"],"expires_in":"100000h"}`: {"expires_in"},
		`{"name":"x","scopes":["publish"],"expires_in":720}`:       {"expires_in"},
		`{"name":"x","scopes":["publish"],"key":"crn_mine"}`:       {"key"},
	} {
		g.tryBad("POST", "/v1/keys", slices.Concat(asAdmin, asJSON), body).wantProblem(422, "invalid", fields...)
	}
	var list struct{ Data []keyShown }
	if g.do("GET", "/v1/keys", asAdmin, "").want(200).into(&list); len(list.Data) > 0 {
		t.Errorf("made were %+v", list.Data)
	}
	never := g.makeKey(asAdmin, `{"name":"x","scopes":["publish"],"topics":null,"expires_in":null}`)
	if never.Expires_at != nil || never.Topics != nil {
		t.Errorf("made %+v", never)
	}
}

// Without a key whoever can connect may make the first one; with it nobody comes in without one.
func TestFirstKey(t *testing.T) {
	g := newGateway(t, nil)
	_, stream := g.followStream(t, "/v1/stream?topic=a", nil)
	for _, body := range []string{`{"name":"x","scopes":["publish"]}`, `{"name":"x","scopes":["subscribe","manage"]}`} {
		p := g.do("POST", "/v1/keys", asJSON, body).wantProblem(422, "invalid", "scopes")
		if !strings.Contains(p.Detail, "admin") {
			t.Errorf("it says %q", p.Detail)
		}
	}
	g.publish("a", "still open")
	g.tryBad("POST", "/v1/keys", slices.Concat(asJSON, headers{"Origin", "https://evil.example"}), `{"name":"x","scopes":["admin"]}`).wantProblem(403, "forbidden-origin")
	first := g.makeKey(nil, `{"name":"ann","scopes":["admin"]}`)
	g.do("POST", "/v1/topics/a/events", nil, "x").wantProblem(401, "unauthorized")
	g.do("POST", "/v1/keys", asJSON, `{"name":"x","scopes":["admin"]}`).wantProblem(401, "unauthorized")
	if text := stream(); !strings.HasSuffix(text, "data: {\"status\":\"expired\"}\n\n") {
		t.Errorf("the stream of who had no key ended with %q", text)
	}
	if strings.Count(g.log.String(), "there is a key now") != 1 {
		t.Error("the log does not say so, once")
	}
	// The others need not be admins. And a gateway whose last key is revoked does not fall open.
	g.makeKey(bearer(first.Key), `{"name":"x","scopes":["publish"]}`)
	g.do("DELETE", "/v1/keys/"+first.ID, bearer(first.Key), "").want(204)
	g.do("GET", "/v1/keys", bearer(first.Key), "").wantProblem(401, "unauthorized")
	g.do("GET", "/v1/keys", nil, "").wantProblem(401, "unauthorized")
}

func TestFirstKeyBesideTheConfigurations(t *testing.T) {
	g := newGatewayWithKey(t, adminKey, nil)
	k := g.makeKey(asAdmin, `{"name":"x","scopes":["publish"]}`)
	g.do("POST", "/v1/topics/a/events", bearer(k.Key), "x").want(202)
	g.do("GET", "/v1/keys", asAdmin, "").want(200)
}

// followStream opens a stream, and returns a function that reads it to its end.
func (g *gateway) followStream(t *testing.T, path string, h headers) (first string, rest func() string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	res, err := g.client.Do(g.request("GET", path, h, nil).WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	head := make([]byte, len("retry: "))
	if _, err := io.ReadFull(res.Body, head); err != nil || res.StatusCode != 200 {
		t.Fatalf("%s: %d, %v", path, res.StatusCode, err)
	}
	return string(head), func() string {
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Errorf("the stream broke off: %v", err)
		}
		return string(text)
	}
}

// A key that is revoked, or expires, takes its streams and polls with it, and nobody else's.
func TestKeyEndsItsStreams(t *testing.T) {
	g := newGatewayWithKey(t, adminKey, nil)
	const scopes = `"scopes":["subscribe"],"topics":["orders.**"]`
	revoked := g.makeKey(asAdmin, `{"name":"revoked",`+scopes+`}`)
	expiring := g.makeKey(asAdmin, `{"name":"expiring","expires_in":"2s",`+scopes+`}`)
	other := g.makeKey(asAdmin, `{"name":"other",`+scopes+`}`)
	_, ofRevoked := g.followStream(t, "/v1/stream?topic=orders.*", bearer(revoked.Key))
	_, ofExpiring := g.followStream(t, "/v1/stream?topic=orders.*", bearer(expiring.Key))
	g.followStream(t, "/v1/stream?topic=orders.*", bearer(other.Key))
	polled := make(chan *answer, 1)
	go func() { polled <- g.do("GET", "/v1/topics/orders.*/events?wait=60", bearer(revoked.Key), "") }()
	var list struct {
		Data []struct{ Key *string }
	}
	g.do("GET", "/v1/streams", asAdmin, "").want(200).into(&list)
	var keys []string
	for _, s := range list.Data {
		keys = append(keys, *s.Key)
	}
	if !slices.Contains(keys, revoked.ID) || !slices.Contains(keys, other.ID) {
		t.Errorf("the streams are of %v", keys)
	}
	g.do("DELETE", "/v1/keys/"+revoked.ID, asAdmin, "").want(204)
	(<-polled).wantProblem(401, "unauthorized")
	for name, rest := range map[string]func() string{"revoked": ofRevoked, "expiring": ofExpiring} {
		if text := rest(); !strings.HasSuffix(text, "data: {\"status\":\"expired\"}\n\n") {
			t.Errorf("the stream of the %s key ended with %q", name, text)
		}
	}
	eventually(t, "the end of two streams", func() bool {
		g.do("GET", "/v1/streams", asAdmin, "").want(200).into(&list)
		return len(list.Data) == 1
	})
	if *list.Data[0].Key != other.ID {
		t.Errorf("left is the stream of %s", *list.Data[0].Key)
	}
	g.tryBad("GET", "/v1/stream?topic=orders.*", bearer(revoked.Key), "").wantProblem(401, "unauthorized")
}

// What a key that is bound to topics reaches of the others is nothing.
func TestKeyReach(t *testing.T) {
	g := newGatewayWithKey(t, adminKey, nil)
	mine := bearer(g.makeKey(asAdmin, `{"name":"x","scopes":["publish","subscribe"],"topics":["orders.**","users.*"]}`).Key)
	post := func(h headers, topic string) *answer { return g.do("POST", "/v1/topics/"+topic+"/events", h, "x") }
	var theirs receipt
	post(asAdmin, "billing.paid").want(202).into(&theirs)
	var own receipt
	post(mine, "orders.eu.paid").want(202).into(&own)
	post(mine, "users.ann").want(202)
	a := post(mine, "billing.paid")
	if p := a.wantProblem(403, "forbidden", "topic"); !strings.Contains(p.Detail, "orders.**, users.*") {
		t.Errorf("it says %q", p.Detail)
	}
	if got := a.header.Get("Www-Authenticate"); !strings.Contains(got, "insufficient_scope") {
		t.Errorf("WWW-Authenticate is %q", got)
	}
	post(mine, "users.ann.more").wantProblem(403, "forbidden", "topic")
	post(mine, "_carillon.x").wantProblem(403, "reserved-topic", "topic")

	// CloudEvents are posted to the topic that is their type, or to the path's.
	ce := func(path, kinds string) *answer {
		var events []string
		for i, kind := range strings.Fields(kinds) {
			events = append(events, fmt.Sprintf(`{"specversion":"1.0","id":"%s-%d","source":"/t%s","type":"%s"}`, kind, i, path, kind))
		}
		h := headers{"Content-Type", "application/cloudevents-batch+json"}
		return g.do("POST", path, slices.Concat(mine, h), "["+strings.Join(events, ",")+"]")
	}
	ce("/v1/events", "orders.a users.b").want(202)
	before := g.stored()
	ce("/v1/events", "orders.a billing.b users.c billing.d").wantProblem(403, "forbidden", "[1].type", "[3].type")
	ce("/v1/topics/billing.x/events", "orders.a").wantProblem(403, "forbidden", "topic")
	if g.stored() != before {
		t.Error("something of a refused batch was stored")
	}
	ce("/v1/topics/orders.x/events", "com.example.any").want(202)

	// Reading.
	g.do("GET", "/v1/events/"+own.ID, mine, "").want(200)
	g.do("GET", "/v1/events/"+own.ID+"/payload", mine, "").want(200)
	g.do("GET", "/v1/events/"+theirs.ID, mine, "").wantProblem(404, "not-found")
	g.do("GET", "/v1/events/"+theirs.ID+"/payload", mine, "").wantProblem(404, "not-found")
	for _, path := range []string{"/v1/events", "/v1/events?topic=**", "/v1/events?topic=billing.*&topic=orders.*", "/v1/topics"} {
		if a := g.do("GET", path, mine, "").want(200); strings.Contains(string(a.body), "billing") || !strings.Contains(string(a.body), "orders") {
			t.Errorf("%s: %s", path, a.body)
		}
	}

	// Subscribing.
	for _, path := range []string{"/v1/stream?topic=orders.*&topic=users.*", "/v1/topics/orders.**/stream"} {
		g.followStream(t, path, mine)
	}
	g.do("GET", "/v1/topics/orders.*/events", mine, "").want(200)
	g.do("GET", "/v1/stream?topic=orders.*&topic=**", mine, "").wantProblem(403, "forbidden", "topic")
	g.do("GET", "/v1/topics/users.**/stream", mine, "").wantProblem(403, "forbidden", "pattern")
	g.do("GET", "/v1/topics/_carillon.**/events", mine, "").wantProblem(403, "forbidden", "topic")
	g.do("POST", "/v1/stream", slices.Concat(mine, asJSON), `{"topics":["orders.*","users.a","billing.*"]}`).wantProblem(403, "forbidden", "topics[2]")
}

// A key that is bound to topics manages the webhooks that it covers, and their deliveries of its topics.
func TestKeyManagesWhatItCovers(t *testing.T) {
	g := newGatewayWithKey(t, adminKey, nil)
	mine := bearer(g.makeKey(asAdmin, `{"name":"x","scopes":["manage"],"topics":["orders.**","users.*"]}`).Key)
	url := receiver(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	hook := func(h headers, topics string) *answer {
		return g.do("POST", "/v1/webhooks", slices.Concat(h, asJSON), fmt.Sprintf(`{"url":%q,"topics":%s,"retry":{"schedule":[]}}`, url, topics))
	}
	var own, narrowed, theirs, wide struct{ ID string }
	hook(mine, `["orders.*","users.a"]`).want(201).into(&own)
	hook(asAdmin, `["orders.**","billing.*"]`).want(201).into(&narrowed) // and narrowed below
	hook(asAdmin, `["billing.*"]`).want(201).into(&theirs)
	hook(asAdmin, `["**"]`).want(201).into(&wide)
	hook(mine, `["orders.*","**"]`).wantProblem(403, "forbidden", "topics[1]")
	for _, topic := range []string{"orders.paid", "billing.paid"} {
		g.do("POST", "/v1/topics/"+topic+"/events", asAdmin, "x").want(202)
	}
	type lists struct {
		Data []struct{ ID, Webhook, Topic string }
	}
	var all lists
	eventually(t, "the end of all deliveries", func() bool {
		g.do("GET", "/v1/deliveries?state=failed", asAdmin, "").want(200).into(&all)
		return len(all.Data) == 6
	})
	const narrow = `{"topics":["orders.**"]}`
	g.do("PATCH", "/v1/webhooks/"+narrowed.ID, slices.Concat(mine, asJSON), narrow).wantProblem(404, "not-found")
	g.do("PATCH", "/v1/webhooks/"+narrowed.ID, slices.Concat(asAdmin, asJSON), narrow).want(200)
	var jobs [2]struct{ ID string }
	for i, id := range []string{own.ID, theirs.ID} {
		g.do("POST", "/v1/webhooks/"+id+"/replay", slices.Concat(asAdmin, asJSON), `{}`).want(202).into(&jobs[i])
	}

	list := func(path string) (ids []string) {
		var list lists
		g.do("GET", path, mine, "").want(200).into(&list)
		for _, item := range list.Data {
			ids = append(ids, item.ID)
		}
		return ids
	}
	if got := list("/v1/webhooks"); !slices.Equal(got, []string{narrowed.ID, own.ID}) {
		t.Errorf("webhooks are %v", got)
	}
	if got := list("/v1/jobs"); !slices.Equal(got, []string{jobs[0].ID}) {
		t.Errorf("jobs are %v", got)
	}
	deliveries := list("/v1/deliveries")
	for _, d := range all.Data {
		managed := (d.Webhook == own.ID || d.Webhook == narrowed.ID) && d.Topic == "orders.paid"
		if slices.Contains(deliveries, d.ID) != managed {
			t.Errorf("the list of deliveries has %+v: %t", d, !managed)
		}
		path := "/v1/deliveries/" + d.ID
		if managed {
			g.do("GET", path, mine, "").want(200)
			g.do("POST", path+"/retry", mine, "").want(200)
			continue
		}
		g.do("GET", path, mine, "").wantProblem(404, "not-found")
		g.do("POST", path+"/retry", mine, "").wantProblem(404, "not-found")
		g.do("POST", path+"/cancel", mine, "").wantProblem(404, "not-found")
	}
	if len(deliveries) != 2 {
		t.Errorf("deliveries are %v", deliveries)
	}
	g.do("GET", "/v1/jobs/"+jobs[0].ID, mine, "").want(200)
	g.do("GET", "/v1/jobs/"+jobs[1].ID, mine, "").wantProblem(404, "not-found")
	g.do("POST", "/v1/jobs/"+jobs[1].ID+"/cancel", mine, "").wantProblem(404, "not-found")

	// What is not its own is not there, by whatever name it is asked for.
	for _, id := range []string{theirs.ID, wide.ID} {
		path := "/v1/webhooks/" + id
		before := string(g.do("GET", path, asAdmin, "").want(200).body)
		g.do("GET", path, mine, "").wantProblem(404, "not-found")
		g.do("GET", path+"/health", mine, "").wantProblem(404, "not-found")
		g.do("PATCH", path, slices.Concat(mine, asJSON), `{"topics":["orders.*"]}`).wantProblem(404, "not-found")
		g.do("POST", path+"/ping", mine, "").wantProblem(404, "not-found")
		g.do("POST", path+"/rotate-secret", slices.Concat(mine, asJSON), `{}`).wantProblem(404, "not-found")
		g.do("POST", path+"/replay", slices.Concat(mine, asJSON), `{}`).wantProblem(404, "not-found")
		g.do("POST", "/v1/webhooks/test", slices.Concat(mine, asJSON), fmt.Sprintf(`{"webhook":%q,"event":{"topic":"a"}}`, id)).wantProblem(404, "not-found")
		g.do("DELETE", path, mine, "").wantProblem(404, "not-found")
		if after := string(g.do("GET", path, asAdmin, "").want(200).body); after != before {
			t.Errorf("it was changed from %s to %s", before, after)
		}
	}

	path := "/v1/webhooks/" + own.ID
	g.do("PATCH", path, slices.Concat(mine, asJSON), `{"topics":["orders.*","billing.*"]}`).wantProblem(403, "forbidden", "topics[1]")
	g.do("PATCH", path, slices.Concat(mine, asJSON), `{"topics":["users.*"]}`).want(200)
	// A replay of what came before its topics were narrowed is bound, too.
	var count struct{ Total int }
	g.do("POST", "/v1/webhooks/"+narrowed.ID+"/replay", slices.Concat(asAdmin, asJSON), `{"dry_run":true,"topics":["billing.*"]}`).want(200).into(&count)
	if count.Total != 1 {
		t.Errorf("an admin would replay %d", count.Total)
	}
	g.do("POST", "/v1/webhooks/"+narrowed.ID+"/replay", slices.Concat(mine, asJSON), `{"dry_run":true,"topics":["billing.*"]}`).wantProblem(403, "forbidden", "topics[0]")
	g.do("POST", "/v1/webhooks/"+narrowed.ID+"/replay", slices.Concat(mine, asJSON), `{"dry_run":true,"states":["failed","canceled","delivered"],"topics":null}`).want(200)
	g.do("DELETE", path, mine, "").want(204)

	// Who is connected, of its topics.
	g.followStream(t, "/v1/stream?topic=orders.*", asAdmin)
	g.followStream(t, "/v1/stream?topic=orders.*&topic=billing.*", asAdmin)
	if got := list("/v1/streams"); len(got) != 1 {
		t.Errorf("streams are %v", got)
	}
}

// anyScope is for routes that any key is let in to.
const anyScope event.Scope = "any"

// routeScopes says what each route asks for; empty: of nobody anything. It is written by hand, so that a route which is
// new, or asks for something else than before, is thought about.
var routeScopes = map[string]event.Scope{
	"GET /healthz":       "",
	"GET /readyz":        "",
	"GET /openapi.yaml":  "",
	"GET /":              "",
	"GET /assets/{file}": "",

	"POST /v1/events":                event.ScopePublish,
	"POST /v1/topics/{topic}/events": event.ScopePublish,

	"GET /v1/events":                  event.ScopeSubscribe,
	"GET /v1/events/{id}":             event.ScopeSubscribe,
	"GET /v1/events/{id}/payload":     event.ScopeSubscribe,
	"GET /v1/topics":                  event.ScopeSubscribe,
	"GET /v1/topics/{topic}/events":   event.ScopeSubscribe,
	"GET /v1/stream":                  event.ScopeSubscribe,
	"POST /v1/stream":                 event.ScopeSubscribe,
	"GET /v1/stream/doctor":           event.ScopeSubscribe,
	"GET /v1/topics/{pattern}/stream": event.ScopeSubscribe,

	"GET /v1/streams":                      event.ScopeManage,
	"GET /v1/stats":                        event.ScopeManage,
	"GET /v1/stats/stream":                 event.ScopeManage,
	"POST /v1/webhooks":                    event.ScopeManage,
	"GET /v1/webhooks":                     event.ScopeManage,
	"GET /v1/webhooks/{id}":                event.ScopeManage,
	"PATCH /v1/webhooks/{id}":              event.ScopeManage,
	"DELETE /v1/webhooks/{id}":             event.ScopeManage,
	"POST /v1/webhooks/{id}/ping":          event.ScopeManage,
	"POST /v1/webhooks/{id}/rotate-secret": event.ScopeManage,
	"GET /v1/webhooks/{id}/health":         event.ScopeManage,
	"POST /v1/webhooks/{id}/replay":        event.ScopeManage,
	"POST /v1/webhooks/test":               event.ScopeManage,
	"GET /v1/jobs":                         event.ScopeManage,
	"GET /v1/jobs/{id}":                    event.ScopeManage,
	"POST /v1/jobs/{id}/cancel":            event.ScopeManage,
	"GET /v1/deliveries":                   event.ScopeManage,
	"GET /v1/deliveries/{id}":              event.ScopeManage,
	"POST /v1/deliveries/{id}/retry":       event.ScopeManage,
	"POST /v1/deliveries/{id}/cancel":      event.ScopeManage,

	"POST /v1/tenants":          event.ScopeAdmin,
	"GET /v1/tenants":           event.ScopeAdmin,
	"GET /v1/tenants/{name}":    event.ScopeAdmin,
	"PATCH /v1/tenants/{name}":  event.ScopeAdmin,
	"DELETE /v1/tenants/{name}": event.ScopeAdmin,
	"GET /v1/me":                anyScope,
	"POST /v1/stream-tokens":    event.ScopeSubscribe,
	"POST /v1/portal-links":     event.ScopeManage,

	"GET /metrics":         event.ScopeAdmin,
	"POST /v1/keys":        event.ScopeAdmin,
	"GET /v1/keys":         event.ScopeAdmin,
	"GET /v1/keys/{id}":    event.ScopeAdmin,
	"DELETE /v1/keys/{id}": event.ScopeAdmin,
}

// Every route is asked for with a key of every scope, with an ended key and with none.
func TestScopeOfEveryRoute(t *testing.T) {
	g := newGatewayWithKey(t, adminKey, nil)
	keys := make(map[event.Scope]headers)
	for _, scope := range event.Scopes() {
		keys[scope] = bearer(g.makeKey(asAdmin, fmt.Sprintf(`{"name":"x","scopes":[%q]}`, scope)).Key)
	}
	ended := g.makeKey(asAdmin, `{"name":"x","scopes":["admin"]}`)
	g.do("DELETE", "/v1/keys/"+ended.ID, asAdmin, "").want(204)
	outsiders := map[string]headers{
		"none": nil, "unknown": bearer(event.NewKeyToken().Reveal()), "revoked": bearer(ended.Key),
	}
	// What the request says does not matter: it may be refused for anything but for who sends it.
	fill := strings.NewReplacer("{file}", "app.js", "{topic}", "t", "{pattern}", "t", "{id}", someID, "{name}", "acme")
	ask := func(method, route string, h headers) int {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		res, err := g.client.Do(g.request(method, fill.Replace(route), h, nil).WithContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close() // streams go on
		return res.StatusCode
	}
	routes := 0
	err := chi.Walk(g.api.Routes(), func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		routes++
		name := method + " " + route
		want, known := routeScopes[name]
		if !known {
			t.Errorf("nobody has said what %s asks for", name)
			return nil
		}
		for scope, h := range keys {
			allowed := want == "" || want == anyScope || scope == want || scope == event.ScopeAdmin
			if status := ask(method, route, h); (status == 403) == allowed || status == 401 || status >= 500 {
				t.Errorf("%s with the scope %s: %d", name, scope, status)
			}
		}
		for what, h := range outsiders {
			if status := ask(method, route, h); (status == 401) != (want != "") || status >= 500 {
				t.Errorf("%s with the key %s: %d", name, what, status)
			}
		}
		return nil
	})
	if err != nil || routes != len(routeScopes) {
		t.Errorf("%d routes, and %d are expected: %v", routes, len(routeScopes), err)
	}
}
