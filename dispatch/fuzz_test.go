package dispatch

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"github.com/carillon/carillon/event"
)

// answering is a transport that gives one answer.
type answering struct{ resp *http.Response }

func (a answering) RoundTrip(*http.Request) (*http.Response, error) { return a.resp, nil }

// What a token endpoint answers: a token that is taken can stand in a header, and an error repeats nothing of the answer.
func FuzzTokenAnswer(f *testing.F) {
	for _, seed := range []struct {
		status      int
		contentType string
		body        string
	}{
		{200, "application/json", `{"access_token":"token-1","token_type":"bearer","expires_in":3600}`},
		{200, "application/json", `{"access_token":"a\r\nX: y","token_type":"Bearer"}`}, {200, "application/json", `{"access_token":"","expires_in":"60"}`},
		{200, "application/x-www-form-urlencoded", "access_token=t&token_type=bearer&expires_in=-5"}, {200, "text/plain", "access_token=t"},
		{400, "application/json", `{"error":"invalid_client","error_description":"no"}`}, {401, "text/html", "<h1>no</h1>"}, {302, "", ""},
		{200, "application/json", `{"access_token":"t","token_type":"mac"}`}, {200, "application/json", `{"access_token":1,"expires_in":1e99}`},
		{200, "application/json", `{"error":"s3cret"}`}, {204, ";", "{"}, {101, "", ""},
	} {
		f.Add(seed.status, seed.contentType, seed.body)
	}
	auth := event.Auth{Type: event.AuthOAuth2, TokenURL: "https://auth.example/token", ClientID: "c", ClientSecret: "s3cret"}
	f.Fuzz(func(t *testing.T, status int, contentType, body string) {
		tokens := newTokens(answering{&http.Response{
			StatusCode: 100 + (status%500+500)%500, Header: http.Header{"Content-Type": {contentType}}, Body: io.NopCloser(strings.NewReader(body)),
		}}, "test")
		text, err := tokens.token(t.Context(), &auth)
		if err != nil {
			if text != "" {
				t.Errorf("an error and the token %q", text)
			}
			// All that an error can say, but for what was said here.
			said := strings.NewReplacer("the token endpoint", "", "answered", "", "asking", "").Replace(err.Error())
			if strings.Contains(said, "s3cret") || len(said) > 200 {
				t.Errorf("the error says %q", err)
			}
			return
		}
		if text == "" || len(text) > maxTokenBytes || !visible(text) {
			t.Errorf("took the token %q", text)
		}
		held := tokens.holder(credentialOf(&auth))
		if held.text != text {
			t.Errorf("took %q and keeps %q", text, held.text)
		}
		if held.style == oauth2.AuthStyleAutoDetect {
			t.Error("how the endpoint takes the secret was not learned")
		}
	})
}

// What the owner of a webhook's URL answers to the request for consent: there is consent only for this gateway or for all.
func FuzzConsentAnswer(f *testing.F) {
	for _, seed := range []struct {
		status       int
		origin, rate string
		perSecond    float64
	}{
		{200, "carillon.test", "120", 2}, {200, "*", "*", 0}, {500, "carillon.test, *", "", 1}, {200, " carillon.test ", "-1", 1},
		{200, "CARILLON.test", "60", 2}, {204, "carillon.test.evil", "99999999999999999999", 5}, {200, "", "1", 1},
	} {
		f.Add(seed.status, seed.origin, seed.rate, seed.perSecond)
	}
	f.Fuzz(func(t *testing.T, status int, origin, rate string, perSecond float64) {
		if perSecond < 0 || perSecond > event.MaxRatePerSecond {
			return
		}
		answer := "HTTP/1.1 " + []string{"200 OK", "204 No Content", "403 No", "500 Oh"}[(status%4+4)%4] +
			"\r\nContent-Length: 0\r\nConnection: close\r\nWebHook-Allowed-Origin: " + origin + "\r\nWebHook-Allowed-Rate: " + rate + "\r\n\r\n"
		s := NewSender(SenderConfig{Guard: NewGuard(GuardConfig{}), UserAgent: "test", Origin: "carillon.test"})
		s.transport = newTransport(dialer{func(context.Context, string, string) (net.Conn, error) {
			client, server := net.Pipe()
			go func() {
				defer func() { _ = server.Close() }()
				readRequest(server)
				_, _ = io.WriteString(server, answer)
			}()
			return client, nil
		}, &tls.Config{MinVersion: tls.VersionTLS12}})
		defer s.Close()
		r := attemptOn("http://receiver.example/")
		r.Webhook.RateLimit.PerSecond = perSecond
		err := s.Handshake(t.Context(), r.Webhook)
		var refusal *ConsentError
		if err != nil && !errors.As(err, &refusal) {
			t.Fatal(err)
		}
		// Origin and rate can hold whole headers of their own: what net/http makes of those is not judged here.
		if strings.ContainsAny(origin+rate, "\r\n") {
			return
		}
		agreed := strings.Trim(origin, " \t")
		if err == nil && agreed != "*" && !strings.EqualFold(agreed, "carillon.test") {
			t.Errorf("%q was taken for consent", origin)
		}
	})
}

// A client's certificate as somebody who registers a webhook writes it: what is accepted can be used.
func FuzzClientCertificate(f *testing.F) {
	a := newAuthority(f)
	certificate, key := pemOf(f, a.issue(f, nil))
	_, other := pemOf(f, a.issue(f, nil))
	for _, seed := range [][3]string{
		{certificate, key, ""}, {certificate, key, certificate}, {certificate, other, ""}, {certificate + certificate, key, "x"}, {key, certificate, ""},
		{certificate, "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n", ""}, {"", "", ""},
		{certificate, strings.Replace(key, "PRIVATE KEY", "ENCRYPTED PRIVATE KEY", 2), ""},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	g := NewGuard(GuardConfig{})
	kept := &clients{transport: func(*tls.Config) *http.Transport { return nil }, config: &tls.Config{MinVersion: tls.VersionTLS12}}
	f.Fuzz(func(t *testing.T, certificate, key, ca string) {
		auth := event.Auth{Type: event.AuthMTLS, Certificate: certificate, PrivateKey: event.Secret(key), CA: ca}
		bad := CheckAuth(auth, g)
		for _, b := range bad {
			if b.Detail == "" || len(key) > 40 && strings.Contains(b.Detail, key) {
				t.Errorf("%s: %q", b.Field, b.Detail)
			}
		}
		config, err := kept.clientConfig(&auth)
		if len(bad) == 0 && (err != nil || len(config.Certificates) != 1) {
			t.Errorf("accepted, and of no use: %v", err)
		}
		if err != nil && len(key) > 40 && strings.Contains(err.Error(), key) {
			t.Errorf("the error says %q", err)
		}
	})
}
