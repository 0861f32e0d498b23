package api

import (
	"net/http"
	"slices"

	"github.com/carillon/carillon/access"
	"github.com/carillon/carillon/event"
)

// portalFragment precedes the token in a portal link. What stands in a URL's fragment is sent to nobody, neither with the
// request nor in Referer.
const portalFragment = "#portal="

// portalLinkDocument is a portal link as it is shown, once.
type portalLinkDocument struct {
	URL     string `json:"url"`
	Expires stamp  `json:"expires"`
}

// createPortalLink makes a link to the console for a tenant's user.
func (a *API) createPortalLink(w http.ResponseWriter, r *http.Request) *problem {
	t := tokenAsk{lifetimes: portalLifetimes, grant: access.Grant{Purpose: access.PurposePortal}}
	if p := a.readTokenAsk(w, r, &t, false, true); p != nil {
		return p
	}
	if len(t.bad) > 0 {
		return kindInvalid.in(t.bad...)
	}
	if !t.topics {
		t.grant.Patterns = portalReach(principalOf(r))
		if len(t.grant.Patterns) == 0 {
			return kindInvalid.in(event.FieldError{Field: "topics", Detail: "is required with this key, which reaches the gateway's own topics only"})
		}
	}
	if p := checkReach(r, t.grant.Patterns, topicField); p != nil {
		return p
	}
	token, made, p := a.makeToken(r, t.grant)
	if p != nil {
		return p
	}
	// Nothing else is stored of it; so this comes first, and a link that nobody knows of is not given out.
	err := a.store.AppendAudit(r.Context(), tenantOf(r), event.AuditPortalLinkCreated, event.NewID().String(),
		event.PortalLinkChanges(t.grant.Patterns, t.grant.Label, made.Expires))
	if err != nil {
		return a.storeProblem(r, "noting a portal link", err)
	}
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, http.StatusCreated, portalLinkDocument{a.publicURL(r) + "/" + portalFragment + token.Reveal(), stamp(made.Expires)})
	return nil
}

// portalReach is what a portal link reaches that was asked for without topics: all that its maker reaches but the
// gateway's own topics, which tell of others.
func portalReach(who *access.Principal) []event.Pattern {
	if len(who.Patterns) == 0 {
		return []event.Pattern{"**"} // which matches none of the gateway's own
	}
	return slices.DeleteFunc(slices.Clone(who.Patterns), func(p event.Pattern) bool { return event.Topic(p).Reserved() })
}

// publicURL is where browsers reach the gateway, without a slash at the end.
func (a *API) publicURL(r *http.Request) string {
	if a.cfg.PublicURL != "" {
		return a.cfg.PublicURL
	}
	return originOf(r)
}
