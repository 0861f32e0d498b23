package stream

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/filter"
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
	DefaultPageBytes    = 8 << 20
	DefaultHeartbeat    = 15 * time.Second
	DefaultWriteTimeout = 60 * time.Second
)

// Config says how a hub works. Zero fields have defaults, but for Log.
type Config struct {
	Log Log

	// Source is the CloudEvents source of events that were not posted as CloudEvents.
	Source string

	// Shards is how many goroutines feed the streams that have no filter; as many as there are processors by default.
	Shards int

	// RingEvents and RingBytes bound the newest events that are kept in memory, encodings counted.
	RingEvents int
	RingBytes  int

	// PageBytes bounds what of the log is kept encoded while streams catch up with it.
	PageBytes int

	// Heartbeat is how long a stream may be silent before it sends a comment.
	Heartbeat time.Duration

	// WriteTimeout is how long a reader may take nothing at all of what there is for it.
	WriteTimeout time.Duration

	// MaxAge is how long a stream may be open; each ends a random part of up to a tenth earlier. Zero: for ever.
	MaxAge time.Duration

	// Limits bound how many streams may be open.
	Limits Limits

	// Publish appends the events by which the hub tells who comes and who leaves; they lack their matches. nil: nothing is
	// told. Wanted reports whether anybody but streams wants events of a topic: they are not told to nobody.
	Publish func(context.Context, []*event.Event) error
	Wanted  func(event.TenantID, event.Topic) bool

	// Appended is told of the events of the log, in order, as they come; it must be quick. nil: nobody.
	Appended func([]*event.Event)

	// Logger is told what goes wrong with a stream whose request has been answered already; nil: nobody.
	Logger *slog.Logger

	// Metrics is where the hub's metrics are registered; nil: nowhere.
	Metrics prometheus.Registerer
}

// Hub follows the log and feeds every stream from it. Safe for concurrent use.
type Hub struct {
	log          Log
	source       string
	heartbeat    time.Duration
	writeTimeout time.Duration
	maxAge       time.Duration
	logger       *slog.Logger
	metrics      metrics
	made         time.Time
	appended     func([]*event.Event)

	ring  ring
	pages pages
	seats seats
	news  presence

	// turns are those of streams that catch up: so many do it at the same time. Were all of those who resume after a
	// restart to run at once, each event that is posted meanwhile would have to wait for its turn among them. Those with
	// filters, which may take long, have turns of their own.
	turns, filteredTurns chan struct{}

	begun chan struct{}   // closed when Run has begun
	ended chan struct{}   // closed when Run is over
	ctx   context.Context // of Run; set before begun is closed

	// takeOver is the function of that name, but in tests.
	takeOver func(http.ResponseWriter, *http.Request, func() *watcher) (socket, error)

	// tasks are the goroutines that feed and watch sockets. While it waits for them nobody adds to it: over says so.
	tasks sync.WaitGroup

	mu       sync.Mutex
	over     bool
	shards   []*shard // of streams without a filter
	next     int      // whose turn it is to get a stream
	filtered map[string]*shard
	streams  map[event.ID]*subscriber
	watch    *watcher // nil until there is a socket
	watching sync.WaitGroup
	polls    map[*subscriber]struct{}
	revoked  map[string]struct{}         // keys that were ended: they open no streams any more
	gone     map[event.TenantID]struct{} // tenants that were
}

// New returns a hub. Streams can be opened at once; they carry events while [Hub.Run] runs.
func New(cfg Config) *Hub {
	logger := cfg.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	parallel := max(1, runtime.GOMAXPROCS(0)/2)
	h := &Hub{
		log:           cfg.Log,
		source:        cfg.Source,
		heartbeat:     orDefault(cfg.Heartbeat, DefaultHeartbeat),
		writeTimeout:  orDefault(cfg.WriteTimeout, DefaultWriteTimeout),
		maxAge:        cfg.MaxAge,
		logger:        logger,
		made:          time.Now(),
		appended:      cfg.Appended,
		takeOver:      takeOver,
		turns:         make(chan struct{}, parallel),
		filteredTurns: make(chan struct{}, parallel),
		begun:         make(chan struct{}),
		ended:         make(chan struct{}),
		ring: ring{
			maxEvents: orDefault(cfg.RingEvents, DefaultRingEvents),
			maxBytes:  orDefault(cfg.RingBytes, DefaultRingBytes),
		},
		seats:    newSeats(cfg.Limits),
		news:     presence{publish: cfg.Publish, wanted: cfg.Wanted, wake: make(chan struct{}, 1)},
		filtered: make(map[string]*shard),
		streams:  make(map[event.ID]*subscriber),
		polls:    make(map[*subscriber]struct{}),
		revoked:  make(map[string]struct{}),
		gone:     make(map[event.TenantID]struct{}),
	}
	for range orDefault(cfg.Shards, runtime.GOMAXPROCS(0)) {
		h.shards = append(h.shards, newShard(h, "", nil))
	}
	h.metrics = newMetrics(cfg.Metrics, h)
	h.pages = pages{
		maxBytes: orDefault(cfg.PageBytes, DefaultPageBytes), hits: h.metrics.sharedReads, held: make(map[pageKey]*page),
	}
	return h
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
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	h.ctx = ctx
	var feeding sync.WaitGroup
	for _, sh := range h.shards {
		feeding.Go(func() { sh.run(ctx) })
	}
	feeding.Go(func() { h.announce(ctx) })
	close(h.begun)
	err := h.follow(ctx)
	cancel()
	feeding.Wait()
	h.end()
	return err
}

// follow reads the log into the ring until ctx ends.
func (h *Hub) follow(ctx context.Context) error {
	bounds, err := h.log.Bounds(ctx)
	if err != nil {
		return ignoreEnd(ctx, fmt.Errorf("find the log's head: %w", err))
	}
	h.restart(bounds.Head)
	tail := h.log.Tail(bounds.Head)
	for {
		events, err := tail.Next(ctx)
		if trimmed, ok := goneBeyond(err, h.ring.head()); ok {
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

// publish puts events into the ring and has the shards send them.
func (h *Hub) publish(events []*event.Event) {
	h.ring.add(events)
	h.signal()
	if h.appended != nil {
		h.appended(events)
	}
}

// restart makes the hub go on after c. What lies between is left to the log.
func (h *Hub) restart(c event.Cursor) {
	h.ring.reset(c)
	h.signal()
}

func (h *Hub) signal() {
	for _, sh := range h.shards {
		sh.signal()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, sh := range h.filtered {
		sh.signal()
	}
}

// end has every stream end, now and from now on, and waits for those on sockets. One whose reader has stalled must not
// hold it up.
func (h *Hub) end() {
	h.mu.Lock()
	h.over = true
	close(h.ended)
	h.mu.Unlock()
	for _, sh := range h.allShards() {
		sh.end()
	}
	h.mu.Lock()
	for _, s := range h.streams {
		if s.sock != nil {
			s.sock.hurry()
		}
	}
	h.mu.Unlock()
	h.tasks.Wait()
	if h.watch != nil {
		h.watch.close()
	}
	h.watching.Wait()
}

// watcher returns what watches the sockets, from the first one on until the hub ends; nil if it has, or if the system has
// none to give.
func (h *Hub) watcher() *watcher {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over || h.watch != nil {
		return h.watch
	}
	w, err := newWatcher()
	if err != nil {
		h.logger.Error("streams cannot be kept open", "error", err)
		return nil
	}
	h.watch = w
	h.watching.Go(func() {
		if err := w.run(); err != nil {
			h.logger.Error("clients that leave their streams are no longer noticed", "error", err)
		}
	})
	return w
}

func (h *Hub) allShards() []*shard {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.AppendSeq(slices.Clone(h.shards), maps.Values(h.filtered))
}

func (h *Hub) hasEnded() bool {
	select {
	case <-h.ended:
		return true
	default:
		return false
	}
}

// ignoreEnd drops an error that only says that ctx has ended.
func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// encoded returns a frame in one form.
func (h *Hub) encoded(f *frame, in form) []byte {
	p := &f.forms[in]
	p.once.Do(func() {
		p.text = appendFrame(nil, f.event, in, h.source)
		h.ring.grew(f, cap(p.text))
	})
	return p.text
}

// shardFor returns the shard of a stream with a filter, or with none, and counts the stream on it. The hub's lock is
// held.
func (h *Hub) shardFor(source string, f *filter.Filter) *shard {
	if f == nil {
		h.next = (h.next + 1) % len(h.shards)
		return h.shards[h.next]
	}
	sh := h.filtered[source]
	if sh == nil {
		sh = newShard(h, source, f)
		h.filtered[source] = sh
		ctx, stop := context.WithCancel(h.ctx)
		sh.stop = stop
		h.tasks.Go(func() { sh.run(ctx) })
	}
	sh.uses++
	return sh
}

// join makes s a stream of the hub. It is false if the hub has ended, or the stream's key.
func (h *Hub) join(s *subscriber, sub Subscription) bool {
	h.mu.Lock()
	_, revoked := h.revoked[s.key]
	if _, gone := h.gone[s.tenant]; gone {
		revoked = true
	}
	s.revoked.Store(revoked)
	if h.over || revoked {
		h.mu.Unlock()
		return false
	}
	s.shard = h.shardFor(sub.FilterSource, sub.Filter)
	if s.id.IsZero() {
		h.polls[s] = struct{}{}
	} else {
		h.streams[s.id] = s
	}
	if s.sock != nil {
		h.tasks.Add(2) // until it has caught up for the first time, and until it has been cleared away
	}
	h.mu.Unlock()
	s.shard.join(s, sub.Patterns)
	if !s.id.IsZero() {
		h.metrics.open.Inc()
		h.came(s)
	}
	return true
}

func (h *Hub) leave(s *subscriber) {
	s.shard.leave(s)
	h.mu.Lock()
	delete(h.streams, s.id)
	delete(h.polls, s)
	if sh := s.shard; sh.filter != nil {
		if sh.uses--; sh.uses == 0 {
			delete(h.filtered, sh.source)
			sh.stop()
		}
	}
	h.mu.Unlock()
	h.seats.free(s.tenant, s.key, s.address.Addr())
	if !s.id.IsZero() {
		h.metrics.open.Dec()
		h.went(s)
	}
}
