package stats

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/carillon/carillon/event"
)

const (
	// Interval is what one point tells of.
	Interval = 5 * time.Second
	// History is how many points are remembered of a tenant: an hour.
	History = 720
	// MaxTenants bounds of how many tenants a history is kept: 35 KiB for each.
	MaxTenants = 256

	// makeRoom is how many tenants at most give up their places at the end of an interval in which all were taken: those
	// that have been quiet for the longest, and for quietEnough.
	makeRoom    = MaxTenants / 16
	quietEnough = time.Minute

	// gaugeWait is how long the counting of what is pending is waited for; the number before serves then.
	gaugeWait = time.Second
)

// Config is what a book needs.
type Config struct {
	// Backlogs tells how many deliveries are pending, about, of each tenant that has any. Streams tells how many streams a
	// tenant has open.
	Backlogs func(context.Context) (map[event.TenantID]int64, error)
	Streams  func(event.TenantID) int
	Log      *slog.Logger
}

// Book counts, and remembers. Safe for concurrent use.
type Book struct {
	cfg Config

	mu       sync.Mutex
	tenants  map[event.TenantID]*page
	backlogs map[event.TenantID]int64 // as told last; not to be written to
	watches  int
	over     bool // Run has ended: nobody can watch any more
}

// page is what the book has of a tenant.
type page struct {
	counts
	past
	active  time.Time // the end of the last interval in which something happened
	watches map[*Watch]struct{}
}

// New returns a book. It counts at once, and turns its pages while [Book.Run] runs.
func New(cfg Config) *Book {
	b := &Book{cfg: cfg, tenants: make(map[event.TenantID]*page)}
	// Most gateways have no other tenant: its history begins with the gateway, and not with its first event.
	b.open(event.DefaultTenant)
	return b
}

// open gives a tenant a page; nil if there is no place for one. The lock is held.
func (b *Book) open(tenant event.TenantID) *page {
	p := b.tenants[tenant]
	if p == nil && len(b.tenants) < MaxTenants {
		p = &page{active: time.Now()}
		b.tenants[tenant] = p
	}
	return p
}

// Appended counts events as they come from the log. It keeps nothing of them.
func (b *Book) Appended(events []*event.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var of event.TenantID // none has the zero one
	var p *page
	for _, ev := range events {
		if ev.Topic.Reserved() {
			continue
		}
		if ev.Tenant != of {
			of, p = ev.Tenant, b.open(ev.Tenant)
		}
		if p != nil {
			p.events++
		}
	}
}

// Settled counts what came of a delivery, in the words of [Point]: Pending is an attempt that failed and is followed by
// another one. took is how long it was from the event's acceptance to the success of the first attempt, or negative.
func (b *Book) Settled(tenant event.TenantID, state event.State, took time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.open(tenant)
	if p == nil {
		return
	}
	switch state {
	case event.Pending:
		p.retrying++
	case event.Delivered:
		p.delivered++
		if took >= 0 {
			p.took.add(took)
		}
	case event.Failed:
		p.failed++
	case event.Canceled:
		p.canceled++
	}
}

// Run ends an interval every [Interval], until ctx ends, and returns nil then. The points of those who watch end with it.
func (b *Book) Run(ctx context.Context) error {
	defer b.end()
	tick := time.NewTicker(Interval)
	defer tick.Stop()
	b.askBacklogs(ctx) // it begins the counting, of which the first point wants to know
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			b.askBacklogs(ctx)
			b.turn(now)
		}
	}
}

// askBacklogs finds out what is pending.
func (b *Book) askBacklogs(ctx context.Context) {
	asking, cancel := context.WithTimeout(ctx, gaugeWait)
	defer cancel()
	backlogs, err := b.cfg.Backlogs(asking)
	if err != nil {
		if ctx.Err() == nil {
			b.cfg.Log.Debug("how many deliveries are pending is not known; the numbers before serve", "error", err)
		}
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.backlogs = backlogs
}

// turn ends the interval.
func (b *Book) turn(now time.Time) {
	// The counting of streams has a lock of its own, which is not to be waited for under the book's.
	streams := make(map[event.TenantID]int)
	for _, tenant := range b.known() {
		streams[tenant] = b.cfg.Streams(tenant)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for tenant, p := range b.tenants {
		if p.any() {
			p.active = now
		}
		point := p.point(now, b.backlogs[tenant], streams[tenant])
		p.counts = counts{}
		p.add(point)
		for w := range p.watches {
			b.pass(w, point)
		}
	}
	b.forget(now)
}

func (b *Book) known() []event.TenantID {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Collect(maps.Keys(b.tenants))
}

// forget drops tenants of which the last hour has nothing to tell, and makes room if there is none. The lock is held.
func (b *Book) forget(now time.Time) {
	quiet := make([]event.TenantID, 0, len(b.tenants))
	for tenant, p := range b.tenants {
		if tenant != event.DefaultTenant && len(p.watches) == 0 && now.Sub(p.active) >= quietEnough {
			quiet = append(quiet, tenant)
		}
	}
	slices.SortFunc(quiet, func(x, y event.TenantID) int { return b.tenants[x].active.Compare(b.tenants[y].active) })
	full := len(b.tenants) >= MaxTenants
	for i, tenant := range quiet {
		if full && i < makeRoom || now.Sub(b.tenants[tenant].active) >= History*Interval {
			delete(b.tenants, tenant)
		}
	}
}

// Look returns a tenant's points, oldest first, and how things stand in the interval that is under way.
func (b *Book) Look(tenant event.TenantID) (points []Point, now Point) {
	streams := b.cfg.Streams(tenant)
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.tenants[tenant]
	if p == nil {
		p = &page{}
	}
	return p.all(), p.point(time.Now(), b.backlogs[tenant], streams)
}
