package sqlite

import (
	"math"

	"github.com/ncruces/go-sqlite3"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// The size of the delivery log is an estimate, kept in meta as rows come and go: so much for a row of delivery with its
// entries in the indexes, and of attempt, and beside that the bytes of the answers. It is within a factor of two of the
// pages that are used; large answers, which leave the rest of a page empty, are what it counts too low. What it says after
// any number of transactions is the sum over the rows that are there. Migration 0002 begins with the same numbers.
const (
	deliveryBytes = 80
	attemptBytes  = 60
)

// Bounds of one step of the delivery log's retention, chosen so that it takes a few milliseconds: rows read, and rows
// removed, attempts included.
const (
	logExamined = 2000
	logRemoved  = 300
)

const logRowsSQL = `SELECT d.cursor, d.webhook, d.state = 0 AND d.line = w.line, d.attempts, ifnull(length(d.first_answer), 0)
	FROM delivery d CROSS JOIN webhook w ON w.num = d.webhook
	WHERE (d.cursor, d.webhook) > (?, ?) AND d.cursor <= ? ORDER BY d.cursor, d.webhook LIMIT ?`

const (
	attemptsSizeSQL   = `SELECT count(*), ifnull(sum(length(answer)), 0) FROM attempt WHERE cursor = ? AND webhook = ?`
	deleteAttemptsSQL = `DELETE FROM attempt WHERE cursor = ? AND webhook = ?`
	deleteDeliverySQL = `DELETE FROM delivery WHERE cursor = ? AND webhook = ?`
)

// loggedRow is a row that the delivery log no longer keeps.
type loggedRow struct {
	deliveryPlace
	attempts int64
}

// trimDeliveries removes a few of the ended deliveries that the delivery log no longer keeps, in log order. It never goes
// beyond the floor, above which a missing row means a delivery that is owed, nor back behind where it has been.
func (b *batch) trimDeliveries(r store.Retention, done *store.Trimmed) error {
	if done.More {
		return nil // the step is long enough, and there will be another
	}
	var old event.Cursor // what is at or below has the age
	if r.DeliveryAge > 0 {
		var err error
		if old, err = cursorBeforeIn(b.c, b.now-r.DeliveryAge.Milliseconds(), b.trimmed, b.head()); err != nil {
			return err
		}
	}
	excess := int64(0)
	if r.DeliveryBytes > 0 {
		excess = max(0, b.logBytes-r.DeliveryBytes)
	}
	end := min(old, b.floor)
	if excess > 0 {
		end = b.floor
	}
	if end < b.logAt.cursor || end == b.logAt.cursor && b.logAt.num == math.MaxInt64 {
		return nil
	}

	// The rows are read before any is removed: a walk along an index must not see its own deletions.
	var ended []loggedRow
	at := b.logAt
	examined, removed, freed := 0, int64(0), int64(0)
	whole := true // everything up to the end was looked at
	err := b.c.each(logRowsSQL, []any{at.cursor, at.num, end, logExamined + 1}, func(s *sqlite3.Stmt) (bool, error) {
		place := deliveryPlace{columnCursor(s, 0), s.ColumnInt64(1)}
		if place.cursor > old && freed >= excess {
			whole = false
			return false, nil
		}
		if examined == logExamined || removed >= logRemoved {
			whole, done.More = false, true
			return false, nil
		}
		examined++
		at = place
		if s.ColumnInt64(2) != 0 {
			return true, nil
		}
		row := loggedRow{place, s.ColumnInt64(3)}
		ended = append(ended, row)
		removed += max(row.attempts, 1)
		freed += deliveryBytes + s.ColumnInt64(4)
		if row.attempts < 2 {
			return true, nil
		}
		_, err := b.c.first(attemptsSizeSQL, []any{place.cursor, place.num}, func(s *sqlite3.Stmt) {
			freed += s.ColumnInt64(0)*attemptBytes + s.ColumnInt64(1)
		})
		return true, err
	})
	if err != nil || examined == 0 {
		return err
	}
	for _, row := range ended {
		if row.attempts > 1 {
			if err := b.c.run(deleteAttemptsSQL, row.cursor, row.num); err != nil {
				return err
			}
		}
		if err := b.c.run(deleteDeliverySQL, row.cursor, row.num); err != nil {
			return err
		}
	}
	if whole {
		at = deliveryPlace{end, math.MaxInt64}
	}
	b.logAt = at
	b.logBytes -= freed
	done.Logged += len(ended)
	return nil
}

const (
	deliveriesSizeSQL = `SELECT count(*), ifnull(sum(length(first_answer)), 0) FROM delivery WHERE cursor <= ?`
	allAttemptsSQL    = `SELECT count(*), ifnull(sum(length(answer)), 0) FROM attempt WHERE cursor <= ?`
)

// uncountLog takes off the delivery log's size what is about to go with its events.
func (b *batch) uncountLog(through event.Cursor) error {
	_, err := b.c.first(deliveriesSizeSQL, []any{through}, func(s *sqlite3.Stmt) {
		b.logBytes -= s.ColumnInt64(0)*deliveryBytes + s.ColumnInt64(1)
	})
	if err != nil {
		return err
	}
	_, err = b.c.first(allAttemptsSQL, []any{through}, func(s *sqlite3.Stmt) {
		b.logBytes -= s.ColumnInt64(0)*attemptBytes + s.ColumnInt64(1)
	})
	return err
}
