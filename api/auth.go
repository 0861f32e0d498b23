package api

import (
	"net/http"
	"strings"

	"github.com/carillon/carillon/access"
	"github.com/carillon/carillon/event"
)

// tenantOf returns the tenant whose things the request may see. It is zero, which is nobody's, for routes that anybody
// may use.
func tenantOf(r *http.Request) event.TenantID { return requestOf(r).tenant }

// principalOf returns who the request comes from, as the door found.
func principalOf(r *http.Request) *access.Principal { return &requestOf(r).principal }

// bearerToken returns the token that the request carries (RFC 6750, section 2.1); false where there is none.
func bearerToken(r *http.Request) (event.Secret, bool) {
	scheme, token, found := strings.Cut(r.Header.Get("Authorization"), " ")
	token = strings.TrimLeft(token, " ")
	if !found || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", false
	}
	return event.Secret(token), true
}

// asking makes an [http.HandlerFunc] of a handler for who has a scope; see [API.answer].
func (a *API) asking(scope event.Scope) func(func(http.ResponseWriter, *http.Request) *problem) http.HandlerFunc {
	return func(handle func(http.ResponseWriter, *http.Request) *problem) http.HandlerFunc {
		return a.answer(func(w http.ResponseWriter, r *http.Request) *problem {
			if !principalOf(r).May(scope) {
				if p := tokenLacks(r); p != nil {
					return p
				}
				return kindForbidden.is("The key in Authorization lacks the scope %s.", scope)
			}
			return handle(w, attributed(r, scope))
		})
	}
}

// checkReach refuses patterns of which the request's key does not reach every topic. field names the place of each.
func checkReach(r *http.Request, patterns []event.Pattern, field func(int) string) *problem {
	var bad []event.FieldError
	for i, pattern := range patterns {
		if !principalOf(r).ReachesAll(pattern) {
			bad = append(bad, event.FieldError{Field: field(i), Detail: "names topics that the key does not reach; it reaches " + reach(r)})
		}
	}
	if len(bad) > 0 {
		return kindForbidden.in(bad...)
	}
	return nil
}

// checkTopic refuses a topic that the request's key does not reach.
func checkTopic(r *http.Request, topic event.Topic, field string) *problem {
	if principalOf(r).Reaches(topic) {
		return nil
	}
	return kindForbidden.in(event.FieldError{Field: field, Detail: "is no topic that the key reaches; it reaches " + reach(r)})
}

// reach says which topics the request's key reaches, a few of many.
func reach(r *http.Request) string {
	const most = 5
	var names []string
	for i, p := range principalOf(r).Patterns {
		if i == most {
			names = append(names, "…")
			break
		}
		names = append(names, string(p))
	}
	return strings.Join(names, ", ")
}

// fixedField names the one place that a pattern can stand in.
func fixedField(name string) func(int) string { return func(int) string { return name } }
