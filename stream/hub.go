package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// Log is what the hub uses of the store: see [store.Log].
type Log interface {
	Bounds(ctx context.Context) (store.Bounds, error)
	Read(ctx context.Context, tenant event.TenantID, q store.ReadQuery) (store.ReadResult, error)
	Tail(after event.Cursor) store.Tail
	CursorBefore(ctx context.Context, t time.Time) (event.Cursor, error)
}

// What a [Config] has where it says nothing.
const (
	DefaultRingEvents   = 8192
	DefaultRingBytes    = 16 << 20
	DefaultHeartbeat    = 15 * time.Second
	DefaultWriteTimeout = 60 * time.Second
)

// Config says how a hub works. Zero fields have defaults, but for Log.
type Config struct {
	Log Log

	// Source is the CloudEvents source of events that were not posted as CloudEvents.
	Source string

	// RingEvents and RingBytes bound the newest events that are kept in memory, encodings counted.
	RingEvents int
	RingBytes  int

	// Heartbeat is how long a stream may be silent before it sends a comment.
	Heartbeat time.Duration

	// WriteTimeout is how long a reader may take nothing at all; it is closed before half as long again has passed.
	WriteTimeout time.Duration

	// Metrics is where the hub's metrics are registered; nil: nowhere.
	Metrics prometheus.Registerer
}

// Hub follows the log and feeds every stream from it. Safe for concurrent use.
type Hub struct {
	log          Log
	source       string
	heartbeat    time.Duration
	writeTimeout time.Duration
	metrics      metrics
	ended        chan struct{} // closed when Run has returned

	mu        sync.Mutex
	ring      ring
	tailed    event.Cursor // everything up to here has been seen, and is in the ring if it is above ring.after
	audiences map[event.TenantID]*audience
	wires     map[*wire]struct{} // of all open streams
}

// New returns a hub. Streams can be opened at once; they carry events while [Hub.Run] runs.
func New(cfg Config) *Hub {
	return &Hub{
		log:          cfg.Log,
		source:       cfg.Source,
		heartbeat:    orDefault(cfg.Heartbeat, DefaultHeartbeat),
		writeTimeout: orDefault(cfg.WriteTimeout, DefaultWriteTimeout),
		metrics:      newMetrics(cfg.Metrics),
		ended:        make(chan struct{}),
		ring: ring{
			maxEvents: orDefault(cfg.RingEvents, DefaultRingEvents),
			maxBytes:  orDefault(cfg.RingBytes, DefaultRingBytes),
		},
		audiences: make(map[event.TenantID]*audience),
		wires:     make(map[*wire]struct{}),
	}
}

func orDefault[T int | time.Duration](v, otherwise T) T {
	if v == 0 {
		return otherwise
	}
	return v
}

// Run follows the log until ctx ends, and returns nil then; an error means that the log could not be read. Either way
// every open stream ends with a retry, and so does every one that is opened later. Call it once.
func (h *Hub) Run(ctx context.Context) error {
	defer h.end()
	bounds, err := h.log.Bounds(ctx)
	if err != nil {
		return ignoreEnd(ctx, fmt.Errorf("find the log's head: %w", err))
	}
	h.restart(bounds.Head)
	tail := h.log.Tail(bounds.Head)
	for {
		events, err := tail.Next(ctx)
		if trimmed, ok := goneBeyond(err, h.tailedTo()); ok {
			// The hub itself was too slow: the streams get the rest from the log, and are told what is missing there.
			h.restart(trimmed)
			tail = h.log.Tail(trimmed)
			continue
		}
		if err != nil {
			return ignoreEnd(ctx, fmt.Errorf("follow the log: %w", err))
		}
		h.publish(events)
	}
}

// end has every stream end, now and from now on. One whose reader has stalled must not hold up who waits for it.
func (h *Hub) end() {
	close(h.ended)
	h.mu.Lock()
	defer h.mu.Unlock()
	for out := range h.wires {
		out.hurry()
	}
}

// ignoreEnd drops an error that only says that ctx has ended.
func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// goneBeyond returns how far retention has gone, if err says that it has passed a reader at c. One that would not move
// the reader on is an engine's fault, and would be met again for ever.
func goneBeyond(err error, c event.Cursor) (event.Cursor, bool) {
	var gone *store.GoneError
	if errors.As(err, &gone) && gone.Trimmed > c {
		return gone.Trimmed, true
	}
	return 0, false
}

func (h *Hub) tailedTo() event.Cursor {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.tailed
}

// publish puts events into the ring and wakes whom they concern.
func (h *Hub) publish(events []*event.Event) {
	var woken []*subscriber
	h.mu.Lock()
	for _, e := range events {
		h.ring.add(e)
		h.tailed = e.Cursor
		if a := h.audiences[e.Tenant]; a != nil {
			a.index.Match(e.Topic, func(g *group) { woken = g.wakeFor(e.Cursor, woken) })
		}
	}
	h.mu.Unlock()
	wake(woken)
}

// restart makes the hub go on after c. What lies between is left to the log: everybody is woken to read there.
func (h *Hub) restart(c event.Cursor) {
	var woken []*subscriber
	h.mu.Lock()
	for _, a := range h.audiences {
		for _, g := range a.groups {
			woken = g.wakeAll(h.tailed, woken)
		}
	}
	h.ring.reset(c)
	h.tailed = c
	h.mu.Unlock()
	wake(woken)
}

// wake signals those who were taken off the parked. It is done without the lock, which all of them want next.
func wake(woken []*subscriber) {
	for _, s := range woken {
		s.wake <- struct{}{} // has room: one signal for each time that s parks, and s takes it before it parks again
	}
}

// encoded returns a frame in one form.
func (h *Hub) encoded(f *frame, in form) []byte {
	p := &f.forms[in]
	p.once.Do(func() {
		p.text = appendFrame(nil, f.event, in, h.source)
		h.mu.Lock()
		h.ring.grew(f, cap(p.text))
		h.mu.Unlock()
	})
	return p.text
}

// join makes a subscriber at a cursor, whose stream is written to out.
func (h *Hub) join(sub Subscription, position event.Cursor, out *wire) *subscriber {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wires[out] = struct{}{}
	if h.hasEnded() { // just now, and end has not seen this one
		out.hurry()
	}
	a := h.audiences[sub.Tenant]
	if a == nil {
		a = &audience{}
		h.audiences[sub.Tenant] = a
	}
	return &subscriber{
		hub:      h,
		tenant:   sub.Tenant,
		patterns: sub.Patterns,
		form:     formOf(sub.Format, sub.Named),
		wake:     make(chan struct{}, 1),
		group:    a.join(sub.Patterns),
		parkedAt: -1,
		position: position,
		told:     position,
	}
}

func (h *Hub) leave(s *subscriber, out *wire) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.wires, out)
	s.group.unpark(s)
	a := h.audiences[s.tenant]
	a.leave(s.group)
	if len(a.groups) == 0 {
		delete(h.audiences, s.tenant)
	}
}
