package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// nginxConfig has a route for each thing that nginx can do to streams. It takes the directory for nginx's own files, its
// address and the gateway's. A single process is all there is to end, and it runs as whoever runs the test.
const nginxConfig = `
daemon off;
master_process off;
worker_processes 1;
pid %[1]s/nginx.pid;
error_log stderr warn;
events { worker_connections 256; }
http {
	access_log off;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	proxy_set_header Host $http_host;
	proxy_set_header Connection "";
	proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
	proxy_http_version 1.1;
	proxy_read_timeout 1h;
	server {
		listen %[2]s;
		location /good/ { proxy_pass http://%[3]s/; }
		location /old/ {
			proxy_http_version 1.0;
			proxy_pass http://%[3]s/;
		}
		location /buffering/ {
			# Some versions pass on the chunks of HTTP/1.1 as they come, buffers or not.
			proxy_http_version 1.0;
			proxy_buffering on;
			proxy_buffer_size 16k;
			proxy_buffers 8 16k;
			proxy_ignore_headers X-Accel-Buffering;
			proxy_pass http://%[3]s/;
		}
		location /compressing/ {
			gzip on;
			gzip_proxied any;
			gzip_types text/event-stream;
			proxy_pass http://%[3]s/;
		}
		location /cutting/ {
			proxy_read_timeout 3s;
			proxy_pass http://%[3]s/;
		}
		location /renaming/ {
			proxy_hide_header Cache-Control;
			add_header Cache-Control "public, max-age=60";
			proxy_pass http://%[3]s/;
		}
	}
}
`

// startNginx starts an nginx in front of a gateway, and returns its URL.
func startNginx(t *testing.T, gateway string) string {
	t.Helper()
	path, err := exec.LookPath("nginx")
	if err != nil {
		// Only root has it in PATH on some systems.
		path, err = exec.LookPath("/usr/sbin/nginx")
	}
	if err != nil {
		if os.Getenv("CARILLON_REQUIRE_NGINX") == "1" {
			t.Fatal("there is no nginx in PATH, and CARILLON_REQUIRE_NGINX is 1")
		}
		t.Skip("there is no nginx in PATH; CARILLON_REQUIRE_NGINX=1 makes this a failure")
	}
	address, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "nginx.conf")
	text := fmt.Sprintf(nginxConfig, dir, address, strings.TrimPrefix(gateway, "http://"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := run(dir, []string{"PATH=" + os.Getenv("PATH")}, exec.Command(path, "-p", dir, "-e", "stderr", "-c", config))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.signal(syscall.SIGTERM); err != nil {
			t.Log("stopping nginx: ", err)
		}
		if t.Failed() {
			t.Logf("nginx said\n%s", &p.stderr)
		}
	})
	waitUntil(t, patience, "nginx to listen", func() bool {
		select {
		case <-p.exited:
			t.Fatalf("nginx did not start: %v\n%s", p.err, &p.stderr)
		default:
		}
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return false
		}
		conn.Close()
		return true
	})
	return "http://" + address
}

// verdict is what carillon doctor prints for machines, and its exit code.
type verdict struct {
	OK     bool
	Checks []struct {
		Name, Result, Says string
		Do                 []string
	}
	Arrival *struct {
		Protocol string
		Headers  map[string][]string
	}
	code int
}

// startDoctor starts carillon doctor.
func startDoctor(t *testing.T, url string, args ...string) *process {
	t.Helper()
	p, err := start(t.TempDir(), []string{"PATH=" + os.Getenv("PATH")}, append([]string{"doctor", "--json", "--url", url}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	return p
}

// awaitVerdict waits until a doctor has ended.
func awaitVerdict(t *testing.T, p *process) verdict {
	t.Helper()
	if err := p.wait(); err != nil {
		t.Fatal(err)
	}
	v := verdict{code: p.cmd.ProcessState.ExitCode()}
	if err := json.Unmarshal([]byte(p.stdout.String()), &v); err != nil {
		t.Fatalf("%v: %s%s", err, &p.stdout, &p.stderr)
	}
	return v
}

// TestDoctorBehindNginx has carillon doctor look at a gateway through the real nginx, which does to streams what it can
// be set up to do. It is skipped where there is no nginx, unless CARILLON_REQUIRE_NGINX is 1.
func TestDoctorBehindNginx(t *testing.T) {
	t.Parallel() // most of the time the doctors wait for ticks
	_, gateway := browse(t, nil, "--listen", "127.0.0.1:0", "--data", t.TempDir())
	proxy := startNginx(t, gateway)
	// Where nothing is to be found, half of the ticks would have to be read a second and a half late for a verdict.
	steady := []string{"--ticks", "3", "--interval", "2s", "--silence", "4s"}
	short := []string{"--ticks", "4", "--interval", "500ms"}
	tests := []struct {
		url      string
		args     []string
		code     int
		protocol string // of the request at the gateway
		// The results that a check must have. The others are left open where the fault, or the load, may touch them.
		results map[string]string
		says    map[string]string
		advice  map[string]string
	}{
		{gateway, steady, 0, "HTTP/1.1", map[string]string{"protocol": "ok", "headers": "ok", "compression": "ok", "cut": "ok"},
			map[string]string{"cut": "lived through 4s of silence"}, nil},
		{proxy + "/good", steady, 0, "HTTP/1.1", map[string]string{"protocol": "ok", "headers": "note", "compression": "ok", "cut": "ok"},
			map[string]string{"cut": "lived through 4s of silence", "protocol": "X-Forwarded-For: 127.0.0.1"},
			map[string]string{"headers": "proxy_pass_header X-Accel-Buffering"}},
		{proxy + "/old", steady, 0, "HTTP/1.0", map[string]string{"protocol": "note", "compression": "ok", "cut": "ok"},
			map[string]string{"protocol": "as HTTP/1.0"}, map[string]string{"protocol": "proxy_http_version 1.1"}},
		{proxy + "/buffering", short, 1, "HTTP/1.0", map[string]string{"buffering": "problem", "compression": "ok", "cut": "ok"},
			map[string]string{"buffering": "Something between buffers"}, map[string]string{"buffering": "X-Accel-Buffering"}},
		{proxy + "/compressing", short, 1, "HTTP/1.1", map[string]string{"compression": "problem", "cut": "ok"},
			map[string]string{"compression": "(gzip)"}, map[string]string{"compression": "gzip_types"}},
		{proxy + "/cutting", []string{"--ticks", "2", "--interval", "250ms", "--silence", "30s"}, 1, "HTTP/1.1",
			map[string]string{"cut": "problem", "compression": "ok"},
			map[string]string{"cut": "Something cut the answer off"}, map[string]string{"cut": "proxy_read_timeout"}},
		{proxy + "/renaming", short, 1, "HTTP/1.1", map[string]string{"headers": "problem", "cut": "ok"},
			map[string]string{"headers": `Cache-Control is "public, max-age=60", and lacks no-store`}, map[string]string{"headers": "proxy_hide_header"}},
	}
	var doctors []*process
	for _, tt := range tests {
		doctors = append(doctors, startDoctor(t, tt.url, tt.args...))
	}
	t.Run("a stream", func(t *testing.T) { streamThroughNginx(t, gateway, proxy+"/good") })
	for i, tt := range tests {
		name := strings.TrimPrefix(tt.url, proxy+"/")
		if tt.url == gateway {
			name = "nothing between"
		}
		t.Run(name, func(t *testing.T) {
			v := awaitVerdict(t, doctors[i])
			if v.code != tt.code || v.OK != (tt.code == 0) {
				t.Errorf("exit code %d, ok %v", v.code, v.OK)
			}
			if v.Arrival == nil || v.Arrival.Protocol != tt.protocol {
				t.Errorf("the request arrived as %+v", v.Arrival)
			}
			results := map[string]string{}
			for _, c := range v.Checks {
				if want := tt.results[c.Name]; want != "" {
					results[c.Name] = c.Result
					if c.Result != want {
						t.Errorf("%s is %s, not %s: %s", c.Name, c.Result, want, c.Says)
					}
				}
				if !strings.Contains(c.Says, tt.says[c.Name]) {
					t.Errorf("%s: %q does not say %q", c.Name, c.Says, tt.says[c.Name])
				}
				if want := tt.advice[c.Name]; !strings.Contains(strings.Join(c.Do, "\n"), want) {
					t.Errorf("%s: %q does not advise %q", c.Name, c.Do, want)
				}
			}
			if len(results) != len(tt.results) {
				t.Errorf("only %v was looked at", results)
			}
		})
	}
}

// streamThroughNginx reads a stream through nginx by a client that resumes by itself: events come while the stream is
// open, and none is missing or comes twice after its connection was cut, in the middle of an event or between two.
func streamThroughNginx(t *testing.T, gateway, proxy string) {
	base, err := url.Parse(proxy)
	if err != nil {
		t.Fatal(err)
	}
	r := newRelay(t, "http://"+base.Host)
	got := &tally{}
	ctx, stop := context.WithCancel(t.Context())
	var listening sync.WaitGroup
	defer listening.Wait()
	defer stop()
	listening.Go(func() {
		if err := launchDarkly(ctx, r.url+base.Path+"/v1/stream?topic=through.nginx", got); err != nil {
			t.Error("the client ended: ", err)
		}
	})
	first := r.awaitStream(t, 1, "\n\n")
	if server := first.answer.Header.Get("Server"); !strings.HasPrefix(server, "nginx") {
		t.Errorf("it is %q that answers", server)
	}

	var want []heard
	publish := func(payload string) {
		t.Helper()
		cursor, err := insist(t.Context(), gateway, "through.nginx", payload, payload)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, heard{cursor, "", payload})
	}
	await := func() {
		t.Helper()
		last := want[len(want)-1].ID
		waitUntil(t, patience, "the last event to come through", func() bool { return got.has(last) })
	}
	for _, payload := range []string{"one", "two", "three"} {
		publish(payload)
		await() // with no more events to push it out, and the stream still open
	}
	r.cut()
	publish("while nobody listened")
	publish("nor now")
	await()
	r.cutBehind("HERE")
	publish("half HERE and\nmore")
	publish("the last")
	await()
	stop()
	listening.Wait()

	if d := difference(got.events, want); d != "" {
		t.Error(d)
	}
	if len(got.notices) < 2 || slices.ContainsFunc(got.notices, func(n string) bool { return !strings.Contains(n, `"resumed"`) }) {
		t.Errorf("the gateway said %q", got.notices)
	}
	for _, e := range r.streams()[1:] {
		if e.request.Header.Get("Last-Event-ID") == "" {
			t.Error("the client came back without an id")
		}
	}
}
