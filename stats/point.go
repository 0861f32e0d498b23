package stats

import "time"

// Point is what happened in one interval, and how things stood at its end. It is small because there are many: 48 bytes.
type Point struct {
	At      int64 // the end of the interval, in Unix milliseconds
	Backlog int64 // deliveries that were pending, about
	Streams uint32

	Events uint32 // accepted from posters: the gateway's own are not among them

	// Deliveries by what came of them. Retrying counts failed attempts that are followed by another one, the others are
	// deliveries that ended.
	Delivered, Retrying, Failed, Canceled uint32

	// P50 and P99 are, in milliseconds, how long it was from the acceptance of events to the end of first attempts that
	// succeeded. Both are zero if there were none.
	P50, P99 float32
}

// Time is the end of the interval.
func (p Point) Time() time.Time { return time.UnixMilli(p.At) }

// Measured reports whether P50 and P99 are known.
func (p Point) Measured() bool { return p.P99 > 0 }

// counts are those of the interval under way.
type counts struct {
	events, delivered, retrying, failed, canceled uint32

	took latencies
}

func (c *counts) any() bool { return c.events|c.delivered|c.retrying|c.failed|c.canceled != 0 }

func (c *counts) point(at time.Time, backlog int64, streams int) Point {
	return Point{
		At: at.UnixMilli(), Backlog: backlog, Streams: uint32(min(max(streams, 0), 1<<31)), // #nosec G115 -- bounded here
		Events: c.events, Delivered: c.delivered, Retrying: c.retrying, Failed: c.failed, Canceled: c.canceled,
		P50: c.took.quantile(.5), P99: c.took.quantile(.99),
	}
}

// past is the newest points, at most [History] of them.
type past struct {
	points []Point
	oldest int // once there are as many as there may be
}

func (p *past) add(at Point) {
	if len(p.points) < History {
		p.points = append(p.points, at)
		return
	}
	p.points[p.oldest] = at
	p.oldest = (p.oldest + 1) % History
}

// all returns the points, oldest first.
func (p *past) all() []Point {
	all := make([]Point, 0, len(p.points))
	return append(append(all, p.points[p.oldest:]...), p.points[:p.oldest]...)
}
