package api_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/carillon/carillon/api"
	"github.com/carillon/carillon/dispatch"
	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// settings are those that say what is sent, and when.
type settings struct {
	ID              string
	Enabled         bool
	DisabledReason  *string `json:"disabled_reason"`
	Filter          *string
	Transform       *string
	Format          string
	Headers         map[string]string
	Auth            map[string]any
	Signing         string
	PublicKey       *string     `json:"public_key"`
	OldSecretsUntil []time.Time `json:"old_secrets_until"`
	RateLimit       *struct {
		PerSecond float64 `json:"per_second"`
		Burst     int
	} `json:"rate_limit"`
	Order     string
	Handshake bool
	Secret    *string
}

// anyHook is a webhook's settings besides the URL and topics that every one needs.
func anyHook(more string) string { return `{"url":"https://example.com/","topics":["a"]` + more + `}` }

func TestSettingsHaveDefaults(t *testing.T) {
	g := newGateway(t, nil)
	var made settings
	g.do("POST", "/v1/webhooks", jsonType, anyHook("")).want(201).into(&made)
	if made.Filter != nil || made.Transform != nil || made.Format != "raw" || len(made.Headers) != 0 || made.Auth != nil || made.Signing != "hmac" ||
		made.PublicKey != nil || len(made.OldSecretsUntil) != 0 || made.RateLimit != nil || made.Order != "none" || made.Handshake {
		t.Errorf("made %+v", made)
	}
}

func TestSettingsRoundTrip(t *testing.T) {
	g := newGateway(t, nil)
	const body = `,"filter":"data.n > 1.0","transform":"{n: .n}","format":"cloudevents","headers":{"x-shop":"north","X-Key":"s3cret"},` +
		`"rate_limit":{"per_second":2.5},"order":"key"`
	var made settings
	a := g.do("POST", "/v1/webhooks", jsonType, anyHook(body)).want(201).into(&made)
	if *made.Filter != "data.n > 1.0" || *made.Transform != "{n: .n}" || made.Format != "cloudevents" || made.Order != "key" ||
		made.RateLimit.PerSecond != 2.5 || made.RateLimit.Burst != 3 {
		t.Errorf("made %s", a.body)
	}
	if want := map[string]string{"X-Shop": "***", "X-Key": "***"}; !maps.Equal(made.Headers, want) || strings.Contains(string(a.body), "s3cret") {
		t.Errorf("headers are shown as %s", a.body)
	}
	path := "/v1/webhooks/" + made.ID
	tag := g.do("GET", path, nil, "").want(200).header.Get("ETag")

	// What is shown is taken back and changes nothing.
	var shown map[string]json.RawMessage
	g.do("GET", path, nil, "").want(200).into(&shown)
	for _, name := range []string{"id", "disabled_reason", "public_key", "old_secrets_until", "created_at", "updated_at"} {
		delete(shown, name)
	}
	same, err := json.Marshal(shown)
	if err != nil {
		t.Fatal(err)
	}
	if got := g.do("PATCH", path, jsonType, string(same)).want(200).header.Get("ETag"); got != tag {
		t.Errorf("%s made version %s of %s", same, got, tag)
	}
	for _, change := range []string{
		`{"filter":"true"}`, `{"transform":"."}`, `{"format":"standard"}`, `{"headers":{"X-SHOP":"south"}}`, `{"headers":{"x-shop":null}}`,
		`{"rate_limit":{"per_second":2.5,"burst":9}}`, `{"order":"strict"}`, `{"auth":{"type":"bearer","token":"t0ken"}}`, `{"auth":null}`,
	} {
		got := g.do("PATCH", path, jsonType, change).want(200).header.Get("ETag")
		if got == tag {
			t.Errorf("%s makes no new version", change)
		}
		tag = got
	}
	var back settings
	g.do("PATCH", path, jsonType,
		`{"filter":null,"transform":null,"format":null,"headers":null,"rate_limit":null,"order":null,"auth":null,"signing":null,"handshake":null}`).
		want(200).into(&back)
	if back.Filter != nil || back.Transform != nil || back.Format != "raw" || len(back.Headers) != 0 || back.RateLimit != nil || back.Order != "none" {
		t.Errorf("patched: %+v", back)
	}
}

func TestHeadersThatAreShownHiddenStayWhatTheyAre(t *testing.T) {
	g := newGateway(t, nil)
	var got atomic.Pointer[http.Header]
	id := g.hook(receiver(t, func(_ http.ResponseWriter, r *http.Request) { h := r.Header.Clone(); got.Store(&h) }), "a", `,"headers":{"X-Key":"s3cret"}`)
	g.do("PATCH", "/v1/webhooks/"+id, jsonType, `{"headers":{"x-key":"***","X-New":"n"}}`).want(200)
	g.do("POST", "/v1/webhooks/"+id+"/ping", nil, "").want(200)
	if h := *got.Load(); h.Get("X-Key") != "s3cret" || h.Get("X-New") != "n" {
		t.Errorf("sent %v", h)
	}
}

func TestAuthIsNeverShown(t *testing.T) {
	g := newGateway(t, nil)
	for body, want := range map[string]map[string]any{
		`{"type":"basic","username":"u","password":"hunter2"}`: {"type": "basic", "username": "u"},
		`{"type":"bearer","token":"hunter2"}`:                  {"type": "bearer"},
		`{"type":"oauth2","token_url":"https://id.example.com/token","client_id":"c","client_secret":"hunter2","scopes":["a","b"],"params":{"audience":"x"}}`: {
			"type": "oauth2", "token_url": "https://id.example.com/token", "client_id": "c", "scopes": []any{"a", "b"}, "params": map[string]any{"audience": "x"}},
	} {
		var made settings
		a := g.do("POST", "/v1/webhooks", jsonType, anyHook(`,"auth":`+body)).want(201).into(&made)
		if fmt.Sprint(made.Auth) != fmt.Sprint(want) {
			t.Errorf("shown as %v, want %v", made.Auth, want)
		}
		all := string(a.body) + string(g.do("GET", "/v1/webhooks/"+made.ID, nil, "").want(200).body) +
			string(g.do("GET", "/v1/webhooks", nil, "").want(200).body) +
			string(g.do("PATCH", "/v1/webhooks/"+made.ID, jsonType, `{"description":"d"}`).want(200).body)
		if strings.Contains(all, "hunter2") {
			t.Errorf("the secret is shown: %s", all)
		}
		// Replaced whole: nothing of the old one is left.
		var patched settings
		g.do("PATCH", "/v1/webhooks/"+made.ID, jsonType, `{"auth":{"type":"bearer","token":"other"}}`).want(200).into(&patched)
		if fmt.Sprint(patched.Auth) != fmt.Sprint(map[string]any{"type": "bearer"}) {
			t.Errorf("patched: %v", patched.Auth)
		}
	}
	if strings.Contains(g.log.String(), "hunter2") {
		t.Error("a secret is in the log")
	}
}

func TestPrivateKeysAreNeverShown(t *testing.T) {
	g := newGateway(t, nil)
	certificate, key := selfSigned(t)
	auth, err := json.Marshal(map[string]string{"type": "mtls", "certificate": certificate, "private_key": key, "ca": certificate})
	if err != nil {
		t.Fatal(err)
	}
	var made settings
	a := g.do("POST", "/v1/webhooks", jsonType, anyHook(`,"auth":`+string(auth))).want(201).into(&made)
	if strings.Contains(string(a.body), "PRIVATE") || made.Auth["certificate"] != certificate || made.Auth["ca"] != certificate {
		t.Errorf("made %s", a.body)
	}
	// A client's certificate goes with TLS only.
	g.do("PATCH", "/v1/webhooks/"+made.ID, jsonType, `{"url":"http://example.com/"}`).wantProblem(422, "invalid", "auth.type")
}

// selfSigned makes a certificate and its key, in PEM.
func selfSigned(t *testing.T) (certificate, key string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}

func TestWhatAnotherTenantHasIsNotThere(t *testing.T) {
	g := newGateway(t, nil)
	theirs := &event.Tenant{Name: "other"}
	if err := g.engine.CreateTenant(t.Context(), theirs); err != nil {
		t.Fatal(err)
	}
	other := theirs.ID
	hook := &event.Webhook{
		ID: event.NewID(), Tenant: other, URL: "https://example.com/", Topics: []event.Pattern{"a"}, Secret: someSecret,
		Timeout: event.DefaultTimeout, MaxInFlight: 1, Enabled: true,
	}
	if err := g.engine.CreateWebhook(t.Context(), hook); err != nil {
		t.Fatal(err)
	}
	job, err := g.engine.CreateJob(t.Context(), store.Job{
		ID: event.NewID(), Tenant: other, Webhook: hook.ID, PerSecond: 1, Filter: store.ReplayFilter{States: []event.State{event.Failed}},
	})
	if err != nil {
		t.Fatal(err)
	}
	path := "/v1/webhooks/" + hook.ID.String()
	g.do("GET", path, nil, "").wantProblem(404, "not-found")
	g.do("GET", path+"/health", nil, "").wantProblem(404, "not-found")
	g.do("PATCH", path, jsonType, `{"description":"d"}`).wantProblem(404, "not-found")
	g.do("POST", path+"/rotate-secret", nil, "").wantProblem(404, "not-found")
	g.do("POST", path+"/replay", jsonType, `{}`).wantProblem(404, "not-found")
	g.do("POST", path+"/replay", jsonType, `{"dry_run":true}`).wantProblem(404, "not-found")
	g.do("POST", "/v1/webhooks/test", jsonType, `{"webhook":"`+hook.ID.String()+`","event":{"topic":"a"}}`).wantProblem(404, "not-found")
	g.do("GET", "/v1/jobs/"+job.ID.String(), nil, "").wantProblem(404, "not-found")
	g.do("POST", "/v1/jobs/"+job.ID.String()+"/cancel", nil, "").wantProblem(404, "not-found")
	if a := g.do("GET", "/v1/jobs", nil, "").want(200); strings.Contains(string(a.body), job.ID.String()) {
		t.Errorf("listed: %s", a.body)
	}
}

const (
	someSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	someKey    = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
	somePublic = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
)

func TestKeyPairsShowTheirPublicHalf(t *testing.T) {
	g := newGateway(t, nil)
	var made settings
	a := g.do("POST", "/v1/webhooks", jsonType, anyHook(`,"signing":"ed25519","secret":"`+someKey+`"`)).want(201).into(&made)
	if made.Signing != "ed25519" || *made.PublicKey != somePublic || made.Secret != nil || strings.Contains(string(a.body), "whsk_") {
		t.Errorf("made %s", a.body)
	}
	a = g.do("GET", "/v1/webhooks/"+made.ID, nil, "").want(200).into(&made)
	if *made.PublicKey != somePublic || strings.Contains(string(a.body), "whsk_") {
		t.Errorf("shown %s", a.body)
	}
	made = settings{}
	a = g.do("POST", "/v1/webhooks", jsonType, anyHook(`,"signing":"ed25519"`)).want(201).into(&made)
	if made.PublicKey == nil || *made.PublicKey == somePublic || made.Secret != nil || strings.Contains(string(a.body), "whsk_") {
		t.Errorf("made %s", a.body)
	}

	// Another way of signing needs another secret.
	path := "/v1/webhooks/" + made.ID
	var hmac settings
	g.do("PATCH", path, jsonType, `{"signing":"hmac"}`).want(200).into(&hmac)
	if hmac.Secret == nil || !strings.HasPrefix(*hmac.Secret, "whsec_") || hmac.PublicKey != nil {
		t.Errorf("patched %+v", hmac)
	}
	again := settings{}
	if g.do("PATCH", path, jsonType, `{"signing":"hmac"}`).want(200).into(&again); again.Secret != nil {
		t.Error("a secret is shown though none was made")
	}
	var pair settings
	g.do("PATCH", path, jsonType, `{"signing":"ed25519","secret":"`+someKey+`"}`).want(200).into(&pair)
	if pair.Secret != nil || *pair.PublicKey != somePublic {
		t.Errorf("patched %+v", pair)
	}
	g.do("PATCH", path, jsonType, `{"secret":"`+someSecret+`"}`).wantProblem(422, "invalid", "secret")
	g.do("PATCH", path, jsonType, `{"signing":"hmac","secret":"`+someKey+`"}`).wantProblem(422, "invalid", "secret")
}

func TestRotation(t *testing.T) {
	g := newGateway(t, nil)
	var signatures atomic.Pointer[string]
	url := receiver(t, func(_ http.ResponseWriter, r *http.Request) {
		all := r.Header.Get("Webhook-Signature")
		signatures.Store(&all)
	})
	path := "/v1/webhooks/" + g.hook(url, "a", `,"secret":"`+someSecret+`"`)
	signedBy := func() int {
		g.do("POST", path+"/ping", nil, "").want(200)
		return len(strings.Fields(*signatures.Load()))
	}
	var first, second settings
	before := time.Now()
	a := g.do("POST", path+"/rotate-secret", nil, "").want(200).into(&first)
	if first.Secret == nil || *first.Secret == someSecret || len(first.OldSecretsUntil) != 1 || a.header.Get("ETag") == "" ||
		a.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("rotated %s", a.body)
	}
	if lasts := first.OldSecretsUntil[0].Sub(before); lasts < 23*time.Hour || lasts > 25*time.Hour {
		t.Errorf("the old one signs for another %s", lasts)
	}
	if n := signedBy(); n != 2 {
		t.Errorf("%d signatures", n)
	}
	// A type without a body is no body.
	g.do("POST", path+"/rotate-secret", headers{"Content-Type", "application/json"}, "").want(200)
	g.do("PATCH", path, jsonType, `{"secret":"`+someSecret+`"}`).want(200)
	g.do("POST", path+"/rotate-secret", nil, "").want(200)
	g.do("POST", path+"/rotate-secret", jsonType, `{"overlap":"0s","secret":"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`).want(200).into(&second)
	if *second.Secret != "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" || len(second.OldSecretsUntil) != 1 {
		t.Errorf("rotated %+v", second)
	}
	if n := signedBy(); n != 2 {
		t.Errorf("%d signatures", n)
	}
	for range 7 {
		g.do("POST", path+"/rotate-secret", jsonType, `{"overlap":"720h"}`).want(200).into(&second)
	}
	if len(second.OldSecretsUntil) != 5 || signedBy() != 6 {
		t.Errorf("%d old ones are left", len(second.OldSecretsUntil))
	}
	var shown settings
	a = g.do("GET", path, nil, "").want(200).into(&shown)
	if len(shown.OldSecretsUntil) != 5 || strings.Contains(string(a.body), "whsec_") {
		t.Errorf("shown %s", a.body)
	}
	// A patch replaces at once.
	g.do("PATCH", path, jsonType, `{"secret":"`+someSecret+`"}`).want(200).into(&shown)
	if len(shown.OldSecretsUntil) != 0 || signedBy() != 1 {
		t.Errorf("patched %+v", shown)
	}
	before2 := g.stored()
	for body, field := range map[string]string{
		`{"overlap":"-1s"}`: "overlap", `{"overlap":"721h"}`: "overlap", `{"overlap":5}`: "overlap", `{"secret":"x"}`: "secret",
		`{"secret":"` + someKey + `"}`: "secret", `{"secret":"` + someSecret + `"}`: "secret", `{"secret":null}`: "secret", `{"after":"1h"}`: "after",
	} {
		g.tryBad("POST", path+"/rotate-secret", jsonType, body).wantProblem(422, "invalid", field)
	}
	g.tryBad("POST", path+"/rotate-secret", jsonType, `[]`).wantProblem(400, "malformed-body")
	g.tryBad("POST", path+"/rotate-secret", headers{"Content-Type", "text/plain"}, `{}`).wantProblem(415, "unsupported-media-type")
	g.do("POST", path+"/rotate-secret", headers{"If-Match", `"1"`}, "").wantProblem(412, "precondition-failed")
	if g.stored() != before2 {
		t.Error("a refused rotation changed the webhook")
	}
	g.do("POST", "/v1/webhooks/"+someID+"/rotate-secret", nil, "").wantProblem(404, "not-found")

	var pair settings
	pairPath := "/v1/webhooks/" + g.hook(url, "a", `,"signing":"ed25519","secret":"`+someKey+`"`)
	a = g.do("POST", pairPath+"/rotate-secret", nil, "").want(200).into(&pair)
	if pair.Secret != nil || *pair.PublicKey == somePublic || strings.Contains(string(a.body), "whsk_") {
		t.Errorf("rotated %s", a.body)
	}
}

func TestHandshake(t *testing.T) {
	g := newGateway(t, nil)
	var asked atomic.Int32
	willing := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodOptions {
			asked.Add(1)
			w.Header().Set("WebHook-Allowed-Origin", "*")
		}
	})
	silent := receiver(t, func(http.ResponseWriter, *http.Request) {})
	before := g.stored()
	body := func(url, more string) string { return `{"url":"` + url + `","topics":["a"]` + more + `}` }
	p := g.do("POST", "/v1/webhooks", jsonType, body(silent, `,"handshake":true`)).wantProblem(422, "invalid", "url")
	if !strings.Contains(p.Detail, "WebHook-Allowed-Origin") {
		t.Errorf("detail %q", p.Detail)
	}
	if g.stored() != before {
		t.Error("it was stored")
	}
	var made settings
	g.do("POST", "/v1/webhooks", jsonType, body(willing, `,"handshake":true`)).want(201).into(&made)
	if !made.Handshake || asked.Load() != 1 {
		t.Errorf("made %+v after %d requests", made, asked.Load())
	}
	path := "/v1/webhooks/" + made.ID
	before = g.stored()
	g.do("PATCH", path, jsonType, `{"url":"`+silent+`"}`).wantProblem(422, "invalid", "url")
	if g.stored() != before {
		t.Error("it was changed")
	}
	g.do("PATCH", path, jsonType, `{"description":"d"}`).want(200)
	if asked.Load() != 1 {
		t.Error("it was asked again for nothing")
	}
	g.do("PATCH", path, jsonType, `{"url":"`+willing+`/other"}`).want(200)
	if asked.Load() != 2 {
		t.Error("it was not asked for the new URL")
	}
	// Without handshake nobody is asked; setting it asks.
	g.do("PATCH", path, jsonType, `{"url":"`+silent+`","handshake":false}`).want(200)
	g.do("PATCH", path, jsonType, `{"handshake":true}`).wantProblem(422, "invalid", "url")
	g.do("PATCH", path, jsonType, `{"url":"`+willing+`","handshake":true}`).want(200)
}

// slowOwner is the owner of a URL who thinks before it consents.
type slowOwner struct {
	url     string
	arrived chan struct{} // one for each time that it is asked
	release chan struct{}
}

func newSlowOwner(t *testing.T) *slowOwner {
	o := &slowOwner{arrived: make(chan struct{}, 10), release: make(chan struct{})}
	o.url = receiver(t, func(w http.ResponseWriter, r *http.Request) {
		o.arrived <- struct{}{}
		select {
		case <-o.release:
			w.Header().Set("WebHook-Allowed-Origin", "*")
		case <-r.Context().Done():
		}
	})
	return o
}

// While the owner of a URL thinks, its webhook can be changed and deleted like any other.
func TestHandshakeHoldsUpNobody(t *testing.T) {
	for _, c := range []struct {
		name       string
		meanwhile  func(g *gateway, path string)
		status     int
		afterwards func(t *testing.T, w settings)
	}{
		{"nothing", func(*gateway, string) {}, 200, nil},
		{"delete", func(g *gateway, path string) { g.do("DELETE", path, nil, "").want(204) }, 404, nil},
		{"disable", func(g *gateway, path string) { g.do("PATCH", path, jsonType, `{"enabled":false}`).want(200) }, 200,
			func(t *testing.T, w settings) {
				if w.Enabled || !w.Handshake {
					t.Errorf("it is %+v", w)
				}
			}},
		{"rotate", func(g *gateway, path string) { g.do("POST", path+"/rotate-secret", nil, "").want(200) }, 200,
			func(t *testing.T, w settings) {
				if len(w.OldSecretsUntil) != 1 || !w.Handshake {
					t.Errorf("it is %+v", w)
				}
			}},
		{"another URL", func(g *gateway, path string) {
			g.do("PATCH", path, jsonType, `{"url":"https://example.org/"}`).want(200)
		}, 200, func(t *testing.T, w settings) {
			if !w.Handshake {
				t.Errorf("it is %+v", w)
			}
		}},
		{"another rate", func(g *gateway, path string) {
			g.do("PATCH", path, jsonType, `{"rate_limit":{"per_second":1000}}`).want(200)
		}, 409, func(t *testing.T, w settings) {
			if w.Handshake || w.RateLimit == nil {
				t.Errorf("it is %+v", w)
			}
		}},
		{"another header", func(g *gateway, path string) {
			g.do("PATCH", path, jsonType, `{"headers":{"X-Key":"k"}}`).want(200)
		}, 409, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newGateway(t, nil)
			owner := newSlowOwner(t)
			path := "/v1/webhooks/" + g.hook(owner.url+"/before", "a", "")
			done := make(chan *answer)
			go func() { done <- g.do("PATCH", path, jsonType, `{"url":"`+owner.url+`","handshake":true}`) }()
			<-owner.arrived
			c.meanwhile(g, path)
			select {
			case a := <-done:
				t.Fatalf("the patch was answered before its owner consented: %d", a.status)
			default:
			}
			close(owner.release)
			a := (<-done).want(c.status)
			if c.status == 409 {
				a.wantProblem(409, "conflict")
			}
			if len(owner.arrived) != 0 {
				t.Error("the owner was asked more than once")
			}
			if c.afterwards != nil {
				var shown settings
				g.do("GET", path, nil, "").want(200).into(&shown)
				c.afterwards(t, shown)
			}
		})
	}
}

// What was refused a turn ago is not written over what somebody else has written since.
func TestHandshakeHeedsIfMatch(t *testing.T) {
	g := newGateway(t, nil)
	owner := newSlowOwner(t)
	path := "/v1/webhooks/" + g.hook(owner.url+"/before", "a", "")
	tag := g.do("GET", path, nil, "").want(200).header.Get("ETag")
	done := make(chan *answer)
	go func() {
		done <- g.do("PATCH", path, append(headers{"If-Match", tag}, jsonType...), `{"url":"`+owner.url+`","handshake":true}`)
	}()
	<-owner.arrived
	g.do("PATCH", path, jsonType, `{"description":"d"}`).want(200)
	close(owner.release)
	(<-done).wantProblem(412, "precondition-failed")
}

// Whoever sends a webhook back as it was shown does not lose its credentials.
func TestHiddenAuthIsRefused(t *testing.T) {
	g := newGateway(t, nil)
	path := "/v1/webhooks/" + g.hook("https://example.com/", "a", `,"auth":{"type":"bearer","token":"s3cret"}`)
	certificate, _ := selfSigned(t)
	pem, err := json.Marshal(certificate)
	if err != nil {
		t.Fatal(err)
	}
	before := g.stored()
	for auth, field := range map[string]string{
		`{"type":"basic","username":"u","password":"***"}`:                                              "auth.password",
		`{"type":"bearer","token":"***"}`:                                                               "auth.token",
		`{"type":"oauth2","token_url":"https://id.example.com/","client_id":"c","client_secret":"***"}`: "auth.client_secret",
		`{"type":"mtls","certificate":` + string(pem) + `,"private_key":"***"}`:                         "auth.private_key",
	} {
		for _, a := range []struct{ method, path, body, field string }{
			{"POST", "/v1/webhooks", anyHook(`,"auth":` + auth), field},
			{"PATCH", path, `{"auth":` + auth + `}`, field},
			{"POST", "/v1/webhooks/test", `{"webhook":{"auth":` + auth + `},"event":{"topic":"a"}}`, "webhook." + field},
		} {
			p := g.do(a.method, a.path, jsonType, a.body).wantProblem(422, "invalid", a.field)
			if want := "is how values are hidden; give the value itself"; p.Errors[0].Detail != want {
				t.Errorf("%s: %q", a.field, p.Errors[0].Detail)
			}
		}
	}
	if g.stored() != before {
		t.Error("something was changed")
	}
	// A user may be called so.
	g.do("PATCH", path, jsonType, `{"auth":{"type":"basic","username":"***","password":"p"}}`).want(200)
}

func TestNullSecretIsGenerated(t *testing.T) {
	g := newGateway(t, nil)
	var made settings
	g.do("POST", "/v1/webhooks", jsonType, anyHook(`,"secret":null`)).want(201).into(&made)
	if made.Secret == nil || !strings.HasPrefix(*made.Secret, "whsec_") {
		t.Errorf("made %+v", made)
	}
	g.tryBad("PATCH", "/v1/webhooks/"+made.ID, jsonType, `{"secret":null}`).wantProblem(422, "invalid", "secret")
	var pair settings
	g.do("POST", "/v1/webhooks", jsonType, anyHook(`,"signing":"ed25519","secret":null`)).want(201).into(&pair)
	if pair.PublicKey == nil || pair.Secret != nil {
		t.Errorf("made %+v", pair)
	}
}

func TestDurationsTakeDays(t *testing.T) {
	g := newGateway(t, nil)
	var made struct {
		ID    string
		Retry struct{ Schedule []string }
	}
	g.do("POST", "/v1/webhooks", jsonType, anyHook(`,"retry":{"schedule":["1d","1.5d","1d2h","1.0000001s"]}`)).want(201).into(&made)
	if got := fmt.Sprint(made.Retry.Schedule); got != "[24h 36h 26h 1s]" {
		t.Errorf("schedule %s", got)
	}
	path := "/v1/webhooks/" + made.ID
	g.do("POST", path+"/rotate-secret", jsonType, `{"overlap":"30d"}`).want(200)
	g.tryBad("POST", path+"/rotate-secret", jsonType, `{"overlap":"31d"}`).wantProblem(422, "invalid", "overlap")
	for _, bad := range []string{"d", "1dd", "1d-2h", "1h2d", "--1d", "1e3d", "999999999999d"} {
		g.tryBad("POST", path+"/rotate-secret", jsonType, `{"overlap":"`+bad+`"}`).wantProblem(422, "invalid", "overlap")
	}
}

func TestFailingTransformIsToldOfInTheHealth(t *testing.T) {
	g := newGateway(t, nil)
	id := g.hook("https://example.com/", "a", `,"transform":".n.m"`)
	rec := g.publish("a", `{"n":1}`)
	if d := g.ended(rec.ID); d.State != "failed" || *d.Reason != "transform-error" {
		t.Errorf("delivery %+v", d)
	}
	var h struct {
		Errors int        `json:"transform_errors"`
		Last   *string    `json:"last_transform_error"`
		LastAt *time.Time `json:"last_transform_error_at"`
	}
	g.do("GET", "/v1/webhooks/"+id+"/health", nil, "").want(200).into(&h)
	if h.Errors != 1 || h.Last == nil || *h.Last == "" || h.LastAt == nil {
		t.Errorf("health %+v", h)
	}
}

func TestWebhookWithoutATokenIsNotAsked(t *testing.T) {
	g := newGateway(t, nil)
	var asked atomic.Int32
	url := receiver(t, func(http.ResponseWriter, *http.Request) { asked.Add(1) })
	endpoint := receiver(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	id := g.hook(url, "a", `,"retry":{"schedule":[]},"auth":{"type":"oauth2","token_url":"`+endpoint+`","client_id":"c","client_secret":"s"}`)
	var ping struct{ Error *string }
	g.do("POST", "/v1/webhooks/"+id+"/ping", nil, "").want(200).into(&ping)
	if ping.Error == nil || *ping.Error != "auth" {
		t.Errorf("ping %+v", ping)
	}
	g.ended(g.publish("a", "x").ID)
	var list struct{ Data []struct{ Error *string } }
	g.do("GET", "/v1/deliveries?error=auth&since=1d", nil, "").want(200).into(&list)
	if len(list.Data) != 1 || asked.Load() != 0 {
		t.Errorf("%d deliveries, asked %d times", len(list.Data), asked.Load())
	}
}

func TestGuardJudgesTokenEndpoints(t *testing.T) {
	g := newGateway(t, func(c *api.Config) { c.Guard = dispatch.NewGuard(dispatch.GuardConfig{}) })
	auth := func(url string) string {
		return `,"auth":{"type":"oauth2","token_url":"` + url + `","client_id":"c","client_secret":"s"}`
	}
	g.do("POST", "/v1/webhooks", jsonType, anyHook(auth("https://169.254.169.254/token"))).wantProblem(422, "invalid", "auth.token_url")
	g.do("POST", "/v1/webhooks", jsonType, anyHook(auth("https://id.example.com/token"))).want(201)
}

func TestFailingWebhookIsEnabledAgain(t *testing.T) {
	g := newGateway(t, nil)
	id := g.hook("https://example.com/", "a", "")
	hook, err := g.engine.Webhook(t.Context(), event.DefaultTenant, mustID(t, id))
	if err != nil {
		t.Fatal(err)
	}
	hook.Enabled, hook.DisabledReason = false, event.DisabledFailing
	if err := g.engine.UpdateWebhook(t.Context(), hook); err != nil {
		t.Fatal(err)
	}
	var shown settings
	g.do("GET", "/v1/webhooks/"+id, nil, "").want(200).into(&shown)
	if shown.Enabled || *shown.DisabledReason != "failing" {
		t.Errorf("shown %+v", shown)
	}
	// Said again, it changes nothing: why is not forgotten.
	g.do("PATCH", "/v1/webhooks/"+id, jsonType, `{"enabled":false}`).want(200).into(&shown)
	if *shown.DisabledReason != "failing" {
		t.Errorf("patched %+v", shown)
	}
	shown = settings{}
	g.do("PATCH", "/v1/webhooks/"+id, jsonType, `{"enabled":true}`).want(200).into(&shown)
	if !shown.Enabled || shown.DisabledReason != nil {
		t.Errorf("enabled %+v", shown)
	}
}

func mustID(t *testing.T, text string) event.ID {
	t.Helper()
	id, err := event.ParseID(text)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestHealthOfAWebhook(t *testing.T) {
	g := newGateway(t, nil)
	type health struct {
		Webhook, State string
		Why            *string
		Failures       int
		Attempts       int
		Successes      int
		SuccessRate    *float64 `json:"success_rate"`
		P50            *float64 `json:"p50_ms"`
		Backlog        int
		MaxInFlight    int     `json:"max_in_flight"`
		FilterErrors   int     `json:"filter_errors"`
		LastError      *string `json:"last_filter_error"`
	}
	id := g.hook(receiver(t, func(http.ResponseWriter, *http.Request) {}), "a", `,"max_in_flight":7`)
	var h health
	g.do("GET", "/v1/webhooks/"+id+"/health", nil, "").want(200).into(&h)
	if h.Webhook != id || h.State != "active" || h.MaxInFlight != 7 || h.SuccessRate != nil || h.P50 != nil {
		t.Errorf("at first %+v", h)
	}
	g.ended(g.publish("a", "x").ID)
	g.do("GET", "/v1/webhooks/"+id+"/health", nil, "").want(200).into(&h)
	if h.Attempts != 1 || h.Successes != 1 || h.SuccessRate == nil || *h.SuccessRate != 1 || h.P50 == nil || h.Backlog != 0 {
		t.Errorf("after one delivery %+v", h)
	}
	if a := g.tryBad("HEAD", "/v1/webhooks/"+id+"/health", nil, "").want(200); len(a.body) != 0 {
		t.Errorf("HEAD has the body %q", a.body)
	}
	g.do("PATCH", "/v1/webhooks/"+id, jsonType, `{"enabled":false}`).want(200)
	h = health{}
	g.do("GET", "/v1/webhooks/"+id+"/health", nil, "").want(200).into(&h)
	if h.State != "disabled" || h.Why == nil {
		t.Errorf("disabled %+v", h)
	}
	filtered := g.hook("https://example.com/", "b", `,"filter":"data.n > 1.0"`)
	rec := g.publish("b", "no JSON")
	if d := g.ended(rec.ID); d.State != "canceled" || *d.Reason != "filter-error" {
		t.Errorf("delivery %+v", d)
	}
	h = health{}
	g.do("GET", "/v1/webhooks/"+filtered+"/health", nil, "").want(200).into(&h)
	if h.FilterErrors != 1 || h.LastError == nil {
		t.Errorf("with a failing filter %+v", h)
	}
	g.do("GET", "/v1/webhooks/"+someID+"/health", nil, "").wantProblem(404, "not-found")
}

func TestExpressionsAreCompiledWithPositions(t *testing.T) {
	g := newGateway(t, nil)
	for body, field := range map[string]string{
		`,"filter":"data.n >"`: "filter", `,"filter":"topik == 'a'"`: "filter", `,"filter":"1 + 1"`: "filter",
		`,"transform":"{n:"`: "transform", `,"transform":"nonsense(1)"`: "transform",
	} {
		p := g.do("POST", "/v1/webhooks", jsonType, anyHook(body)).wantProblem(422, "invalid", field)
		line, _, found := strings.Cut(p.Errors[0].Detail, ":")
		if !found || line != "1" {
			t.Errorf("%s: %q names no place", body, p.Errors[0].Detail)
		}
	}
	g.do("POST", "/v1/webhooks", jsonType, anyHook(`,"filter":"topic == 'a'","transform":".x"`)).want(201)
}
