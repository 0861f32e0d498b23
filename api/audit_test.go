package api_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/carillon/carillon/api"
	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// auditShown is an entry of the audit log as a client reads it.
type auditShown struct {
	ID        string
	Time      time.Time
	Actor     struct{ Kind, ID, Name string }
	Address   string
	RequestID string `json:"request_id"`
	Action    string
	Subject   struct{ Kind, ID string }
	Changes   []struct {
		Field    string
		Old, New any
		Hidden   bool
	}
}

func (e *auditShown) fields() string {
	names := make([]string, len(e.Changes))
	for i, c := range e.Changes {
		names[i] = c.Field
	}
	return strings.Join(names, " ")
}

// auditOf returns the entries that a query asks for, newest first.
func (g *gateway) auditOf(h headers, query string) []auditShown {
	g.t.Helper()
	var list struct{ Data []auditShown }
	g.do("GET", "/v1/audit?limit=500"+query, h, "").want(200).into(&list)
	return list.Data
}

// The secrets that are sent to the gateway in the tests below. None of them may be in any entry.
const (
	hookSecret  = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	otherSecret = "whsec_plJ3nmyCDGBKInavdOK15jsl8xPFTBbV"
	sesame      = "sesame-of-a-header-a-password-and-a-query"
)

// auditScene is a gateway with things in it that can be changed.
type auditScene struct {
	*gateway
	as      headers // a key that may do everything
	url     string  // of a receiver that refuses everything
	replays int
}

const createdFields = "url topics enabled secret headers auth.type auth.username auth.password timeout max_in_flight"

// newHook makes a webhook that is full of secrets.
func (s *auditScene) newHook(topic string) string {
	s.t.Helper()
	var w struct{ ID string }
	s.do("POST", "/v1/webhooks", slices.Concat(s.as, asJSON), s.hookBody(topic)).want(201).into(&w)
	return w.ID
}

func (s *auditScene) hookBody(topic string) string {
	return `{"url":"` + s.url + `/?token=` + sesame + `","topics":["` + topic + `"],"secret":"` + hookSecret + `","retry":{"schedule":[]},` +
		`"headers":{"X-Token":"` + sesame + `"},"auth":{"type":"basic","username":"` + sesame + `","password":"` + sesame + `"}}`
}

func (s *auditScene) webhookPath(more string) string {
	return "/v1/webhooks/" + s.newHook("nothing.comes") + more
}

// failedDelivery has a delivery fail.
func (s *auditScene) failedDelivery() string {
	s.t.Helper()
	s.newHook("fails.once")
	var r receipt
	s.do("POST", "/v1/topics/fails.once/events", slices.Concat(s.as, headers{"Content-Type", "text/plain"}), "x").want(202).into(&r)
	return s.deliveryIn(r.ID, "failed")
}

// deliveryIn waits for the newest delivery of an event to be in a state.
func (s *auditScene) deliveryIn(eventID, state string) (id string) {
	s.t.Helper()
	eventually(s.t, "a delivery that is "+state, func() bool {
		var list struct{ Data []struct{ ID, State string } }
		s.do("GET", "/v1/deliveries?event="+eventID, s.as, "").want(200).into(&list)
		for _, d := range list.Data {
			id = d.ID
			if d.State != state {
				return false
			}
		}
		return id != ""
	})
	return id
}

// pendingDelivery has a delivery wait for its second attempt.
func (s *auditScene) pendingDelivery() string {
	s.t.Helper()
	s.do("POST", "/v1/webhooks", slices.Concat(s.as, asJSON), `{"url":"`+s.url+`","topics":["waits.long"],"retry":{"schedule":["1h"]}}`).want(201)
	var r receipt
	s.do("POST", "/v1/topics/waits.long/events", slices.Concat(s.as, headers{"Content-Type", "text/plain"}), "x").want(202).into(&r)
	return s.deliveryIn(r.ID, "pending")
}

// replayable makes a webhook that has missed many events.
func (s *auditScene) replayable() (id string) {
	s.t.Helper()
	s.replays++
	topic := fmt.Sprintf("missed.%d", s.replays)
	var w struct{ ID string }
	s.do("POST", "/v1/webhooks", slices.Concat(s.as, asJSON), `{"url":"`+s.url+`","topics":["`+topic+`"],"enabled":false}`).want(201).into(&w)
	for range 20 {
		s.do("POST", "/v1/topics/"+topic+"/events", slices.Concat(s.as, headers{"Content-Type", "text/plain"}), "x").want(202)
	}
	s.do("PATCH", "/v1/webhooks/"+w.ID, slices.Concat(s.as, asJSON), `{"enabled":true}`).want(200)
	return w.ID
}

// runningJob begins a replay that takes a while.
func (s *auditScene) runningJob() string {
	s.t.Helper()
	var j job
	s.do("POST", "/v1/webhooks/"+s.replayable()+"/replay", slices.Concat(s.as, asJSON), `{"per_second":1}`).want(202).into(&j)
	return j.ID
}

// changingRoutes are the routes that leave an entry in the audit log when somebody asks for them.
var changingRoutes = map[string]struct {
	action, kind, fields string
	path                 func(*auditScene) string // may change things itself, to have something to change
	body                 func(*auditScene) string // nil: none
	made                 bool                     // it is done to what the answer names, and not to what the path names
	unnamed              bool                     // nothing names what it is done to
}{
	"POST /v1/webhooks": {action: "webhook.created", kind: "webhook", made: true, fields: createdFields,
		path: func(*auditScene) string { return "/v1/webhooks" },
		body: func(s *auditScene) string { return s.hookBody("created.now") }},
	"PATCH /v1/webhooks/{id}": {action: "webhook.updated", kind: "webhook", fields: "url headers auth.password timeout",
		path: func(s *auditScene) string { return s.webhookPath("") },
		body: func(s *auditScene) string {
			return `{"url":"` + s.url + `/?token=2` + sesame + `","headers":{"X-Token":"2` + sesame + `"},"timeout":"20s",` +
				`"auth":{"type":"basic","username":"` + sesame + `","password":"2` + sesame + `"}}`
		}},
	"DELETE /v1/webhooks/{id}": {action: "webhook.deleted", kind: "webhook", fields: createdFields,
		path: func(s *auditScene) string { return s.webhookPath("") }},
	"POST /v1/webhooks/{id}/rotate-secret": {action: "webhook.secret-rotated", kind: "webhook", fields: "secret old_secrets_until",
		path: func(s *auditScene) string { return s.webhookPath("/rotate-secret") },
		body: func(*auditScene) string { return `{"secret":"` + otherSecret + `"}` }},
	"POST /v1/webhooks/{id}/replay": {action: "replay.started", kind: "job", made: true, fields: "webhook states per_second total",
		path: func(s *auditScene) string { return "/v1/webhooks/" + s.replayable() + "/replay" },
		body: func(*auditScene) string { return `{"per_second":1}` }},
	"POST /v1/jobs/{id}/cancel": {action: "job.canceled", kind: "job", fields: "state",
		path: func(s *auditScene) string { return "/v1/jobs/" + s.runningJob() + "/cancel" }},
	"POST /v1/deliveries/{id}/retry": {action: "delivery.retried", kind: "delivery", fields: "state",
		path: func(s *auditScene) string { return "/v1/deliveries/" + s.failedDelivery() + "/retry" }},
	"POST /v1/deliveries/{id}/cancel": {action: "delivery.canceled", kind: "delivery", fields: "state",
		path: func(s *auditScene) string { return "/v1/deliveries/" + s.pendingDelivery() + "/cancel" }},
	"POST /v1/keys": {action: "key.created", kind: "key", made: true, fields: "name scopes topics",
		path: func(*auditScene) string { return "/v1/keys" },
		body: func(*auditScene) string { return `{"name":"shop","scopes":["publish"],"topics":["orders.**"]}` }},
	"DELETE /v1/keys/{id}": {action: "key.revoked", kind: "key", fields: "revoked_at",
		path: func(s *auditScene) string {
			return "/v1/keys/" + s.makeKey(s.as, `{"name":"x","scopes":["publish"]}`).ID
		}},
	"POST /v1/tenants": {action: "tenant.created", kind: "tenant", made: true, fields: "name quotas.webhooks",
		path: func(*auditScene) string { return "/v1/tenants" },
		body: func(*auditScene) string { return `{"name":"acme","quotas":{"webhooks":5}}` }},
	"PATCH /v1/tenants/{name}": {action: "tenant.updated", kind: "tenant", fields: "quotas.streams",
		path: func(s *auditScene) string { return "/v1/tenants/" + s.makeTenant("changing") },
		body: func(*auditScene) string { return `{"quotas":{"streams":7}}` }},
	"DELETE /v1/tenants/{name}": {action: "tenant.deleted", kind: "tenant", fields: "name",
		path: func(s *auditScene) string { return "/v1/tenants/" + s.makeTenant("leaving") }},
	"POST /v1/portal-links": {action: "portal-link.created", kind: "portal-link", fields: "topics expires label", unnamed: true,
		path: func(*auditScene) string { return "/v1/portal-links" },
		body: func(*auditScene) string { return `{"topics":["orders.**"],"label":"Ann"}` }},
}

// makeTenant makes a tenant and returns its name.
func (s *auditScene) makeTenant(name string) string {
	s.t.Helper()
	s.do("POST", "/v1/tenants", slices.Concat(s.as, asJSON), `{"name":"`+name+`"}`).want(201)
	return name
}

// changelessRoutes are those that are not GET and change nothing of what the audit log is about.
var changelessRoutes = map[string]struct {
	path func(*auditScene) string
	body string
}{
	"POST /v1/events":                {body: `{"specversion":"1.0","id":"1","source":"/x","type":"a.b","data":1}`},
	"POST /v1/topics/{topic}/events": {path: func(*auditScene) string { return "/v1/topics/a.b/events" }, body: `1`},
	"POST /v1/stream":                {body: `{"topics":["a.b"]}`},
	"POST /v1/stream-tokens":         {body: `{"topics":["a.b"]}`},
	"POST /v1/webhooks/{id}/ping":    {path: func(s *auditScene) string { return s.webhookPath("/ping") }},
	"POST /v1/webhooks/test":         {body: `{"webhook":{"topics":["a.b"]},"event":{"topic":"a.b","payload":"1"}}`},
}

func newAuditScene(t *testing.T) *auditScene {
	g := newGatewayWithKey(t, adminKey, nil)
	url := receiver(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	return &auditScene{gateway: g, as: asAdmin, url: url}
}

// Every route that is not GET either leaves one entry in the audit log, or is known to change nothing: which of them a new
// one is has to be said above.
func TestAuditOfEveryRoute(t *testing.T) {
	s := newAuditScene(t)
	ann := s.makeKey(asAdmin, `{"name":"ann","scopes":["admin"]}`)
	mine := bearer(ann.Key)
	secrets := []string{hookSecret, otherSecret, sesame, adminKey, ann.Key, "crn_", "whsec_"}
	routes := 0
	err := chi.Walk(s.api.Routes(), func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		if method == "GET" {
			return nil
		}
		routes++
		name := method + " " + route
		t.Run(name, func(t *testing.T) {
			s.t = t
			changing, changes := changingRoutes[name]
			changeless, known := changelessRoutes[name]
			if changes == known {
				t.Fatal("does it change anything? Say so in changingRoutes or in changelessRoutes")
			}
			if known {
				path := route
				if changeless.path != nil {
					path = changeless.path(s)
				}
				s.changesNothing(method, path, mine, changeless.body)
				return
			}
			path, body := changing.path(s), ""
			if changing.body != nil {
				body = changing.body(s)
			}
			had := s.auditOf(asAdmin, "")
			h := mine
			if body != "" {
				h = slices.Concat(mine, asJSON)
			}
			a := s.do(method, path, h, body)
			if a.status/100 != 2 {
				t.Fatalf("%d: %s", a.status, a.body)
			}
			subject := strings.Split(path, "/")[min(3, strings.Count(path, "/"))]
			if changing.made {
				var made struct{ ID, Name string }
				a.into(&made)
				subject = cmp.Or(made.ID, made.Name)
			}
			now := s.auditOf(asAdmin, "")
			if len(now) != len(had)+1 {
				t.Fatalf("it left %d entries: %+v", len(now)-len(had), now[:len(now)-len(had)])
			}
			e := now[0]
			if changing.unnamed {
				subject = e.Subject.ID
			}
			if subject == "" || e.Action != changing.action || e.Subject.Kind != changing.kind || e.Subject.ID != subject || e.fields() != changing.fields {
				t.Errorf("it left %+v, want %s of %s with %s", e, changing.action, subject, changing.fields)
			}
			if e.Actor.Kind != "key" || e.Actor.ID != ann.ID || e.Actor.Name != "ann" || e.Address != "127.0.0.1" {
				t.Errorf("by %+v from %s", e.Actor, e.Address)
			}
			if e.RequestID == "" || !strings.Contains(s.log.String(), "id="+e.RequestID+" method="+method) {
				t.Errorf("the log knows of no request %q", e.RequestID)
			}
			if age := time.Since(e.Time); age < -time.Second || age > time.Minute {
				t.Errorf("it was at %s", e.Time)
			}
		})
		s.t = t
		return nil
	})
	if err != nil || routes != len(changingRoutes)+len(changelessRoutes) {
		t.Errorf("%d routes change something or might, and %d are known: %v", routes, len(changingRoutes)+len(changelessRoutes), err)
	}
	shown := string(s.do("GET", "/v1/audit?limit=500", asAdmin, "").want(200).body)
	for _, text := range []string{shown, s.auditLines("")} {
		if !strings.Contains(text, "webhook.secret-rotated") {
			t.Errorf("it tells nothing: %s", text)
		}
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("the secret %s is in the audit log", secret)
			}
		}
	}
}

// auditLines returns all entries that a query asks for, one a line.
func (s *auditScene) auditLines(query string) string {
	s.t.Helper()
	res, err := s.client.Do(s.request("GET", "/v1/audit?"+query, slices.Concat(asAdmin, headers{"Accept", "application/x-ndjson"}), nil))
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 200 || res.Header.Get("Content-Type") != "application/x-ndjson" || res.Header.Get("Cache-Control") != "no-store" {
		s.t.Fatalf("%d %v: %v\n%s", res.StatusCode, res.Header, err, text)
	}
	return string(text)
}

// changesNothing sends a request and holds it to leave no entry. Streams go on, and are hung up on.
func (s *auditScene) changesNothing(method, path string, h headers, body string) {
	s.t.Helper()
	had := len(s.auditOf(asAdmin, ""))
	if body != "" {
		contentType := "application/json"
		if path == "/v1/events" {
			contentType = "application/cloudevents+json"
		}
		h = slices.Concat(h, headers{"Content-Type", contentType})
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	res, err := s.client.Do(s.request(method, path, h, bodyOf(body)).WithContext(ctx))
	if err != nil {
		s.t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode/100 != 2 {
		s.t.Errorf("%s %s: %d", method, path, res.StatusCode)
	}
	if now := s.auditOf(asAdmin, ""); len(now) != had {
		s.t.Errorf("%s %s left %+v", method, path, now[0])
	}
}

// What is refused, and what changes nothing, is not in the audit log.
func TestAuditOfWhatChangesNothing(t *testing.T) {
	s := newAuditScene(t)
	hook := s.newHook("a.b")
	reader := s.makeKey(asAdmin, `{"name":"page","scopes":["subscribe"]}`)
	s.do("DELETE", "/v1/keys/"+reader.ID, asAdmin, "").want(204)
	reader = s.makeKey(asAdmin, `{"name":"page","scopes":["subscribe"]}`)
	had := len(s.auditOf(asAdmin, ""))
	body := slices.Concat(asAdmin, asJSON)
	path := "/v1/webhooks/" + hook
	for _, c := range []struct {
		method, path string
		h            headers
		body         string
		status       int
	}{
		{"PATCH", path, body, `{}`, 200},
		{"PATCH", path, body, `{"topics":["a.b"],"enabled":true,"headers":{"X-Token":"***"}}`, 200},
		{"PATCH", path, body, `{"timeout":"1h"}`, 422},
		{"PATCH", path, slices.Concat(body, headers{"If-Match", `"7"`}), `{"timeout":"20s"}`, 412},
		{"PATCH", path, slices.Concat(bearer(reader.Key), asJSON), `{"timeout":"20s"}`, 403},
		{"PATCH", path, asJSON, `{"timeout":"20s"}`, 401},
		{"PATCH", "/v1/webhooks/" + someID, body, `{"timeout":"20s"}`, 404},
		{"DELETE", "/v1/webhooks/" + someID, asAdmin, "", 404},
		{"POST", path + "/replay", body, `{"dry_run":true}`, 200},
		{"POST", "/v1/deliveries/" + someDelivery + "/retry", asAdmin, "", 404},
		{"POST", "/v1/jobs/" + someID + "/cancel", asAdmin, "", 404},
		{"DELETE", "/v1/keys/" + someID, asAdmin, "", 404},
		{"POST", "/v1/keys", body, `{"name":"x","scopes":["root"]}`, 422},
	} {
		s.tryBad(c.method, c.path, c.h, c.body).want(c.status)
		if now := s.auditOf(asAdmin, ""); len(now) != had {
			t.Fatalf("%s %s %s left %+v", c.method, c.path, c.body, now[0])
		}
	}
	// A key that was revoked is revoked once.
	gone := s.makeKey(asAdmin, `{"name":"x","scopes":["publish"]}`)
	for range 2 {
		s.do("DELETE", "/v1/keys/"+gone.ID, asAdmin, "").want(204)
	}
	if of := s.auditOf(asAdmin, "&subject="+gone.ID); len(of) != 2 {
		t.Errorf("a key that was made and revoked has %+v", of)
	}
}

func TestAuditActors(t *testing.T) {
	// Nobody is asked for a key, until there is one.
	g := newGateway(t, nil)
	first := g.makeKey(nil, `{"name":"ann","scopes":["admin"]}`)
	e := g.auditOf(bearer(first.Key), "")[0]
	if e.Actor.Kind != "anybody" || e.Actor.ID != "" || e.Actor.Name != "" || e.Address != "127.0.0.1" {
		t.Errorf("by %+v from %s", e.Actor, e.Address)
	}
	// The name that is told is the one of then, and whose it was is known when the key has ended.
	mine := bearer(first.Key)
	second := g.makeKey(mine, `{"name":"bob","scopes":["admin"]}`)
	g.do("DELETE", "/v1/keys/"+first.ID, bearer(second.Key), "").want(204)
	e = g.auditOf(bearer(second.Key), "&key="+first.ID)[0]
	if e.Subject.ID != second.ID || e.Actor.Name != "ann" || e.Actor.Kind != "key" {
		t.Errorf("made by %+v: %+v", e.Actor, e)
	}

	g = newGatewayWithKey(t, adminKey, nil)
	g.makeKey(asAdmin, `{"name":"x","scopes":["publish"]}`)
	if e := g.auditOf(asAdmin, "")[0]; e.Actor.Kind != "admin-key" || e.Actor.ID != "" {
		t.Errorf("by %+v", e.Actor)
	}
}

// A webhook that answers 410 is disabled by nobody but the gateway.
func TestAuditOfTheGatewayItself(t *testing.T) {
	g := newGateway(t, nil)
	hook := g.hook(receiver(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(410) }), "a.b", "")
	g.publish("a.b", "x")
	query := "&action=webhook.disabled&action=webhook.enabled&subject=" + hook
	eventually(t, "the end of a webhook", func() bool { return len(g.auditOf(nil, query)) == 1 })
	e := g.auditOf(nil, query)[0]
	if e.Actor.Kind != "gateway" || e.Address != "" || e.RequestID != "" || e.fields() != "enabled disabled_reason" || e.Changes[1].New != "gone" {
		t.Errorf("disabled: %+v", e)
	}
	g.do("PATCH", "/v1/webhooks/"+hook, asJSON, `{"enabled":true,"timeout":"20s"}`).want(200)
	if e := g.auditOf(nil, query)[0]; e.Action != "webhook.enabled" || e.Actor.Kind != "anybody" || e.fields() != "enabled disabled_reason timeout" {
		t.Errorf("enabled: %+v", e)
	}
}

func TestAuditIsListedByWhatIsAsked(t *testing.T) {
	s := newAuditScene(t)
	ann := s.makeKey(asAdmin, `{"name":"ann","scopes":["admin"]}`)
	hook := s.newHook("a.b")
	s.do("PATCH", "/v1/webhooks/"+hook, slices.Concat(bearer(ann.Key), asJSON), `{"timeout":"20s"}`).want(200)
	for query, want := range map[string]string{
		"":                       "webhook.updated webhook.created key.created",
		"&subject=" + hook:       "webhook.updated webhook.created",
		"&key=" + ann.ID:         "webhook.updated",
		"&action=key.created":    "key.created",
		"&since=1h":              "webhook.updated webhook.created key.created",
		"&until=1h":              "",
		"&action=tenant.created": "",
		"&action=key.created&action=webhook.created": "webhook.created key.created",
		"&subject=" + hook + "&key=" + ann.ID:        "webhook.updated",
	} {
		var got []string
		for _, e := range s.auditOf(asAdmin, query) {
			got = append(got, e.Action)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", query, got, want)
		}
	}
	for query, field := range map[string]string{
		"since=soon": "since", "action=webhook": "action", "action=": "action", "key=ann": "key", "page=x": "page", "limit=0": "limit",
		"subject=" + strings.Repeat("x", 129): "subject", "what=x": "what",
		strings.Repeat("action=key.created&", 40): "action",
	} {
		s.tryBad("GET", "/v1/audit?"+query, asAdmin, "").wantProblem(400, "bad-request", field)
	}

	// All of it, as lines, and more than one page of the store has.
	for range 600 {
		if err := s.engine.AppendAudit(t.Context(), event.DefaultTenant, event.AuditPortalLinkCreated, "x", nil); err != nil {
			t.Fatal(err)
		}
	}
	all := strings.Split(strings.TrimSuffix(s.auditLines(""), "\n"), "\n")
	if len(all) != 603 || !strings.Contains(all[602], "key.created") {
		t.Errorf("%d lines, the last of which is %s", len(all), all[len(all)-1])
	}
	for _, line := range all {
		var e auditShown
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.ID == "" {
			t.Fatalf("%s: %v", line, err)
		}
	}
	if text := s.auditLines("subject=" + hook); strings.Count(text, "\n") != 2 {
		t.Errorf("of one webhook: %s", text)
	}
	if text := s.auditLines("subject=" + someID); text != "" {
		t.Errorf("of nothing: %s", text)
	}
	lines := slices.Concat(asAdmin, headers{"Accept", "application/x-ndjson"})
	s.tryBad("GET", "/v1/audit?limit=5", lines, "").wantProblem(400, "bad-request", "limit")
}

// brokenAudit is a store whose audit log cannot be read after some pages.
type brokenAudit struct {
	api.Store
	pages atomic.Int32
}

func (s *brokenAudit) ListAudit(_ context.Context, _ event.TenantID, _ store.AuditFilter, p store.Page) (list store.List[event.AuditEntry], err error) {
	if s.pages.Add(-1) < 0 {
		return list, errInner
	}
	for range p.Limit { // more than a server keeps back
		list.Data = append(list.Data, event.AuditEntry{ID: event.NewID(), Action: event.AuditKeyCreated, Subject: "x"})
	}
	list.Next = p.Token + strconv.Itoa(1)
	return list, nil
}

// Nobody takes a part of the log for all of it.
func TestAuditThatCannotBeRead(t *testing.T) {
	broken := &brokenAudit{}
	g := newGateway(t, func(cfg *api.Config) {
		broken.Store = cfg.Store
		cfg.Store = broken
	})
	g.do("GET", "/v1/audit", nil, "").wantProblem(500, "internal")
	lines := headers{"Accept", "application/x-ndjson"}
	g.do("GET", "/v1/audit", lines, "").wantProblem(500, "internal")
	broken.pages.Store(2)
	res, err := g.client.Do(g.request("GET", "/v1/audit", lines, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("an answer that was cut off ended with %v", err)
	}
}
