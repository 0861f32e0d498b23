package stream_test

import (
	"context"
	"encoding/base64"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/stream"
)

// FuzzPayload sends any payload through a stream to a client that does as the standard says.
func FuzzPayload(f *testing.F) {
	for _, seed := range []string{
		"", " ", "\n", "\r\n", "\r", "a\n\nb", " x", "\tx", "\ufeffx", "\x00", "\xff\xfe", "id: 7\n\n", ":\n", "data\n",
		"data:\000\ndata:  2\rData:1\ndata\000:2\ndata:1\r\000data:4\nda-ta:3\rdata_5\ndata:3\rdata:\r\n data:32\ndata:4\n\n",
		"\u2028\u0085", "\xed\xa0\x80",
	} {
		f.Add([]byte(seed), false)
	}
	f.Fuzz(func(t *testing.T, payload []byte, named bool) {
		log := newMemLog()
		log.append(tenantA, "a.b", payload)
		log.append(tenantA, "a.b", []byte("next"))
		start, err := stream.ParseSince("earliest", time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		c := openStream(t, runHub(t, stream.Config{Log: log}), stream.Subscription{
			Tenant: tenantA, Patterns: []event.Pattern{"a.*"}, Named: named, Start: start,
		})
		c.status("resumed")
		got := c.next()
		want, name := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(payload)), "message"
		if named {
			name = "a.b"
		}
		if !utf8.Valid(payload) {
			want, name = base64.StdEncoding.EncodeToString(payload), "_base64"
		}
		if got.data != want || got.name != name || got.id != event.Cursor(1).String() {
			t.Errorf("got %+v, want %q as %q", got, want, name)
		}
		if after := c.next(); after.data != "next" {
			t.Errorf("the event after it came as %+v", after)
		}
		c.close()
	})
}

func FuzzParseSince(f *testing.F) {
	for _, seed := range []string{
		"earliest", "10m", "1h30m", "-1s", "0", "0s", "0000000000000", "8000000000000", "7vvvvvvvvvvvv", "2026-11-22T18:46:22Z",
		"2026-11-22T18:46:22.123+01:00", "2026-11-22T18:46:22 01:00", "", "now", "999999999999h", "2540400h10m10.000000000s",
	} {
		f.Add(seed)
	}
	log := newMemLog()
	log.append(tenantA, "a", nil)
	f.Fuzz(func(t *testing.T, text string) {
		start, err := stream.ParseSince(text, time.Now())
		if err != nil && start != (stream.Start{}) {
			t.Error("a refused text gave a start")
		}
		hub := runHub(t, stream.Config{Log: log})
		for _, s := range []stream.Start{start, stream.AfterID(text)} {
			ctx, cancel := context.WithCancel(t.Context())
			c := openStreamContext(ctx, t, hub, stream.Subscription{Tenant: tenantA, Patterns: []event.Pattern{"a"}, Start: s})
			if b := c.block(); b.dispatched {
				t.Errorf("a stream opens with %+v", b)
			} else if _, err := event.ParseCursor(b.id); err != nil {
				t.Errorf("the first block's id is %q", b.id)
			}
			cancel()
			c.close()
		}
	})
}
