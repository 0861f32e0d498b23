package dispatch

import (
	"time"

	"github.com/carillon/carillon/event"
)

// lookAhead is how many deliveries of one webhook wait in memory, of each kind; the rest wait in the store. It is enough
// to keep the slots busy while more are fetched.
const lookAhead = 256

// task is a delivery in memory: queued, in flight or being settled.
type task struct {
	id       event.DeliveryID
	tenant   event.TenantID
	lane     *lane
	ev       *event.Event // nil: fetched when it is sent
	wait     *Wait        // nil: nobody waits for the answer
	attempts int
	step     int

	track    *tracked // the event whose floor waits for this delivery's row; nil once it has one
	phase    phase
	spilling bool // its row is on its way into the store
	canceled bool // in the store, while it was under way
	reopened bool // somebody gave it a full schedule again while it was under way
}

type phase uint8

const (
	queued   phase = iota // in one of its lane's queues
	overflow              // in no queue: leaves memory once it has its row
	inFlight
	settling
	dropped // called off; whoever meets it in a queue leaves it
)

// idle reports whether nothing is under way for the task, so that it can be called off.
func (t *task) idle() bool { return t.phase == queued || t.phase == overflow }

// lane is one webhook's queue and slots. It belongs to the scheduler's goroutine.
type lane struct {
	webhook *event.Webhook
	deleted bool

	urgent fifo[*task] // somebody waits for the answer
	fresh  fifo[*task] // first attempts, straight from the log
	due    fifo[*task] // from the store: retries, and what did not fit
	turn   bool        // due is next; the two take turns, so that neither starves the other

	held     map[event.Cursor]*task // everything in memory
	inFlight int
	gate     time.Time // nothing is sent before (Retry-After of 429 and 503)

	gone bool // it answered 410; nothing is sent until the store has disabled it

	// nextDue is when the store has something due that is not held: zero for nothing.
	nextDue time.Time
	loading bool
	// released collects what left memory while a load is under way: the load may still show it as it was before.
	released map[event.Cursor]struct{}

	blocked bool      // in the scheduler's list of lanes that wait for room
	wakeAt  time.Time // in the scheduler's heap, while heapAt >= 0
	heapAt  int
}

func newLane(w *event.Webhook) *lane {
	return &lane{webhook: w, held: make(map[event.Cursor]*task), heapAt: -1}
}

// open reports whether deliveries may be attempted at all.
func (l *lane) open() bool { return !l.deleted && l.webhook.Enabled }

// startable reports whether an attempt could start now, as far as the lane is concerned.
func (l *lane) startable(now time.Time) bool {
	return l.queued() > 0 && l.inFlight < l.webhook.MaxInFlight && !now.Before(l.gate) && l.open() && !l.gone
}

// queue puts a held task where it waits for a slot.
func (l *lane) queue(t *task, fromStore bool) {
	switch {
	case t.wait != nil:
		l.urgent.push(t)
	case fromStore:
		l.due.push(t)
	default:
		l.fresh.push(t)
	}
}

// full reports whether the queue in which a task from the log would wait has no room for it.
func (l *lane) full(t *task) bool {
	if t.wait != nil {
		return l.urgent.len() >= lookAhead
	}
	return l.fresh.len() >= lookAhead
}

func (l *lane) queued() int { return l.urgent.len() + l.fresh.len() + l.due.len() }

// next takes the task that gets the next slot; nil if none waits.
func (l *lane) next() *task {
	for l.queued() > 0 {
		q := &l.urgent
		if q.len() == 0 {
			q = &l.fresh
			if q.len() == 0 || l.turn && l.due.len() > 0 {
				q = &l.due
			}
			l.turn = q != &l.due
		}
		if t, _ := q.pop(); t.phase == queued {
			return t
		}
	}
	return nil
}

// expect notes that the store has something due at t.
func (l *lane) expect(t time.Time) {
	if l.nextDue.IsZero() || t.Before(l.nextDue) {
		l.nextDue = t
	}
}

// wantsLoad reports whether the store should be asked for more now, or once nextDue has come.
func (l *lane) wantsLoad() bool {
	return !l.nextDue.IsZero() && !l.loading && l.due.len()+l.urgent.len() <= lookAhead/2
}

// release lets go of a task. What the store knows of it is all there is from now on.
func (l *lane) release(t *task) {
	delete(l.held, t.id.Event)
	if l.loading {
		l.released[t.id.Event] = struct{}{}
	}
}

// wake returns when the lane next needs the scheduler's attention without anything else happening; the zero time: never.
func (l *lane) wake(now time.Time) time.Time {
	var at time.Time
	if l.wantsLoad() {
		at = l.nextDue
	}
	if l.queued() > 0 && l.gate.After(now) && (at.IsZero() || l.gate.Before(at)) {
		at = l.gate
	}
	return at
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
