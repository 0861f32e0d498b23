package sqlite

import (
	"github.com/ncruces/go-sqlite3"

	"github.com/carillon/carillon/event"
)

// Deliveries of one webhook with the same order key wait for one another. Of their pending rows that have the webhook's
// line, the one with the lowest cursor is the head, and the others are parked: the backlog does not show them. Every
// transaction leaves it so. Rows behind a line are canceled, and neither park nor are released.

const headSQL = `SELECT cursor, parked FROM delivery
	WHERE webhook = ? AND line = ? AND order_key = ? AND state = 0 AND order_key <> 0 ORDER BY cursor LIMIT 1`

const parkSQL = `UPDATE delivery SET parked = ? WHERE cursor = ? AND webhook = ?`

// headOf finds the pending row with the lowest cursor among those with the key.
func (b *batch) headOf(webhook, line, key int64) (cursor event.Cursor, parked, found bool, err error) {
	found, err = b.c.first(headSQL, []any{webhook, line, key},
		func(s *sqlite3.Stmt) { cursor, parked = columnCursor(s, 0), s.ColumnInt64(1) != 0 })
	return cursor, parked, found, err
}

// takePlace parks a row that is about to become pending, or the head after it. The row as it is stored must not be
// pending with the webhook's line.
func (b *batch) takePlace(cursor event.Cursor, k *hook, r *ledgerRow) error {
	r.parked = false
	if r.orderKey == 0 || r.state != event.Pending {
		return nil
	}
	head, _, found, err := b.headOf(k.num, k.line, r.orderKey)
	if err != nil || !found {
		return err
	}
	if head < cursor {
		r.parked = true
		return nil
	}
	return b.c.run(parkSQL, true, head, k.num)
}

// release lets the next of a webhook's rows with the key go, after its head has ended or gone. It is due when it was.
func (b *batch) release(webhook, line, key int64) error {
	if key == 0 {
		return nil
	}
	head, parked, _, err := b.headOf(webhook, line, key)
	if err != nil || !parked {
		return err
	}
	return b.c.run(parkSQL, false, head, webhook)
}
