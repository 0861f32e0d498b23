package dispatch

import (
	"context"
	"log/slog"
	"time"

	"github.com/carillon/carillon/event"
)

// retainEvery is how often retention looks whether there is something to remove. It bounds by how much the log outgrows
// its bytes: ten seconds of the fastest ingest are some hundred MiB.
const retainEvery = 10 * time.Second

// retain keeps the log within its retention until ctx ends. It belongs to deliveries because retention ends those that
// are still owed, and says so.
func (d *Dispatcher) retain(ctx context.Context) error {
	tick := time.NewTicker(retainEvery)
	defer tick.Stop()
	for {
		d.retainOnce(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (d *Dispatcher) retainOnce(ctx context.Context) {
	events, expired, logged, purged, audit := 0, 0, 0, 0, 0
	for ctx.Err() == nil {
		step, err := d.store.Trim(ctx, d.retention)
		if err != nil {
			if ctx.Err() == nil {
				d.log.Error("retention cannot remove old events", "error", err)
			}
			break
		}
		events += step.Events
		expired += step.Expired
		d.released(step.Released)
		logged += step.Logged
		purged += step.Purged
		audit += step.Audit
		d.metrics.logged.Add(float64(step.Logged))
		d.metrics.trimmed.Add(float64(step.Events))
		d.metrics.expired.Add(float64(step.Expired))
		if !step.More {
			break
		}
	}
	if audit > 0 {
		d.log.Info("retention removed entries of the audit log", "entries", audit)
	}
	level := slog.LevelDebug
	if expired > 0 {
		level = slog.LevelWarn
	}
	if events > 0 || logged > 0 {
		d.log.Log(ctx, level, "retention removed events", "events", events, "deliveries_expired", expired, "deliveries_ended", logged)
	}
	if purged > 0 {
		d.log.Info("what deleted tenants have left was removed", "events", purged)
	}
}

// released tells the scheduler of webhooks of which retention removed what others waited for.
func (d *Dispatcher) released(webhooks []event.ID) {
	if len(webhooks) == 0 {
		return
	}
	d.mu.Lock()
	d.freed = append(d.freed, webhooks...)
	d.mu.Unlock()
	d.nudge()
}
