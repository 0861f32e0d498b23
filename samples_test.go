package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// sample is a payload, and what a client of a stream has to make of it.
type sample struct {
	name, payload string
	data          string // what the client is given
	event         string // the event's name; empty where there is none
}

// samples are payloads that are easily got wrong on their way through a stream (WHATWG HTML, section 9.2.6).
var samples = []sample{
	text("plain", "one"),
	text("empty", ""),
	text("blank", " "),
	text("one leading space", " x"),
	text("two leading spaces", "  x"),
	text("leading tab", "\tx"),
	text("trailing space", "x "),
	text("leading colon", ":x"),
	text("byte order mark", "\ufeffx"),
	text("two byte order marks", "\ufeff\ufeff"),
	text("lines", "one\ntwo\n three"),
	text("trailing line feed", "x\n"),
	text("only a line feed", "\n"),
	text("blank lines", "\n\none\n\n\ntwo\n\n"),
	lines("carriage returns", "one\rtwo\r\rthree\r", "one\ntwo\n\nthree\n"),
	lines("both", "one\r\ntwo\r\n\r\nthree\r\n", "one\ntwo\n\nthree\n"),
	lines("the wrong way round", "one\n\rtwo", "one\n\ntwo"),
	lines("only a carriage return", "\r", "\n"),
	lines("every kind", "\r\r\n\n\r\nx\r \n", "\n\n\n\nx\n \n"),
	text("null characters", "\x00one\x00\n\x00"),
	text("other control characters", "\x01\x0b\x0c\x1b\x7f"),
	text("line ends of Unicode that are none here", "one\u0085two\u2028three\u2029four"),
	text("UTF-8", "ok … Ünïcödé 日本語 \U0001f514\U0001f469\u200d\U0001f692 \ufffd"),
	text("markup", `<script>alert("&amp;")</script>`),
	text("JSON", "{\n  \"data\": [1, 2],\n  \"id\": null\n}\n"),
	text("looks like fields", "data: x\nid: 7\nevent: other\nretry: 1\n: comment\ndata\nid\nevent\n"),
	text("looks like an end of an event", "x\n\nid: 9\ndata: y\n\n"),
	text("looks like a notice", "\n\nevent: _stream\ndata: {\"status\":\"gap\",\"oldest\":\"0\"}\n\n"),
	text("an id with a null character", "id: \x00\nid:\n"),
	bytes64("bytes", "\x89PNG\r\n\x1a\n\xff\x00"),
	bytes64("half a character", "caf\xc3"),
	bytes64("an encoded surrogate", "\xed\xa0\x80"),
	bytes64("a line end behind bytes", "\xff\n\n"),
	text("300 KB in one line", strings.Repeat("0123456789abcdef", 300<<10/16)),
	text("300 KB in many lines", strings.Repeat(" é\n", 75<<10)),
}

func text(name, payload string) sample        { return sample{name, payload, payload, ""} }
func lines(name, payload, data string) sample { return sample{name, payload, data, ""} }

func bytes64(name, payload string) sample {
	return sample{name, payload, base64.StdEncoding.EncodeToString([]byte(payload)), "_base64"}
}

// heard is an event as a client of a stream was given it.
type heard struct {
	ID    string `json:"id"`
	Event string `json:"event"` // empty where the event has no name
	Data  string `json:"data"`
}

// expected is what a client has to hear of a sample that was accepted.
func (s sample) expected(cursor string) heard { return heard{cursor, s.event, s.data} }

// difference says where what was heard differs from what had to be; it is empty where it does not.
func difference(got, want []heard) string {
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			return fmt.Sprintf("event %d of %d is missing: %s", i+1, len(want), brief(want[i]))
		case i >= len(want):
			return fmt.Sprintf("after all %d events came %s", len(want), brief(got[i]))
		case got[i] != want[i]:
			return fmt.Sprintf("event %d of %d is %s, not %s", i+1, len(want), brief(got[i]), brief(want[i]))
		}
	}
	return ""
}

func brief(h heard) string {
	if len(h.Data) > 100 {
		h.Data = fmt.Sprintf("%s… (%d bytes)", h.Data[:80], len(h.Data))
	}
	return fmt.Sprintf("%+q", []string{h.ID, h.Event, h.Data})
}

// insist posts an event under a key of its own until the gateway has accepted it, over crashes and restarts, and returns
// its cursor. The key keeps an event whose receipt was lost from being accepted twice.
func insist(ctx context.Context, gateway, topic, key, payload string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, gateway+"/v1/topics/"+topic+"/events", strings.NewReader(payload))
		if err != nil {
			return "", err
		}
		req.Header.Set("Content-Type", "text/plain")
		req.Header.Set("Idempotency-Key", url.QueryEscape(key))
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			var receipt struct{ Cursor string }
			err = json.NewDecoder(resp.Body).Decode(&receipt)
			resp.Body.Close()
			if err == nil && resp.StatusCode == http.StatusAccepted && receipt.Cursor != "" {
				return receipt.Cursor, nil
			}
			if err == nil && resp.StatusCode != http.StatusServiceUnavailable && resp.StatusCode != http.StatusConflict {
				return "", fmt.Errorf("posting to %s: %s", topic, resp.Status)
			}
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return "", fmt.Errorf("posting to %s: %w", topic, ctx.Err())
		}
	}
}

// feed is samples on their way to a gateway, one after the other, over its crashes.
type feed struct {
	accepted atomic.Int64
	done     chan struct{}
	want     []heard // what a client has to hear, once done is closed
	err      error
}

// newFeed begins to post samples. The name is the feed's own.
func newFeed(ctx context.Context, url, topic, name string, samples []sample) *feed {
	f := &feed{done: make(chan struct{})}
	go func() {
		defer close(f.done)
		for i, s := range samples {
			var cursor string
			cursor, f.err = insist(ctx, url, topic, fmt.Sprint(name, "/", i), s.payload)
			if f.err != nil {
				return
			}
			f.want = append(f.want, s.expected(cursor))
			f.accepted.Add(1)
		}
	}()
	return f
}

// half waits until half of the samples are accepted.
func (f *feed) half(t *testing.T, of []sample) {
	t.Helper()
	waitUntil(t, patience, "half of the events to be accepted", func() bool {
		return f.accepted.Load() >= int64(len(of)/2) || f.ended()
	})
}

func (f *feed) ended() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// wait waits until all samples are accepted, and returns what a client has to hear of them.
func (f *feed) wait(t *testing.T) []heard {
	t.Helper()
	<-f.done
	if f.err != nil {
		t.Fatal(f.err)
	}
	return f.want
}
