package dispatch

import (
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// lookAhead is how many deliveries of one webhook wait in memory at most, of each kind; the rest wait in the store. It is
// enough to keep the slots busy while more are fetched. A narrow window needs fewer (see [lane.room]): there can be very
// many webhooks that have a backlog.
const (
	lookAhead     = 256
	lookAheadDown = 8 // of a webhook that is down
	leastAhead    = 32
	aheadOfWindow = 16 // times the window
)

// task is a delivery in memory: queued, in flight or being settled.
type task struct {
	id       event.DeliveryID
	tenant   event.TenantID
	lane     *lane
	ev       *event.Event // nil: fetched when it is sent
	wait     *Wait        // nil: nobody waits for the answer
	event    event.ID
	topic    event.Topic
	key      uint64    // what it waits for its turn by; 0: it waits for nobody
	accepted time.Time // when its event was
	began    time.Time // when its schedule did, about: its patience counts from then
	due      time.Time // of a probe: when its schedule lets it use up a step; zero: now
	attempts int
	step     int
	era      int // of the lane, when its attempt began
	round    int // of the lane's window, when its attempt began
	replay   bool

	track    *tracked // the event whose floor waits for this delivery's row; nil once it has one
	phase    phase
	spilling bool // its row is on its way into the store
	canceled bool // in the store, while it was under way
	reopened bool // somebody gave it a full schedule again while it was under way
}

type phase uint8

const (
	queued   phase = iota // in one of its lane's queues, or waiting for its turn
	overflow              // in no queue: leaves memory once it has its row
	inFlight
	settling
	dropped // called off; whoever meets it in a queue leaves it
)

// idle reports whether nothing is under way for the task, so that it can be called off.
func (t *task) idle() bool { return t.phase == queued || t.phase == overflow }

// retry reports whether an attempt of the task is one that may be kept waiting in favour of first attempts.
func (t *task) retry() bool { return t.attempts > 0 && t.wait == nil }

// lane is one webhook's queues and slots. It belongs to the scheduler's goroutine.
type lane struct {
	webhook *event.Webhook
	deleted bool

	urgent  fifo[*task] // somebody waits for the answer
	fresh   fifo[*task] // first attempts, straight from the log
	backlog fifo[*task] // first attempts, from the store
	retries fifo[*task]
	taken   int // from the queues that alternate, so far
	turns   turns

	held      map[event.Cursor]*task // everything in memory
	overflown int                    // tasks in phase overflow
	inFlight  int
	retrying  int // of those in flight

	window window
	bucket bucket
	gate   time.Time // nothing is sent before (Retry-After of 429 and 503)
	probe  *probe    // nil unless the webhook is down
	ailing bool      // it was down, and has not succeeded since

	// era grows when the webhook begins anew: what began before was another receiver's.
	era          int
	failures     int // in a row
	failingSince time.Time
	lastError    event.Outcome // of the newest of them
	record       *record       // of the attempts lately; nil until there was one
	transforms   transformFailures
	since        time.Time

	// disabling says that a settlement on its way into the store disables the webhook; nothing is sent until then.
	disabling bool

	// nextDue is when the store has something due that is not held: zero for nothing.
	nextDue time.Time
	parked  bool // the store has rows that wait for their turn behind others
	loading bool
	// What happened while a load is under way, which may still show how things were before.
	released map[event.Cursor]struct{} // what left memory, or was called off
	yielded  map[uint64]struct{}       // order keys of which something left memory and is still pending
	void     bool                      // the webhook was closed

	owed      int64     // how many deliveries are pending, about: see owed.go
	owing     bool      // in the scheduler's list of lanes that are looked at for it
	lateSince time.Time // since when a delivery waits for its first attempt, if that is too long

	blocked bool      // in the scheduler's list of lanes that wait for room
	wakeAt  time.Time // in the scheduler's heap, while heapAt >= 0
	heapAt  int
}

func newLane(w *event.Webhook) *lane {
	return &lane{webhook: w, held: make(map[event.Cursor]*task), heapAt: -1, window: newWindow(max(1, w.MaxInFlight))}
}

// open reports whether deliveries may be attempted at all.
func (l *lane) open() bool { return !l.deleted && l.webhook.Enabled }

// queue puts a held task where it waits for a slot, or for its turn.
func (l *lane) queue(t *task) {
	if t.key == 0 || l.turns.join(t) {
		l.lineUp(t)
	}
}

// lineUp puts a task whose turn it is into the queue where it waits for a slot.
func (l *lane) lineUp(t *task) {
	switch {
	case t.wait != nil:
		l.urgent.push(t)
	case t.attempts > 0:
		l.retries.push(t)
	case t.track == nil && !t.spilling:
		l.backlog.push(t)
	default:
		l.fresh.push(t)
	}
}

// endTurn lets the next delivery of the same key have its turn, once nothing more will come of this one.
func (l *lane) endTurn(t *task) {
	if t.key == 0 {
		return
	}
	if next := l.turns.leave(t); next != nil && next.phase == queued {
		l.lineUp(next)
	}
}

// room is how many deliveries of each kind may wait in memory.
func (l *lane) room() int {
	switch {
	case l.probe == nil:
		return min(lookAhead, max(leastAhead, aheadOfWindow*l.window.limit()))
	case l.probe.givingUp:
		return lookAhead
	}
	return lookAheadDown
}

// full reports whether there is no room in memory for one more task from the log.
func (l *lane) full(t *task) bool {
	if t.wait != nil {
		return l.urgent.len() >= lookAhead
	}
	return l.fresh.len()+l.turns.waiting >= l.room()
}

// direct reports whether everything that the webhook is owed is in memory. Only then can a delivery that waits for its
// turn come straight from the log: otherwise, one that is before it may be in the store.
func (l *lane) direct() bool {
	return l.nextDue.IsZero() && !l.loading && !l.parked && l.overflown == 0
}

// skipDropped takes what was called off from the front of a queue.
func skipDropped(q *fifo[*task]) {
	for q.len() > 0 && q.at(0).phase != queued {
		q.pop()
	}
}

// pick returns the queue whose first task gets the next slot; nil if none may have it. Retries use at most half of the
// window, so that a webhook with very many of them still gets what is new; in a window of one they alternate.
func (l *lane) pick() *fifo[*task] {
	for _, q := range [...]*fifo[*task]{&l.urgent, &l.fresh, &l.backlog, &l.retries} {
		skipDropped(q)
	}
	if l.urgent.len() > 0 {
		return &l.urgent
	}
	first := &l.fresh
	if l.fresh.len() == 0 || l.backlog.len() > 0 && l.taken%4 < 2 {
		first = &l.backlog
	}
	retry := l.retries.len() > 0 && l.retrying < max(1, l.window.limit()/2)
	switch {
	case first.len() > 0 && (!retry || l.taken%2 == 0):
		return first
	case retry:
		return &l.retries
	}
	return nil
}

// ready returns when the next attempt could start, as far as the lane is concerned; false if only something that happens
// can let one start.
func (l *lane) ready(now time.Time) (time.Time, bool) {
	if !l.open() || l.disabling {
		return time.Time{}, false
	}
	at := l.gate
	if l.probe != nil {
		if l.inFlight > 0 || l.probe.task == nil && l.pick() == nil || l.probe.task != nil && l.probe.task.phase != queued {
			return time.Time{}, false
		}
		at = latest(at, l.probe.at)
	} else if l.inFlight >= l.window.limit() || l.pick() == nil {
		return time.Time{}, false
	}
	return latest(at, l.bucket.ready(l.webhook.RateLimit, now)), true
}

// next takes the task that gets the next slot. Only after ready.
func (l *lane) next() *task {
	if l.probe != nil && l.probe.task != nil {
		return l.probe.task
	}
	q := l.pick()
	if q != &l.urgent {
		l.taken++
	}
	t, _ := q.pop()
	return t
}

// expect notes that the store has something due at t, which is not zero.
func (l *lane) expect(t time.Time) {
	if l.nextDue.IsZero() || t.Before(l.nextDue) {
		l.nextDue = t
	}
}

// lacksProber reports whether a probe is due for which there is no delivery in memory, while the store has some that are
// due only later.
func (l *lane) lacksProber(now time.Time) bool {
	return l.probe != nil && l.probe.task == nil && !l.probe.at.After(now) && l.inFlight == 0 && l.open() && !l.disabling &&
		!l.gate.After(now) && l.wantsLoad() && l.nextDue.After(now) && l.pick() == nil
}

// wantsLoad reports whether the store should be asked for more now, or once nextDue has come.
func (l *lane) wantsLoad() bool {
	room := l.room()
	return !l.nextDue.IsZero() && !l.loading && l.urgent.len()+l.backlog.len()+l.retries.len() <= room/2 &&
		l.turns.waiting <= room
}

// overflow takes a task out of its queue, to leave memory once it has its row.
func (l *lane) overflow(t *task) {
	if t.phase != overflow {
		t.phase = overflow
		l.overflown++
	}
}

// set changes what a task is doing.
func (l *lane) set(t *task, p phase) {
	if t.phase == overflow && p != overflow {
		l.overflown--
	}
	t.phase = p
}

// release lets go of a task. What the store knows of it is all there is from now on.
func (l *lane) release(t *task) {
	if t.phase == overflow {
		l.overflown--
	}
	t.phase = dropped
	delete(l.held, t.id.Event)
	if l.loading {
		l.released[t.id.Event] = struct{}{}
	}
	if l.probe != nil && l.probe.task == t {
		l.probe.task = nil
	}
}

// wake returns when the lane next needs the scheduler's attention, as far as that can be said before something happens;
// the zero time: it cannot.
func (l *lane) wake(now time.Time) time.Time {
	var at time.Time
	sooner := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	if l.wantsLoad() {
		sooner(l.nextDue)
	}
	if start, ok := l.ready(now); ok && start.After(now) {
		sooner(start)
	}
	if l.probe != nil {
		sooner(l.oldestGivesUp())
		if l.probe.task == nil && l.wantsLoad() && l.pick() == nil {
			sooner(latest(l.probe.at, l.gate))
		}
	}
	return at
}

// health is what has to outlive a restart of how the webhook is doing.
func (l *lane) health() store.Health {
	return store.Health{Webhook: l.webhook.ID, Failures: l.failures, FailingSince: l.failingSince, Down: l.ailing, Gate: l.gate}
}

// laneHeap orders lanes by when they want to be woken (container/heap).
type laneHeap []*lane

func (h laneHeap) Len() int           { return len(h) }
func (h laneHeap) Less(i, j int) bool { return h[i].wakeAt.Before(h[j].wakeAt) }
func (h laneHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heapAt, h[j].heapAt = i, j
}

func (h *laneHeap) Push(x any) {
	l := x.(*lane)
	l.heapAt = len(*h)
	*h = append(*h, l)
}

func (h *laneHeap) Pop() any {
	old := *h
	l := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	l.heapAt = -1
	return l
}

// callOffReason says why deliveries of a lane that is not open are canceled.
func (l *lane) callOffReason() event.Reason {
	if l.deleted {
		return event.ReasonDeleted
	}
	return event.ReasonDisabled
}
