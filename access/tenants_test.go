package access_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/carillon/carillon/access"
	"github.com/carillon/carillon/event"
)

// fakeTenants holds tenants as an engine does.
type fakeTenants struct{ changed func([]*event.Tenant) }

func (s *fakeTenants) WatchTenants(changed func([]*event.Tenant)) (func(), error) {
	s.changed = changed
	changed([]*event.Tenant{{ID: event.DefaultTenant, Name: event.DefaultTenantName}})
	return func() {}, nil
}

func TestTenants(t *testing.T) {
	s := &fakeTenants{}
	var tenants *access.Tenants
	var ended []event.TenantID
	tenants, err := access.NewTenants(s, func(id event.TenantID) {
		if tenants.Name(id) != "" {
			t.Errorf("tenant %d is told to have ended, and is still found", id)
		}
		ended = append(ended, id)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer tenants.Close()
	if id, found := tenants.ByName("default"); !found || id != event.DefaultTenant {
		t.Errorf("default is %d, %t", id, found)
	}
	acme := &event.Tenant{ID: 2, Name: "acme", Quotas: event.Quotas{Streams: 3}}
	s.changed([]*event.Tenant{acme})
	if id, found := tenants.ByName("acme"); !found || id != 2 || tenants.Name(2) != "acme" || tenants.Count() != 2 {
		t.Errorf("acme is %d, %t", id, found)
	}
	if q, found := tenants.Quotas(2); !found || q.Streams != 3 {
		t.Errorf("its quotas are %+v", q)
	}
	more := *acme
	more.Quotas.Streams = 4
	s.changed([]*event.Tenant{&more})
	if q, _ := tenants.Quotas(2); q.Streams != 4 {
		t.Errorf("its quotas are %+v after a change", q)
	}
	gone := more
	gone.DeletedAt = time.Now()
	s.changed([]*event.Tenant{&gone})
	if _, found := tenants.ByName("acme"); found || tenants.Count() != 1 || !slices.Equal(ended, []event.TenantID{2}) {
		t.Errorf("deleted, and found %t; ended are %v", found, ended)
	}
	if _, found := tenants.Quotas(2); found {
		t.Error("deleted, and has quotas")
	}
}

// The keys of a tenant end with it, whatever else they say.
func TestForgetTenant(t *testing.T) {
	theirs, ours := event.NewKeyToken(), event.NewKeyToken()
	key := newKey(ours)
	key.Tenant = 8
	keys := tokenKeys(t, &fakeStore{keys: []*event.Key{newKey(theirs), key}}, "", tokenSecret)
	maker, err := keys.Find(theirs, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	token, _, err := keys.MakeToken(&maker, grant(access.PurposePortal, time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	keys.ForgetTenant(7)
	if _, err := keys.FindToken(token, time.Now()); !errors.Is(err, access.ErrMaker) {
		t.Errorf("a token of the tenant's key: %v", err)
	}
	if _, err := keys.Find(theirs, time.Now()); !errors.Is(err, access.ErrUnknown) {
		t.Errorf("a key of the tenant: %v", err)
	}
	if _, err := keys.Find(ours, time.Now()); err != nil || keys.Open() {
		t.Errorf("a key of another: %v, and open is %t", err, keys.Open())
	}
}

func TestWholeGateway(t *testing.T) {
	for _, c := range []struct {
		p    access.Principal
		want bool
	}{
		{access.Principal{}, false},
		{access.Principal{Tenant: event.DefaultTenant, Scopes: []event.Scope{event.ScopeAdmin}}, true},
		{access.Principal{Tenant: event.DefaultTenant, Scopes: []event.Scope{event.ScopeManage, event.ScopePublish}}, false},
		{access.Principal{Tenant: 7, Scopes: []event.Scope{event.ScopeAdmin}}, false},
	} {
		if c.p.WholeGateway() != c.want {
			t.Errorf("%+v: not %t", c.p, c.want)
		}
	}
}
