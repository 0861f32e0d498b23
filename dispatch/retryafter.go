package dispatch

import (
	"net/http"
	"strings"
	"time"
)

// saneRetryAfter is the longest wish that is believed. What is beyond is a mistake rather than a wish, such as a Unix
// time in the place of seconds.
const saneRetryAfter = 365 * 24 * time.Hour

// parseRetryAfter reads a Retry-After header (RFC 9110, section 10.2.3), seconds or a date, into how long to wait from
// now on; zero if it says nothing sensible.
func parseRetryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if value == "" {
		return 0
	}
	if strings.Trim(value, "0123456789") != "" {
		date, err := http.ParseTime(value)
		if err != nil {
			return 0
		}
		return sensible(date.Sub(now))
	}
	var seconds time.Duration
	for _, digit := range []byte(value) {
		seconds = seconds*10 + time.Duration(digit-'0')
		if seconds > saneRetryAfter/time.Second {
			return 0
		}
	}
	return seconds * time.Second
}

func sensible(d time.Duration) time.Duration {
	if d < 0 || d > saneRetryAfter {
		return 0
	}
	return d
}
