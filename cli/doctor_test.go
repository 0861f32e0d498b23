package cli

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// patient is a gateway that a doctor examines, with what stands between; it is for a synctest bubble.
type patient struct {
	protocol string              // of the request at the gateway; empty: HTTP/1.1
	proxies  map[string][]string // the request's headers there
	status   string              // of the last block; empty: complete
	header   map[string]string   // of the answer, where it is not the gateway's; empty: taken away

	head time.Duration                                 // when the answer's head comes
	came func(n int, sent time.Duration) time.Duration // when block n comes; nil: when it was sent
	cut  int                                           // how many blocks come before the end; 0: all
	at   time.Duration                                 // when it is cut off
	how  error                                         // what the cut is; nil: a clean end
	gzip bool
}

// RoundTrip implements [http.RoundTripper].
func (p *patient) RoundTrip(r *http.Request) (*http.Response, error) {
	begun := time.Now()
	time.Sleep(p.head)
	header := http.Header{
		"Content-Type": {"text/event-stream"}, "Cache-Control": {"no-store, no-transform"}, "X-Accel-Buffering": {"no"},
	}
	for name, value := range p.header {
		if value == "" {
			header.Del(name)
		} else {
			header.Set(name, value)
		}
	}
	body, out := io.Pipe()
	context.AfterFunc(r.Context(), func() { out.CloseWithError(r.Context().Err()) })
	go p.answer(r.Context(), out, begun, r.URL.Query())
	return &http.Response{StatusCode: 200, Proto: "HTTP/1.1", Header: header, Body: body}, nil
}

// blocks are a doctor's, with when they are sent.
func (p *patient) blocks(q url.Values) (texts []string, sent []time.Duration) {
	parse := func(name string) time.Duration {
		d, err := time.ParseDuration(q.Get(name))
		if err != nil && q.Has(name) {
			panic(err)
		}
		return d
	}
	var ticks int
	fmt.Sscan(q.Get("ticks"), &ticks)
	interval, silence := parse("interval"), parse("silence")
	// The gateway's clock is a year behind.
	clock := time.Now().AddDate(-1, 0, 0)
	add := func(event string, at time.Duration, data any) {
		text, err := json.Marshal(data)
		if err != nil {
			panic(err)
		}
		texts, sent = append(texts, fmt.Sprintf(": a comment\nevent: %s\ndata: %s\n\n", event, text)), append(sent, at)
	}
	protocol, status := "HTTP/1.1", "complete"
	if p.protocol != "" {
		protocol = p.protocol
	}
	if p.status != "" {
		status = p.status
	}
	add("doctor", 0, requestArrival{protocol, "192.0.2.7:4711", "events.example.com", p.proxies, clock})
	at := time.Duration(0)
	for range ticks {
		at += interval
		add("tick", at, map[string]any{"sent": clock.Add(at)})
	}
	if silence > 0 {
		at += silence
		add("tick", at, map[string]any{"sent": clock.Add(at)})
	}
	add("done", at, map[string]string{"status": status})
	return texts, sent
}

// answer writes until ctx ends, which it does when the reader has seen enough. Its errors are those of a reader that has
// left.
func (p *patient) answer(ctx context.Context, out *io.PipeWriter, begun time.Time, q url.Values) {
	texts, sent := p.blocks(q)
	write := func(text string) { _, _ = io.WriteString(out, text) }
	if p.gzip {
		z := gzip.NewWriter(out)
		write = func(text string) {
			_, _ = io.WriteString(z, text)
			_ = z.Flush()
		}
	}
	// Whether what comes at the very moment at which ctx ends still comes is nobody's promise; nothing does after it.
	waitUntil := func(at time.Duration) {
		select {
		case <-time.After(time.Until(begun.Add(at))):
		case <-ctx.Done():
		}
	}
	for n, text := range texts {
		if p.cut > 0 && n >= p.cut || p.at > 0 && p.cut == 0 {
			break
		}
		at := sent[n]
		if p.came != nil {
			at = p.came(n, at)
		}
		waitUntil(at)
		if ctx.Err() != nil {
			return // the pipe is closed with ctx's error
		}
		write(text)
	}
	waitUntil(p.at)
	out.CloseWithError(p.how)
}

// examined is what a doctor says of the patient.
func (p *patient) examined(t *testing.T, plan doctorPlan) (*diagnosis, error) {
	t.Helper()
	e := examiner{
		client: &http.Client{Transport: p}, url: &url.URL{Scheme: "http", Host: "gateway", Path: "/v1/stream/doctor"},
		header: http.Header{}, plan: plan,
	}
	seen, err := e.examine(t.Context())
	if err != nil {
		return nil, err
	}
	return diagnose(seen), nil
}

// allAt is when blocks come that are held back until then.
func allAt(at time.Duration) func(int, time.Duration) time.Duration {
	return func(int, time.Duration) time.Duration { return at }
}

func TestDoctorsVerdicts(t *testing.T) {
	const ms = time.Millisecond
	usual := doctorPlan{Ticks: 8, Interval: 250 * ms}
	silent := doctorPlan{Ticks: 2, Interval: 250 * ms, Silence: 70 * time.Second}
	broken := errors.New("connection reset by peer")
	tests := []struct {
		name    string
		patient patient
		plan    doctorPlan
		wrong   map[string]result // the checks that are not ok
		says    map[string]string // parts of what checks say
		do      map[string]string // and of what is to be done
	}{
		{"all is well", patient{}, usual, nil, map[string]string{
			"first byte": "began 0s after", "protocol": "as HTTP/1.1 from 192.0.2.7:4711; the answer is HTTP/1.1.",
			"headers": "are the gateway's", "compression": "is not compressed", "buffering": "8 ticks came one by one", "cut": "was not tried: --silence",
		}, nil},
		{"a long way", patient{head: 100 * ms, came: func(_ int, sent time.Duration) time.Duration { return sent + 300*ms }}, usual, nil,
			map[string]string{"first byte": "began 300ms after", "buffering": "one by one"}, nil},
		{"silence is lived through", patient{}, silent, nil, map[string]string{"cut": "lived through 1m10s of silence", "buffering": "3 ticks"}, nil},
		{"late", patient{head: 2100 * ms, came: func(_ int, sent time.Duration) time.Duration { return sent + 2500*ms }}, usual,
			map[string]result{"first byte": remark}, map[string]string{"first byte": "began 2.5s after the request, connecting included. The gateway itself answers at once"}, nil},

		{"buffered whole", patient{came: allAt(2 * time.Second)}, usual, map[string]result{"buffering": trouble},
			map[string]string{"buffering": "of 8 ticks, sent 250ms apart, 8 came together", "cut": "was not tried"},
			map[string]string{"buffering": "X-Accel-Buffering"}},
		{"buffered, and the silence is lost", patient{came: allAt(71 * time.Second)}, silent,
			map[string]result{"buffering": trouble, "first byte": remark}, map[string]string{"buffering": "of 3 ticks, sent 250ms apart, 3 came"}, nil},
		{"flushed by a timer", patient{came: func(_ int, sent time.Duration) time.Duration { return sent.Truncate(500*ms) + 500*ms }}, usual,
			map[string]result{"buffering": trouble}, map[string]string{"buffering": "4 came together"}, nil},
		{"an unsteady line", patient{came: func(n int, sent time.Duration) time.Duration {
			if n == 3 || n == 6 {
				return sent + 240*ms
			}
			return sent
		}}, usual, map[string]result{"buffering": remark}, map[string]string{"buffering": "2 of 8"}, map[string]string{"buffering": "--interval 1s"}},

		{"gzip", patient{gzip: true, header: map[string]string{"Content-Encoding": "gzip"}}, usual, map[string]result{"compression": trouble},
			map[string]string{"compression": "(gzip)", "buffering": "8 ticks came one by one", "cut": "Nothing cut"}, map[string]string{"compression": "gzip_types"}},
		{"gzip that collects", patient{gzip: true, came: allAt(time.Second), header: map[string]string{"Content-Encoding": "gzip"}}, usual,
			map[string]result{"compression": trouble, "buffering": trouble}, nil, nil},
		{"brotli", patient{header: map[string]string{"Content-Encoding": "br"}}, usual,
			map[string]result{"compression": trouble, "buffering": unclear, "cut": unclear, "protocol": unclear}, map[string]string{"buffering": "does not read br"}, nil},

		{"cut in the silence", patient{cut: 3, at: 60500 * ms}, silent, map[string]result{"cut": trouble},
			map[string]string{"cut": "(as if it were complete), after 1m0s without a word, when 2 of 3 ticks had come. A real stream is never silent for longer than 15s"},
			map[string]string{"cut": "proxy_read_timeout"}},
		{"cut early in the silence", patient{cut: 3, at: 1500 * ms, how: broken}, silent, map[string]result{"cut": trouble},
			map[string]string{"cut": "(connection reset by peer), after 1s without a word, when 2 of 3 ticks had come."}, nil},
		{"cut among the ticks", patient{cut: 5, at: time.Second, how: io.ErrUnexpectedEOF}, usual, map[string]result{"cut": trouble},
			map[string]string{"cut": "(unexpected EOF), after 0s without a word, when 4 of 8 ticks had come.", "buffering": "4 ticks came one by one"}, nil},
		{"cut before a tick", patient{cut: 1, at: 100 * ms}, usual, map[string]result{"cut": trouble, "buffering": unclear},
			map[string]string{"cut": "when no tick had come"}, nil},
		{"cut before anything", patient{at: 100 * ms, head: 50 * ms}, usual, map[string]result{"cut": trouble, "buffering": unclear, "protocol": unclear},
			map[string]string{"cut": "after 50ms without a word, when nothing had come", "protocol": "did not come", "first byte": "50ms"}, nil},
		{"hangs", patient{cut: 2, at: time.Hour}, usual, map[string]result{"cut": trouble}, map[string]string{"cut": "The answer hangs: after 31.8s without a word"}, nil},
		{"buffered and cut", patient{cut: 9, came: allAt(5 * time.Second), at: 5 * time.Second}, usual,
			map[string]result{"cut": trouble, "buffering": trouble, "first byte": remark}, nil, nil},
		{"the gateway stops", patient{status: "stopping"}, usual, map[string]result{"cut": unclear}, map[string]string{"cut": "Run it again"}, nil},

		{"HTTP/1.0", patient{protocol: "HTTP/1.0", proxies: map[string][]string{"Via": {"1.1 a", "1.0 b"}, "Accept-Encoding": {"gzip"}, "Cf-Ray": {"1"}}}, usual,
			map[string]result{"protocol": remark}, map[string]string{"protocol": "themselves: Cf-Ray: 1; Via: 1.1 a, 1.0 b."}, map[string]string{"protocol": "proxy_http_version 1.1"}},
		{"nginx", patient{header: map[string]string{"X-Accel-Buffering": ""}}, usual, map[string]result{"headers": remark}, nil,
			map[string]string{"headers": "proxy_pass_header X-Accel-Buffering"}},
		{"Cache-Control taken away", patient{header: map[string]string{"Cache-Control": ""}}, usual, map[string]result{"headers": trouble},
			map[string]string{"headers": "Cache-Control is missing, and lacks no-store; Cache-Control is missing, and lacks no-transform."}, nil},
		{"Cache-Control replaced", patient{header: map[string]string{"Cache-Control": "No-Store, max-age=0"}}, usual, map[string]result{"headers": trouble},
			map[string]string{"headers": `answer's headers: Cache-Control is "No-Store, max-age=0", and lacks no-transform.`}, nil},
		{"Content-Type changed", patient{header: map[string]string{"Content-Type": "text/plain"}}, usual, map[string]result{"headers": trouble},
			map[string]string{"headers": `Content-Type is "text/plain", not text/event-stream`}, map[string]string{"headers": "default_type"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, err := tt.patient.examined(t, tt.plan)
				if err != nil {
					t.Fatal(err)
				}
				byName, wrong, ok := map[string]check{}, map[string]result{}, true
				for _, c := range d.Checks {
					byName[c.Name] = c
					if c.Result != fine {
						wrong[c.Name] = c.Result
					}
					if c.Result == trouble || c.Result == unclear {
						ok = false
					}
					if c.Result == trouble && len(c.Do) == 0 {
						t.Errorf("%s does not say what to do", c.Name)
					}
				}
				if !maps.Equal(wrong, tt.wrong) {
					t.Errorf("not ok are %v, want %v", wrong, tt.wrong)
				}
				if d.OK != ok {
					t.Errorf("all in all: %v", d.OK)
				}
				for name, want := range tt.says {
					if got := byName[name].Says; !strings.Contains(got, want) {
						t.Errorf("%s: %q does not say %q", name, got, want)
					}
				}
				for name, want := range tt.do {
					if got := strings.Join(byName[name].Do, "\n"); !strings.Contains(got, want) {
						t.Errorf("%s: %q does not advise %q", name, got, want)
					}
				}
			})
		})
	}
}

func TestDoctorsVerdictForPeople(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := patient{came: allAt(500 * time.Millisecond), proxies: map[string][]string{"Via": {"1.1 \x1b[31mred"}}}
		d, err := p.examined(t, doctorPlan{Ticks: 2, Interval: 250 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		if err := d.print(&out); err != nil {
			t.Fatal(err)
		}
		const want = `http://gateway/v1/stream/doctor

ok       first byte   The answer began 500ms after the request, connecting included.
ok       protocol     The request arrived at the gateway as HTTP/1.1 from 192.0.2.7:4711; the answer is
                      HTTP/1.1. Proxies said of themselves: Via: 1.1 [31mred.
ok       headers      The answer's headers are the gateway's.
ok       compression  The answer is not compressed, though gzip was offered.
problem  buffering    Something between buffers: of 2 ticks, sent 250ms apart, 2 came together with what was
                      sent before. Events will be late by as much as it holds back.
                        - nginx: heed the gateway's X-Accel-Buffering (no proxy_ignore_headers for it), or
                          proxy_buffering off; on this route
                        - nginx behind nginx: proxy_pass_header X-Accel-Buffering; in the inner one, or
                          proxy_buffering off; in both
                        - HAProxy: it passes on what comes; no http-response wait-for-body and no compression
                          on this route
                        - ALB: only with a Lambda function as target; use another kind of target
                        - Cloudflare, CDNs: no rule, worker or scan on this route that reads answers whole;
                          bypass the cache for it
ok       cut          Nothing cut the answer. Whether something cuts what is idle was not tried: --silence 70s
                      does.

Streams do not come through as they should.
`
		if out.String() != want {
			t.Errorf("printed\n%s", out.String())
		}
		full := errors.New("no space left")
		if err := d.print(brokenWriter{full}); !errors.Is(err, full) {
			t.Errorf("printing ended with %v", err)
		}
	})
}

// brokenWriter fails.
type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }

func TestDoctorGivesUpWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		e := examiner{
			client: &http.Client{Transport: &patient{}}, url: &url.URL{Scheme: "http", Host: "gateway"}, header: http.Header{},
			plan: doctorPlan{Ticks: 8, Interval: 250 * time.Millisecond},
		}
		if seen, err := e.examine(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%+v, %v", seen, err)
		}
	})
}

// doctored is a gateway's doctor that does not take its time: ticks are said to have been sent an hour apart.
func doctored(w http.ResponseWriter, ticks int) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store, no-transform")
	at := time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC)
	fmt.Fprintf(w, "event: doctor\ndata: {\"protocol\":\"HTTP/1.1\",\"time\":%q}\n\n", at.Format(time.RFC3339))
	for n := range ticks {
		fmt.Fprintf(w, "event: tick\ndata: {\"n\":%d,\"sent\":%q}\n\n", n+1, at.Add(time.Duration(n+1)*time.Hour).Format(time.RFC3339))
	}
	fmt.Fprint(w, "event: done\ndata: {\"status\":\"complete\"}\n\n")
}

func TestDoctorAsksAndExits(t *testing.T) {
	var asked *http.Request
	p := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r
		doctored(w, 2)
	})
	code, stdout, stderr := run(t, p, "doctor", "--ticks", "2", "--interval", "100ms", "--silence", "6s")
	if code != 1 || !strings.Contains(stdout, "problem  buffering") || stderr != "carillon: this takes 6.2s\n" {
		t.Errorf("code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	if asked.Method != "GET" || asked.URL.String() != "/v1/stream/doctor?interval=100ms&silence=6s&ticks=2" {
		t.Errorf("%s %s", asked.Method, asked.URL)
	}
	for name, want := range map[string]string{
		"Authorization": "Bearer correct-horse", "Accept-Encoding": "gzip", "Accept": "text/event-stream",
	} {
		if got := asked.Header.Values(name); !slices.Equal(got, []string{want}) {
			t.Errorf("%s is %q", name, got)
		}
	}

	code, stdout, stderr = run(t, p, "doctor", "--ticks", "2", "--json")
	var report struct {
		OK     bool
		Checks []struct {
			Name, Result, Says string
			Do                 []string
		}
		Arrival *struct{ Protocol string }
		Ticks   []struct {
			SentMS int64 `json:"sent_ms"`
			CameMS int64 `json:"came_ms"`
		}
	}
	if err := json.Unmarshal([]byte(stdout), &report); err != nil {
		t.Fatalf("%v: %s", err, stdout)
	}
	if code != 1 || stderr != "" || report.OK || len(report.Checks) != 6 || report.Arrival.Protocol != "HTTP/1.1" {
		t.Errorf("code %d, stderr %q, %+v", code, stderr, report)
	}
	if len(report.Ticks) != 2 || report.Ticks[1].SentMS != 7_200_000 || report.Ticks[1].CameMS > 3_600_000 {
		t.Errorf("ticks %+v", report.Ticks)
	}
	for _, c := range report.Checks {
		if (c.Name == "buffering") != (c.Result == "problem") || (c.Result == "problem") != (len(c.Do) > 0 && c.Name != "headers") {
			t.Errorf("%+v", c)
		}
	}
}

func TestDoctorWithoutAnAnswer(t *testing.T) {
	answers := map[string]http.HandlerFunc{
		"401": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(401)
			fmt.Fprint(w, `{"title":"A key is needed","status":401,"detail":"Show one."}`)
		},
		"502 Bad Gateway": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) },
		`no event stream is served there, but "text/html`: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprint(w, "<html><body>Please log in.\n\n</body></html>")
		},
	}
	for want, h := range answers {
		code, stdout, stderr := run(t, serveHTTP(t, h), "doctor", "--json")
		if code != 1 || stdout != "" || !strings.Contains(stderr, want) {
			t.Errorf("code %d, stdout %q, stderr %q, want %q", code, stdout, stderr, want)
		}
	}
	code, _, stderr := run(t, Process{}, "doctor", "--url", "nonsense")
	if code != 2 || !strings.Contains(stderr, "--url") {
		t.Errorf("code %d, stderr %q", code, stderr)
	}
}
