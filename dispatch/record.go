package dispatch

import (
	"math"
	"time"
)

const (
	// recordSpan is how long one half of a record is written to. What it tells is of the last one to two of them.
	recordSpan = 10 * time.Minute
	// durations are told by classes of which each is a fourth of a doubling wide, from a tenth of a millisecond on.
	durationClasses  = 80
	classesPerDouble = 4
	shortestDuration = 100 * time.Microsecond
)

// record is what came of a webhook's attempts lately, in a size that does not grow: about 700 bytes.
type record struct {
	now, before half
}

type half struct {
	from                time.Time
	attempts, successes uint32
	durations           [durationClasses]uint32
}

// add notes an attempt.
func (r *record) add(now time.Time, success bool, took time.Duration) {
	r.turn(now)
	r.now.attempts++
	if success {
		r.now.successes++
	}
	r.now.durations[durationClass(took)]++
}

// turn begins a new half when the current one is full.
func (r *record) turn(now time.Time) {
	switch passed := now.Sub(r.now.from); {
	case passed >= 2*recordSpan:
		*r = record{now: half{from: now}, before: half{from: now}}
	case passed >= recordSpan:
		r.before, r.now = r.now, half{from: r.now.from.Add(recordSpan)}
	}
}

func durationClass(d time.Duration) int {
	if d <= shortestDuration {
		return 0
	}
	return min(durationClasses-1, int(classesPerDouble*math.Log2(float64(d)/float64(shortestDuration))))
}

// quantile returns a duration that the given share of the attempts did not exceed, a sixth too long at most; 0 where
// there were no attempts.
func (r *record) quantile(share float64) time.Duration {
	rank := uint32(math.Ceil(share * float64(r.now.attempts+r.before.attempts)))
	seen := uint32(0)
	for class := range durationClasses {
		seen += r.now.durations[class] + r.before.durations[class]
		if seen >= rank && seen > 0 {
			return time.Duration(float64(shortestDuration) * math.Exp2(float64(class+1)/classesPerDouble))
		}
	}
	return 0
}
