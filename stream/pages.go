package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// pageKey says which piece of the log, and how it is encoded.
type pageKey struct {
	tenant event.TenantID
	topics string // as [groupKey] writes them
	filter string
	form   form
	after  event.Cursor
}

// page is a piece of the log that is being read, or was.
type page struct {
	read  chan struct{} // closed when chunk or err is set
	chunk *chunk
	err   error
}

// pages keeps the pieces of the log that were read last while anybody catches up. Streams that lost their connections
// together resume from about the same place: a thousand of them read and encode the log once, and not a thousand times.
// Safe for concurrent use.
type pages struct {
	maxBytes int
	hits     prometheus.Counter

	mu       sync.Mutex
	held     map[pageKey]*page
	order    []pageKey // oldest first
	bytes    int
	catching int // streams that catch up
}

// begin and end are called by each stream that catches up. When the last one has caught up nothing is kept: not for
// memory, nor for what retention meanwhile removes.
func (p *pages) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.catching++
}

func (p *pages) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.catching--
	if p.catching == 0 {
		clear(p.held)
		p.order, p.bytes = nil, 0
	}
}

// count returns how many streams catch up.
func (p *pages) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.catching
}

// get returns a page, which load reads if it is not held. Several who want the same page wait for one of them.
func (p *pages) get(ctx context.Context, key pageKey, load func() (*chunk, error)) (*chunk, error) {
	for {
		p.mu.Lock()
		known := p.held[key]
		if known == nil {
			known = &page{read: make(chan struct{})}
			p.held[key] = known
			p.mu.Unlock()
			return p.load(key, known, load)
		}
		p.mu.Unlock()
		select {
		case <-known.read:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		// An error may be that of a reader whose own client has left.
		if known.err == nil {
			p.hits.Inc()
			return known.chunk, nil
		}
	}
}

func (p *pages) load(key pageKey, mine *page, load func() (*chunk, error)) (*chunk, error) {
	defer close(mine.read)
	mine.err = errOver // should load panic
	c, err := load()
	mine.chunk, mine.err = c, err
	p.mu.Lock()
	defer p.mu.Unlock()
	// What was cleared meanwhile stays so.
	if p.held[key] == mine {
		if err != nil || c.gap || c.through <= key.after {
			delete(p.held, key) // it would be another one the next time
		} else {
			p.keep(key, c)
		}
	}
	return c, err
}

// keep counts a page and lets the oldest go. The newest stays, however large: it is being sent.
func (p *pages) keep(key pageKey, c *chunk) {
	p.order = append(p.order, key)
	p.bytes += c.kept()
	for len(p.order) > 1 && p.bytes > p.maxBytes {
		oldest := p.order[0]
		p.order = p.order[1:]
		p.bytes -= p.held[oldest].chunk.kept()
		delete(p.held, oldest)
	}
}

// pageOverhead is what a page costs besides its events, roughly: one on which a filter accepts nothing, too.
const pageOverhead = 512

// kept is how much memory the chunk holds as a page.
func (c *chunk) kept() int { return pageOverhead + cap(c.room) + 8*cap(c.ends) + 8*cap(c.cursors) }

// page returns what the log has after the position.
func (s *subscriber) page(ctx context.Context) (*chunk, error) {
	key := pageKey{s.tenant, s.group.key, s.shard.source, s.form, s.position}
	return s.hub.pages.get(ctx, key, func() (*chunk, error) { return s.readPage(ctx) })
}

func (s *subscriber) readPage(ctx context.Context) (*chunk, error) {
	s.hub.metrics.logReads.Inc()
	result, err := s.hub.log.Read(ctx, s.tenant, store.ReadQuery{
		After:    s.position,
		Patterns: s.group.patterns,
		// Pages end where cursors are round, so that streams which began at different places soon share them.
		Limit: s.shard.atOnce(pageEvents - int(s.position%pageEvents)),
		Bytes: pageBytes,
	})
	if trimmed, ok := goneBeyond(err, s.position); ok {
		return &chunk{through: trimmed, gap: true}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the log: %w", err)
	}
	c := &chunk{through: result.Through}
	for _, e := range result.Events {
		if !s.shard.wants(e) {
			continue
		}
		c.room = appendFrame(c.room, e, s.form, s.hub.source)
		c.ends = append(c.ends, len(c.room))
		c.cursors = append(c.cursors, e.Cursor)
	}
	c.text = c.room
	return c, nil
}

// goneBeyond returns how far retention has gone, if err says that it has passed a reader at c. One that would not move
// the reader on is an engine's fault, and would be met again for ever.
func goneBeyond(err error, c event.Cursor) (event.Cursor, bool) {
	var gone *store.GoneError
	if errors.As(err, &gone) && gone.Trimmed > c {
		return gone.Trimmed, true
	}
	return 0, false
}
