package store

import (
	"context"

	"github.com/carillon/carillon/event"
)

// Tenants is who shares the gateway. It is small, kept in memory by every node and read there. The default tenant
// ([event.DefaultTenant], named [event.DefaultTenantName]) is there from the first and cannot be deleted.
//
// Everything in the other parts of the contract that names a tenant which is not there, or is not there any more, finds
// nothing.
type Tenants interface {
	// CreateTenant stores a tenant and sets its ID, Version and times. ErrConflict if the name is taken. IDs grow, from the
	// one after [event.DefaultTenant], and none is given out twice: what an end has left behind is nobody's.
	CreateTenant(ctx context.Context, t *event.Tenant) error

	// UpdateTenant replaces a tenant's quotas, if its version is still t.Version (ErrConflict), and sets its new Version and
	// UpdatedAt. What the tenant has already stays, also where it is more than the quotas allow.
	UpdateTenant(ctx context.Context, t *event.Tenant) error

	// DeleteTenant ends a tenant, at once and in one small write: nothing of it is found from then on, its name is free, its
	// webhooks are told to watchers as deleted, and nothing is recorded any more of its deliveries. Its keys are told to no
	// watcher of keys: they end with it. [Log].Trim removes what it has left. ErrState for the default tenant.
	DeleteTenant(ctx context.Context, id event.TenantID) error

	// Tenant returns a tenant by its name.
	Tenant(ctx context.Context, name string) (*event.Tenant, error)

	// ListTenants lists the tenants by name.
	ListTenants(ctx context.Context, p Page) (List[*event.Tenant], error)

	// TenantUsage tells what a tenant has, from memory. All is zero for one that is not there.
	TenantUsage(ctx context.Context, id event.TenantID) (TenantUsage, error)

	// WatchTenants calls changed with all tenants, before it returns, and then with each that is created, updated or deleted
	// ([event.Tenant.Deleted]), in the order of the changes and before the write that made them returns. changed must be
	// quick and must not call the engine; the tenants are shared and must not be written to. stop ends it; changed is not
	// called after stop has returned.
	WatchTenants(changed func([]*event.Tenant)) (stop func(), err error)
}

// TenantUsage is what a tenant has of that for which there are quotas.
type TenantUsage struct {
	// StoredBytes is the size of its events in the log: payloads and attributes, and about as much as an engine needs
	// beside them for each event and each webhook that matched. Deliveries are not in it.
	StoredBytes int64
	Webhooks    int64
}
