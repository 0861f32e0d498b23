package cli

import (
	"bytes"
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// parseServe parses a serve command line without running it.
func parseServe(t *testing.T, env map[string]string, args ...string) (*serveCommand, error) {
	t.Helper()
	var c commands
	parser := newParser(&c, &Process{LookupEnv: lookup(env)}, func(int) { t.Error("help was printed") })
	_, err := parser.Parse(append([]string{"serve"}, args...))
	return &c.Serve, err
}

func lookup(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	}
}

func configFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "carillon.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFlagBeatsEnvironmentBeatsFileBeatsDefault(t *testing.T) {
	file := configFile(t, "listen: 127.0.0.1:1\nsource: /file\nretention-bytes: 1KiB\ndrain: 1s\nretention-age: 1.5d\n")
	env := map[string]string{
		"CARILLON_LISTEN": "127.0.0.1:2", "CARILLON_SOURCE": "/env", "CARILLON_MAX_BODY": "2KiB",
	}
	c, err := parseServe(t, env, "--config", file, "--listen", "127.0.0.1:3")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]any{
		"flag over all":    c.Listen,
		"environment":      c.Source,
		"environment only": c.MaxBody,
		"file":             c.RetentionBytes,
		"file, duration":   c.Drain,
		"file, days":       c.RetentionAge,
		"default":          c.IdempotencyWindow,
	}
	want := map[string]any{
		"flag over all":    "127.0.0.1:3",
		"environment":      "/env",
		"environment only": byteSize(2 << 10),
		"file":             byteSize(1 << 10),
		"file, duration":   time.Second,
		"file, days":       36 * time.Hour,
		"default":          24 * time.Hour,
	}
	if !maps.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestRepeatedSettings(t *testing.T) {
	file := configFile(t, "cors-origin:\n  - https://a.example\n  - https://b.example\nwebhook-allow: 10.0.0.0/8\n")
	c, err := parseServe(t, map[string]string{"CARILLON_HOST": "a,b"}, "--config", file)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"https://a.example", "https://b.example"}; !slices.Equal(c.CORSOrigin, want) {
		t.Errorf("list in the file: %v", c.CORSOrigin)
	}
	if len(c.WebhookAllow) != 1 || c.WebhookAllow[0].String() != "10.0.0.0/8" {
		t.Errorf("single value in the file: %v", c.WebhookAllow)
	}
	if want := []string{"a", "b"}; !slices.Equal(c.Host, want) {
		t.Errorf("environment: %v", c.Host)
	}

	// The stronger place replaces the weaker one's list and does not add to it.
	c, err = parseServe(t, map[string]string{"CARILLON_HOST": "a"}, "--host", "b", "--host", "c")
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"b", "c"}; !slices.Equal(c.Host, want) {
		t.Errorf("flags over environment: %v", c.Host)
	}
}

func TestConfigNamedByTheEnvironment(t *testing.T) {
	file := configFile(t, "source: /file\n")
	c, err := parseServe(t, map[string]string{"CARILLON_CONFIG": file})
	if err != nil {
		t.Fatal(err)
	}
	if c.Source != "/file" {
		t.Errorf("source is %q", c.Source)
	}
	other := configFile(t, "source: /other\n")
	c, err = parseServe(t, map[string]string{"CARILLON_CONFIG": file}, "--config", other)
	if err != nil {
		t.Fatal(err)
	}
	if c.Source != "/other" {
		t.Errorf("with --config, source is %q", c.Source)
	}
}

func TestEmptyMeansNotSet(t *testing.T) {
	for name, text := range map[string]string{"empty": "", "comment": "# nothing\n", "null": "~\n"} {
		c, err := parseServe(t, map[string]string{"CARILLON_LISTEN": ""}, "--config", configFile(t, text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if c.Listen != "127.0.0.1:8080" {
			t.Errorf("%s: listen is %q", name, c.Listen)
		}
	}
}

func TestConfigErrorsSayWhereAndWhat(t *testing.T) {
	tests := []struct {
		name string
		env  map[string]string
		file string
		want []string
	}{
		{"unknown key", nil, "listen: 127.0.0.1:1\nretention-ages: 1h\n", []string{"carillon.yaml", "line 2", `"retention-ages"`}},
		{"the file itself", nil, "config: other.yaml\n", []string{`"config"`}},
		{"key of another spelling", nil, "retention_age: 1h\n", []string{`"retention_age"`}},
		{"nested", nil, "listen:\n  port: 1\n", []string{"line 2", `"listen"`}},
		{"twice", nil, "listen: a\nlisten: b\n", []string{`"listen"`}},
		{"null value", nil, "listen:\n", []string{`"listen"`}},
		{"list at the root", nil, "- listen\n", []string{"line 1", "mapping"}},
		{"two documents", nil, "drain: 1s\n---\ndrain: 2s\n", []string{"document"}},
		{"not YAML", nil, "listen: [\n", []string{"carillon.yaml"}},
		{"bad value in the file", nil, "source: /x\ndrain: soon\n", []string{"--drain", "carillon.yaml", "line 2"}},
		{"bad size", nil, "max-body: 1MB\n", []string{"--max-body", "1MB", "KiB"}},
		{"bad choice", nil, "log-format: xml\n", []string{"--log-format", "text or json", "line 1"}},
		{"bad level", nil, "log-level: loud\n", []string{"--log-level", "debug, info, warn or error", "line 1"}},
		{"bare number for a duration", nil, "drain: 5\n", []string{"--drain", `"5"`, "30s", "line 1"}},
		{"bad value in the environment", map[string]string{"CARILLON_WEBHOOK_ALLOW": "10.0.0.0"}, "", []string{"--webhook-allow", "CARILLON_WEBHOOK_ALLOW"}},
		{"bad duration in the environment", map[string]string{"CARILLON_DRAIN": "soon"}, "", []string{"--drain", "CARILLON_DRAIN", "7d12h"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parseServe(t, tt.env, "--config", configFile(t, tt.file))
			if err == nil {
				t.Fatal("was taken")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %s", err, want)
				}
			}
		})
	}
}

// What is wrong with the file as a whole is not the fault of the flag that happens to be looked up first.
func TestFaultsOfTheFileBlameNoFlag(t *testing.T) {
	for name, path := range map[string]string{
		"unknown key": configFile(t, "frobnicate: 1\n"),
		"not YAML":    configFile(t, "listen: [\n"),
		"missing":     filepath.Join(t.TempDir(), "missing.yaml"),
		"directory":   t.TempDir(),
	} {
		_, err := parseServe(t, map[string]string{"CARILLON_CONFIG": path})
		switch {
		case err == nil:
			t.Errorf("%s: was taken", name)
		case !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "--"):
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A bad value in a weaker place must not matter where a stronger one is given.
func TestOverriddenValueIsNotJudged(t *testing.T) {
	c, err := parseServe(t, map[string]string{"CARILLON_DRAIN": "soon"}, "--drain", "3s")
	if err != nil {
		t.Fatal(err)
	}
	if c.Drain != 3*time.Second {
		t.Errorf("drain is %s", c.Drain)
	}
}

func TestByteSize(t *testing.T) {
	good := map[string]byteSize{
		"0": 0, "1": 1, "1048576": 1 << 20, "1KiB": 1 << 10, "1 MiB": 1 << 20, "10GiB": 10 << 30, "2TiB": 2 << 40,
		"9223372036854775807": 1<<63 - 1,
	}
	for text, want := range good {
		var b byteSize
		if err := b.UnmarshalText([]byte(text)); err != nil || b != want {
			t.Errorf("%q: %d, %v", text, b, err)
		}
	}
	for _, text := range []string{"", "-1", "+1", "1.5GiB", "1GB", "1gib", "KiB", "GiB1", "9223372036854775808", "9007199254740992KiB", " 1"} {
		var b byteSize
		if err := b.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was taken as %d", text, b)
		}
	}
}

func FuzzByteSize(f *testing.F) {
	for _, seed := range []string{"0", "10GiB", "1 KiB", "9223372036854775807TiB", "-1", "KiB"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var b byteSize
		if err := b.UnmarshalText([]byte(text)); err == nil && b < 0 {
			t.Errorf("%q is %d", text, b)
		}
	})
}

func FuzzConfig(f *testing.F) {
	for _, seed := range []string{"", "listen: a\n", "drain: &a 1s\nlisten: *a\n", "listen: [a, b]\n", "? [a]\n: b\n", "--- ~\n", "a: *a\n", "!!binary x: y"} {
		f.Add([]byte(seed))
	}
	known := []string{"listen", "drain"}
	f.Fuzz(func(t *testing.T, text []byte) {
		values, err := parseConfig(bytes.NewReader(text), known)
		if err != nil {
			return
		}
		for key := range values {
			if !slices.Contains(known, key) {
				t.Errorf("key %q came through", key)
			}
		}
	})
}

// run runs a command line to its end.
func run(t *testing.T, p Process, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	p.Args, p.Stdout, p.Stderr = args, &out, &errs
	if p.Stdin == nil {
		p.Stdin = strings.NewReader("")
	}
	if p.LookupEnv == nil {
		p.LookupEnv = lookup(nil)
	}
	code = Main(context.WithoutCancel(t.Context()), p)
	return code, out.String(), errs.String()
}

func TestHelpIsTheReference(t *testing.T) {
	code, stdout, stderr := run(t, Process{}, "serve", "--help")
	if code != 0 || stderr != "" {
		t.Fatalf("%d %s", code, stderr)
	}
	// Lines are wrapped where they end.
	text := strings.Join(strings.Fields(stdout), " ")
	for _, want := range []string{
		"--listen", "[default 127.0.0.1:8080, CARILLON_LISTEN]", "[default ./carillon-data, CARILLON_DATA]",
		"such as 168h or 7d", "[default 168h, CARILLON_RETENTION_AGE]", "10GiB", "1MiB", "24h", "20s", "[CARILLON_WEBHOOK_ALLOW]", "CARILLON_ADMIN_KEY",
		"[default text, CARILLON_LOG_FORMAT]", "[CARILLON_CONFIG]",
		"Network:", "Storage:", "Access:", "Log:",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("help lacks %s", want)
		}
	}
	if code, stdout, _ := run(t, Process{}, "--help"); code != 0 || !strings.Contains(stdout, "publish") {
		t.Errorf("%d %s", code, stdout)
	}
	if code, stdout, _ := run(t, Process{}, "publish", "--help"); code != 0 || !strings.Contains(stdout, "--wait") {
		t.Errorf("%d %s", code, stdout)
	}
}

func TestWrongCommandLines(t *testing.T) {
	for _, args := range [][]string{
		{}, {"frobnicate"}, {"serve", "--frobnicate"}, {"serve", "extra"}, {"publish"}, {"tail"},
		{"publish", "a", "b", "--url", "ftp://x"}, {"publish", "a..b", "{}"}, {"tail", "a", "--url", "localhost:8080"}, {"tail", "a", "--format", "xml"},
		{"publish", "a", "b", "--respond", "some"}, {"publish", "a", "b", "--wait", "-1s"}, {"serve", "--drain", "-1s"}, {"serve", "--max-body", "0"},
	} {
		code, stdout, stderr := run(t, Process{}, args...)
		if code != 2 || stderr == "" || stdout != "" {
			t.Errorf("%q: code %d, stdout %q, stderr %q", args, code, stdout, stderr)
		}
	}
}

func TestVersion(t *testing.T) {
	code, stdout, _ := run(t, Process{}, "version")
	if code != 0 || !strings.HasPrefix(stdout, "carillon ") || !strings.Contains(stdout, "go1.") {
		t.Errorf("%d %q", code, stdout)
	}
}
