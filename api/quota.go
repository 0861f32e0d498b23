package api

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"sync"
	"time"

	"github.com/carillon/carillon/access"
	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// rates meters the events that tenants post, for those that have a quota of it. Each has a bucket that holds what comes in
// a second: who has posted nothing for a while may post so much at once. A batch that is larger than the bucket passes when
// that is full, and is paid for afterwards. Memory is bounded by the number of tenants. Safe for concurrent use.
type rates struct {
	tenants *access.Tenants
	now     func() time.Time

	mu      sync.Mutex
	buckets map[event.TenantID]*bucket
}

// bucket is how many events a tenant may post, as of a time; fewer than none: it has posted a large batch.
type bucket struct {
	events float64
	at     time.Time
}

func newRates(tenants *access.Tenants) *rates {
	return &rates{tenants: tenants, now: time.Now, buckets: make(map[event.TenantID]*bucket)}
}

// metered is how a tenant stands with its quota.
type metered struct {
	quota int64 // events per second; 0: none
	left  int64
	full  time.Duration // until nothing is missing
	wait  time.Duration // until what was asked for will do; 0: it did
}

// take lets a tenant post so many events, all of them or none. For none it only tells how the tenant stands.
func (m *rates) take(tenant event.TenantID, events int) metered {
	quotas, _ := m.tenants.Quotas(tenant)
	if quotas.EventsPerSecond == 0 {
		return metered{}
	}
	most := float64(quotas.EventsPerSecond)
	now := m.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.buckets[tenant]
	if b == nil {
		m.forget()
		b = &bucket{events: most, at: now}
		m.buckets[tenant] = b
	}
	b.events = min(most, b.events+most*max(0, now.Sub(b.at)).Seconds())
	b.at = now
	stands := metered{quota: quotas.EventsPerSecond}
	// One more is asked for of who asks for none: an empty bucket is known before a body is read.
	if needed := min(most, float64(max(1, events))); b.events < needed {
		stands.wait = seconds((needed - b.events) / most)
	} else {
		b.events -= float64(events)
	}
	stands.left = int64(max(0, b.events))
	stands.full = seconds((most - b.events) / most)
	return stands
}

// forget lets go of tenants that are deleted, once they could be as many as those that are there. The lock is held.
func (m *rates) forget() {
	if len(m.buckets) < m.tenants.Count() {
		return
	}
	for id := range m.buckets {
		if _, there := m.tenants.Quotas(id); !there {
			delete(m.buckets, id)
		}
	}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// wholeSeconds rounds up, to one at least.
func wholeSeconds(d time.Duration) int {
	return max(1, int(math.Ceil(d.Seconds())))
}

// tell sets the fields of draft-ietf-httpapi-ratelimit-headers-10: the policy, of q events in w seconds, and that r are left
// and that it will be as if none had been posted in t seconds.
func (s metered) tell(h http.Header) {
	h.Set("RateLimit-Policy", fmt.Sprintf(`"events";q=%d;w=1`, s.quota))
	h.Set("RateLimit", fmt.Sprintf(`"events";r=%d;t=%d`, s.left, wholeSeconds(s.full)))
}

// meter takes events from the request's tenant's quota, and tells how it stands with it. Asked for none it refuses who
// could post none.
func (a *API) meter(w http.ResponseWriter, r *http.Request, events int) *problem {
	stands := a.rates.take(tenantOf(r), events)
	if stands.quota == 0 {
		return nil
	}
	stands.tell(w.Header())
	if stands.wait == 0 {
		return nil
	}
	return &problem{kind: kindTooManyEvents, retryAfter: wholeSeconds(stands.wait), detail: fmt.Sprintf(
		"The tenant may post %d events a second. Nothing was stored; post it again after Retry-After, and slower from then on.", stands.quota)}
}

// metering makes a handler of one that posts events: it refuses before the body is read who can post none at the moment.
func (a *API) metering(handle func(http.ResponseWriter, *http.Request) *problem) func(http.ResponseWriter, *http.Request) *problem {
	return func(w http.ResponseWriter, r *http.Request) *problem {
		if p := a.meter(w, r, 0); p != nil {
			return a.countRefusal(p)
		}
		return handle(w, r)
	}
}

// quotaProblem says of which of its quotas a tenant has no more; nil for other errors.
func quotaProblem(err error) *problem {
	var over *store.QuotaError
	if !errors.As(err, &over) {
		return nil
	}
	switch over.Quota {
	case "webhooks":
		return kindQuota.is("The tenant has %d webhooks, and may have %d. Delete one, or have the quota raised.", over.Used, over.Limit)
	default:
		return kindQuota.is("The tenant's events take %d bytes of the %d that it may store, and this would be more. Nothing was stored. "+
			"There is room again when retention has removed old ones, or the quota is raised.", over.Used, over.Limit)
	}
}
