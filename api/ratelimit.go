package api

import (
	"fmt"
	"math"

	"github.com/carillon/carillon/event"
)

// rateLimitDocument is a rate limit as the API shows it; null is none.
type rateLimitDocument struct {
	PerSecond float64 `json:"per_second"`
	Burst     int     `json:"burst"`
}

func showRateLimit(r event.RateLimit) *rateLimitDocument {
	if r == (event.RateLimit{}) {
		return nil
	}
	return &rateLimitDocument{r.PerSecond, r.Burst}
}

// setRateLimit replaces the rate limit whole. A burst that is not named is what comes in a second, one at least.
func setRateLimit(w *event.Webhook, m member) *event.FieldError {
	if m.null() {
		w.RateLimit = event.RateLimit{}
		return nil
	}
	parts, err := parseObject(m.value)
	if err != nil {
		return &event.FieldError{Field: m.name, Detail: err.Error()}
	}
	var limit event.RateLimit
	var rate, burst bool
	for _, part := range parts {
		var bad *event.FieldError
		switch {
		case part.name == "per_second":
			rate = true
			bad = set(&limit.PerSecond, part, "a number")
		case part.name == "burst" && part.null():
		case part.name == "burst":
			burst = true
			bad = set(&limit.Burst, part, "a whole number")
		default:
			bad = &event.FieldError{Field: part.name, Detail: "unknown field"}
		}
		if bad != nil {
			return &event.FieldError{Field: m.name + "." + bad.Field, Detail: bad.Detail}
		}
	}
	switch {
	case !rate:
		return &event.FieldError{Field: m.name, Detail: "needs per_second"}
	case limit.PerSecond <= 0:
		return &event.FieldError{Field: m.name + ".per_second",
			Detail: fmt.Sprintf("must be more than 0; null in place of %s is no limit", m.name)}
	case !burst:
		limit.Burst = int(max(1, math.Ceil(min(limit.PerSecond, event.MaxBurst))))
	}
	w.RateLimit = limit
	return nil
}
