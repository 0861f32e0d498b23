package cli

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/carillon/carillon/event"
)

// parseDuration reads a duration as [time.ParseDuration] does, and also one that begins with days of 24 hours: 7d,
// 1.5d, 7d12h. Its error is meant for the one who wrote the text.
func parseDuration(text string) (time.Duration, error) {
	wrong := fmt.Errorf("%q is no duration; 30s, 12h, 7d, 1.5d and 7d12h are", text)
	rest, negative := strings.CutPrefix(text, "-")
	var sum time.Duration
	number, after, days := strings.Cut(rest, "d")
	if days {
		n, err := time.ParseDuration(number + "h")
		// What stands before the d could also be 1h2.
		if err != nil || strings.Trim(number, "0123456789.") != "" || n > math.MaxInt64/24 {
			return 0, wrong
		}
		sum, rest = 24*n, after
	}
	if rest != "" || !days {
		d, err := time.ParseDuration(rest)
		if err != nil || strings.ContainsAny(rest[:1], "+-") || d > math.MaxInt64-sum {
			return 0, wrong
		}
		sum += d
	}
	if negative {
		sum = -sum
	}
	return sum, nil
}

// decodeDuration is how flags of type [time.Duration] are read.
func decodeDuration(ctx *kong.DecodeContext, target reflect.Value) error {
	token, err := ctx.Scan.PopValue("duration")
	if err != nil {
		return err
	}
	d, err := parseDuration(token.String())
	if err != nil {
		return err
	}
	target.SetInt(int64(d))
	return nil
}

// withoutDays writes a duration with days as one in hours, for a gateway that knows only the units of Go. Any other text
// stays as it is.
func withoutDays(since string) string {
	// A cursor can look like days: 000000000001d is one.
	if _, err := event.ParseCursor(since); err == nil || !strings.Contains(since, "d") {
		return since
	}
	d, err := parseDuration(since)
	if err != nil {
		return since
	}
	return d.String()
}
