package api

import (
	"net/http"

	"github.com/carillon/carillon/access"
	"github.com/carillon/carillon/event"
)

// tenantHeader names the tenant that a request is for.
const tenantHeader = "Carillon-Tenant"

// actingFor says whose things a request may see. That is its key's tenant, unless it names another: which only who runs the
// whole gateway may, and anybody else cannot find out by it which tenants there are.
func (a *API) actingFor(r *http.Request, who *access.Principal) (event.TenantID, *problem) {
	names := r.Header.Values(tenantHeader)
	switch {
	case len(names) == 0:
		return who.Tenant, nil
	case len(names) > 1:
		return 0, kindBadRequest.in(event.FieldError{Field: tenantHeader, Detail: "may be given once"})
	}
	return a.tenantNamed(names[0], who, tenantHeader)
}

// tenantNamed finds the tenant that a principal names, in field.
func (a *API) tenantNamed(name string, who *access.Principal, field string) (event.TenantID, *problem) {
	if !who.WholeGateway() {
		if name != "" && name == a.tenants.Name(who.Tenant) {
			return who.Tenant, nil
		}
		return 0, kindForbidden.in(event.FieldError{Field: field,
			Detail: "may name no tenant but the key's own: the key is not an admin's of the whole gateway"})
	}
	id, found := a.tenants.ByName(name)
	if !found {
		return 0, kindNotFound.in(event.FieldError{Field: field, Detail: "names no tenant that there is"})
	}
	return id, nil
}

// askingGateway is [API.asking] for what is the gateway's as a whole, and no tenant's.
func (a *API) askingGateway(handle func(http.ResponseWriter, *http.Request) *problem) http.HandlerFunc {
	return a.asking(event.ScopeAdmin)(func(w http.ResponseWriter, r *http.Request) *problem {
		if !principalOf(r).WholeGateway() {
			return kindForbidden.is("The key is an admin's of one tenant; this is for an admin of the whole gateway.")
		}
		return handle(w, r)
	})
}
