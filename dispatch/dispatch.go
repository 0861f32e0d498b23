package dispatch

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// Ledger is what deliveries need of the store.
type Ledger interface {
	Append(ctx context.Context, drafts []store.Draft) ([]store.Receipt, error)
	Bounds(ctx context.Context) (store.Bounds, error)
	Tail(after event.Cursor) store.Tail
	EventAt(ctx context.Context, c event.Cursor) (*event.Event, error)
	EventsAt(ctx context.Context, cursors []event.Cursor, bytes int) ([]*event.Event, error)
	Trim(ctx context.Context, r store.Retention) (store.Trimmed, error)
	WatchWebhooks(changed func([]store.WebhookChange)) (stop func(), err error)
	store.Deliveries
	store.Jobs
}

// sender is the consumer's view of [Sender]; tests of the schedule answer without a network.
type sender interface {
	Send(ctx context.Context, r Request) Response
}

// Config is what a dispatcher needs.
type Config struct {
	Store     Ledger
	Sender    *Sender
	Retention store.Retention
	// MaxInFlight bounds the requests to webhooks under way at once, each of which holds a descriptor; 0:
	// [DefaultMaxInFlight]. A webhook that is not down has one all the same.
	MaxInFlight int
	// Drain is how long attempts in flight may go on once Run's context has ended.
	Drain      time.Duration
	Log        *slog.Logger
	Registerer prometheus.Registerer // nil: no metrics
	Tally      Tally                 // nil: nobody
}

// Dispatcher makes the deliveries. Its methods are safe for concurrent use.
type Dispatcher struct {
	store     Ledger
	sender    sender
	previewer *Sender // the sender, where requests are only looked at
	retention store.Retention
	drain     time.Duration

	maxInFlight int
	log         *slog.Logger
	metrics     *metrics
	tally       Tally
	random      func() float64

	matcher   *matcher
	stopWatch func()

	mu      sync.Mutex
	waits   map[event.ID]*Wait
	changes []store.WebhookChange // not yet seen by the scheduler
	byHand  []byHand              // not yet seen by the scheduler
	freed   []event.ID            // webhooks of which retention released what was parked; not yet seen by the scheduler

	changed chan struct{} // changes or byHand has something
	asks    chan healthAsk
	jobs    chan struct{} // there may be a job to run

	troubles chan troubleAsk
	backlogs chan chan map[event.TenantID]int64
}

// New makes a dispatcher that knows the webhooks and can match; it delivers while it runs. Close it when done.
func New(cfg Config) (*Dispatcher, error) {
	return newDispatcher(cfg, cfg.Sender)
}

func newDispatcher(cfg Config, s sender) (*Dispatcher, error) {
	d := &Dispatcher{
		maxInFlight: cmp.Or(cfg.MaxInFlight, DefaultMaxInFlight),
		store:       cfg.Store, sender: s, previewer: cfg.Sender, retention: cfg.Retention, drain: cfg.Drain, log: cfg.Log,
		metrics: newMetrics(cfg.Registerer), tally: cfg.Tally, random: rand.Float64,
		troubles: make(chan troubleAsk), backlogs: make(chan chan map[event.TenantID]int64),
		waits: make(map[event.ID]*Wait), changed: make(chan struct{}, 1),
		asks: make(chan healthAsk), jobs: make(chan struct{}, 1),
	}
	d.matcher = newMatcher(d.log, d.metrics)
	d.retention.Announce = d.announceExpired
	stop, err := cfg.Store.WatchWebhooks(d.webhooksChanged)
	if err != nil {
		return nil, fmt.Errorf("watching webhooks: %w", err)
	}
	d.stopWatch = stop
	return d, nil
}

// Close ends what New began. Call it after Run has returned.
func (d *Dispatcher) Close() { d.stopWatch() }

// Run makes deliveries until ctx ends, then gives attempts in flight up to the drain time, stores what came of them and
// returns nil.
func (d *Dispatcher) Run(ctx context.Context) error {
	s, err := newScheduler(ctx, d)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.run(gctx) })
	g.Go(func() error { return d.retain(gctx) })
	g.Go(func() error { return d.runJobs(gctx) })
	return g.Wait()
}

// Match returns the webhooks that an event is owed to: whose patterns match its topic and whose filter, if they have one,
// accepts it. The disabled ones are among them, and those whose filter fails; both are marked.
func (d *Dispatcher) Match(ev *event.Event) []event.Match { return d.matcher.match(ev) }

// webhooksChanged is called by the store, in the order of the changes.
func (d *Dispatcher) webhooksChanged(changes []store.WebhookChange) {
	d.matcher.apply(changes)
	d.mu.Lock()
	d.changes = append(d.changes, changes...)
	d.mu.Unlock()
	d.nudge()
}

func (d *Dispatcher) nudge() {
	select {
	case d.changed <- struct{}{}:
	default: // a nudge is on its way already
	}
}

// news takes what happened since the last call.
func (d *Dispatcher) news() (changes []store.WebhookChange, hands []byHand, freed []event.ID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	changes, hands, freed = d.changes, d.byHand, d.freed
	d.changes, d.byHand, d.freed = nil, nil, nil
	return changes, hands, freed
}
