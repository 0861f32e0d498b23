package event

import (
	"fmt"
	"time"
)

// DefaultTenantName is what the tenant is called that is there from the first.
const DefaultTenantName = "default"

// Tenant is a wall: events, webhooks, streams and keys of one tenant are invisible to every other.
type Tenant struct {
	ID      TenantID
	Version int64 // counts changes

	// Name is unique among the tenants that are there, and never changes.
	Name string

	Quotas Quotas

	CreatedAt time.Time
	UpdatedAt time.Time
	DeletedAt time.Time // zero: it is there
}

// Deleted reports whether the tenant is gone: only who is told of its end meets such a one.
func (t *Tenant) Deleted() bool { return !t.DeletedAt.IsZero() }

// Quotas bound what a tenant may use. Zero is no bound.
type Quotas struct {
	EventsPerSecond int64
	StoredBytes     int64 // of its events in the log
	Webhooks        int64 // enabled or not
	Streams         int64 // open at the same time, waiting polls too
}

// Limits of a tenant.
const (
	MaxTenantName = 63      // bytes: it is fit for a label of a DNS name
	MaxQuota      = 1 << 50 // beyond it no bound is meant
)

// Validate returns everything that is wrong with what somebody wants a tenant to be. The fields are named as in the API.
func (t *Tenant) Validate() []FieldError {
	var bad []FieldError
	if !ValidTenantName(t.Name) {
		bad = append(bad, FieldError{"name", fmt.Sprintf(
			"must be 1 to %d of a-z, 0-9 and -, and must not begin with -", MaxTenantName)})
	}
	for _, q := range []struct {
		field string
		value int64
	}{
		{"events_per_second", t.Quotas.EventsPerSecond},
		{"stored_bytes", t.Quotas.StoredBytes},
		{"webhooks", t.Quotas.Webhooks},
		{"streams", t.Quotas.Streams},
	} {
		if q.value < 0 || q.value > MaxQuota {
			bad = append(bad, FieldError{"quotas." + q.field, fmt.Sprintf("must be 0, which is no bound, to %d", int64(MaxQuota))})
		}
	}
	return bad
}

// ValidTenantName reports whether a tenant can be called so.
func ValidTenantName(name string) bool {
	if name == "" || len(name) > MaxTenantName || name[0] == '-' {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if c != '-' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}
