package cloudevent

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/binding"
	sdk "github.com/cloudevents/sdk-go/v2/event"
	sdkhttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"github.com/carillon/carillon/event"
)

func exampleEvent(t testing.TB) *event.Event {
	t.Helper()
	id, err := event.ParseID("0197c1f2-0000-7000-8000-000000000001")
	if err != nil {
		t.Fatal(err)
	}
	return &event.Event{
		ID: id, Tenant: event.DefaultTenant, Topic: "orders.created", Cursor: 42,
		Time:        time.Date(2026, 11, 22, 19, 46, 22, 120e6, time.FixedZone("", 3600)),
		ContentType: "application/json", Payload: []byte("{\n  \"a\": 1.50\n}\n"),
	}
}

func TestAppendJSON(t *testing.T) {
	const start = `{"specversion":"1.0","id":"0197c1f2-0000-7000-8000-000000000001","source":"/carillon","type":"orders.created",` +
		`"time":"2026-11-22T18:46:22.120Z"`
	const ours = `,"carilloncursor":"000000000001a","carillontopic":"orders.created"`
	cases := map[string]struct {
		change func(*event.Event)
		want   string
	}{
		"plain": {func(*event.Event) {}, start + ours + `,"datacontenttype":"application/json","data":{"a":1.50}}`},
		"all fields": {
			func(e *event.Event) { e.PartitionKey, e.Traceparent = "k", "00-1" },
			start + `,"partitionkey":"k","traceparent":"00-1"` + ours + `,"datacontenttype":"application/json","data":{"a":1.50}}`,
		},
		"no JSON": {
			func(e *event.Event) { e.Payload = []byte("{a}") },
			start + ours + `,"datacontenttype":"application/json","data_base64":"e2F9"}`,
		},
		"JSON of another charset": {
			func(e *event.Event) { e.ContentType, e.Payload = "application/json; charset=latin1", []byte(`"é"`) },
			start + ours + `,"datacontenttype":"application/json; charset=latin1","data_base64":"IsOpIg=="}`,
		},
		"text": {
			func(e *event.Event) { e.ContentType, e.Payload = "text/plain", []byte("a\r\n\"é\x00") },
			start + ours + `,"datacontenttype":"text/plain","data":"a\r\n\"é\u0000"}`,
		},
		"text that is none": {
			func(e *event.Event) { e.ContentType, e.Payload = "text/plain", []byte("\xff") },
			start + ours + `,"datacontenttype":"text/plain","data_base64":"/w=="}`,
		},
		"bytes": {
			func(e *event.Event) { e.ContentType, e.Payload = "application/octet-stream", []byte("abc") },
			start + ours + `,"datacontenttype":"application/octet-stream","data_base64":"YWJj"}`,
		},
		"of no type": {
			func(e *event.Event) { e.ContentType = ""; e.Payload = []byte("abc") },
			start + ours + `,"datacontenttype":"application/octet-stream","data_base64":"YWJj"}`,
		},
		"empty": {func(e *event.Event) { e.ContentType, e.Payload = "", nil }, start + ours + `}`},
		"posted": {
			func(e *event.Event) {
				e.Attributes = map[string]string{
					"id": "mine", "source": "/here", "type": "x", "time": "2020-01-01T00:00:00Z", "subject": "s", "b": "true",
					"carilloncursor": "forged", "traceparent": "odd",
				}
			},
			`{"specversion":"1.0","id":"mine","source":"/here","type":"x","time":"2020-01-01T00:00:00Z","b":"true","subject":"s",` +
				`"traceparent":"odd"` + ours + `,"datacontenttype":"application/json","data":{"a":1.50}}`,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			e := exampleEvent(t)
			c.change(e)
			if got := string(AppendJSON([]byte("before"), e, DefaultSource)); got != "before"+c.want {
				t.Errorf("got  %s\nwant before%s", got, c.want)
			}
		})
	}
}

func TestSDKReadsWhatWeWrite(t *testing.T) {
	for contentType, payload := range map[string]string{
		"application/json": `{"a":1}`, "text/plain": "a\n\"é", "image/png": "\x89PNG", "": "", "application/xml": "<a/>",
	} {
		e := exampleEvent(t)
		e.ContentType, e.Payload = contentType, []byte(payload)
		e.Attributes = map[string]string{"id": "a b", "source": "/s?q=1", "type": "x", "subject": "é", "ext": "7"}
		e.PartitionKey = "k"
		var got sdk.Event
		if err := json.Unmarshal(AppendJSON(nil, e, ""), &got); err != nil {
			t.Fatal(err)
		}
		if err := got.Validate(); err != nil {
			t.Errorf("%q: %v", contentType, err)
		}
		if got.ID() != "a b" || got.Source() != "/s?q=1" || got.Type() != "x" || got.Subject() != "é" || !got.Time().Equal(e.Time) ||
			got.DataContentType() != contentType || string(got.Data()) != payload {
			t.Errorf("%q: the SDK reads %s", contentType, got)
		}
		want := map[string]any{"ext": "7", "partitionkey": "k", CursorAttribute: e.Cursor.String(), TopicAttribute: "orders.created"}
		if !maps.Equal(got.Extensions(), want) {
			t.Errorf("%q: extensions %v", contentType, got.Extensions())
		}
	}
}

func TestWeReadWhatSDKWrites(t *testing.T) {
	e := sdk.New()
	e.SetID("1")
	e.SetSource("https://example.com/s")
	e.SetType("orders.created")
	e.SetSubject("a subject")
	e.SetTime(time.Date(2026, 11, 22, 18, 46, 22, 0, time.UTC))
	e.SetExtension("ext", 7)
	e.SetExtension("partitionkey", "k")
	if err := e.SetData("application/json", map[string]int{"a": 1}); err != nil {
		t.Fatal(err)
	}
	check := func(t *testing.T, got []Posted, err error) {
		t.Helper()
		if err != nil || len(got) != 1 {
			t.Fatalf("got %v, %v", got, err)
		}
		want := map[string]string{
			"id": "1", "source": "https://example.com/s", "type": "orders.created", "subject": "a subject",
			"time": "2026-11-22T18:46:22Z", "ext": "7",
		}
		p := got[0]
		if !maps.Equal(p.Attributes, want) || p.ContentType != "application/json" || p.PartitionKey != "k" || string(p.Payload) != `{"a":1}` {
			t.Errorf("got %+v", p)
		}
	}
	for name, mode := range map[string]Mode{"binary": Binary, "structured": Structured} {
		t.Run(name, func(t *testing.T) {
			ctx := binding.WithForceBinary(t.Context())
			if mode == Structured {
				ctx = binding.WithForceStructured(t.Context())
			}
			r, err := http.NewRequest(http.MethodPost, "http://x/", nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := sdkhttp.WriteRequest(ctx, binding.ToMessage(&e), r); err != nil {
				t.Fatal(err)
			}
			var body bytes.Buffer
			if _, err := body.ReadFrom(r.Body); err != nil {
				t.Fatal(err)
			}
			if got := ModeOf(r.Header); got != mode {
				t.Errorf("mode %v, want %v", got, mode)
			}
			got, err := Parse(mode, r.Header, body.Bytes())
			check(t, got, err)
		})
	}
	t.Run("batched", func(t *testing.T) {
		r, err := sdkhttp.NewHTTPRequestFromEvents(t.Context(), "http://x/", []sdk.Event{e})
		if err != nil {
			t.Fatal(err)
		}
		var body bytes.Buffer
		if _, err := body.ReadFrom(r.Body); err != nil {
			t.Fatal(err)
		}
		if got := ModeOf(r.Header); got != Batched {
			t.Errorf("mode %v", got)
		}
		got, err := Parse(Batched, r.Header, body.Bytes())
		check(t, got, err)
	})
}

// checkRoundTrip writes what was parsed and reads it again.
func checkRoundTrip(t *testing.T, p Posted) {
	t.Helper()
	e := exampleEvent(t)
	e.ContentType, e.PartitionKey, e.Traceparent = p.ContentType, p.PartitionKey, p.Traceparent
	e.Attributes, e.Payload = p.Attributes, p.Payload
	checkLine(t, e)
}

func checkLine(t *testing.T, e *event.Event) Posted {
	t.Helper()
	line := AppendJSON(nil, e, DefaultSource)
	if !json.Valid(line) || !utf8.Valid(line) || bytes.ContainsAny(line, "\r\n") {
		t.Fatalf("not one line of JSON: %q", line)
	}
	got, err := Parse(Structured, structuredHeader, line)
	if err != nil {
		t.Fatalf("we refuse our own %s: %v", line, err)
	}
	want := e.Payload
	if essence, _ := mediaType(e.ContentType); isJSON(essence) {
		var compact bytes.Buffer
		if utf8.Valid(e.Payload) && bytes.Contains(line, []byte(`,"data":`)) && json.Compact(&compact, e.Payload) == nil {
			want = compact.Bytes()
		}
	}
	if !bytes.Equal(got[0].Payload, want) {
		t.Fatalf("payload %q became %q", e.Payload, got[0].Payload)
	}
	return got[0]
}

func FuzzAppendJSON(f *testing.F) {
	f.Add("application/json", []byte("{\"a\": [1, \"\\ud800\"]}"), "/s")
	f.Add("text/plain", []byte("a\r\n\x00\u2028"), "/s")
	f.Add("application/json; charset=\"", []byte{0xff}, "")
	f.Add("", []byte{}, "/\xff")
	f.Fuzz(func(t *testing.T, contentType string, payload []byte, subject string) {
		// As a header can have them: the rest never gets here.
		if strings.ContainsFunc(contentType, func(r rune) bool { return r < ' ' || r >= 0x7f }) || len(contentType) > MaxAttributeBytes ||
			len(subject) > MaxAttributeBytes || !validText(subject) || subject == "" {
			return
		}
		e := exampleEvent(t)
		e.ContentType, e.Payload = contentType, payload
		e.Attributes = map[string]string{"id": "1", "source": "/", "type": "t", "subject": subject}
		if got := checkLine(t, e); got.Attributes["subject"] != subject {
			t.Fatalf("subject %q became %q", subject, got.Attributes["subject"])
		}
	})
}

func FuzzAppendString(f *testing.F) {
	f.Add("a\"\\\n\x00\x7f\u2028é😀")
	f.Add("\xff\xed\xa0\x80")
	f.Fuzz(func(t *testing.T, s string) {
		var got string
		if err := json.Unmarshal(appendString(nil, s), &got); err != nil {
			t.Fatal(err)
		}
		if want := string([]rune(s)); got != want {
			t.Errorf("%q became %q", s, got)
		}
	})
}

func FuzzParseBinary(f *testing.F) {
	f.Add("1", "/s", "t", "2026-11-22T18:46:22Z", "text/plain", []byte("x"))
	f.Add("%41%zz", `"q\""`, "%E2%82", "", "application/cloudevents+json", []byte{})
	f.Fuzz(func(t *testing.T, id, source, typ, when, contentType string, body []byte) {
		h := http.Header{
			"Ce-Specversion": {"1.0"}, "Ce-Id": {id}, "Ce-Source": {source}, "Ce-Type": {typ}, "Ce-Time": {when},
			"Content-Type": {contentType},
		}
		got, err := Parse(Binary, h, body)
		if err != nil {
			return
		}
		if !bytes.Equal(got[0].Payload, body) || got[0].ContentType != contentType {
			t.Error("the body or its type changed")
		}
		if validText(contentType) && len(contentType) <= MaxAttributeBytes {
			checkRoundTrip(t, got[0])
		}
	})
}

func FuzzParseStructured(f *testing.F) {
	for _, s := range []string{
		`{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"a":[1,"\u00e9"]},"n":7,"b":false}`,
		`{"specversion":"1.0","id":"1","source":"/s","type":"t","datacontenttype":"text/plain","data":"\ud83d\ude00"}`,
		`{"specversion":"1.0","id":"\ud800","source":"/s","type":"t","data_base64":"AA==","\u0069d":null}`,
		`{ "specversion" : "1.0" , "id" : "1" , "source" : "/s" , "type" : "t" , "data" : 1 }`,
		`{}`, `[]`, `{"":0,"a":"\"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := Parse(Structured, structuredHeader, body)
		batch, batchErr := Parse(Batched, batchHeader, []byte("["+string(body)+"]"))
		// One object more or less in a batch is another matter: `{},{}`, and nothing at all.
		if err == nil && (batchErr != nil || len(batch) != 1) {
			t.Fatalf("refused in a batch: %v", batchErr)
		}
		if err != nil {
			return
		}
		// encoding/json is the judge of what the attributes are.
		var members map[string]json.RawMessage
		if err := json.Unmarshal(body, &members); err != nil {
			t.Fatalf("accepted, though not an object: %v", err)
		}
		for name, value := range got[0].Attributes {
			var s string
			if json.Unmarshal(members[name], &s) == nil && s != value {
				t.Errorf("%s is %q, want %q", name, value, s)
			}
		}
		checkRoundTrip(t, got[0])
	})
}

func FuzzParseBatch(f *testing.F) {
	f.Add([]byte(`[{"specversion":"1.0","id":"1","source":"/s","type":"t","data":[[]]}, {"specversion":"1.0","id":"2","source":"/s","type":"t"}]`))
	f.Add([]byte(`[]`))
	f.Add([]byte(` [ 1 , "]" , [ ] , { } , null , true ] `))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := Parse(Batched, batchHeader, body)
		if err != nil {
			return
		}
		var events []json.RawMessage
		if err := json.Unmarshal(body, &events); err != nil || len(events) != len(got) {
			t.Fatalf("%d events, want %d: %v", len(got), len(events), err)
		}
		for i, raw := range events {
			one, err := Parse(Structured, structuredHeader, raw)
			if err != nil || !maps.Equal(one[0].Attributes, got[i].Attributes) || !bytes.Equal(one[0].Payload, got[i].Payload) {
				t.Fatalf("event %d alone is %v, %v", i, one, err)
			}
		}
	})
}

func BenchmarkAppendJSON(b *testing.B) {
	e := exampleEvent(b)
	e.Payload = []byte(`{"a":"` + strings.Repeat("x", 1000) + `"}`)
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendJSON(buf[:0], e, DefaultSource)
	}
}

func BenchmarkParseStructured(b *testing.B) {
	body := AppendJSON(nil, exampleEvent(b), DefaultSource)
	body = append(body[:len(body)-1], []byte(`,"x":"`+strings.Repeat("x", 1000)+`"}`)...)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(Structured, structuredHeader, body); err != nil {
			b.Fatal(err)
		}
	}
}
