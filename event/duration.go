package event

import (
	"errors"
	"math"
	"strings"
	"time"
)

// errNoDuration is what [ParseDuration] says of a text that is none.
var errNoDuration = errors.New("not a duration")

// ParseDuration reads a duration as [time.ParseDuration] does, but for a plus sign, and also one that begins with days of
// 24 hours: 7d, 1.5d, 7d12h.
func ParseDuration(text string) (time.Duration, error) {
	rest, negative := strings.CutPrefix(text, "-")
	var sum time.Duration
	number, after, days := strings.Cut(rest, "d")
	if days {
		n, err := time.ParseDuration(number + "h")
		// What stands before the d could also be 1h2.
		if err != nil || strings.Trim(number, "0123456789.") != "" || n > math.MaxInt64/24 {
			return 0, errNoDuration
		}
		sum, rest = 24*n, after
	}
	if rest != "" || !days {
		d, err := time.ParseDuration(rest)
		if err != nil || strings.ContainsAny(rest[:1], "+-") || d > math.MaxInt64-sum {
			return 0, errNoDuration
		}
		sum += d
	}
	if negative {
		sum = -sum
	}
	return sum, nil
}

// FormatDuration writes a duration as the API does: "1h30m", without the units that are zero.
func FormatDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
