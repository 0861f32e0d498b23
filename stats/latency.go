package stats

import (
	"math"
	"time"
)

const (
	// latencyClasses are each half a doubling wide, from a tenth of a millisecond on: the last holds all from 74 s on.
	latencyClasses  = 40
	classesPerTwice = 2
	shortestLatency = 100 * time.Microsecond
)

// latencies are durations by class.
type latencies [latencyClasses]uint32

func (l *latencies) add(d time.Duration) { l[latencyClass(d)]++ }

func latencyClass(d time.Duration) int {
	if d < shortestLatency {
		return 0
	}
	return min(latencyClasses-1, 1+int(classesPerTwice*math.Log2(float64(d)/float64(shortestLatency))))
}

// longest returns the upper end of a class.
func longest(class int) float64 {
	return float64(shortestLatency) * math.Exp2(float64(class)/classesPerTwice)
}

// quantile returns, in milliseconds, what the given share did not exceed: as if those of a class lay evenly in it, so that
// it is a fifth off at most where they lie at one end of it. 0 where there is nothing.
func (l *latencies) quantile(share float64) float32 {
	total := uint64(0)
	for _, n := range l {
		total += uint64(n)
	}
	rank, seen := share*float64(total), float64(0)
	for class, n := range l {
		if n == 0 || seen+float64(n) < rank {
			seen += float64(n)
			continue
		}
		from := 0.0
		if class > 0 {
			from = longest(class - 1)
		}
		part := (rank - seen) / float64(n)
		return float32((from + part*(longest(class)-from)) / float64(time.Millisecond))
	}
	return 0
}
