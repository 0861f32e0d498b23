package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestEventSource holds the streams of the real binary against EventSource in headless Chromium: the cases that
// web-platform-tests looks at in its folder eventsource, as far as a gateway has a part in them. It is skipped where
// there is no Chromium, unless CARILLON_REQUIRE_CHROMIUM is 1.
func TestEventSource(t *testing.T) {
	b := openBrowser(t)
	for _, c := range []struct {
		name string
		run  func(*testing.T, *browser)
	}{
		{"vectors", eventSourceVectors},
		{"payloads", eventSourcePayloads},
		{"names", eventSourceNames},
		{"request", eventSourceRequest},
		{"origins", eventSourceOrigins},
		{"states", eventSourceStates},
		{"close", eventSourceClose},
		{"refusal", eventSourceRefusal},
		{"cut", eventSourceCut},
		{"cut before the first event", eventSourceCutAtOnce},
		{"killed", eventSourceKilled},
		{"stopped", eventSourceStopped},
		{"unknown id", eventSourceUnknownID},
		{"another log", eventSourceAnotherLog},
		{"silence", eventSourceSilence},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // most of the time they wait for the browser to reconnect
			c.run(t, b.tab(t))
		})
	}
}

// listen is how a page listens: every event that any handler gets is kept, in the order in which they came.
const listen = `
	globalThis.streams = {};
	globalThis.listen = (name, url, names, init) => {
		const heard = [];
		const source = new EventSource(url, init);
		const keep = (handler) => (e) => heard.push({
			handler, event: e.type, data: e.data ?? "", id: e.lastEventId ?? "", origin: e.origin ?? "", state: source.readyState,
		});
		source.onopen = keep("onopen");
		source.onmessage = keep("onmessage");
		source.onerror = keep("onerror");
		for (const n of names) source.addEventListener(n, keep(n));
		streams[name] = { source, heard };
	};
	true`

// dispatched is an event as a handler of a page got it.
type dispatched struct {
	Handler string // onopen, onmessage, onerror, or the name that was listened for
	Event   string
	Data    string
	ID      string // lastEventId
	Origin  string
	State   int // the stream's, then
}

// The states of an EventSource.
const (
	connecting = iota
	open
	closed
)

// tab opens another tab of the browser.
func (b *browser) tab(t *testing.T) *browser {
	t.Helper()
	ctx, leave := chromedp.NewContext(b.ctx)
	t.Cleanup(leave)
	of := &browser{t: t, ctx: ctx}
	if err := chromedp.Listen(ctx, of.listen); err != nil {
		t.Fatal("opening a tab: ", err)
	}
	return of
}

// visit goes to a page from which streams can be listened to. Of a gateway it is one that opens none by itself.
func (b *browser) visit(url string) {
	b.t.Helper()
	b.run(chromedp.Navigate(url))
	evaluate[bool](b, listen)
}

// evaluate returns what an expression is in the page.
func evaluate[T any](b *browser, expression string) T {
	b.t.Helper()
	var v T
	b.run(func(ctx context.Context, target *chromedp.Target) (chromedp.Void, error) {
		var err error
		v, err = chromedp.Evaluate[T](expression)(ctx, target)
		return chromedp.Void{}, err
	})
	return v
}

// call returns what a function of the page gives for the arguments.
func call[T any](b *browser, function string, args ...any) T {
	b.t.Helper()
	literals, err := json.Marshal(args)
	if err != nil {
		b.t.Fatal(err)
	}
	return evaluate[T](b, fmt.Sprintf("(%s)(...%s)", function, literals))
}

// subscribe opens a stream, and has the page listen for events with these names, too.
func (b *browser) subscribe(stream, url string, names ...string) {
	b.t.Helper()
	call[bool](b, `(...args) => { listen(...args); return true }`, stream, url, append([]string{}, names...))
}

// awaitData waits until a stream's handlers have got an event with this data, and returns all that they have got.
func (b *browser) awaitData(stream, data string) []dispatched {
	b.t.Helper()
	b.run(b.poll(`(s, data) => streams[s].heard.some((h) => h.data === data)`, stream+" has "+data, stream, data))
	return b.dispatched(stream)
}

// awaitHandler waits until one of a stream's handlers has been called so often.
func (b *browser) awaitHandler(stream, handler string, times int) []dispatched {
	b.t.Helper()
	b.run(b.poll(`(s, handler, n) => streams[s].heard.filter((h) => h.handler === handler).length >= n`,
		fmt.Sprintf("%s is called %d times for %s", handler, times, stream), stream, handler, times))
	return b.dispatched(stream)
}

func (b *browser) dispatched(stream string) []dispatched {
	b.t.Helper()
	return call[[]dispatched](b, `(s) => streams[s].heard`, stream)
}

// events returns the events of the log among what was dispatched.
func events(all []dispatched) []heard {
	var events []heard
	for _, d := range all {
		switch d.Handler {
		case "onopen", "onerror", "_stream":
		case "onmessage":
			events = append(events, heard{d.ID, "", d.Data})
		default:
			events = append(events, heard{d.ID, d.Event, d.Data})
		}
	}
	return events
}

// notices returns what the gateway said about the stream itself.
func notices(all []dispatched) []dispatched {
	var notices []dispatched
	for _, d := range all {
		if d.Handler == "_stream" {
			notices = append(notices, d)
		}
	}
	return notices
}

// Everything that is posted arrives as it was posted, its line ends made line feeds; on a stream that is live and on one
// that reads the log, which is the same stream for whoever listens.
func eventSourcePayloads(t *testing.T, b *browser) {
	_, url := browse(t, nil, "--listen", "127.0.0.1:0", "--data", t.TempDir())
	b.visit(url + "/healthz")
	names := []string{"_base64", "_stream", "other"}
	b.subscribe("live", "/v1/stream?topic=samples&since=earliest", names...)
	b.awaitHandler("live", "_stream", 1)
	var want []heard
	for _, s := range append(samples, text("end", "the end")) {
		cursor, err := insist(t.Context(), url, "samples", s.name, s.payload)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, s.expected(cursor))
	}
	b.subscribe("replay", "/v1/topics/samples/stream?since=earliest", names...)
	for _, stream := range []string{"live", "replay"} {
		got := b.awaitData(stream, "the end")
		if d := difference(events(got), want); d != "" {
			t.Errorf("%s: %s", stream, d)
		}
		for _, d := range got {
			if d.Handler == "onmessage" && (d.Event != "message" || d.Origin != url) {
				t.Errorf("%s: an event has the name %s and the origin %s, not message and %s", stream, d.Event, d.Origin, url)
			}
			if d.Handler == "onerror" {
				t.Errorf("%s: an error", stream)
			}
		}
		if n := notices(got); len(n) != 1 || !strings.Contains(n[0].Data, `"resumed"`) {
			t.Errorf("%s: the gateway said %v", stream, n)
		}
	}
}

// With event=topic an event goes to those who listen for its topic, and to nobody else.
func eventSourceNames(t *testing.T, b *browser) {
	_, url := browse(t, nil, "--listen", "127.0.0.1:0", "--data", t.TempDir())
	b.visit(url + "/healthz")
	b.subscribe("named", "/v1/stream?topic=**&event=topic&since=earliest", "orders.created", "orders.paid", "message", "_base64", "_stream")
	b.subscribe("plain", "/v1/stream?topic=orders.*&since=earliest", "orders.created", "orders.paid", "_base64", "_stream")
	var cursors []string
	for _, e := range []struct{ topic, payload string }{
		{"orders.created", "1"}, {"orders.paid", "2"}, {"orders.other", "nobody listens for this"},
		{"message", "for all who listen"}, {"orders.created", "\xff"}, {"orders.paid", "3"},
	} {
		cursor, err := insist(t.Context(), url, e.topic, e.topic+e.payload, e.payload)
		if err != nil {
			t.Fatal(err)
		}
		cursors = append(cursors, cursor)
	}
	got := b.awaitData("named", "3")
	if d := difference(events(got), []heard{
		{cursors[0], "orders.created", "1"},
		{cursors[1], "orders.paid", "2"},
		// A topic can be called message, which is what an event without a name is called.
		{cursors[3], "", "for all who listen"},
		{cursors[3], "message", "for all who listen"},
		{cursors[4], "_base64", "/w=="},
		{cursors[5], "orders.paid", "3"},
	}); d != "" {
		t.Errorf("named: %s", d)
	}
	// A notice is no event of the log, and leaves the last one's id as it is.
	if n := notices(got); len(n) != 1 || n[0].ID == "" || n[0].ID >= cursors[0] || n[0].Event != "_stream" {
		t.Errorf("named: the gateway said %v", n)
	}
	if d := difference(events(b.awaitData("plain", "3")), []heard{
		{cursors[0], "", "1"}, {cursors[1], "", "2"}, {cursors[2], "", "nobody listens for this"}, {cursors[4], "_base64", "/w=="}, {cursors[5], "", "3"},
	}); d != "" {
		t.Errorf("plain: %s", d)
	}
}

// What the browser asks for, and what the answer's header says: at once, without a detour, and not to be kept.
func eventSourceRequest(t *testing.T, b *browser) {
	_, url := browse(t, nil, "--listen", "127.0.0.1:0", "--data", t.TempDir())
	r := newRelay(t, url)
	b.visit(r.url + "/healthz")
	evaluate[string](b, `document.cookie = "taste=sweet; path=/"`)
	b.subscribe("s", "v1/stream?topic=a.*")
	b.awaitHandler("s", "onopen", 1)
	r.awaitStream(t, 1, "\n\n")
	if got := evaluate[string](b, `streams.s.source.url`); got != r.url+"/v1/stream?topic=a.*" {
		t.Errorf("the stream's address is %s", got)
	}
	all := r.streams()
	if len(all) != 1 {
		t.Fatalf("%d requests were made", len(all))
	}
	request, answer := all[0].request, all[0].answer
	if request.Method != http.MethodGet || request.Header.Get("Accept") != "text/event-stream" || request.Header.Get("Last-Event-ID") != "" {
		t.Errorf("the browser asked with %s, %v", request.Method, request.Header)
	}
	if !strings.HasPrefix(request.Header.Get("Cache-Control"), "no-") {
		t.Errorf("the browser would take a cached answer: %v", request.Header)
	}
	if request.Header.Get("Cookie") != "taste=sweet" {
		t.Errorf("the browser keeps its cookies from its own origin: %v", request.Header)
	}
	if mime, _, _ := strings.Cut(answer.Header.Get("Content-Type"), ";"); answer.StatusCode != http.StatusOK || mime != "text/event-stream" {
		t.Errorf("the answer is %s, %v", answer.Status, answer.Header)
	}
	for name, want := range map[string]string{
		"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no", "Content-Encoding": "", "Content-Length": "",
		"Set-Cookie": "", "Access-Control-Allow-Origin": "", "Access-Control-Allow-Credentials": "",
	} {
		if got := answer.Header.Get(name); got != want {
			t.Errorf("the answer has %s: %q, want %q", name, got, want)
		}
	}
	// The first block has an id, so that there is one to come back with, and is no event.
	if ids := all[0].fields("id"); len(ids) != 1 || ids[0] == "" || len(all[0].fields("data")) > 0 {
		t.Errorf("the stream begins with %q", all[0].body)
	}
}

// A page of another origin gets the stream where that origin was let in, with the browser's cookies only if the page asks
// for that.
func eventSourceOrigins(t *testing.T, b *browser) {
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!DOCTYPE html><title>somebody's page</title>")
	}))
	defer page.Close()
	gateway := func(flags ...string) *relay {
		_, url := browse(t, nil, append([]string{"--listen", "127.0.0.1:0", "--data", t.TempDir()}, flags...)...)
		post(t, url, "a", "text/plain", "secret")
		return newRelay(t, url)
	}
	friend, stranger := page.URL, strings.Replace(page.URL, "127.0.0.1", "localhost", 1)
	listed, closedDoor := gateway("--cors-origin", friend), gateway()
	for _, c := range []struct {
		name        string
		origin      string
		gateway     *relay
		credentials bool
		in          bool
	}{
		{"on the list", friend, listed, false, true},
		{"on the list, with credentials", friend, listed, true, true},
		{"not on the list", stranger, listed, false, false},
		{"no list", friend, closedDoor, false, false},
		{"no list, with credentials", friend, closedDoor, true, false},
		{"not on the list, with credentials", stranger, listed, true, false},
	} {
		b.visit(c.origin)
		evaluate[string](b, `document.cookie = "taste=sweet; path=/"`)
		before := len(c.gateway.streams())
		call[bool](b, `(url, credentials) => { listen("s", url, [], { withCredentials: credentials }); return streams.s.source.withCredentials }`,
			c.gateway.url+"/v1/stream?topic=a&since=earliest", c.credentials)
		if !c.in {
			// Closed is for good: the browser does not try again.
			got := b.awaitHandler("s", "onerror", 1)
			if len(got) != 1 || got[0].State != closed {
				t.Errorf("%s: heard %v", c.name, got)
			}
			continue
		}
		got := b.awaitData("s", "secret")
		if len(got) != 2 || got[0].Handler != "onopen" || got[1].Origin != c.gateway.url {
			t.Errorf("%s: heard %v", c.name, got)
		}
		all := c.gateway.streams()
		if len(all) != before+1 {
			t.Fatalf("%s: %d requests were made", c.name, len(all)-before)
		}
		request, answer := all[before].request, all[before].answer
		cookie := map[bool]string{true: "taste=sweet"}[c.credentials]
		if request.Header.Get("Origin") != c.origin || request.Header.Get("Cookie") != cookie {
			t.Errorf("%s: the browser asked with %v", c.name, request.Header)
		}
		if answer.Header.Get("Access-Control-Allow-Credentials") != "true" {
			t.Errorf("%s: the answer has %v", c.name, answer.Header)
		}
	}
}

// A stream is connecting until the gateway has answered, and then open, also if there is no event for it.
func eventSourceStates(t *testing.T, b *browser) {
	_, url := browse(t, nil, "--listen", "127.0.0.1:0", "--data", t.TempDir())
	b.visit(url + "/healthz")
	first := call[int](b, `(url) => { listen("s", url, []); return streams.s.source.readyState }`, "/v1/stream?topic=nothing")
	if first != connecting {
		t.Errorf("a new stream's state is %d", first)
	}
	if got := b.awaitHandler("s", "onopen", 1); len(got) != 1 || got[0].State != open || got[0].Event != "open" {
		t.Errorf("heard %v", got)
	}
}

// A page that has closed a stream hears no more of it.
func eventSourceClose(t *testing.T, b *browser) {
	_, url := browse(t, nil, "--listen", "127.0.0.1:0", "--data", t.TempDir())
	b.visit(url + "/healthz")
	const address = "/v1/stream?topic=a&since=earliest"
	states := call[[]int](b, `(url) => {
		listen("at once", url, []);
		streams["at once"].source.close();
		listen("at the first", url, []);
		const source = streams["at the first"].source;
		source.addEventListener("message", () => source.close());
		listen("later", url, []);
		return [streams["at once"].source.readyState, source.readyState];
	}`, address)
	if states[0] != closed || states[1] != connecting {
		t.Errorf("the states are %v", states)
	}
	b.subscribe("open", address)
	for _, payload := range []string{"first", "second"} {
		post(t, url, "a", "text/plain", payload)
	}
	b.awaitData("later", "second")
	if state := evaluate[int](b, `streams.later.source.close(), streams.later.source.readyState`); state != closed {
		t.Errorf("the state after close is %d", state)
	}
	post(t, url, "a", "text/plain", "third")
	b.awaitData("open", "third")
	for stream, want := range map[string]string{"at once": "", "at the first": "first", "later": "first second", "open": "first second third"} {
		var got []string
		for _, d := range b.dispatched(stream) {
			if d.Handler != "onopen" {
				got = append(got, d.Data)
			}
		}
		if text := strings.Join(got, " "); text != want {
			t.Errorf("%s: heard %q, want %q", stream, text, want)
		}
	}
	if got := b.dispatched("at once"); len(got) > 0 {
		t.Errorf("a stream closed at once heard %v", got)
	}
}

// What can never be answered is refused for good, and the browser does not try again.
func eventSourceRefusal(t *testing.T, b *browser) {
	_, url := browse(t, nil, "--listen", "127.0.0.1:0", "--data", t.TempDir())
	_, locked := browse(t, []string{"CARILLON_ADMIN_KEY=0123456789abcdef"}, "--listen", "127.0.0.1:0", "--data", t.TempDir())
	for gateway, paths := range map[string][]string{
		url: {
			"/v1/stream?topic=a..b", "/v1/stream", "/v1/stream?topic=a&since=yesterday", "/v1/stream?topic=a&event=name",
			"/v1/nothing/stream", "/healthz",
		},
		locked: {"/v1/stream?topic=a"},
	} {
		b.visit(gateway + "/healthz")
		for _, path := range paths {
			b.subscribe(path, path)
			if got := b.awaitHandler(path, "onerror", 1); len(got) != 1 || got[0].State != closed {
				t.Errorf("%s: heard %v", path, got)
			}
		}
	}
}
