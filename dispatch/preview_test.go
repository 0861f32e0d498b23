package dispatch

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/carillon/carillon/event"
)

func TestPreviewIsWhatIsSent(t *testing.T) {
	url, requests := recorder(t)
	// The same clock for both: the signature has the time in it.
	at := time.Now()
	s := newSender(t, func(c *SenderConfig) { c.Now = func() time.Time { return at } })
	for _, format := range []event.Format{"", event.FormatRaw, event.FormatStandard, event.FormatCloudEvents, event.FormatCloudEventsBinary} {
		r := attemptOn(url)
		r.Webhook.Format, r.Webhook.Transform = format, "{got: .}"
		r.Webhook.Headers = map[string]event.Secret{"X-Key": "k"}
		r.Event.Traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
		preview, err := s.Preview(t.Context(), r.Webhook, r.Event)
		if err != nil {
			t.Fatal(err)
		}
		if resp := s.Send(t.Context(), r); resp.Attempt.Outcome != event.Success {
			t.Fatalf("%+v", resp)
		}
		got := <-requests
		got.header.Del("Content-Length") // the connection's
		if preview.Method != got.method || preview.URL != url || string(preview.Body) != got.body || !maps.EqualFunc(preview.Header, got.header, slices.Equal) {
			t.Errorf("%s: shown %v %s,\nsent %v %s", format, preview.Header, preview.Body, got.header, got.body)
		}
	}
}

func TestPreviewHidesCredentialsAndAsksNobody(t *testing.T) {
	server, _ := sink(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		t.Error("something was sent")
	})
	s := newSender(t, nil)
	theirs := newAuthority(t)
	for name, auth := range map[string]event.Auth{
		"none":   {},
		"basic":  {Type: event.AuthBasic, Username: "u", Password: "s3cret"},
		"bearer": {Type: event.AuthBearer, Token: "s3cret"},
		"oauth2": oauthOn("", server.URL).Webhook.Auth,
		"mtls":   clientAuth(t, theirs, "one"),
	} {
		r := attemptOn(server.URL)
		r.Webhook.Auth = auth
		r.Webhook.Headers = map[string]event.Secret{"Cookie": "s3cret"}
		if name == "none" {
			r.Webhook.Headers["Authorization"] = "s3cret"
		}
		preview, err := s.Preview(t.Context(), r.Webhook, r.Event)
		if err != nil {
			t.Fatal(err)
		}
		if got := preview.Header.Get("Authorization"); name != "mtls" && got != "***" || name == "mtls" && got != "" {
			t.Errorf("%s: Authorization %q", name, got)
		}
		if text := fmt.Sprint(preview); strings.Contains(text, "s3cret") || strings.Contains(text, r.Webhook.Secret.Reveal()) {
			t.Errorf("%s: a secret is shown: %s", name, text)
		}
	}
}
