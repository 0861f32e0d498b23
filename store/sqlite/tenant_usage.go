package sqlite

import (
	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// rowOverhead is about what an event's row and its entries in the indexes take beside what storedSize counts one by one.
// Migration 0004 begins with the same number.
const rowOverhead = 160

// storedSize is what an event counts for: against its tenant's quota, and in how much one step of retention removes.
func storedSize(payload, attributes, matches int64) int64 {
	return payload + attributes + matches + rowOverhead
}

func (r *draftRow) stored() int64 {
	return storedSize(int64(len(r.event.Payload)), int64(len(r.attributes)), int64(len(r.matches)))
}

// use counts bytes that a tenant stores from this batch on, or no longer, if they are fewer than none. It is the same
// transaction that stores or removes them, so that nobody ever has to count anew; and one write for each tenant and batch.
func (b *batch) use(tenant event.TenantID, bytes int64) {
	if b.usage == nil {
		b.usage = make(map[event.TenantID]int64)
	}
	b.usage[tenant] += bytes
}

// flushUsage writes what the batch has counted.
func (b *batch) flushUsage() error {
	for tenant, bytes := range b.usage {
		if err := b.c.run(`UPDATE tenant SET used = used + ? WHERE num = ?`, bytes, tenant); err != nil {
			return err
		}
	}
	return nil
}

// publishUsage shows readers what was counted, once it is committed.
func (b *batch) publishUsage() {
	for tenant, bytes := range b.usage {
		if t := b.e.tenants.get(tenant); t != nil {
			t.used.Add(bytes)
		}
	}
}

// admit refuses drafts of a tenant that is not there, or that would store more than it may. It comes before anything is
// written, and passes over those that answer with the receipt of another, and what the gateway itself has to say.
func (b *batch) admit(rows []draftRow) error {
	var t *storedTenant
	var need map[event.TenantID]int64
	for i := range rows {
		r := &rows[i]
		if t == nil || t.tenant.ID != r.event.Tenant {
			if t = b.e.tenants.get(r.event.Tenant); t == nil {
				return store.ErrNotFound
			}
		}
		most := t.tenant.Quotas.StoredBytes
		if most == 0 || r.replay != nil || r.event.Topic.Reserved() {
			continue
		}
		if need == nil {
			need = make(map[event.TenantID]int64)
		}
		need[t.tenant.ID] += r.stored()
		if used := t.used.Load() + b.usage[t.tenant.ID]; used+need[t.tenant.ID] > most {
			return &store.QuotaError{Quota: "stored_bytes", Limit: most, Used: used}
		}
	}
	return nil
}

// admitWebhook refuses a webhook of a tenant that is not there, or that has as many as it may.
func (b *batch) admitWebhook(tenant event.TenantID) error {
	t := b.e.tenants.get(tenant)
	if t == nil {
		return store.ErrNotFound
	}
	most := t.tenant.Quotas.Webhooks
	if most == 0 {
		return nil
	}
	has := b.e.hooks.count(tenant)
	for id, now := range b.hooks {
		if now.webhook.Tenant != tenant {
			continue
		}
		before := b.e.hooks.get(id)
		switch was := before != nil && !before.deleted; {
		case was && now.deleted:
			has--
		case !was && !now.deleted:
			has++
		}
	}
	if has >= most {
		return &store.QuotaError{Quota: "webhooks", Limit: most, Used: has}
	}
	return nil
}
