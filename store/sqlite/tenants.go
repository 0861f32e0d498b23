package sqlite

import (
	"context"
	"strings"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// Writes to tenants are few and each has a commit of its own: what they look at is what was committed, and no other
// operation of theirs is half done.

// auditTenant makes a write of a tenant with its entry, which is of the tenant that runs the gateway: it stays when the other
// is deleted.
func (b *batch) auditTenant(by event.Origin, action event.AuditAction, before, after *event.Tenant, write func() error) error {
	name := ""
	if before != nil {
		name = before.Name
	} else {
		name = after.Name
	}
	return b.audited(event.AuditEntry{
		Tenant: event.DefaultTenant, Origin: by, Action: action, Subject: name, Changes: event.TenantChanges(before, after),
	}, write)
}

// CreateTenant implements [store.Tenants].
func (e *Engine) CreateTenant(ctx context.Context, t *event.Tenant) error {
	var made *event.Tenant // the writer's until it has answered, which may be after this call has returned
	origin := store.OriginOf(ctx)
	err := e.write(ctx, &operation{alone: true, apply: func(b *batch) error {
		if e.tenants.named(t.Name) != nil {
			return store.ErrConflict
		}
		made = &event.Tenant{Version: 1, Name: t.Name, Quotas: t.Quotas, CreatedAt: toTime(b.now), UpdatedAt: toTime(b.now)}
		q := made.Quotas
		return b.auditTenant(origin, event.AuditTenantCreated, nil, made, func() error {
			err := b.c.run(`INSERT INTO tenant (name, version, events_per_second, stored_bytes, webhooks, streams, used, created,
			updated, deleted) VALUES (?, 1, ?, ?, ?, ?, 0, ?, ?, 0)`,
				made.Name, q.EventsPerSecond, q.StoredBytes, q.Webhooks, q.Streams, b.now, b.now)
			if err != nil {
				return err
			}
			made.ID = event.TenantID(b.c.LastInsertRowID())
			b.tenantsHere = append(b.tenantsHere, made)
			return nil
		})
	}})
	if err == nil {
		*t = *made
	}
	return err
}

// UpdateTenant implements [store.Tenants].
func (e *Engine) UpdateTenant(ctx context.Context, t *event.Tenant) error {
	var made *event.Tenant // as in CreateTenant
	origin := store.OriginOf(ctx)
	err := e.write(ctx, &operation{alone: true, apply: func(b *batch) error {
		old := e.tenants.get(t.ID)
		if old == nil {
			return store.ErrNotFound
		}
		if old.tenant.Version != t.Version {
			return store.ErrConflict
		}
		changed := *old.tenant
		changed.Quotas, changed.UpdatedAt = t.Quotas, toTime(b.now)
		changed.Version++
		made = &changed
		q := made.Quotas
		return b.auditTenant(origin, event.AuditTenantUpdated, old.tenant, made, func() error {
			err := b.c.run(`UPDATE tenant SET version = ?, events_per_second = ?, stored_bytes = ?, webhooks = ?, streams = ?,
			updated = ? WHERE num = ?`, made.Version, q.EventsPerSecond, q.StoredBytes, q.Webhooks, q.Streams, b.now, made.ID)
			if err != nil {
				return err
			}
			b.tenantsHere = append(b.tenantsHere, made)
			return nil
		})
	}})
	if err == nil {
		*t = *made
	}
	return err
}

// DeleteTenant implements [store.Tenants]. It writes the tenant's own row, and no other: that it is deleted makes all the
// rest nobody's.
func (e *Engine) DeleteTenant(ctx context.Context, id event.TenantID) error {
	origin := store.OriginOf(ctx)
	return e.write(ctx, &operation{alone: true, apply: func(b *batch) error {
		old := e.tenants.get(id)
		switch {
		case old == nil:
			return store.ErrNotFound
		case id == event.DefaultTenant:
			return store.ErrState
		}
		return b.auditTenant(origin, event.AuditTenantDeleted, old.tenant, nil, func() error {
			if err := b.c.run(`UPDATE tenant SET deleted = ?, updated = ? WHERE num = ?`, b.now, b.now, id); err != nil {
				return err
			}
			gone := *old.tenant
			gone.DeletedAt = toTime(b.now)
			b.tenantsHere = append(b.tenantsHere, &gone)
			return nil
		})
	}})
}

// Tenant implements [store.Tenants].
func (e *Engine) Tenant(_ context.Context, name string) (*event.Tenant, error) {
	t := e.tenants.named(name)
	if t == nil {
		return nil, store.ErrNotFound
	}
	copied := *t.tenant
	return &copied, nil
}

// ListTenants implements [store.Tenants]. The page token is the last name of the page before, behind a mark.
func (e *Engine) ListTenants(_ context.Context, p store.Page) (store.List[*event.Tenant], error) {
	var list store.List[*event.Tenant]
	last := ""
	if p.Token != "" {
		var marked bool
		if last, marked = strings.CutPrefix(p.Token, topicMark); !marked || !event.ValidTenantName(last) {
			return list, store.ErrPage
		}
	}
	for _, t := range e.tenants.byNames() {
		if t.tenant.Name <= last {
			continue
		}
		if len(list.Data) == p.Limit {
			list.Next = topicMark + list.Data[p.Limit-1].Name
			break
		}
		copied := *t.tenant
		list.Data = append(list.Data, &copied)
	}
	return list, nil
}

// TenantUsage implements [store.Tenants].
func (e *Engine) TenantUsage(_ context.Context, id event.TenantID) (store.TenantUsage, error) {
	t := e.tenants.get(id)
	if t == nil {
		return store.TenantUsage{}, nil
	}
	return store.TenantUsage{StoredBytes: t.used.Load(), Webhooks: e.hooks.count(id)}, nil
}

// WatchTenants implements [store.Tenants].
func (e *Engine) WatchTenants(changed func([]*event.Tenant)) (stop func(), err error) {
	return e.tenants.watch(changed), nil
}
