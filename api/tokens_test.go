package api_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/carillon/carillon/access"
	"github.com/carillon/carillon/api"
	"github.com/carillon/carillon/event"
)

// streamToken makes a stream token as whoever h says.
func (g *gateway) streamToken(h headers, body string) (token string, expires time.Time) {
	g.t.Helper()
	var made struct {
		Token   string
		Expires time.Time
	}
	a := g.do("POST", "/v1/stream-tokens", slices.Concat(h, asJSON), body).want(201).into(&made)
	if a.header.Get("Cache-Control") != "no-store" || !strings.HasPrefix(made.Token, "crs_") {
		g.t.Errorf("made: %v %s", a.header, a.body)
	}
	return made.Token, made.Expires
}

// portalToken makes a portal link and returns the token in it.
func (g *gateway) portalToken(h headers, body string) string {
	g.t.Helper()
	var made struct{ URL string }
	g.do("POST", "/v1/portal-links", slices.Concat(h, asJSON), body).want(201).into(&made)
	_, token, found := strings.Cut(made.URL, "#portal=")
	if !found {
		g.t.Fatalf("the link is %s", made.URL)
	}
	return token
}

func cookie(token string) headers { return headers{"Cookie", "__Host-carillon-stream=" + token} }

// status returns the status of a request whose answer may be a stream.
func (g *gateway) status(method, path string, h headers, body string) int {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), time.Minute)
	defer cancel()
	res, err := g.client.Do(g.request(method, path, h, bodyOf(body)).WithContext(ctx))
	if err != nil {
		g.t.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode
}

func TestStreamTokenOpensItsStreams(t *testing.T) {
	g := newGatewayWithKey(t, adminKey, nil)
	key := g.makeKey(asAdmin, `{"name":"x","scopes":["subscribe"],"topics":["orders.**"],"expires_in":"2h"}`)
	token, expires := g.streamToken(bearer(key.Key), `{"topics":["orders.eu.*","orders.us.*"]}`)
	if left := time.Until(expires); left > 10*time.Minute || left < 9*time.Minute {
		t.Errorf("by itself it is good for %s", left)
	}
	for _, c := range []struct {
		path string
		want int
	}{
		{"/v1/stream?topic=orders.eu.*", 200},
		{"/v1/stream?topic=orders.eu.paid&topic=orders.us.paid", 200},
		{"/v1/stream?topic=orders.*", 403},
		{"/v1/stream?topic=orders.eu.*&topic=orders.asia.*", 403},
		{"/v1/stream?topic=orders.eu.*&nonsense=1", 400},
		{"/v1/topics/orders.us.*/stream", 200},
		{"/v1/topics/users.*/stream", 403},
		{"/v1/topics/orders.eu.*/events", 200},
		{"/v1/topics/users.*/events", 403},
		{"/v1/stream/doctor?ticks=1&interval=10ms", 200},
	} {
		join := "?"
		if strings.Contains(c.path, "?") {
			join = "&"
		}
		for how, got := range map[string]int{
			"in the URL":           g.status("GET", c.path+join+"token="+token, nil, ""),
			"as Bearer":            g.status("GET", c.path, bearer(token), ""),
			"in the cookie":        g.status("GET", c.path, cookie(token), ""),
			"as key and in cookie": g.status("GET", c.path, slices.Concat(asAdmin, cookie("nonsense")), ""),
		} {
			if how == "as key and in cookie" {
				if (got == 400) != (c.want == 400) {
					t.Errorf("%s with the admin's key and a bad cookie: %d", c.path, got)
				}
				continue
			}
			if got != c.want {
				t.Errorf("%s %s: %d, want %d", c.path, how, got, c.want)
			}
		}
	}
	for how, got := range map[string]int{
		"in the URL":    g.status("POST", "/v1/stream?token="+token, asJSON, `{"topics":["orders.eu.*"]}`),
		"in the cookie": g.status("POST", "/v1/stream", slices.Concat(asJSON, cookie(token)), `{"topics":["orders.eu.*"]}`),
	} {
		if got != 200 {
			t.Errorf("POST /v1/stream %s: %d", how, got)
		}
	}

	// What is wrong with how it is shown.
	const path = "/v1/stream?topic=orders.eu.*"
	for _, c := range []struct {
		path   string
		h      headers
		status int
	}{
		{path + "&token=" + token, asAdmin, 400},
		{path + "&token=" + token + "&token=" + token, nil, 400},
		{path + "&token=", nil, 401},
		{path + "&token=%zz", nil, 401},
		{path + "&%74oken=" + token, nil, 200}, // the same parameter
		{path + "&Token=" + token, nil, 401},   // another one, and no key
		{path + "&token=" + token + "x", nil, 401},
		{path + "&token=" + strings.Replace(token, "crs_", "crp_", 1), nil, 401},
		{path + "&token=" + strings.TrimPrefix(token, "crs_"), nil, 401},
		{path + "&token=" + key.Key, nil, 401}, // keys do not stand in URLs
		{path + "&token=" + strings.Repeat("A", 50_000), nil, 401},
		{path, cookie(token + "x"), 401},
		{path, headers{"Cookie", "carillon-stream=" + token}, 401},
		// Whoever says who it is, in whatever way, is not taken for whom the browser remembers.
		{path, slices.Concat(headers{"Authorization", "Bearer"}, cookie(token)), 401},
		{path, slices.Concat(headers{"Authorization", "Basic eDp5"}, cookie(token)), 401},
		{path + "&token=" + token, headers{"Authorization", "Basic eDp5"}, 400},
		{"/v1/events?token=" + token, nil, 400},
		{"/v1/events?token=" + token, asAdmin, 400},
		{"/v1/events", cookie(token), 401}, // the cookie is for streams
		{"/v1/events", bearer(token), 403},
	} {
		if got := g.status("GET", c.path, c.h, ""); got != c.status {
			t.Errorf("GET %.80s… %v: %d, want %d", c.path, c.h, got, c.status)
		}
	}
}

func TestStreamTokensAreRefused(t *testing.T) {
	g := newGatewayWithKey(t, adminKey, nil)
	mine := bearer(g.makeKey(asAdmin, `{"name":"x","scopes":["subscribe"],"topics":["orders.**"]}`).Key)
	post := func(h headers, body string) *answer {
		return g.tryBad("POST", "/v1/stream-tokens", slices.Concat(h, asJSON), body)
	}
	for body, fields := range map[string][]string{
		`{}`:                             {"topics"},
		`{"topics":null}`:                {"topics"},
		`{"topics":[]}`:                  {"topics"},
		`{"topics":"a"}`:                 {"topics"},
		`{"topics":["orders.a","a..b"]}`: {"topics[1]"},
		`{"topics":["orders.a"],"expires_in":"9s"}`:       {"expires_in"},
		`{"topics":["orders.a"],"expires_in":"1h1s"}`:     {"expires_in"},
		`{"topics":["orders.a"],"expires_in":60}`:         {"expires_in"},
		`{"topics":["orders.a"],"cookie":"yes"}`:          {"cookie"},
		`{"topics":["orders.a"],"cookie":true}`:           {"cookie"}, // over plain HTTP
		`{"topics":["orders.a"],"label":"x","secret":""}`: {"label", "secret"},
	} {
		post(mine, body).wantProblem(422, "invalid", fields...)
	}
	many := strings.TrimSuffix(strings.Repeat(`"orders.a",`, event.MaxPatterns+1), ",")
	post(mine, `{"topics":[`+many+`]}`).wantProblem(422, "invalid", "topics")
	post(mine, `{"topics":["orders.*","**"]}`).wantProblem(403, "forbidden", "topics[1]")
	token, _ := g.streamToken(mine, `{"topics":["orders.**"],"expires_in":"10s"}`)
	post(bearer(token), `{"topics":["orders.a"]}`).wantProblem(403, "forbidden")
	post(nil, `{"topics":["orders.a"]}`).wantProblem(401, "unauthorized")

	// The largest that can be asked for works, and is no longer than is said.
	var patterns []string
	for i := range event.MaxPatterns {
		patterns = append(patterns, fmt.Sprintf("%q", fmt.Sprintf("orders.%03d%s", i, strings.Repeat("x", 245))))
	}
	large, _ := g.streamToken(asAdmin, `{"topics":[`+strings.Join(patterns, ",")+`]}`)
	if len(large) > access.MaxToken {
		t.Errorf("a token has %d characters", len(large))
	}
	if got := g.status("GET", "/v1/stream?topic="+strings.Trim(patterns[99], `"`)+"&token="+large, nil, ""); got != 200 {
		t.Errorf("the largest token: %d", got)
	}
}

// A token ends with the key that it was made with, and so do its streams; and it does not outlive it.
func TestTokenDiesWithItsKey(t *testing.T) {
	g := newGatewayWithKey(t, adminKey, nil)
	key := g.makeKey(asAdmin, `{"name":"x","scopes":["subscribe","manage"],"expires_in":"20s"}`)
	token, expires := g.streamToken(bearer(key.Key), `{"topics":["a"],"expires_in":"1h"}`)
	if key.Expires_at == nil || !expires.Equal(*key.Expires_at) {
		t.Errorf("the key ends at %v, its token at %s", key.Expires_at, expires)
	}
	portal := g.portalToken(bearer(key.Key), `{"expires_in":"7d"}`)
	g.do("GET", "/v1/webhooks", bearer(portal), "").want(200)
	_, rest := g.followStream(t, "/v1/stream?topic=a&token="+token, nil)
	polled := make(chan *answer, 1)
	go func() { polled <- g.do("GET", "/v1/topics/a/events?wait=60", bearer(token), "") }()
	var list struct {
		Data []struct{ Key *string }
	}
	g.do("GET", "/v1/streams", asAdmin, "").want(200).into(&list)
	if len(list.Data) != 1 || list.Data[0].Key == nil || *list.Data[0].Key != key.ID {
		t.Errorf("the stream is of %+v, want %s", list.Data, key.ID)
	}
	g.do("DELETE", "/v1/keys/"+key.ID, asAdmin, "").want(204)
	(<-polled).wantProblem(401, "unauthorized")
	if text := rest(); !strings.HasSuffix(text, "data: {\"status\":\"expired\"}\n\n") {
		t.Errorf("its stream ended with %q", text)
	}
	for _, h := range []headers{bearer(token), cookie(token)} {
		p := g.tryBad("GET", "/v1/topics/a/events", h, "").wantProblem(401, "unauthorized")
		if !strings.Contains(p.Detail, "made with") {
			t.Errorf("it says %q", p.Detail)
		}
	}
	g.tryBad("GET", "/v1/webhooks", bearer(portal), "").wantProblem(401, "unauthorized")
}

// A stream is told when its token expires, and who comes back with it is refused.
func TestStreamTokenExpires(t *testing.T) {
	if testing.Short() {
		t.Skip("ten seconds are the least that a token is good for")
	}
	g := newGatewayWithKey(t, adminKey, nil)
	token, _ := g.streamToken(asAdmin, `{"topics":["a"],"expires_in":"10s"}`)
	path := "/v1/stream?topic=a&token=" + token
	_, rest := g.followStream(t, path, nil)
	if text := rest(); !strings.HasSuffix(text, "data: {\"status\":\"expired\"}\n\n") {
		t.Errorf("the stream ended with %q", text)
	}
	if p := g.tryBad("GET", path, nil, "").wantProblem(401, "unauthorized"); !strings.Contains(p.Detail, "expired") {
		t.Errorf("it says %q", p.Detail)
	}
}

// While nobody is asked for a key, a token that is not good is refused all the same; and the first key ends those that were
// made before it.
func TestTokensOfAnOpenGateway(t *testing.T) {
	g := newGateway(t, func(c *api.Config) { c.CORSOrigins = []string{friend} })
	token, _ := g.streamToken(nil, `{"topics":["a"]}`)
	const path = "/v1/stream?topic=a"
	for _, c := range []struct {
		path string
		h    headers
		want int
	}{
		{path + "&token=" + token, nil, 200},
		{"/v1/stream?topic=b&token=" + token, nil, 403},
		{path, cookie(token), 200},
		{path + "&token=" + token + "x", nil, 401},
		{path + "&token=", nil, 401},
		{path, cookie("x"), 401},
		{path, bearer("crs_x"), 401},
		{path + "&token=" + token, headers{"Origin", friend, "Sec-Fetch-Site", "cross-site"}, 200},
		{path + "&token=" + token, headers{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"}, 403},
		{path + "&token=" + token, headers{"Host", "evil.example"}, 403},
	} {
		if got := g.status("GET", c.path, c.h, ""); got != c.want {
			t.Errorf("%.60s… %v: %d, want %d", c.path, c.h, got, c.want)
		}
	}
	_, rest := g.followStream(t, path+"&token="+token, nil)
	g.makeKey(nil, `{"name":"first","scopes":["admin"]}`)
	if text := rest(); !strings.HasSuffix(text, "data: {\"status\":\"expired\"}\n\n") {
		t.Errorf("its stream ended with %q", text)
	}
	g.tryBad("GET", path+"&token="+token, nil, "").wantProblem(401, "unauthorized")
}

// What holds for streams of a connection of their own holds for those over TLS: there it can be a cookie, too.
func TestStreamTokenInACookie(t *testing.T) {
	g := newGatewayWithKey(t, adminKey, func(c *api.Config) { c.CORSOrigins = []string{friend} })
	server := httptest.NewTLSServer(g.api)
	t.Cleanup(server.Close)
	g.url, g.client = server.URL, server.Client()
	asAsked := slices.Concat(asAdmin, asJSON, headers{"Origin", friend})
	a := g.do("POST", "/v1/stream-tokens", asAsked, `{"topics":["a.*"],"cookie":true,"expires_in":"1m"}`).want(201)
	res := http.Response{Header: a.header}
	if len(res.Cookies()) != 1 || strings.Contains(string(a.body), "crs_") || a.header.Get("Access-Control-Allow-Credentials") != "true" {
		t.Fatalf("the answer is %v %s", a.header, a.body)
	}
	c := res.Cookies()[0]
	if c.Name != "__Host-carillon-stream" || !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite != http.SameSiteStrictMode ||
		c.MaxAge < 50 || c.MaxAge > 60 {
		t.Errorf("the cookie is %+v", c)
	}
	if got := g.status("GET", "/v1/stream?topic=a.b", cookie(c.Value), ""); got != 200 {
		t.Errorf("with the cookie: %d", got)
	}
	if got := g.status("GET", "/v1/stream?topic=b", cookie(c.Value), ""); got != 403 {
		t.Errorf("with the cookie, for another topic: %d", got)
	}
	long := `"` + strings.Repeat("x", 255) + `"`
	g.do("POST", "/v1/stream-tokens", slices.Concat(asAdmin, asJSON), `{"topics":[`+strings.Repeat(long+",", 19)+long+`],"cookie":true}`).
		wantProblem(422, "invalid", "topics")

	var link struct{ URL string }
	g.do("POST", "/v1/portal-links", asAdmin, "").want(201).into(&link)
	if !strings.HasPrefix(link.URL, server.URL+"/#portal=crp_") {
		t.Errorf("over TLS the link is %s", link.URL)
	}
}

// A token is shown by nothing: not by what the gateway logs, counts, lists, announces or refuses, nor by what shows how a
// request arrived.
func TestTokensAreShownNowhere(t *testing.T) {
	g := newGatewayWithKey(t, adminKey, nil)
	token, _ := g.streamToken(asAdmin, `{"topics":["a.*","_carillon.**"]}`)
	portal := g.portalToken(asAdmin, `{"label":"Example Ltd."}`)
	g.followStream(t, "/v1/stream?topic=_carillon.**&token="+token, nil) // so that who comes and leaves is told
	var shown strings.Builder
	keep := func(a *answer) {
		fmt.Fprintln(&shown, a.header)
		shown.Write(a.body)
	}
	g.followStream(t, "/v1/stream?topic=a.*&token="+token, nil)
	inCookie := g.status("GET", "/v1/stream?topic=a.*", cookie(token), "")
	if inCookie != 200 {
		t.Errorf("with the cookie: %d", inCookie)
	}
	escaped := url.QueryEscape(token)
	for _, path := range []string{
		"/v1/stream?topic=b&token=" + escaped, "/v1/stream?nonsense=1&token=" + escaped, "/v1/stream?token=" + escaped + "x",
		"/v1/stream?token=" + escaped + "&token=" + escaped, "/v1/topics/a.b/events?token=" + escaped, "/v1/topics/b/events?token=" + escaped,
		"/v1/events?token=" + escaped, "/v1/nothing?token=" + escaped, "/?token=" + escaped, "/healthz?token=" + escaped,
		"/v1/stream/doctor?ticks=1&interval=10ms&token=" + escaped,
	} {
		keep(g.tryBad("GET", path, headers{"Via", "1.1 proxy"}, ""))
	}
	for _, h := range []headers{bearer(token), bearer(portal), cookie(token)} {
		keep(g.tryBad("GET", "/v1/stream/doctor?ticks=1&interval=10ms", h, ""))
		keep(g.tryBad("GET", "/v1/webhooks?nonsense=1", h, ""))
		keep(g.tryBad("DELETE", "/v1/stream?token="+escaped, h, ""))
	}
	for _, path := range []string{"/v1/streams", "/metrics", "/v1/keys"} {
		keep(g.do("GET", path, asAdmin, "").want(200))
	}
	keep(g.do("GET", "/v1/me", bearer(portal), "").want(200))
	eventually(t, "who came and left is told", func() bool {
		a := g.do("GET", "/v1/events?topic=_carillon.stream.*", asAdmin, "").want(200)
		return strings.Contains(string(a.body), "opened") && strings.Contains(string(a.body), "closed")
	})
	var list struct{ Data []struct{ ID string } }
	g.do("GET", "/v1/events?topic=_carillon.**", asAdmin, "").want(200).into(&list)
	for _, e := range list.Data {
		keep(g.do("GET", "/v1/events/"+e.ID+"/payload", asAdmin, "").want(200))
	}
	text := shown.String() + g.log.String()
	for what, secret := range map[string]string{"the stream token": token, "the portal's token": portal} {
		// Its seal, which comes first, is enough to know it by.
		if at := strings.Index(text, secret[4:40]); at >= 0 {
			t.Errorf("%s is shown: …%s…", what, text[max(0, at-200):at+60])
		}
	}
	if !strings.Contains(g.log.String(), "path=/v1/stream ") {
		t.Error("the requests are not in the log, where the tokens were looked for")
	}
}

func TestPortalLink(t *testing.T) {
	g := newGatewayWithKey(t, adminKey, func(c *api.Config) { c.PublicURL = "https://events.example.com" })
	var made struct {
		URL     string
		Expires time.Time
	}
	a := g.do("POST", "/v1/portal-links", slices.Concat(asAdmin, asJSON), `{"topics":["customers.4711.**"],"label":"Example Ltd.","expires_in":"30m"}`).want(201).into(&made)
	if !strings.HasPrefix(made.URL, "https://events.example.com/#portal=crp_") || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("made: %v %s", a.header, a.body)
	}
	if left := time.Until(made.Expires); left > 30*time.Minute || left < 29*time.Minute {
		t.Errorf("it is good for %s", left)
	}
	_, token, _ := strings.Cut(made.URL, "#portal=")
	mine := bearer(token)
	var me struct {
		Kind, Tenant, Label string
		Key                 *string
		Scopes, Topics      []string
		Expires_at          time.Time
	}
	g.do("GET", "/v1/me", mine, "").want(200).into(&me)
	if me.Kind != "portal" || me.Tenant != "default" || me.Label != "Example Ltd." || me.Key != nil || !slices.Equal(me.Scopes, []string{"manage"}) ||
		!slices.Equal(me.Topics, []string{"customers.4711.**"}) || !me.Expires_at.Equal(made.Expires) {
		t.Errorf("it is %+v", me)
	}
	hook := func(h headers, topic string) *answer {
		return g.do("POST", "/v1/webhooks", slices.Concat(h, asJSON), fmt.Sprintf(`{"url":"https://example.com/hook","topics":[%q]}`, topic))
	}
	var own, theirs struct{ ID, Secret string }
	hook(mine, "customers.4711.orders.*").want(201).into(&own)
	hook(asAdmin, "customers.4712.**").want(201).into(&theirs)
	hook(mine, "customers.4712.orders.*").wantProblem(403, "forbidden", "topics[0]")
	list := g.do("GET", "/v1/webhooks", mine, "").want(200)
	if text := string(list.body); !strings.Contains(text, own.ID) || strings.Contains(text, theirs.ID) || strings.Contains(text, own.Secret) {
		t.Errorf("it lists %s", text)
	}
	g.do("GET", "/v1/webhooks/"+theirs.ID, mine, "").wantProblem(404, "not-found")
	if a := g.do("GET", "/v1/webhooks/"+own.ID, mine, "").want(200); strings.Contains(string(a.body), "whsec_") {
		t.Errorf("a secret is shown: %s", a.body)
	}
	for _, path := range []string{"/v1/portal-links", "/v1/stream-tokens", "/v1/keys"} {
		g.tryBad("POST", path, slices.Concat(mine, asJSON), `{"topics":["customers.4711.a"]}`).wantProblem(403, "forbidden")
	}
	g.do("GET", "/v1/streams", mine, "").wantProblem(403, "forbidden")
}

// Without topics a link reaches what its maker does, but nothing that tells of others.
func TestPortalLinkReach(t *testing.T) {
	g := newGatewayWithKey(t, adminKey, nil)
	topics := func(h headers, body string) []string {
		var me struct{ Topics []string }
		g.do("GET", "/v1/me", bearer(g.portalToken(h, body)), "").want(200).into(&me)
		return me.Topics
	}
	if got := topics(asAdmin, ""); !slices.Equal(got, []string{"**"}) {
		t.Errorf("an admin's link reaches %v", got)
	}
	mixed := bearer(g.makeKey(asAdmin, `{"name":"x","scopes":["manage"],"topics":["_carillon.**","orders.*"]}`).Key)
	if got := topics(mixed, `{"topics":null}`); !slices.Equal(got, []string{"orders.*"}) {
		t.Errorf("a bound key's link reaches %v", got)
	}
	own := bearer(g.makeKey(asAdmin, `{"name":"x","scopes":["manage"],"topics":["_carillon.**"]}`).Key)
	post := func(h headers, body string) *answer {
		return g.tryBad("POST", "/v1/portal-links", slices.Concat(h, asJSON), body)
	}
	post(own, `{}`).wantProblem(422, "invalid", "topics")
	post(mixed, `{"topics":["orders.*","users.*"]}`).wantProblem(403, "forbidden", "topics[1]")
	post(bearer(g.makeKey(asAdmin, `{"name":"x","scopes":["subscribe"]}`).Key), `{}`).wantProblem(403, "forbidden")
	for body, field := range map[string]string{
		`{"topics":[]}`:                                "topics",
		`{"expires_in":"169h"}`:                        "expires_in",
		`{"expires_in":"1s"}`:                          "expires_in",
		`{"label":"two\nlines"}`:                       "label",
		`{"cookie":true}`:                              "cookie",
		`{"label":["x"]}`:                              "label",
		`{"topics":["a",".b"]}`:                        "topics[1]",
		`{"label":"` + strings.Repeat("x", 101) + `"}`: "label",
	} {
		post(asAdmin, body).wantProblem(422, "invalid", field)
	}
	link := portalURL(g, asAdmin)
	if !strings.HasPrefix(link, g.url+"/#portal=crp_") {
		t.Errorf("the link is %s", link)
	}
}

func portalURL(g *gateway, h headers) string {
	var made struct{ URL string }
	g.do("POST", "/v1/portal-links", h, "").want(201).into(&made)
	return made.URL
}

func TestMe(t *testing.T) {
	open := newGateway(t, nil)
	if a := open.do("GET", "/v1/me", nil, "").want(200); !strings.Contains(string(a.body), `"kind":"open"`) {
		t.Errorf("without a key: %s", a.body)
	}
	g := newGatewayWithKey(t, adminKey, nil)
	if a := g.do("GET", "/v1/me", asAdmin, "").want(200); !strings.Contains(string(a.body), `"kind":"admin-key"`) {
		t.Errorf("the admin: %s", a.body)
	}
	k := g.makeKey(asAdmin, `{"name":"x","scopes":["publish"],"topics":["a.*"]}`)
	if a := g.do("GET", "/v1/me", bearer(k.Key), "").want(200); !strings.Contains(string(a.body), `"kind":"key","key":"`+k.ID) {
		t.Errorf("a key: %s", a.body)
	}
}
