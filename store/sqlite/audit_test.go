package sqlite

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// TestAuditIsAppendOnly tries on the database itself what no code of the gateway may do to the audit log.
func TestAuditIsAppendOnly(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	e := runEngine(t, Options{Path: filepath.Join(t.TempDir(), "carillon.db"), Now: func() time.Time { return now }})
	record := func(subject string) {
		t.Helper()
		if err := e.AppendAudit(t.Context(), event.DefaultTenant, event.AuditKeyCreated, subject, nil); err != nil {
			t.Fatal(err)
		}
	}
	record("old")
	now = now.Add(time.Hour)
	record("young")
	old := now.Add(-time.Hour).UnixMilli()

	state := func() string {
		t.Helper()
		list, err := e.ListAudit(t.Context(), event.DefaultTenant, store.AuditFilter{}, store.Page{Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(list)
	}
	run := func(sql string) error {
		return e.write(t.Context(), &operation{alone: true, apply: func(b *batch) error { return b.c.Conn.Exec(sql) }})
	}
	forbidden := []string{
		`DELETE FROM audit`,
		`DELETE FROM audit WHERE subject = 'old'`,
		`UPDATE audit SET actor_name = 'bob'`,
		`UPDATE audit SET time = 0 WHERE subject = 'young'`,
		`UPDATE OR REPLACE audit SET num = 1 WHERE num = 2`,
		`REPLACE INTO audit SELECT num, id, tenant, time, actor, actor_id, 'bob', address, request, action, subject, changes FROM audit`,
		`INSERT OR REPLACE INTO audit SELECT NULL, id, tenant, time, actor, actor_id, 'bob', address, request, action, subject, changes FROM audit`,
		`DELETE FROM audit_retention`,
		`UPDATE audit_retention SET one = 2`,
	}
	refused := func() {
		t.Helper()
		before := state()
		for _, sql := range forbidden {
			if err := run(sql); err == nil || !strings.Contains(err.Error(), "append-only") && !strings.Contains(err.Error(), "CHECK") {
				t.Errorf("%s: %v", sql, err)
			}
			if after := state(); after != before {
				t.Fatalf("%s made of\n%s\n%s", sql, before, after)
			}
		}
	}
	refused()

	// Retention lets go of what is old, and of nothing else.
	if done, err := e.Trim(t.Context(), store.Retention{AuditAge: 30 * time.Minute}); err != nil || done.Audit != 1 {
		t.Errorf("trimmed %+v, %v", done, err)
	}
	if left := state(); strings.Contains(left, "old") || !strings.Contains(left, "young") {
		t.Errorf("left is %s", left)
	}
	forbidden = append(forbidden[:1], forbidden[2:]...)
	forbidden = append(forbidden, fmt.Sprintf(`UPDATE audit_retention SET time = %d`, old))
	refused()

	// Numbers are not given again: a hole would show.
	if n := numberOf(t, e, `SELECT num FROM audit`); n != 2 {
		t.Errorf("the young one is number %d", n)
	}
	now = now.Add(time.Hour)
	if done, err := e.Trim(t.Context(), store.Retention{AuditAge: 30 * time.Minute}); err != nil || done.Audit != 1 {
		t.Errorf("trimmed %+v, %v", done, err)
	}
	record("next")
	if n := numberOf(t, e, `SELECT num FROM audit`); n != 3 {
		t.Errorf("the next one is number %d", n)
	}
}

// TestAuditSharesTheTransaction refuses the entry, and finds that the change was not made either; and that others, in the
// same commit, were not touched by that.
func TestAuditSharesTheTransaction(t *testing.T) {
	e := runEngine(t, Options{Path: filepath.Join(t.TempDir(), "carillon.db")})
	hook := func() *event.Webhook {
		return &event.Webhook{ID: event.NewID(), Tenant: event.DefaultTenant, URL: "https://example.com/", Enabled: true}
	}
	kept := hook()
	if err := e.CreateWebhook(t.Context(), kept); err != nil {
		t.Fatal(err)
	}
	err := e.write(t.Context(), &operation{alone: true, apply: func(b *batch) error {
		return b.c.Conn.Exec(`CREATE TRIGGER broken BEFORE INSERT ON audit WHEN NEW.actor_name = 'bob' BEGIN SELECT RAISE(ABORT, 'broken'); END`)
	}})
	if err != nil {
		t.Fatal(err)
	}
	bob := store.WithOrigin(t.Context(), event.Origin{Actor: event.Actor{Kind: event.ActorKey, Name: "bob"}})
	lost, key := hook(), &event.Key{ID: event.NewID(), Tenant: event.DefaultTenant, Name: "x"}
	changed := *kept
	changed.Timeout = time.Minute
	for what, err := range map[string]error{
		"creating a webhook": e.CreateWebhook(bob, lost),
		"changing it":        e.UpdateWebhook(bob, &changed),
		"deleting it":        e.DeleteWebhook(bob, event.DefaultTenant, kept.ID),
		"creating a key":     e.CreateKey(bob, key),
	} {
		if outcome := fmt.Sprint(err); err == nil || !strings.Contains(outcome, "not stored") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := e.Webhook(t.Context(), event.DefaultTenant, lost.ID); err == nil {
		t.Error("a webhook was made without an entry")
	}
	if _, err := e.Key(t.Context(), event.DefaultTenant, key.ID); err == nil {
		t.Error("a key was made without an entry")
	}
	if now, err := e.Webhook(t.Context(), event.DefaultTenant, kept.ID); err != nil || now.Version != 1 || now.Timeout != 0 {
		t.Errorf("the webhook is %+v, %v", now, err)
	}
	list, err := e.ListAudit(t.Context(), event.DefaultTenant, store.AuditFilter{}, store.Page{Limit: 10})
	if err != nil || len(list.Data) != 1 {
		t.Errorf("the log holds %+v, %v", list, err)
	}
}
