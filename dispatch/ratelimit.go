package dispatch

import (
	"time"

	"github.com/carillon/carillon/event"
)

// bucket holds the tokens of a webhook's rate limit: one for each attempt. The zero bucket is full.
type bucket struct {
	missing float64 // tokens
	at      time.Time
}

// fill adds what has come since the last call.
func (b *bucket) fill(limit event.RateLimit, now time.Time) {
	if passed := now.Sub(b.at).Seconds(); passed > 0 {
		b.missing = max(0, b.missing-passed*limit.PerSecond)
		b.at = now
	}
	b.missing = min(b.missing, float64(limit.Burst)) // the limit may have been larger
}

// ready returns when the next token is there; the zero time: now.
func (b *bucket) ready(limit event.RateLimit, now time.Time) time.Time {
	if limit.PerSecond <= 0 {
		return time.Time{}
	}
	b.fill(limit, now)
	lacking := b.missing + 1 - float64(limit.Burst)
	if lacking <= 1e-9 {
		return time.Time{}
	}
	// Rounded up: woken a nanosecond too early, it would be woken again and again.
	return now.Add(time.Duration(lacking/limit.PerSecond*float64(time.Second)) + time.Microsecond)
}

// take takes a token that is there.
func (b *bucket) take(limit event.RateLimit) {
	if limit.PerSecond > 0 {
		b.missing++
	}
}
