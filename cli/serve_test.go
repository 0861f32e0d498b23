package cli

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"regexp"
	"strings"
	"testing"
)

// serving runs carillon serve and returns the line that says where it listens. stop ends it and returns how it ended.
func serving(t *testing.T, env map[string]string, args ...string) (line string, stop func() (code int, stderr string)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, stdout := io.Pipe()
	var stderr bytes.Buffer // read when all who write to it have ended
	var environ []string
	for name, value := range env {
		environ = append(environ, name+"="+value)
	}
	ended := make(chan int, 1)
	go func() {
		code := Main(ctx, Process{Args: append([]string{"serve"}, args...), Stdout: stdout, Stderr: &stderr, LookupEnv: lookup(env), Environ: environ})
		stdout.Close()
		ended <- code
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		cancel()
		t.Fatalf("serve ended with %d: %s", <-ended, stderr.String())
	}
	stopped := false
	stop = func() (int, string) {
		stopped = true
		cancel()
		return <-ended, stderr.String()
	}
	t.Cleanup(func() {
		if !stopped {
			stop()
		}
	})
	return strings.TrimSuffix(line, "\n"), stop
}

func TestServeSaysWhereItCanBeFound(t *testing.T) {
	key := map[string]string{"CARILLON_ADMIN_KEY": "0123456789abcdef"}
	for listen, want := range map[string]string{
		"127.0.0.1:0": `^carillon listens on http://127\.0\.0\.1:[1-9]\d*$`,
		"0.0.0.0:0":   `^carillon listens on http://0\.0\.0\.0:[1-9]\d* \(all addresses\)$`,
		":0":          `^carillon listens on http://0\.0\.0\.0:[1-9]\d* \(all addresses\)$`,
	} {
		line, stop := serving(t, key, "--listen", listen, "--data", t.TempDir())
		if !regexp.MustCompile(want).MatchString(line) {
			t.Errorf("--listen %s: %q", listen, line)
		}
		if code, stderr := stop(); code != 0 {
			t.Errorf("--listen %s: code %d, %s", listen, code, stderr)
		}
	}
}

// Once a key is stored, others may reach the gateway.
func TestServeElsewhereWithAStoredKey(t *testing.T) {
	data := t.TempDir()
	code, stdout, stderr := run(t, Process{}, "serve", "--listen", "0.0.0.0:0", "--data", data)
	if code != 2 || stdout != "" || !strings.Contains(stderr, "keys create --data "+data) {
		t.Errorf("without a key: code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	code, stdout, stderr = run(t, Process{}, "keys", "create", "--data", data, "--name", "ann", "--scope", "admin", "--expires", "30d")
	if code != 0 || !strings.Contains(stdout, `"key":"crn_`) || stderr != "" {
		t.Fatalf("the first key: code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	_, stop := serving(t, nil, "--listen", "0.0.0.0:0", "--cors-origin", "*", "--data", data)
	if code, stderr := stop(); code != 0 || strings.Contains(stderr, "there is no key") {
		t.Errorf("with a key: code %d, %s", code, stderr)
	}
	// Data without a key is as none.
	none := t.TempDir()
	_, stop = serving(t, nil, "--listen", "127.0.0.1:0", "--data", none)
	stop()
	if code, _, stderr := run(t, Process{}, "serve", "--listen", "0.0.0.0:0", "--data", none); code != 2 || !strings.Contains(stderr, "there is no key") {
		t.Errorf("data without a key: code %d, stderr %q", code, stderr)
	}
}

func TestServeSaysWhatElseToTry(t *testing.T) {
	data := t.TempDir()
	serving(t, nil, "--listen", "127.0.0.1:0", "--data", data)
	code, stdout, stderr := run(t, Process{}, "serve", "--listen", "127.0.0.1:0", "--data", data)
	if code != 1 || stdout != "" || !strings.Contains(stderr, "is another carillon serve running? --data chooses another directory\n") {
		t.Errorf("the same data: code %d, stdout %q, stderr %q", code, stdout, stderr)
	}

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	code, stdout, stderr = run(t, Process{}, "serve", "--listen", l.Addr().String(), "--data", t.TempDir())
	if code != 1 || stdout != "" || !strings.Contains(stderr, "; choose another with --listen\n") {
		t.Errorf("the same address: code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

func TestServeWarnsOfVariablesThatAreNoSettings(t *testing.T) {
	_, stop := serving(t, map[string]string{"CARILLON_ADMIN_KYE": "0123456789abcdef"}, "--listen", "127.0.0.1:0", "--data", t.TempDir())
	code, stderr := stop()
	if code != 0 || !strings.Contains(stderr, "level=WARN") || !strings.Contains(stderr, "variable=CARILLON_ADMIN_KYE") {
		t.Errorf("code %d, %s", code, stderr)
	}
	if strings.Contains(stderr, "0123456789abcdef") {
		t.Errorf("its value is shown: %s", stderr)
	}
}
