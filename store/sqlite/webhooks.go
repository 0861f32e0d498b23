package sqlite

import (
	"context"
	"fmt"
	"strconv"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// CreateWebhook implements [store.Webhooks].
func (e *Engine) CreateWebhook(ctx context.Context, w *event.Webhook) error {
	var made *event.Webhook
	origin := store.OriginOf(ctx)
	err := e.write(ctx, &operation{apply: func(b *batch) error {
		if b.hook(w.ID) != nil {
			return fmt.Errorf("webhook %s exists: %w", w.ID, store.ErrConflict)
		}
		if err := b.admitWebhook(w.Tenant); err != nil {
			return err
		}
		made = cloneWebhook(w)
		made.Version = 1
		made.CreatedAt, made.UpdatedAt = toTime(b.now), toTime(b.now)
		made.CanceledThrough, made.CanceledReason = 0, ""
		if made.Enabled {
			made.DisabledReason = ""
		}
		return b.audited(event.AuditEntry{
			Tenant: made.Tenant, Origin: origin, Action: event.AuditWebhookCreated, Subject: made.ID.String(),
			Changes: event.WebhookChanges(nil, made),
		}, func() error { return b.saveHook(&hook{webhook: made}) })
	}})
	if err == nil {
		*w = *cloneWebhook(made)
	}
	return err
}

// UpdateWebhook implements [store.Webhooks]. Enabling moves the line up to the head: an event can be accepted, by a match
// made just before, while the webhook is disabled, and must not come to life later.
func (e *Engine) UpdateWebhook(ctx context.Context, w *event.Webhook) error {
	var made *event.Webhook
	origin := store.OriginOf(ctx)
	err := e.write(ctx, &operation{apply: func(b *batch) error {
		old := b.hook(w.ID)
		if old == nil || old.deleted || old.webhook.Tenant != w.Tenant {
			return store.ErrNotFound
		}
		if old.webhook.Version != w.Version {
			return store.ErrConflict
		}
		k := *old
		made = cloneWebhook(w)
		made.CreatedAt = old.webhook.CreatedAt
		made.CanceledThrough, made.CanceledReason = old.webhook.CanceledThrough, old.webhook.CanceledReason
		if made.Enabled {
			made.DisabledReason = ""
		} else if made.DisabledReason == "" {
			made.DisabledReason = event.DisabledByHand
		}
		k.webhook = made
		b.touch(&k)
		switch {
		case old.webhook.Enabled && !made.Enabled:
			b.drawLine(&k, event.ReasonDisabled)
		case !old.webhook.Enabled && made.Enabled:
			made.CanceledThrough, made.CanceledReason = b.head(), event.ReasonDisabled
		}
		return b.audited(event.AuditEntry{
			Tenant: made.Tenant, Origin: origin, Action: event.WebhookUpdate(old.webhook, made), Subject: made.ID.String(),
			Changes: event.WebhookChanges(old.webhook, made),
		}, func() error { return b.saveHook(&k) })
	}})
	if err == nil {
		*w = *cloneWebhook(made)
	}
	return err
}

// DeleteWebhook implements [store.Webhooks].
func (e *Engine) DeleteWebhook(ctx context.Context, tenant event.TenantID, id event.ID) error {
	origin := store.OriginOf(ctx)
	return e.write(ctx, &operation{apply: func(b *batch) error {
		old := b.hook(id)
		if old == nil || old.deleted || old.webhook.Tenant != tenant {
			return store.ErrNotFound
		}
		k := *old
		k.deleted = true
		k.webhook = cloneWebhook(old.webhook)
		forgetSecrets(k.webhook) // nothing is sent with them any more
		b.touch(&k)
		b.drawLine(&k, event.ReasonDeleted)
		return b.audited(event.AuditEntry{
			Tenant: tenant, Origin: origin, Action: event.AuditWebhookDeleted, Subject: id.String(),
			Changes: event.WebhookChanges(old.webhook, nil),
		}, func() error {
			if err := b.saveHealth(&k, store.Health{}); err != nil {
				return err
			}
			return b.saveHook(&k)
		})
	}})
}

// Webhook implements [store.Webhooks].
func (e *Engine) Webhook(_ context.Context, tenant event.TenantID, id event.ID) (*event.Webhook, error) {
	k := e.hooks.get(id)
	if k == nil || k.deleted || k.webhook.Tenant != tenant {
		return nil, store.ErrNotFound
	}
	return cloneWebhook(k.webhook), nil
}

// ListWebhooks implements [store.Webhooks]. The page token is the number of the last webhook of the page before.
func (e *Engine) ListWebhooks(_ context.Context, tenant event.TenantID, p store.Page) (store.List[*event.Webhook], error) {
	var list store.List[*event.Webhook]
	below := int64(-1)
	if p.Token != "" {
		var err error
		if below, err = strconv.ParseInt(p.Token, 10, 64); err != nil || below < 1 || strconv.FormatInt(below, 10) != p.Token {
			return list, store.ErrPage
		}
	}
	all := e.hooks.all()
	for i := len(all) - 1; i >= 0; i-- {
		k := all[i]
		if k.webhook.Tenant != tenant || (below >= 0 && k.num >= below) {
			continue
		}
		if len(list.Data) == p.Limit {
			list.Next = strconv.FormatInt(below, 10)
			break
		}
		list.Data = append(list.Data, cloneWebhook(k.webhook))
		below = k.num
	}
	return list, nil
}

// WatchWebhooks implements [store.Webhooks].
func (e *Engine) WatchWebhooks(changed func([]store.WebhookChange)) (stop func(), err error) {
	return e.hooks.watch(changed), nil
}
