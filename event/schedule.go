package event

import (
	"fmt"
	"time"
)

// Limits of a retry schedule.
const (
	MaxRetries    = 100
	MinRetryDelay = time.Second
	MaxRetryDelay = 7 * 24 * time.Hour

	// MaxRetryAfter is how far ahead an answer's Retry-After can push the next attempt.
	MaxRetryAfter = 24 * time.Hour

	// RetryJitter is the share by which a delay is lengthened or shortened at random, so that deliveries which failed
	// together do not come back together.
	RetryJitter = 0.2
)

// Schedule is what to wait after each failed attempt: n entries are n+1 attempts, none is a single one.
type Schedule []time.Duration

// DefaultSchedule is what a webhook gets that asks for nothing else. It spans about three days.
func DefaultSchedule() Schedule {
	return Schedule{
		5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute,
		time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour, 24 * time.Hour,
	}
}

// GeometricSchedule returns the schedule of so many attempts whose delays begin at initial and grow by factor up to most.
func GeometricSchedule(attempts int, initial time.Duration, factor float64, most time.Duration) Schedule {
	s := make(Schedule, 0, max(0, attempts-1))
	delay := float64(initial)
	for range attempts - 1 {
		s = append(s, min(time.Duration(min(delay, float64(most))), most).Truncate(Precision))
		delay *= factor
	}
	return s
}

// Validate says what is wrong with the schedule, for the one who sent it.
func (s Schedule) Validate() error {
	if len(s) > MaxRetries {
		return fmt.Errorf("has %d retries; at most %d are allowed", len(s), MaxRetries)
	}
	for i, d := range s {
		if d < MinRetryDelay || d > MaxRetryDelay {
			return fmt.Errorf("delay %d is %s; %s to %s are allowed", i+1, d, MinRetryDelay, MaxRetryDelay)
		}
	}
	return nil
}

// Next returns when the attempt after the given step is due: step counts the attempts of this schedule that failed, from
// 1. It is false when the schedule is used up. random is in [0, 1) and spreads the delay by [RetryJitter]; retryAfter is
// what the answer asked for (zero: nothing), a floor that is obeyed up to [MaxRetryAfter].
func (s Schedule) Next(step int, now time.Time, random float64, retryAfter time.Duration) (time.Time, bool) {
	if step < 1 || step > len(s) {
		return time.Time{}, false
	}
	delay := time.Duration(float64(s[step-1]) * (1 - RetryJitter + 2*RetryJitter*random))
	return now.Add(max(delay, min(retryAfter, MaxRetryAfter))), true
}
