package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/sign"
)

// seen is a request as a receiver saw it.
type seen struct {
	method string
	header http.Header
	body   string
}

// recorder is a webhook that keeps what it was sent, and answers 200.
func recorder(t testing.TB) (url string, requests chan seen) {
	t.Helper()
	requests = make(chan seen, 100)
	server, _ := sink(t, func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		requests <- seen{r.Method, r.Header, string(body)}
	})
	return server.URL, requests
}

func TestFormats(t *testing.T) {
	id := event.NewID()
	at := time.Date(2026, 11, 22, 19, 46, 22, 120e6, time.FixedZone("", 3600))
	const (
		structured = "application/cloudevents+json; charset=utf-8"
		standard   = `{"type":"orders.created","timestamp":"2026-11-22T18:46:22.120Z",`
		binaryData = "\x00\xff"
	)
	cloud := func(source, kind, rest string) string {
		return `{"specversion":"1.0","id":"` + id.String() + `","source":"` + source + `","type":"` + kind + `","time":"2026-11-22T18:46:22.120Z",` +
			`"carilloncursor":"` + event.Cursor(77).String() + `","carillontopic":"orders.created",` + rest + `}`
	}
	for name, c := range map[string]struct {
		format      event.Format
		transform   string
		change      func(*event.Event)
		contentType string
		body        string
		header      map[string]string
	}{
		"raw":            {event.FormatRaw, "", nil, "application/json", `{ "n":1}`, nil},
		"unnamed":        {"", "", nil, "application/json", `{ "n":1}`, nil},
		"raw, no type":   {event.FormatRaw, "", func(e *event.Event) { e.ContentType = "" }, "application/octet-stream", `{ "n":1}`, nil},
		"raw, empty":     {event.FormatRaw, "", func(e *event.Event) { e.Payload = nil }, "application/json", "", nil},
		"raw, transform": {event.FormatRaw, "{m: .n}", func(e *event.Event) { e.ContentType = "text/plain" }, "application/json", `{"m":1}`, nil},

		"standard": {event.FormatStandard, "", nil, "application/json", standard + `"data":{ "n":1}}`, nil},
		"standard, CloudEvent": {
			event.FormatStandard, "", func(e *event.Event) { e.Attributes = map[string]string{"type": `a "b" <é>`} }, "application/json",
			`{"type":"a \"b\" <é>","timestamp":"2026-11-22T18:46:22.120Z","data":{ "n":1}}`, nil,
		},
		"standard, no type": {event.FormatStandard, "", func(e *event.Event) { e.ContentType = "" }, "application/json", standard + `"data":{ "n":1}}`, nil},
		"standard, text that is JSON too": {
			event.FormatStandard, "", func(e *event.Event) { e.ContentType, e.Payload = "Text/plain", []byte("17") }, "application/json",
			standard + `"data":"17"}`, nil,
		},
		"standard, text": {
			event.FormatStandard, "", func(e *event.Event) { e.Payload = []byte("a<b>\n\"é\"\x00\u2028") }, "application/json",
			standard + `"data":"a<b>\n\"é\"\u0000\u2028"}`, nil,
		},
		"standard, bytes": {event.FormatStandard, "", func(e *event.Event) { e.Payload = []byte(binaryData) }, "application/json", standard + `"data_base64":"AP8="}`, nil},
		"standard, JSON that is not UTF-8": {
			event.FormatStandard, "", func(e *event.Event) { e.Payload = []byte("\"\xff\"") }, "application/json", standard + `"data_base64":"Iv8i"}`, nil,
		},
		"standard, empty":     {event.FormatStandard, "", func(e *event.Event) { e.Payload = nil }, "application/json", standard + `"data":null}`, nil},
		"standard, transform": {event.FormatStandard, "[.n, $topic]", nil, "application/json", standard + `"data":[1,"orders.created"]}`, nil},

		"cloudevents": {event.FormatCloudEvents, "", nil, structured, cloud("/test", "orders.created", `"datacontenttype":"application/json","data":{"n":1}`), nil},
		"cloudevents, posted": {
			event.FormatCloudEvents, "", func(e *event.Event) { e.Attributes = map[string]string{"source": "/theirs", "type": "x"} }, structured,
			cloud("/theirs", "x", `"datacontenttype":"application/json","data":{"n":1}`), nil,
		},
		"cloudevents, bytes": {
			event.FormatCloudEvents, "", func(e *event.Event) { e.ContentType, e.Payload = "image/png", []byte(binaryData) }, structured,
			cloud("/test", "orders.created", `"datacontenttype":"image/png","data_base64":"AP8="`), nil,
		},
		"cloudevents, transform": {
			event.FormatCloudEvents, ".n", func(e *event.Event) { e.ContentType = "" }, structured,
			cloud("/test", "orders.created", `"datacontenttype":"application/json","data":1`), nil,
		},

		"binary": {event.FormatCloudEventsBinary, "", nil, "application/json", `{ "n":1}`, map[string]string{
			"Ce-Specversion": "1.0", "Ce-Id": id.String(), "Ce-Source": "/test", "Ce-Type": "orders.created",
			"Ce-Time": "2026-11-22T18:46:22.120Z", "Ce-Carillontopic": "orders.created", "Ce-Carilloncursor": event.Cursor(77).String(),
		}},
		"binary, posted": {
			event.FormatCloudEventsBinary, "", func(e *event.Event) { e.Attributes = map[string]string{"source": "/s", "type": "Euro €", "x": `"%`} },
			"application/json", `{ "n":1}`, map[string]string{"Ce-Source": "/s", "Ce-Type": "Euro%20%E2%82%AC", "Ce-X": "%22%25"},
		},
		"binary, transform": {
			event.FormatCloudEventsBinary, ".n", func(e *event.Event) { e.ContentType = "text/plain" }, "application/json", "1",
			map[string]string{"Ce-Type": "orders.created"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			url, requests := recorder(t)
			s := newSender(t, func(c *SenderConfig) { c.Source = "/test" })
			r := attemptOn(url)
			r.Webhook.Format, r.Webhook.Transform = c.format, c.transform
			r.Event.ID, r.Event.Time, r.Event.Payload = id, at, []byte(`{ "n":1}`)
			if c.change != nil {
				c.change(r.Event)
			}
			payload := string(r.Event.Payload)
			if resp := s.Send(t.Context(), r); resp.Attempt.Outcome != event.Success {
				t.Fatalf("%+v", resp)
			}
			got := <-requests
			if got.body != c.body || got.header.Get("Content-Type") != c.contentType {
				t.Errorf("sent %s of %s,\nwant %s of %s", got.body, got.header.Get("Content-Type"), c.body, c.contentType)
			}
			for name, want := range c.header {
				if v := got.header[name]; len(v) != 1 || v[0] != want {
					t.Errorf("%s: %q, want %q", name, v, want)
				}
			}
			for name := range got.header {
				if strings.HasPrefix(name, "Ce-") && c.header == nil {
					t.Errorf("%s was sent", name)
				}
			}
			if strings.Contains(c.contentType, "json") && c.body != "" && !json.Valid([]byte(got.body)) {
				t.Error("the body is not JSON")
			}
			if string(r.Event.Payload) != payload {
				t.Error("the event was changed")
			}
			key, _ := sign.ParseSecret(r.Webhook.Secret.Reveal())
			if err := sign.Verify(got.header, []byte(got.body), time.Now(), sign.DefaultTolerance, key); err != nil {
				t.Errorf("the signature is not over what was sent: %v", err)
			}
		})
	}
}

// What a transform cannot make is not sent, and is no attempt.
func TestFailingTransform(t *testing.T) {
	url, requests := recorder(t)
	s := newSender(t, nil)
	for _, transform := range []string{"error(\"no\")", ".n.a", "empty", ".n, .n", "]"} {
		r := attemptOn(url)
		r.Webhook.Transform = transform
		resp := s.Send(t.Context(), r)
		if resp.Refused != event.ReasonTransformError || resp.Err == nil || resp.Interrupted || resp.Attempt.Outcome != event.NoOutcome ||
			resp.Attempt.Number != 0 || resp.Webhook != r.Webhook.ID {
			t.Errorf("%s: %+v", transform, resp)
		}
		if _, err := s.Preview(t.Context(), r.Webhook, r.Event); !isTransformError(err) {
			t.Errorf("%s: the preview says %v", transform, err)
		}
	}
	select {
	case got := <-requests:
		t.Errorf("%+v was sent", got)
	default:
	}
	// One that was interrupted has not failed.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := attemptOn(url)
	r.Webhook.Transform = "."
	if resp := s.Send(ctx, r); resp.Refused != "" || !resp.Interrupted {
		t.Errorf("interrupted: %+v", resp)
	}
}

func isTransformError(err error) bool {
	var transform *TransformError
	return errors.As(err, &transform)
}

func TestSigningThroughARotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		r := &hostile{serve: func(c net.Conn) {
			for {
				b := make([]byte, 64<<10)
				n, err := c.Read(b)
				if err != nil {
					return
				}
				for line := range strings.SplitSeq(string(b[:n]), "\r\n") {
					if v, ok := strings.CutPrefix(line, "Webhook-Signature: "); ok {
						got = append(got, v)
					}
				}
				_, _ = io.WriteString(c, "HTTP/1.1 204 Fine\r\n\r\n")
			}
		}}
		s := r.sender(t, nil)
		request := attemptOn("http://127.0.0.1/")
		w, now := request.Webhook, time.Now()
		w.Secret = event.Secret(sign.NewSigningKey())
		w.OldSecrets = []event.OldSecret{
			{Secret: event.Secret(sign.NewSecret()), Until: now.Add(2 * time.Hour)},
			{Secret: event.Secret(sign.NewSigningKey()), Until: now.Add(time.Hour)},
		}
		for range 3 {
			if resp := s.Send(t.Context(), request); resp.Attempt.Outcome != event.Success {
				t.Fatalf("%+v", resp)
			}
			time.Sleep(time.Hour)
		}
		synctest.Wait()
		versions := func(s string) string {
			var v []string
			for signature := range strings.SplitSeq(s, " ") {
				version, _, _ := strings.Cut(signature, ",")
				v = append(v, version)
			}
			return strings.Join(v, " ")
		}
		for i, want := range []string{"v1a v1 v1a", "v1a v1", "v1a"} {
			if versions(got[i]) != want {
				t.Errorf("after %d h: signed with %s, want %s", i, versions(got[i]), want)
			}
		}
	})
}

func FuzzStandard(f *testing.F) {
	for _, s := range []string{"", "{}", `{"a":1}`, "text", "\xff", "\ufeff{}", `"\ud800"`, " 1 "} {
		f.Add("application/json", "a.b", []byte(s))
	}
	f.Add("text/plain", "<\xff>\u2028", []byte("1"))
	f.Fuzz(func(t *testing.T, contentType, kind string, payload []byte) {
		ev := &event.Event{ContentType: contentType, Topic: "t", Attributes: map[string]string{"type": kind}, Payload: payload}
		body := appendStandard(nil, ev)
		var got struct {
			Type   string          `json:"type"`
			Data   json.RawMessage `json:"data"`
			Base64 []byte          `json:"data_base64"`
		}
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatalf("%q is not JSON: %v", body, err)
		}
		var text string
		asText := json.Unmarshal(got.Data, &text) == nil && text == string(payload)
		if string(got.Data) != strings.Trim(string(payload), " \t\r\n") && !asText && string(got.Base64) != string(payload) {
			t.Fatalf("%q became %q", payload, body)
		}
	})
}

// BenchmarkMessage is what a request costs before anything is sent.
func BenchmarkMessage(b *testing.B) {
	s := newSender(b, nil)
	for _, format := range []event.Format{event.FormatRaw, event.FormatStandard, event.FormatCloudEvents, event.FormatCloudEventsBinary} {
		b.Run(string(format), func(b *testing.B) {
			r := attemptOn("http://127.0.0.1/")
			r.Webhook.Format = format
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.message(b.Context(), &r, time.Now()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
