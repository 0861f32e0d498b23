package sqlite

import (
	"context"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// Reopen implements [store.Deliveries].
func (e *Engine) Reopen(ctx context.Context, tenant event.TenantID, id event.DeliveryID) (event.Delivery, error) {
	return e.byHand(ctx, tenant, id, event.AuditDeliveryRetried, func(b *batch, k *hook, r *ledgerRow) error {
		if k.deleted || !k.webhook.Enabled {
			return store.ErrState
		}
		b.reopen(k, r)
		r.replay = false
		return nil
	})
}

// reopen makes a row pending, whatever it was.
func (b *batch) reopen(k *hook, r *ledgerRow) {
	r.line = k.line // past every line that was drawn
	r.state, r.reason, r.step = event.Pending, "", 0
	r.due, r.ended = b.now, 0
}

// Cancel implements [store.Deliveries].
func (e *Engine) Cancel(ctx context.Context, tenant event.TenantID, id event.DeliveryID) (event.Delivery, error) {
	return e.byHand(ctx, tenant, id, event.AuditDeliveryCanceled, func(b *batch, _ *hook, r *ledgerRow) error {
		if r.state != event.Pending {
			return store.ErrState
		}
		r.state, r.reason = event.Canceled, event.ReasonByHand
		r.due, r.ended = 0, b.now
		return nil
	})
}

// byHand changes one delivery, which gets a row if it has none, and returns it as it is then.
func (e *Engine) byHand(ctx context.Context, tenant event.TenantID, id event.DeliveryID, action event.AuditAction,
	change func(*batch, *hook, *ledgerRow) error) (event.Delivery, error) {
	var d event.Delivery // the writer's until it has answered, which may be after this call has returned
	origin := store.OriginOf(ctx)
	err := e.write(ctx, &operation{apply: func(b *batch) error {
		k := b.hook(id.Webhook)
		if k == nil || k.webhook.Tenant != tenant {
			return store.ErrNotFound
		}
		m, found, err := readMatched(b.c, tenant, matchedAt, id.Event)
		if err != nil {
			return err
		}
		match, matched := matchWith(m.matches, id.Webhook)
		if !found || !matched {
			return store.ErrNotFound
		}
		row, found, err := b.row(id.Event, k)
		if err != nil {
			return err
		}
		if !found {
			if id.Event <= b.floor {
				return store.ErrNotFound // the delivery log kept it no longer
			}
			row = newRow(id.Event, k, k.webhook.Order.OrderKey(m.partitionKey))
			if reason := neverOwed(match); reason != "" && row.state == event.Pending {
				row.state, row.reason = event.Canceled, reason
				row.ended = fromTime(m.time)
			}
		}
		before := row.state
		wasPending := found && before == event.Pending
		if err := change(b, k, &row); err != nil {
			return err
		}
		d = event.Delivery{ID: id, Tenant: tenant, EventID: m.id, Topic: m.topic, CreatedAt: m.time}
		d.State, d.Reason, d.Attempts, d.Step = row.state, row.reason, row.attempts, row.step
		d.Due, d.EndedAt = toTime(row.due), toTime(row.ended)
		d.LastStatus, d.LastOutcome = row.lastStatus, row.lastOutcome
		d.OrderKey, d.Replay = uint64(row.orderKey), row.replay
		return b.audited(event.AuditEntry{
			Tenant: tenant, Origin: origin, Action: action, Subject: id.String(),
			Changes: []event.Change{event.NewChange("state", before, row.state)},
		}, func() error {
			if found {
				return b.updateRow(id.Event, k, &row, wasPending)
			}
			return b.insertRow(id.Event, k, &row, nil)
		})
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
