package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A connection that breaks in the middle of an event is made again, not before the time that the gateway has asked for,
// and the stream goes on behind the last whole event.
func eventSourceCut(t *testing.T, b *browser) {
	_, url := browse(t, nil, "--listen", "127.0.0.1:0", "--data", t.TempDir())
	r := newRelay(t, url)
	b.visit(r.url + "/healthz")
	b.subscribe("s", "/v1/stream?topic=a", "_stream")
	r.awaitStream(t, 1, "\n\n")
	var want []heard
	publish := func(payload string) {
		t.Helper()
		cursor, err := insist(t.Context(), url, "a", payload, payload)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, heard{cursor, "", payload})
	}
	publish("whole")
	b.awaitData("s", "whole")
	r.cutBehind("HERE")
	publish("half HERE and\nmore")
	b.awaitData("s", "half HERE and\nmore")
	r.cut()
	publish("while nobody listened")
	publish("and more")
	got := b.awaitData("s", "and more")

	if d := difference(events(got), want); d != "" {
		t.Error(d)
	}
	var calls []string
	for _, d := range got {
		calls = append(calls, fmt.Sprint(d.Handler, d.State))
	}
	if s := strings.Join(calls, " "); s != "onopen1 onmessage1 onerror0 onopen1 _stream1 onmessage1 onerror0 onopen1 _stream1 onmessage1 onmessage1" {
		t.Errorf("the handlers were called as %s", s)
	}
	for i, n := range notices(got) {
		if !strings.Contains(n.Data, `"resumed"`) || n.ID != want[i].ID {
			t.Errorf("the gateway said %v", n)
		}
	}
	all := r.streams()
	if len(all) != 3 {
		t.Fatalf("%d requests were made", len(all))
	}
	for i, e := range all[1:] {
		if id := e.request.Header.Get("Last-Event-ID"); id != want[i].ID {
			t.Errorf("the browser came back with %q, not %q", id, want[i].ID)
		}
		checkRetry(t, all[i], e)
	}
}

// checkRetry holds the time between two streams against what the first was told last.
func checkRetry(t *testing.T, before, after exchange) {
	t.Helper()
	told := before.fields("retry")
	if len(told) == 0 {
		t.Errorf("the gateway did not say when to come back: %q", before.body)
		return
	}
	ms, err := strconv.Atoi(told[len(told)-1])
	if err != nil {
		t.Errorf("the gateway says retry: %v", told)
		return
	}
	// Timers of browsers are rounded to a few milliseconds. A busy machine can only make it later.
	if retry, away := time.Duration(ms)*time.Millisecond, after.came.Sub(before.cut); away < retry-50*time.Millisecond {
		t.Errorf("the browser came back after %s; it was asked for %s", away, retry)
	}
}

// A connection that breaks before there was an event loses none: the stream began with an id.
func eventSourceCutAtOnce(t *testing.T, b *browser) {
	_, url := browse(t, nil, "--listen", "127.0.0.1:0", "--data", t.TempDir())
	post(t, url, "a", "text/plain", "before")
	r := newRelay(t, url)
	b.visit(r.url + "/healthz")
	b.subscribe("s", "/v1/stream?topic=a", "_stream")
	first := r.awaitStream(t, 1, "\n\n")
	r.cut()
	post(t, url, "a", "text/plain", "one")
	post(t, url, "a", "text/plain", "two")
	got := b.awaitData("s", "two")
	var data []string
	for _, e := range events(got) {
		data = append(data, e.Data)
	}
	if !slices.Equal(data, []string{"one", "two"}) {
		t.Errorf("heard %q", data)
	}
	if n := notices(got); len(n) != 1 || !strings.Contains(n[0].Data, `"resumed"`) {
		t.Errorf("the gateway said %v", n)
	}
	all := r.streams()
	if ids := first.fields("id"); len(ids) != 1 || len(all) != 2 || all[1].request.Header.Get("Last-Event-ID") != ids[0] {
		t.Errorf("a stream that began with the id %q was followed by %d", ids, len(all)-1)
	}
}

// The gateway is killed and started again while events are posted.
func eventSourceKilled(t *testing.T, b *browser) {
	eventSourceRestarts(t, b, (*process).kill)
}

// The gateway is stopped and started again while events are posted: streams end as if there were no more to come, and
// the browser comes back all the same.
func eventSourceStopped(t *testing.T, b *browser) {
	eventSourceRestarts(t, b, func(p *process) {
		if err := p.signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if p.err != nil {
			t.Errorf("the gateway ended with %v\n%s", p.err, &p.stderr)
		}
	})
}

func eventSourceRestarts(t *testing.T, b *browser, end func(*process)) {
	address, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	data := t.TempDir()
	gateway, url := browse(t, nil, "--listen", address, "--data", data)
	b.visit(url + "/healthz")
	b.subscribe("s", "/v1/stream?topic=samples&since=earliest", "_base64", "_stream")
	b.awaitHandler("s", "_stream", 1)
	var want []heard
	for i := range 2 {
		last := fmt.Sprint("the end of round ", i)
		round := slices.Concat(samples, samples, []sample{text("end", last)})
		f := newFeed(t.Context(), url, "samples", last, round)
		f.half(t, round)
		end(gateway)
		b.awaitHandler("s", "onerror", i+1)
		gateway, _ = browse(t, nil, "--listen", address, "--data", data)
		want = append(want, f.wait(t)...)
		b.awaitData("s", last)
	}
	got := b.dispatched("s")
	if d := difference(events(got), want); d != "" {
		t.Error(d)
	}
	for _, d := range got {
		if d.Handler == "onerror" && d.State != connecting || d.Handler == "_stream" && !strings.Contains(d.Data, `"resumed"`) {
			t.Errorf("heard %v", d)
		}
	}
}

// An id that the gateway never gave is told as a gap, and the stream goes on with what comes.
func eventSourceUnknownID(t *testing.T, b *browser) {
	_, url := browse(t, nil, "--listen", "127.0.0.1:0", "--data", t.TempDir())
	post(t, url, "a", "text/plain", "before")
	b.visit(url + "/healthz")
	for i, id := range []string{"nonsense", "7", "-1", "%00", "%C3%BC", strings.Repeat("9", 300), "zzzzzzzzzzzzz"} {
		stream, last := fmt.Sprint("id ", id), fmt.Sprint("after ", i)
		b.subscribe(stream, "/v1/stream?topic=a&last_event_id="+id, "_stream")
		b.awaitHandler(stream, "_stream", 1)
		post(t, url, "a", "text/plain", last)
		got := b.awaitData(stream, last)
		if n := notices(got); len(n) != 1 || !strings.Contains(n[0].Data, `"status":"gap"`) || !strings.Contains(n[0].Data, `"oldest":"`) {
			t.Errorf("%s: the gateway said %v", stream, n)
		}
		if all := events(got); len(all) != 1 {
			t.Errorf("%s: heard %v", stream, all)
		}
		// A browser holds few connections to one origin.
		evaluate[bool](b, fmt.Sprintf("streams[%q].source.close(), true", stream))
	}
}

// A browser that comes back to a gateway with another log is told of a gap, and does not wait for cursors that the new
// log will have much later.
func eventSourceAnotherLog(t *testing.T, b *browser) {
	address, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	gateway, url := browse(t, nil, "--listen", address, "--data", t.TempDir())
	b.visit(url + "/healthz")
	b.subscribe("s", "/v1/stream?topic=a&since=earliest", "_stream")
	for i := range 20 {
		post(t, url, "a", "text/plain", fmt.Sprint("old ", i))
	}
	b.awaitData("s", "old 19")
	gateway.kill()
	browse(t, nil, "--listen", address, "--data", t.TempDir())
	got := b.awaitHandler("s", "_stream", 2)
	if n := notices(got); !strings.Contains(n[1].Data, `"status":"gap"`) {
		t.Errorf("the gateway said %v", n)
	}
	cursor, err := insist(t.Context(), url, "a", "new", "new")
	if err != nil {
		t.Fatal(err)
	}
	got = b.awaitData("s", "new")
	if last := got[len(got)-1]; last.ID != cursor || len(events(got)) != 21 {
		t.Errorf("heard %v", got)
	}
}

// What breaks the silence is no event, and neither is what happens to topics that were not asked for.
func eventSourceSilence(t *testing.T, b *browser) {
	_, url := browse(t, nil, "--listen", "127.0.0.1:0", "--data", t.TempDir())
	r := newRelay(t, url)
	b.visit(r.url + "/healthz")
	b.subscribe("s", "/v1/stream?topic=quiet", "_stream", "_base64", "loud")
	r.awaitStream(t, 1, "\n\n")
	post(t, url, "loud", "text/plain", "not for this stream")
	r.awaitStream(t, 1, "\n:")
	post(t, url, "quiet", "text/plain", "at last")
	got := b.awaitData("s", "at last")
	if len(got) != 2 || got[0].Handler != "onopen" || got[1].Handler != "onmessage" {
		t.Errorf("heard %v", got)
	}
}
