package cloudevent

import (
	"bytes"
	"maps"
	"net/http"
	"testing"

	"github.com/cloudevents/sdk-go/v2/binding"
	sdkhttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"github.com/carillon/carillon/event"
)

func TestSetHeaders(t *testing.T) {
	common := map[string]string{
		"Ce-Specversion": "1.0", "Ce-Id": "0197c1f2-0000-7000-8000-000000000001", "Ce-Source": "/carillon", "Ce-Type": "orders.created",
		"Ce-Time": "2026-11-22T18:46:22.120Z", "Ce-Carilloncursor": "000000000001a", "Ce-Carillontopic": "orders.created",
	}
	for name, c := range map[string]struct {
		change func(*event.Event)
		want   map[string]string
	}{
		"plain": {func(*event.Event) {}, nil},
		"all fields": {
			func(e *event.Event) { e.PartitionKey, e.Traceparent = "Kunde 17", "00-1" },
			map[string]string{"Ce-Partitionkey": "Kunde%2017", "Ce-Traceparent": "00-1"},
		},
		"posted": {
			func(e *event.Event) {
				e.Attributes = map[string]string{
					"id": "mine", "source": "/here", "type": "Euro € 😀", "time": "2020-01-01T00:00:00Z", "subject": `a "b" 100%`,
					"carilloncursor": "forged", "traceparent": "odd", "bad": "a\xffb\r\n",
				}
			},
			map[string]string{
				"Ce-Id": "mine", "Ce-Source": "/here", "Ce-Type": "Euro%20%E2%82%AC%20%F0%9F%98%80", "Ce-Time": "2020-01-01T00:00:00Z",
				"Ce-Subject": "a%20%22b%22%20100%25", "Ce-Traceparent": "odd", "Ce-Bad": "a%EF%BF%BDb%0D%0A",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := exampleEvent(t)
			c.change(e)
			want := http.Header{}
			for _, headers := range []map[string]string{common, c.want} {
				for k, v := range headers {
					want.Set(k, v)
				}
			}
			got := http.Header{}
			SetHeaders(got, e, DefaultSource)
			if !maps.EqualFunc(got, want, func(a, b []string) bool { return len(a) == 1 && a[0] == b[0] }) {
				t.Errorf("got  %v\nwant %v", got, want)
			}
		})
	}
}

func TestSDKReadsOurHeaders(t *testing.T) {
	e := exampleEvent(t)
	// The SDK does not undo percent-encoding, so nothing here needs any; FuzzEncodeHeader reads the rest.
	e.Attributes = map[string]string{"id": "a-b", "source": "/s?q=1", "type": "x", "subject": "s", "ext": "7"}
	e.PartitionKey = "k"
	h := http.Header{"Content-Type": {e.ContentType}}
	SetHeaders(h, e, "")
	got, err := binding.ToEvent(t.Context(), sdkhttp.NewMessage(h, readCloser{bytes.NewReader(e.Payload)}))
	if err != nil {
		t.Fatal(err)
	}
	if err := got.Validate(); err != nil {
		t.Error(err)
	}
	if got.ID() != "a-b" || got.Source() != "/s?q=1" || got.Type() != "x" || got.Subject() != "s" || !got.Time().Equal(e.Time) ||
		got.DataContentType() != e.ContentType || !bytes.Equal(got.Data(), e.Payload) {
		t.Errorf("the SDK reads %s", got)
	}
	want := map[string]any{"ext": "7", "partitionkey": "k", CursorAttribute: e.Cursor.String(), TopicAttribute: "orders.created"}
	if !maps.Equal(got.Extensions(), want) {
		t.Errorf("extensions %v", got.Extensions())
	}
}

type readCloser struct{ *bytes.Reader }

func (readCloser) Close() error { return nil }

// What we write as headers we read as the same text again.
func FuzzEncodeHeader(f *testing.F) {
	for _, s := range []string{"", "a", "a b", `"quoted"`, "100%", "é€😀", "\xff", "%41", "\r\n", "~\x7f"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		encoded := encodeHeader(s)
		for i := range len(encoded) {
			if c := encoded[i]; c <= ' ' || c >= 0x7f || c == '"' {
				t.Fatalf("%q has %q", encoded, c)
			}
		}
		decoded, err := decodeHeader(encoded)
		if err != nil || decoded != string([]rune(s)) {
			t.Fatalf("%q became %q, and that %q (%v)", s, encoded, decoded, err)
		}
	})
}
