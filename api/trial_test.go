package api_test

import (
	"strings"
	"testing"
)

type trial struct {
	Matches        bool
	Reason, Detail *string
	Request        *struct {
		Method       string
		URL          *string
		Headers      map[string]string
		Body         string
		BodyEncoding string `json:"body_encoding"`
	}
}

func (g *gateway) try(webhook, event string) trial {
	g.t.Helper()
	var got trial
	g.do("POST", "/v1/webhooks/test", jsonType, `{"webhook":`+webhook+`,"event":`+event+`}`).want(200).into(&got)
	return got
}

func TestTrialOfSettings(t *testing.T) {
	g := newGateway(t, nil)
	const settings = `{"filter":"data.total > 100.0 && topic == 'orders.created'","transform":"{order: .order}"}`
	before := g.stored()
	got := g.try(settings, `{"topic":"orders.created","data":{"order":4711,"total":199.5}}`)
	if !got.Matches || got.Reason != nil || got.Request == nil || got.Request.Body != `{"order":4711}` || got.Request.Method != "POST" || got.Request.URL != nil {
		t.Errorf("%+v", got)
	}
	if h := got.Request.Headers; h["Carillon-Topic"] != "orders.created" || h["Webhook-Id"] == "" || !strings.HasPrefix(h["Content-Type"], "application/json") {
		t.Errorf("headers %v", h)
	}
	got = g.try(settings, `{"topic":"orders.created","data":{"order":4711,"total":99.5}}`)
	if got.Matches || got.Reason == nil || *got.Reason != "filter" || got.Request != nil {
		t.Errorf("%+v", got)
	}
	got = g.try(settings, `{"topic":"orders.created","payload":"no JSON"}`)
	if got.Matches || *got.Reason != "filter-error" || got.Detail == nil {
		t.Errorf("%+v", got)
	}
	got = g.try(`{"transform":".n + {}"}`, `{"topic":"a","data":{"n":1}}`)
	if !got.Matches || *got.Reason != "transform-error" || got.Detail == nil || got.Request != nil {
		t.Errorf("%+v", got)
	}
	got = g.try(`{"url":"https://example.com/x","topics":["b"]}`, `{"topic":"a"}`)
	if got.Matches || *got.Reason != "topic" {
		t.Errorf("%+v", got)
	}
	got = g.try(`{"url":"https://example.com/x","signing":"ed25519"}`, `{"topic":"_carillon.webhook.disabled","payload":"x"}`)
	if !got.Matches || *got.Request.URL != "https://example.com/x" || got.Request.Body != "x" || !strings.HasPrefix(got.Request.Headers["Webhook-Signature"], "v1a,") {
		t.Errorf("%+v", got)
	}
	got = g.try(`{"format":"cloudevents"}`, `{"topic":"a","data":{"n":1},"partition_key":"k","attributes":{"source":"/shop","type":"order","ext":"v"}}`)
	for _, want := range []string{`"source":"/shop"`, `"type":"order"`, `"ext":"v"`, `"partitionkey":"k"`, `"data":{"n":1}`} {
		if !strings.Contains(got.Request.Body, want) {
			t.Errorf("no %s in %s", want, got.Request.Body)
		}
	}
	if g.stored() != before {
		t.Error("something was stored")
	}
}

func TestTrialShowsNoCredentials(t *testing.T) {
	g := newGateway(t, nil)
	for _, auth := range []string{`{"type":"basic","username":"u","password":"s3cret"}`, `{"type":"bearer","token":"s3cret"}`,
		`{"type":"oauth2","token_url":"https://id.example.com/","client_id":"c","client_secret":"s3cret"}`} {
		id := g.hook("https://example.com/", "a", `,"auth":`+auth+`,"headers":{"X-Key":"s3cret"}`)
		a := g.do("POST", "/v1/webhooks/test", jsonType, `{"webhook":"`+id+`","event":{"topic":"a"}}`).want(200)
		var got trial
		if a.into(&got); strings.Contains(string(a.body), "s3cret") || strings.Contains(string(a.body), "dTpzM2NyZXQ") {
			t.Errorf("shown: %s", a.body)
		}
		if h := got.Request.Headers; h["Authorization"] != "***" || h["X-Key"] != "***" {
			t.Errorf("headers %v", h)
		}
	}
}
