package sqlite

import (
	"context"

	"github.com/ncruces/go-sqlite3"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// Reopen implements [store.Deliveries].
func (e *Engine) Reopen(ctx context.Context, tenant event.TenantID, id event.DeliveryID) (event.Delivery, error) {
	return e.byHand(ctx, tenant, id, func(b *batch, k *hook, r *ledgerRow) error {
		if k.deleted || !k.webhook.Enabled {
			return store.ErrState
		}
		r.line = k.line // past every line that was drawn
		r.state, r.reason, r.step = event.Pending, "", 0
		r.due, r.ended = b.now, 0
		return nil
	})
}

// Cancel implements [store.Deliveries].
func (e *Engine) Cancel(ctx context.Context, tenant event.TenantID, id event.DeliveryID) (event.Delivery, error) {
	return e.byHand(ctx, tenant, id, func(b *batch, _ *hook, r *ledgerRow) error {
		if r.state != event.Pending {
			return store.ErrState
		}
		r.state, r.reason = event.Canceled, event.ReasonByHand
		r.due, r.ended = 0, b.now
		return nil
	})
}

// byHand changes one delivery, which gets a row if it has none, and returns it as it is then.
func (e *Engine) byHand(ctx context.Context, tenant event.TenantID, id event.DeliveryID,
	change func(*batch, *hook, *ledgerRow) error) (event.Delivery, error) {
	var d event.Delivery // the writer's until it has answered, which may be after this call has returned
	err := e.write(ctx, &operation{apply: func(b *batch) error {
		k := b.hook(id.Webhook)
		if k == nil || k.webhook.Tenant != tenant {
			return store.ErrNotFound
		}
		var matches []event.Match
		d = event.Delivery{ID: id, Tenant: tenant}
		found, err := b.c.first(`SELECT e.id, t.name, e.time, e.matches`+eventTables+`WHERE e.cursor = ? AND e.tenant = ?`,
			[]any{id.Event, tenant}, func(s *sqlite3.Stmt) {
				d.EventID, d.Topic, d.CreatedAt = columnID(s, 0), event.Topic(s.ColumnText(1)), columnTime(s, 2)
				matches = decodeMatches(s.ColumnRawBlob(3))
			})
		if err != nil {
			return err
		}
		match, owed := matchWith(matches, id.Webhook)
		if !found || !owed {
			return store.ErrNotFound
		}
		row, found, err := b.row(id.Event, k)
		if err != nil {
			return err
		}
		if !found {
			row = newRow(id.Event, k)
			if match.Disabled && row.state == event.Pending {
				row.state, row.reason = event.Canceled, event.ReasonDisabled
				row.ended = fromTime(d.CreatedAt)
			}
		}
		if err := change(b, k, &row); err != nil {
			return err
		}
		d.State, d.Reason, d.Attempts, d.Step = row.state, row.reason, row.attempts, row.step
		d.Due, d.EndedAt = toTime(row.due), toTime(row.ended)
		d.LastStatus, d.LastOutcome = row.lastStatus, row.lastOutcome
		if found {
			return b.updateRow(id.Event, k, &row)
		}
		return b.insertRow(id.Event, k, &row, nil)
	}})
	if err != nil {
		return event.Delivery{}, err
	}
	return d, nil
}

// matchWith finds a webhook among an event's matches.
func matchWith(matches []event.Match, webhook event.ID) (event.Match, bool) {
	for _, m := range matches {
		if m.Webhook == webhook {
			return m, true
		}
	}
	return event.Match{}, false
}
