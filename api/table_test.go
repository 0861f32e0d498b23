package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"

	"github.com/carillon/carillon/access"
	"github.com/carillon/carillon/api"
	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/stream"
)

// What an operation can ask for besides a scope; see openapi.yaml.
const (
	anyScope     event.Scope = "any"
	noScope      event.Scope = "none"
	gatewayScope event.Scope = "gateway"
)

// operation is one of openapi.yaml's, with what it says that it asks for.
type operation struct {
	method, route string
	scope         event.Scope
	tokens        []string // of the kinds stream and portal
	query         string   // the parameters without which it does nothing
	kind, body    string   // what it is sent: the first example, unless bodies has another
}

func (o operation) String() string { return o.method + " " + o.route }

// things is the part of the route before the id of what belongs to a tenant; empty: it names nothing of anybody's.
func (o operation) things() string {
	if strings.Contains(o.body, "{webhook}") {
		return "/v1/webhooks"
	}
	for _, parameter := range []string{"/{id}", "/{name}"} {
		if part, _, found := strings.Cut(o.route, parameter); found {
			return part
		}
	}
	return ""
}

// operations reads all of openapi.yaml's.
func operations(t *testing.T) (all []operation) {
	t.Helper()
	for path, item := range theContract().model.Paths.PathItems.FromOldest() {
		for method, op := range item.GetOperations().FromOldest() {
			all = append(all, operationOf(t, strings.ToUpper(method), path, op))
		}
	}
	return all
}

func operationOf(t *testing.T, method, path string, op *v3.Operation) operation {
	t.Helper()
	o := operation{method: method, route: path}
	read := func(name string, to any) bool {
		node, found := op.Extensions.Get("x-carillon-" + name)
		if found {
			if err := node.Decode(to); err != nil {
				t.Errorf("%s: x-carillon-%s: %v", o, name, err)
			}
		}
		return found
	}
	known := append(event.Scopes(), anyScope, noScope, gatewayScope)
	if !read("scope", &o.scope) || !slices.Contains(known, o.scope) {
		t.Errorf("openapi.yaml does not say by x-carillon-scope what %s asks for: %q", o, o.scope)
	}
	read("tokens", &o.tokens)
	for _, kind := range o.tokens {
		if kind != "stream" && kind != "portal" {
			t.Errorf("%s takes tokens of the unknown kind %s", o, kind)
		}
	}
	for _, p := range op.Parameters {
		if p.In == "query" && p.Required != nil && *p.Required {
			o.query = "?" + p.Name + "=a"
		}
	}
	if body := bodies[o.String()]; body != "" {
		o.kind, o.body = "application/json", body
	} else if op.RequestBody != nil {
		o.kind, o.body = exampleOf(t, op.RequestBody)
	}
	return o
}

func exampleOf(t *testing.T, body *v3.RequestBody) (kind, text string) {
	t.Helper()
	for kind, media := range body.Content.FromOldest() {
		for name, example := range media.Examples.FromOldest() {
			var value any
			if err := example.Value.Decode(&value); err != nil {
				t.Errorf("the example %s: %v", name, err)
			}
			text, err := json.Marshal(value)
			if err != nil {
				t.Errorf("the example %s: %v", name, err)
			}
			return kind, string(text)
		}
	}
	return "", ""
}

// What the table is made of agrees with what openapi.yaml says in its own words of the keys and tokens that are taken.
func TestOpenAPISaysWhoMay(t *testing.T) {
	for path, item := range theContract().model.Paths.PathItems.FromOldest() {
		for method, op := range item.GetOperations().FromOldest() {
			o := operationOf(t, strings.ToUpper(method), path, op)
			schemes := make(map[string]bool)
			for _, requirement := range op.Security {
				for name := range requirement.Requirements.FromOldest() {
					schemes[name] = true
				}
			}
			stream := slices.Contains(o.tokens, "stream")
			if schemes["streamToken"] != stream || schemes["streamCookie"] != stream {
				t.Errorf("%s takes %v, and its security says %v", o, o.tokens, schemes)
			}
			if unlocked := op.Security != nil && len(schemes) == 0; unlocked != (o.scope == noScope) {
				t.Errorf("%s asks for %s, and its security says %v", o, o.scope, schemes)
			}
		}
	}
}

// principal is somebody who asks.
type principal struct {
	name   string
	h      headers
	url    string        // a token in the URL
	cookie bool          // h shows a token in a cookie
	home   string        // the tenant that it is of
	acting string        // the tenant that it asks for, where it may; empty: the door is closed
	closed int           // the status of the closed door
	scopes []event.Scope // of a key or JWT
	token  string        // the kind of the token that it shows instead
}

// as is the principal who names a tenant, and what the door says to that.
func (p principal) as(tenant string, status int) principal {
	p.name += " naming " + tenant
	p.h = slices.Concat(p.h, headers{"Carillon-Tenant", tenant})
	p.acting, p.closed = tenant, status
	if status != 0 {
		p.acting = ""
	}
	return p
}

// verdict is what the table says of a cell: a status, or 0 where it is let in. owner is whose thing is asked
// for; empty: nobody's.
func (p principal) verdict(o operation, owner string) int {
	takes := slices.Contains(o.tokens, p.token)
	switch {
	case o.scope == noScope:
		return 0
	// Only streams and polls look for a token elsewhere than in Authorization.
	case p.url != "" && !slices.Contains(o.tokens, "stream"):
		return 400
	case p.cookie && !slices.Contains(o.tokens, "stream"):
		return 401
	case p.closed != 0:
		return p.closed
	case p.token != "" && !takes:
		return 403
	case p.token == "" && o.scope == gatewayScope:
		if p.home != "default" || !event.Allows(p.scopes, event.ScopeAdmin) {
			return 403
		}
	case p.token == "" && o.scope != anyScope && !event.Allows(p.scopes, o.scope):
		return 403
	}
	switch {
	case o.things() == "":
		return 0
	case owner == "", o.scope != gatewayScope && owner != p.acting:
		return 404
	}
	return 0
}

const (
	tableIssuer   = "https://issuer.example"
	tableAudience = "carillon"
	tableSecret   = "0123456789abcdef0123456789abcdef"
)

func signedJWT(t *testing.T, secret, tenant string, scope event.Scope) string {
	t.Helper()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"iss": tableIssuer, "aud": tableAudience, "sub": "x", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
		"carillon": map[string]any{"scopes": []event.Scope{scope}, "tenant": tenant},
	}).SignedString([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// principals are those of two tenants, and strangers.
func (g *gateway) principals() (all []principal) {
	g.t.Helper()
	add := func(p principal) { all = append(all, p) }
	closed := func(name string, h headers) { add(principal{name: name, h: h, closed: 401}) }
	closed("no key", nil)
	closed("an unknown key", bearer(event.NewKeyToken().Reveal()))
	ended := g.makeKey(asAdmin, `{"name":"x","scopes":["admin"]}`)
	closed("a revoked key", bearer(ended.Key))
	closed("a stream token of nobody's", bearer("crs_nobody"))
	closed("a portal token of nobody's", bearer("crp_nobody"))
	closed("a JWT of another's", bearer(signedJWT(g.t, strings.Repeat("x", 32), "default", event.ScopeAdmin)))
	closed("a JWT for a tenant that there is not", bearer(signedJWT(g.t, tableSecret, "nobody", event.ScopeAdmin)))

	operator := principal{name: "the configuration's key", h: asAdmin, home: "default", acting: "default", scopes: []event.Scope{event.ScopeAdmin}}
	add(operator)
	add(operator.as("acme", 0))
	add(operator.as("default", 0))
	add(operator.as("nobody", 404))
	var inURL []principal
	for _, tenant := range []string{"default", "acme"} {
		other := map[string]string{"default": "acme", "acme": "default"}[tenant]
		for _, scope := range event.Scopes() {
			key := g.makeKey(forTenant(tenant), fmt.Sprintf(`{"name":"x","scopes":[%q]}`, scope)).Key
			for kind, token := range map[string]string{"a key": key, "a JWT": signedJWT(g.t, tableSecret, tenant, scope)} {
				p := principal{
					name: fmt.Sprintf("%s of %s with %s", kind, tenant, scope), h: bearer(token), home: tenant, acting: tenant, scopes: []event.Scope{scope},
				}
				add(p)
				if tenant == "default" && scope == event.ScopeAdmin {
					add(p.as(other, 0))
					add(p.as("nobody", 404))
					continue
				}
				add(p.as(tenant, 0))
				add(p.as(other, 403))
				add(p.as("nobody", 403)) // it must not learn which tenants there are
			}
		}
		stream, _ := g.streamToken(forTenant(tenant), `{"topics":["**","_carillon.**"]}`)
		portal := g.portalToken(forTenant(tenant), `{}`)
		for kind, token := range map[string]string{"stream": stream, "portal": portal} {
			p := principal{name: "a " + kind + " token of " + tenant, h: bearer(token), home: tenant, acting: tenant, token: kind}
			add(p)
			add(p.as(other, 403))
			p.h, p.url = nil, token
			p.name += " in the URL"
			inURL = append(inURL, p)
		}
		p := principal{name: "a stream token of " + tenant + " in the cookie", h: cookie(stream), cookie: true, home: tenant, acting: tenant, token: "stream"}
		add(p)
		add(p.as(other, 403))
	}
	g.do("DELETE", "/v1/keys/"+ended.ID, asAdmin, "").want(204)
	return append(all, inURL...)
}

// cell is one of the table: somebody asks for something, by the id of a thing of owner's where the operation takes one.
type cell struct {
	operation operation
	principal principal
	owner     string
}

func (c cell) String() string {
	if c.operation.things() == "" {
		return fmt.Sprintf("%s asks %s", c.principal.name, c.operation)
	}
	return fmt.Sprintf("%s asks %s for what is of %q", c.principal.name, c.operation, c.owner)
}

// table is a gateway with two tenants that both have something of everything.
type table struct {
	*gateway
	has      map[string]belongings
	fresh    int
	statuses map[int]int // how often who was let in was answered each
}

// instance is what differs between two problems that say the same.
var instance = regexp.MustCompile(`"instance":"[^"]*"`)

// id names a thing of the owner's. What is deleted is one of its own.
func (tb *table) id(o operation, owner string, destroyed bool) string {
	tb.t.Helper()
	things := o.things()
	if owner == "" {
		switch things {
		case "/v1/tenants":
			return "nobody"
		case "/v1/deliveries":
			return someDelivery
		}
		return someID
	}
	if !destroyed {
		id := tb.has[owner][things]
		if id == "" {
			tb.t.Fatalf("nobody has said what belongs to a tenant at %s", things)
		}
		return id
	}
	tb.fresh++
	var made struct{ ID string }
	switch things {
	case "/v1/webhooks":
		tb.do("POST", things, slices.Concat(forTenant(owner), asJSON), `{"url":"https://example.com/","topics":["fresh"]}`).want(201).into(&made)
	case "/v1/keys":
		made.ID = tb.makeKey(forTenant(owner), `{"name":"fresh","scopes":["publish"]}`).ID
	case "/v1/tenants":
		made.ID = fmt.Sprintf("fresh-%d", tb.fresh)
		tb.makeTenant(made.ID, `{}`)
	default:
		tb.t.Fatalf("nobody has said how to make what is deleted at %s", things)
	}
	return made.ID
}

// ask asks for what the cell says, and returns the answer's status and, unless it is a stream, its body.
func (tb *table) ask(c cell, id string) (int, string) {
	tb.t.Helper()
	o := c.operation
	path := strings.NewReplacer("{id}", id, "{name}", id, "{topic}", "a.b", "{pattern}", "a.b", "{file}", "app.js").Replace(o.route) + o.query
	if c.principal.url != "" {
		join := "?"
		if o.query != "" {
			join = "&"
		}
		path += join + "token=" + c.principal.url
	}
	h, body := c.principal.h, strings.ReplaceAll(o.body, "{webhook}", id)
	if body != "" {
		h = slices.Concat(h, headers{"Content-Type", o.kind})
	}
	ctx, cancel := context.WithTimeout(tb.t.Context(), time.Minute)
	defer cancel()
	res, err := tb.client.Do(tb.request(o.method, path, h, bodyOf(body)).WithContext(ctx))
	if err != nil {
		tb.t.Fatalf("%s: %v", c, err)
	}
	defer res.Body.Close() // streams go on
	if strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		return res.StatusCode, ""
	}
	text, err := io.ReadAll(res.Body)
	if err != nil {
		tb.t.Fatalf("%s: %v", c, err)
	}
	return res.StatusCode, string(text)
}

// check asks for what the cell says and holds the answer against the table.
func (tb *table) check(c cell) {
	tb.t.Helper()
	want := c.principal.verdict(c.operation, c.owner)
	id := ""
	if c.operation.things() != "" {
		id = tb.id(c.operation, c.owner, want == 0 && c.operation.method == "DELETE")
	}
	status, body := tb.ask(c, id)
	if want == 0 {
		tb.statuses[status]++
	}
	switch {
	case want != 0 && status != want:
		tb.t.Errorf("%s: %d, want %d: %s", c, status, want, body)
	// There is one of that name already, or what is to be canceled is at its end.
	case want == 0 && status >= 300 && status != 409:
		tb.t.Errorf("%s: %d: %s", c, status, body)
	case want == 404 && c.owner != "":
		// What is another's is answered, to the byte, as what is not there.
		if _, unknown := tb.ask(c, tb.id(c.operation, "", false)); instance.ReplaceAllString(body, "") != instance.ReplaceAllString(unknown, "") {
			tb.t.Errorf("%s: %s\nand for what is not there: %s", c, body, unknown)
		}
	}
	for owner, has := range tb.has {
		if owner == c.principal.acting && want == 0 {
			continue
		}
		for things, other := range has {
			if things != "/v1/tenants" && other != id && strings.Contains(body, other) {
				tb.t.Errorf("%s, and is told of %s of %s: %s", c, things, owner, body)
			}
		}
	}
}

// The table of scopes, routes and tenants: every operation of openapi.yaml is asked for by everybody there can be, by the
// id of what is one's own, of another tenant's, and of nobody's. What is answered follows from what openapi.yaml says that
// the operation asks for. Who is refused has changed nothing at all, and who is let in nothing of another tenant.
func TestWhoMayDoWhat(t *testing.T) {
	g := newGatewayWith(t, stream.Config{}, adminKey, func(c *api.Config) { c.CORSOrigins = []string{friend} },
		access.IssuerConfig{Name: tableIssuer, Audience: tableAudience, Secret: tableSecret, Claim: "carillon", MaxLifetime: 2 * time.Hour})
	tb := &table{gateway: g, has: make(map[string]belongings), statuses: make(map[int]int)}
	g.do("POST", "/v1/tenants", slices.Concat(asAdmin, asJSON), `{"name":"acme"}`).want(201)
	tenants := []string{"default", "acme"}
	for _, name := range tenants {
		tb.has[name] = g.furnish(forTenant(name), name)
		tb.has[name]["/v1/tenants"] = name
	}
	all, who := operations(t), g.principals()

	// First those that are to be refused, of which nothing may be changed; then, tenant by tenant, those that are let in.
	refused, allowed := make(map[string][]cell), make(map[string][]cell)
	want := 0
	for _, o := range all {
		owners := []string{""}
		if o.things() != "" {
			owners = append(owners, tenants...)
		}
		want += len(owners) * len(who)
		for _, p := range who {
			for _, owner := range owners {
				c := cell{o, p, owner}
				if p.verdict(o, owner) != 0 {
					refused[o.String()] = append(refused[o.String()], c)
				} else {
					allowed[p.acting] = append(allowed[p.acting], c)
				}
			}
		}
	}
	if len(all) < 47 || len(who) < 60 {
		t.Errorf("the table has only %d operations and %d principals", len(all), len(who))
	}
	everything := func(names ...string) string {
		var text strings.Builder
		for _, name := range names {
			text.WriteString(g.settled(name))
		}
		return text.String()
	}

	checked := 0
	before := everything(tenants...)
	for _, name := range slices.Sorted(maps.Keys(refused)) {
		for _, c := range refused[name] {
			tb.check(c)
			checked++
		}
		if after := everything(tenants...); after != before {
			t.Fatalf("who may not ask %s has changed\n%sto\n%s", name, before, after)
		}
	}
	turned := checked
	for _, acting := range []string{"", "acme", "default"} {
		others := slices.DeleteFunc(slices.Clone(tenants), func(name string) bool { return name == acting })
		before := everything(others...)
		for _, c := range allowed[acting] {
			tb.check(c)
			checked++
		}
		if acting != "" {
			everything(acting) // and what follows of it is over
		}
		if after := everything(others...); after != before {
			t.Errorf("who asks for %q has changed what others have, from\n%sto\n%s", acting, before, after)
		}
	}
	if checked != want || turned == 0 || turned == want {
		t.Errorf("%d cells were checked, %d of them refusals; %d operations and %d principals make %d", checked, turned, len(all), len(who), want)
	}
	t.Logf("%d operations, %d principals, %d cells, %d of them refusals; those let in were answered %v", len(all), len(who), checked, turned, tb.statuses)
}
