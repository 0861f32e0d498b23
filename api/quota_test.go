package api

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/carillon/carillon/access"
	"github.com/carillon/carillon/event"
)

// tenantsAt is a store of tenants that a test changes.
type tenantsAt struct{ changed func([]*event.Tenant) }

func (s *tenantsAt) WatchTenants(changed func([]*event.Tenant)) (func(), error) {
	s.changed = changed
	return func() {}, nil
}

func TestRates(t *testing.T) {
	s := &tenantsAt{}
	tenants, err := access.NewTenants(s, nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_800_000_000, 0)
	m := newRates(tenants)
	m.now = func() time.Time { return now }
	set := func(id event.TenantID, quota int64) {
		s.changed([]*event.Tenant{{ID: id, Name: fmt.Sprintf("t%d", id), Quotas: event.Quotas{EventsPerSecond: quota}}})
	}
	set(1, 0)
	set(2, 10)
	for i, step := range []struct {
		pass   time.Duration
		events int
		left   int64
		wait   time.Duration
	}{
		{0, 0, 10, 0}, // only asked
		{0, 9, 1, 0},
		{0, 2, 1, 100 * time.Millisecond}, // refused whole
		{0, 1, 0, 0},
		{0, 0, 0, 100 * time.Millisecond},
		{100 * time.Millisecond, 1, 0, 0},
		{time.Hour, 11, 0, 0}, // more than a second's worth, of a full bucket
		{0, 1, 0, 200 * time.Millisecond},
		{200 * time.Millisecond, 1, 0, 0},
		{900 * time.Millisecond, 1000, 9, 100 * time.Millisecond}, // the bucket is not full
		{100 * time.Millisecond, 1000, 0, 0},
		{10 * time.Second, 1, 0, 89100 * time.Millisecond},
		{-time.Hour, 1, 0, 89100 * time.Millisecond}, // a clock that is set back gives nothing and takes nothing
	} {
		now = now.Add(step.pass)
		got := m.take(2, step.events)
		if got.quota != 10 || got.left != step.left || (got.wait-step.wait).Abs() > time.Millisecond {
			t.Errorf("step %d: %+v, want %d left and %s to wait", i, got, step.left, step.wait)
		}
	}
	if got := m.take(1, 1_000_000); got != (metered{}) {
		t.Errorf("without a quota: %+v", got)
	}
	h := make(http.Header)
	metered{quota: 100, left: 99, full: 10 * time.Millisecond}.tell(h)
	if h.Get("RateLimit-Policy") != `"events";q=100;w=1` || h.Get("RateLimit") != `"events";r=99;t=1` {
		t.Errorf("told are %v", h)
	}

	// What is kept does not grow with tenants that come and go.
	for id := event.TenantID(3); id < 1000; id++ {
		set(id, 1)
		m.take(id, 1)
		s.changed([]*event.Tenant{{ID: id, Name: fmt.Sprintf("t%d", id), DeletedAt: now}})
	}
	if len(m.buckets) > 3 {
		t.Errorf("%d buckets are kept of %d tenants", len(m.buckets), tenants.Count())
	}
}
