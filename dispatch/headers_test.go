package dispatch

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/carillon/carillon/event"
)

func TestCheckHeaders(t *testing.T) {
	fields := func(bad []event.FieldError) string {
		var names []string
		for _, f := range bad {
			names = append(names, f.Field)
		}
		return strings.Join(names, " ")
	}
	many := map[string]event.Secret{}
	for i := range event.MaxHeaders + 1 {
		many[fmt.Sprintf("X-%d", i)] = "1"
	}
	for name, c := range map[string]struct {
		headers map[string]event.Secret
		format  event.Format
		auth    event.AuthType
		want    string
	}{
		"none": {},
		"fine": {headers: map[string]event.Secret{
			"X-Api-Key": "a b\tc", "user-agent": "mine", "Content-Type": "text/csv", "Authorization": "Basic eA==", "Ce-Id": "1",
			"Accept": "*/*", "X-Empty": "", "Idempotency-Key": "k", "X-Y": "ü", "Webhookish": "x", "Cookie": "a=b",
		}},
		"the connection's": {
			headers: map[string]event.Secret{
				"connection": "x", "Keep-Alive": "x", "Proxy-Connection": "x", "Proxy-Authorization": "x", "TE": "x", "Trailer": "x",
				"Transfer-Encoding": "x", "Upgrade": "x", "HTTP2-Settings": "x",
			},
			want: "headers.HTTP2-Settings headers.Keep-Alive headers.Proxy-Authorization headers.Proxy-Connection headers.TE headers.Trailer " +
				"headers.Transfer-Encoding headers.Upgrade headers.connection",
		},
		"the gateway's": {
			headers: map[string]event.Secret{
				"Host": "x", "content-length": "1", "Content-Encoding": "gzip", "Expect": "100-continue", "Accept-Encoding": "gzip",
				"webhook-id": "x", "WEBHOOK-SIGNATURE": "x", "Webhook-Request-Origin": "x", "carillon-topic": "x", "Traceparent": "x", "tracestate": "x",
			},
			want: "headers.Accept-Encoding headers.Content-Encoding headers.Expect headers.Host headers.Traceparent headers.WEBHOOK-SIGNATURE " +
				"headers.Webhook-Request-Origin headers.carillon-topic headers.content-length headers.tracestate headers.webhook-id",
		},
		"content type of standard":    {headers: map[string]event.Secret{"Content-Type": "x"}, format: event.FormatStandard, want: "headers.Content-Type"},
		"content type of CloudEvents": {headers: map[string]event.Secret{"Content-Type": "x"}, format: event.FormatCloudEvents, want: "headers.Content-Type"},
		"attributes":                  {headers: map[string]event.Secret{"ce-id": "x"}, format: event.FormatCloudEventsBinary, want: "headers.ce-id"},
		"authorization beside basic":  {headers: map[string]event.Secret{"authorization": "x"}, auth: event.AuthBasic, want: "headers.authorization"},
		"authorization beside OAuth":  {headers: map[string]event.Secret{"authorization": "x"}, auth: event.AuthOAuth2, want: "headers.authorization"},
		"authorization beside mTLS":   {headers: map[string]event.Secret{"authorization": "x"}, auth: event.AuthMTLS},
		"names": {
			headers: map[string]event.Secret{"": "x", "a b": "x", "a:": "x", "ä": "x", "a\r\n": "x"},
			want:    "headers. headers.a\r\n headers.a b headers.a: headers.ä",
		},
		"values":      {headers: map[string]event.Secret{"A": "x\r\nB: y", "B": "\x00", "C": " x", "D": "x\t"}, want: "headers.A headers.B headers.C headers.D"},
		"twice":       {headers: map[string]event.Secret{"x-a": "1", "X-A": "2"}, want: "headers.x-a"},
		"too many":    {headers: many, want: "headers"},
		"too large":   {headers: map[string]event.Secret{"A": event.Secret(strings.Repeat("x", event.MaxHeaderBytes))}, want: "headers"},
		"a long name": {headers: map[string]event.Secret{strings.Repeat("ä", 100): "1"}, want: "headers." + strings.Repeat("ä", 32) + "…"},
	} {
		w := &event.Webhook{Headers: c.headers, Format: c.format, Auth: event.Auth{Type: c.auth}}
		bad := CheckHeaders(w)
		if got := fields(bad); got != c.want {
			t.Errorf("%s: %q is wrong, want %q", name, got, c.want)
		}
		for _, f := range bad {
			if f.Detail == "" || strings.Contains(f.Detail, "%!") {
				t.Errorf("%s: %+v", name, f)
			}
		}
	}
}

func TestHeadersAreSent(t *testing.T) {
	url, requests := recorder(t)
	s := newSender(t, nil)
	r := attemptOn(url)
	r.Replay = true
	r.Webhook.Headers = map[string]event.Secret{
		"X-Api-Key": "k", "User-Agent": "mine", "Content-Type": "text/csv", "Idempotency-Key": "one", "X-Idempotency-Key": "two",
		// Whatever is stored, what is the gateway's stays its own.
		"Webhook-Id": "forged", "webhook-signature": "forged", "Carillon-Attempt": "99", "carillon-replay": "no", "Connection": "close",
		"Host": "elsewhere", "Content-Length": "3", "Transfer-Encoding": "chunked", "Accept-Encoding": "gzip", "Authorization": "forged",
		"Bad Name": "x", "X-Bad": "a\r\nX-Worse: b", "Trailer": "X",
	}
	r.Webhook.Auth = event.Auth{Type: event.AuthBearer, Token: "t0ken"}
	if resp := s.Send(t.Context(), r); resp.Attempt.Outcome != event.Success {
		t.Fatalf("%+v", resp)
	}
	got := <-requests
	for name, want := range map[string]string{
		"X-Api-Key": "k", "User-Agent": "mine", "Content-Type": "text/csv", "Idempotency-Key": "one", "X-Idempotency-Key": "two",
		"Webhook-Id": r.Event.ID.String(), "Carillon-Attempt": "1", "Carillon-Replay": "true", "Content-Length": "7",
		"Accept-Encoding": "identity", "Authorization": "Bearer t0ken",
		"Connection": "", "Transfer-Encoding": "", "X-Bad": "", "X-Worse": "", "Trailer": "",
	} {
		if v := got.header.Get(name); v != want || len(got.header[http.CanonicalHeaderKey(name)]) > 1 {
			t.Errorf("%s: %q, want %q", name, got.header[http.CanonicalHeaderKey(name)], want)
		}
	}
	if got.header.Get("Webhook-Signature") == "forged" || got.body != `{"n":1}` {
		t.Errorf("%+v", got)
	}

	r.Replay, r.Webhook.Format = false, event.FormatStandard
	s.Send(t.Context(), r)
	if got := <-requests; got.header.Get("Content-Type") != "application/json" || got.header["Carillon-Replay"] != nil {
		t.Errorf("%+v", got)
	}
}

func FuzzCheckHeaders(f *testing.F) {
	for _, s := range [][2]string{{"X-A", "b"}, {"", ""}, {"a b", "c"}, {"X", "\r\n"}, {"host", "x"}, {"é", "é"}, {"Proxy", "1"}} {
		f.Add(s[0], s[1])
	}
	s := NewSender(SenderConfig{Guard: NewGuard(GuardConfig{})})
	f.Fuzz(func(t *testing.T, name, value string) {
		r := attemptOn("http://example.com/")
		r.Webhook.Headers = map[string]event.Secret{name: event.Secret(value)}
		plain := attemptOn("http://example.com/")
		plain.Webhook = &event.Webhook{ID: r.Webhook.ID, URL: r.Webhook.URL, Secret: r.Webhook.Secret}
		plain.Event = r.Event
		with, err := s.Preview(t.Context(), r.Webhook, r.Event)
		if err != nil {
			t.Fatal(err)
		}
		without, err := s.Preview(t.Context(), plain.Webhook, plain.Event)
		if err != nil {
			t.Fatal(err)
		}
		canonical := http.CanonicalHeaderKey(name)
		own := canonical == "User-Agent" || canonical == "Content-Type"
		for k, v := range without.Header {
			// The signature is as of now; the previews may stand on both sides of a second.
			changed := with.Header.Get(k) != v[0] && !strings.HasPrefix(k, "Webhook-")
			forged := with.Header.Get(k) == value && v[0] != value
			if k != canonical && changed || k == canonical && !own && forged {
				t.Errorf("%q: %q changes %s", name, value, k)
			}
		}
		if len(CheckHeaders(r.Webhook)) == 0 {
			if v, ok := with.Header[canonical]; !ok || v[0] != value && v[0] != masked {
				t.Errorf("%q: %q was accepted and not sent", name, value)
			}
		}
	})
}
