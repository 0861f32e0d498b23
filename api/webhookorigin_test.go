package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// Who may change a webhook cannot read what is hidden by having it sent to a URL of his own.
func TestHiddenValuesStayWithTheirOrigin(t *testing.T) {
	const auth, anew = `"auth":{"type":"bearer","token":"hunter2-hunter2"}`, `"auth":{"type":"bearer","token":"another"}`
	const both = `"headers":{"X-Key":"k-of-theirs","X-Shop":"north"}`
	for _, c := range []struct {
		name, has, patch string
		fields           []string // at fault; none: it is changed
	}{
		{"nothing hidden", ``, `"url":"https://other.example/"`, nil},
		{"another path", auth + "," + both, `"url":"https://example.com/other?x=1"`, nil},
		{"the same, spelled otherwise", auth, `"url":"HTTPS://EXAMPLE.com:443/"`, nil},
		{"auth stays", auth, `"url":"https://other.example/"`, []string{"auth"}},
		{"another port", auth, `"url":"https://example.com:8443/"`, []string{"auth"}},
		{"another scheme", auth, `"url":"http://example.com/"`, []string{"auth"}},
		{"a subdomain", auth, `"url":"https://www.example.com/"`, []string{"auth"}},
		{"the old port", auth, `"url":"http://example.com:443/"`, []string{"auth"}},
		{"auth anew", auth, `"url":"https://other.example/",` + anew, nil},
		{"auth removed", auth, `"url":"https://other.example/","auth":null`, nil},
		{"headers stay", both, `"url":"https://other.example/"`, []string{"headers"}},
		{"both stay", auth + "," + both, `"url":"https://other.example/"`, []string{"auth", "headers"}},
		{"another header", both, `"url":"https://other.example/","headers":{"X-New":"n"}`, []string{"headers.X-Key", "headers.X-Shop"}},
		{"one header", both, `"url":"https://other.example/","headers":{"x-key":"new"}`, []string{"headers.X-Shop"}},
		{"hidden headers", both, `"url":"https://other.example/","headers":{"X-Key":"***","X-Shop":"***"}`, []string{"headers.X-Key", "headers.X-Shop"}},
		{"headers anew", both, `"url":"https://other.example/","headers":{"x-key":"new","X-Shop":null}`, nil},
		{"headers removed", both, `"url":"https://other.example/","headers":null`, nil},
		{"a faulty auth", auth, `"url":"https://other.example/","auth":{"type":"bearer"}`, []string{"auth.token"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newGateway(t, nil)
			more := ""
			if c.has != "" {
				more = "," + c.has
			}
			path := "/v1/webhooks/" + g.hook("https://example.com/hook", "a", more)
			before := g.stored()
			a := g.tryBad("PATCH", path, jsonType, "{"+c.patch+"}")
			if c.fields == nil {
				a.want(200)
				return
			}
			p := a.wantProblem(422, "invalid", c.fields...)
			if !strings.Contains(p.Errors[0].Detail, "origin") && c.name != "a faulty auth" {
				t.Errorf("it says %q", p.Errors[0].Detail)
			}
			if g.stored() != before {
				t.Error("the webhook was changed all the same")
			}
		})
	}
}

// The same by a portal link, over the wire: its holder's own server gets none of the webhook's credentials.
func TestPortalCannotHaveCredentialsSent(t *testing.T) {
	g := newGatewayWithKey(t, adminKey, nil)
	got := make(chan http.Header, 10)
	own := receiver(t, func(_ http.ResponseWriter, r *http.Request) { got <- r.Header })
	var hook struct{ ID string }
	g.do("POST", "/v1/webhooks", slices.Concat(asAdmin, asJSON),
		`{"url":"https://example.com/","topics":["a"],"auth":{"type":"bearer","token":"hunter2-hunter2"},"headers":{"X-Key":"hunter2-too"}}`).want(201).into(&hook)
	mine := slices.Concat(bearer(g.portalToken(asAdmin, `{}`)), asJSON)
	path := "/v1/webhooks/" + hook.ID
	g.tryBad("PATCH", path, mine, fmt.Sprintf(`{"url":%q}`, own)).wantProblem(422, "invalid", "auth", "headers")
	g.do("PATCH", path, mine, fmt.Sprintf(`{"url":%q,"auth":null,"headers":{"X-Key":"mine"}}`, own)).want(200)
	g.do("POST", path+"/ping", mine, "").want(200)
	if sent, err := json.Marshal(<-got); err != nil || strings.Contains(string(sent), "hunter2") || !strings.Contains(string(sent), `"mine"`) {
		t.Errorf("sent was %s, %v", sent, err)
	}
}
