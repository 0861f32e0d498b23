package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// Tenants is what the API does with tenants; package access knows their names.
type Tenants interface {
	CreateTenant(ctx context.Context, t *event.Tenant) error
	UpdateTenant(ctx context.Context, t *event.Tenant) error
	DeleteTenant(ctx context.Context, id event.TenantID) error
	Tenant(ctx context.Context, name string) (*event.Tenant, error)
	ListTenants(ctx context.Context, p store.Page) (store.List[*event.Tenant], error)
	TenantUsage(ctx context.Context, id event.TenantID) (store.TenantUsage, error)
}

const tenantPath = "/v1/tenants/"

// tenantDocument is a tenant as the API shows it.
type tenantDocument struct {
	Name      string         `json:"name"`
	Quotas    quotasDocument `json:"quotas"`
	Usage     usageDocument  `json:"usage"`
	CreatedAt stamp          `json:"created_at"`
	UpdatedAt stamp          `json:"updated_at"`
}

// quotasDocument is what a tenant may use; 0 is no bound.
type quotasDocument struct {
	EventsPerSecond int64 `json:"events_per_second"`
	StoredBytes     int64 `json:"stored_bytes"`
	Webhooks        int64 `json:"webhooks"`
	Streams         int64 `json:"streams"`
}

type usageDocument struct {
	StoredBytes int64 `json:"stored_bytes"`
	Webhooks    int64 `json:"webhooks"`
	Streams     int   `json:"streams"`
}

// describeTenant shows a tenant with what it uses at the moment.
func (a *API) describeTenant(ctx context.Context, t *event.Tenant) (tenantDocument, error) {
	usage, err := a.store.TenantUsage(ctx, t.ID)
	return tenantDocument{
		Name: t.Name, Quotas: quotasDocument(t.Quotas), CreatedAt: stamp(t.CreatedAt), UpdatedAt: stamp(t.UpdatedAt),
		Usage: usageDocument{usage.StoredBytes, usage.Webhooks, a.streams.Open(t.ID)},
	}, err
}

// readTenant takes what somebody wants a tenant to be. What is not named stays; named says that the name may be.
func readTenant(t *event.Tenant, members []member, named bool) []event.FieldError {
	var bad []event.FieldError
	for _, m := range members {
		var err *event.FieldError
		switch {
		case m.name == "name" && named:
			t.Name, err = readValue[string](m, "a text")
		case m.name == "quotas":
			bad = append(bad, readQuotas(&t.Quotas, m)...)
		default:
			err = &event.FieldError{Field: m.name, Detail: "unknown field"}
			if m.name == "name" {
				err.Detail = "cannot be changed"
			}
		}
		if err != nil {
			bad = append(bad, *err)
		}
	}
	for _, fault := range t.Validate() {
		if !faultIn(bad, fault.Field) {
			bad = append(bad, fault)
		}
	}
	return bad
}

// readQuotas takes those that are named. A null is no bound, and in place of all it is none for any.
func readQuotas(q *event.Quotas, m member) []event.FieldError {
	if m.null() {
		*q = event.Quotas{}
		return nil
	}
	parts, err := parseObject(m.value)
	if err != nil {
		return []event.FieldError{{Field: m.name, Detail: err.Error()}}
	}
	var bad []event.FieldError
	for _, part := range parts {
		into := map[string]*int64{
			"events_per_second": &q.EventsPerSecond, "stored_bytes": &q.StoredBytes, "webhooks": &q.Webhooks, "streams": &q.Streams,
		}[part.name]
		field := m.name + "." + part.name
		switch {
		case into == nil:
			bad = append(bad, event.FieldError{Field: field, Detail: "unknown field"})
		case part.null():
			*into = 0
		default:
			value, wrong := readValue[int64](part, "a whole number; 0 is no bound")
			if wrong != nil {
				bad = append(bad, event.FieldError{Field: field, Detail: wrong.Detail})
				continue
			}
			*into = value
		}
	}
	return bad
}

func (a *API) createTenant(w http.ResponseWriter, r *http.Request) *problem {
	if p := noQuery(r); p != nil {
		return p
	}
	members, p := a.readObject(w, r, "application/json")
	if p != nil {
		return p
	}
	t := &event.Tenant{}
	if bad := readTenant(t, members, true); len(bad) > 0 {
		return kindInvalid.in(bad...)
	}
	err := a.store.CreateTenant(r.Context(), t)
	if errors.Is(err, store.ErrConflict) {
		return kindTaken.in(event.FieldError{Field: "name", Detail: "is that of another tenant"})
	}
	if err != nil {
		return a.storeProblem(r, "creating a tenant", err)
	}
	w.Header().Set("Location", tenantPath+t.Name)
	return a.writeTenant(w, r, http.StatusCreated, t)
}

func (a *API) writeTenant(w http.ResponseWriter, r *http.Request, status int, t *event.Tenant) *problem {
	doc, err := a.describeTenant(r.Context(), t)
	if err != nil {
		return a.readProblem(r, "reading what a tenant uses", err)
	}
	writeJSON(w, status, doc)
	return nil
}

func (a *API) listTenants(w http.ResponseWriter, r *http.Request) *problem {
	q := readQuery(r, "limit", "page")
	page := q.page()
	if p := q.problem(); p != nil {
		return p
	}
	list, err := a.store.ListTenants(r.Context(), page)
	if err != nil {
		return a.readProblem(r, "listing tenants", err)
	}
	shown := store.List[tenantDocument]{Next: list.Next}
	for _, t := range list.Data {
		doc, err := a.describeTenant(r.Context(), t)
		if err != nil {
			return a.readProblem(r, "reading what a tenant uses", err)
		}
		shown.Data = append(shown.Data, doc)
	}
	writeList(w, shown, func(d tenantDocument) tenantDocument { return d })
	return nil
}

// pathTenant returns the tenant in the path.
func (a *API) pathTenant(r *http.Request) (*event.Tenant, *problem) {
	if p := noQuery(r); p != nil {
		return nil, p
	}
	name, p := pathValue(r, "name")
	if p != nil {
		return nil, p
	}
	t, err := a.store.Tenant(r.Context(), name)
	if errors.Is(err, store.ErrNotFound) {
		return nil, kindNotFound.is("There is no tenant of this name.")
	}
	if err != nil {
		return nil, a.readProblem(r, "reading a tenant", err)
	}
	return t, nil
}

func (a *API) getTenant(w http.ResponseWriter, r *http.Request) *problem {
	t, p := a.pathTenant(r)
	if p != nil {
		return p
	}
	return a.writeTenant(w, r, http.StatusOK, t)
}

// patchTenant changes the quotas that are named. It is tried again where somebody else was quicker.
func (a *API) patchTenant(w http.ResponseWriter, r *http.Request) *problem {
	members, p := a.readObject(w, r, "application/merge-patch+json", "application/json")
	if p != nil {
		return p
	}
	for range patchTries {
		t, p := a.pathTenant(r)
		if p != nil {
			return p
		}
		if bad := readTenant(t, members, false); len(bad) > 0 {
			return kindInvalid.in(bad...)
		}
		err := a.store.UpdateTenant(r.Context(), t)
		if err == nil {
			return a.writeTenant(w, r, http.StatusOK, t)
		}
		if !errors.Is(err, store.ErrConflict) {
			return a.storeProblem(r, "changing a tenant", err)
		}
	}
	return &problem{kind: kindConflict, retryAfter: 1, detail: "Others keep changing the tenant. Nothing of this was changed; try again."}
}

// deleteTenant ends a tenant. When it is answered, nobody comes in with its keys and its streams have ended.
func (a *API) deleteTenant(w http.ResponseWriter, r *http.Request) *problem {
	t, p := a.pathTenant(r)
	if p != nil {
		return p
	}
	err := a.store.DeleteTenant(r.Context(), t.ID)
	if errors.Is(err, store.ErrState) {
		return kindWrongState.is("The tenant %s is the gateway's own and cannot be deleted.", event.DefaultTenantName)
	}
	if err != nil {
		return a.storeProblem(r, "deleting a tenant", err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
