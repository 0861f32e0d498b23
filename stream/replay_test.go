package stream

import (
	"context"
	"sync"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// replay is a log in memory for the tests inside of the package. Its zero value is empty.
type replay struct {
	mu      sync.Mutex
	events  []*event.Event
	trimmed event.Cursor
	changed chan struct{}
}

func (r *replay) append(topic event.Topic, payloads ...string) {
	r.appendAll(func(add func(event.Topic, string)) {
		for _, p := range payloads {
			add(topic, p)
		}
	})
}

// appendAll appends what events calls add with, all at once.
func (r *replay) appendAll(events func(add func(event.Topic, string))) {
	r.mu.Lock()
	defer r.mu.Unlock()
	events(func(topic event.Topic, payload string) {
		r.events = append(r.events, &event.Event{
			ID: event.NewID(), Tenant: 1, Topic: topic, Payload: []byte(payload), Cursor: event.Cursor(len(r.events) + 1),
			Time: time.Unix(1, 0),
		})
	})
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
}

func (r *replay) trim(c event.Cursor) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trimmed = c
}

func (r *replay) Bounds(context.Context) (store.Bounds, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return store.Bounds{Trimmed: r.trimmed, Head: event.Cursor(len(r.events))}, nil
}

func (r *replay) Read(_ context.Context, _ event.TenantID, q store.ReadQuery) (store.ReadResult, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if q.After < r.trimmed {
		return store.ReadResult{}, &store.GoneError{Trimmed: r.trimmed}
	}
	result := store.ReadResult{Through: q.After}
	for int(result.Through) < len(r.events) && len(result.Events) < q.Limit {
		if e := r.events[result.Through]; event.MatchAny(q.Patterns, e.Topic) {
			result.Events = append(result.Events, e)
		}
		result.Through++
	}
	return result, nil
}

func (r *replay) CursorBefore(context.Context, time.Time) (event.Cursor, error) { return 0, nil }

type replayTail struct {
	log   *replay
	after event.Cursor
}

func (r *replay) Tail(after event.Cursor) store.Tail { return &replayTail{r, after} }

func (t *replayTail) Next(ctx context.Context) ([]*event.Event, error) {
	for {
		t.log.mu.Lock()
		if t.log.changed == nil {
			t.log.changed = make(chan struct{})
		}
		changed, events := t.log.changed, t.log.events
		t.log.mu.Unlock()
		if int(t.after) < len(events) {
			events = events[t.after:]
			t.after = events[len(events)-1].Cursor
			return events, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
