package sqlite

import (
	"context"
	"fmt"

	"github.com/ncruces/go-sqlite3"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// Settle implements [store.Deliveries].
func (e *Engine) Settle(ctx context.Context, s store.Settlements) error {
	news, bytes, err := encodeNews(&s)
	if err != nil {
		return fmt.Errorf("%w: %w", store.ErrNotStored, err)
	}
	for i := range s.Settled {
		bytes += 256
		if a := s.Settled[i].Attempt; a != nil {
			bytes += len(a.Answer)
		}
	}
	return e.write(ctx, &operation{bytes: bytes, apply: func(b *batch) error { return b.settleAll(&s, news) }})
}

// settleAll carries out one write to the ledger.
func (b *batch) settleAll(s *store.Settlements, news *news) error {
	// What is announced by this write is above the floor, whatever the write says: its deliveries have no rows.
	floor := min(s.Floor, b.head())
	for i := range s.Settled {
		effect, err := b.settle(&s.Settled[i])
		if err != nil {
			return err
		}
		if news == nil {
			continue
		}
		news.void[i] = effect == void
		if effect == tookState {
			if err := b.announce(news.ended[i]); err != nil {
				return err
			}
		}
	}
	// Lines come after the settlements of the same write: they were pending when they were settled.
	for i := range s.Settled {
		if reason := s.Settled[i].Disable; reason != "" && !news.void[i] {
			k := b.hook(s.Settled[i].ID.Webhook)
			if k == nil || k.webhook.Tenant != s.Settled[i].Tenant {
				continue
			}
			disabled, err := b.disable(k, reason)
			if err == nil && disabled {
				err = b.announce(news.disabled[i])
			}
			if err != nil {
				return err
			}
		}
	}
	for i := range s.Spilled {
		if err := b.spill(s.Spilled[i]); err != nil {
			return err
		}
	}
	for _, health := range s.Health {
		if k := b.hook(health.Webhook); k != nil && !k.deleted {
			if err := b.saveHealth(k, health); err != nil {
				return err
			}
		}
	}
	b.floor = max(b.floor, floor)
	if news == nil {
		return nil
	}
	for i := range news.others {
		if err := b.announce(&news.others[i]); err != nil {
			return err
		}
	}
	return nil
}

// ledgerRow is what a change of a delivery needs to know of its row.
type ledgerRow struct {
	line        int64
	state       event.State
	reason      event.Reason
	attempts    int
	step        int
	due         int64
	ended       int64
	lastStatus  int
	lastOutcome event.Outcome
	firstNumber int
	orderKey    int64
	parked      bool
	replay      bool
}

// row reads a delivery's row.
func (b *batch) row(cursor event.Cursor, k *hook) (r ledgerRow, found bool, err error) {
	found, err = b.c.first(`SELECT line, state, reason, attempts, step, due, ended, last_status, last_outcome, first_number,
		order_key, parked, replay FROM delivery WHERE cursor = ? AND webhook = ?`, []any{cursor, k.num},
		func(s *sqlite3.Stmt) {
			r = ledgerRow{
				line:        s.ColumnInt64(0),
				state:       event.State(s.ColumnInt(1)),
				reason:      event.Reason(s.ColumnText(2)),
				attempts:    s.ColumnInt(3),
				step:        s.ColumnInt(4),
				due:         s.ColumnInt64(5),
				ended:       s.ColumnInt64(6),
				lastStatus:  s.ColumnInt(7),
				lastOutcome: event.Outcome(s.ColumnInt(8)),
				firstNumber: s.ColumnInt(9),
				orderKey:    s.ColumnInt64(10),
				parked:      s.ColumnInt64(11) != 0,
				replay:      s.ColumnInt64(12) != 0,
			}
		})
	if found && r.state == event.Pending && r.line < k.line {
		r.cancelBehindLine(k)
	}
	return r, found, err
}

// cancelBehindLine makes of a pending row what its webhook's line made of it.
func (r *ledgerRow) cancelBehindLine(k *hook) {
	r.line = k.line
	r.state, r.reason = event.Canceled, k.webhook.CanceledReason
	r.due, r.ended = 0, k.canceledAt
	r.parked = false // it counts no more: there is no one to release
}

// newRow is the row of a delivery that has none yet.
func newRow(cursor event.Cursor, k *hook, orderKey uint64) ledgerRow {
	r := ledgerRow{line: k.line, orderKey: int64(orderKey)}
	if !k.owed(cursor) {
		r.cancelBehindLine(k)
	}
	return r
}

// held reports whether the log holds, or held until a moment ago, events at this cursor.
func (b *batch) held(c event.Cursor) bool { return c > b.trimmed && c <= b.head() }

// effect is what a settlement did.
type effect int

const (
	leftOut   effect = iota // it concerns what retention removed, or nobody's delivery
	void                    // its attempt is recorded already
	noted                   // it is on record; the delivery had ended before, or was never owed
	tookState               // the delivery has the settlement's state by it
)

// settle carries out one settlement.
func (b *batch) settle(s *store.Settlement) (effect, error) {
	k := b.hook(s.ID.Webhook)
	if k == nil || k.webhook.Tenant != s.Tenant || !b.held(s.ID.Event) {
		return leftOut, nil
	}
	row, found, err := b.row(s.ID.Event, k)
	if err != nil {
		return leftOut, err
	}
	if !found {
		if s.ID.Event <= b.floor {
			return leftOut, nil // the delivery log kept it no longer
		}
		row = newRow(s.ID.Event, k, s.OrderKey)
		if s.State == event.Canceled && s.Reason == event.ReasonFilterError {
			row.reason = s.Reason // before any line was drawn
		}
	}
	// A row that is pending was made so after the line that its being called off is about: somebody retried it.
	if found && row.state == event.Pending && s.Attempt == nil && s.State == event.Canceled &&
		(s.Reason == event.ReasonDisabled || s.Reason == event.ReasonDeleted) {
		return noted, nil
	}
	ended := row.state != event.Pending
	if ended && s.Attempt == nil && s.State != event.Delivered {
		if found {
			return noted, nil
		}
		// It was never owed, because the webhook was disabled: that is on record too, so that it can be replayed.
		if row.reason == "" {
			row.reason = s.Reason
		}
		if row.ended == 0 {
			row.ended = b.now
		}
		return noted, b.insertRow(s.ID.Event, k, &row, nil)
	}

	first := false
	if a := s.Attempt; a != nil {
		first = row.attempts == 0
		if !first {
			known, err := b.recordAttempt(s, k, row.firstNumber)
			if err != nil || known {
				return void, err
			}
		}
		if a.Number > row.attempts { // not a late one
			row.lastStatus, row.lastOutcome = a.Status, a.Outcome
		}
		row.attempts++
	}
	does := noted
	switch {
	case !ended:
		does = tookState
		row.state, row.reason, row.step = s.State, s.Reason, s.Step
		row.due, row.ended = 0, b.now
		if s.State == event.Pending {
			row.due, row.ended = fromTime(s.Due), 0
		}
	case s.State == event.Delivered && row.state != event.Delivered:
		does = tookState
		row.state, row.reason, row.step, row.ended = event.Delivered, "", s.Step, b.now
	}

	var a *event.Attempt
	if first {
		a = s.Attempt
	}
	if !found {
		return does, b.insertRow(s.ID.Event, k, &row, a)
	}
	if err := b.updateRow(s.ID.Event, k, &row, !ended); err != nil || a == nil {
		return does, err
	}
	b.logBytes += int64(len(a.Answer))
	return does, b.c.run(`UPDATE delivery SET first_number = ?, first_at = ?, first_micros = ?, first_status = ?,
		first_outcome = ?, first_answer = ? WHERE cursor = ? AND webhook = ?`,
		a.Number, fromTime(a.At), a.Duration.Microseconds(), a.Status, int(a.Outcome), a.Answer, s.ID.Event, k.num)
}

// recordAttempt stores an attempt after the first, unless it is known already.
func (b *batch) recordAttempt(s *store.Settlement, k *hook, firstNumber int) (known bool, err error) {
	a := s.Attempt
	if a.Number == firstNumber {
		return true, nil
	}
	err = b.c.run(`INSERT INTO attempt (cursor, webhook, number, tenant, at, micros, status, outcome, answer)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		s.ID.Event, k.num, a.Number, s.Tenant, fromTime(a.At), a.Duration.Microseconds(), a.Status, int(a.Outcome), a.Answer)
	if err != nil || b.c.Changes() == 0 {
		return true, err
	}
	b.logBytes += attemptBytes + int64(len(a.Answer))
	return false, nil
}

// spill gives a delivery its row.
func (b *batch) spill(s store.Spill) error {
	k := b.hook(s.ID.Webhook)
	if k == nil || k.webhook.Tenant != s.Tenant || !b.held(s.ID.Event) {
		return nil
	}
	if _, found, err := b.row(s.ID.Event, k); err != nil || found || s.ID.Event <= b.floor {
		return err
	}
	row := newRow(s.ID.Event, k, s.OrderKey)
	if row.state == event.Pending {
		// Due when the event came: a backlog is then worked off in the order of the log.
		accepted, err := b.c.number(`SELECT time FROM event WHERE cursor = ?`, s.ID.Event)
		if err != nil {
			return err
		}
		if accepted == 0 {
			return nil
		}
		row.due = min(accepted, b.now)
	}
	return b.insertRow(s.ID.Event, k, &row, nil)
}

const insertRowSQL = `INSERT INTO delivery (cursor, webhook, tenant, line, state, reason, attempts, step, due, ended,
	last_status, last_outcome, first_number, first_at, first_micros, first_status, first_outcome, first_answer,
	order_key, parked, replay) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

// insertRow gives a delivery its row, with its first attempt if one was made. It binds by hand: there is one for each
// delivery.
func (b *batch) insertRow(cursor event.Cursor, k *hook, r *ledgerRow, a *event.Attempt) error {
	if err := b.takePlace(cursor, k, r); err != nil {
		return err
	}
	s, err := b.c.prepare(insertRowSQL)
	if err != nil {
		return err
	}
	if a == nil {
		a = &event.Attempt{}
	}
	for _, err := range [...]error{
		s.BindInt64(1, int64(cursor)),
		s.BindInt64(2, k.num),
		s.BindInt64(3, int64(k.webhook.Tenant)),
		s.BindInt64(4, r.line),
		s.BindInt64(5, int64(r.state)),
		s.BindText(6, string(r.reason)),
		s.BindInt(7, r.attempts),
		s.BindInt(8, r.step),
		s.BindInt64(9, r.due),
		s.BindInt64(10, r.ended),
		s.BindInt(11, r.lastStatus),
		s.BindInt(12, int(r.lastOutcome)),
		s.BindInt(13, a.Number),
		s.BindInt64(14, fromTime(a.At)),
		s.BindInt64(15, a.Duration.Microseconds()),
		s.BindInt(16, a.Status),
		s.BindInt(17, int(a.Outcome)),
		s.BindBlob(18, a.Answer),
		s.BindInt64(19, r.orderKey),
		s.BindBool(20, r.parked),
		s.BindBool(21, r.replay),
	} {
		if err != nil {
			return err
		}
	}
	b.logBytes += deliveryBytes + int64(len(a.Answer))
	return s.Exec()
}

// updateRow writes a row that was read before. wasPending says what it was then.
func (b *batch) updateRow(cursor event.Cursor, k *hook, r *ledgerRow, wasPending bool) error {
	wasHead := wasPending && !r.parked
	if !wasPending {
		if err := b.takePlace(cursor, k, r); err != nil {
			return err
		}
	}
	if r.state != event.Pending {
		r.parked = false
	}
	err := b.c.run(`UPDATE delivery SET line = ?, state = ?, reason = ?, attempts = ?, step = ?, due = ?, ended = ?,
		last_status = ?, last_outcome = ?, parked = ?, replay = ? WHERE cursor = ? AND webhook = ?`,
		r.line, int(r.state), string(r.reason), r.attempts, r.step, r.due, r.ended, r.lastStatus, int(r.lastOutcome),
		r.parked, r.replay, cursor, k.num)
	if err != nil || !wasHead || r.state == event.Pending {
		return err
	}
	return b.release(k.num, k.line, r.orderKey)
}
