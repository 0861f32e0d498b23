package api

import (
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/carillon/carillon/event"
)

// span is a duration as the API writes it: "1h30m", without the units that are zero.
type span time.Duration

// String gives the duration as it is written.
func (s span) String() string { return event.FormatDuration(time.Duration(s)) }

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

// parseDuration reads a duration as [event.ParseDuration] does, and also one with a plus sign. Its error is always
// errNoDuration.
func parseDuration(text string) (time.Duration, error) {
	rest, plus := strings.CutPrefix(text, "+")
	d, err := event.ParseDuration(rest)
	if err != nil || plus && strings.HasPrefix(rest, "-") {
		return 0, errNoDuration
	}
	return d, nil
}
