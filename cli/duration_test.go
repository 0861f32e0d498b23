package cli

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestDuration(t *testing.T) {
	const day = 24 * time.Hour
	good := map[string]time.Duration{
		"0": 0, "0d": 0, "90s": 90 * time.Second, "1h30m": 90 * time.Minute, "1.5h": 90 * time.Minute, "168h": 7 * day,
		"7d": 7 * day, "1.5d": 36 * time.Hour, "7d12h": 7*day + 12*time.Hour, "1d0.5h1ns": day + 30*time.Minute + 1,
		"-1s": -time.Second, "-1d12h": -36 * time.Hour, "106751d": 106751 * day, "2562047h47m16.854775807s": math.MaxInt64,
	}
	for text, want := range good {
		if d, err := parseDuration(text); err != nil || d != want {
			t.Errorf("%q: %s, %v", text, d, err)
		}
	}
	for _, text := range []string{
		"", "soon", "5", "d", ".d", "7 d", "7d 12h", "7d12", "12h7d", "7d7d", "1h7d", "7days", "1w", "--1s", "-+1s", "7d-1h", "-",
		"106752d", "106751d24h", "9999999999d", "1.5.5d", "7D",
	} {
		d, err := parseDuration(text)
		if err == nil {
			t.Errorf("%q was taken as %s", text, d)
		} else if !strings.Contains(err.Error(), "7d12h") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzDuration(f *testing.F) {
	for _, seed := range []string{"0", "7d", "1.5d", "7d12h", "-1d", "106751d23h59m", "1h30m", "1h7d", "d", ".5d", "2562047h47m16.854775807s"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := parseDuration(text)
		if err != nil {
			return
		}
		if negative := strings.HasPrefix(text, "-"); negative && d > 0 || !negative && d < 0 {
			t.Errorf("%q is %s", text, d)
		}
		if again, err := parseDuration(d.String()); err != nil || again != d {
			t.Errorf("%q is %s, which is %s, %v", text, d, again, err)
		}
	})
}

func TestDurationsOfACommandLineTakeDays(t *testing.T) {
	c, err := parseServe(t, map[string]string{"CARILLON_IDEMPOTENCY_WINDOW": "2d"}, "--retention-age", "7d12h")
	if err != nil {
		t.Fatal(err)
	}
	if c.RetentionAge != 180*time.Hour || c.IdempotencyWindow != 48*time.Hour {
		t.Errorf("flag %s, environment %s", c.RetentionAge, c.IdempotencyWindow)
	}
}

func TestSinceGoesWithoutDays(t *testing.T) {
	for since, want := range map[string]string{
		"1d": "24h0m0s", "1d12h": "36h0m0s", "-1d": "-24h0m0s", "": "", "10m": "10m", "earliest": "earliest", "yesterday": "yesterday",
		"2026-11-22T18:46:22Z": "2026-11-22T18:46:22Z",
		// Cursors: one of them reads like a day.
		"000000000001d": "000000000001d", "0000000000d12": "0000000000d12",
	} {
		if got := withoutDays(since); got != want {
			t.Errorf("%q is sent as %q", since, got)
		}
	}
	// What the gateway sees.
	tailScript(t, []connection{{since: "24h0m0s", frames: "id: 07\n\n"}, {lastID: "07"}}, "a", "--since", "1d")
}
