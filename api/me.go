package api

import (
	"net/http"

	"github.com/carillon/carillon/access"
	"github.com/carillon/carillon/event"
)

// meDocument is who the gateway takes a request's sender for.
type meDocument struct {
	Kind      string          `json:"kind"`   // open, admin-key, key, jwt or portal
	Key       *string         `json:"key"`    // its id, of a stored key
	Tenant    string          `json:"tenant"` // that the request is for
	Scopes    []event.Scope   `json:"scopes"`
	Topics    []event.Pattern `json:"topics"` // null: every topic
	Label     *string         `json:"label"`  // of the portal link
	ExpiresAt stamp           `json:"expires_at"`
}

// showMe tells a page who it is, and so what it can do.
func (a *API) showMe(w http.ResponseWriter, r *http.Request) *problem {
	if p := noQuery(r); p != nil {
		return p
	}
	who := principalOf(r)
	if who.Purpose == access.PurposeStream {
		return tokenLacks(r)
	}
	doc := meDocument{
		Tenant: a.tenants.Name(tenantOf(r)), Scopes: who.Scopes, Label: orNull(who.Label), ExpiresAt: stamp(who.Expires),
	}
	switch {
	case who.Purpose == access.PurposePortal:
		doc.Kind = "portal" // whose user has no business with keys
	case who.Actor.Kind == event.ActorAnybody:
		doc.Kind = "open"
	case who.Actor.Kind == event.ActorAdminKey:
		doc.Kind = "admin-key"
	case who.Actor.Kind == event.ActorJWT:
		doc.Kind = "jwt"
	default:
		doc.Kind, doc.Key = "key", orNull(who.Key.String())
	}
	if doc.Scopes == nil {
		doc.Scopes = []event.Scope{} // of a JWT that names none
	}
	if len(who.Patterns) > 0 {
		doc.Topics = who.Patterns
	}
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, http.StatusOK, doc)
	return nil
}
