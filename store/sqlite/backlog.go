package sqlite

import (
	"context"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

const backlogSQL = `SELECT ` + deliveryColumns + deliveryTables + `WHERE d.webhook = ? AND d.line = ? AND d.state = 0
	AND d.parked = 0 ORDER BY d.due, d.cursor LIMIT ?`

const parkedSQL = `SELECT 1 FROM delivery WHERE webhook = ? AND line = ? AND state = 0 AND parked = 1 LIMIT 1`

// Backlog implements [store.Deliveries].
func (e *Engine) Backlog(ctx context.Context, webhook event.ID, now time.Time, limit int) (b store.Backlog, err error) {
	err = e.read(ctx, func(c *conn) error {
		num, line, err := lineOf(c, webhook)
		if err != nil || num == 0 {
			return err
		}
		err = c.each(backlogSQL, []any{num, line, limit + 1},
			func(s *sqlite3.Stmt) (bool, error) {
				d := scanDelivery(s)
				if d.Due.After(now) || len(b.Due) == limit {
					b.Next = d.Due
					return false, nil
				}
				b.Due = append(b.Due, d)
				return true, nil
			})
		if err != nil {
			return err
		}
		for i := range b.Due {
			if err := completeDelivery(c, &b.Due[i]); err != nil {
				return err
			}
		}
		parked, err := c.number(parkedSQL, num, line)
		b.Parked = parked != 0
		return err
	})
	return b, reading("the backlog", err)
}

// lineOf returns a webhook's number and line; 0 if there is no such webhook.
func lineOf(c *conn, webhook event.ID) (num, line int64, err error) {
	_, err = c.first(`SELECT num, line FROM webhook WHERE id = ? AND deleted = 0 AND tenant IN `+standingTenants, []any{webhook},
		func(s *sqlite3.Stmt) { num, line = s.ColumnInt64(0), s.ColumnInt64(1) })
	return num, line, err
}

const duesSQL = `SELECT w.id, (SELECT d.due FROM delivery d WHERE d.webhook = w.num AND d.line = w.line AND d.state = 0
	AND d.parked = 0 ORDER BY d.due LIMIT 1) AS due FROM webhook w
	WHERE w.deleted = 0 AND +w.tenant IN ` + standingTenants + ` AND due IS NOT NULL`

// Dues implements [store.Deliveries].
func (e *Engine) Dues(ctx context.Context) (dues map[event.ID]time.Time, err error) {
	dues = make(map[event.ID]time.Time)
	err = e.read(ctx, func(c *conn) error {
		return c.each(duesSQL, nil, func(s *sqlite3.Stmt) (bool, error) {
			dues[columnID(s, 0)] = columnTime(s, 1)
			return true, nil
		})
	})
	if err != nil {
		return nil, reading("the backlogs", err)
	}
	return dues, nil
}

const waitingSQL = `SELECT count(*), min(cursor) FROM delivery WHERE webhook = ? AND line = ? AND state = 0`

// Waiting implements [store.Deliveries].
func (e *Engine) Waiting(ctx context.Context, webhook event.ID) (w store.Waiting, err error) {
	err = e.read(ctx, func(c *conn) error {
		num, line, err := lineOf(c, webhook)
		if err != nil || num == 0 {
			return err
		}
		var oldest event.Cursor
		_, err = c.first(waitingSQL, []any{num, line},
			func(s *sqlite3.Stmt) { w.Deliveries, oldest = s.ColumnInt64(0), columnCursor(s, 1) })
		if err != nil || w.Deliveries == 0 {
			return err
		}
		_, err = c.first(`SELECT time FROM event WHERE cursor = ?`, []any{oldest},
			func(s *sqlite3.Stmt) { w.Oldest = columnTime(s, 0) })
		return err
	})
	return w, reading("the backlog", err)
}
