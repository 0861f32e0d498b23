package sqlite

import (
	"context"
	"fmt"

	"github.com/ncruces/go-sqlite3"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

const (
	tailPage  = 256
	tailBytes = 1 << 20 // of payload, in one page from the database
)

// tail follows the log: from the ring where that reaches back far enough, else from the database, page by page.
type tail struct {
	e     *Engine
	after event.Cursor
}

// Tail implements [store.Log].
func (e *Engine) Tail(after event.Cursor) store.Tail { return &tail{e, after} }

// Next implements [store.Tail].
func (t *tail) Next(ctx context.Context) ([]*event.Event, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		events, wake, held := t.e.ring.after(t.after, tailPage)
		if !held {
			var err error
			if events, err = t.page(ctx); err != nil {
				return nil, err
			}
		}
		if len(events) > 0 {
			t.after = events[len(events)-1].Cursor
			return events, nil
		}
		if !held {
			continue // the ring lost nothing but what is gone or was never there: it reaches back that far by now
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-t.e.closing:
			return nil, errClosed
		}
	}
}

// page reads the events after those returned before, and passes over where there are none any more. Between the last of
// them and the ring's first there is no gap: what the ring lost is in the database, was trimmed, or was a tenant's that is
// deleted.
func (t *tail) page(ctx context.Context) (events []*event.Event, err error) {
	err = t.e.read(ctx, func(c *conn) error {
		trimmed, head, err := ends(c)
		if err != nil {
			return err
		}
		if t.after < trimmed {
			return &store.GoneError{Trimmed: trimmed}
		}
		bytes := 0
		err = c.each(`SELECT `+eventColumns+eventTables+`WHERE e.cursor > ? ORDER BY e.cursor LIMIT ?`,
			[]any{t.after, tailPage}, func(s *sqlite3.Stmt) (bool, error) {
				ev, err := scanEvent(s)
				if err != nil {
					return false, err
				}
				events = append(events, ev)
				bytes += len(ev.Payload)
				return bytes < tailBytes, nil
			})
		if err == nil && len(events) == 0 {
			t.after = max(t.after, head)
		}
		return err
	})
	return events, reading("the log", err)
}

// ends reads where the log begins and ends, in the connection's snapshot.
func ends(c *conn) (trimmed, head event.Cursor, err error) {
	_, err = c.first(`SELECT trimmed, next_cursor - 1 FROM meta`, nil, func(s *sqlite3.Stmt) {
		trimmed, head = columnCursor(s, 0), columnCursor(s, 1)
	})
	return trimmed, head, err
}

// reading says what was being read when the database failed; other errors stay as they are.
func reading(what string, err error) error {
	if isDatabase(err) {
		return fmt.Errorf("reading %s: %w", what, err)
	}
	return err
}
