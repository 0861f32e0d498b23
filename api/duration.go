package api

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"time"

	"github.com/carillon/carillon/event"
)

// span is a duration as the API writes it: "1h30m", without the units that are zero.
type span time.Duration

// String gives the duration as it is written.
func (s span) String() string {
	text := time.Duration(s).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// MarshalJSON implements [json.Marshaler].
func (s span) MarshalJSON() ([]byte, error) { return []byte(`"` + s.String() + `"`), nil }

// UnmarshalJSON implements [json.Unmarshaler]. Nothing is cut off, so that a value which is refused can be shown as it is.
func (s *span) UnmarshalJSON(text []byte) error {
	var written string
	if err := json.Unmarshal(text, &written); err != nil {
		return errNoDuration
	}
	d, err := parseDuration(written)
	if err != nil {
		return err
	}
	*s = span(d)
	return nil
}

// kept is the duration as it is stored: without what is finer than [event.Precision].
func (s span) kept() time.Duration { return time.Duration(s).Truncate(event.Precision) }

var errNoDuration = errors.New("not a duration")

// parseDuration reads a duration as [time.ParseDuration] does, and also one that begins with days of 24 hours: 7d, 1.5d,
// 7d12h. Its error is always [errNoDuration].
func parseDuration(text string) (time.Duration, error) {
	rest, negative := strings.CutPrefix(text, "-")
	if !negative {
		rest, _ = strings.CutPrefix(text, "+")
	}
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
