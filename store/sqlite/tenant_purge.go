package sqlite

import (
	"slices"

	"github.com/ncruces/go-sqlite3"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// purgeRows bounds how many rows, of whatever a deleted tenant has left beside its log, go in one step.
const purgeRows = 500

// purges remove what a deleted tenant (?1) has left beside its events and their deliveries, so many rows (?2) at once. They
// are carried out in this order, each until nothing is left for it.
var purges = []string{
	`DELETE FROM idempotency WHERE (tenant, hash) IN (SELECT tenant, hash FROM idempotency WHERE tenant = ?1 LIMIT ?2)`,
	`DELETE FROM job WHERE num IN (SELECT num FROM job WHERE tenant = ?1 LIMIT ?2)`,
	`DELETE FROM webhook_health WHERE webhook IN (SELECT h.webhook FROM webhook w CROSS JOIN webhook_health h ON h.webhook = w.num
		WHERE w.tenant = ?1 LIMIT ?2)`,
	`DELETE FROM webhook WHERE num IN (SELECT num FROM webhook WHERE tenant = ?1 LIMIT ?2)`,
	`DELETE FROM access_key WHERE num IN (SELECT num FROM access_key WHERE tenant = ?1 LIMIT ?2)`,
}

// purge removes a little of what deleted tenants have left. Whatever a step leaves the next one finds, also after a restart:
// the tenant's own row goes last.
func (b *batch) purge(done *store.Trimmed) error {
	if done.More || len(b.e.tenants.leaving) == 0 {
		return nil // the step is long enough, and there will be another
	}
	id := b.e.tenants.leaving[0]
	some, all, err := b.purgeEvents(id, done)
	if err != nil || !some && !all {
		return err
	}
	done.More = true
	if some {
		return nil
	}
	for i, sql := range purges {
		n := 0
		err := b.c.erasing(func() error { // secrets of webhooks are in there
			err := b.c.run(sql, id, purgeRows)
			n = int(b.c.Changes())
			return err
		})
		if err != nil {
			return err
		}
		if i == 0 {
			b.keys -= n
		}
		if n > 0 {
			return nil
		}
	}
	if err := b.c.run(`DELETE FROM tenant WHERE num = ?`, id); err != nil {
		return err
	}
	b.purged = append(b.purged, id)
	return nil
}

const (
	purgeEventsSQL = `SELECT e.cursor, t.num, e.size, ifnull(octet_length(e.attributes), 0), length(e.matches)
		FROM topic t CROSS JOIN event e ON e.topic = t.num WHERE t.tenant = ? AND e.cursor <= ? LIMIT ?`
	purgeLeftSQL     = `SELECT 1 FROM topic WHERE tenant = ? LIMIT 1` // a topic stands there while it has events
	purgeSizeSQL     = `SELECT count(*), ifnull(sum(length(first_answer)), 0) FROM delivery WHERE cursor = ?`
	purgeAttemptsSQL = `SELECT count(*), ifnull(sum(length(answer)), 0) FROM attempt WHERE cursor = ?`
)

// purgeEvents removes some of the tenant's events, with all that stands on record of their deliveries; all says that the
// tenant has none left. What is above the floor stays, if nothing else does: whoever makes deliveries has yet to read it
// from the log, and finds out by the last of it that there is no more to come from before a restart.
func (b *batch) purgeEvents(tenant event.TenantID, done *store.Trimmed) (some, all bool, err error) {
	// They are read before any is removed: a walk along an index must not see its own deletions.
	var cursors []event.Cursor
	removed := make(map[int64]int64) // by topic
	matches, bytes := int64(0), int64(0)
	err = b.c.each(purgeEventsSQL, []any{tenant, b.floor, trimEvents}, func(s *sqlite3.Stmt) (bool, error) {
		cursors = append(cursors, columnCursor(s, 0))
		removed[s.ColumnInt64(1)]++
		matches += s.ColumnInt64(4) / matchBytes
		bytes += storedSize(s.ColumnInt64(2), s.ColumnInt64(3), s.ColumnInt64(4))
		return matches < trimMatches && bytes < trimBytes, nil
	})
	if err != nil {
		return false, false, err
	}
	if len(cursors) == 0 {
		left, err := b.c.number(purgeLeftSQL, tenant)
		return false, left == 0, err
	}
	for _, cursor := range cursors {
		_, err := b.c.first(purgeSizeSQL, []any{cursor}, func(s *sqlite3.Stmt) {
			b.logBytes -= s.ColumnInt64(0)*deliveryBytes + s.ColumnInt64(1)
		})
		if err != nil {
			return false, false, err
		}
		_, err = b.c.first(purgeAttemptsSQL, []any{cursor}, func(s *sqlite3.Stmt) {
			b.logBytes -= s.ColumnInt64(0)*attemptBytes + s.ColumnInt64(1)
		})
		if err != nil {
			return false, false, err
		}
		for _, sql := range [...]string{
			`DELETE FROM attempt WHERE cursor = ?`,
			`DELETE FROM delivery WHERE cursor = ?`,
			`DELETE FROM event WHERE cursor = ?`,
		} {
			if err := b.c.run(sql, cursor); err != nil {
				return false, false, err
			}
		}
	}
	done.Purged += len(cursors)
	b.use(tenant, -bytes)
	return true, false, b.uncount(removed)
}

// publishPurged forgets the tenants of which nothing is left.
func (b *batch) publishPurged() {
	t := &b.e.tenants
	t.leaving = slices.DeleteFunc(t.leaving, func(id event.TenantID) bool { return slices.Contains(b.purged, id) })
}

// publishTenants makes changes of tenants visible: of one that is deleted, everything goes first, so that who hears of its
// end can find nothing of it any more.
func (b *batch) publishTenants() {
	for _, t := range b.tenantsHere {
		if t.Deleted() {
			b.e.hooks.expel(t.ID, b.head())
			b.e.accessKeys.expel(t.ID)
		}
	}
	b.e.tenants.publish(b.tenantsHere)
	b.publishPurged()
}
