package sqlite

import (
	"context"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// recordedPage is how many rows Recorded reads under one snapshot.
const recordedPage = 2000

// Floor implements [store.Deliveries].
func (e *Engine) Floor(context.Context) (event.Cursor, error) {
	e.bounds.RLock()
	defer e.bounds.RUnlock()
	return e.bounds.floor, nil
}

const recordedSQL = `SELECT d.cursor, d.webhook, w.id FROM delivery d CROSS JOIN webhook w ON w.num = d.webhook
	WHERE (d.cursor, d.webhook) > (?, ?) ORDER BY d.cursor, d.webhook LIMIT ?`

// Recorded implements [store.Deliveries]. It reads page by page, so that a long restart pins no snapshot.
func (e *Engine) Recorded(ctx context.Context, after event.Cursor, yield func(event.DeliveryID)) error {
	type place struct {
		cursor event.Cursor
		num    int64
	}
	at := place{cursor: after, num: 1<<63 - 1}
	page := make([]event.DeliveryID, 0, recordedPage)
	for {
		page = page[:0]
		err := e.read(ctx, func(c *conn) error {
			return c.each(recordedSQL, []any{at.cursor, at.num, recordedPage}, func(s *sqlite3.Stmt) (bool, error) {
				at = place{columnCursor(s, 0), s.ColumnInt64(1)}
				page = append(page, event.DeliveryID{Event: at.cursor, Webhook: columnID(s, 2)})
				return true, nil
			})
		})
		if err != nil {
			return reading("deliveries", err)
		}
		for _, id := range page {
			yield(id)
		}
		if len(page) < recordedPage {
			return nil
		}
	}
}

// deliveryColumns are a delivery's columns, with its state as its webhook's line makes it. The tables are d and w,
// and always walked in this order.
const (
	deliveryColumns = `d.cursor, d.webhook, w.id, d.tenant,
		iif(d.state = 0 AND d.line < w.line, 3, d.state),
		iif(d.state = 0 AND d.line < w.line, w.canceled_reason, d.reason),
		d.attempts, d.step,
		iif(d.state = 0 AND d.line < w.line, 0, d.due),
		iif(d.state = 0 AND d.line < w.line, w.canceled_at, d.ended),
		d.last_status, d.last_outcome, d.order_key, d.replay`
	deliveryTables = ` FROM delivery d CROSS JOIN webhook w ON w.num = d.webhook `
)

// scanDelivery reads deliveryColumns. What is its event's is still missing.
func scanDelivery(s *sqlite3.Stmt) event.Delivery {
	return event.Delivery{
		ID:          event.DeliveryID{Event: columnCursor(s, 0), Webhook: columnID(s, 2)},
		Tenant:      event.TenantID(s.ColumnInt64(3)),
		State:       event.State(s.ColumnInt(4)),
		Reason:      event.Reason(s.ColumnText(5)),
		Attempts:    s.ColumnInt(6),
		Step:        s.ColumnInt(7),
		Due:         columnTime(s, 8),
		EndedAt:     columnTime(s, 9),
		LastStatus:  s.ColumnInt(10),
		LastOutcome: event.Outcome(s.ColumnInt(11)),
		OrderKey:    uint64(s.ColumnInt64(12)),
		Replay:      s.ColumnInt64(13) != 0,
	}
}

// completeDelivery fills in what is the event's.
func completeDelivery(c *conn, d *event.Delivery) error {
	_, err := c.first(`SELECT e.id, t.name, e.time`+eventTables+`WHERE e.cursor = ?`, []any{d.ID.Event},
		func(s *sqlite3.Stmt) {
			d.EventID, d.Topic, d.CreatedAt = columnID(s, 0), event.Topic(s.ColumnText(1)), columnTime(s, 2)
		})
	return err
}

// matchedEvent is what a delivery without a row is made from.
type matchedEvent struct {
	cursor       event.Cursor
	id           event.ID
	topic        event.Topic
	time         time.Time
	partitionKey string
	matches      []event.Match
}

func readMatched(c *conn, tenant event.TenantID, where string, key any) (m matchedEvent, found bool, err error) {
	found, err = c.first(`SELECT e.cursor, e.id, t.name, e.time, e.partition_key, e.matches`+eventTables+where, []any{key, tenant},
		func(s *sqlite3.Stmt) {
			m = matchedEvent{columnCursor(s, 0), columnID(s, 1), event.Topic(s.ColumnText(2)), columnTime(s, 3),
				s.ColumnText(4), decodeMatches(s.ColumnRawBlob(5))}
		})
	return m, found, err
}

const (
	matchedAt = `WHERE e.cursor = ? AND e.tenant = ?`
	matchedID = `WHERE e.id = ? AND e.tenant = ?`
)

// delivery returns the delivery that a match is, with the number of its webhook; ErrNotFound if the delivery log keeps it
// no longer.
func (m *matchedEvent) delivery(c *conn, tenant event.TenantID, match event.Match) (d event.Delivery, num int64, err error) {
	found, err := c.first(`SELECT `+deliveryColumns+deliveryTables+`WHERE w.id = ? AND d.cursor = ?`,
		[]any{match.Webhook, m.cursor}, func(s *sqlite3.Stmt) { d, num = scanDelivery(s), s.ColumnInt64(1) })
	if err != nil {
		return d, 0, err
	}
	if !found {
		d = event.Delivery{ID: event.DeliveryID{Event: m.cursor, Webhook: match.Webhook}, Tenant: tenant}
		if err := m.unrecorded(c, &d, match); err != nil {
			return d, 0, err
		}
	}
	d.EventID, d.Topic, d.CreatedAt = m.id, m.topic, m.time
	return d, num, nil
}

// unrecorded finds out the state of a delivery without a row.
func (m *matchedEvent) unrecorded(c *conn, d *event.Delivery, match event.Match) error {
	floor, err := c.number(`SELECT floor FROM meta`)
	if err != nil {
		return err
	}
	if m.cursor <= event.Cursor(floor) {
		return store.ErrNotFound
	}
	var enabled, deleted bool
	var through event.Cursor
	var reason event.Reason
	var at time.Time
	found, err := c.first(`SELECT enabled, deleted, canceled_through, canceled_reason, canceled_at, config ->> '$.order'
		FROM webhook WHERE id = ?`,
		[]any{match.Webhook}, func(s *sqlite3.Stmt) {
			enabled, deleted = s.ColumnInt64(0) != 0, s.ColumnInt64(1) != 0
			through, reason, at = columnCursor(s, 2), event.Reason(s.ColumnText(3)), columnTime(s, 4)
			d.OrderKey = event.Order(s.ColumnText(5)).OrderKey(m.partitionKey) // as its row would have it
		})
	never := neverOwed(match)
	switch {
	case err != nil:
		return err
	case never != "":
		d.State, d.Reason, d.EndedAt = event.Canceled, never, m.time
	case !found:
		d.State, d.Reason, d.EndedAt = event.Canceled, event.ReasonDeleted, m.time
	case deleted || !enabled || m.cursor <= through:
		d.State, d.Reason, d.EndedAt = event.Canceled, reason, at
	default:
		d.Due = m.time
	}
	return nil
}

// Delivery implements [store.Deliveries].
func (e *Engine) Delivery(ctx context.Context, tenant event.TenantID, id event.DeliveryID) (d event.Delivery, attempts []event.Attempt, err error) {
	tenant = e.tenants.standing(tenant)
	err = e.read(ctx, func(c *conn) error {
		m, found, err := readMatched(c, tenant, matchedAt, id.Event)
		if err != nil {
			return err
		}
		match, matched := matchWith(m.matches, id.Webhook)
		if !found || !matched {
			return store.ErrNotFound
		}
		var num int64
		if d, num, err = m.delivery(c, tenant, match); err != nil || d.Attempts == 0 {
			return err
		}
		attempts, err = readAttempts(c, id.Event, num)
		return err
	})
	if err != nil {
		return event.Delivery{}, nil, reading("a delivery", err)
	}
	return d, attempts, nil
}

// readAttempts reads a delivery's attempts, oldest first.
func readAttempts(c *conn, cursor event.Cursor, num int64) (attempts []event.Attempt, err error) {
	err = c.each(`SELECT first_number AS number, first_at, first_micros, first_status, first_outcome, first_answer FROM delivery
		WHERE cursor = ?1 AND webhook = ?2 AND first_number > 0
		UNION ALL SELECT number, at, micros, status, outcome, answer FROM attempt WHERE cursor = ?1 AND webhook = ?2
		ORDER BY number`, []any{cursor, num}, func(s *sqlite3.Stmt) (bool, error) {
		a := event.Attempt{
			Number:   s.ColumnInt(0),
			At:       columnTime(s, 1),
			Duration: time.Duration(s.ColumnInt64(2)) * time.Microsecond,
			Status:   s.ColumnInt(3),
			Outcome:  event.Outcome(s.ColumnInt(4)),
		}
		if answer := s.ColumnRawBlob(5); len(answer) > 0 {
			a.Answer = append([]byte(nil), answer...)
		}
		attempts = append(attempts, a)
		return true, nil
	})
	return attempts, err
}
