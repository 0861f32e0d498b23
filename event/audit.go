package event

import (
	"net/netip"
	"strings"
	"time"
)

// AuditEntry is one change: who made it, when, from where, and what it changed. It is never changed itself.
type AuditEntry struct {
	ID     ID
	Tenant TenantID
	Time   time.Time
	Origin
	Action  AuditAction
	Subject string   // the id of what was changed; [AuditAction.SubjectKind] says what that is
	Changes []Change // without any secret; see [Change]
}

// Origin is where a change comes from. The zero Origin is the gateway itself.
type Origin struct {
	Actor   Actor
	Address netip.Addr // the client's; not valid: there is none
	Request string     // as the log knows the request; empty: there is none
}

// Actor is who made a change, as far as the gateway knows.
type Actor struct {
	Kind ActorKind
	ID   string // a key's id, a token's subject; may be empty
	Name string // a key's name at the time, the operating system's user; may be empty
}

// MaxActorText is how many bytes of an actor's ID and Name are kept: they can come from a foreign issuer.
const MaxActorText = 256

// ActorKind says by what somebody came to make a change.
type ActorKind string

// The kinds of actors. The empty ActorKind is ActorGateway.
const (
	ActorGateway     ActorKind = "gateway"      // nobody: the gateway by itself
	ActorKey         ActorKind = "key"          // a stored key
	ActorAdminKey    ActorKind = "admin-key"    // the configuration's key
	ActorAnybody     ActorKind = "anybody"      // who could connect, while there was no key
	ActorJWT         ActorKind = "jwt"          // a token of the user's own issuer
	ActorPortal      ActorKind = "portal"       // a portal link
	ActorCommandLine ActorKind = "command-line" // a command on the data itself, while no gateway ran
)

// ActorKinds returns all kinds of actors.
func ActorKinds() []ActorKind {
	return []ActorKind{ActorGateway, ActorKey, ActorAdminKey, ActorAnybody, ActorJWT, ActorPortal, ActorCommandLine}
}

// AuditAction is what was done. What stands before the dot is what it was done to, but for AuditReplayStarted.
type AuditAction string

// The actions. An update that also enables or disables a webhook is AuditWebhookEnabled or AuditWebhookDisabled, and else
// one that also changes its secret is AuditSecretRotated: the entry's changes tell all of it.
const (
	AuditWebhookCreated   AuditAction = "webhook.created"
	AuditWebhookUpdated   AuditAction = "webhook.updated"
	AuditWebhookDeleted   AuditAction = "webhook.deleted"
	AuditWebhookEnabled   AuditAction = "webhook.enabled"
	AuditWebhookDisabled  AuditAction = "webhook.disabled"
	AuditSecretRotated    AuditAction = "webhook.secret-rotated"
	AuditKeyCreated       AuditAction = "key.created"
	AuditKeyRevoked       AuditAction = "key.revoked"
	AuditDeliveryRetried  AuditAction = "delivery.retried"
	AuditDeliveryCanceled AuditAction = "delivery.canceled"
	AuditReplayStarted    AuditAction = "replay.started"
	AuditJobCanceled      AuditAction = "job.canceled"

	AuditTenantCreated     AuditAction = "tenant.created"
	AuditTenantUpdated     AuditAction = "tenant.updated"
	AuditTenantDeleted     AuditAction = "tenant.deleted"
	AuditPortalLinkCreated AuditAction = "portal-link.created"
)

// AuditActions returns all actions.
func AuditActions() []AuditAction {
	return []AuditAction{
		AuditWebhookCreated, AuditWebhookUpdated, AuditWebhookDeleted, AuditWebhookEnabled, AuditWebhookDisabled, AuditSecretRotated,
		AuditKeyCreated, AuditKeyRevoked, AuditDeliveryRetried, AuditDeliveryCanceled, AuditReplayStarted, AuditJobCanceled,
		AuditTenantCreated, AuditTenantUpdated, AuditTenantDeleted, AuditPortalLinkCreated,
	}
}

// SubjectKind says what the action is done to: webhook, key, delivery, job, tenant, portal-link.
func (a AuditAction) SubjectKind() string {
	if a == AuditReplayStarted {
		return "job"
	}
	kind, _, _ := strings.Cut(string(a), ".")
	return kind
}
