package dispatch

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carillon/carillon/event"
)

// issuer is a token endpoint.
type issuer struct {
	asked atomic.Int64
	mu    sync.Mutex
	forms []url.Values
}

// serve answers with the n-th token, from 1, as answer says.
func (i *issuer) serve(t testing.TB, answer func(w http.ResponseWriter, r *http.Request, n int64)) (tokenURL string) {
	t.Helper()
	server, _ := sink(t, func(w http.ResponseWriter, r *http.Request) {
		n := i.asked.Add(1)
		_ = r.ParseForm()
		i.mu.Lock()
		i.forms = append(i.forms, r.PostForm)
		i.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		answer(w, r, n)
	})
	return server.URL + "/token"
}

func tokenOf(n int64, life int) string {
	return fmt.Sprintf(`{"access_token":"token-%d","token_type":"bearer","expires_in":%d}`, n, life)
}

func oauthOn(webhook, tokenURL string) Request {
	r := attemptOn(webhook)
	r.Webhook.Auth = event.Auth{
		Type: event.AuthOAuth2, TokenURL: tokenURL, ClientID: "me & you", ClientSecret: "s3cret/+", Scopes: []string{"a", "b"},
		Params: map[string]string{"audience": "them"},
	}
	return r
}

func TestTokenIsFetchedOnce(t *testing.T) {
	const attempts = 20
	var begun sync.WaitGroup
	begun.Add(attempts)
	hook, requests := recorder(t)
	var i issuer
	tokenURL := i.serve(t, func(w http.ResponseWriter, r *http.Request, n int64) {
		if user, password, _ := r.BasicAuth(); user != "me+%26+you" || password != "s3cret%2F%2B" || r.Method != "POST" {
			t.Errorf("asked by %q with %q", user, password)
		}
		if ua := r.Header.Get("User-Agent"); ua != "Carillon/test" {
			t.Errorf("asked by %s", ua)
		}
		begun.Wait()
		_, _ = io.WriteString(w, tokenOf(n, 3600))
	})
	s := newSender(t, nil)
	var all sync.WaitGroup
	for range attempts {
		all.Go(func() {
			begun.Done()
			if resp := s.Send(t.Context(), oauthOn(hook, tokenURL)); resp.Attempt.Outcome != event.Success {
				t.Errorf("%+v", resp)
			}
		})
	}
	all.Wait()
	for range attempts {
		if got := (<-requests).header.Get("Authorization"); got != "Bearer token-1" {
			t.Errorf("sent with %q", got)
		}
	}
	if i.asked.Load() != 1 {
		t.Errorf("the endpoint was asked %d times", i.asked.Load())
	}
	want := url.Values{"grant_type": {"client_credentials"}, "scope": {"a b"}, "audience": {"them"}}
	if got := i.forms[0]; got.Encode() != want.Encode() {
		t.Errorf("asked for %v, want %v", got, want)
	}
	// Another client's token is another one.
	r := oauthOn(hook, tokenURL)
	r.Webhook.Auth.Scopes = nil
	s.Send(t.Context(), r)
	if got := (<-requests).header.Get("Authorization"); got != "Bearer token-2" {
		t.Errorf("sent with %q", got)
	}
}

// Some endpoints take the client's secret in the body only.
func TestTokenWithTheSecretInTheBody(t *testing.T) {
	hook, requests := recorder(t)
	var i issuer
	tokenURL := i.serve(t, func(w http.ResponseWriter, r *http.Request, n int64) {
		if r.PostForm.Get("client_secret") != "s3cret/+" || r.PostForm.Get("client_id") != "me & you" {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"error":"invalid_client"}`)
			return
		}
		_, _ = io.WriteString(w, tokenOf(n, 3600))
	})
	s := newSender(t, nil)
	for _, want := range []string{"Bearer token-2", "Bearer token-3"} {
		r := oauthOn(hook, tokenURL)
		if resp := s.Send(t.Context(), r); resp.Attempt.Outcome != event.Success {
			t.Fatalf("%+v", resp)
		}
		if got := (<-requests).header.Get("Authorization"); got != want {
			t.Errorf("sent with %q, want %q", got, want)
		}
		s.tokens.drop(&r.Webhook.Auth, strings.TrimPrefix(want, "Bearer "))
	}
}

func TestTokenIsDroppedWhenRefused(t *testing.T) {
	var i issuer
	tokenURL := i.serve(t, func(w http.ResponseWriter, _ *http.Request, n int64) { _, _ = io.WriteString(w, tokenOf(n, 3600)) })
	hook, _ := sink(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer token-1" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	s := newSender(t, nil)
	r := oauthOn(hook.URL, tokenURL)
	for n, want := range []event.Outcome{event.ErrStatus4xx, event.Success, event.Success} {
		if resp := s.Send(t.Context(), r); resp.Attempt.Outcome != want {
			t.Errorf("attempt %d: %+v", n, resp)
		}
	}
	// A late refusal of a token that was replaced changes nothing.
	s.tokens.drop(&r.Webhook.Auth, "token-1")
	s.Send(t.Context(), r)
	if i.asked.Load() != 2 {
		t.Errorf("the endpoint was asked %d times, want 2", i.asked.Load())
	}
}

func TestTokenIsRenewedEarly(t *testing.T) {
	for _, c := range []struct {
		answer string
		until  time.Duration
	}{
		{`{"access_token":"t","expires_in":3600}`, time.Hour - time.Minute},
		{`{"access_token":"t","token_type":"Bearer","expires_in":"100"}`, 90 * time.Second},
		{`{"access_token":"t"}`, time.Hour - time.Minute},
		{`{"access_token":"t","expires_in":-5}`, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			var asked atomic.Int64
			r := &hostile{serve: func(conn net.Conn) {
				readRequest(conn)
				asked.Add(1)
				_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(c.answer), c.answer)
			}}
			tokens := newTokens(r.sender(t, nil).transport, "")
			auth := oauthOn("http://h/", "http://t/").Webhook.Auth
			get := func() {
				if text, err := tokens.token(t.Context(), &auth); err != nil || text != "t" {
					t.Fatalf("%q, %v", text, err)
				}
				synctest.Wait()
			}
			get()
			if c.until > 0 {
				time.Sleep(c.until - time.Second)
				get()
				if asked.Load() != 1 {
					t.Errorf("%s: asked again too early", c.answer)
				}
				time.Sleep(time.Second)
			}
			get()
			if n := asked.Load(); n != 2 {
				t.Errorf("%s: asked %d times", c.answer, n)
			}
		})
	}
}

// What a token endpoint does wrong is a failed attempt, on which no secret is written.
func TestTokenEndpointFails(t *testing.T) {
	const secret = "s3cret"
	hook, requests := recorder(t)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closedURL := "http://" + closed.Addr().String()
	_ = closed.Close()
	answer := func(status int, body string) string {
		return fmt.Sprintf("HTTP/1.1 %d Status\r\nConnection: close\r\nContent-Type: application/json\r\nLocation: %s\r\nContent-Length: %d\r\n\r\n%s",
			status, hook, len(body), body)
	}
	for name, c := range map[string]struct {
		url    string
		answer string
		want   event.Outcome
		says   string
	}{
		"not there":       {closedURL, "", event.ErrAuth, ""},
		"blocked":         {"https://10.0.0.1/", "", event.ErrAuth, ""},
		"no TLS":          {"", "tls", event.ErrAuth, ""},
		"closes":          {"", "", event.ErrAuth, ""},
		"refuses":         {"", answer(401, `{"error":"invalid_client","error_description":"`+secret+`"}`), event.ErrAuth, "invalid_client"},
		"refuses so":      {"", answer(403, secret), event.ErrAuth, "403"},
		"is gone":         {"", answer(410, `{"error":"`+secret+`"}`), event.ErrAuth, "410"},
		"throttles":       {"", answer(429, ""), event.ErrAuth, "429"},
		"is broken":       {"", answer(503, "<html>"+secret), event.ErrAuth, "503"},
		"redirects":       {"", answer(307, ""), event.ErrAuth, "307"},
		"gives nothing":   {"", answer(200, `{}`), event.ErrAuth, "no bearer token"},
		"gives no JSON":   {"", answer(200, secret), event.ErrAuth, "no bearer token"},
		"gives another":   {"", answer(200, `{"access_token":"`+secret+`","token_type":"mac"}`), event.ErrAuth, "no bearer token"},
		"gives no header": {"", answer(200, `{"access_token":"`+secret+`\r\nX: y"}`), event.ErrAuth, "no bearer token"},
		"gives too much":  {"", answer(200, `{"a":"`+strings.Repeat("a", maxTokenAnswer)+`","access_token":"`+secret+`"}`), event.ErrAuth, "no bearer token"},
		"fails with 200":  {"", answer(200, `{"error":"invalid_scope"}`), event.ErrAuth, "invalid_scope"},
		"switches":        {"", "HTTP/1.1 101 Hm\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", event.ErrAuth, ""},
		"is silent":       {"", "silence", event.ErrTimeout, ""},
	} {
		t.Run(name, func(t *testing.T) {
			target := c.url
			if target == "" {
				target = "http://" + rawServer(t, func(conn net.Conn) {
					readRequest(conn)
					if c.answer == "silence" {
						untilClosed(conn)
					}
					_, _ = io.WriteString(conn, c.answer)
				})
			}
			if c.answer == "tls" {
				target = strings.Replace(target, "http", "https", 1)
			}
			r := oauthOn(hook, target)
			r.Webhook.Auth.ClientSecret = secret
			if c.want == event.ErrTimeout {
				r.Webhook.Timeout = 200 * time.Millisecond
			}
			resp := newSender(t, nil).Send(t.Context(), r)
			if resp.Attempt.Outcome != c.want || resp.Attempt.Status != 0 || resp.Err == nil || resp.Refused != "" {
				t.Fatalf("%+v", resp)
			}
			if text := resp.Err.Error(); strings.Contains(text, secret) || !strings.Contains(text, c.says) {
				t.Errorf("it says %q", text)
			}
		})
	}
	select {
	case got := <-requests:
		t.Errorf("the webhook was sent %+v", got)
	default:
	}
}

// One attempt that runs out of time while it asks does not take those with it that still have some.
func TestTokenIsAskedForByTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		r := &hostile{serve: func(conn net.Conn) {
			readRequest(conn)
			if asked.Add(1) == 1 {
				untilClosed(conn)
				return
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\n\r\n{\"access_token\":\"t\"}")
		}}
		s := r.sender(t, nil)
		s.tokens = newTokens(s.transport, "")
		var all sync.WaitGroup
		first := oauthOn("http://127.0.0.1/", "http://127.0.0.1/")
		first.Webhook.Timeout = time.Second
		all.Go(func() {
			if resp := s.Send(t.Context(), first); resp.Attempt.Outcome != event.ErrTimeout || resp.Attempt.Duration != time.Second {
				t.Errorf("the first: %+v", resp)
			}
		})
		synctest.Wait()
		for range 5 {
			all.Go(func() {
				resp := s.Send(t.Context(), oauthOn("http://127.0.0.1/", "http://127.0.0.1/"))
				if resp.Attempt.Outcome != event.Success || resp.Attempt.Duration != time.Second {
					t.Errorf("one that waited: %+v", resp)
				}
			})
		}
		all.Wait()
		if n := asked.Load(); n != 2+5 { // the webhook's own requests too
			t.Errorf("%d requests", n)
		}
	})
}

func TestTokensAreBounded(t *testing.T) {
	tokens := newTokens(http.DefaultTransport, "")
	for i := range maxTokens + 10 {
		a := event.Auth{Type: event.AuthOAuth2, ClientID: fmt.Sprint(i)}
		tokens.mu.Lock()
		tokens.holder(credentialOf(&a)).text = "t"
		first := event.Auth{Type: event.AuthOAuth2, ClientID: "0"}
		if tokens.holder(credentialOf(&first)).text != "t" {
			t.Error("the one used last was evicted")
		}
		tokens.mu.Unlock()
	}
	if n := len(tokens.held); n != maxTokens {
		t.Errorf("%d are kept", n)
	}
}
