package sqlite

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// TestPurgeLeavesNothing looks into every table that has tenants, those too that are yet to be made: what a deleted tenant
// has left goes from all of them, in steps that keep the write-ahead log small.
func TestPurgeLeavesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "carillon.db")
	e := runEngine(t, Options{Path: path})
	gone := &event.Tenant{Name: "gone"}
	if err := e.CreateTenant(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	for _, id := range []event.TenantID{event.DefaultTenant, gone.ID} {
		fill(t, e, id)
	}
	filled := rowsOf(t, e, gone.ID)
	for table, n := range filled {
		if n == 0 {
			t.Errorf("the test puts nothing into %s", table)
		}
	}
	if len(filled) < 7 {
		t.Errorf("tables with tenants are only %v", filled)
	}
	kept := rowsOf(t, e, event.DefaultTenant)

	if err := e.DeleteTenant(t.Context(), gone.ID); err != nil {
		t.Fatal(err)
	}
	settleAll(t, e, store.Settlements{Floor: e.state.next - 1})
	largest := int64(0)
	for more := true; more; {
		step, err := e.Trim(t.Context(), store.Retention{})
		if err != nil {
			t.Fatal(err)
		}
		more = step.More
		if info, err := os.Stat(path + "-wal"); err == nil {
			largest = max(largest, info.Size())
		}
	}
	if largest > 64<<20 {
		t.Errorf("the write-ahead log grew to %d bytes", largest)
	}
	for table, n := range rowsOf(t, e, gone.ID) {
		if n != 0 {
			t.Errorf("%s has %d rows of the deleted tenant", table, n)
		}
	}
	for table, n := range rowsOf(t, e, event.DefaultTenant) {
		if n != kept[table] {
			t.Errorf("%s has %d rows of the other tenant, and had %d", table, n, kept[table])
		}
	}
	for what, sql := range map[string]string{
		"tenant":         `SELECT count(*) FROM tenant WHERE deleted <> 0`,
		"webhook_health": `SELECT count(*) FROM webhook_health WHERE webhook NOT IN (SELECT num FROM webhook)`,
		"delivery":       `SELECT count(*) FROM delivery WHERE cursor NOT IN (SELECT cursor FROM event)`,
		"topic":          `SELECT count(*) FROM topic WHERE num NOT IN (SELECT topic FROM event)`,
	} {
		if n := numberOf(t, e, sql); n != 0 {
			t.Errorf("%s is left with %d rows", what, n)
		}
	}
	if size := e.logBytes.Load(); size != countedLog(t, e) {
		t.Errorf("the delivery log has %d bytes, counted %d", size, countedLog(t, e))
	}
	if keys := numberOf(t, e, `SELECT count(*) FROM idempotency`); keys != int64(e.state.keys) {
		t.Errorf("%d idempotency keys, counted %d", keys, e.state.keys)
	}
	if len(e.tenants.leaving) != 0 {
		t.Errorf("leaving are still %v", e.tenants.leaving)
	}
	used := numberOf(t, e, `SELECT used FROM tenant WHERE num = 1`)
	summed := numberOf(t, e, `SELECT sum(size + ifnull(octet_length(attributes), 0) + length(matches) + 160) FROM event`)
	if used != summed {
		t.Errorf("the tenant that is left uses %d bytes, counted %d", used, summed)
	}
}

// fill puts rows of the tenant into every table.
func fill(t *testing.T, e *Engine, id event.TenantID) {
	t.Helper()
	for i := range 3 {
		w := &event.Webhook{ID: event.NewID(), Tenant: id, URL: "https://example.com/", Topics: []event.Pattern{"**"}, Enabled: true}
		if err := e.CreateWebhook(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		k := &event.Key{ID: event.NewID(), Tenant: id, Name: "x", Hash: event.HashKey(event.NewKeyToken())}
		if err := e.CreateKey(t.Context(), k); err != nil {
			t.Fatal(err)
		}
		var drafts []store.Draft
		for j := range 600 {
			drafts = append(drafts, store.Draft{Key: fmt.Sprintf("%d.%d", i, j), Event: &event.Event{
				ID: event.NewID(), Tenant: id, Topic: event.Topic(fmt.Sprintf("t.n%d", j%50)), Payload: make([]byte, 300),
				Attributes: map[string]string{"source": "ü"}, Matches: []event.Match{{Webhook: w.ID}},
			}})
		}
		receipts, err := e.Append(t.Context(), drafts)
		if err != nil {
			t.Fatal(err)
		}
		s := store.Settlements{Health: []store.Health{{Webhook: w.ID, Failures: 1}}}
		for _, r := range receipts {
			for n := 1; n <= 3; n++ {
				s.Settled = append(s.Settled, store.Settlement{
					ID: event.DeliveryID{Event: r.Cursor, Webhook: w.ID}, Tenant: id, State: event.Pending, Due: e.now(),
					Attempt: &event.Attempt{Number: n, At: e.now(), Duration: time.Millisecond, Status: 500,
						Outcome: event.OutcomeOfStatus(500), Answer: []byte("no")},
				})
			}
		}
		settleAll(t, e, s)
		job := store.Job{ID: event.NewID(), Tenant: id, Webhook: w.ID, Filter: store.ReplayFilter{States: []event.State{event.Failed}}}
		if _, err := e.CreateJob(t.Context(), job); err != nil {
			t.Fatal(err)
		}
	}
}

// rowsOf counts a tenant's rows in each table that has a column for it, but the audit log: what was done in a tenant's time is
// on record after it, for as long as the rest of that log.
func rowsOf(t *testing.T, e *Engine, id event.TenantID) map[string]int64 {
	t.Helper()
	counts := make(map[string]int64)
	err := e.read(t.Context(), func(c *conn) error {
		var tables []string
		err := c.each(`SELECT m.name FROM sqlite_master m, pragma_table_info(m.name) i WHERE m.type = 'table' AND m.name <> 'audit' AND i.name = 'tenant'`,
			nil, func(s *sqlite3.Stmt) (bool, error) {
				tables = append(tables, s.ColumnText(0))
				return true, nil
			})
		for _, table := range tables {
			if err == nil {
				counts[table], err = c.number(`SELECT count(*) FROM `+table+` WHERE tenant = ?`, id)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return counts
}

func numberOf(t *testing.T, e *Engine, sql string) (n int64) {
	t.Helper()
	err := e.read(t.Context(), func(c *conn) (err error) {
		n, err = c.number(sql)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A database from before there were tenants has what it holds counted once.
func TestOldDatabaseIsCounted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "carillon.db")
	makeOld(t, path, event.NewID(), []event.ID{event.NewID(), event.NewID()}, time.Now().UnixMilli())
	e := runEngine(t, Options{Path: path})
	got, err := e.TenantUsage(t.Context(), event.DefaultTenant)
	if want := 2 * storedSize(2, 0, matchBytes); err != nil || got.StoredBytes != want || got.Webhooks != 1 {
		t.Errorf("it uses %+v, want %d bytes: %v", got, want, err)
	}
}

// A tail whose next events are gone waits for others: it must not ask the database for them again and again. The ring is
// empty after a restart, and does not say that there are none.
func TestTailPassesWhatIsPurged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "carillon.db")
	e := runEngine(t, Options{Path: path})
	gone := &event.Tenant{Name: "gone"}
	if err := e.CreateTenant(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	fill(t, e, gone.ID)
	if err := e.DeleteTenant(t.Context(), gone.ID); err != nil {
		t.Fatal(err)
	}
	settleAll(t, e, store.Settlements{Floor: e.state.next - 1})
	trimAll(t, e, store.Retention{})
	e.ring.mu.Lock()
	e.ring.reset(e.state.next - 1) // as Open does
	e.ring.mu.Unlock()
	behind := e.Tail(0).(*tail)
	if events, err := behind.page(t.Context()); err != nil || len(events) != 0 {
		t.Fatalf("read %d events, %v", len(events), err)
	}
	if _, _, held := e.ring.after(behind.after, 1); !held {
		t.Errorf("it would ask again for what is after %s", behind.after)
	}
}
