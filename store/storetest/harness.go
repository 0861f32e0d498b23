package storetest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// IdempotencyWindow is how long the engines under test must remember idempotency keys.
const IdempotencyWindow = time.Hour

// Open opens the engine whose data is in dir, or makes it there. It is called again for the same dir after the engine
// before was closed. The engine takes its time from now and remembers idempotency keys for [IdempotencyWindow].
type Open func(tb testing.TB, dir string, now func() time.Time) store.Engine

// clock is a time that tests set. Safe for concurrent use.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// harness is a running engine that can be stopped and opened again on the same data.
type harness struct {
	testing.TB
	store.Engine
	open  Open
	dir   string
	clock *clock

	cancel context.CancelFunc // ends Run
	ended  chan error

	bounded context.Context
	release context.CancelFunc
}

func newHarness(tb testing.TB, open Open) *harness {
	tb.Helper()
	h := &harness{
		TB:    tb,
		open:  open,
		dir:   tb.TempDir(),
		clock: &clock{now: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)},
	}
	h.start()
	tb.Cleanup(h.stop)
	if t := h.tenant("another"); t.ID != another {
		tb.Fatalf("the first tenant is given the id %d", t.ID)
	}
	return h
}

func (h *harness) start() {
	h.Helper()
	h.Engine = h.open(h.TB, h.dir, h.clock.Now)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	h.cancel, h.ended = cancel, ended
	// A hang is then an error that says where.
	h.bounded, h.release = context.WithTimeout(context.Background(), 5*time.Minute)
	engine := h.Engine
	go func() { ended <- engine.Run(ctx) }()
}

func (h *harness) stop() {
	h.Helper()
	if h.cancel == nil {
		return
	}
	h.cancel()
	h.cancel = nil
	defer h.release()
	if err := <-h.ended; err != nil {
		h.Errorf("Run: %v", err)
	}
	if err := h.Close(); err != nil {
		h.Errorf("Close: %v", err)
	}
}

func (h *harness) reopen() {
	h.Helper()
	h.stop()
	h.start()
}

// ctx is what the tests call the engine with.
func (h *harness) ctx() context.Context { return h.bounded }

func (h *harness) check(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

const (
	tenant  = event.DefaultTenant
	another = event.TenantID(2)
)

// draft makes a draft of an event that matches these webhooks.
func draft(topic event.Topic, webhooks ...event.ID) store.Draft {
	ev := &event.Event{
		ID:          event.NewID(),
		Tenant:      tenant,
		Topic:       topic,
		ContentType: "text/plain",
		Payload:     fmt.Appendf(nil, "payload of %s", topic),
	}
	for _, id := range webhooks {
		ev.Matches = append(ev.Matches, event.Match{Webhook: id})
	}
	return store.Draft{Event: ev}
}

// append stores drafts and returns their receipts.
func (h *harness) append(drafts ...store.Draft) []store.Receipt {
	h.Helper()
	receipts, err := h.Append(h.ctx(), drafts)
	h.check(err)
	if len(receipts) != len(drafts) {
		h.Fatalf("%d receipts for %d drafts", len(receipts), len(drafts))
	}
	return receipts
}

// post stores one event.
func (h *harness) post(topic event.Topic, webhooks ...event.ID) store.Receipt {
	h.Helper()
	return h.append(draft(topic, webhooks...))[0]
}

func (h *harness) boundsNow() store.Bounds {
	h.Helper()
	b, err := h.Bounds(h.ctx())
	h.check(err)
	return b
}

// webhook creates an enabled webhook.
func (h *harness) webhook() *event.Webhook {
	h.Helper()
	w := newWebhook(tenant)
	h.check(h.CreateWebhook(h.ctx(), w))
	return w
}

func newWebhook(tenant event.TenantID) *event.Webhook {
	return &event.Webhook{
		ID:          event.NewID(),
		Tenant:      tenant,
		URL:         "https://example.com/hook",
		Topics:      []event.Pattern{"orders.*", "users.**"},
		Secret:      "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
		Retry:       event.DefaultSchedule(),
		Timeout:     15 * time.Second,
		MaxInFlight: 16,
		Description: "a webhook",
		Metadata:    map[string]string{"team": "shop"},
		Enabled:     true,
	}
}

func deliveryID(r store.Receipt, w *event.Webhook) event.DeliveryID {
	return event.DeliveryID{Event: r.Cursor, Webhook: w.ID}
}

func (h *harness) settle(s ...store.Settlement) {
	h.Helper()
	h.check(h.Settle(h.ctx(), store.Settlements{Settled: s}))
}

func (h *harness) spill(ids ...event.DeliveryID) {
	h.Helper()
	var s store.Settlements
	for _, id := range ids {
		s.Spilled = append(s.Spilled, store.Spill{ID: id, Tenant: tenant})
	}
	h.check(h.Settle(h.ctx(), s))
}

// spillKeyed spills deliveries that wait for one another.
func (h *harness) spillKeyed(key uint64, ids ...event.DeliveryID) {
	h.Helper()
	var s store.Settlements
	for _, id := range ids {
		s.Spilled = append(s.Spilled, store.Spill{ID: id, Tenant: tenant, OrderKey: key})
	}
	h.check(h.Settle(h.ctx(), s))
}

func (h *harness) floor(c event.Cursor) {
	h.Helper()
	h.check(h.Settle(h.ctx(), store.Settlements{Floor: c}))
}

// delivery returns a delivery and its attempts.
func (h *harness) delivery(id event.DeliveryID) (event.Delivery, []event.Attempt) {
	h.Helper()
	d, attempts, err := h.Delivery(h.ctx(), tenant, id)
	h.check(err)
	return d, attempts
}

func (h *harness) state(id event.DeliveryID, want event.State, reason event.Reason) event.Delivery {
	h.Helper()
	d, _ := h.delivery(id)
	if d.State != want || d.Reason != reason {
		h.Errorf("delivery %s is %s %q, want %s %q", id, d.State, d.Reason, want, reason)
	}
	return d
}

func (h *harness) attempt(number, status int) *event.Attempt {
	return &event.Attempt{
		Number:   number,
		At:       h.clock.Now().Truncate(event.Precision),
		Duration: 12 * time.Millisecond,
		Status:   status,
		Outcome:  event.OutcomeOfStatus(status),
		Answer:   fmt.Appendf(nil, "answer %d", number),
	}
}

// delivered and retry are the two usual settlements.
func (h *harness) delivered(id event.DeliveryID, number int) store.Settlement {
	return store.Settlement{ID: id, Tenant: tenant, Attempt: h.attempt(number, 200), State: event.Delivered, Step: number}
}

func (h *harness) retry(id event.DeliveryID, number int, in time.Duration) store.Settlement {
	return store.Settlement{ID: id, Tenant: tenant, Attempt: h.attempt(number, 500), State: event.Pending, Step: number,
		Due: h.clock.Now().Add(in).Truncate(event.Precision)}
}

func (h *harness) recorded(after event.Cursor) map[event.DeliveryID]bool {
	h.Helper()
	ids := make(map[event.DeliveryID]bool)
	h.check(h.Recorded(h.ctx(), after, func(id event.DeliveryID) {
		if ids[id] {
			h.Errorf("Recorded gave %s twice", id)
		}
		ids[id] = true
	}))
	return ids
}
