package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/carillon/carillon/api"
	"github.com/carillon/carillon/event"
)

const friend = "https://app.example.com"

func TestDoorOnLoopback(t *testing.T) {
	g := newGateway(t, func(c *api.Config) {
		c.Hosts = []string{"gateway.internal"}
		c.CORSOrigins = []string{friend}
	})
	own := "http://" + g.host
	for _, c := range []struct {
		name string
		h    headers
		in   bool
	}{
		{"a script", nil, true},
		{"localhost", headers{"Host", "localhost:8080"}, true},
		{"localhost in capitals", headers{"Host", "LOCALHOST"}, true},
		{"127.0.0.2", headers{"Host", "127.0.0.2:1"}, true},
		{"::1", headers{"Host", "[::1]:8080"}, true},
		{"::1 without a port", headers{"Host", "[::1]"}, true},
		{"v4-mapped loopback", headers{"Host", "[::ffff:127.0.0.1]"}, true},
		{"a configured name", headers{"Host", "gateway.internal:80"}, true},
		{"a name pointed at loopback", headers{"Host", "evil.example"}, false},
		{"a name that begins like it", headers{"Host", "localhost.evil.example"}, false},
		{"a name that begins like an address", headers{"Host", "127.0.0.1.evil.example"}, false},
		{"another address", headers{"Host", "10.0.0.1"}, false},
		{"rebound, of the same origin", headers{"Host", "evil.example", "Origin", "http://evil.example", "Sec-Fetch-Site", "same-origin"}, false},
		{"the console", headers{"Origin", own, "Sec-Fetch-Site", "same-origin"}, true},
		{"the console on the usual port", headers{"Host", "localhost", "Origin", "http://localhost:80"}, true},
		{"typed in", headers{"Sec-Fetch-Site", "none"}, true},
		{"another port", headers{"Origin", "http://127.0.0.1:1", "Sec-Fetch-Site", "same-site"}, false},
		{"another port, an image", headers{"Sec-Fetch-Site", "same-site"}, false},
		{"a foreign page's form", headers{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"}, false},
		{"a foreign page, old browser", headers{"Origin", "https://evil.example"}, false},
		{"a foreign page's image", headers{"Sec-Fetch-Site", "cross-site"}, false},
		{"a sandboxed page", headers{"Origin", "null"}, false},
		{"nonsense", headers{"Origin", "localhost"}, false},
		{"a file", headers{"Origin", "file://" + g.host}, false},
		{"two origins", headers{"Origin", own, "Origin", friend}, false},
		{"an origin let in", headers{"Origin", friend, "Sec-Fetch-Site", "cross-site"}, true},
		{"an origin let in, to another host", headers{"Host", "evil.example", "Origin", friend}, false},
		{"an origin that begins like it", headers{"Origin", friend + ".evil.example"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := *g
			g.t = t
			before := g.stored()
			post := g.tryBad("POST", "/v1/topics/t/events", append(headers{"Content-Type", "text/plain"}, c.h...), "x")
			metrics := g.tryBad("GET", "/metrics", c.h, "")
			if c.in {
				post.want(202)
				metrics.want(200)
			} else {
				post.wantProblem(403, "forbidden-origin")
				metrics.wantProblem(403, "forbidden-origin")
				g.tryBad("GET", "/v1/stream?topic=t", c.h, "").wantProblem(403, "forbidden-origin")
				if g.stored() != before {
					t.Error("the store was changed")
				}
			}
			g.tryBad("GET", "/healthz", c.h, "").want(200)
			g.tryBad("GET", "/readyz", c.h, "").want(200)
		})
	}
	link := headers{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}
	g.tryBad("GET", "/", link, "").want(200)
	g.tryBad("GET", "/assets/app.js", nil, "").want(200)
	g.tryBad("GET", "/assets/nonsense", nil, "").want(404)
	g.tryBad("GET", "/openapi.yaml", link, "").want(200)
	g.tryBad("GET", "/", headers{"Host", "evil.example"}, "").wantProblem(403, "forbidden-origin")
}

func TestDoorWithAKey(t *testing.T) {
	const key = "s3cret-of-the-admin"
	g := newGatewayWithKey(t, key, nil)
	for _, h := range []headers{
		nil, {"Authorization", "Bearer wrong"}, {"Authorization", key}, {"Authorization", "Basic " + key},
		{"Authorization", "Bearer"}, {"Authorization", "Bearer "}, {"Authorization", "Bearer " + key + "x"},
	} {
		before := g.stored()
		for _, path := range []string{"/v1/events", "/v1/stream?topic=a", "/metrics", "/v1/webhooks/" + someID} {
			a := g.tryBad("GET", path, h, "")
			a.wantProblem(401, "unauthorized")
			if !strings.HasPrefix(a.header.Get("Www-Authenticate"), "Bearer") {
				t.Errorf("WWW-Authenticate %q", a.header.Get("Www-Authenticate"))
			}
			if strings.Contains(string(a.body), key) {
				t.Errorf("the key is told: %s", a.body)
			}
		}
		g.tryBad("POST", "/v1/topics/t/events", h, "x").wantProblem(401, "unauthorized")
		if g.stored() != before {
			t.Error("the store was changed")
		}
		for _, path := range []string{"/healthz", "/readyz", "/openapi.yaml", "/", "/assets/app.js"} {
			g.tryBad("GET", path, h, "").want(200)
		}
	}
	for _, scheme := range []string{"Bearer ", "bearer ", "BEARER  "} {
		h := headers{"Authorization", scheme + key, "Host", "gateway.example", "Origin", "https://any.example"}
		g.do("POST", "/v1/topics/t/events", h, "x").want(202)
		g.do("GET", "/metrics", h, "").want(200)
	}
	if strings.Contains(g.log.String(), key) {
		t.Error("the key is in the log")
	}
}

func TestCORS(t *testing.T) {
	for name, key := range map[string]event.Secret{"without a key": "", "with a key": "k"} {
		t.Run(name, func(t *testing.T) {
			g := newGatewayWithKey(t, key, func(c *api.Config) { c.CORSOrigins = []string{friend} })
			preflight := func(origin string) http.Header {
				return g.tryBad("OPTIONS", "/v1/topics/t/events", headers{
					"Origin", origin, "Access-Control-Request-Method", "POST",
					"Access-Control-Request-Headers", "authorization,ce-anything,idempotency-key",
				}, "").header
			}
			h := preflight(friend)
			if h.Get("Access-Control-Allow-Origin") != friend || h.Get("Access-Control-Allow-Methods") != "POST" ||
				!strings.Contains(strings.ToLower(h.Get("Access-Control-Allow-Headers")), "ce-anything") {
				t.Errorf("preflight: %v", h)
			}
			if h := preflight("https://evil.example"); h.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("preflight of a foreign page: %v", h)
			}
			a := g.do("POST", "/v1/topics/t/events", headers{"Origin", friend, "Authorization", "Bearer " + key.Reveal()}, "x").want(202)
			if a.header.Get("Access-Control-Allow-Origin") != friend || a.header.Get("Access-Control-Allow-Credentials") != "" ||
				!strings.Contains(a.header.Get("Access-Control-Expose-Headers"), "Location") || !strings.Contains(a.header.Get("Vary"), "Origin") {
				t.Errorf("answer: %v", a.header)
			}
			// A refusal can be read too.
			a = g.tryBad("GET", "/v1/events?limit=x", headers{"Origin", friend, "Authorization", "Bearer " + key.Reveal()}, "")
			if a.header.Get("Access-Control-Allow-Origin") != friend {
				t.Errorf("refusal: %v", a.header)
			}
			a = g.tryBad("POST", "/v1/topics/t/events", headers{"Origin", "https://evil.example", "Authorization", "Bearer " + key.Reveal()}, "x")
			if a.header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("a foreign page may read the answer: %v", a.header)
			}
		})
	}
}

func TestNoCORSUnlessAsked(t *testing.T) {
	g := newGateway(t, nil)
	for name := range g.do("POST", "/v1/topics/t/events", headers{"Origin", g.url}, "x").want(202).header {
		if strings.HasPrefix(name, "Access-Control-") {
			t.Errorf("the answer has %s", name)
		}
	}
}
