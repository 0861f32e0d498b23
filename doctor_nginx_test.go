package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDoctorBehindNginx runs carillon doctor through a real nginx that does right and wrong, and reads a stream through
// the one that does right. It is skipped where there is no nginx, unless CARILLON_REQUIRE_NGINX is 1.
func TestDoctorBehindNginx(t *testing.T) {
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		if os.Getenv("CARILLON_REQUIRE_NGINX") == "1" {
			t.Fatal("nginx is not in PATH, and CARILLON_REQUIRE_NGINX is 1")
		}
		t.Skip("nginx is not in PATH; CARILLON_REQUIRE_NGINX=1 makes this a failure")
	}
	_, gateway := browse(t, nil, "--listen", "127.0.0.1:0", "--data", t.TempDir())
	proxies := []struct {
		name, location string
		args           []string
		exit           int
		checks         map[string]string // the results of some
	}{
		{"good", "proxy_http_version 1.1; proxy_set_header Connection '';", nil, 0,
			map[string]string{"protocol": "ok", "compression": "ok", "cut": "ok"}},
		{"old protocol", "proxy_http_version 1.0;", nil, 0, map[string]string{"protocol": "note"}},
		{"buffers", "proxy_http_version 1.1; proxy_ignore_headers X-Accel-Buffering; proxy_buffering on;", nil, 1,
			map[string]string{"buffering": "problem", "compression": "ok"}},
		{"compresses", "proxy_http_version 1.1; gzip on; gzip_types text/event-stream; gzip_proxied any; gzip_min_length 0;", nil, 1,
			map[string]string{"compression": "problem"}},
		{"cuts", "proxy_http_version 1.1; proxy_read_timeout 1s;", []string{"--silence", "4s"}, 1, map[string]string{"cut": "problem"}},
	}
	var servers strings.Builder
	addresses := make([]string, len(proxies))
	for i, p := range proxies {
		if addresses[i], err = freeAddress(); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&servers, "server { listen %s; location / { proxy_pass %s; proxy_set_header Host $http_host; %s } }\n",
			addresses[i], gateway, p.location)
	}
	startNginx(t, nginx, servers.String(), addresses)

	for i, p := range proxies {
		t.Run(p.name, func(t *testing.T) {
			args := append([]string{"doctor", "--json", "--ticks", "4", "--interval", "500ms", "--url", "http://" + addresses[i]}, p.args...)
			cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
			cmd.Args[0] = "carillon" // by which the test's binary knows what it is to be
			cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
			output, err := cmd.Output()
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) || cmd.ProcessState.ExitCode() != p.exit {
				t.Fatalf("ended with %v, want exit code %d\n%s", err, p.exit, output)
			}
			var verdict struct {
				OK     bool
				Checks []struct{ Name, Result, Says string }
			}
			if err := json.Unmarshal(output, &verdict); err != nil {
				t.Fatalf("%v in\n%s", err, output)
			}
			seen := 0
			for _, check := range verdict.Checks {
				want, named := p.checks[check.Name]
				if named {
					seen++
				}
				// What a busy machine did to the intervals is no fault of this proxy.
				if named && check.Result != want || !named && check.Result == "problem" && p.exit == 0 {
					t.Errorf("%s is %s, want %s: %s", check.Name, check.Result, want, check.Says)
				}
			}
			if verdict.OK != (p.exit == 0) || seen != len(p.checks) {
				t.Errorf("all in all %t, and %d of the checks\n%s", verdict.OK, seen, output)
			}
		})
	}
	t.Run("a stream", func(t *testing.T) { streamThrough(t, gateway, "http://"+addresses[0]) })
}

// streamThrough reads a stream through a proxy, loses it in the middle, and resumes.
func streamThrough(t *testing.T, gateway, proxy string) {
	last := ""
	next := 1
	for connection := range 3 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, proxy+"/v1/stream?topic=through.*", nil)
		if err != nil {
			t.Fatal(err)
		}
		if last != "" {
			req.Header.Set("Last-Event-ID", last)
		}
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(resp.Body)
		read := func(prefix string) string {
			t.Helper()
			for lines.Scan() {
				if rest, ok := strings.CutPrefix(lines.Text(), prefix); ok {
					return rest
				}
			}
			t.Fatalf("connection %d ended before %q: %v", connection, prefix, lines.Err())
			return ""
		}
		last = read("id: ") // it is open
		for range 3 {
			post(t, gateway, "through.nginx", "text/plain", fmt.Sprint("event ", next))
			last = read("id: ")
			if got := read("data: event "); got != fmt.Sprint(next) {
				t.Fatalf("got event %s, want %d", got, next)
			}
			next++
		}
		resp.Body.Close()
		// What nobody reads comes with the next connection, before what is posted then.
		post(t, gateway, "through.nginx", "text/plain", fmt.Sprint("event ", next))
		if connection == 2 {
			return
		}
		resumed, err := http.NewRequestWithContext(t.Context(), http.MethodGet, proxy+"/v1/stream?topic=through.*", nil)
		if err != nil {
			t.Fatal(err)
		}
		resumed.Header.Set("Last-Event-ID", last)
		if resp, err = http.DefaultTransport.RoundTrip(resumed); err != nil {
			t.Fatal(err)
		}
		lines = bufio.NewScanner(resp.Body)
		read("id: ")
		if got := read("data: "); got != `{"status":"resumed"}` {
			t.Fatalf("told %s", got)
		}
		last = read("id: ")
		if got := read("data: event "); got != fmt.Sprint(next) {
			t.Fatalf("resumed with event %s, want %d", got, next)
		}
		next++
		resp.Body.Close()
	}
}

// startNginx runs nginx with some servers until the test ends, and waits until all of them answer.
func startNginx(t *testing.T, nginx, servers string, addresses []string) {
	t.Helper()
	dir := t.TempDir()
	user := ""
	if os.Getuid() == 0 {
		user = "user root;" // its workers could not reach the directory otherwise
	}
	config := fmt.Sprintf(`%s
daemon off;
pid %[2]s/nginx.pid;
error_log %[2]s/error.log warn;
events {}
http {
	access_log off;
	client_body_temp_path %[2]s/body;
	proxy_temp_path %[2]s/proxy;
	fastcgi_temp_path %[2]s/fastcgi;
	uwsgi_temp_path %[2]s/uwsgi;
	scgi_temp_path %[2]s/scgi;
	%[3]s
}
`, user, dir, servers)
	path := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(path, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(nginx, "-p", dir, "-c", path, "-e", filepath.Join(dir, "error.log"))
	var said transcript
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGQUIT) // its error is that nginx has ended
		select {
		case <-ended:
		case <-time.After(patience):
			_ = cmd.Process.Kill()
			<-ended
		}
		if text, err := os.ReadFile(filepath.Join(dir, "error.log")); err == nil && t.Failed() {
			t.Logf("nginx said:\n%s%s", &said, text)
		}
	})
	deadline := time.After(patience)
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for _, address := range addresses {
		for {
			resp, err := http.Get("http://" + address + "/healthz")
			if err == nil {
				resp.Body.Close()
				break
			}
			select {
			case err := <-ended:
				ended <- err
				t.Fatalf("nginx ended: %v\n%s", err, &said)
			case <-deadline:
				t.Fatalf("nginx does not listen on %s: %v", address, err)
			case <-again.C:
			}
		}
	}
}
