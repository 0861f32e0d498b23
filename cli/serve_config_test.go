package cli

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/carillon/carillon/store"
)

func TestAdminKey(t *testing.T) {
	const good = "0123456789abcdef"
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	tests := []struct {
		name, env, file string
		want, wrong     string
	}{
		{"none", "", "", "", ""},
		{"environment", good, "", good, ""},
		{"file", "", file(good + "\n"), good, ""},
		{"both", good, file(good), "", "both"},
		{"short", "0123456789abcde", "", "", "15 bytes"},
		{"short in the file", "", file("secret\n"), "", "--admin-key-file: the key has 6 bytes"},
		{"empty file", "", file(""), "", "0 bytes"},
		{"space", "0123456789 abcdef", "", "", "place 11"},
		{"long", "", file(strings.Repeat("k", maxAdminKey+1)), "", "allowed"},
		{"no file", "", filepath.Join(t.TempDir(), "missing"), "", "--admin-key-file"},
	}
	for _, tt := range tests {
		key, err := adminKey(&Process{LookupEnv: lookup(map[string]string{"CARILLON_ADMIN_KEY": tt.env})}, tt.file)
		switch {
		case tt.wrong == "" && (err != nil || key.Reveal() != tt.want):
			t.Errorf("%s: %q, %v", tt.name, key.Reveal(), err)
		case tt.wrong != "" && (err == nil || !strings.Contains(err.Error(), tt.wrong)):
			t.Errorf("%s: %v", tt.name, err)
		}
		if err != nil && tt.env != "" && strings.Contains(err.Error(), tt.env) {
			t.Errorf("%s: the key is shown: %v", tt.name, err)
		}
	}
}

func TestServeRefusesWhatCannotBe(t *testing.T) {
	for _, args := range [][]string{
		{"--max-body", "257MiB"}, {"--max-body", "0"}, {"--drain", "-1s"}, {"--retention-age", "-1h"}, {"--delivery-retention-age", "-1h"}, {"--delivery-retention-bytes", "lots"}, {"--audit-retention-age", "-1h"}, {"--idempotency-window", "0s"},
		{"--data", ""}, {"--source", ""}, {"--source", "%"}, {"--cors-origin", "app.example.com"}, {"--cors-origin", "https://a.example/"},
		{"--public-url", "events.example.com"}, {"--public-url", "https://events.example.com/sub"}, {"--public-url", "ftp://events.example.com"}, {"--public-url", "httpx://events.example.com"},
		{"--cors-origin", "null"}, {"--cors-origin", "*"}, {"--listen", "8080"}, {"--log-level", "loud"}, {"--listen", "127.0.0.1:http-or-so"},
		{"--tls-cert", "cert.pem"}, {"--tls-key", "key.pem"}, {"--tls-cert", "missing.pem", "--tls-key", "missing.pem"},
		{"--acme-domain", "10.0.0.1"}, {"--acme-domain", "*.example.com"}, {"--acme-domain", "localhost"}, {"--acme-domain", "events.example.com."},
		{"--acme-domain", "Events.example.com"}, {"--acme-domain", "events.example.com:443"},
		{"--acme-http", ":80"}, {"--acme-email", "ops@example.com"}, {"--acme-directory", "http://ca.example.com/", "--acme-domain", "events.example.com"},
		{"--acme-domain", "events.example.com", "--tls-cert", "cert.pem", "--tls-key", "key.pem"},
		{"--trusted-proxies", "10.0.0.1"}, {"--max-header", "100"}, {"--max-header", "2MiB"}, {"--connections", "-1"}, {"--connections-per-address", "-1"},
	} {
		// What is refused has touched nothing.
		data := filepath.Join(t.TempDir(), "data")
		code, stdout, stderr := run(t, Process{}, append([]string{"serve", "--data", data}, args...)...)
		if code != 2 || stdout != "" || !strings.Contains(stderr, args[0]) {
			t.Errorf("%q: code %d, stdout %q, stderr %q", args, code, stdout, stderr)
		}
		if _, err := os.Stat(data); err == nil {
			t.Errorf("%q: the data directory was made", args)
		}
	}
}

func TestRetentionIsWhatTheFlagsSay(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct {
		args []string
		want store.Retention
	}{
		{nil, store.Retention{Age: 7 * day, Bytes: 10 << 30, Keys: day, AuditAge: 365 * day}},
		{
			[]string{"--retention-age", "30d", "--retention-bytes", "1GiB", "--delivery-retention-age", "7d",
				"--delivery-retention-bytes", "100MiB", "--idempotency-window", "1h", "--audit-retention-age", "0"},
			store.Retention{Age: 30 * day, Bytes: 1 << 30, Keys: time.Hour, DeliveryAge: 7 * day, DeliveryBytes: 100 << 20},
		},
	} {
		serve, err := parseServe(t, nil, c.args...)
		if err != nil {
			t.Fatal(err)
		}
		if got := serve.retention(); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: %+v, want %+v", c.args, got, c.want)
		}
	}
}

func TestServeListensElsewhereOnlyWithAKey(t *testing.T) {
	for _, listen := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0"} {
		data := filepath.Join(t.TempDir(), "data")
		code, _, stderr := run(t, Process{}, "serve", "--listen", listen, "--data", data)
		if code != 2 {
			t.Errorf("%s: code %d", listen, code)
		}
		for _, want := range []string{listen, "CARILLON_ADMIN_KEY", "--admin-key-file", "127.0.0.1"} {
			if !strings.Contains(stderr, want) {
				t.Errorf("%s: %q does not say %s", listen, stderr, want)
			}
		}
	}
}
