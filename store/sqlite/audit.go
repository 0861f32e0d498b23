package sqlite

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

const (
	// auditRows bounds how many entries one page examines.
	auditRows = 20_000
	// trimAudit bounds how many entries go in one step of retention.
	trimAudit = 500
)

// auditChange is an [event.Change] as it is stored.
type auditChange struct {
	Field  string          `json:"field"`
	Old    json.RawMessage `json:"old,omitempty"`
	New    json.RawMessage `json:"new,omitempty"`
	Hidden bool            `json:"hidden,omitempty"`
}

func encodeChanges(changes []event.Change) ([]byte, error) {
	stored := make([]auditChange, len(changes))
	for i, c := range changes {
		stored[i] = auditChange(c)
	}
	return json.Marshal(stored)
}

func decodeChanges(text []byte) ([]event.Change, error) {
	var stored []auditChange
	if err := json.Unmarshal(text, &stored); err != nil {
		return nil, err
	}
	changes := make([]event.Change, len(stored))
	for i, c := range stored {
		changes[i] = event.Change(c)
	}
	return changes, nil
}

// audited makes a write, and its entry, to which ID and Time are given here. A change of nothing has no entry. write must
// fail as an operation's apply must.
func (b *batch) audited(entry event.AuditEntry, write func() error) error {
	changes, err := encodeChanges(entry.Changes)
	if err != nil {
		return fmt.Errorf("%w: %w", store.ErrNotStored, err)
	}
	if err := write(); err != nil || len(entry.Changes) == 0 {
		return err
	}
	return b.insertAudit(&entry, changes)
}

func (b *batch) insertAudit(e *event.AuditEntry, changes []byte) error {
	kind := e.Actor.Kind
	if kind == "" {
		kind = event.ActorGateway
	}
	address := ""
	if e.Address.IsValid() {
		address = e.Address.Unmap().WithZone("").String()
	}
	return b.c.run(`INSERT INTO audit (id, tenant, time, actor, actor_id, actor_name, address, request, action, subject, changes)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		event.NewID(), e.Tenant, b.now, string(kind), event.CutActorText(e.Actor.ID), event.CutActorText(e.Actor.Name),
		address, e.Request, string(e.Action), e.Subject, string(changes))
}

// AppendAudit implements [store.Audit].
func (e *Engine) AppendAudit(ctx context.Context, tenant event.TenantID, action event.AuditAction, subject string, changes []event.Change) error {
	entry := event.AuditEntry{Tenant: tenant, Origin: store.OriginOf(ctx), Action: action, Subject: subject}
	text, err := encodeChanges(changes)
	if err != nil {
		return fmt.Errorf("%w: %w", store.ErrNotStored, err)
	}
	return e.write(ctx, &operation{bytes: len(text), apply: func(b *batch) error { return b.insertAudit(&entry, text) }})
}

const auditColumns = `num, id, tenant, time, actor, actor_id, actor_name, address, request, action, subject, changes`

// scanAudit reads auditColumns, but for the number.
func scanAudit(s *sqlite3.Stmt) (e event.AuditEntry, err error) {
	e = event.AuditEntry{
		ID:     columnID(s, 1),
		Tenant: event.TenantID(s.ColumnInt64(2)),
		Time:   columnTime(s, 3),
		Origin: event.Origin{
			Actor:   event.Actor{Kind: event.ActorKind(s.ColumnText(4)), ID: s.ColumnText(5), Name: s.ColumnText(6)},
			Request: s.ColumnText(8),
		},
		Action:  event.AuditAction(s.ColumnText(9)),
		Subject: s.ColumnText(10),
	}
	if address := s.ColumnText(7); address != "" {
		if e.Address, err = netip.ParseAddr(address); err != nil {
			return e, fmt.Errorf("reading audit entry %s: %w", e.ID, err)
		}
	}
	if e.Changes, err = decodeChanges(s.ColumnRawText(11)); err != nil {
		err = fmt.Errorf("reading audit entry %s: %w", e.ID, err)
	}
	return e, err
}

// The ways to walk through the entries, newest first. The second parameter is the subject, which is not
// always looked at; the last are where the page begins and where the list ends.
const (
	walkAudit = `SELECT ` + auditColumns + ` FROM audit
		WHERE tenant = ?1 AND (time, num) < (?3, ?4) AND time >= ?5 ORDER BY time DESC, num DESC`
	walkAuditSubject = `SELECT ` + auditColumns + ` FROM audit INDEXED BY audit_subject
		WHERE tenant = ?1 AND subject = ?2 AND (time, num) < (?3, ?4) AND time >= ?5 ORDER BY time DESC, num DESC`
)

// auditPlace is where a page of entries ended: they come by time and number, the highest first.
type auditPlace struct{ time, num int64 }

func (p auditPlace) String() string { return fmt.Sprintf("%d.%d", p.time, p.num) }

func parseAuditPlace(token string) (p auditPlace, err error) {
	at, num, _ := strings.Cut(token, ".")
	if p.time, err = strconv.ParseInt(at, 10, 64); err != nil {
		return p, store.ErrPage
	}
	if p.num, err = strconv.ParseInt(num, 10, 64); err != nil || p.num < 1 || p.String() != token {
		return p, store.ErrPage
	}
	return p, nil
}

// ListAudit implements [store.Audit]. The page token is the place of the last entry examined.
func (e *Engine) ListAudit(ctx context.Context, tenant event.TenantID, f store.AuditFilter, p store.Page) (list store.List[event.AuditEntry], err error) {
	from := auditPlace{1<<63 - 1, 1<<63 - 1}
	if !f.Until.IsZero() {
		from = auditPlace{fromTime(f.Until.Add(event.Precision - time.Nanosecond)), 0} // the first that is not before it
	}
	if p.Token != "" {
		place, err := parseAuditPlace(p.Token)
		if err != nil {
			return list, err
		}
		if place.time < from.time {
			from = place
		}
	}
	walk := walkAudit
	if f.Subject != "" {
		walk = walkAuditSubject
	}
	examined := 0
	last := from
	err = e.read(ctx, func(c *conn) error {
		return c.each(walk, []any{tenant, f.Subject, from.time, from.num, fromTime(f.Since)}, func(s *sqlite3.Stmt) (bool, error) {
			if examined == auditRows {
				list.Next = last.String()
				return false, nil
			}
			entry, err := scanAudit(s)
			if err != nil {
				return false, err
			}
			examined++
			before := last
			last = auditPlace{s.ColumnInt64(3), s.ColumnInt64(0)}
			if !f.Wants(&entry) {
				return true, nil
			}
			if len(list.Data) == p.Limit {
				list.Next = before.String()
				return false, nil
			}
			list.Data = append(list.Data, entry)
			return true, nil
		})
	})
	return list, reading("the audit log", err)
}

const (
	oldAuditSQL    = `SELECT 1 FROM audit WHERE time < ? LIMIT 1`
	removeAuditSQL = `DELETE FROM audit WHERE num IN (SELECT num FROM audit WHERE time < ? ORDER BY time LIMIT ?)`
)

// trimAudit removes the oldest entries that retention does not keep.
func (b *batch) trimAudit(r store.Retention, done *store.Trimmed) error {
	if r.AuditAge <= 0 {
		return nil
	}
	oldest := b.now - r.AuditAge.Milliseconds()
	if old, err := b.c.number(oldAuditSQL, oldest); err != nil || old == 0 {
		return err
	}
	// The log lets nothing go but what is before this.
	if err := b.c.run(`UPDATE audit_retention SET time = max(time, ?)`, oldest); err != nil {
		return err
	}
	if err := b.c.run(removeAuditSQL, oldest, trimAudit); err != nil {
		return err
	}
	done.Audit = int(b.c.Changes())
	done.More = done.More || done.Audit == trimAudit
	return nil
}
