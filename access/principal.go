package access

import (
	"time"

	"github.com/carillon/carillon/event"
)

// Principal is who a request comes from. The zero Principal may do nothing.
type Principal struct {
	Tenant   event.TenantID
	Actor    event.Actor     // how it came to be let in, as the audit log knows it
	Key      event.ID        // zero: of no stored key
	Subject  string          // whose JWT it is, see docs/access.md; empty: of none
	Scopes   []event.Scope   // shared, not to be written to
	Patterns []event.Pattern // shared, not to be written to; none: every topic
	Expires  time.Time       // zero: never

	// Purpose is what the token is for that it came with; empty: it came with none.
	Purpose Purpose
	// Label is what whoever made the token says of it, for humans.
	Label string
	// Foreign says that the key which made the token is of another tenant, which the token's is not told of.
	Foreign bool

	signer event.KeyHash // the issuer's key that its JWT is signed with
}

// anybody is everyone who comes in without a stored key: by the configuration's, or while there is none at all.
func anybody(by event.ActorKind) Principal {
	return Principal{Tenant: event.DefaultTenant, Actor: event.Actor{Kind: by}, Scopes: []event.Scope{event.ScopeAdmin}}
}

// May reports whether the principal may do what asks for the scope.
func (p *Principal) May(scope event.Scope) bool { return event.Allows(p.Scopes, scope) }

// WholeGateway reports whether the principal runs the gateway, and not only a tenant of it: it has the scope admin, and
// none but the default tenant. It may make tenants and act for each of them.
func (p *Principal) WholeGateway() bool {
	return p.Tenant == event.DefaultTenant && p.May(event.ScopeAdmin)
}

// Reaches reports whether the topic is one of the principal's.
func (p *Principal) Reaches(topic event.Topic) bool {
	return len(p.Patterns) == 0 || event.MatchAny(p.Patterns, topic)
}

// ReachesAll reports whether all topics of the pattern are the principal's, by one of its own patterns.
func (p *Principal) ReachesAll(pattern event.Pattern) bool {
	return len(p.Patterns) == 0 || event.CoverAny(p.Patterns, pattern)
}

// KeyText names the key, or the holder of a JWT, as streams know it; empty for neither.
func (p *Principal) KeyText() string {
	if p.Key.IsZero() {
		return p.Subject
	}
	return p.Key.String()
}
