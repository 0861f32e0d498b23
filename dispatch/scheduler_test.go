package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
	"github.com/carillon/carillon/store/sqlite"
)

// call is one request that the fake receiver got.
type call struct {
	webhook event.ID
	cursor  event.Cursor
	topic   event.Topic
	key     string
	attempt int
	replay  bool
	at      time.Time
	payload string
}

// receiver stands in for all webhooks: it answers as told and remembers what it got.
type receiver struct {
	mu     sync.Mutex
	calls  []call
	answer func(r Request) Response
}

func (f *receiver) Send(ctx context.Context, r Request) Response {
	f.mu.Lock()
	f.calls = append(f.calls, call{
		r.Webhook.ID, r.Event.Cursor, r.Event.Topic, r.Event.PartitionKey, r.Attempt, r.Replay, time.Now(), string(r.Event.Payload),
	})
	answer := f.answer
	f.mu.Unlock()
	got := answer(r)
	if got.Attempt.Outcome == event.ErrTimeout { // it hangs until its timeout or until it is cut off
		select {
		case <-ctx.Done():
			return Response{Interrupted: true}
		case <-time.After(r.Webhook.Timeout):
		}
	}
	got.Webhook = r.Webhook.ID
	got.Attempt.Number = r.Attempt
	got.Attempt.At = time.Now()
	return got
}

func (f *receiver) to(answer func(r Request) Response) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = answer
}

func (f *receiver) got() []call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

func status(code int) Response {
	return Response{Answer: Answer{Attempt: event.Attempt{Status: code, Outcome: event.OutcomeOfStatus(code)}}}
}

func replying(r Response) func(Request) Response { return func(Request) Response { return r } }

// hang is the answer of a receiver that never answers.
var hang = Response{Answer: Answer{Attempt: event.Attempt{Outcome: event.ErrTimeout}}}

// rig is a dispatcher on a real engine with a fake receiver, in a synctest bubble.
type rig struct {
	t        *testing.T
	path     string
	engine   *sqlite.Engine
	wrap     func(Ledger) Ledger // put between the dispatcher and the engine
	trim     *rareTrim
	d        *Dispatcher
	receiver *receiver
	stop     func()
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, path: filepath.Join(t.TempDir(), "log.db"), receiver: &receiver{answer: replying(status(200))}}
	r.start()
	return r
}

// rareTrim leaves out most steps of a retention that keeps everything: tests let days pass, and each step is a commit.
type rareTrim struct {
	Ledger
	calls int
	age   atomic.Int64 // what retention keeps, unless 0
}

func (l *rareTrim) Trim(ctx context.Context, r store.Retention) (store.Trimmed, error) {
	if age := l.age.Load(); age != 0 {
		r.Age = time.Duration(age)
	}
	if l.calls++; r.Age == 0 && r.Bytes == 0 && l.calls%100 != 1 {
		return store.Trimmed{}, nil
	}
	return l.Ledger.Trim(ctx, r)
}

// start opens the engine and runs a dispatcher until stop is called.
func (r *rig) start() {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	engine, err := sqlite.Open(ctx, sqlite.Options{Path: r.path, IdempotencyWindow: time.Hour, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		r.t.Fatal(err)
	}
	engineCtx, stopEngine := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() {
		if err := engine.Run(engineCtx); err != nil {
			r.t.Error("engine:", err)
		}
	})
	r.engine = engine
	r.trim = &rareTrim{Ledger: engine}
	var ledger Ledger = r.trim
	if r.wrap != nil {
		ledger = r.wrap(ledger)
	}
	d, err := newDispatcher(Config{Store: ledger, Drain: 20 * time.Second, Log: slog.New(slog.DiscardHandler)}, r.receiver)
	if err != nil {
		r.t.Fatal(err)
	}
	d.random = func() float64 { return 0.5 } // no jitter
	r.d = d
	var dispatching sync.WaitGroup
	dispatching.Go(func() {
		if err := d.Run(ctx); err != nil {
			r.t.Error("dispatcher:", err)
		}
	})
	r.stop = func() {
		cancel()
		dispatching.Wait()
		d.Close()
		stopEngine()
		running.Wait()
		if err := engine.Close(); err != nil {
			r.t.Error("closing:", err)
		}
	}
}

func (r *rig) webhook(change func(*event.Webhook), patterns ...event.Pattern) *event.Webhook {
	r.t.Helper()
	w := &event.Webhook{
		ID: event.NewID(), Tenant: event.DefaultTenant, URL: "http://receiver.test/", Topics: patterns, Enabled: true,
		Retry: event.Schedule{5 * time.Second, 30 * time.Second}, Timeout: 15 * time.Second, MaxInFlight: 16,
	}
	if change != nil {
		change(w)
	}
	if err := r.engine.CreateWebhook(r.t.Context(), w); err != nil {
		r.t.Fatal(err)
	}
	return w
}

func (r *rig) draft(topic event.Topic) *event.Event {
	e := &event.Event{ID: event.NewID(), Tenant: event.DefaultTenant, Topic: topic, Payload: []byte("hello")}
	e.Matches = r.d.Match(e)
	return e
}

// postKey posts an event with a partition key.
func (r *rig) postKey(topic event.Topic, key string) *event.Event {
	r.t.Helper()
	e := r.draft(topic)
	e.PartitionKey = key
	r.append(e)
	return e
}

func (r *rig) post(topic event.Topic) *event.Event {
	r.t.Helper()
	e := r.draft(topic)
	r.append(e)
	return e
}

func (r *rig) append(e *event.Event) {
	r.t.Helper()
	if _, err := r.engine.Append(r.t.Context(), []store.Draft{{Event: e}}); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) delivery(e *event.Event, w *event.Webhook) (event.Delivery, []event.Attempt) {
	r.t.Helper()
	d, attempts, err := r.engine.Delivery(r.t.Context(), event.DefaultTenant, event.DeliveryID{Event: e.Cursor, Webhook: w.ID})
	if err != nil {
		r.t.Fatal(err)
	}
	return d, attempts
}

// expire has retention remove what is older, which takes up to two of its rounds.
func (r *rig) expire(age time.Duration) {
	r.trim.age.Store(int64(age))
	time.Sleep(2 * retainEvery)
	r.trim.age.Store(0)
	synctest.Wait()
}

// settled lets everything happen that happens within a moment.
func settled() {
	time.Sleep(50 * time.Millisecond)
	synctest.Wait()
}

func (r *rig) want(e *event.Event, w *event.Webhook, state event.State, reason event.Reason, attempts int) {
	r.t.Helper()
	d, list := r.delivery(e, w)
	if d.State != state || d.Reason != reason || d.Attempts != attempts || len(list) != attempts {
		r.t.Fatalf("delivery is %s %q after %d attempts (%d listed), want %s %q after %d",
			d.State, d.Reason, d.Attempts, len(list), state, reason, attempts)
	}
}

func TestFirstAttemptDelivers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.stop()
		a, b := r.webhook(nil, "orders.*"), r.webhook(nil, "**")
		e := r.post("orders.created")
		other := r.post("users.created")
		settled()
		r.want(e, a, event.Delivered, "", 1)
		r.want(e, b, event.Delivered, "", 1)
		r.want(other, b, event.Delivered, "", 1)
		if n := len(r.receiver.got()); n != 3 {
			t.Fatalf("%d requests, want 3", n)
		}
	})
}

func TestRetriesFollowTheSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.stop()
		w := r.webhook(nil, "a")
		r.receiver.to(replying(status(500)))
		began := time.Now()
		e := r.post("a")
		settled()
		r.want(e, w, event.Pending, "", 1)
		time.Sleep(time.Minute)
		synctest.Wait()
		r.want(e, w, event.Failed, event.ReasonExhausted, 3)
		calls := r.receiver.got()
		for i, want := range []time.Duration{0, 5 * time.Second, 35 * time.Second} {
			late := calls[i].at.Sub(began) - want
			if late < 0 || late > 100*time.Millisecond {
				t.Errorf("attempt %d came %s after the event, want %s", i+1, calls[i].at.Sub(began), want)
			}
			if calls[i].attempt != i+1 {
				t.Errorf("attempt %d says it is %d", i+1, calls[i].attempt)
			}
		}
	})
}

func TestRetryAfterIsAFloorForTheWholeWebhook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.stop()
		w, other := r.webhook(nil, "a"), r.webhook(nil, "b")
		busy := status(503)
		busy.RetryAfter = 2 * time.Minute
		r.receiver.to(replying(busy))
		began := time.Now()
		first := r.post("a")
		settled()
		r.receiver.to(replying(status(200)))
		second, third := r.post("a"), r.post("b")
		settled()
		r.want(third, other, event.Delivered, "", 1)
		r.want(second, w, event.Pending, "", 0)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		r.want(first, w, event.Delivered, "", 2)
		r.want(second, w, event.Delivered, "", 1)
		for _, c := range r.receiver.got()[1:] {
			if early := 2*time.Minute - c.at.Sub(began); c.webhook == w.ID && early > 0 {
				t.Errorf("a request came %s before the webhook asked for one", early)
			}
		}
	})
}

func TestGoneDisables(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.stop()
		w := r.webhook(func(w *event.Webhook) { w.MaxInFlight = 1 }, "a")
		r.receiver.to(replying(status(410)))
		first, second := r.post("a"), r.post("a")
		settled()
		r.want(first, w, event.Failed, event.ReasonGone, 1)
		r.want(second, w, event.Canceled, event.ReasonDisabled, 0)
		now, err := r.engine.Webhook(t.Context(), w.Tenant, w.ID)
		if err != nil || now.Enabled || now.DisabledReason != event.DisabledGone {
			t.Fatalf("webhook is %+v (%v), want it disabled as gone", now, err)
		}
		later := r.post("a")
		settled()
		r.want(later, w, event.Canceled, event.ReasonDisabled, 0)
		if n := len(r.receiver.got()); n != 1 {
			t.Fatalf("%d requests, want 1", n)
		}
	})
}

func TestSlotsAreTheWebhooksOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.stop()
		stuck := r.webhook(func(w *event.Webhook) { w.MaxInFlight = 3 }, "a")
		fine := r.webhook(nil, "a")
		r.receiver.to(func(q Request) Response {
			if q.Webhook.ID == stuck.ID {
				return hang
			}
			return status(200)
		})
		for range 100 {
			r.post("a")
		}
		settled()
		count := map[event.ID]int{}
		for _, c := range r.receiver.got() {
			count[c.webhook]++
		}
		if count[stuck.ID] != 3 || count[fine.ID] != 100 {
			t.Fatalf("the hanging webhook got %d requests and the other %d, want 3 and 100", count[stuck.ID], count[fine.ID])
		}
		// What hangs is spilled, so that the floor does not wait for it.
		time.Sleep(3 * time.Second)
		synctest.Wait()
		floor, err := r.engine.Floor(t.Context())
		bounds, _ := r.engine.Bounds(t.Context())
		if err != nil || floor != bounds.Head {
			t.Fatalf("floor %s (%v), want the head %s", floor, err, bounds.Head)
		}
	})
}

func TestBacklogWaitsInTheStoreAndDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.stop()
		w := r.webhook(func(w *event.Webhook) { w.MaxInFlight = 4; w.Timeout = time.Second }, "a")
		r.receiver.to(replying(hang))
		const n = 4 * lookAhead
		events := make([]*event.Event, n)
		for i := range events {
			events[i] = r.post("a")
		}
		settled()
		r.receiver.to(replying(status(200)))
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		for i, e := range events {
			attempts := 1
			if i < 4 {
				attempts = 2
			}
			r.want(e, w, event.Delivered, "", attempts)
		}
		if got := len(r.receiver.got()); got != n+4 {
			t.Fatalf("%d requests, want each delivery once and the four that hung again", got)
		}
	})
}

func TestCleanRestartRepeatsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		w := r.webhook(nil, "a")
		failing := map[event.Cursor]bool{}
		r.receiver.to(func(q Request) Response {
			if failing[q.Event.Cursor] {
				return status(500)
			}
			return status(200)
		})
		var events []*event.Event
		for i := range 50 {
			e := r.draft("a")
			events = append(events, e)
			failing[event.Cursor(i*2+1)] = true
		}
		for _, e := range events {
			if _, err := r.engine.Append(t.Context(), []store.Draft{{Event: e}}); err != nil {
				t.Fatal(err)
			}
		}
		settled()
		r.stop()
		before := len(r.receiver.got())
		r.receiver.to(replying(status(200)))
		r.start()
		defer func() { r.stop() }()
		settled()
		if n := len(r.receiver.got()); n != before {
			t.Fatalf("%d requests right after the restart, want none", n-before)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		for _, e := range events {
			attempts := 1
			if failing[e.Cursor] {
				attempts = 2
			}
			r.want(e, w, event.Delivered, "", attempts)
		}
	})
}

func TestDrainLetsAttemptsFinishAndCutsOffTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		w := r.webhook(func(w *event.Webhook) { w.Timeout = time.Minute }, "a")
		r.receiver.to(func(q Request) Response {
			if q.Event.Cursor == 1 {
				time.Sleep(10 * time.Second)
				return status(200)
			}
			return hang
		})
		slow, never := r.post("a"), r.post("a")
		settled()
		began := time.Now()
		r.stop()
		if took := time.Since(began); took < 9*time.Second || took > 26*time.Second {
			t.Errorf("stopping took %s, want the drain time at most", took)
		}
		r.receiver.to(replying(status(200)))
		r.start()
		defer func() { r.stop() }()
		settled()
		r.want(slow, w, event.Delivered, "", 1)
		r.want(never, w, event.Delivered, "", 1)
		if n := len(r.receiver.got()); n != 3 {
			t.Fatalf("%d requests, want 3: the one that was cut off is made again", n)
		}
	})
}

// deadLedger is a store that a crash has cut off: what is settled from then on is lost.
type deadLedger struct {
	Ledger
	mu   sync.Mutex
	left int // settlements until the crash
}

func (l *deadLedger) Settle(ctx context.Context, b store.Settlements) error {
	l.mu.Lock()
	dead := l.left <= 0
	l.left--
	l.mu.Unlock()
	if dead {
		return errors.New("crashed")
	}
	return l.Ledger.Settle(ctx, b)
}

// TestCrashBetweenAnyTwoSettlements kills the dispatcher after each number of commits, with one webhook that hangs, one
// that fails at first and one that works, and checks that what was owed is delivered in the end.
func TestCrashBetweenAnyTwoSettlements(t *testing.T) {
	for commits := range 12 {
		t.Run(fmt.Sprint(commits), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.stop()
				dead := &deadLedger{left: commits}
				r.startWith(func(l Ledger) Ledger { dead.Ledger = l; return dead })
				stuck := r.webhook(func(w *event.Webhook) { w.MaxInFlight = 2 }, "a")
				flaky := r.webhook(nil, "a")
				fine := r.webhook(nil, "a")
				r.receiver.to(func(q Request) Response {
					switch {
					case q.Webhook.ID == stuck.ID:
						return hang
					case q.Webhook.ID == flaky.ID && q.Attempt == 1:
						return status(500)
					}
					return status(200)
				})
				var events []*event.Event
				for range 10 {
					events = append(events, r.post("a"))
					time.Sleep(300 * time.Millisecond)
				}
				settled()
				r.stop()
				before := len(r.receiver.got())
				r.receiver.to(replying(status(200)))
				r.start()
				defer func() { r.stop() }()
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				for _, e := range events {
					for _, w := range []*event.Webhook{stuck, flaky, fine} {
						if d, _ := r.delivery(e, w); d.State != event.Delivered {
							t.Errorf("delivery %s is %s", d.ID, d.State)
						}
					}
				}
				again := map[event.DeliveryID]int{}
				for _, c := range r.receiver.got()[before:] {
					again[event.DeliveryID{Event: c.cursor, Webhook: c.webhook}]++
				}
				for id, n := range again {
					if n > 1 {
						t.Errorf("delivery %s was made %d times after the restart", id, n)
					}
				}
			})
		})
	}
}

// startWith is start with something between the dispatcher and the engine.
func (r *rig) startWith(wrap func(Ledger) Ledger) {
	r.t.Helper()
	r.wrap = wrap
	r.start()
	r.wrap = nil
}

func TestByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.stop()
		w := r.webhook(nil, "a")
		r.receiver.to(replying(status(500)))
		e := r.post("a")
		id := event.DeliveryID{Webhook: w.ID}
		settled()
		id.Event = e.Cursor
		if _, err := r.d.Cancel(t.Context(), w.Tenant, id); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		r.want(e, w, event.Canceled, event.ReasonByHand, 1)
		if _, err := r.d.Cancel(t.Context(), w.Tenant, id); !errors.Is(err, store.ErrState) {
			t.Fatalf("canceling twice: %v, want ErrState", err)
		}
		if _, err := r.d.Retry(t.Context(), w.Tenant, id); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		r.want(e, w, event.Failed, event.ReasonExhausted, 4) // one before, a full schedule after
		r.receiver.to(replying(status(200)))
		if _, err := r.d.Retry(t.Context(), w.Tenant, id); err != nil {
			t.Fatal(err)
		}
		settled()
		r.want(e, w, event.Delivered, "", 5)
	})
}

func TestCancelOfWhatIsQueuedAndInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.stop()
		w := r.webhook(func(w *event.Webhook) { w.MaxInFlight = 1 }, "a")
		r.receiver.to(func(Request) Response { time.Sleep(10 * time.Second); return status(200) })
		flying, waiting := r.post("a"), r.post("a")
		settled()
		for _, e := range []*event.Event{flying, waiting} {
			if _, err := r.d.Cancel(t.Context(), w.Tenant, event.DeliveryID{Event: e.Cursor, Webhook: w.ID}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		r.want(flying, w, event.Delivered, "", 1) // it was made, and says so
		r.want(waiting, w, event.Canceled, event.ReasonByHand, 0)
	})
}

func TestDisablingCancelsWhatIsPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.stop()
		w := r.webhook(func(w *event.Webhook) { w.MaxInFlight = 1 }, "a")
		r.receiver.to(replying(status(500)))
		retrying := r.post("a")
		settled()
		r.receiver.to(func(Request) Response { time.Sleep(5 * time.Minute); return status(200) })
		flying, waiting := r.post("a"), r.post("a")
		settled()
		w.Enabled, w.DisabledReason = false, event.DisabledByHand
		if err := r.engine.UpdateWebhook(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		settled()
		w.Enabled, w.DisabledReason = true, ""
		if err := r.engine.UpdateWebhook(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		r.receiver.to(replying(status(200)))
		time.Sleep(time.Hour)
		synctest.Wait()
		r.want(retrying, w, event.Canceled, event.ReasonDisabled, 1)
		r.want(flying, w, event.Delivered, "", 1)
		r.want(waiting, w, event.Canceled, event.ReasonDisabled, 0)
		after := r.post("a")
		settled()
		r.want(after, w, event.Delivered, "", 1)
	})
}
