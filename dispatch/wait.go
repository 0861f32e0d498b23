package dispatch

import (
	"context"
	"sync"

	"github.com/carillon/carillon/event"
)

// Mode says what a waiting poster waits for.
type Mode uint8

// What a poster can wait for.
const (
	// First: the first webhook that gives an answer decides. An answer is any status but 408, 425, 429 and 5xx.
	First Mode = iota
	// FirstSuccess: only a 2xx decides.
	FirstSuccess
	// All: every webhook's own answer is waited for.
	All
)

// Answer is what came of one attempt, for whoever waits for it.
type Answer struct {
	Webhook event.ID
	Attempt event.Attempt
	// ContentType, ContentEncoding and Body are the answer's own; Body is whole, up to MaxAnswer, and as it came. All are
	// empty where no answer came. Requests ask for no encoding; some webhooks compress all the same.
	ContentType     string
	ContentEncoding string
	Body            []byte
	// TooLarge says that the body was larger than MaxAnswer; Body is then empty.
	TooLarge bool
}

// MaxAnswer is how large an answer a waiting poster can be given.
const MaxAnswer = 1 << 20

// Verdict is how a wait ended.
type Verdict struct {
	// Decided is the answer that ended the wait, for First and FirstSuccess; nil if none did.
	Decided *Answer
	// Answers holds the newest answer of each webhook that has one, in the order of the event's matches.
	Answers []Answer
	// Complete says that every webhook has answered or given up, so that nothing more can come.
	Complete bool
}

// Wait is a poster waiting for what webhooks answer to its event. Several posters may wait on one (a request repeated
// under its idempotency key joins the wait of the first).
type Wait struct {
	mode     Mode
	webhooks []event.ID // enabled, in the order of the matches

	mu      sync.Mutex
	holders int
	answers map[event.ID]Answer
	ended   map[event.ID]bool // the webhook's delivery has ended
	kept    int               // bytes of their bodies
	decided *Answer
	done    chan struct{} // closed when decided, or when every delivery ended
	closed  bool          // done is closed
}

func newWait(mode Mode, webhooks []event.ID) *Wait {
	return &Wait{
		mode: mode, webhooks: webhooks, holders: 1,
		answers: make(map[event.ID]Answer, len(webhooks)),
		ended:   make(map[event.ID]bool, len(webhooks)),
		done:    make(chan struct{}),
	}
}

// Expect begins a wait for an event that is about to be appended with these matches. Call Release when done with it.
func (d *Dispatcher) Expect(id event.ID, mode Mode, matches []event.Match) *Wait {
	var webhooks []event.ID
	for _, m := range matches {
		if m.Owed() {
			webhooks = append(webhooks, m.Webhook)
		}
	}
	w := newWait(mode, webhooks)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waits[id] = w
	return w
}

// Join returns the wait for an event that somebody waits for at the moment. Call Release when done with it.
func (d *Dispatcher) Join(id event.ID) (*Wait, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	w, ok := d.waits[id]
	if ok {
		w.hold(1)
	}
	return w, ok
}

// Release ends what Expect or Join began. The deliveries go on as usual.
func (d *Dispatcher) Release(id event.ID, w *Wait) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if w.hold(-1) == 0 {
		delete(d.waits, id)
	}
}

func (d *Dispatcher) waitFor(id event.ID) *Wait {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.waits[id]
}

// Await waits until the wait is over or ctx ends, whichever is first, and returns what is known then. Safe for
// concurrent use.
func (w *Wait) Await(ctx context.Context) Verdict {
	select {
	case <-w.done:
	case <-ctx.Done():
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	v := Verdict{Decided: w.decided, Complete: len(w.ended) == len(w.webhooks)}
	for _, id := range w.webhooks {
		if a, ok := w.answers[id]; ok {
			v.Answers = append(v.Answers, a)
		}
	}
	return v
}

// hold counts who waits, and returns how many do.
func (w *Wait) hold(change int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.holders += change
	return w.holders
}

// conclusive reports whether a webhook's answer is one that the poster waits for, so that it ends the delivery whatever
// its status.
func (w *Wait) conclusive(a *Answer) bool {
	if a.Attempt.Status == 0 || !a.Attempt.Outcome.Answered() && !a.TooLarge {
		return false
	}
	switch s := a.Attempt.Status; w.mode {
	case FirstSuccess:
		return s >= 200 && s < 300
	default:
		return s != 408 && s != 425 && s != 429 && s < 500
	}
}

// awaited reports whether anybody still waits.
func (w *Wait) awaited() bool { return w.hold(0) > 0 }

// maxKept bounds the bodies that a wait in mode All keeps; what comes after is told as too large.
const maxKept = 16 * MaxAnswer

// keep returns the answer as the wait keeps it. Between the first and the last of many webhooks, whole bodies that
// nobody gets would add up.
func (w *Wait) keep(a Answer, conclusive bool) Answer {
	switch {
	case w.mode != All && !conclusive:
		a.Body = nil
	case w.mode == All:
		w.kept -= len(w.answers[a.Webhook].Body)
		if w.kept+len(a.Body) > maxKept {
			a.Body, a.TooLarge = nil, true
		}
		w.kept += len(a.Body)
	}
	return a
}

// claim records an answer and reports whether it ends its delivery because the poster gets it. In mode First only one
// answer does, and none once nobody waits any more.
func (w *Wait) claim(a Answer) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.holders == 0 || w.decided != nil {
		return false
	}
	conclusive := w.conclusive(&a)
	a = w.keep(a, conclusive)
	w.answers[a.Webhook] = a
	if !conclusive {
		return false
	}
	if w.mode != All {
		w.decided = &a
	}
	return true
}

// settled tells the wait that a delivery's newest attempt is in the store, and whether the delivery has ended with it.
// The wait is over only then, so that what the poster is told and what it reads next agree; a poster whose time is up
// gets what is known.
func (w *Wait) settled(webhook event.ID, ended bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if ended {
		w.ended[webhook] = true
	}
	over := len(w.ended) == len(w.webhooks) || w.decided != nil && w.ended[w.decided.Webhook]
	if over && !w.closed {
		w.closed = true
		close(w.done)
	}
}
