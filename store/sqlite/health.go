package sqlite

import (
	"context"

	"github.com/ncruces/go-sqlite3"

	"github.com/carillon/carillon/store"
)

// saveHealth replaces what is stored of a webhook's health. A healthy one has no row.
func (b *batch) saveHealth(k *hook, h store.Health) error {
	h.Webhook = k.webhook.ID
	if h == (store.Health{Webhook: h.Webhook}) {
		return b.c.run(`DELETE FROM webhook_health WHERE webhook = ?`, k.num)
	}
	return b.c.run(`INSERT OR REPLACE INTO webhook_health (webhook, failures, failing_since, down, gate) VALUES (?, ?, ?, ?, ?)`,
		k.num, h.Failures, fromTime(h.FailingSince), h.Down, fromTime(h.Gate))
}

// Healths implements [store.Deliveries].
func (e *Engine) Healths(ctx context.Context) (healths []store.Health, err error) {
	err = e.read(ctx, func(c *conn) error {
		return c.each(`SELECT w.id, h.failures, h.failing_since, h.down, h.gate
			FROM webhook_health h CROSS JOIN webhook w ON w.num = h.webhook
			WHERE w.tenant IN `+standingTenants+` ORDER BY h.webhook`, nil,
			func(s *sqlite3.Stmt) (bool, error) {
				healths = append(healths, store.Health{
					Webhook:      columnID(s, 0),
					Failures:     s.ColumnInt(1),
					FailingSince: columnTime(s, 2),
					Down:         s.ColumnInt64(3) != 0,
					Gate:         columnTime(s, 4),
				})
				return true, nil
			})
	})
	return healths, reading("the webhooks' health", err)
}
