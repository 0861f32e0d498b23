package sqlite

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// runEngine opens an engine in a directory of the test's own and runs it until the test ends.
func runEngine(t *testing.T, o Options) *Engine {
	t.Helper()
	if o.Path == "" {
		o.Path = filepath.Join(t.TempDir(), "carillon.db")
	}
	e, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- e.Run(t.Context()) }() // which ends before the cleanups
	t.Cleanup(func() {
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func hookOf(t *testing.T, e *Engine) *event.Webhook {
	t.Helper()
	w := &event.Webhook{ID: event.NewID(), Tenant: event.DefaultTenant, URL: "https://example.com/", Topics: []event.Pattern{"**"},
		Enabled: true}
	if err := e.CreateWebhook(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	return w
}

// eventsFor appends n events that match a webhook, and returns their deliveries.
func eventsFor(t *testing.T, e *Engine, w *event.Webhook, n int) (ids []event.DeliveryID) {
	t.Helper()
	drafts := make([]store.Draft, n)
	for i := range drafts {
		drafts[i].Event = &event.Event{ID: event.NewID(), Tenant: w.Tenant, Topic: "a", Matches: []event.Match{{Webhook: w.ID}}}
	}
	receipts, err := e.Append(t.Context(), drafts)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range receipts {
		ids = append(ids, event.DeliveryID{Event: r.Cursor, Webhook: w.ID})
	}
	return ids
}

func settleAll(t *testing.T, e *Engine, s store.Settlements) {
	t.Helper()
	if err := e.Settle(t.Context(), s); err != nil {
		t.Fatal(err)
	}
}

// TestStatementsOfTheHappyPath counts what one write of first attempts that succeeded has SQLite do: two statements for each
// delivery, and three for all of them. Order, announcements and the delivery log's size cost it nothing.
func TestStatementsOfTheHappyPath(t *testing.T) {
	e := runEngine(t, Options{})
	w := hookOf(t, e)
	const n = 20
	for _, test := range []struct {
		name  string
		key   uint64
		state event.State
		want  int
	}{
		{"delivered", 0, event.Delivered, 3 + 2*n},
		{"delivered, with a key", 7, event.Delivered, 3 + 2*n},
		{"retried", 0, event.Pending, 3 + 2*n},
		{"retried, with a key", 7, event.Pending, 3 + 3*n},
	} {
		ids := eventsFor(t, e, w, n)
		s := store.Settlements{Floor: ids[n-1].Event}
		for _, id := range ids {
			s.Settled = append(s.Settled, store.Settlement{ID: id, Tenant: w.Tenant, State: test.state, OrderKey: test.key,
				Attempt: &event.Attempt{Number: 1, At: e.now(), Status: 200, Outcome: event.Success}})
		}
		var ran []string
		err := e.writer.Trace(sqlite3.TRACE_STMT, func(_ sqlite3.TraceEvent, _, sql any) error {
			if text, ok := sql.(string); !ok || !strings.HasPrefix(text, "--") { // not what a statement causes within
				ran = append(ran, text)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		settleAll(t, e, s)
		if err := e.writer.Trace(0, nil); err != nil {
			t.Fatal(err)
		}
		if len(ran) != test.want {
			t.Errorf("%s: %d statements, want %d:\n%s", test.name, len(ran), test.want, strings.Join(ran, "\n"))
		}
	}
}
