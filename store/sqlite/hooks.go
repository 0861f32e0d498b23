package sqlite

import (
	"fmt"
	"slices"
	"sync"

	"github.com/ncruces/go-sqlite3"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// hook is a webhook as the engine keeps it in memory. It is never changed, only replaced.
type hook struct {
	num        int64
	webhook    *event.Webhook
	deleted    bool
	line       int64 // how many lines were drawn
	canceledAt int64 // when the last one was, in milliseconds
}

// owed reports whether a delivery without a row is owed to this webhook.
func (h *hook) owed(c event.Cursor) bool {
	return !h.deleted && h.webhook.Enabled && c > h.webhook.CanceledThrough
}

// hooks is every webhook, in memory. The writer changes it after each commit.
type hooks struct {
	mu       sync.RWMutex
	byID     map[event.ID]*hook       // tombstones too
	ordered  []*hook                  // without tombstones, oldest first; replaced, never changed
	counts   map[event.TenantID]int64 // how many of ordered each tenant has
	watchers watchers[store.WebhookChange]

	// unswept holds the webhooks that may have rows behind their line. Of the writer alone.
	unswept map[event.ID]struct{}
}

// load reads every webhook. It returns those whose rows do not hold them the way that the vault writes them.
func (h *hooks) load(c *conn, v *vault) (stale []*hook, err error) {
	h.byID = make(map[event.ID]*hook)
	h.unswept = make(map[event.ID]struct{})
	h.counts = make(map[event.TenantID]int64)
	err = c.each(`SELECT num, id, tenant, version, enabled, disabled_reason, deleted, line, canceled_through,
		canceled_reason, canceled_at, created, updated, secret, config, sealed FROM webhook
		WHERE tenant IN `+standingTenants+` ORDER BY num`, nil,
		func(s *sqlite3.Stmt) (bool, error) {
			k := &hook{
				num: s.ColumnInt64(0),
				webhook: &event.Webhook{
					ID:              columnID(s, 1),
					Tenant:          event.TenantID(s.ColumnInt64(2)),
					Version:         s.ColumnInt64(3),
					Enabled:         s.ColumnInt64(4) != 0,
					DisabledReason:  event.DisabledReason(s.ColumnText(5)),
					CanceledThrough: columnCursor(s, 8),
					CanceledReason:  event.Reason(s.ColumnText(9)),
					CreatedAt:       columnTime(s, 11),
					UpdatedAt:       columnTime(s, 12),
				},
				deleted:    s.ColumnInt64(6) != 0,
				line:       s.ColumnInt64(7),
				canceledAt: s.ColumnInt64(10),
			}
			stored := storedHook{secret: s.ColumnText(13), config: s.ColumnRawBlob(14)}
			if s.ColumnType(15) != sqlite3.NULL {
				stored.sealed = append([]byte{}, s.ColumnRawBlob(15)...) // empty is not NULL
			}
			if err := v.decode(stored, k.webhook); err != nil {
				return false, fmt.Errorf("reading webhook %s: %w", k.webhook.ID, err)
			}
			if v.stale(stored) {
				stale = append(stale, k)
			}
			h.byID[k.webhook.ID] = k
			if !k.deleted {
				h.ordered = append(h.ordered, k)
				h.counts[k.webhook.Tenant]++
			}
			if k.line > 0 {
				h.unswept[k.webhook.ID] = struct{}{}
			}
			return true, nil
		})
	return stale, err
}

// get returns a webhook or its tombstone; nil if there is none.
func (h *hooks) get(id event.ID) *hook {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.byID[id]
}

// all returns the webhooks, oldest first, without tombstones. The slice is shared.
func (h *hooks) all() []*hook {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.ordered
}

// publish makes a commit's changes visible and tells the watchers.
func (h *hooks) publish(changed, forgotten []*hook) {
	if len(changed) == 0 && len(forgotten) == 0 {
		return
	}
	h.watchers.mu.Lock()
	defer h.watchers.mu.Unlock()

	h.mu.Lock()
	ordered := slices.Clone(h.ordered)
	changes := make([]store.WebhookChange, 0, len(changed))
	for _, k := range changed {
		h.byID[k.webhook.ID] = k
		at, found := slices.BinarySearchFunc(ordered, k.num, func(o *hook, num int64) int { return int(o.num - num) })
		switch {
		case k.deleted && found:
			ordered = slices.Delete(ordered, at, at+1)
			h.counts[k.webhook.Tenant]--
		case k.deleted:
		case found:
			ordered[at] = k
		default:
			ordered = slices.Insert(ordered, at, k)
			h.counts[k.webhook.Tenant]++
		}
		if k.line > 0 {
			h.unswept[k.webhook.ID] = struct{}{}
		}
		changes = append(changes, store.WebhookChange{Webhook: k.webhook, Deleted: k.deleted})
	}
	for _, k := range forgotten {
		delete(h.byID, k.webhook.ID)
		delete(h.unswept, k.webhook.ID)
	}
	h.ordered = ordered
	h.mu.Unlock()
	h.watchers.tell(changes)
}

// count tells how many webhooks a tenant has.
func (h *hooks) count(tenant event.TenantID) int64 {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.counts[tenant]
}

// expel forgets all of a tenant that is deleted, tombstones too, and tells the watchers of its webhooks as deleted, with
// everything up to the head canceled. From then on nothing is recorded of its deliveries, which are nobody's.
func (h *hooks) expel(tenant event.TenantID, head event.Cursor) {
	h.watchers.mu.Lock()
	defer h.watchers.mu.Unlock()

	h.mu.Lock()
	var changes []store.WebhookChange
	ordered := make([]*hook, 0, len(h.ordered))
	for _, k := range h.ordered {
		if k.webhook.Tenant != tenant {
			ordered = append(ordered, k)
			continue
		}
		gone := cloneWebhook(k.webhook)
		forgetSecrets(gone)
		gone.CanceledThrough, gone.CanceledReason = head, event.ReasonDeleted
		changes = append(changes, store.WebhookChange{Webhook: gone, Deleted: true})
	}
	h.ordered = ordered
	delete(h.counts, tenant)
	for id, k := range h.byID {
		if k.webhook.Tenant == tenant {
			delete(h.byID, id)
			delete(h.unswept, id)
		}
	}
	h.mu.Unlock()
	h.watchers.tell(changes)
}

// watch implements [store.Webhooks.WatchWebhooks].
func (h *hooks) watch(changed func([]store.WebhookChange)) (stop func()) {
	return h.watchers.watch(changed, func() []store.WebhookChange {
		ordered := h.all()
		all := make([]store.WebhookChange, len(ordered))
		for i, k := range ordered {
			all[i] = store.WebhookChange{Webhook: k.webhook}
		}
		return all
	})
}

// hook returns a webhook as of this batch; nil if there is none.
func (b *batch) hook(id event.ID) *hook {
	if k := b.hooks[id]; k != nil {
		return k
	}
	return b.e.hooks.get(id)
}

// saveHook writes a webhook's row and makes it the batch's.
func (b *batch) saveHook(k *hook) error {
	w := k.webhook
	stored, err := b.e.vault.encode(w)
	if err != nil {
		return err
	}
	var num any // NULL: the next one
	if k.num != 0 {
		num = k.num
	}
	err = b.c.erasing(func() error {
		return b.c.run(`INSERT OR REPLACE INTO webhook (num, id, tenant, version, enabled, disabled_reason, deleted, line,
			canceled_through, canceled_reason, canceled_at, created, updated, secret, config, sealed)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			num, w.ID, w.Tenant, w.Version, w.Enabled, string(w.DisabledReason), k.deleted, k.line,
			w.CanceledThrough, string(w.CanceledReason), k.canceledAt, fromTime(w.CreatedAt), fromTime(w.UpdatedAt),
			stored.secret, string(stored.config), stored.sealed)
	})
	if err != nil {
		return err
	}
	if k.num == 0 {
		k.num = b.c.LastInsertRowID()
	}
	if stored.sealed == nil {
		if err := b.c.run(`UPDATE meta SET plain = 1 WHERE plain = 0`); err != nil {
			return err
		}
	}
	if b.hooks == nil {
		b.hooks = make(map[event.ID]*hook)
	}
	b.hooks[w.ID] = k
	b.changed = append(b.changed, k)
	return nil
}

// drawLine cancels what is pending at the webhook, in one write. k is not yet saved.
func (b *batch) drawLine(k *hook, reason event.Reason) {
	k.line++
	k.canceledAt = b.now
	k.webhook.CanceledThrough = b.head()
	k.webhook.CanceledReason = reason
}

// disable saves the webhook as disabled, and reports whether it was not yet.
func (b *batch) disable(k *hook, reason event.DisabledReason) (done bool, err error) {
	if k.deleted || !k.webhook.Enabled {
		return false, nil
	}
	changed := *k
	changed.webhook = cloneWebhook(k.webhook)
	changed.webhook.Enabled = false
	changed.webhook.DisabledReason = reason
	b.touch(&changed)
	b.drawLine(&changed, event.ReasonDisabled)
	return true, b.audited(event.AuditEntry{
		Tenant: changed.webhook.Tenant, Action: event.AuditWebhookDisabled, Subject: changed.webhook.ID.String(),
		Changes: event.WebhookChanges(k.webhook, changed.webhook),
	}, func() error { return b.saveHook(&changed) })
}

// touch counts a change of the webhook.
func (b *batch) touch(k *hook) {
	k.webhook.Version++
	k.webhook.UpdatedAt = toTime(b.now)
}
