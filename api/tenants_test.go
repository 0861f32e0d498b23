package api_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/carillon/carillon/api"
	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
	"github.com/carillon/carillon/stream"
)

// forTenant is who acts for a tenant as an admin of the whole gateway.
func forTenant(name string) headers { return slices.Concat(asAdmin, headers{"Carillon-Tenant", name}) }

// tenantShown is a tenant as a client reads it.
type tenantShown struct {
	Name   string
	Quotas struct{ Events_per_second, Stored_bytes, Webhooks, Streams int64 }
	Usage  struct{ Stored_bytes, Webhooks, Streams int64 }
}

// makeTenant makes a tenant and a key of it with every scope.
func (g *gateway) makeTenant(name, quotas string) headers {
	g.t.Helper()
	g.do("POST", "/v1/tenants", slices.Concat(asAdmin, asJSON), fmt.Sprintf(`{"name":%q,"quotas":%s}`, name, quotas)).want(201)
	return bearer(g.makeKey(asAdmin, fmt.Sprintf(`{"name":"admin of %[1]s","scopes":["admin"],"tenant":%[1]q}`, name)).Key)
}

func TestTenantsLive(t *testing.T) {
	g := newGatewayWithKey(t, adminKey, nil)
	a := g.do("POST", "/v1/tenants", slices.Concat(asAdmin, asJSON), `{"name":"acme","quotas":{"webhooks":2,"streams":null}}`).want(201)
	var made tenantShown
	a.into(&made)
	if a.header.Get("Location") != "/v1/tenants/acme" || made.Name != "acme" || made.Quotas.Webhooks != 2 || made.Quotas.Streams != 0 {
		t.Errorf("made: %v %s", a.header, a.body)
	}
	g.do("POST", "/v1/tenants", slices.Concat(asAdmin, asJSON), `{"name":"acme"}`).wantProblem(409, "already-exists", "name")
	g.do("POST", "/v1/tenants", slices.Concat(asAdmin, asJSON), `{"name":"default"}`).wantProblem(409, "already-exists", "name")

	acme := bearer(g.makeKey(asAdmin, `{"name":"x","scopes":["admin"],"tenant":"acme"}`).Key)
	g.do("POST", "/v1/topics/orders.paid/events", acme, "x").want(202)
	g.do("POST", "/v1/webhooks", slices.Concat(acme, asJSON), `{"url":"http://127.0.0.1:1/","topics":["a"]}`).want(201)
	var shown tenantShown
	g.do("GET", "/v1/tenants/acme", asAdmin, "").want(200).into(&shown)
	if shown.Usage.Webhooks != 1 || shown.Usage.Stored_bytes < 100 || shown.Usage.Stored_bytes > 1000 {
		t.Errorf("it uses %+v", shown.Usage)
	}
	g.do("PATCH", "/v1/tenants/acme", slices.Concat(asAdmin, asJSON), `{"quotas":{"events_per_second":5}}`).want(200).into(&shown)
	if shown.Quotas.Webhooks != 2 || shown.Quotas.Events_per_second != 5 {
		t.Errorf("changed to %+v", shown.Quotas)
	}
	g.do("PATCH", "/v1/tenants/acme", slices.Concat(asAdmin, asJSON), `{"quotas":{"events_per_second":null}}`).want(200).into(&shown)
	if shown.Quotas.Events_per_second != 0 {
		t.Errorf("changed to %+v", shown.Quotas)
	}
	g.do("PATCH", "/v1/tenants/nobody", slices.Concat(asAdmin, asJSON), `{}`).wantProblem(404, "not-found")

	for body, fields := range map[string][]string{
		`{}`:                            {"name"},
		`{"name":"Acme"}`:               {"name"},
		`{"name":5}`:                    {"name"},
		`{"name":"-a"}`:                 {"name"},
		`{"name":"a","quotas":5}`:       {"quotas"},
		`{"name":"a","id":5}`:           {"id"},
		`{"name":"a","quotas":{"x":1}}`: {"quotas.x"},
		`{"name":"a","quotas":{"streams":-1,"webhooks":"2","stored_bytes":1125899906842625}}`: {"quotas.webhooks", "quotas.stored_bytes", "quotas.streams"},
		`{"name":"a","quotas":{"events_per_second":1.5}}`:                                     {"quotas.events_per_second"},
	} {
		g.tryBad("POST", "/v1/tenants", slices.Concat(asAdmin, asJSON), body).wantProblem(422, "invalid", fields...)
	}
	g.tryBad("PATCH", "/v1/tenants/acme", slices.Concat(asAdmin, asJSON), `{"name":"b"}`).wantProblem(422, "invalid", "name")
	g.tryBad("GET", "/v1/tenants?page=x", asAdmin, "").wantProblem(400, "bad-request", "page")
	g.tryBad("GET", "/v1/tenants/ACME", asAdmin, "").wantProblem(404, "not-found")
	var list struct{ Data []tenantShown }
	g.do("GET", "/v1/tenants", asAdmin, "").want(200).into(&list)
	if len(list.Data) != 2 || list.Data[0].Name != "acme" || list.Data[1].Name != "default" {
		t.Errorf("listed are %+v", list.Data)
	}
	g.do("DELETE", "/v1/tenants/default", asAdmin, "").wantProblem(409, "wrong-state")
	g.do("DELETE", "/v1/tenants/nobody", asAdmin, "").wantProblem(404, "not-found")
	g.do("DELETE", "/v1/tenants/acme", asAdmin, "").want(204)
	g.do("DELETE", "/v1/tenants/acme", asAdmin, "").wantProblem(404, "not-found")
	g.do("GET", "/v1/topics", acme, "").wantProblem(401, "unauthorized")
	g.do("GET", "/v1/topics", forTenant("acme"), "").wantProblem(404, "not-found", "Carillon-Tenant")
}

// Who may name a tenant: an admin of the whole gateway any, everybody else their own.
func TestNamingATenant(t *testing.T) {
	g := newGatewayWithKey(t, adminKey, nil)
	acme := g.makeTenant("acme", "{}")
	g.makeTenant("other", "{}")
	named := func(h headers, name string) headers { return slices.Concat(h, headers{"Carillon-Tenant", name}) }
	stored := bearer(g.makeKey(asAdmin, `{"name":"stored","scopes":["admin"]}`).Key)
	worker := bearer(g.makeKey(asAdmin, `{"name":"worker","scopes":["publish","subscribe","manage"]}`).Key)

	for what, who := range map[string]headers{"the configuration's": asAdmin, "a stored one": stored} {
		for _, name := range []string{"acme", "default"} {
			topic := "t." + strings.ReplaceAll(what, " ", "-")
			topic = strings.ReplaceAll(topic, "'", "")
			g.do("POST", "/v1/topics/"+topic+"/events", named(who, name), "x").want(202)
		}
		g.do("GET", "/v1/topics", named(who, "nobody"), "").wantProblem(404, "not-found", "Carillon-Tenant")
		g.tryBad("GET", "/v1/topics", named(who, ""), "").wantProblem(404, "not-found", "Carillon-Tenant")
		g.tryBad("GET", "/v1/topics", named(named(who, "acme"), "acme"), "").wantProblem(400, "bad-request", "Carillon-Tenant")
		g.do("GET", "/metrics", named(who, "acme"), "").want(200)
	}
	for what, who := range map[string]headers{"a tenant's admin": acme, "no admin": worker} {
		own, others := "acme", []string{"other", "default", "nobody", ""}
		if what == "no admin" {
			own, others = "default", []string{"acme", "other", "nobody", ""}
		}
		g.do("GET", "/v1/topics", named(who, own), "").want(200)
		for _, name := range others {
			g.tryBad("GET", "/v1/topics", named(who, name), "").wantProblem(403, "forbidden", "Carillon-Tenant")
		}
		g.do("GET", "/metrics", who, "").wantProblem(403, "forbidden")
		for _, ask := range [][2]string{{"GET", "/v1/tenants"}, {"GET", "/v1/tenants/acme"}, {"DELETE", "/v1/tenants/acme"}, {"GET", "/v1/tenants/nobody"}} {
			g.do(ask[0], ask[1], who, "").wantProblem(403, "forbidden")
		}
		g.do("POST", "/v1/tenants", slices.Concat(who, asJSON), `{"name":"more"}`).wantProblem(403, "forbidden")
		g.do("PATCH", "/v1/tenants/acme", slices.Concat(who, asJSON), `{"quotas":{"streams":0}}`).wantProblem(403, "forbidden")
	}

	// Keys: of whom they are is decided in the same way.
	if k := g.makeKey(acme, `{"name":"x","scopes":["admin"]}`); k.Tenant != "acme" {
		t.Errorf("a tenant's admin makes a key of %q", k.Tenant)
	}
	if k := g.makeKey(acme, `{"name":"x","scopes":["admin"],"tenant":"acme"}`); k.Tenant != "acme" {
		t.Errorf("a tenant's admin makes a key of %q", k.Tenant)
	}
	if k := g.makeKey(forTenant("acme"), `{"name":"x","scopes":["publish"],"tenant":null}`); k.Tenant != "acme" {
		t.Errorf("acting for a tenant an admin makes a key of %q", k.Tenant)
	}
	if k := g.makeKey(forTenant("acme"), `{"name":"x","scopes":["publish"],"tenant":"other"}`); k.Tenant != "other" {
		t.Errorf("naming another, an admin makes a key of %q", k.Tenant)
	}
	for _, name := range []string{"other", "default", "nobody"} {
		g.do("POST", "/v1/keys", slices.Concat(acme, asJSON), fmt.Sprintf(`{"name":"x","scopes":["publish"],"tenant":%q}`, name)).
			wantProblem(403, "forbidden", "tenant")
	}
	g.do("POST", "/v1/keys", slices.Concat(asAdmin, asJSON), `{"name":"x","scopes":["publish"],"tenant":"nobody"}`).
		wantProblem(404, "not-found", "tenant")
	g.tryBad("POST", "/v1/keys", slices.Concat(asAdmin, asJSON), `{"name":"x","scopes":["publish"],"tenant":""}`).wantProblem(422, "invalid", "tenant")
}

// While there is no key everybody runs the gateway; the first one must be of somebody who still does.
func TestTenantsOfAnOpenGateway(t *testing.T) {
	g := newGateway(t, nil)
	g.do("POST", "/v1/tenants", asJSON, `{"name":"acme"}`).want(201)
	g.do("POST", "/v1/topics/a/events", headers{"Carillon-Tenant", "acme"}, "x").want(202)
	var topics struct{ Data []any }
	if g.do("GET", "/v1/topics", nil, "").want(200).into(&topics); len(topics.Data) != 0 {
		t.Errorf("the default tenant has %v", topics.Data)
	}
	admin := `{"name":"x","scopes":["admin"]%s}`
	g.do("POST", "/v1/keys", slices.Concat(asJSON, headers{"Carillon-Tenant", "acme"}), fmt.Sprintf(admin, "")).wantProblem(422, "invalid", "tenant")
	g.do("POST", "/v1/keys", asJSON, fmt.Sprintf(admin, `,"tenant":"acme"`)).wantProblem(422, "invalid", "tenant")
	mine := bearer(g.makeKey(nil, fmt.Sprintf(admin, `,"tenant":"default"`)).Key)
	g.do("GET", "/v1/tenants/acme", mine, "").want(200)
	g.do("GET", "/v1/tenants/acme", nil, "").wantProblem(401, "unauthorized")
}

func TestTenantQuotas(t *testing.T) {
	g := newGatewayWithKey(t, adminKey, nil)
	acme := g.makeTenant("acme", `{"stored_bytes":2000,"webhooks":1,"streams":2}`)
	free := g.makeTenant("free", `{}`)
	post := func(h headers, payload string) *answer { return g.do("POST", "/v1/topics/t/events", h, payload) }

	post(acme, strings.Repeat("x", 1000)).want(202)
	p := post(acme, strings.Repeat("x", 1000)).wantProblem(429, "quota-exceeded")
	if !strings.Contains(p.Detail, "of the 2000 that it may store") || !strings.Contains(p.Detail, "retention") {
		t.Errorf("told is %q", p.Detail)
	}
	post(acme, "little").want(202)
	post(free, strings.Repeat("x", 1000)).want(202)
	waiting := slices.Concat(acme, headers{"Prefer", "wait=30"})
	g.do("POST", "/v1/webhooks", slices.Concat(acme, asJSON), `{"url":"http://127.0.0.1:1/","topics":["t"],"enabled":true}`).want(201)
	g.do("POST", "/v1/topics/t/events", waiting, strings.Repeat("x", 1000)).wantProblem(429, "quota-exceeded")

	if p := g.do("POST", "/v1/webhooks", slices.Concat(acme, asJSON), `{"url":"http://127.0.0.1:1/","topics":["t"]}`).
		wantProblem(429, "quota-exceeded"); !strings.Contains(p.Detail, "has 1 webhooks, and may have 1") {
		t.Errorf("told is %q", p.Detail)
	}
	g.do("POST", "/v1/webhooks", slices.Concat(free, asJSON), `{"url":"http://127.0.0.1:1/","topics":["t"]}`).want(201)

	for range 2 {
		g.linesOf(acme, "/v1/stream?topic=t")
	}
	g.do("GET", "/v1/topics/t/events?wait=30", acme, "").wantProblem(429, "too-many-streams")
	g.tryBad("GET", "/v1/stream?topic=t", slices.Concat(acme, headers{"Accept", "application/x-ndjson"}), "").wantProblem(429, "too-many-streams")
	// An EventSource would take an error for final.
	if a := g.do("GET", "/v1/stream?topic=t", acme, "").want(200); !strings.Contains(string(a.body), "retry: ") || !strings.Contains(string(a.body), "full") {
		t.Errorf("one too many is told %s", a.body)
	}
	g.linesOf(free, "/v1/stream?topic=t")
	var shown tenantShown
	if g.do("GET", "/v1/tenants/acme", asAdmin, "").into(&shown); shown.Usage.Streams != 2 || shown.Usage.Webhooks != 1 {
		t.Errorf("it uses %+v", shown.Usage)
	}
}

// linesOf opens a stream that stays open until the test ends, and returns a reader of its lines.
func (g *gateway) linesOf(h headers, path string) *bufio.Scanner {
	g.t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(g.t.Context()))
	res, err := g.client.Do(g.request("GET", path, h, nil).WithContext(ctx))
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() {
		cancel()
		res.Body.Close()
	})
	if res.StatusCode != 200 {
		g.t.Fatalf("%s: %d", path, res.StatusCode)
	}
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "id: ") { // it is open
	}
	return lines
}

func TestEventsPerSecond(t *testing.T) {
	g := newGatewayWithKey(t, adminKey, nil)
	acme, free := g.makeTenant("acme", `{"events_per_second":1}`), g.makeTenant("free", `{}`)
	a := g.do("POST", "/v1/topics/t/events", acme, "x").want(202)
	if a.header.Get("RateLimit-Policy") != `"events";q=1;w=1` || a.header.Get("RateLimit") != `"events";r=0;t=1` {
		t.Errorf("told are %v", a.header)
	}
	// A batch that is larger than a second's worth is paid for afterwards: here with more than the test will take.
	batch := func(n int) string {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf(`{"specversion":"1.0","id":"%d","source":"/s","type":"t"}`, i))
		}
		return "[" + strings.Join(all, ",") + "]"
	}
	asBatch := slices.Concat(acme, headers{"Content-Type", "application/cloudevents-batch+json"})
	eventually(t, "a second", func() bool { return g.do("POST", "/v1/events", asBatch, batch(1000)).status == 202 })
	for _, h := range []headers{asBatch, slices.Concat(acme, headers{"Content-Type", "application/cloudevents+json"})} {
		body := batch(1)
		if !strings.Contains(h[3], "batch") {
			body = strings.Trim(body, "[]")
		}
		a = g.do("POST", "/v1/events", h, body)
		p := a.wantProblem(429, "too-many-events")
		if after, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || after < 500 || after > 1001 || !strings.Contains(p.Detail, "1 events a second") {
			t.Errorf("after %d, %v: %s", after, err, p.Detail)
		}
		if a.header.Get("RateLimit-Policy") != `"events";q=1;w=1` || !strings.HasPrefix(a.header.Get("RateLimit"), `"events";r=0;t=`) {
			t.Errorf("told are %v", a.header)
		}
	}
	if a := g.do("POST", "/v1/topics/t/events", free, "x").want(202); a.header.Get("RateLimit") != "" || a.header.Get("RateLimit-Policy") != "" {
		t.Errorf("without a quota told are %v", a.header)
	}
	g.do("PATCH", "/v1/tenants/acme", slices.Concat(asAdmin, asJSON), `{"quotas":null}`).want(200)
	g.do("POST", "/v1/topics/t/events", acme, "x").want(202)
}

// A deleted tenant's streams end, its posters are shut out, and its webhooks get nothing more; others notice nothing.
func TestDeletingATenant(t *testing.T) {
	g := newGatewayWithKey(t, adminKey, nil)
	acme, free := g.makeTenant("acme", `{}`), g.makeTenant("free", `{}`)
	hook := func(h headers, calls chan string) {
		url := receiver(t, func(w http.ResponseWriter, r *http.Request) {
			calls <- r.Header.Get("Carillon-Topic")
			w.WriteHeader(500)
		})
		g.do("POST", "/v1/webhooks", slices.Concat(h, asJSON), fmt.Sprintf(`{"url":%q,"topics":["t"],"retry":{"schedule":["1s","1s","1s","1s"]}}`, url)).want(201)
	}
	theirs, ours := make(chan string, 100), make(chan string, 100)
	hook(acme, theirs)
	hook(free, ours)
	g.do("POST", "/v1/topics/t/events", acme, "x").want(202)
	g.do("POST", "/v1/topics/t/events", free, "x").want(202)
	<-theirs
	mine, admins, others := g.linesOf(acme, "/v1/stream?topic=**"), g.linesOf(forTenant("acme"), "/v1/stream?topic=**"),
		g.linesOf(free, "/v1/stream?topic=**")
	polled := make(chan int, 1)
	go func() {
		res, err := g.client.Do(g.request("GET", "/v1/topics/t/events?wait=60", acme, nil))
		if err != nil {
			polled <- 0
			return
		}
		res.Body.Close()
		polled <- res.StatusCode
	}()
	eventually(t, "a poll", func() bool {
		var shown tenantShown
		g.do("GET", "/v1/tenants/acme", asAdmin, "").into(&shown)
		return shown.Usage.Streams == 3
	})
	g.do("DELETE", "/v1/tenants/acme", asAdmin, "").want(204)
	for _, lines := range []*bufio.Scanner{mine, admins} {
		told := ""
		for lines.Scan() {
			told += lines.Text() + "\n"
		}
		if !strings.Contains(told, `{"status":"expired"}`) {
			t.Errorf("its stream ended with %q", told)
		}
	}
	if status := <-polled; status != 401 {
		t.Errorf("its poll was answered with %d", status)
	}
	g.do("POST", "/v1/topics/t/events", acme, "x").wantProblem(401, "unauthorized")
	for drained := false; !drained; {
		select {
		case <-theirs:
		default:
			drained = true
		}
	}
	for range 3 { // each a second later: theirs would have come as often
		<-ours
	}
	if len(theirs) > 1 { // one can have been under way
		t.Errorf("its webhook still got %d requests", len(theirs))
	}
	g.do("POST", "/v1/topics/t/events", free, "still here").want(202)
	for others.Scan() && others.Text() != "data: still here" {
	}
	if others.Err() != nil {
		t.Error(others.Err())
	}
	// What it had is removed.
	eventually(t, "the removal", func() bool {
		if _, err := g.engine.Trim(t.Context(), store.Retention{}); err != nil {
			t.Fatal(err)
		}
		events, err := g.engine.EventsAt(t.Context(), []event.Cursor{1}, 1)
		return err == nil && len(events) == 0
	})
	next := g.makeTenant("acme", `{}`)
	var topics struct{ Data []any }
	if g.do("GET", "/v1/topics", next, "").want(200).into(&topics); len(topics.Data) != 0 {
		t.Errorf("the next of the name has %v", topics.Data)
	}
}

// Pages may name a tenant, and read how they stand with its quota.
func TestTenantHeaderAndCORS(t *testing.T) {
	g := newGatewayWithKey(t, adminKey, func(c *api.Config) { c.CORSOrigins = []string{"https://app.example.com"} })
	a := g.tryBad("OPTIONS", "/v1/topics/t/events", headers{"Origin", "https://app.example.com", "Access-Control-Request-Method", "POST",
		"Access-Control-Request-Headers", "authorization,carillon-tenant"}, "")
	if allowed := strings.ToLower(a.header.Get("Access-Control-Allow-Headers")); !strings.Contains(allowed, "carillon-tenant") {
		t.Errorf("allowed are %q", allowed)
	}
	a = g.tryBad("GET", "/v1/topics", slices.Concat(asAdmin, headers{"Origin", "https://app.example.com"}), "")
	if exposed := strings.ToLower(a.header.Get("Access-Control-Expose-Headers")); !strings.Contains(exposed, "ratelimit-policy") {
		t.Errorf("exposed are %q", exposed)
	}
}

// What is told of the streams of one tenant is told to it, and names no key of another.
func TestStreamNewsStayInTheirTenant(t *testing.T) {
	g := newGatewayWith(t, stream.Config{}, adminKey, nil)
	acme := g.makeTenant("acme", `{}`)
	mine, theirs := g.linesOf(asAdmin, "/v1/stream?topic=_carillon.**"), g.linesOf(acme, "/v1/stream?topic=_carillon.**")
	operator := g.makeKey(asAdmin, `{"name":"x","scopes":["admin"]}`)
	g.linesOf(slices.Concat(bearer(operator.Key), headers{"Carillon-Tenant", "acme"}), "/v1/stream?topic=b")
	for told := ""; !strings.Contains(told, `"topics":["b"]`); {
		if !theirs.Scan() {
			t.Fatalf("it was told %q", told)
		}
		if told = theirs.Text(); strings.Contains(told, operator.ID) {
			t.Errorf("it was told of a foreign key: %s", told)
		}
	}
	if a := g.do("GET", "/v1/streams", acme, "").want(200); strings.Contains(string(a.body), operator.ID) {
		t.Errorf("it is shown a foreign key: %s", a.body)
	}
	g.linesOf(asAdmin, "/v1/stream?topic=c")
	for told := ""; !strings.Contains(told, `"topics":["c"]`); {
		if !mine.Scan() {
			t.Fatalf("it was told %q", told)
		}
		if told = mine.Text(); strings.Contains(told, `["b"]`) {
			t.Errorf("it was told of another tenant's stream: %s", told)
		}
	}
}

// A tenant can be called anything that a name can be, also what the last part of another path is.
func TestTenantNamedLikeAPath(t *testing.T) {
	g := newGatewayWithKey(t, adminKey, func(cfg *api.Config) { cfg.CORSOrigins = []string{"https://app.example.com"} })
	for _, name := range []string{"stream", "events", "doctor"} {
		g.makeTenant(name, "{}")
		g.tryBad("HEAD", "/v1/tenants/"+name, asAdmin, "").want(200)
		a := g.do("GET", "/v1/tenants/"+name, slices.Concat(asAdmin, headers{"Origin", "https://app.example.com"}), "").want(200)
		if a.header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s: cookies are let in: %v", name, a.header)
		}
	}
}
