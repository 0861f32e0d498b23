package sqlite

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// TestOldDatabase opens what a gateway of the first schema has left behind.
func TestOldDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "carillon.db")
	w := &event.Webhook{ID: event.NewID(), Tenant: event.DefaultTenant}
	ids := []event.ID{event.NewID(), event.NewID(), event.NewID(), event.NewID()}
	now := time.Now()
	makeOld(t, path, w.ID, ids, now.UnixMilli())

	e := runEngine(t, Options{Path: path})
	got, err := e.Webhook(t.Context(), w.Tenant, w.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got.URL != "https://example.com/" || got.Secret.Reveal() != "whsec_x" || got.Order != "" || len(got.Headers) != 0 || got.Auth.Type != event.AuthNone {
		t.Errorf("the webhook is %+v", got)
	}
	id := func(i int) event.DeliveryID { return event.DeliveryID{Event: event.Cursor(i), Webhook: w.ID} }
	for i, want := range map[int]struct {
		state    event.State
		reason   event.Reason
		attempts int
	}{
		1: {event.Delivered, "", 1},
		2: {event.Failed, event.ReasonExhausted, 2},
		3: {event.Pending, "", 1},
		4: {event.Canceled, event.ReasonDisabled, 0}, // without a row, above the floor
	} {
		d, attempts, err := e.Delivery(t.Context(), w.Tenant, id(i))
		if err != nil {
			t.Fatal(err)
		}
		if d.State != want.state || d.Reason != want.reason || len(attempts) != want.attempts || d.OrderKey != 0 || d.Replay || d.EventID != ids[i-1] {
			t.Errorf("delivery %d is %+v with %d attempts", i, d, len(attempts))
		}
	}
	if size := e.logBytes.Load(); size != countedLog(t, e) || size != 3*deliveryBytes+attemptBytes+int64(len("ok")+len("no")+len("never")) {
		t.Errorf("the delivery log has %d bytes, counted %d", size, countedLog(t, e))
	}
	b, err := e.Backlog(t.Context(), w.ID, now.Add(time.Hour), 10)
	if err != nil || len(b.Due) != 1 || b.Due[0].ID != id(3) || b.Parked {
		t.Errorf("the backlog is %+v, %v", b, err)
	}

	// What is new works on what is old.
	keyed := eventsFor(t, e, w, 2)
	settleAll(t, e, store.Settlements{
		Spilled: []store.Spill{{ID: keyed[0], Tenant: w.Tenant, OrderKey: 1}, {ID: keyed[1], Tenant: w.Tenant, OrderKey: 1}},
		Health:  []store.Health{{Webhook: w.ID, Failures: 1}},
		Settled: []store.Settlement{{ID: id(4), Tenant: w.Tenant, State: event.Canceled, Reason: event.ReasonDisabled}},
		Floor:   keyed[1].Event,
	})
	if b, err = e.Backlog(t.Context(), w.ID, now.Add(time.Hour), 10); err != nil || len(b.Due) != 2 || !b.Parked {
		t.Errorf("the backlog is %+v, %v", b, err)
	}
	job, err := e.CreateJob(t.Context(), store.Job{ID: event.NewID(), Tenant: w.Tenant, Webhook: w.ID,
		Filter: store.ReplayFilter{States: []event.State{event.Failed}}})
	if err != nil {
		t.Fatal(err)
	}
	if job, made, err := e.StepJob(t.Context(), job.ID, 10); err != nil || len(made) != 1 || made[0] != id(2) || job.State != store.JobDone {
		t.Errorf("a replay made %v: %+v, %v", made, job, err)
	}
	if done := trimAll(t, e, store.Retention{DeliveryBytes: 1}); done.Logged != 2 {
		t.Errorf("trimmed %+v", done)
	}
}

// makeOld makes a database of the first schema: a webhook, and an event each that it was delivered, that it failed, that
// it is owed, and that it is not owed because it was disabled.
func makeOld(t *testing.T, path string, webhook event.ID, events []event.ID, now int64) {
	t.Helper()
	steps, err := migrations()
	if err != nil {
		t.Fatal(err)
	}
	c, err := dial(path, "", false, 1024)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Conn.Exec(`PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL`); err != nil {
		t.Fatal(err)
	}
	if err := applyMigration(c, steps[0], 1); err != nil {
		t.Fatal(err)
	}
	run := func(sql string, args ...any) {
		t.Helper()
		if err := c.run(sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	run(`INSERT INTO webhook VALUES (1, ?, 1, 3, 1, '', 0, 0, 0, '', 0, ?2, ?2, 'whsec_x',
		'{"url":"https://example.com/","topics":["**"],"retry":[5000000000],"timeout":15000000000,"max_in_flight":16}')`, webhook, now)
	run(`INSERT INTO topic VALUES (1, 1, 'a', 4, 4, ?)`, now)
	for i, id := range events {
		match := append(append([]byte{}, webhook[:]...), 0)
		if i == 3 {
			match[16] = 1
		}
		run(`INSERT INTO event VALUES (?, 1, 1, ?, ?, 1, 2, 'text/plain', '', '', NULL, ?, x'6869')`, i+1, now, id, match)
	}
	row := `INSERT INTO delivery VALUES (%d, 1, 1, 0, %d, '%s', %d, 1, %d, %d, 200, 0, %d, %d, 5, 200, 0, %s)`
	for _, sql := range []string{
		fmt.Sprintf(row, 1, 1, "", 1, 0, now, 1, now, `x'6f6b'`),
		fmt.Sprintf(row, 2, 2, "exhausted", 2, 0, now, 1, now, `x'6e6f'`),
		fmt.Sprintf(row, 3, 0, "", 1, now, 0, 1, now, `NULL`),
	} {
		if err := c.Conn.Exec(sql); err != nil {
			t.Fatal(err)
		}
	}
	run(`INSERT INTO attempt VALUES (2, 1, 2, 1, ?, 5, 500, 0, ?)`, now, []byte("never"))
	run(`UPDATE meta SET next_cursor = 5, last_time = ?, floor = 3`, now)
	if err := c.close(); err != nil {
		t.Fatal(err)
	}
}
