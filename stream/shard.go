package stream

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/filter"
)

const (
	// liveBatch and liveBytes bound what a shard sends at once to those who keep up. Under load it is much, so that few
	// writes carry it; a socket that does not take it all has its reader to thank for it.
	liveBatch = 512
	liveBytes = 128 << 10

	// filteredBatch is how many events are looked at in one go where each has to pass a filter, which may take many
	// milliseconds: the shard's lock is held meanwhile, or the turn of those who catch up.
	filteredBatch = 16
)

// shard feeds a share of the streams: those without a filter are dealt out to a few shards, and those with one filter
// have a shard for themselves, so that a filter which takes its time delays nobody else. One goroutine, run, reads the
// ring and writes to all who keep up, without ever waiting for one of them.
type shard struct {
	hub    *Hub
	source string         // of the filter; empty: none
	filter *filter.Filter // nil: none
	news   chan struct{}  // has room for one signal: there is something new in the ring, or on the wheel
	uses   int            // by streams, guarded by the hub's lock
	stop   context.CancelFunc

	mu        sync.Mutex
	seen      event.Cursor // everything up to here has been sent to those who keep up
	audiences map[event.TenantID]*audience
	members   int
	wheel     wheel
	over      bool // nobody keeps up any more: the hub has ended

	// Of run alone.
	batch   []*frame
	touched []*group
	joined  chunk
}

func newShard(h *Hub, source string, f *filter.Filter) *shard {
	sh := &shard{
		hub: h, source: source, filter: f, news: make(chan struct{}, 1), audiences: make(map[event.TenantID]*audience),
	}
	sh.batch = make([]*frame, sh.atOnce(liveBatch))
	return sh
}

// signal tells the shard that there is something new.
func (sh *shard) signal() {
	select {
	case sh.news <- struct{}{}:
	default:
	}
}

// run feeds the shard's streams until ctx ends.
func (sh *shard) run(ctx context.Context) {
	turn := time.NewTimer(0)
	defer turn.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-sh.news:
		case <-turn.C:
		}
		for more := true; more && ctx.Err() == nil; {
			more = sh.step()
			// Also while there is always something new, which need not concern who is on the wheel. An idle gateway does
			// nothing: the wheel turns while somebody is on it.
			if sh.turnWheel() {
				turn.Reset(sh.hub.tickLength())
			}
		}
	}
}

// atOnce is how many events are looked at in one go, of so many as there could be.
func (sh *shard) atOnce(most int) int {
	if sh.filter != nil {
		return min(most, filteredBatch)
	}
	return most
}

// wants reports whether the filter accepts an event. One that fails on it does not.
func (sh *shard) wants(e *event.Event) bool {
	if sh.filter == nil {
		return true
	}
	ok, err := sh.filter.Match(filter.NewInput(e, e.Time))
	if err != nil {
		sh.hub.metrics.filterErrors.Inc()
	}
	return ok && err == nil
}

// step sends a piece of what is new in the ring; false: there was nothing.
func (sh *shard) step() bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.members == 0 {
		return false
	}
	n, through, held := sh.hub.ring.read(sh.seen, sh.batch, liveBytes)
	if !held {
		sh.scatter()
		return true
	}
	if through == sh.seen {
		return false
	}
	for i, f := range sh.batch[:n] {
		sh.batch[i] = nil
		a := sh.audiences[f.event.Tenant]
		if a == nil {
			continue
		}
		asked, wanted := false, true
		a.index.Match(f.event.Topic, func(g *group) {
			if !asked {
				asked, wanted = true, sh.wants(f.event)
			}
			if !wanted {
				return
			}
			if len(g.pending) == 0 {
				sh.touched = append(sh.touched, g)
			}
			g.pending = append(g.pending, f)
		})
	}
	sh.seen = through
	now := sh.hub.now()
	for i, g := range sh.touched {
		sh.send(g, now)
		clear(g.pending)
		g.pending = g.pending[:0]
		sh.touched[i] = nil
	}
	sh.touched = sh.touched[:0]
	return true
}

// send sends a group what is pending for it.
func (sh *shard) send(g *group, now tick) {
	for in := range g.live {
		members := g.live[in]
		if len(members) == 0 {
			continue
		}
		c := &sh.joined
		for _, f := range g.pending {
			c.add(sh.hub.encoded(f, form(in)), f.event.Cursor)
		}
		sent := 0
		// From the end: whoever falls behind is replaced by the last one, which has been served.
		for i := len(members) - 1; i >= 0; i-- {
			sent += sh.feed(members[i], c, now)
		}
		sh.hub.metrics.events.Add(float64(sent))
		if cap(c.room) > 4*liveBytes {
			c.room = nil
		}
		c.reset()
	}
}

// feed gives one stream what it has not had of a chunk, and returns how many events that was.
func (sh *shard) feed(s *subscriber, c *chunk, now tick) int {
	// The tail can trail the head at which a stream was opened.
	first := c.after(s.position)
	if first == len(c.ends) {
		return 0
	}
	if s.sock == nil {
		sh.fallBack(s, c.cursors[first]-1)
		return 0 // it counts what it sends
	}
	begin := c.start(first)
	n, err := s.sock.write(c.text[begin:])
	if err != nil {
		sh.drop(s, c.cursors[first]-1)
		s.sock.close() // what follows from it does the rest
		return 0
	}
	if begin+n == len(c.text) {
		s.told, s.wrote = c.cursors[len(c.cursors)-1], now
		return len(c.ends) - first
	}
	whole := c.whole(begin + n)
	s.skip = begin + n - c.start(whole)
	sh.hub.metrics.fallbacks.Inc()
	if whole > first {
		s.told = c.cursors[whole-1]
	}
	sh.fallBack(s, c.cursors[whole]-1)
	return whole - first
}

// drop takes a stream that is about to end from those who keep up. It had come to reached.
func (sh *shard) drop(s *subscriber, reached event.Cursor) {
	s.group.remove(s)
	s.shown.Store(uint64(max(s.position, reached)))
}

// fallBack leaves a stream to a goroutine of its own. Nothing before position is missing.
func (sh *shard) fallBack(s *subscriber, position event.Cursor) {
	s.group.remove(s)
	s.position = max(s.position, position)
	s.shown.Store(uint64(s.position))
	if s.sock == nil {
		s.wake <- struct{}{}
		return
	}
	sh.hub.tasks.Go(func() { s.catchUp(sh.hub.ctx) })
}

// scatter leaves everybody who keeps up to a goroutine of their own: the ring no longer has what comes next, and each
// finds it in the log.
func (sh *shard) scatter() {
	for _, a := range sh.audiences {
		for _, g := range a.groups {
			for in := range g.live {
				for len(g.live[in]) > 0 {
					sh.fallBack(g.live[in][len(g.live[in])-1], sh.seen)
				}
			}
		}
	}
	sh.seen = sh.hub.ring.head()
}

// turnWheel looks at those who may have been silent for too long, or open for long enough. It reports whether anybody is
// on the wheel.
func (sh *shard) turnWheel() bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	now := sh.hub.now()
	sh.wheel.turn(now, func(s *subscriber) { sh.look(s, now) })
	return sh.wheel.held > 0
}

func (sh *shard) look(s *subscriber, now tick) {
	if s.state == keepingUp {
		switch {
		case s.due(time.Now()):
			sh.dismiss(s, s.farewell())
			return
		case now >= s.wrote+beatTicks-1:
			sh.beat(s, now)
		}
	}
	if s.state != left {
		sh.wheel.add(s, s.nextLook(now))
	}
}

// nextLook is when the wheel looks at a stream again. One that catches up looks after itself.
func (s *subscriber) nextLook(now tick) tick {
	next := now + beatTicks
	if s.state == keepingUp {
		next = s.wrote + beatTicks - 1
	}
	if !s.until.IsZero() {
		next = min(next, now+1+tick(max(0, time.Until(s.until))/s.hub.tickLength()))
	}
	return next
}

// beat breaks the silence of one who keeps up.
func (sh *shard) beat(s *subscriber, now tick) {
	text := s.heartbeat(max(s.position, sh.seen))
	n, err := s.sock.write(text)
	switch {
	case err != nil:
		sh.drop(s, s.reached())
		s.sock.close()
	case n < len(text):
		s.rest = text[n:]
		sh.hub.metrics.fallbacks.Inc()
		sh.fallBack(s, sh.seen)
	default:
		s.wrote = now
	}
}

// dismiss ends the stream of one who keeps up. What its socket does not take at once of the last words is lost with it;
// no event is.
func (sh *shard) dismiss(s *subscriber, text []byte) {
	sh.drop(s, s.reached())
	_, _ = s.sock.write(text)
	s.sock.finish()
}

// end dismisses everybody who keeps up, for good.
func (sh *shard) end() {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.over = true
	for _, a := range sh.audiences {
		for _, g := range a.groups {
			for in := range g.live {
				for len(g.live[in]) > 0 {
					s := g.live[in][len(g.live[in])-1]
					if s.sock == nil {
						sh.fallBack(s, sh.seen) // it finds out by itself
					} else {
						sh.dismiss(s, s.goodbye())
					}
				}
			}
		}
	}
}

// join makes s a member, which has to catch up first.
func (sh *shard) join(s *subscriber, patterns []event.Pattern) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.members == 0 {
		sh.seen = sh.hub.ring.head() // nobody was there who has not seen it
	}
	sh.members++
	a := sh.audiences[s.tenant]
	if a == nil {
		a = &audience{}
		sh.audiences[s.tenant] = a
	}
	s.group = a.join(patterns)
	if s.sock == nil {
		return
	}
	if sh.wheel.held == 0 {
		sh.wheel.turned = sh.hub.now()
		sh.signal()
	}
	// Not all of those who came together need a heartbeat together.
	sh.wheel.add(s, sh.hub.now()+1+rand.N[tick](beatTicks-1))
}

func (sh *shard) leave(s *subscriber) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if s.state == keepingUp {
		sh.drop(s, s.reached())
	}
	s.state = left
	s.gone.Store(true)
	if s.leaves != nil {
		close(s.leaves)
		s.leaves = nil
	}
	sh.wheel.remove(s)
	sh.members--
	a := sh.audiences[s.tenant]
	a.leave(s.group)
	if len(a.groups) == 0 {
		delete(sh.audiences, s.tenant)
	}
}

// interested reports whether any of the shard's streams asks for a topic.
func (sh *shard) interested(tenant event.TenantID, topic event.Topic) bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	found := false
	if a := sh.audiences[tenant]; a != nil {
		a.index.Match(topic, func(*group) { found = true })
	}
	return found
}
