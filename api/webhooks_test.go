package api_test

import (
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/carillon/carillon/api"
	"github.com/carillon/carillon/dispatch"
)

type shownWebhook struct {
	ID, URL        string
	Topics         []string
	Enabled        bool
	DisabledReason *string `json:"disabled_reason"`
	Retry          struct{ Schedule []string }
	Timeout        string
	MaxInFlight    int `json:"max_in_flight"`
	Description    string
	Metadata       map[string]string
	Secret         *string
}

var jsonType = headers{"Content-Type", "application/json"}

var defaultSchedule = []string{"5s", "30s", "2m", "10m", "30m", "1h", "3h", "6h", "12h", "24h", "24h"}

func TestWebhookLife(t *testing.T) {
	g := newGateway(t, nil)
	var made shownWebhook
	a := g.do("POST", "/v1/webhooks", jsonType, `{"url":"https://example.com/hook","topics":["orders.*"]}`).want(201).into(&made)
	if made.Secret == nil || !strings.HasPrefix(*made.Secret, "whsec_") {
		t.Fatalf("secret: %s", a.body)
	}
	path := "/v1/webhooks/" + made.ID
	if got := a.header.Get("Location"); got != path {
		t.Errorf("Location %q", got)
	}
	if !slices.Equal(made.Retry.Schedule, defaultSchedule) || made.Timeout != "15s" || made.MaxInFlight != 16 || !made.Enabled {
		t.Errorf("defaults: %s", a.body)
	}

	var shown shownWebhook
	tag := g.do("GET", path, nil, "").want(200).into(&shown).header.Get("ETag")
	if shown.Secret != nil || shown.URL != made.URL {
		t.Errorf("shown: %+v", shown)
	}
	var list struct{ Data []shownWebhook }
	a = g.do("GET", "/v1/webhooks", nil, "").want(200).into(&list)
	if len(list.Data) != 1 || list.Data[0].ID != made.ID || strings.Contains(string(a.body), "whsec_") {
		t.Errorf("list: %s", a.body)
	}

	merge := func(h headers, body string) *answer {
		t.Helper()
		return g.do("PATCH", path, append(headers{"Content-Type", "application/merge-patch+json"}, h...), body)
	}
	a = merge(nil, `{"description":"d","metadata":{"a":"1","b":"2"},"timeout":"1m30s"}`)
	a.wantProblem(422, "invalid", "timeout")
	merge(nil, `{"description":"d","metadata":{"a":"1","b":"2"},"timeout":"1m","max_in_flight":3}`).want(200).into(&shown)
	if shown.Description != "d" || shown.Timeout != "1m" || shown.MaxInFlight != 3 || shown.URL != made.URL {
		t.Errorf("patched: %+v", shown)
	}
	shown = shownWebhook{}
	merge(nil, `{"metadata":{"a":null,"c":"3"},"timeout":null,"max_in_flight":null,"description":null}`).want(200).into(&shown)
	if !maps.Equal(shown.Metadata, map[string]string{"b": "2", "c": "3"}) || shown.Timeout != "15s" || shown.MaxInFlight != 16 || shown.Description != "" {
		t.Errorf("patched: %+v", shown)
	}
	merge(headers{"If-Match", tag}, `{"enabled":false}`).wantProblem(412, "precondition-failed")
	g.do("DELETE", path, headers{"If-Match", tag}, "").wantProblem(412, "precondition-failed")
	tag = g.do("GET", path, nil, "").want(200).header.Get("ETag")
	a = merge(headers{"If-Match", `"other", ` + tag}, `{"enabled":false}`).want(200).into(&shown)
	if shown.Enabled || shown.DisabledReason == nil || *shown.DisabledReason != "manual" || a.header.Get("ETag") == tag {
		t.Errorf("disabled: %s", a.body)
	}
	a = merge(headers{"If-Match", "*"}, `{"enabled":null,"secret":"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}`).want(200).into(&shown)
	if !shown.Enabled || strings.Contains(string(a.body), "whsec_") {
		t.Errorf("enabled: %s", a.body)
	}
	tag = a.header.Get("ETag")
	if got := merge(nil, `{}`).want(200).header.Get("ETag"); got != tag {
		t.Errorf("a patch without anything in it makes version %s of %s", got, tag)
	}

	if a := g.do("DELETE", path, nil, "").want(204); len(a.body) != 0 {
		t.Errorf("body %q", a.body)
	}
	g.do("GET", path, nil, "").wantProblem(404, "not-found")
	g.do("DELETE", path, nil, "").wantProblem(404, "not-found")
	merge(nil, `{"enabled":false}`).wantProblem(404, "not-found")
	g.do("POST", path+"/ping", nil, "").wantProblem(404, "not-found")
}

func TestWebhookWithEverything(t *testing.T) {
	g := newGateway(t, nil)
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	var made shownWebhook
	g.do("POST", "/v1/webhooks", jsonType, `{"url":"http://example.com/hook","topics":["orders.*","**"],"secret":"`+secret+`",
		"retry":{"max_attempts":5,"initial":"90s","factor":10,"max":"36h"},"timeout":"2500ms","max_in_flight":1,"enabled":false,
		"description":"é","metadata":{"k":"v"}}`).want(201).into(&made)
	if *made.Secret != secret || made.Timeout != "2.5s" || made.Enabled || *made.DisabledReason != "manual" || made.Description != "é" {
		t.Errorf("made %+v", made)
	}
	if want := []string{"1m30s", "15m", "2h30m", "25h"}; !slices.Equal(made.Retry.Schedule, want) {
		t.Errorf("schedule %v, want %v", made.Retry.Schedule, want)
	}
	var patched shownWebhook
	g.do("PATCH", "/v1/webhooks/"+made.ID, jsonType, `{"retry":{"schedule":[]}}`).want(200).into(&patched)
	if len(patched.Retry.Schedule) != 0 {
		t.Errorf("schedule %v", patched.Retry.Schedule)
	}
	g.do("PATCH", "/v1/webhooks/"+made.ID, jsonType, `{"retry":null}`).want(200).into(&patched)
	if !slices.Equal(patched.Retry.Schedule, defaultSchedule) {
		t.Errorf("schedule %v", patched.Retry.Schedule)
	}
}

func TestPatchesWithoutIfMatchAllCount(t *testing.T) {
	g := newGateway(t, nil)
	id := g.hook("https://example.com/", "a", "")
	const patches = 40
	var wg sync.WaitGroup
	for i := range patches {
		wg.Go(func() {
			g.do("PATCH", "/v1/webhooks/"+id, jsonType, `{"metadata":{"k`+strconv.Itoa(i)+`":"v"}}`).want(200)
		})
	}
	wg.Wait()
	var w shownWebhook
	g.do("GET", "/v1/webhooks/"+id, nil, "").want(200).into(&w)
	if len(w.Metadata) != patches {
		t.Errorf("metadata %v", w.Metadata)
	}
}

func TestPatchThatChangesNothing(t *testing.T) {
	g := newGateway(t, nil)
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	path := "/v1/webhooks/" + g.hook("https://example.com/", "a", `,"secret":"`+secret+`","metadata":{"k":"v"},"retry":{"schedule":["5s"]}`)
	before := g.stored()
	tag := g.do("GET", path, nil, "").want(200).header.Get("ETag")
	for _, body := range []string{
		`{"url":"https://example.com/","topics":["a"],"enabled":true,"description":"","max_in_flight":16,"timeout":"15s"}`,
		`{"metadata":{"k":"v","absent":null},"retry":{"schedule":["5s"]},"secret":"` + secret + `"}`,
		`{"enabled":null,"timeout":null}`,
	} {
		if got := g.do("PATCH", path, jsonType, body).want(200).header.Get("ETag"); got != tag || g.stored() != before {
			t.Errorf("%s makes version %s of %s", body, got, tag)
		}
	}
	for _, body := range []string{
		`{"url":"https://example.com/b"}`, `{"topics":["a","b"]}`, `{"enabled":false}`, `{"description":"d"}`, `{"max_in_flight":1}`,
		`{"timeout":"2s"}`, `{"metadata":{"k":null}}`, `{"retry":{"schedule":["6s"]}}`, `{"secret":"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`,
	} {
		got := g.do("PATCH", path, jsonType, body).want(200).header.Get("ETag")
		if got == tag {
			t.Errorf("%s makes no new version", body)
		}
		tag = got
	}
}

func TestOneOfManyDeletesUnderATag(t *testing.T) {
	g := newGateway(t, nil)
	path := "/v1/webhooks/" + g.hook("https://example.com/", "a", "")
	tag := g.do("GET", path, nil, "").want(200).header.Get("ETag")
	var patched, deleted atomic.Int32
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			if g.do("PATCH", path, append(headers{"If-Match", tag}, jsonType...), `{"description":"`+strconv.Itoa(i)+`"}`).status == 200 {
				patched.Add(1)
			}
		})
		wg.Go(func() {
			if g.do("DELETE", path, headers{"If-Match", tag}, "").status == 204 {
				deleted.Add(1)
			}
		})
	}
	wg.Wait()
	if patched.Load()+deleted.Load() != 1 {
		t.Errorf("%d patches and %d deletions of one version", patched.Load(), deleted.Load())
	}
}

func TestPing(t *testing.T) {
	g := newGateway(t, nil)
	var signed atomic.Bool
	url := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		signed.Store(strings.HasPrefix(r.Header.Get("Webhook-Signature"), "v1,") && r.Header.Get("Carillon-Topic") == "_carillon.ping")
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(418)
		io.WriteString(w, "short and stout")
	})
	before := g.publish("x", "x") // the log must not grow by the ping
	id := g.hook(url, "pings", `,"enabled":false`)
	var got struct {
		Webhook, Body string
		Status        int
		ContentType   string `json:"content_type"`
		Error         string
		DurationMS    *int `json:"duration_ms"`
	}
	g.do("POST", "/v1/webhooks/"+id+"/ping", nil, "").want(200).into(&got)
	if got.Status != 418 || got.Body != "short and stout" || got.ContentType != "text/plain" || got.Error != "status-4xx" || got.Webhook != id {
		t.Errorf("ping: %+v", got)
	}
	if !signed.Load() {
		t.Error("the ping is not signed, or has another topic")
	}
	var list eventList
	g.do("GET", "/v1/events", nil, "").want(200).into(&list)
	if len(list.Data) != 1 || list.Data[0].ID != before.ID {
		t.Errorf("the log has %+v", list.Data)
	}

	binary := receiver(t, func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte{0xff, 0xfe}) })
	a := g.do("POST", "/v1/webhooks/"+g.hook(binary, "pings", "")+"/ping", nil, "").want(200)
	if !strings.Contains(string(a.body), `"body":"//4="`) || !strings.Contains(string(a.body), `"body_encoding":"base64"`) {
		t.Errorf("ping: %s", a.body)
	}
	a = g.do("POST", "/v1/webhooks/"+g.hook("http://127.0.0.1:1/", "pings", "")+"/ping", nil, "").want(200)
	if !strings.Contains(string(a.body), `"status":null`) || !strings.Contains(string(a.body), `"error":"connect"`) {
		t.Errorf("ping: %s", a.body)
	}
}

func TestGuardJudgesLiteralAddresses(t *testing.T) {
	g := newGateway(t, func(c *api.Config) { c.Guard = dispatch.NewGuard(dispatch.GuardConfig{}) })
	for _, url := range []string{"http://127.0.0.1/", "http://169.254.169.254/latest", "http://[::1]/", "http://10.0.0.1:8080/", "http://[::ffff:10.1.2.3]/"} {
		g.do("POST", "/v1/webhooks", jsonType, `{"url":"`+url+`","topics":["a"]}`).wantProblem(422, "invalid", "url")
	}
	id := g.hook("https://example.com/", "a", "")
	before := g.stored()
	g.do("PATCH", "/v1/webhooks/"+id, jsonType, `{"url":"http://10.0.0.1/"}`).wantProblem(422, "invalid", "url")
	if g.stored() != before {
		t.Error("a refused patch changed the webhook")
	}
}
