package sqlite

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

const (
	// jobsKept is how long a job that has ended can be asked about.
	jobsKept = 30 * 24 * time.Hour
	// jobsForgotten bounds how many go in one step of retention.
	jobsForgotten = 200
)

// jobFilter is a [store.ReplayFilter] as it is stored.
type jobFilter struct {
	Since    int64           `json:"since,omitempty"` // milliseconds
	Until    int64           `json:"until,omitempty"`
	Patterns []event.Pattern `json:"patterns,omitempty"`
	States   []int           `json:"states"`
}

func encodeFilter(f store.ReplayFilter) ([]byte, error) {
	stored := jobFilter{Since: fromTime(f.Since), Until: fromTime(f.Until), Patterns: f.Patterns}
	for _, state := range f.States {
		stored.States = append(stored.States, int(state))
	}
	return json.Marshal(stored)
}

func decodeFilter(blob []byte) (f store.ReplayFilter, err error) {
	var stored jobFilter
	if err := json.Unmarshal(blob, &stored); err != nil {
		return f, err
	}
	f = store.ReplayFilter{Since: toTime(stored.Since), Until: toTime(stored.Until), Patterns: stored.Patterns}
	for _, state := range stored.States {
		f.States = append(f.States, event.State(state))
	}
	return f, nil
}

// sameFilter reports whether two filters let the same through, in whatever order they name it.
func sameFilter(a, b store.ReplayFilter) bool {
	return fromTime(a.Since) == fromTime(b.Since) && fromTime(a.Until) == fromTime(b.Until) &&
		slices.Equal(distinct(a.Patterns), distinct(b.Patterns)) && slices.Equal(distinct(a.States), distinct(b.States))
}

func distinct[T event.Pattern | event.State](all []T) []T {
	all = slices.Clone(all)
	slices.Sort(all)
	return slices.Compact(all)
}

const jobColumns = `num, id, tenant, webhook, state, through, at, total, done, per_second, created, updated, filter`

// scanJob reads jobColumns.
func scanJob(s *sqlite3.Stmt) (j store.Job, num int64, err error) {
	j = store.Job{
		ID:        columnID(s, 1),
		Tenant:    event.TenantID(s.ColumnInt64(2)),
		Webhook:   columnID(s, 3),
		State:     store.JobState(s.ColumnText(4)),
		Through:   columnCursor(s, 5),
		At:        columnCursor(s, 6),
		Total:     s.ColumnInt64(7),
		Done:      s.ColumnInt64(8),
		PerSecond: s.ColumnInt(9),
		CreatedAt: columnTime(s, 10),
		UpdatedAt: columnTime(s, 11),
	}
	if j.Filter, err = decodeFilter(s.ColumnRawText(12)); err != nil {
		err = fmt.Errorf("reading job %s: %w", j.ID, err)
	}
	return j, s.ColumnInt64(0), err
}

// readJob reads one job; ErrNotFound if there is none.
func readJob(c *conn, id event.ID) (j store.Job, err error) {
	found := false
	err = c.each(`SELECT `+jobColumns+` FROM job WHERE id = ?`, []any{id}, func(s *sqlite3.Stmt) (_ bool, err error) {
		found = true
		j, _, err = scanJob(s)
		return false, err
	})
	if err == nil && !found {
		err = store.ErrNotFound
	}
	return j, err
}

func (b *batch) saveJob(j *store.Job) error {
	j.UpdatedAt = toTime(b.now)
	return b.c.run(`UPDATE job SET state = ?, at = ?, total = ?, done = ?, updated = ? WHERE id = ?`,
		string(j.State), j.At, j.Total, j.Done, b.now, j.ID)
}

// CreateJob implements [store.Jobs]. The deliveries are counted before, so that the writer is not kept by it.
func (e *Engine) CreateJob(ctx context.Context, j store.Job) (store.Job, error) {
	if k := e.hooks.get(j.Webhook); k != nil && k.webhook.Tenant == j.Tenant && !k.deleted && !k.webhook.Enabled {
		return store.Job{}, store.ErrState
	}
	total, err := e.CountReplay(ctx, j.Tenant, j.Webhook, j.Filter)
	if err != nil {
		return store.Job{}, err
	}
	filter, err := encodeFilter(j.Filter)
	if err != nil {
		return store.Job{}, fmt.Errorf("%w: %w", store.ErrNotStored, err)
	}
	var made store.Job // the writer's until it has answered, which may be after this call has returned
	origin := store.OriginOf(ctx)
	err = e.write(ctx, &operation{apply: func(b *batch) error {
		k := b.hook(j.Webhook)
		switch {
		case k == nil || k.deleted || k.webhook.Tenant != j.Tenant:
			return store.ErrNotFound
		case !k.webhook.Enabled:
			return store.ErrState
		}
		running, found, err := b.runningLike(&j)
		if err != nil || found {
			made = running
			return err
		}
		made = j
		made.Filter, err = decodeFilter(filter) // as it will be read, and nothing that is the caller's
		if err != nil {
			return err
		}
		made.State, made.Total, made.Done = store.JobRunning, total, 0
		made.CreatedAt, made.UpdatedAt = toTime(b.now), toTime(b.now)
		if made.At, made.Through, err = b.replayRange(j.Filter); err != nil {
			return err
		}
		return b.audited(event.AuditEntry{
			Tenant: made.Tenant, Origin: origin, Action: event.AuditReplayStarted, Subject: made.ID.String(),
			Changes: store.JobChanges(&made),
		}, func() error {
			return b.c.run(`INSERT INTO job (id, tenant, webhook, state, through, at, total, done, per_second, created, updated, filter)
				VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, made.ID, made.Tenant, made.Webhook, string(made.State),
				made.Through, made.At, made.Total, made.Done, made.PerSecond, b.now, b.now, string(filter))
		})
	}})
	if err != nil {
		return store.Job{}, err
	}
	return made, nil
}

// runningLike finds a running job of the webhook with the same filter.
func (b *batch) runningLike(j *store.Job) (running store.Job, found bool, err error) {
	err = b.c.each(`SELECT `+jobColumns+` FROM job WHERE webhook = ? AND state = 'running'`, []any{j.Webhook},
		func(s *sqlite3.Stmt) (bool, error) {
			r, _, err := scanJob(s)
			if err == nil && r.Tenant == j.Tenant && sameFilter(r.Filter, j.Filter) {
				running, found = r, true
			}
			return !found, err
		})
	return running, found, err
}

// replayRange returns the part of the log that a replay made now looks at: what is after one cursor and through another.
func (b *batch) replayRange(f store.ReplayFilter) (after, through event.Cursor, err error) {
	after, through = b.trimmed, b.head()
	if !f.Since.IsZero() {
		if after, err = cursorBeforeIn(b.c, fromTime(f.Since), b.trimmed, b.head()); err != nil {
			return 0, 0, err
		}
	}
	if !f.Until.IsZero() {
		through, err = cursorBeforeIn(b.c, fromTime(f.Until), b.trimmed, b.head())
	}
	return after, through, err
}

// Job implements [store.Jobs].
func (e *Engine) Job(ctx context.Context, tenant event.TenantID, id event.ID) (j store.Job, err error) {
	tenant = e.tenants.standing(tenant)
	err = e.read(ctx, func(c *conn) error {
		j, err = readJob(c, id)
		return err
	})
	if err == nil && j.Tenant != tenant {
		err = store.ErrNotFound
	}
	if err != nil {
		return store.Job{}, reading("a job", err)
	}
	return j, nil
}

// ListJobs implements [store.Jobs]. The page token is the number of the last job of the page before.
func (e *Engine) ListJobs(ctx context.Context, tenant event.TenantID, p store.Page) (list store.List[store.Job], err error) {
	tenant = e.tenants.standing(tenant)
	below := int64(1<<63 - 1)
	if p.Token != "" {
		if below, err = strconv.ParseInt(p.Token, 10, 64); err != nil || below < 1 || strconv.FormatInt(below, 10) != p.Token {
			return list, store.ErrPage
		}
	}
	err = e.read(ctx, func(c *conn) error {
		return c.each(`SELECT `+jobColumns+` FROM job WHERE tenant = ? AND num < ? ORDER BY num DESC LIMIT ?`,
			[]any{tenant, below, p.Limit + 1}, func(s *sqlite3.Stmt) (bool, error) {
				if len(list.Data) == p.Limit {
					list.Next = strconv.FormatInt(below, 10)
					return false, nil
				}
				j, num, err := scanJob(s)
				if err != nil {
					return false, err
				}
				list.Data = append(list.Data, j)
				below = num
				return true, nil
			})
	})
	return list, reading("jobs", err)
}

// RunningJobs implements [store.Jobs].
func (e *Engine) RunningJobs(ctx context.Context) (running []store.Job, err error) {
	err = e.read(ctx, func(c *conn) error {
		return c.each(`SELECT `+jobColumns+` FROM job WHERE state = 'running' AND tenant IN `+standingTenants+` ORDER BY num`, nil,
			func(s *sqlite3.Stmt) (bool, error) {
				j, _, err := scanJob(s)
				running = append(running, j)
				return true, err
			})
	})
	return running, reading("jobs", err)
}

// CancelJob implements [store.Jobs].
func (e *Engine) CancelJob(ctx context.Context, tenant event.TenantID, id event.ID) (store.Job, error) {
	var j store.Job // the writer's until it has answered, which may be after this call has returned
	origin := store.OriginOf(ctx)
	err := e.write(ctx, &operation{apply: func(b *batch) (err error) {
		if j, err = readJob(b.c, id); err != nil {
			return err
		}
		if j.Tenant != e.tenants.standing(tenant) {
			return store.ErrNotFound
		}
		if j.State != store.JobRunning {
			return store.ErrState
		}
		return b.cancelJob(&j, origin)
	}})
	if err != nil {
		return store.Job{}, err
	}
	return j, nil
}

// cancelJob ends a running job.
func (b *batch) cancelJob(j *store.Job, origin event.Origin) error {
	before := j.State
	j.State = store.JobCanceled
	return b.audited(event.AuditEntry{
		Tenant: j.Tenant, Origin: origin, Action: event.AuditJobCanceled, Subject: j.ID.String(),
		Changes: []event.Change{event.NewChange("state", before, j.State)},
	}, func() error { return b.saveJob(j) })
}

const forgetJobsSQL = `DELETE FROM job WHERE num IN
	(SELECT num FROM job WHERE state <> 'running' AND updated < ? ORDER BY updated LIMIT ?)`

// forgetJobs removes jobs that ended long ago.
func (b *batch) forgetJobs(done *store.Trimmed) error {
	if err := b.c.run(forgetJobsSQL, b.now-jobsKept.Milliseconds(), jobsForgotten); err != nil {
		return err
	}
	done.More = done.More || b.c.Changes() == jobsForgotten
	return nil
}
