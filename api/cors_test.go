package api_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/carillon/carillon/api"
)

// What the browser of a page is told, by where the page is from, where it asks and what stands in the allow-list.
func TestCORSTable(t *testing.T) {
	const stranger = "https://evil.example"
	for _, c := range []struct {
		name       string
		list       []string
		origins    []string
		allowed    string // Access-Control-Allow-Origin; empty: the page reads nothing
		credential bool   // Access-Control-Allow-Credentials, where there is a cookie to take
	}{
		{"no list", nil, []string{friend}, "", false},
		{"no list, null", nil, []string{"null"}, "", false},
		{"listed", []string{friend}, []string{friend}, friend, true},
		{"listed, of two", []string{"https://other.example", friend}, []string{friend}, friend, true},
		{"not listed", []string{friend}, []string{stranger}, "", false},
		{"another scheme", []string{friend}, []string{"http://app.example.com"}, "", false},
		{"another port", []string{friend}, []string{friend + ":8443"}, "", false},
		{"begins like it", []string{friend}, []string{friend + ".evil.example"}, "", false},
		{"ends like it", []string{friend}, []string{"https://evil-app.example.com"}, "", false},
		{"below it", []string{friend}, []string{"https://x.app.example.com"}, "", false},
		{"null", []string{friend}, []string{"null"}, "", false},
		{"null, listed", []string{friend, "null"}, []string{"null"}, "", false},
		{"empty", []string{friend}, []string{""}, "", false},
		{"none", []string{friend}, nil, "", false},
		{"two", []string{friend}, []string{friend, stranger}, "", false},
		{"everybody", []string{"*"}, []string{stranger}, "*", false},
		{"everybody, null", []string{"*"}, []string{"null"}, "", false},
		{"everybody, called so", []string{"*"}, []string{"*"}, "*", false},
		{"everybody, two", []string{"*"}, []string{friend, stranger}, "", false},
		{"everybody and one, the one", []string{"*", friend}, []string{friend}, friend, true},
		{"everybody and one, another", []string{"*", friend}, []string{stranger}, "*", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newGatewayWithKey(t, adminKey, func(cfg *api.Config) { cfg.CORSOrigins = c.list })
			var from headers
			for _, origin := range c.origins {
				from = append(from, "Origin", origin)
			}
			token, _ := g.streamToken(asAdmin, `{"topics":["t"]}`)
			check := func(what string, h http.Header, credential bool) {
				t.Helper()
				want := ""
				if c.credential && credential {
					want = "true"
				}
				if got := h.Get("Access-Control-Allow-Origin"); got != c.allowed {
					t.Errorf("%s: allowed is %q, want %q", what, got, c.allowed)
				}
				if got := h.Get("Access-Control-Allow-Credentials"); got != want {
					t.Errorf("%s: credentials are %q, want %q", what, got, want)
				}
				if got := strings.Join(h.Values("Vary"), ", "); !strings.Contains(got, "Origin") {
					t.Errorf("%s: varies by %q", what, got)
				}
			}
			for _, r := range []struct {
				method, path, body string
				h                  headers
				credential         bool
			}{
				{"POST", "/v1/topics/t/events", "x", asAdmin, false},
				{"GET", "/v1/webhooks", "", asAdmin, false},
				{"GET", "/v1/topics/t/events", "", asAdmin, true},
				{"GET", "/v1/topics/t/events?token=" + token, "", nil, true},
				{"GET", "/v1/stream/doctor?ticks=1&interval=10ms", "", asAdmin, true},
				{"POST", "/v1/stream-tokens", `{"topics":["t"]}`, slices.Concat(asAdmin, asJSON), true},
				// Refusals are read by the page as well.
				{"GET", "/v1/webhooks", "", nil, false},
				{"GET", "/v1/stream?topic=t", "", nil, true},
				{"GET", "/v1/nothing", "", asAdmin, false},
				{"DELETE", "/v1/topics", "", asAdmin, false},
				{"GET", "/healthz", "", nil, false},
			} {
				a := g.tryBad(r.method, r.path, slices.Concat(from, r.h), r.body)
				check(r.method+" "+r.path, a.header, r.credential)
				exposed := strings.ToLower(a.header.Get("Access-Control-Expose-Headers"))
				for _, name := range []string{"location", "retry-after", "carillon-event-id", "carillon-webhook-id", "preference-applied",
					"idempotent-replayed", "ratelimit", "ratelimit-policy"} {
					if got := slices.Contains(strings.Split(exposed, ", "), name); got != (c.allowed != "") {
						t.Errorf("%s %s: exposes %s: %t", r.method, r.path, name, got)
					}
				}
			}
			const asked = "last-event-id,authorization,carillon-tenant,idempotency-key,prefer,carillon-partition-key,content-type,ce-id"
			for path, credential := range map[string]bool{"/v1/topics/t/events": false, "/v1/webhooks": false, "/v1/stream": true, "/v1/stream-tokens": true} {
				a := g.tryBad("OPTIONS", path, slices.Concat(from, headers{
					"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", asked,
				}), "")
				what := fmt.Sprintf("preflight of %s", path)
				check(what, a.header, credential)
				if c.allowed == "" {
					continue
				}
				if a.status/100 != 2 || a.header.Get("Access-Control-Allow-Methods") != "POST" || a.header.Get("Access-Control-Max-Age") != "600" {
					t.Errorf("%s: %d %v", what, a.status, a.header)
				}
				allowed := strings.Split(strings.ToLower(a.header.Get("Access-Control-Allow-Headers")), ", ")
				for name := range strings.SplitSeq(asked, ",") {
					if !slices.Contains(allowed, name) {
						t.Errorf("%s: %s is not allowed: %v", what, name, allowed)
					}
				}
			}
		})
	}
}

// The heads of streams are written by the hub, and must say the same.
func TestCORSOfAStream(t *testing.T) {
	g := newGatewayWithKey(t, adminKey, func(cfg *api.Config) { cfg.CORSOrigins = []string{friend} })
	token, _ := g.streamToken(asAdmin, `{"topics":["t"]}`)
	res, err := g.client.Do(g.request("GET", "/v1/stream?topic=t&token="+token, headers{"Origin", friend}, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	for name, want := range map[string]string{
		"Access-Control-Allow-Origin": friend, "Access-Control-Allow-Credentials": "true", "Vary": "Origin", "Referrer-Policy": "no-referrer",
	} {
		if got := res.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}
