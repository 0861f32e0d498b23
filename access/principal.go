package access

import (
	"time"

	"github.com/carillon/carillon/event"
)

// Principal is who a request comes from. The zero Principal may do nothing.
type Principal struct {
	Tenant   event.TenantID
	Actor    event.Actor     // as the audit log knows the principal
	Key      event.ID        // zero: of no stored key
	Scopes   []event.Scope   // shared, not to be written to
	Patterns []event.Pattern // shared, not to be written to; none: every topic
	Expires  time.Time       // zero: never
}

// anybody is everyone who comes in without a stored key: by the configuration's, or while there is none at all.
func anybody(by event.ActorKind) Principal {
	return Principal{Tenant: event.DefaultTenant, Actor: event.Actor{Kind: by}, Scopes: []event.Scope{event.ScopeAdmin}}
}

// May reports whether the principal may do what asks for the scope.
func (p *Principal) May(scope event.Scope) bool { return event.Allows(p.Scopes, scope) }

// Reaches reports whether the topic is one of the principal's.
func (p *Principal) Reaches(topic event.Topic) bool {
	return len(p.Patterns) == 0 || event.MatchAny(p.Patterns, topic)
}

// ReachesAll reports whether all topics of the pattern are the principal's, by one of its own patterns.
func (p *Principal) ReachesAll(pattern event.Pattern) bool {
	return len(p.Patterns) == 0 || event.CoverAny(p.Patterns, pattern)
}

// KeyText names the key as streams know it; empty for none.
func (p *Principal) KeyText() string {
	if p.Key.IsZero() {
		return ""
	}
	return p.Key.String()
}
