package sqlite

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/ncruces/go-sqlite3"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// Bounds of one step of retention: a step is one transaction, and posters wait for it.
const (
	trimEvents  = 500
	trimMatches = 2000
	trimBytes   = 8 << 20
	trimKeys    = 1000
	sweepRows   = 500

	// keptFreePages stay in the file for what comes next; what is free beyond them goes back to the file system, so
	// many pages a step.
	keptFreePages  = 1024
	vacuumedAtOnce = 512
)

// Trim implements [store.Log].
func (e *Engine) Trim(ctx context.Context, r store.Retention) (store.Trimmed, error) {
	var trimmed store.Trimmed // the writer's until it has answered, which may be after this call has returned
	err := e.write(ctx, &operation{alone: true, apply: func(b *batch) error {
		trimmed = store.Trimmed{}
		return b.trim(r, &trimmed)
	}})
	if err != nil {
		return store.Trimmed{}, err
	}
	return trimmed, nil
}

// trim does one step of everything that there is to do.
func (b *batch) trim(r store.Retention, done *store.Trimmed) error {
	if err := b.trimEvents(r, done); err != nil {
		return err
	}
	if err := b.trimKeys(r, done); err != nil {
		return err
	}
	if err := b.sweep(done); err != nil {
		return err
	}
	if err := b.purge(done); err != nil {
		return err
	}
	if err := b.trimDeliveries(r, done); err != nil {
		return err
	}
	if err := b.forgetJobs(done); err != nil {
		return err
	}
	if err := b.trimAudit(r, done); err != nil {
		return err
	}
	if err := b.forgetTombstones(); err != nil {
		return err
	}
	return b.vacuum(done)
}

// usedBytes is the size of what is stored, without the free pages of the file.
func usedBytes(c *conn) (int64, error) {
	pages, err := c.number(`PRAGMA page_count`)
	if err != nil {
		return 0, err
	}
	free, err := c.number(`PRAGMA freelist_count`)
	if err != nil {
		return 0, err
	}
	size, err := c.number(`PRAGMA page_size`)
	return (pages - free) * size, err
}

// trimEvents removes the oldest events that retention does not keep.
func (b *batch) trimEvents(r store.Retention, done *store.Trimmed) error {
	used, err := usedBytes(b.c)
	if err != nil {
		return err
	}
	b.e.used.Store(used)
	// Events newer than this go only for want of space, and only as many as that takes.
	oldest := int64(math.MinInt64)
	if r.Age > 0 {
		oldest = b.now - r.Age.Milliseconds()
	}
	excess := int64(0)
	if r.Bytes > 0 {
		excess = max(0, used-r.Bytes)
	}

	removed := make(map[int64]int64)        // by topic
	freed := make(map[event.TenantID]int64) // bytes
	gone := expiry{b: b, announce: r.Announce != nil}
	through := event.Cursor(0)
	matches, bytes := 0, int64(0)
	err = b.c.each(`SELECT cursor, tenant, topic, time, size, matches, id, ifnull(octet_length(attributes), 0) FROM event
		ORDER BY cursor LIMIT ?`,
		[]any{trimEvents + 1}, func(s *sqlite3.Stmt) (bool, error) {
			if s.ColumnInt64(3) >= oldest && bytes >= excess {
				return false, nil
			}
			if done.Events == trimEvents || done.Events > 0 && (matches >= trimMatches || bytes >= trimBytes) {
				done.More = true
				return false, nil
			}
			through = columnCursor(s, 0)
			topic := s.ColumnInt64(2)
			blob := s.ColumnRawBlob(5)
			matches += len(blob) / matchBytes
			size := storedSize(s.ColumnInt64(4), s.ColumnInt64(7), int64(len(blob)))
			bytes += size
			freed[event.TenantID(s.ColumnInt64(1))] += size
			removed[topic]++
			done.Events++
			if err := gone.event(through, columnID(s, 6), topic); err != nil {
				return false, err
			}
			return true, gone.unrecorded(through, decodeMatches(blob))
		})
	if err != nil || done.Events == 0 {
		return err
	}
	if err := gone.rows(through); err != nil {
		return err
	}
	done.Expired = gone.count
	// What can fail by itself comes before the first write.
	var announced []draftRow
	if expired := gone.byWebhook(); r.Announce != nil && len(expired) > 0 {
		if announced, err = encodeEvents(r.Announce(expired)); err != nil {
			return fmt.Errorf("%w: %w", store.ErrNotStored, err)
		}
	}
	if err := b.uncountLog(through); err != nil {
		return err
	}
	for _, sql := range [...]string{
		`DELETE FROM attempt WHERE cursor <= ?`,
		`DELETE FROM delivery WHERE cursor <= ?`,
		`DELETE FROM event WHERE cursor <= ?`,
	} {
		if err := b.c.run(sql, through); err != nil {
			return err
		}
	}
	for h, id := range gone.heads {
		if err := b.release(h.webhook, h.line, h.key); err != nil {
			return err
		}
		if !slices.Contains(done.Released, id) {
			done.Released = append(done.Released, id)
		}
	}
	for i := range announced {
		if err := b.announce(&announced[i]); err != nil {
			return err
		}
	}
	for tenant, bytes := range freed {
		b.use(tenant, -bytes)
	}
	b.trimmed = through
	if err := b.uncount(removed); err != nil || r.Bytes == 0 || done.More {
		return err
	}
	// The sizes above are estimates.
	if used, err = usedBytes(b.c); err != nil || used <= r.Bytes {
		return err
	}
	left, err := b.c.number(`SELECT count(*) FROM (SELECT 1 FROM event LIMIT 1)`)
	done.More = left > 0
	return err
}

// uncount takes removed events off their topics' rows, and removes the rows that are left with none.
func (b *batch) uncount(removed map[int64]int64) error {
	for num, n := range removed {
		if err := b.c.run(`UPDATE topic SET events = events - ? WHERE num = ?`, n, num); err != nil {
			return err
		}
		if b.counts[num] != nil {
			continue // what this batch appends is added to the row at its end
		}
		var key topicKey
		gone, err := b.c.first(`SELECT tenant, name FROM topic WHERE num = ? AND events <= 0`, []any{num},
			func(s *sqlite3.Stmt) { key = topicKey{event.TenantID(s.ColumnInt64(0)), event.Topic(s.ColumnText(1))} })
		if err != nil {
			return err
		}
		if gone {
			if err := b.c.run(`DELETE FROM topic WHERE num = ?`, num); err != nil {
				return err
			}
			b.deadTopics = append(b.deadTopics, key)
		}
	}
	return nil
}

// trimKeys forgets idempotency keys past the window.
func (b *batch) trimKeys(r store.Retention, done *store.Trimmed) error {
	window := r.Keys
	if window <= 0 {
		window = b.e.options.IdempotencyWindow
	}
	had := b.keys
	if err := b.forgetKeys(b.now-window.Milliseconds(), trimKeys); err != nil {
		return err
	}
	if had-b.keys == trimKeys {
		done.More = true
	}
	return nil
}

const sweepSQL = `UPDATE delivery SET state = ?1, reason = ?2, due = 0, ended = ?3, line = ?4, parked = 0
	WHERE (cursor, webhook) IN
		(SELECT cursor, webhook FROM delivery WHERE webhook = ?5 AND line < ?4 AND state = 0 LIMIT ?6)`

// sweep rewrites pending rows behind a line as what they are, canceled.
func (b *batch) sweep(done *store.Trimmed) error {
	for id := range b.e.hooks.unswept {
		k := b.hook(id)
		err := b.c.run(sweepSQL, int(event.Canceled), string(k.webhook.CanceledReason), k.canceledAt, k.line, k.num, sweepRows-done.Swept)
		if err != nil {
			return err
		}
		done.Swept += int(b.c.Changes())
		if done.Swept == sweepRows {
			done.More = true
			return nil
		}
		b.swept = append(b.swept, id)
	}
	return nil
}

// forgetTombstones removes deleted webhooks of which the log holds no event any more.
func (b *batch) forgetTombstones() error {
	if b.trimmed == b.e.state.trimmed {
		return nil
	}
	var gone []event.ID
	err := b.c.each(`SELECT id FROM webhook WHERE deleted = 1 AND canceled_through <= ? AND tenant IN `+standingTenants+` LIMIT 100`,
		[]any{b.trimmed}, func(s *sqlite3.Stmt) (bool, error) {
			gone = append(gone, columnID(s, 0))
			return true, nil
		})
	if err != nil {
		return err
	}
	for _, id := range gone {
		k := b.hook(id)
		// Only a request under way at the deletion can have left rows above the line.
		rows, err := b.c.number(`SELECT count(*) FROM (SELECT 1 FROM delivery WHERE webhook = ? LIMIT 1)`, k.num)
		if err != nil {
			return err
		}
		if rows > 0 {
			continue
		}
		if err := b.c.run(`DELETE FROM webhook WHERE num = ?`, k.num); err != nil {
			return err
		}
		b.forgotten = append(b.forgotten, k)
	}
	return nil
}

// vacuum gives free pages back to the file system.
func (b *batch) vacuum(done *store.Trimmed) error {
	free, err := b.c.number(`PRAGMA freelist_count`)
	if err != nil || free <= keptFreePages {
		return err
	}
	pages := min(free-keptFreePages, vacuumedAtOnce)
	if free-pages > keptFreePages {
		done.More = true
	}
	return b.c.Conn.Exec(fmt.Sprintf(`PRAGMA incremental_vacuum(%d)`, pages))
}
