package sqlite

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// CreateKey implements [store.Keys].
func (e *Engine) CreateKey(ctx context.Context, k *event.Key) error {
	var made *event.Key
	origin := store.OriginOf(ctx)
	err := e.write(ctx, &operation{apply: func(b *batch) error {
		if b.accessKey(k.ID) != nil || b.keyHashed(k.Hash) {
			return fmt.Errorf("key %s, or its hash, exists: %w", k.ID, store.ErrConflict)
		}
		if e.tenants.get(k.Tenant) == nil {
			return store.ErrNotFound
		}
		made = cloneKey(k)
		made.CreatedAt = toTime(b.now)
		made.ExpiresAt = toTime(fromTime(k.ExpiresAt))
		made.LastUsedAt, made.RevokedAt = time.Time{}, time.Time{}
		scopes, err := json.Marshal(made.Scopes)
		if err != nil {
			return err
		}
		topics, err := json.Marshal(append([]event.Pattern{}, made.Patterns...)) // nil would be null
		if err != nil {
			return err
		}
		return b.audited(event.AuditEntry{
			Tenant: made.Tenant, Origin: origin, Action: event.AuditKeyCreated, Subject: made.ID.String(),
			Changes: event.KeyChanges(nil, made),
		}, func() error {
			err := b.c.run(`INSERT INTO access_key (id, tenant, name, hash, scopes, topics, created, expires, used, revoked)
				VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, 0)`,
				made.ID, made.Tenant, made.Name, made.Hash[:], string(scopes), string(topics), b.now, fromTime(made.ExpiresAt))
			if err != nil {
				return err
			}
			b.keepKey(&storedKey{num: b.c.LastInsertRowID(), key: made}, true)
			return nil
		})
	}})
	if err == nil {
		*k = *cloneKey(made)
	}
	return err
}

// keyHashed reports whether a key has this hash, as of this batch.
func (b *batch) keyHashed(hash event.KeyHash) bool {
	for _, k := range b.keysHere {
		if k.key.Hash == hash {
			return true
		}
	}
	return b.e.accessKeys.hashed(hash)
}

// Key implements [store.Keys].
func (e *Engine) Key(_ context.Context, tenant event.TenantID, id event.ID) (*event.Key, error) {
	k := e.accessKeys.get(id)
	if k == nil || k.key.Tenant != tenant {
		return nil, store.ErrNotFound
	}
	return cloneKey(k.key), nil
}

// ListKeys implements [store.Keys]. The page token is the number of the last key of the page before.
func (e *Engine) ListKeys(_ context.Context, tenant event.TenantID, p store.Page) (store.List[*event.Key], error) {
	var list store.List[*event.Key]
	below := int64(-1)
	if p.Token != "" {
		var err error
		if below, err = strconv.ParseInt(p.Token, 10, 64); err != nil || below < 1 || strconv.FormatInt(below, 10) != p.Token {
			return list, store.ErrPage
		}
	}
	all := e.accessKeys.all()
	for i := len(all) - 1; i >= 0; i-- {
		k := all[i]
		if k.key.Tenant != tenant || (below >= 0 && k.num >= below) {
			continue
		}
		if len(list.Data) == p.Limit {
			list.Next = strconv.FormatInt(below, 10)
			break
		}
		list.Data = append(list.Data, cloneKey(k.key))
		below = k.num
	}
	return list, nil
}

// RevokeKey implements [store.Keys].
func (e *Engine) RevokeKey(ctx context.Context, tenant event.TenantID, id event.ID) error {
	origin := store.OriginOf(ctx)
	return e.write(ctx, &operation{apply: func(b *batch) error {
		old := b.accessKey(id)
		if old == nil || old.key.Tenant != tenant {
			return store.ErrNotFound
		}
		if old.key.Revoked() {
			return nil
		}
		revoked := *old.key
		revoked.RevokedAt = toTime(b.now)
		return b.audited(event.AuditEntry{
			Tenant: tenant, Origin: origin, Action: event.AuditKeyRevoked, Subject: id.String(),
			Changes: event.KeyChanges(old.key, &revoked),
		}, func() error {
			if err := b.c.run(`UPDATE access_key SET revoked = ? WHERE num = ?`, b.now, old.num); err != nil {
				return err
			}
			b.keepKey(&storedKey{num: old.num, key: &revoked}, true)
			return nil
		})
	}})
}

// TouchKeys implements [store.Keys].
func (e *Engine) TouchKeys(ctx context.Context, used map[event.ID]time.Time) error {
	return e.write(ctx, &operation{apply: func(b *batch) error {
		for id, at := range used {
			old := b.accessKey(id)
			if old == nil || fromTime(at) <= fromTime(old.key.LastUsedAt) {
				continue
			}
			if err := b.c.run(`UPDATE access_key SET used = ? WHERE num = ?`, fromTime(at), old.num); err != nil {
				return err
			}
			touched := *old.key
			touched.LastUsedAt = toTime(fromTime(at))
			b.keepKey(&storedKey{num: old.num, key: &touched}, false)
		}
		return nil
	}})
}

// WatchKeys implements [store.Keys].
func (e *Engine) WatchKeys(changed func([]*event.Key)) (stop func(), err error) {
	return e.accessKeys.watch(changed), nil
}
