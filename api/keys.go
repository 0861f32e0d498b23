package api

import (
	"net/http"
	"slices"
	"time"

	"github.com/carillon/carillon/event"
)

const keyPath = "/v1/keys/"

// keyDocument is a key as the API shows it: never with its token.
type keyDocument struct {
	ID         event.ID        `json:"id"`
	Name       string          `json:"name"`
	Tenant     string          `json:"tenant"`
	Scopes     []event.Scope   `json:"scopes"`
	Topics     []event.Pattern `json:"topics"` // null: every topic
	CreatedAt  stamp           `json:"created_at"`
	ExpiresAt  stamp           `json:"expires_at"`
	LastUsedAt stamp           `json:"last_used_at"`
	RevokedAt  stamp           `json:"revoked_at"`
}

// keyWithToken is the one answer that shows a token: after it was made.
type keyWithToken struct {
	keyDocument
	Key string `json:"key"`
}

func (a *API) showKey(k *event.Key) keyDocument {
	doc := keyDocument{
		ID: k.ID, Name: k.Name, Tenant: a.tenants.Name(k.Tenant), Scopes: k.Scopes, CreatedAt: stamp(k.CreatedAt), ExpiresAt: stamp(k.ExpiresAt),
		LastUsedAt: stamp(k.LastUsedAt), RevokedAt: stamp(k.RevokedAt),
	}
	if len(k.Patterns) > 0 {
		doc.Topics = k.Patterns
	}
	return doc
}

// Bounds of how long a key that expires lives.
const (
	minKeyLifetime = time.Second
	maxKeyLifetime = event.MaxKeyLifetime
)

// readKey reads what somebody wants a key to be. tenant is the name of the tenant that it is to be of; empty where none is
// named.
func readKey(members []member, now time.Time) (_ *event.Key, tenant string, _ []event.FieldError) {
	k := &event.Key{ID: event.NewID()}
	var bad []event.FieldError
	for _, m := range members {
		var err *event.FieldError
		switch m.name {
		case "name":
			k.Name, err = readValue[string](m, "a text")
		case "scopes":
			k.Scopes, err = readValue[[]event.Scope](m, "a list of scopes")
		case "topics":
			if m.null() {
				continue
			}
			if k.Patterns, err = readValue[[]event.Pattern](m, "a list of topic patterns"); err == nil && len(k.Patterns) == 0 {
				// Whoever makes such a list by a script means no topic, and not every one.
				err = &event.FieldError{Field: m.name, Detail: "is empty; leave it out for a key that reaches every topic"}
			}
		case "tenant":
			if m.null() {
				continue
			}
			if tenant, err = readValue[string](m, "a text"); err == nil && tenant == "" {
				err = &event.FieldError{Field: m.name, Detail: "is empty; leave it out for the tenant that the request is for"}
			}
		case "expires_in":
			var lifetime span
			if err = setOr(&lifetime, m, 0, "a duration, such as 720h or 30d"); err != nil || m.null() {
				break
			}
			if time.Duration(lifetime) < minKeyLifetime || time.Duration(lifetime) > maxKeyLifetime {
				err = &event.FieldError{Field: m.name, Detail: "must be " + span(minKeyLifetime).String() + " to " + span(maxKeyLifetime).String()}
				break
			}
			k.ExpiresAt = now.Add(lifetime.kept()).UTC().Truncate(event.Precision)
		default:
			err = &event.FieldError{Field: m.name, Detail: "unknown field"}
		}
		if err != nil {
			bad = append(bad, *err)
		}
	}
	for _, fault := range k.Validate() {
		// What could not be read is not missing.
		if !faultIn(bad, fault.Field) {
			bad = append(bad, fault)
		}
	}
	return k, tenant, bad
}

// createKey makes a key. The first one ends that nobody is asked for one: it must be one that can make others, unless the
// configuration has one.
func (a *API) createKey(w http.ResponseWriter, r *http.Request) *problem {
	if p := noQuery(r); p != nil {
		return p
	}
	members, p := a.readObject(w, r, "application/json")
	if p != nil {
		return p
	}
	k, tenant, bad := readKey(members, time.Now())
	if a.access.Open() && len(k.Scopes) > 0 && !slices.Contains(k.Scopes, event.ScopeAdmin) && !faultIn(bad, "scopes") {
		bad = append(bad, event.FieldError{Field: "scopes", Detail: "must have admin: with the first key every request needs one, " +
			"and without an admin's nobody could make another"})
	}
	if len(bad) > 0 {
		return kindInvalid.in(bad...)
	}
	k.Tenant = tenantOf(r)
	if tenant != "" {
		if k.Tenant, p = a.tenantNamed(tenant, principalOf(r), "tenant"); p != nil {
			return p
		}
	}
	if a.access.Open() && k.Tenant != event.DefaultTenant {
		return kindInvalid.in(event.FieldError{Field: "tenant", Detail: "must be " + event.DefaultTenantName + ", or be left out: " +
			"with the first key every request needs one, and without an admin's of the whole gateway nobody could make another"})
	}
	token := event.NewKeyToken()
	k.Hash = event.HashKey(token)
	if err := a.store.CreateKey(r.Context(), k); err != nil {
		return a.storeProblem(r, "creating a key", err)
	}
	w.Header().Set("Location", keyPath+k.ID.String())
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, http.StatusCreated, keyWithToken{a.showKey(k), token.Reveal()})
	return nil
}

func (a *API) listKeys(w http.ResponseWriter, r *http.Request) *problem {
	q := readQuery(r, "limit", "page")
	page := q.page()
	if p := q.problem(); p != nil {
		return p
	}
	list, err := a.store.ListKeys(r.Context(), tenantOf(r), page)
	if err != nil {
		return a.readProblem(r, "listing keys", err)
	}
	writeList(w, list, a.showKey)
	return nil
}

// pathKey returns the key's id in the path.
func pathKey(r *http.Request) (event.ID, *problem) {
	if p := noQuery(r); p != nil {
		return event.ID{}, p
	}
	return pathID(r)
}

func (a *API) getKey(w http.ResponseWriter, r *http.Request) *problem {
	id, p := pathKey(r)
	if p != nil {
		return p
	}
	k, err := a.store.Key(r.Context(), tenantOf(r), id)
	if err != nil {
		return a.readProblem(r, "reading a key", err)
	}
	writeJSON(w, http.StatusOK, a.showKey(k))
	return nil
}

// revokeKey ends a key; its streams have ended when it is answered.
func (a *API) revokeKey(w http.ResponseWriter, r *http.Request) *problem {
	id, p := pathKey(r)
	if p != nil {
		return p
	}
	if err := a.store.RevokeKey(r.Context(), tenantOf(r), id); err != nil {
		return a.storeProblem(r, "revoking a key", err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
