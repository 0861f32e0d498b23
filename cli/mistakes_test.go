package cli

import (
	"log/slog"
	"strings"
	"testing"
)

func TestMistakesAreToldInPlainWords(t *testing.T) {
	for line, want := range map[string]string{
		"publish a b --wait":                "--wait: needs a value, as in --wait=10s",
		"publish a b --wait --respond all":  "--wait: needs a value, as in --wait=10s",
		"publish a b --wait -5s":            "--wait: needs a value, as in --wait=10s",
		"publish a b --wait soon":           `--wait: "soon" is no duration; 30s, 12h, 7d, 1.5d and 7d12h are`,
		"publish a b --respond some":        `--respond: must be first, success or all, not "some"`,
		"publish a b --key":                 "--key: needs a value, as in --key=KEY",
		"tail a --since":                    "--since: needs a value, as in --since=WHEN",
		"serve --listen":                    "--listen: needs a value, as in --listen=127.0.0.1:8080",
		"serve --max-body --drain 1s":       "--max-body: needs a value, as in --max-body=1MiB",
		"serve --webhook-allow":             "--webhook-allow: needs a value, as in --webhook-allow=CIDR",
		"serve --webhook-allow 127.0.0.1":   `--webhook-allow: "127.0.0.1" is no CIDR; for one address write 127.0.0.1/32`,
		"serve --webhook-allow ::1":         `--webhook-allow: "::1" is no CIDR; for one address write ::1/128`,
		"serve --webhook-allow here":        `--webhook-allow: "here" is no CIDR; 10.20.0.0/16 and fd00::/8 are`,
		"serve --log-level":                 "--log-level: needs a value, as in --log-level=info",
		"serve --log-level foo":             `--log-level: must be debug, info, warn or error, not "foo"`,
		"serve --log-format foo":            `--log-format: must be text or json, not "foo"`,
		"serve --log-level debug --data= x": "unexpected argument x",
	} {
		code, stdout, stderr := run(t, Process{}, strings.Fields(line)...)
		if first, _, _ := strings.Cut(stderr, "\n"); code != 2 || stdout != "" || first != "carillon: "+want {
			t.Errorf("%s: code %d, stdout %q, stderr %q", line, code, stdout, stderr)
		}
	}
}

func TestLogLevels(t *testing.T) {
	for text, want := range map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "ERROR": slog.LevelError} {
		c, err := parseServe(t, nil, "--log-level", text)
		if err != nil || slog.Level(c.LogLevel) != want {
			t.Errorf("%s: %s, %v", text, slog.Level(c.LogLevel), err)
		}
	}
	var b strings.Builder
	c, err := parseServe(t, nil, "--log-level", "warn")
	if err != nil {
		t.Fatal(err)
	}
	log := c.logger(&b)
	log.Info("unimportant")
	log.Warn("important")
	if strings.Contains(b.String(), "unimportant") || !strings.Contains(b.String(), "important") {
		t.Errorf("logged %q", b.String())
	}
}
