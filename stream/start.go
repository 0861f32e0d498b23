package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/carillon/carillon/event"
)

// Start says where in the log a stream begins. The zero Start is live: with what is accepted from now on.
type Start struct {
	from   origin
	cursor event.Cursor
	time   time.Time
}

type origin uint8

const (
	fromNow origin = iota
	fromEarliest
	fromCursor
	fromTime
	fromUnknown // a last event id that this gateway never gave out
)

// AfterID returns the start after a Last-Event-ID. It takes any text: one that is no cursor of this log makes a stream
// that is told of a gap, since an error would stop an EventSource for good.
func AfterID(id string) Start {
	c, err := event.ParseCursor(id)
	if err != nil {
		return Start{from: fromUnknown}
	}
	return Start{from: fromCursor, cursor: c}
}

// ParseSince reads the values of since: a cursor (begins after it), an RFC 3339 time (with what was accepted at or after
// it; one in the future is now), a duration such as 10m or 1h30m (so long before now), or earliest. The error's text is
// meant for the one who sent it.
func ParseSince(s string, now time.Time) (Start, error) {
	if s == "earliest" {
		return Start{from: fromEarliest}, nil
	}
	if c, err := event.ParseCursor(s); err == nil {
		return Start{from: fromCursor, cursor: c}, nil
	}
	if d, err := time.ParseDuration(s); err == nil {
		if d < 0 {
			return Start{}, errors.New("is a negative duration")
		}
		return Start{from: fromTime, time: now.Add(-d)}, nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return Start{from: fromTime, time: t}, nil
	}
	return Start{}, errors.New("is no cursor, RFC 3339 time (with + written as %2B), duration like 10m, or earliest")
}

// opening is what a stream is told first.
type opening uint8

const (
	live    opening = iota
	resumed         // nothing is missing
	gap             // events are missing before the position
)

// place is where a stream begins.
type place struct {
	position event.Cursor // it begins after this one
	told     opening
	oldest   event.Cursor // after this one the log still holds everything; told with a gap
}

// resolve finds where the stream begins.
//
// A time is told as a gap if retention has removed events and what is left begins after that time: whether the removed
// ones were younger than the time is no longer known, and a gap that may be empty is better than one untold.
func (s Start) resolve(ctx context.Context, log Log) (place, error) {
	bounds, err := log.Bounds(ctx)
	if err != nil {
		return place{}, fmt.Errorf("find the log's bounds: %w", err)
	}
	at := func(position event.Cursor, told opening) (place, error) {
		return place{position, told, bounds.Trimmed}, nil
	}
	switch s.from {
	case fromEarliest:
		return at(bounds.Trimmed, resumed)
	case fromCursor:
		switch {
		case s.cursor > bounds.Head:
			return at(bounds.Head, gap)
		case s.cursor < bounds.Trimmed:
			return at(bounds.Trimmed, gap)
		}
		return at(s.cursor, resumed)
	case fromTime:
		c, err := log.CursorBefore(ctx, s.time)
		if err != nil {
			return place{}, fmt.Errorf("find a time in the log: %w", err)
		}
		if bounds.Trimmed > 0 && c <= bounds.Trimmed {
			return at(bounds.Trimmed, gap)
		}
		return at(c, resumed)
	case fromUnknown:
		return at(bounds.Head, gap)
	default:
		return at(bounds.Head, live)
	}
}
