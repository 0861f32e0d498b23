package sqlite_test

import (
	"context"
	"fmt"
	"sync"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
	"github.com/carillon/carillon/store/sqlite"
)

// audited is a change of the configuration.
type audited struct {
	action  event.AuditAction
	subject event.ID
	by      string // the name of who makes it, of nobody else
}

// change makes a change of the configuration and enters it. It reports whether it was stored.
func (s *script) change(ctx context.Context, action event.AuditAction, id event.ID, make func(context.Context) error) bool {
	by := event.NewID().String()
	if action == event.AuditWebhookDisabled {
		by = "" // the gateway's doing
	}
	ctx = store.WithOrigin(ctx, event.Origin{Actor: event.Actor{Kind: event.ActorKey, Name: by}})
	return s.do(&write{audited: &audited{action, id, by}}, func() error { return make(ctx) }) == nil
}

// runAudit plays a script about changes of the configuration, some of them in one commit with what else is written.
func (s *script) runAudit(ctx context.Context, e *sqlite.Engine) {
	owed := &event.Webhook{ID: event.NewID(), Tenant: event.DefaultTenant, URL: "https://example.com/", Topics: []event.Pattern{"**"}, Enabled: true}
	if e.CreateWebhook(ctx, owed) != nil {
		return // without it there is nothing to keep
	}
	s.mu.Lock()
	s.owed = owed.ID
	s.mu.Unlock()
	var group sync.WaitGroup
	group.Go(func() { s.changeKey(ctx, e) })
	group.Go(func() { s.changeKey(ctx, e) })
	group.Go(func() { s.changeWebhook(ctx, e) })
	group.Go(func() { s.append(ctx, e, 1, 200) })
	group.Wait()
	s.changeWebhook(ctx, e)
}

func (s *script) changeKey(ctx context.Context, e *sqlite.Engine) {
	k := &event.Key{ID: event.NewID(), Tenant: event.DefaultTenant, Name: "x", Hash: event.HashKey(event.NewKeyToken())}
	if s.change(ctx, event.AuditKeyCreated, k.ID, func(ctx context.Context) error { return e.CreateKey(ctx, k) }) {
		s.change(ctx, event.AuditKeyRevoked, k.ID, func(ctx context.Context) error { return e.RevokeKey(ctx, event.DefaultTenant, k.ID) })
	}
}

// changeWebhook makes a webhook, changes it, has it disabled by an answer, and deletes it.
func (s *script) changeWebhook(ctx context.Context, e *sqlite.Engine) {
	w := &event.Webhook{ID: event.NewID(), Tenant: event.DefaultTenant, URL: "https://example.com/", Topics: []event.Pattern{"**"}, Enabled: true}
	if !s.change(ctx, event.AuditWebhookCreated, w.ID, func(ctx context.Context) error { return e.CreateWebhook(ctx, w) }) {
		return
	}
	changed := *w
	changed.Description = fmt.Sprintf("%0900d", 1) // spreads entries and rows over pages
	if !s.change(ctx, event.AuditWebhookUpdated, w.ID, func(ctx context.Context) error { return e.UpdateWebhook(ctx, &changed) }) {
		return
	}
	receipts, err := e.Append(ctx, []store.Draft{{Event: &event.Event{ID: event.NewID(), Tenant: event.DefaultTenant, Topic: replayedTopic,
		Matches: []event.Match{{Webhook: w.ID}}}}})
	if err != nil {
		return
	}
	gone := store.Settlement{ID: event.DeliveryID{Event: receipts[0].Cursor, Webhook: w.ID}, Tenant: event.DefaultTenant,
		State: event.Failed, Reason: event.ReasonGone, Disable: event.DisabledGone,
		Attempt: &event.Attempt{Number: 1, At: s.now(), Status: 410, Outcome: event.ErrStatus4xx}}
	if s.change(ctx, event.AuditWebhookDisabled, w.ID, func(ctx context.Context) error {
		return e.Settle(ctx, store.Settlements{Settled: []store.Settlement{gone}})
	}) {
		s.change(ctx, event.AuditWebhookDeleted, w.ID, func(ctx context.Context) error { return e.DeleteWebhook(ctx, event.DefaultTenant, w.ID) })
	}
}

// webhookChanges is how many changes changeWebhook makes, the last of which deletes it.
const webhookChanges = 4

// verifyAudit holds the audit log to what the writers were told, and to what is stored: a webhook's version says how often it
// was changed.
func (s *script) verifyAudit(ctx context.Context, e *sqlite.Engine, fail func(string, ...any), writes []write) {
	there := make(map[audited]int)
	of := make(map[event.ID]int)
	for page := (store.Page{Limit: 500}); ; {
		list, err := e.ListAudit(ctx, event.DefaultTenant, store.AuditFilter{}, page)
		if err != nil {
			fail("the audit log: %v", err)
			return
		}
		for _, a := range list.Data {
			subject, err := event.ParseID(a.Subject)
			if err != nil {
				continue // a job or a delivery
			}
			there[audited{a.Action, subject, a.Actor.Name}]++
			of[subject]++
		}
		if page.Token = list.Next; page.Token == "" {
			break
		}
	}
	for _, w := range writes {
		if w.audited == nil {
			continue
		}
		n := there[*w.audited]
		if n > 1 || w.outcome == stored && n == 0 || w.outcome == refused && n > 0 {
			fail("%s by %q was %d (1: stored, 2: refused), and has %d entries", w.audited.action, w.audited.by, w.outcome, n)
		}
		id, wrong := w.audited.subject, false
		n = of[id]
		if w.audited.action.SubjectKind() == "key" {
			k, err := e.Key(ctx, event.DefaultTenant, id)
			wrong = n > 0 != (err == nil) || n > 1 != (err == nil && k.Revoked())
		} else if hook, err := e.Webhook(ctx, event.DefaultTenant, id); err == nil {
			wrong = int64(n) != hook.Version
		} else {
			wrong = n != 0 && n != webhookChanges
		}
		if wrong {
			fail("%s has %d entries, and is not as it would be after so many changes", id, n)
		}
	}
}
