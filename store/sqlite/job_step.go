package sqlite

import (
	"context"
	"slices"

	"github.com/ncruces/go-sqlite3"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// replayRows is how many rows a replay examines in one transaction, or under one snapshot.
const replayRows = 2000

// replayWalk goes along a webhook's rows. What a replay must know of an event is read with its own row only where there
// are patterns.
const replayWalk = `SELECT d.cursor, iif(d.state = 0 AND d.line < w.line, 3, d.state)` + deliveryTables + `
	WHERE d.webhook = ? AND d.cursor > ? AND d.cursor <= ? ORDER BY d.cursor LIMIT ?`

// replayer tells which of a webhook's deliveries a replay wants.
type replayer struct {
	c      *conn
	num    int64 // of the webhook
	filter store.ReplayFilter
	topics map[int64]bool // whether the patterns match, by the topic's number
}

// walk calls wanted for the deliveries that the replay makes pending, in log order, until that returns false. It
// examines at most replayRows rows, and returns the cursor up to which it has.
func (r *replayer) walk(after, through event.Cursor, wanted func(event.Cursor) (more bool)) (at event.Cursor, err error) {
	at = through
	examined := 0
	err = r.c.each(replayWalk, []any{r.num, after, through, replayRows}, func(s *sqlite3.Stmt) (bool, error) {
		cursor, state := columnCursor(s, 0), event.State(s.ColumnInt(1))
		examined++
		more := true
		if state != event.Pending && slices.Contains(r.filter.States, state) {
			match, err := r.matches(cursor)
			if err != nil {
				return false, err
			}
			if match {
				more = wanted(cursor)
			}
		}
		if examined == replayRows || !more {
			at = cursor
			return false, nil
		}
		return true, nil
	})
	return at, err
}

// matches reports whether the event's topic is wanted.
func (r *replayer) matches(cursor event.Cursor) (bool, error) {
	if len(r.filter.Patterns) == 0 {
		return true, nil
	}
	topic, err := r.c.number(`SELECT topic FROM event WHERE cursor = ?`, cursor)
	if err != nil {
		return false, err
	}
	match, known := r.topics[topic]
	if known {
		return match, nil
	}
	_, err = r.c.first(`SELECT name FROM topic WHERE num = ?`, []any{topic}, func(s *sqlite3.Stmt) {
		match = event.MatchAny(r.filter.Patterns, event.Topic(s.ColumnText(0)))
	})
	if r.topics == nil {
		r.topics = make(map[int64]bool)
	}
	r.topics[topic] = match
	return match, err
}

// CountReplay implements [store.Jobs]. It reads page by page, so that a long count pins no snapshot.
func (e *Engine) CountReplay(ctx context.Context, tenant event.TenantID, webhook event.ID, f store.ReplayFilter) (total int64, err error) {
	k := e.hooks.get(webhook)
	if k == nil || k.deleted || k.webhook.Tenant != tenant {
		return 0, store.ErrNotFound
	}
	var at, through event.Cursor
	err = e.read(ctx, func(c *conn) error {
		if at, through, err = between(c, f.Since, f.Until); err != nil {
			return err
		}
		_, head, err := ends(c)
		through = min(through, head)
		return err
	})
	for err == nil && at < through {
		err = e.read(ctx, func(c *conn) error {
			// Numbers of topics can be given anew between the pages.
			r := &replayer{c: c, num: k.num, filter: f}
			at, err = r.walk(at, through, func(event.Cursor) bool {
				total++
				return true
			})
			return err
		})
	}
	return total, reading("deliveries", err)
}

// StepJob implements [store.Jobs].
func (e *Engine) StepJob(ctx context.Context, id event.ID, limit int) (store.Job, []event.DeliveryID, error) {
	var j store.Job // the writer's until it has answered, which may be after this call has returned
	var made []event.DeliveryID
	err := e.write(ctx, &operation{bytes: max(limit, 0) * 256, apply: func(b *batch) (err error) {
		made = nil
		if j, err = readJob(b.c, id); err != nil || j.State != store.JobRunning {
			return err
		}
		made, err = b.stepJob(&j, limit)
		return err
	}})
	if err != nil {
		return store.Job{}, nil, err
	}
	return j, made, nil
}

// stepJob goes on with a running job.
func (b *batch) stepJob(j *store.Job, limit int) (made []event.DeliveryID, err error) {
	k := b.hook(j.Webhook)
	if k == nil || k.deleted || !k.webhook.Enabled {
		return nil, b.cancelJob(j, event.Origin{})
	}
	// What retention removed has no rows either.
	through := min(j.Through, max(b.floor, b.trimmed))
	if j.At < j.Through && (through <= j.At || limit < 1) {
		return nil, nil
	}
	if j.At < j.Through {
		// The rows are changed only after the walk, which must not meet what it changed.
		r := &replayer{c: b.c, num: k.num, filter: j.Filter}
		j.At, err = r.walk(j.At, through, func(cursor event.Cursor) bool {
			made = append(made, event.DeliveryID{Event: cursor, Webhook: j.Webhook})
			return len(made) < limit
		})
		if err != nil {
			return nil, err
		}
	}
	for _, id := range made {
		row, _, err := b.row(id.Event, k)
		if err != nil {
			return nil, err
		}
		b.reopen(k, &row)
		row.replay = true
		if err := b.updateRow(id.Event, k, &row, false); err != nil {
			return nil, err
		}
	}
	j.Done += int64(len(made))
	j.Total = max(j.Total, j.Done)
	if j.At >= j.Through {
		j.State = store.JobDone
	}
	return made, b.saveJob(j)
}
