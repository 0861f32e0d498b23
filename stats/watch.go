package stats

import (
	"errors"
	"fmt"

	"github.com/carillon/carillon/event"
)

const (
	// MaxWatches bounds how many watch at once, and MaxWatchesOfTenant how many of one tenant. There are more places for
	// tenants than can be watched.
	MaxWatches         = 128
	MaxWatchesOfTenant = 32

	// unread is how many points may wait for who watches.
	unread = 4
)

// ErrFull is returned where as many watch as may, and ErrClosed when the book's Run has ended.
var (
	ErrFull   = errors.New("too many are watching")
	ErrClosed = errors.New("the book is closed")
)

// Watch is somebody who watches the points of a tenant.
type Watch struct {
	// Before are the points up to now, oldest first; Points brings each that follows, with none left out. It is closed when
	// the book's Run has ended, and when too many points are waiting to be read.
	Before []Point
	Points <-chan Point

	points chan Point
	tenant event.TenantID
	closed bool
}

// Watch begins to watch a tenant. [Book.Leave] ends it. ErrFull or ErrClosed.
func (b *Book) Watch(tenant event.TenantID) (*Watch, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return nil, ErrClosed
	}
	if b.watches >= MaxWatches {
		return nil, fmt.Errorf("in all: %w", ErrFull)
	}
	p := b.tenants[tenant]
	if p == nil {
		p = b.squeeze(tenant)
	}
	if len(p.watches) >= MaxWatchesOfTenant {
		return nil, fmt.Errorf("of the tenant: %w", ErrFull)
	}
	points := make(chan Point, unread)
	w := &Watch{Before: p.all(), Points: points, points: points, tenant: tenant}
	if p.watches == nil {
		p.watches = make(map[*Watch]struct{})
	}
	p.watches[w] = struct{}{}
	b.watches++
	return w, nil
}

// squeeze gives a tenant a page, if need be in the place of the one that nobody watches and that has been quiet for the
// longest. The lock is held.
func (b *Book) squeeze(tenant event.TenantID) *page {
	if len(b.tenants) >= MaxTenants {
		var out event.TenantID
		for other, p := range b.tenants {
			if len(p.watches) == 0 && other != event.DefaultTenant && (out == 0 || p.active.Before(b.tenants[out].active)) {
				out = other
			}
		}
		delete(b.tenants, out)
	}
	return b.open(tenant)
}

// Leave ends a watch. It may be called again.
func (b *Book) Leave(w *Watch) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drop(w)
}

// drop ends a watch. The lock is held.
func (b *Book) drop(w *Watch) {
	if w.closed {
		return
	}
	w.closed = true
	close(w.points)
	delete(b.tenants[w.tenant].watches, w)
	b.watches--
}

// pass gives a point to who watches. The lock is held.
func (b *Book) pass(w *Watch, p Point) {
	select {
	case w.points <- p:
	default:
		b.drop(w) // who comes back gets the points that it has missed
	}
}

// end ends all watches.
func (b *Book) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
	for _, p := range b.tenants {
		for w := range p.watches {
			b.drop(w)
		}
	}
}
