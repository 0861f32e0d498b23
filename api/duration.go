package api

import (
	"encoding/json"
	"errors"
	"fmt"
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

// UnmarshalJSON implements [json.Unmarshaler]. What is finer than [event.Precision] is cut off.
func (s *span) UnmarshalJSON(text []byte) error {
	var written string
	if err := json.Unmarshal(text, &written); err != nil {
		return errors.New("not a duration")
	}
	d, err := time.ParseDuration(written)
	if err != nil {
		return fmt.Errorf("not a duration: %w", err)
	}
	*s = span(d.Truncate(event.Precision))
	return nil
}
