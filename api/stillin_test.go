package api_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// lateBody is a body of which nothing is sent before the server asks for it, and then only when meanwhile has returned.
type lateBody struct {
	meanwhile func()
	once      sync.Once
	text      *strings.Reader
}

func (b *lateBody) Read(p []byte) (int, error) {
	b.once.Do(b.meanwhile)
	return b.text.Read(p)
}

// sendLate sends a request whose body is on its way while meanwhile happens: the handler reads it already.
func (g *gateway) sendLate(method, path string, h headers, body string, meanwhile func()) *answer {
	g.t.Helper()
	r := g.request(method, path, slices.Concat(h, headers{"Expect", "100-continue"}), nil)
	r.Body = io.NopCloser(&lateBody{meanwhile: meanwhile, text: strings.NewReader(body)})
	r.ContentLength = int64(len(body))
	own := &http.Transport{ExpectContinueTimeout: time.Minute} // the handler's first read is what it waits for
	defer own.CloseIdleConnections()
	res, err := (&http.Client{Transport: own}).Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return g.checked(r, res, text)
}

// Who was let in with a key cannot keep requests under way, and make with them what outlives its revocation.
func TestRevokedWhileTheBodyIsOnItsWay(t *testing.T) {
	g := newGatewayWithKey(t, adminKey, nil)
	for _, c := range []struct{ path, body string }{
		{"/v1/keys", `{"name":"another","scopes":["admin"]}`},
		{"/v1/webhooks", `{"url":"http://127.0.0.1:1/","topics":["a"]}`},
		{"/v1/topics/a/events", `{}`},
		{"/v1/stream-tokens", `{"topics":["a"]}`},
		{"/v1/portal-links", `{"topics":["a"]}`},
		{"/v1/tenants", `{"name":"another"}`},
	} {
		key := g.makeKey(asAdmin, `{"name":"stolen","scopes":["admin"]}`)
		g.sendLate("POST", c.path, slices.Concat(bearer(key.Key), asJSON), c.body, func() {
			g.do("DELETE", "/v1/keys/"+key.ID, asAdmin, "").want(204)
		}).wantProblem(401, "unauthorized")
	}
	for path, made := range map[string]string{"/v1/keys": `"another"`, "/v1/webhooks": `"url"`, "/v1/events": `"id"`, "/v1/tenants": `"another"`} {
		if a := g.do("GET", path, asAdmin, "").want(200); strings.Contains(string(a.body), made) {
			t.Errorf("GET %s: %s", path, a.body)
		}
	}

	// With a portal link, whose maker is revoked.
	key := g.makeKey(asAdmin, `{"name":"maker","scopes":["manage"]}`)
	link := g.portalToken(bearer(key.Key), `{"topics":["a"]}`)
	g.sendLate("POST", "/v1/webhooks", slices.Concat(bearer(link), asJSON), `{"url":"http://127.0.0.1:1/","topics":["a"]}`, func() {
		g.do("DELETE", "/v1/keys/"+key.ID, asAdmin, "").want(204)
	}).wantProblem(401, "unauthorized")

	// And with what goes on: a body that is late is none that is refused.
	g.sendLate("POST", "/v1/topics/a/events", asAdmin, "x", func() {}).want(202)
}

// What was begun while nobody was asked for a key does not make one behind the back of the first.
func TestFirstKeyWhileTheBodyIsOnItsWay(t *testing.T) {
	g := newGateway(t, nil)
	var first keyShown
	g.sendLate("POST", "/v1/keys", asJSON, `{"name":"intruder","scopes":["admin"]}`, func() {
		first = g.makeKey(nil, `{"name":"first","scopes":["admin"]}`)
	}).wantProblem(401, "unauthorized")
	if a := g.do("GET", "/v1/keys", bearer(first.Key), "").want(200); strings.Contains(string(a.body), "intruder") {
		t.Errorf("the keys: %s", a.body)
	}
}

// Who acts for a tenant leaves nothing behind in one that is deleted meanwhile.
func TestTenantDeletedWhileTheBodyIsOnItsWay(t *testing.T) {
	g := newGatewayWithKey(t, adminKey, nil)
	for path, body := range map[string]string{
		"/v1/topics/a/events": `{}`,
		"/v1/webhooks":        `{"url":"http://127.0.0.1:1/","topics":["a"]}`,
		"/v1/keys":            `{"name":"x","scopes":["admin"]}`,
	} {
		g.makeTenant("acme", "{}")
		g.sendLate("POST", path, slices.Concat(forTenant("acme"), asJSON), body, func() {
			g.do("DELETE", "/v1/tenants/acme", asAdmin, "").want(204)
		}).wantProblem(404, "not-found")
	}
}

// The owner of a URL, who may be whoever has the key, decides how long a handshake takes.
func TestRevokedWhileAHandshakeGoesOn(t *testing.T) {
	g := newGatewayWithKey(t, adminKey, nil)
	key := g.makeKey(asAdmin, `{"name":"stolen","scopes":["manage"]}`)
	asked := 0
	url := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked == 1 {
			g.do("DELETE", "/v1/keys/"+key.ID, asAdmin, "").want(204)
		}
		w.Header().Set("WebHook-Allowed-Origin", r.Header.Get("WebHook-Request-Origin"))
		w.Header().Set("WebHook-Allowed-Rate", "*")
	})
	g.tryBad("POST", "/v1/webhooks", slices.Concat(bearer(key.Key), asJSON), `{"url":"`+url+`","topics":["a"],"handshake":true}`).
		wantProblem(401, "unauthorized")
	if asked != 1 {
		t.Errorf("the owner was asked %d times", asked)
	}
	if a := g.do("GET", "/v1/webhooks", asAdmin, "").want(200); strings.Contains(string(a.body), url) {
		t.Errorf("the webhooks: %s", a.body)
	}
}
