package dispatch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carillon/carillon/event"
)

func TestHandshake(t *testing.T) {
	const origin = "gateway.example.com"
	for name, c := range map[string]struct {
		status int
		header http.Header
		limit  float64
		fine   bool
		asked  string // rate
		says   string
	}{
		"origin":              {200, http.Header{"Webhook-Allowed-Origin": {origin}}, 0, true, "", ""},
		"origin, other case":  {200, http.Header{"Webhook-Allowed-Origin": {" GATEWAY.example.com "}}, 0, true, "", ""},
		"anybody":             {204, http.Header{"Webhook-Allowed-Origin": {"*"}}, 0, true, "", ""},
		"whatever the status": {405, http.Header{"Webhook-Allowed-Origin": {"*"}}, 0, true, "", ""},
		"any rate":            {200, http.Header{"Webhook-Allowed-Origin": {"*"}, "Webhook-Allowed-Rate": {"*"}}, 0, true, "", ""},
		"rate":                {200, http.Header{"Webhook-Allowed-Origin": {"*"}, "Webhook-Allowed-Rate": {"120"}}, 2, true, "120", ""},
		"broken rate":         {200, http.Header{"Webhook-Allowed-Origin": {"*"}, "Webhook-Allowed-Rate": {"lots"}}, 0.001, true, "1", ""},
		"only a status":       {200, nil, 0, false, "", "200 and without"},
		"empty":               {200, http.Header{"Webhook-Allowed-Origin": {""}}, 0, false, "", "without"},
		"another":             {200, http.Header{"Webhook-Allowed-Origin": {"evil.example.com"}}, 0, false, "", "neither " + origin},
		"a part":              {200, http.Header{"Webhook-Allowed-Origin": {"example.com"}}, 0, false, "", "neither"},
		"a list":              {200, http.Header{"Webhook-Allowed-Origin": {origin + ", x"}}, 0, false, "", "neither"},
		"two":                 {200, http.Header{"Webhook-Allowed-Origin": {"x", origin}}, 0, false, "", "without one"},
		"a lower rate":        {200, http.Header{"Webhook-Allowed-Origin": {"*"}, "Webhook-Allowed-Rate": {"119"}}, 2, false, "120", "119 requests a minute"},
		"a rate for no limit": {200, http.Header{"Webhook-Allowed-Origin": {"*"}, "Webhook-Allowed-Rate": {"60"}}, 0, false, "", "rate_limit"},
		"a redirect":          {302, http.Header{"Location": {"/x"}}, 0, false, "", "302"},
	} {
		t.Run(name, func(t *testing.T) {
			var got seen
			server, _ := sink(t, func(w http.ResponseWriter, r *http.Request) {
				got = seen{r.Method, r.Header, ""}
				for name, values := range c.header {
					w.Header()[name] = values
				}
				w.WriteHeader(c.status)
			})
			s := newSender(t, func(config *SenderConfig) { config.Origin = origin })
			w := attemptOn(server.URL).Webhook
			w.RateLimit.PerSecond = c.limit
			w.Headers = map[string]event.Secret{"X-Key": "k", "Content-Type": "text/csv"}
			w.Auth = event.Auth{Type: event.AuthBearer, Token: "t"}
			err := s.Handshake(t.Context(), w)
			var consent *ConsentError
			switch {
			case c.fine && err != nil:
				t.Errorf("%v", err)
			case !c.fine && (!errors.As(err, &consent) || !errors.Is(err, ErrNoConsent)):
				t.Errorf("got %v, want no consent", err)
			case !c.fine && (consent.Status != c.status || consent.Err != nil || !strings.Contains(err.Error(), c.says)):
				t.Errorf("%+v", consent)
			}
			if got.method != "OPTIONS" || got.header.Get("WebHook-Request-Origin") != origin || got.header.Get("WebHook-Request-Rate") != c.asked ||
				got.header.Get("X-Key") != "k" || got.header.Get("Authorization") != "Bearer t" || got.header.Get("Content-Type") != "" ||
				got.header.Get("User-Agent") != "Carillon/test" || got.header.Get("Webhook-Signature") != "" {
				t.Errorf("asked with %+v", got)
			}
		})
	}
}

func TestHandshakeWithoutAnAnswer(t *testing.T) {
	s := newSender(t, func(c *SenderConfig) { c.Guard = NewGuard(GuardConfig{}) })
	w := attemptOn("http://127.0.0.1:1/").Webhook
	var consent *ConsentError
	if err := s.Handshake(t.Context(), w); !errors.As(err, &consent) || consent.Outcome != event.ErrBlocked || consent.Status != 0 ||
		consent.Err == nil || strings.Contains(err.Error(), "127.0.0.1") {
		t.Errorf("blocked: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Handshake(ctx, w); !errors.Is(err, context.Canceled) || errors.Is(err, ErrNoConsent) {
		t.Errorf("interrupted: %v", err)
	}
	for name, serve := range map[string]func(net.Conn){
		"silence":           untilClosed,
		"a trickled head":   func(c net.Conn) { readRequest(c); trickle(c, "HTTP/1.1 200 OK and much more") },
		"hints for an hour": func(c net.Conn) { readRequest(c); trickle(c, strings.Repeat("HTTP/1.1 103 Hm\r\n\r\n", 100)) },
		"consent in a hint": func(c net.Conn) {
			readRequest(c)
			_, _ = io.WriteString(c, "HTTP/1.1 103 Hm\r\nWebHook-Allowed-Origin: *\r\n\r\n")
			untilClosed(c)
		},
		"never read request": func(net.Conn) { time.Sleep(time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &hostile{serve: serve}
				began := time.Now()
				w := attemptOn("http://127.0.0.1/").Webhook
				w.Timeout = event.DefaultTimeout
				err := r.sender(t, nil).Handshake(t.Context(), w)
				var consent *ConsentError
				if !errors.As(err, &consent) || consent.Outcome != event.ErrTimeout || time.Since(began) != event.DefaultTimeout {
					t.Errorf("after %v: %v", time.Since(began), err)
				}
			})
		})
	}
	t.Run("an endless body", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := &hostile{serve: func(c net.Conn) {
				readRequest(c)
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nWebHook-Allowed-Origin: *\r\n\r\n")
				endless(c, fmt.Sprintf("%1000d", 1))
			}}
			w := attemptOn("http://127.0.0.1/").Webhook
			if err := r.sender(t, nil).Handshake(t.Context(), w); err != nil {
				t.Error(err)
			}
		})
	})
}
