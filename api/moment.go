package api

import (
	"errors"
	"time"
)

// momentForms are the texts that [parseMoment] reads.
const momentForms = "an RFC 3339 time such as 2006-01-02T15:04:05Z nor a duration such as 2h or 7d"

// parseMoment reads an RFC 3339 time, or a duration as the time so long before now. The error's text is meant for the
// client and follows the name of what was read.
func parseMoment(text string, now time.Time) (time.Time, error) {
	if ago, err := parseDuration(text); err == nil {
		if ago < 0 {
			return time.Time{}, errors.New("is a negative duration")
		}
		return now.Add(-ago), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	// The zero time stands for none.
	if err != nil || at.IsZero() {
		return time.Time{}, errors.New("is neither " + momentForms)
	}
	return at, nil
}
