package dispatch

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/carillon/carillon/event"
)

const (
	// spillAfter is how long a delivery may be owed by its event's row alone. It bounds what a restart reads.
	spillAfter = time.Second
	// DefaultMaxInFlight bounds the requests of the whole process: each holds a socket and some 20 KiB.
	DefaultMaxInFlight = 4096
	// maxUnsettled stops new attempts and the reading of the log while the store cannot keep up.
	maxUnsettled = 8192
	// maxHeldBytes bounds the payloads held for queued deliveries, counted once for each; past it they are fetched again
	// when they are sent.
	maxHeldBytes = 32 << 20
	// loadRetry is how long to wait after a backlog could not be read.
	loadRetry = time.Second
	// floorEvery is how often the floor alone is stored, when there is nothing to settle.
	floorEvery = time.Second
	// storeGrace is how long the last settlements may take once nothing is in flight any more.
	storeGrace = 5 * time.Second
)

// scheduler decides which attempt is made next. All of its state belongs to the goroutine of run; everybody else talks
// to it by channels.
type scheduler struct {
	*Dispatcher

	lanes   map[event.ID]*lane
	wakes   laneHeap
	blocked fifo[*lane] // lanes with something to send, waiting for room in the process
	floor   floor

	recorded map[event.DeliveryID]struct{} // deliveries that had a row before their event was read from the log
	head     event.Cursor                  // how far the log was read

	inFlight    int
	maxInFlight int
	heldBytes   int

	pending     batch
	pendingFrom time.Time // when the oldest of pending came
	storing     int       // deliveries in the batch that is being written; 0 if none is
	busy        bool      // a batch is being written
	owing       bool      // it is of more than the floor alone
	storedFloor event.Cursor
	floorFrom   time.Time // when the floor rose above the stored one

	owedBy    map[event.TenantID]int64 // what lanes are owed, summed up: see owed.go
	toCount   fifo[*lane]              // lanes to be looked at for what they are owed
	counting  bool                     // some of them are counted in the store
	countTime time.Duration            // that counting may take
	ailing    map[event.TenantID]map[*lane]struct{}

	startHead event.Cursor // the log's head when the scheduler began
	settledIn bool         // all at or below startHead has a row

	stopping bool
	debug    bool // the log is one that wants to know of each attempt

	logged   chan piece
	finished chan finished
	loaded   chan loaded
	counts   chan counted
	toStore  chan *batch
	stored   chan *batch
}

func newScheduler(ctx context.Context, d *Dispatcher) (*scheduler, error) {
	s := &scheduler{
		Dispatcher: d, lanes: make(map[event.ID]*lane), recorded: make(map[event.DeliveryID]struct{}),
		logged: make(chan piece), finished: make(chan finished, 64), loaded: make(chan loaded, 16),
		counts: make(chan counted), owedBy: make(map[event.TenantID]int64), ailing: make(map[event.TenantID]map[*lane]struct{}),
		toStore: make(chan *batch), stored: make(chan *batch),
		maxInFlight: d.maxInFlight,
		debug:       d.log.Enabled(ctx, slog.LevelDebug),
	}
	bounds, err := d.store.Bounds(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the log's bounds: %w", err)
	}
	if s.floor.at, err = d.store.Floor(ctx); err != nil {
		return nil, fmt.Errorf("reading the floor: %w", err)
	}
	s.floor.at = max(s.floor.at, bounds.Trimmed)
	s.head, s.storedFloor, s.startHead = s.floor.at, s.floor.at, bounds.Head
	err = d.store.Recorded(ctx, s.floor.at, func(id event.DeliveryID) { s.recorded[id] = struct{}{} })
	if err != nil {
		return nil, fmt.Errorf("reading the deliveries above the floor: %w", err)
	}
	dues, err := d.store.Dues(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading what is due: %w", err)
	}
	healths, err := d.store.Healths(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading how the webhooks were doing: %w", err)
	}
	now := time.Now()
	s.takeNews(now)
	for _, h := range healths {
		if l := s.lanes[h.Webhook]; l != nil {
			l.failures, l.failingSince, l.gate, l.ailing = h.Failures, h.FailingSince, h.Gate, h.Down
			if h.Down && l.open() {
				l.probe = &probe{pause: shortestPause, at: now}
				d.metrics.down.Inc()
			}
			s.review(l)
		}
	}
	for id, due := range dues {
		if l := s.lanes[id]; l != nil {
			l.expect(due)
			l.parked = l.webhook.Order.Ordered() // as long as no load says otherwise
			s.lookAt(l)
			s.touch(l, now)
		}
	}
	return s, nil
}

// run schedules until ctx ends and everything in flight is stored.
func (s *scheduler) run(ctx context.Context) error {
	// Attempts and their settlement outlive ctx: it only ends the taking of new work.
	working, stopWorking := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWorking()
	writing, stopWriting := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWriting()

	var tail, workers, writer sync.WaitGroup
	tailErr := make(chan error, 1)
	tail.Go(func() { tailErr <- s.follow(ctx, s.head) })
	writer.Go(func() { s.settle(writing) })
	defer func() {
		tail.Wait()
		stopWriting()
		writer.Wait()
	}()

	timer := time.NewTimer(0)
	defer timer.Stop()
	var drained <-chan time.Time
	var grace *time.Timer
	done := ctx.Done()
	var failure error
	for {
		now := time.Now()
		s.wakeLanes(working, &workers, now)
		s.flush(now)
		if s.stopping && s.inFlight == 0 {
			if !s.busy || !s.owing && !s.pending.some() {
				break // a write of the floor alone is worth no wait: a restart reads a little more
			}
			if grace == nil {
				grace = time.AfterFunc(storeGrace, stopWriting)
				defer grace.Stop()
			}
		}
		s.arm(timer, now)
		logged := s.logged
		if s.stopping || s.pending.len() >= maxUnsettled {
			logged = nil
		}
		select {
		case p := <-logged:
			now = time.Now()
			s.takeNews(now)
			s.take(p, now)
		case f := <-s.finished:
			s.finish(f, time.Now())
		case b, ok := <-s.stored:
			if !ok {
				// Only at the end of storeGrace: what could not be stored stays owed.
				s.log.Error("deliveries could not be settled before the end; they will be made again", "deliveries", s.storing+s.pending.len())
				s.finishWorkers(stopWorking, &workers)
				return failure
			}
			s.wasStored(b, time.Now())
		case l := <-s.loaded:
			s.takeBacklog(l, time.Now())
		case ask := <-s.asks:
			ask.answer <- s.healthNow(ask.webhook, time.Now())
		case ask := <-s.troubles:
			ask.answer <- s.troublesNow(ask.tenant, time.Now())
		case ask := <-s.backlogs:
			ask <- s.backlogsNow()
			s.recount(working, &workers, time.Now())
		case c := <-s.counts:
			s.takeCounts(c)
		case <-s.changed:
			s.takeNews(time.Now())
		case <-timer.C:
		case <-done:
			done = nil
			s.stopping = true
			drained = time.After(s.drain)
		case <-drained:
			// Attempts cut off now are not recorded: they are made again after the restart.
			drained = nil
			stopWorking()
		case err := <-tailErr:
			tailErr = nil
			if err != nil && ctx.Err() == nil {
				failure = fmt.Errorf("following the log: %w", err)
				s.stopping = true
				drained = time.After(s.drain)
			}
		}
	}
	s.finishWorkers(stopWorking, &workers)
	return failure
}

// finishWorkers cuts off what is still under way, waits for it and leaves its results: the store knows what is owed.
func (s *scheduler) finishWorkers(stop context.CancelFunc, workers *sync.WaitGroup) {
	stop()
	close(s.toStore)
	done := make(chan struct{})
	go func() {
		workers.Wait()
		close(done)
	}()
	for {
		select {
		case <-s.finished:
		case <-s.loaded:
		case <-s.counts:
		case <-done:
			return
		}
	}
}

// arm sets the timer to when something is to be done though nothing happens.
func (s *scheduler) arm(timer *time.Timer, now time.Time) {
	var at time.Time
	sooner := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	if len(s.wakes) > 0 {
		sooner(s.wakes[0].wakeAt)
	}
	if !s.stopping {
		if oldest := s.floor.oldestYoung(); !oldest.IsZero() {
			sooner(oldest.Add(spillAfter))
		}
	}
	if !s.busy {
		if s.pending.some() {
			sooner(s.pendingFrom.Add(gather))
		}
		if s.floor.at != s.storedFloor {
			sooner(s.floorFrom.Add(floorEvery))
		}
	}
	if at.IsZero() {
		timer.Stop()
		return
	}
	timer.Reset(max(0, at.Sub(now)))
}
