package cli

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

// connection is one stream of a gateway that follows a script.
type connection struct {
	lastID string // expected in Last-Event-ID
	since  string // expected in the query
	status int    // 0: 200
	frames string
	broken bool // the connection breaks after the frames; otherwise the stream ends
}

// tailScript runs carillon tail against the connections, one after the other, and stops it when the last is over.
func tailScript(t *testing.T, connections []connection, args ...string) (stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var mu sync.Mutex
	next := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		i := next
		next++
		mu.Unlock()
		if i >= len(connections) {
			cancel()
			return
		}
		c := connections[i]
		if got := r.Header.Get("Last-Event-ID"); got != c.lastID {
			t.Errorf("connection %d: Last-Event-ID is %q, want %q", i, got, c.lastID)
		}
		if got := r.URL.Query().Get("since"); got != c.since {
			t.Errorf("connection %d: since is %q, want %q", i, got, c.since)
		}
		if c.status != 0 {
			w.WriteHeader(c.status)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		// Even what tells of failures should not slow the test down.
		io.WriteString(w, "retry: 1\n\n"+c.frames)
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		if c.broken {
			panic(http.ErrAbortHandler)
		}
	}))
	defer s.Close()
	var out, errs bytes.Buffer
	code := Main(ctx, Process{
		Args: append([]string{"tail", "--url", s.URL}, args...), Stdout: &out, Stderr: &errs, LookupEnv: lookup(nil),
	})
	if code != 0 {
		t.Errorf("code %d: %s", code, errs.String())
	}
	mu.Lock()
	defer mu.Unlock()
	if next <= len(connections) {
		t.Errorf("only %d connections were made", next)
	}
	return out.String(), errs.String()
}

func TestTailResumesWithoutGapAndDuplicate(t *testing.T) {
	stdout, _ := tailScript(t, []connection{
		{since: "earliest", frames: "id: 01\n\n" + "id: 02\ndata: one\n\n" + "id: 03\ndata: two\n\n"},
		// A clean end and a broken connection are the same.
		{lastID: "03", frames: "id: 03\n\nevent: _stream\ndata: {\"status\":\"resumed\"}\n\n" + "id: 04\ndata: three\n\n", broken: true},
		// Half a block must neither be printed nor taken for done.
		{lastID: "04", frames: ":\n\n" + "id: 05\ndata: fo", broken: true},
		{lastID: "04", frames: "id: 05\ndata: four\n\n" + "id: 06\ndata: five"},
		// A gateway that repeats itself.
		{lastID: "05", frames: "id: 04\ndata: three\n\n" + "id: 05\ndata: four\n\n" + "id: 06\ndata: five\n\n"},
		// A checkpoint without an event moves the cursor on.
		{lastID: "06", frames: ":\nid: 09\n\n"},
		{lastID: "09", frames: "id: 10\ndata: six\n\n"},
	}, "orders.*", "--since", "earliest")
	if want := "one\ntwo\nthree\nfour\nfive\nsix\n"; stdout != want {
		t.Errorf("printed %q", stdout)
	}
}

func TestTailKeepsItsBeginningUntilItHasAPosition(t *testing.T) {
	stdout, stderr := tailScript(t, []connection{
		{since: "10m", status: http.StatusServiceUnavailable},
		{since: "10m", frames: "id: 07\n\n"},
		{lastID: "07", frames: "id: 08\ndata: x\n\n"},
	}, "a", "--since", "10m")
	if stdout != "x\n" || !strings.Contains(stderr, "503") {
		t.Errorf("printed %q, told %q", stdout, stderr)
	}
}

func TestTailTellsOfAGapAndGoesOn(t *testing.T) {
	// The second gateway began anew: its cursors are below those that were printed.
	stdout, stderr := tailScript(t, []connection{
		{frames: "id: 50\ndata: old\n\n"},
		{lastID: "50", frames: "id: 03\n\nevent: _stream\ndata: {\"status\":\"gap\",\"oldest\":\"03\"}\n\nid: 04\ndata: new\n\n"},
		{lastID: "04"},
	}, "a")
	if stdout != "old\nnew\n" || strings.Count(stderr, "gap") != 1 {
		t.Errorf("printed %q, told %q", stdout, stderr)
	}
}

func TestTailFormats(t *testing.T) {
	frames := "id: 1\ndata: {\ndata:   \"a\": 1\ndata: }\n\n" +
		"id: 2\nevent: _base64\ndata: " + base64.StdEncoding.EncodeToString([]byte("\xff\x00")) + "\n\n" +
		"id: 3\ndata: \n\n" +
		"id: 4\ndata: <two\ndata: lines>\n\n" +
		"id: 5\nevent: _later\ndata: not known yet\n\n" +
		"id: 6\ndata:  indented\n\n"
	tests := map[string]string{
		"raw":       "{\n  \"a\": 1\n}\n" + "\xff\x00\n" + "\n" + "<two\nlines>\n" + " indented\n",
		"json-line": `{"a":1}` + "\n" + `"/wA="` + "\n" + `""` + "\n" + `"<two\nlines>"` + "\n" + `" indented"` + "\n",
	}
	for format, want := range tests {
		stdout, stderr := tailScript(t, []connection{{frames: frames}, {lastID: "6"}}, "a", "--format", format)
		if stdout != want {
			t.Errorf("%s: printed %q, want %q (%s)", format, stdout, want, stderr)
		}
	}
}

func TestTailReadsLargeEvents(t *testing.T) {
	payload := strings.Repeat("0123456789abcdef", 5<<16) // 5 MiB
	stdout, stderr := tailScript(t, []connection{{frames: "id: 1\ndata: " + payload + "\n\n"}, {lastID: "1"}}, "a")
	if stdout != payload+"\n" {
		t.Errorf("printed %d bytes: %s", len(stdout), stderr)
	}
}

func TestTailAsksForWhatItWasTold(t *testing.T) {
	asked := make(chan url.Values, 1)
	p := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/stream" || r.Header.Get("Authorization") != "Bearer correct-horse" || r.Header.Get("Accept") != "text/event-stream" {
			t.Errorf("%s with %v", r.URL, r.Header)
		}
		asked <- r.URL.Query()
		w.WriteHeader(http.StatusForbidden)
	})
	if code, _, _ := run(t, p, "tail", "a.*", "b", "--format", "cloudevents", "--since", "1h"); code != 1 {
		t.Errorf("code %d", code)
	}
	q := <-asked
	if !slices.Equal(q["topic"], []string{"a.*", "b"}) || q.Get("format") != "cloudevents" || q.Get("since") != "1h" {
		t.Errorf("asked for %v", q)
	}
}

func TestTailEndsWhereGoingOnMakesNoSense(t *testing.T) {
	tests := map[string]struct {
		h    http.HandlerFunc
		want string
	}{
		"bad pattern": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"title":"Bad request","errors":[{"field":"topic","detail":"token 1 is empty"}]}`)
		}, "topic: token 1 is empty"},
		"no key": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }, "401"},
		"a web site": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, "<html>\n\n")
		}, "text/html"},
	}
	for name, tt := range tests {
		code, stdout, stderr := run(t, serveHTTP(t, tt.h), "tail", "a")
		if code != 1 || stdout != "" || !strings.Contains(stderr, tt.want) {
			t.Errorf("%s: code %d, stdout %q, stderr %q", name, code, stdout, stderr)
		}
	}
}

// roundTrip is a gateway without a network, so that time can be the test's own.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A connection over which nothing comes is given up, also one that never answers; a comment now and then keeps it.
func TestTailGivesUpOnSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var resumed []string
		gateway := roundTrip(func(r *http.Request) (*http.Response, error) {
			resumed = append(resumed, r.Header.Get("Last-Event-ID"))
			switch len(resumed) {
			case 1:
				<-r.Context().Done()
				return nil, r.Context().Err()
			case 3:
				cancel()
				return nil, ctx.Err()
			}
			body, w := io.Pipe()
			context.AfterFunc(r.Context(), func() { w.CloseWithError(r.Context().Err()) })
			go func() {
				io.WriteString(w, "id: 1\ndata: x\n\n")
				for range 10 {
					time.Sleep(silence - time.Second)
					io.WriteString(w, ":\n\n")
				}
				io.WriteString(w, "id: 2\ndata: y\n\n")
			}()
			return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: body}, nil
		})
		var out, notes bytes.Buffer
		f := follower{
			client: &http.Client{Transport: gateway}, url: &url.URL{Scheme: "http", Host: "gateway"},
			silence: silence, show: showRaw, out: &out, notes: &notes,
		}
		if err := f.follow(ctx); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(resumed, []string{"", "", "2"}) {
			t.Errorf("resumed after %q", resumed)
		}
		if out.String() != "x\ny\n" || strings.Count(notes.String(), errSilent.Error()) != 2 {
			t.Errorf("printed %q, told %q", out.String(), notes.String())
		}
	})
}

func TestTailEndsWhenItCannotPrint(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, "id: 1\ndata: x\n\nid: 2\ndata: y\n\n")
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	defer s.Close()
	target, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	full := errors.New("no space left")
	f := follower{
		client: s.Client(), url: target, silence: silence, out: io.Discard, notes: io.Discard,
		show: func(io.Writer, []byte, bool) error { return full },
	}
	if err := f.follow(t.Context()); !errors.Is(err, full) {
		t.Errorf("ended with %v", err)
	}
	if f.position != "" {
		t.Errorf("what was not printed counts as done: %s", f.position)
	}
}

func TestPause(t *testing.T) {
	tests := []struct {
		failures int
		asked    time.Duration
		least    time.Duration
		most     time.Duration
	}{
		{0, 3 * time.Second, 3 * time.Second, 3 * time.Second},
		{0, 0, 750 * time.Millisecond, 1250 * time.Millisecond},
		{1, 2 * time.Second, 1500 * time.Millisecond, 2500 * time.Millisecond},
		{3, time.Second, 3 * time.Second, 5 * time.Second},
		{1000, time.Second, lastPause * 3 / 4, lastPause * 5 / 4},
		{1000, time.Minute, 45 * time.Second, 75 * time.Second},
	}
	for _, tt := range tests {
		if got := pause(tt.failures, tt.asked, 0); got != tt.least {
			t.Errorf("%d failures, asked %s: at least %s", tt.failures, tt.asked, got)
		}
		if got := pause(tt.failures, tt.asked, 1); got != tt.most {
			t.Errorf("%d failures, asked %s: at most %s", tt.failures, tt.asked, got)
		}
	}
}

func readBlocks(r io.Reader) (string, error) {
	b, err := io.ReadAll(&wholeBlocks{body: io.NopCloser(r), heard: func() {}})
	return string(b), err
}

func TestWholeBlocks(t *testing.T) {
	tests := map[string]string{
		"":                             "",
		"data: a":                      "",
		"data: a\n":                    "",
		"data: a\n\n":                  "data: a\n\n",
		"data: a\n\ndata: b\n":         "data: a\n\n",
		"data: a\n\ndata: b\n\nid: 3":  "data: a\n\ndata: b\n\n",
		"data: a\r\n\r\ndata: b\r\n":   "data: a\r\n\r\n",
		"data: a\r\rdata: b\r":         "data: a\r\r",
		"data: a\r\n\ndata: b\n\r\nid": "data: a\r\n\ndata: b\n\r\n",
	}
	for in, want := range tests {
		for name, r := range map[string]io.Reader{
			"at once":      strings.NewReader(in),
			"by bytes":     iotest.OneByteReader(strings.NewReader(in)),
			"end with it":  iotest.DataErrReader(strings.NewReader(in)),
			"halves, ends": iotest.DataErrReader(iotest.HalfReader(strings.NewReader(in))),
		} {
			if got, err := readBlocks(r); got != want || err != nil {
				t.Errorf("%q, %s: %q, %v", in, name, got, err)
			}
		}
	}
	broken := errors.New("broken")
	got, err := readBlocks(io.MultiReader(strings.NewReader("id: 1\n\nid: 2"), iotest.ErrReader(broken)))
	if got != "id: 1\n\n" || !errors.Is(err, broken) {
		t.Errorf("%q, %v", got, err)
	}
}

func FuzzWholeBlocks(f *testing.F) {
	for _, seed := range []string{"", "a\n\nb", "a\r\n\r\nb\r", "\n\n\n", "\r\r\n\n\r"} {
		f.Add([]byte(seed), []byte("rest"))
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		all := append(slices.Clone(first), second...)
		got, err := readBlocks(io.MultiReader(bytes.NewReader(first), iotest.OneByteReader(bytes.NewReader(second))))
		if err != nil {
			t.Fatal(err)
		}
		// Nothing half, and everything whole; line feeds that end nothing may stay behind.
		if got != "" && endOfBlocks([]byte(got)) != len(got) || !strings.HasPrefix(string(all), got) {
			t.Errorf("%q in two parts gives %q", all, got)
		}
		if left := bytes.TrimLeft(all[len(got):], "\r\n"); endOfBlocks(left) != 0 {
			t.Errorf("%q in two parts gives %q, and keeps %q", all, got, left)
		}
	})
}
