package sqlite

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// scanRows bounds how many rows one call examines.
const scanRows = 5000

// Bounds implements [store.Log].
func (e *Engine) Bounds(context.Context) (store.Bounds, error) {
	e.bounds.RLock()
	defer e.bounds.RUnlock()
	return e.bounds.Bounds, nil
}

// Read implements [store.Log].
func (e *Engine) Read(ctx context.Context, tenant event.TenantID, q store.ReadQuery) (store.ReadResult, error) {
	tenant = e.tenants.standing(tenant)
	var result store.ReadResult
	err := e.read(ctx, func(c *conn) error {
		trimmed, head, err := ends(c)
		if err != nil {
			return err
		}
		if q.After < trimmed {
			return &store.GoneError{Trimmed: trimmed}
		}
		if q.After >= head {
			result = store.ReadResult{Through: q.After, End: true}
			return nil
		}
		sel, err := selectTopics(c, tenant, q.Patterns, false)
		if err != nil {
			return err
		}
		cursors, through, err := sel.oldest(c, q.After, head, q.Limit)
		if err != nil {
			return err
		}
		bytes := 0
		for _, cursor := range cursors {
			ev, err := eventAt(c, cursor)
			if err != nil {
				return err
			}
			result.Events = append(result.Events, ev)
			bytes += len(ev.Payload)
			if q.Bytes > 0 && bytes >= q.Bytes && cursor != cursors[len(cursors)-1] {
				through = cursor
				break
			}
		}
		result.Through = through
		result.End = through == head
		return nil
	})
	return result, reading("the log", err)
}

// oldest returns the cursors of the first selected events after one, at most limit, and up to where it looked.
func (sel *selection) oldest(c *conn, after, head event.Cursor, limit int) (found []event.Cursor, through event.Cursor, err error) {
	if sel.scan {
		return sel.scanUp(c, after, head, limit)
	}
	for _, topic := range sel.few {
		err := c.each(`SELECT cursor FROM event WHERE topic = ? AND cursor > ? ORDER BY cursor LIMIT ?`,
			[]any{topic, after, limit}, func(s *sqlite3.Stmt) (bool, error) {
				found = append(found, columnCursor(s, 0))
				return true, nil
			})
		if err != nil {
			return nil, 0, err
		}
	}
	slices.Sort(found)
	if len(found) < limit {
		return found, head, nil
	}
	found = found[:limit]
	return found, found[limit-1], nil
}

func (sel *selection) scanUp(c *conn, after, head event.Cursor, limit int) (found []event.Cursor, through event.Cursor, err error) {
	through = head
	examined := 0
	err = c.each(`SELECT cursor, tenant, topic FROM event WHERE cursor > ? ORDER BY cursor`, []any{after},
		func(s *sqlite3.Stmt) (bool, error) {
			cursor := columnCursor(s, 0)
			want, err := sel.wants(c, event.TenantID(s.ColumnInt64(1)), s.ColumnInt64(2))
			if err != nil {
				return false, err
			}
			if want {
				found = append(found, cursor)
			}
			examined++
			if len(found) == limit || examined == scanRows {
				through = cursor
				return false, nil
			}
			return true, nil
		})
	return found, through, err
}

// newest returns the cursors of the last selected events in (after, through], at most limit, newest first. more says that
// there are others, or that there may be, where it has examined as many rows as it may; they are below down.
func (sel *selection) newest(c *conn, after, through event.Cursor, limit int) (found []event.Cursor, down event.Cursor, more bool, err error) {
	if !sel.scan {
		for _, topic := range sel.few {
			err := c.each(`SELECT cursor FROM event WHERE topic = ? AND cursor > ? AND cursor <= ?
				ORDER BY cursor DESC LIMIT ?`, []any{topic, after, through, limit + 1},
				func(s *sqlite3.Stmt) (bool, error) {
					found = append(found, columnCursor(s, 0))
					return true, nil
				})
			if err != nil {
				return nil, 0, false, err
			}
		}
		slices.SortFunc(found, func(a, b event.Cursor) int {
			if a > b {
				return -1
			}
			return 1
		})
		if len(found) <= limit {
			return found, 0, false, nil
		}
		found = found[:limit]
		return found, found[limit-1], true, nil
	}
	examined := 0
	err = c.each(`SELECT cursor, tenant, topic FROM event WHERE cursor > ? AND cursor <= ? ORDER BY cursor DESC`,
		[]any{after, through}, func(s *sqlite3.Stmt) (bool, error) {
			if examined == scanRows {
				more = true
				return false, nil
			}
			cursor := columnCursor(s, 0)
			want, err := sel.wants(c, event.TenantID(s.ColumnInt64(1)), s.ColumnInt64(2))
			if err != nil {
				return false, err
			}
			if want && len(found) == limit {
				more = true
				return false, nil
			}
			if want {
				found = append(found, cursor)
			}
			down = cursor
			examined++
			return true, nil
		})
	return found, down, more, err
}

// eventAt reads one event; ErrNotFound if there is none.
func eventAt(c *conn, cursor event.Cursor) (*event.Event, error) {
	return oneEvent(c, `SELECT `+eventColumns+eventTables+`WHERE e.cursor = ?`, cursor)
}

func oneEvent(c *conn, sql string, key any) (ev *event.Event, err error) {
	err = c.each(sql, []any{key}, func(s *sqlite3.Stmt) (bool, error) {
		var err error
		ev, err = scanEvent(s)
		return false, err
	})
	if err == nil && ev == nil {
		err = store.ErrNotFound
	}
	return ev, err
}

// Event implements [store.Log].
func (e *Engine) Event(ctx context.Context, tenant event.TenantID, id event.ID) (ev *event.Event, err error) {
	tenant = e.tenants.standing(tenant)
	err = e.read(ctx, func(c *conn) error {
		ev, err = oneEvent(c, `SELECT `+eventColumns+eventTables+`WHERE e.id = ?`, id)
		return err
	})
	if err == nil && ev.Tenant != tenant {
		err = store.ErrNotFound
	}
	if err != nil {
		return nil, reading("an event", err)
	}
	return ev, nil
}

// EventAt implements [store.Log].
func (e *Engine) EventAt(ctx context.Context, cursor event.Cursor) (ev *event.Event, err error) {
	err = e.read(ctx, func(c *conn) error {
		ev, err = eventAt(c, cursor)
		return err
	})
	return ev, reading("an event", err)
}

// EventsAt implements [store.Log].
func (e *Engine) EventsAt(ctx context.Context, cursors []event.Cursor, bytes int) (events []*event.Event, err error) {
	err = e.read(ctx, func(c *conn) error {
		events = make([]*event.Event, 0, len(cursors))
		for read := 0; len(cursors) > 0 && (read < bytes || read == 0); cursors = cursors[1:] {
			ev, err := eventAt(c, cursors[0])
			if errors.Is(err, store.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			events = append(events, ev)
			read += len(ev.Payload)
		}
		return nil
	})
	return events, reading("events", err)
}

// CursorBefore implements [store.Log].
func (e *Engine) CursorBefore(ctx context.Context, t time.Time) (cursor event.Cursor, err error) {
	err = e.read(ctx, func(c *conn) error {
		cursor, err = cursorBefore(c, t)
		return err
	})
	return cursor, reading("the log", err)
}

// cursorBefore is cursorBeforeIn of the log as the connection sees it.
func cursorBefore(c *conn, t time.Time) (event.Cursor, error) {
	trimmed, head, err := ends(c)
	if err != nil {
		return 0, err
	}
	return cursorBeforeIn(c, t.UnixMilli(), trimmed, head)
}

// cursorBeforeIn halves the log until it has found the first event that is not older than want, in milliseconds: times
// never fall as cursors grow, so they need no index.
func cursorBeforeIn(c *conn, want int64, trimmed, head event.Cursor) (event.Cursor, error) {
	low, high := trimmed, head // what is at or below low is older; what is above high is not
	for low < high {
		middle := low + (high-low)/2
		var at event.Cursor
		var time int64
		found, err := c.first(`SELECT cursor, time FROM event WHERE cursor > ? ORDER BY cursor LIMIT 1`, []any{middle},
			func(s *sqlite3.Stmt) { at, time = columnCursor(s, 0), s.ColumnInt64(1) })
		if err != nil {
			return 0, err
		}
		if found && time < want {
			low = min(at, high)
		} else {
			high = middle
		}
	}
	return low, nil
}

// ListEvents implements [store.Log]. The page token is the cursor down to which the pages before looked.
func (e *Engine) ListEvents(ctx context.Context, tenant event.TenantID, f store.EventFilter, p store.Page) (store.List[store.EventSummary], error) {
	tenant = e.tenants.standing(tenant)
	var list store.List[store.EventSummary]
	below := event.MaxCursor
	if p.Token != "" {
		var err error
		if below, err = event.ParseCursor(p.Token); err != nil || below == 0 {
			return list, store.ErrPage
		}
	}
	err := e.read(ctx, func(c *conn) error {
		if _, head, err := ends(c); err != nil {
			return err
		} else if p.Token != "" && below > head {
			return store.ErrPage
		}
		after, most, err := between(c, f.Since, f.Until)
		if err != nil {
			return err
		}
		sel := everyTopic(tenant)
		if len(f.Patterns) > 0 {
			if sel, err = selectTopics(c, tenant, f.Patterns, true); err != nil {
				return err
			}
		}
		found, down, more, err := sel.newest(c, after, min(below-1, most), p.Limit)
		if err != nil {
			return err
		}
		for _, cursor := range found {
			err := c.each(`SELECT `+eventHeadColumns+eventTables+`WHERE e.cursor = ?`, []any{cursor},
				func(s *sqlite3.Stmt) (bool, error) {
					ev, size, owed, err := scanEventHead(s)
					list.Data = append(list.Data, store.EventSummary{Event: ev, Size: size, Owed: owed})
					return false, err
				})
			if err != nil {
				return err
			}
		}
		if more {
			list.Next = down.String()
		}
		return nil
	})
	return list, reading("events", err)
}

// between turns times of acceptance into cursors: what was accepted in [since, until) is in (after, through].
func between(c *conn, since, until time.Time) (after, through event.Cursor, err error) {
	through = event.MaxCursor
	if !since.IsZero() {
		if after, err = cursorBefore(c, since); err != nil {
			return 0, 0, err
		}
	}
	if !until.IsZero() {
		if through, err = cursorBefore(c, until); err != nil {
			return 0, 0, err
		}
	}
	return after, through, nil
}
