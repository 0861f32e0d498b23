package stream

import (
	"strings"
	"testing"
	"time"

	"github.com/carillon/carillon/event"
)

// wptVector is from the web platform tests, eventsource/format-field-parsing: it finds most faults of splitting.
const wptVector = "data:\000\ndata:  2\rData:1\ndata\000:2\ndata:1\r\000data:4\nda-ta:3\rdata_5\ndata:3\rdata:\r\n data:32\ndata:4\n\n"

func TestFrames(t *testing.T) {
	id := event.Cursor(1<<48 + 77)
	for _, test := range []struct {
		name, payload string
		form          form
		want          string
	}{
		{"plain", `{"a":1}`, formOf(Raw, false), "id: 000800000002d\ndata: {\"a\":1}\n\n"},
		{"named", "x", formOf(Raw, true), "id: 000800000002d\nevent: orders.eu\ndata: x\n\n"},
		{"empty", "", formOf(Raw, false), "id: 000800000002d\ndata: \n\n"},
		{"leading space and tab", " \tx", formOf(Raw, false), "id: 000800000002d\ndata:  \tx\n\n"},
		{"every line end", "a\nb\rc\r\nd\n\re", formOf(Raw, false),
			"id: 000800000002d\ndata: a\ndata: b\ndata: c\ndata: d\ndata: \ndata: e\n\n"},
		{"ends with a newline", "a\r\n", formOf(Raw, false), "id: 000800000002d\ndata: a\ndata: \n\n"},
		{"only newlines", "\n\n", formOf(Raw, false), "id: 000800000002d\ndata: \ndata: \ndata: \n\n"},
		{"looks like fields", "id: 9\nevent: e\nretry: 1\n: c\n\ndata: z", formOf(Raw, false),
			"id: 000800000002d\ndata: id: 9\ndata: event: e\ndata: retry: 1\ndata: : c\ndata: \ndata: data: z\n\n"},
		{"NUL and BOM", "\ufeff\x00", formOf(Raw, false), "id: 000800000002d\ndata: \ufeff\x00\n\n"},
		{"not text", "\xff\n", formOf(Raw, false), "id: 000800000002d\nevent: _base64\ndata: /wo=\n\n"},
		{"not text, named", "\xff", formOf(Raw, true), "id: 000800000002d\nevent: _base64\ndata: /w==\n\n"},
		{"vector", wptVector, formOf(Raw, false), "id: 000800000002d\n" +
			"data: data:\x00\ndata: data:  2\ndata: Data:1\ndata: data\x00:2\ndata: data:1\ndata: \x00data:4\n" +
			"data: da-ta:3\ndata: data_5\ndata: data:3\ndata: data:\ndata:  data:32\ndata: data:4\ndata: \ndata: \n\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := &event.Event{Topic: "orders.eu", Cursor: id, Payload: []byte(test.payload)}
			if got := string(appendFrame(nil, e, test.form, "/s")); got != test.want {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

func TestCloudEventsFrame(t *testing.T) {
	e := &event.Event{
		ID: event.NewID(), Topic: "orders.eu", Cursor: 5, ContentType: "application/json", Payload: []byte("{\n\"a\": 1\r\n}"),
	}
	got := string(appendFrame(nil, e, formOf(CloudEvents, true), "/s"))
	if !strings.HasPrefix(got, "id: 0000000000005\nevent: orders.eu\ndata: {\"specversion\":\"1.0\"") || !strings.HasSuffix(got, "}\n\n") {
		t.Errorf("got %q", got)
	}
	if strings.Count(got, "\n") != 4 {
		t.Errorf("the data is not one line: %q", got)
	}
	if !strings.Contains(got, `"carilloncursor":"0000000000005"`) {
		t.Errorf("no cursor in %q", got)
	}
	e.Payload = []byte{0xff}
	if got := string(appendFrame(nil, e, formOf(CloudEvents, false), "/s")); strings.Contains(got, "event:") || !strings.Contains(got, "data_base64") {
		t.Errorf("a payload that is not text: %q", got)
	}
}

func TestStatuses(t *testing.T) {
	for _, test := range []struct {
		in     Format
		status status
		want   string
	}{
		{Raw, status{Status: statusResumed}, "event: _stream\ndata: {\"status\":\"resumed\"}\n\n"},
		{CloudEvents, status{Status: statusGap, Oldest: event.Cursor(31).String()},
			"event: _stream\ndata: {\"status\":\"gap\",\"oldest\":\"000000000000v\"}\n\n"},
		{Lines, status{Status: statusGap, Oldest: event.Cursor(31).String(), Cursor: event.Cursor(33).String()},
			"{\"_stream\":{\"status\":\"gap\",\"oldest\":\"000000000000v\",\"cursor\":\"0000000000011\"}}\n"},
	} {
		if got := string(appendStatus(nil, test.in, test.status)); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestGoodbyes(t *testing.T) {
	for _, test := range []struct {
		in   Format
		why  string
		want string
	}{
		{Raw, "", "retry: 2500\n\n"},
		{Raw, statusExpired, "retry: 2500\n\nevent: _stream\ndata: {\"status\":\"expired\"}\n\n"},
		{Lines, "", "{\"_stream\":{\"status\":\"closing\",\"retry\":2500}}\n"},
		{Lines, statusExpired, "{\"_stream\":{\"status\":\"expired\",\"retry\":2500}}\n"},
	} {
		if got := string(appendGoodbye(nil, test.in, test.why, 2500*time.Millisecond)); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestLine(t *testing.T) {
	e := &event.Event{ID: event.NewID(), Topic: "orders.eu", Cursor: 5, ContentType: "text/plain", Payload: []byte("a\nb")}
	got := string(appendFrame(nil, e, formOf(Lines, true), "/s"))
	if !strings.HasPrefix(got, "{\"specversion\":\"1.0\"") || strings.Count(got, "\n") != 1 || !strings.HasSuffix(got, "}\n") ||
		!strings.Contains(got, `"data":"a\nb"`) {
		t.Errorf("got %q", got)
	}
}

// Encodings are made after a frame entered the ring, and can be made after it left: neither may make the ring's count
// drift, or it would in time hold nothing, or everything.
func TestRingStaysBounded(t *testing.T) {
	h := New(Config{RingEvents: 50, RingBytes: 40 << 10})
	var kept []*frame
	for i := range 2000 {
		h.publish([]*event.Event{{Topic: "a", Cursor: event.Cursor(i + 1), Payload: make([]byte, i%3000)}})
		newest := h.ring.frames[len(h.ring.frames)-1]
		kept = append(kept, newest)
		if i%3 == 0 {
			h.encoded(newest, formOf(Raw, i%2 == 0))
		}
		if i%7 == 0 {
			h.encoded(kept[i/2], formOf(Raw, true))
		}
		sum := 0
		for _, f := range h.ring.frames {
			sum += frameOverhead + len(f.event.Payload)
			for in := range f.forms {
				sum += cap(f.forms[in].text)
			}
		}
		if sum != h.ring.bytes {
			t.Fatalf("after %d events the ring counts %d bytes and holds %d", i+1, h.ring.bytes, sum)
		}
		if len(h.ring.frames) > 50 || (sum > 40<<10 && len(h.ring.frames) > 1) {
			t.Fatalf("the ring holds %d events and %d bytes", len(h.ring.frames), sum)
		}
		if oldest := h.ring.frames[0].event.Cursor; h.ring.after != oldest-1 {
			t.Fatalf("the ring says that it begins after %d, its oldest is %d", h.ring.after, oldest)
		}
	}
	h.publish([]*event.Event{{Topic: "a", Cursor: 9999, Payload: make([]byte, 1<<20)}})
	if len(h.ring.frames) != 1 {
		t.Errorf("an event larger than the ring leaves %d frames, want itself", len(h.ring.frames))
	}
}
