package cli

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// serveHTTP starts a gateway that is only a handler, and returns the environment that leads to it.
func serveHTTP(t *testing.T, h http.HandlerFunc) Process {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return Process{LookupEnv: lookup(map[string]string{"CARILLON_URL": s.URL, "CARILLON_KEY": "correct-horse"})}
}

func TestPublishSendsWhatItWasTold(t *testing.T) {
	file := filepath.Join(t.TempDir(), "payload")
	if err := os.WriteFile(file, []byte("\x00\xff"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		args   []string
		stdin  string
		body   string
		header map[string]string
		query  string
	}{
		{"json", []string{`{"a": 1}`}, "", `{"a": 1}`, map[string]string{"Content-Type": "application/json", "Prefer": ""}, ""},
		{"text", []string{"hello"}, "", "hello", map[string]string{"Content-Type": "text/plain; charset=utf-8"}, ""},
		{"nothing", []string{""}, "", "", map[string]string{"Content-Type": "text/plain; charset=utf-8"}, ""},
		{"file", []string{"@" + file}, "", "\x00\xff", map[string]string{"Content-Type": "application/octet-stream"}, ""},
		{"stdin", []string{"-"}, "from afar", "from afar", nil, ""},
		{"stdin unasked", nil, "from afar", "from afar", nil, ""},
		{"own type", []string{"<a/>", "--content-type", "text/xml"}, "", "<a/>", map[string]string{"Content-Type": "text/xml"}, ""},
		{"keys", []string{"x", "--idempotency-key", "i", "--partition-key", "p"}, "", "x",
			map[string]string{"Idempotency-Key": "i", "Carillon-Partition-Key": "p"}, ""},
		{"wait", []string{"x", "--wait", "1500ms", "--respond", "all"}, "", "x", map[string]string{"Prefer": "wait=2"}, "respond=all"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method != "POST" || r.URL.Path != "/v1/topics/orders.created/events" || r.URL.RawQuery != tt.query {
					t.Errorf("%s %s", r.Method, r.URL)
				}
				if got := r.Header.Get("Authorization"); got != "Bearer correct-horse" {
					t.Errorf("Authorization is %q", got)
				}
				for name, want := range tt.header {
					if got := r.Header.Get(name); got != want {
						t.Errorf("%s is %q", name, got)
					}
				}
				if b, err := io.ReadAll(r.Body); err != nil || string(b) != tt.body {
					t.Errorf("body %q, %v", b, err)
				}
				w.WriteHeader(http.StatusAccepted)
				fmt.Fprint(w, `{"id":"1"}`)
			})
			p.Stdin = strings.NewReader(tt.stdin)
			code, stdout, stderr := run(t, p, append([]string{"publish", "orders.created"}, tt.args...)...)
			if code != 0 || stdout != `{"id":"1"}`+"\n" {
				t.Errorf("code %d, stdout %q, stderr %q", code, stdout, stderr)
			}
		})
	}
}

func TestPublishTellsWhatCameBack(t *testing.T) {
	answer := func(status int, body string, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}
	}
	problem := []string{"Content-Type", "application/problem+json"}
	tests := []struct {
		name   string
		h      http.HandlerFunc
		args   []string
		code   int
		stdout string
		stderr []string
	}{
		{"problem", answer(422, `{"type":"x","title":"Not acceptable","status":422,"detail":"Look again.","errors":[{"field":"topic","detail":"is empty"}]}`, problem...),
			nil, 1, "", []string{"422 Not acceptable: Look again.\n", "topic: is empty"}},
		{"no key", answer(401, `{"title":"A key is needed","status":401,"detail":"Show one."}`, problem...),
			nil, 1, "", []string{"401 A key is needed: Show one. (set CARILLON_KEY or --key)\n"}},
		{"a key that may not", answer(403, ""), nil, 1, "", []string{"403 Forbidden\n"}},
		{"webhook that wants a key", answer(401, "who?", "Carillon-Webhook-Id", "w1"), []string{"--wait", "5s"}, 1, "who?\n", []string{"webhook w1 answered 401 Unauthorized\n"}},
		{"half a problem", answer(500, `{"title":`, problem...), nil, 1, "", []string{"500 Internal Server Error"}},
		{"something in front", answer(502, "<html>", "Content-Type", "text/html"), nil, 1, "", []string{"502 Bad Gateway"}},
		{"webhook's answer", answer(200, "pong", "Carillon-Webhook-Id", "w1"), []string{"--wait", "5s"}, 0, "pong\n", nil},
		{"webhook's refusal", answer(404, "no\n", "Carillon-Webhook-Id", "w1"), []string{"--wait", "5s"}, 1, "no\n", []string{"w1", "404"}},
		{"wait is over", answer(202, "{}"), []string{"--wait", "5s"}, 0, "{}\n", []string{"no answer within 5s"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, stdout, stderr := run(t, serveHTTP(t, tt.h), append([]string{"publish", "a", "b"}, tt.args...)...)
			if code != tt.code || stdout != tt.stdout {
				t.Errorf("code %d, stdout %q", code, stdout)
			}
			for _, want := range tt.stderr {
				if !strings.Contains(stderr, want) {
					t.Errorf("stderr %q does not say %q", stderr, want)
				}
			}
			if tt.stderr == nil && stderr != "" {
				t.Errorf("stderr %q", stderr)
			}
		})
	}
}

func TestPublishWithoutAGateway(t *testing.T) {
	s := httptest.NewServer(nil)
	s.Close()
	code, stdout, stderr := run(t, Process{}, "publish", "a", "b", "--url", s.URL, "--key", "correct-horse")
	if code != 1 || stdout != "" || !strings.Contains(stderr, "refused") {
		t.Errorf("code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	if strings.Contains(stderr, "correct-horse") {
		t.Errorf("the key is shown: %s", stderr)
	}
}
