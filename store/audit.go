package store

import (
	"context"
	"slices"
	"time"

	"github.com/carillon/carillon/event"
)

// Audit is the audit log: an entry for each change of the configuration and of what is owed, written in the transaction of
// the change, by the engine. Where the change is refused, fails, or changes nothing, there is no entry; where the entry
// cannot be written, there is no change.
//
// These writes leave an entry: CreateWebhook, UpdateWebhook, DeleteWebhook; CreateKey, RevokeKey; Reopen, Cancel;
// CreateJob, CancelJob; a settlement that disables its webhook, and a StepJob that cancels its job. Who makes them says
// their context, by [WithOrigin]; without it, and in what the engine does within Settle and StepJob, it is the gateway itself.
//
// Nothing changes an entry, and nothing removes one but [Retention.AuditAge].
type Audit interface {
	// ListAudit lists the tenant's entries, newest first.
	ListAudit(ctx context.Context, tenant event.TenantID, f AuditFilter, p Page) (List[event.AuditEntry], error)

	// AppendAudit writes the entry of a change that is no write of this engine. changes must hold no secret.
	AppendAudit(ctx context.Context, tenant event.TenantID, action event.AuditAction, subject string, changes []event.Change) error
}

// AuditFilter narrows a list of entries. Zero fields do not narrow.
type AuditFilter struct {
	Since, Until time.Time // Since inclusive, Until exclusive
	Actions      []event.AuditAction
	Actor        string // an actor's ID
	Subject      string
}

// Wants reports whether the entry passes the filter, but for its time.
func (f *AuditFilter) Wants(e *event.AuditEntry) bool {
	return (len(f.Actions) == 0 || slices.Contains(f.Actions, e.Action)) && (f.Actor == "" || e.Actor.ID == f.Actor) &&
		(f.Subject == "" || e.Subject == f.Subject)
}

type originKey struct{}

// WithOrigin says where the changes come from that are made with the context.
func WithOrigin(ctx context.Context, o event.Origin) context.Context {
	return context.WithValue(ctx, originKey{}, o)
}

// OriginOf returns what [WithOrigin] said; the zero Origin, which is the gateway itself, if it said nothing.
func OriginOf(ctx context.Context) event.Origin {
	o, _ := ctx.Value(originKey{}).(event.Origin)
	return o
}

// JobChanges lists what there is to tell of a job that was made, for the audit log.
func JobChanges(j *Job) []event.Change {
	changes := []event.Change{event.NewChange("webhook", nil, j.Webhook)}
	if !j.Filter.Since.IsZero() {
		changes = append(changes, event.MomentChange("since", time.Time{}, j.Filter.Since))
	}
	if !j.Filter.Until.IsZero() {
		changes = append(changes, event.MomentChange("until", time.Time{}, j.Filter.Until))
	}
	if len(j.Filter.Patterns) > 0 {
		changes = append(changes, event.NewChange("topics", nil, j.Filter.Patterns))
	}
	return append(changes,
		event.NewChange("states", nil, j.Filter.States),
		event.NewChange("per_second", nil, j.PerSecond),
		event.NewChange("total", nil, j.Total))
}
