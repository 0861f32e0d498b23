package stream

import (
	"context"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/carillon/carillon/event"
)

// state is how a stream is fed.
type state uint8

const (
	catchingUp state = iota // by a goroutine of its own, from the ring or the log, as fast as its reader takes it
	keepingUp               // by its shard: it has everything that the shard has seen
	left                    // not at all
)

// subscriber is one stream: a place in the log, and where to send what comes after it. There can be very many: its fields
// are ordered so that they leave no gaps.
type subscriber struct {
	hub    *Hub
	shard  *shard
	group  *group
	tenant event.TenantID

	// One of the two: a connection of its own that the shard writes to, or a goroutine that it wakes.
	sock socket
	wake chan struct{} // has room for one signal: one for each time that it keeps up and has something to get

	id      event.ID // zero for a poll, which is neither listed nor told
	key     string
	address netip.AddrPort
	opened  int64     // Unix milliseconds
	until   time.Time // when it is closed; zero: never

	// revoked says that what it came in with is no longer valid. Who sets it closes quit, where there is one, and looks
	// after who keeps up.
	revoked atomic.Bool
	quit    chan struct{} // nil for a socket
	hurry   func()        // gives a write that is under way a last short while; nil for a socket and for a poll

	// Of the goroutine that feeds the stream while it catches up, of the shard's lock while it keeps up.

	// position is the cursor up to which every event was sent or was not asked for. While the stream keeps up that is as
	// far as its shard has seen, if that is further.
	position event.Cursor
	// skip is how many bytes of the next event were sent already: a socket took no more.
	skip int
	// rest is what is to be sent before any event.
	rest []byte
	// told is the last id that the client has.
	told event.Cursor

	// shown is the position for those who list streams while this one catches up.
	shown atomic.Uint64

	// leaves is closed when the client leaves while the stream catches up; nil otherwise. Guarded by the shard's lock.
	leaves chan struct{}

	spoke wheelPlace  // guarded by the shard's lock
	at    int32       // place among its group's live, guarded by the shard's lock
	wrote tick        // when something was last sent, as the shard's wheel counts; whose it is position is
	gone  atomic.Bool // the client has left
	state state       // guarded by the shard's lock
	form  form
	token bool // until is when what it came in with expires

	hidden bool // its tenant is not told the key
}

// shownKey is the key as the stream's tenant may know it.
func (s *subscriber) shownKey() string {
	if s.hidden {
		return ""
	}
	return s.key
}

// next returns a piece of what comes after the position, empty if there is nothing. own says that it is the caller's to
// recycle; otherwise it is shared.
func (s *subscriber) next(ctx context.Context) (c *chunk, own bool, err error) {
	if c, held := s.fromRing(); held {
		return c, true, nil
	}
	c, err = s.page(ctx)
	return c, false, err
}

// nextInTurn is next when the stream's turn has come: see [Hub.turns]. It has nothing if that takes long.
func (s *subscriber) nextInTurn(ctx context.Context) (c *chunk, own bool, err error) {
	got, err := s.takeTurn(ctx, nil)
	if err != nil {
		return nil, false, err
	}
	if !got {
		c := newChunk()
		c.through = s.position
		return c, true, nil
	}
	defer s.endTurn()
	return s.next(ctx)
}

// takeTurn waits for the stream's turn, but not so long that it would be silent for too long: then got is false. leaves
// is closed when the client has left; nil where ctx says so.
func (s *subscriber) takeTurn(ctx context.Context, leaves <-chan struct{}) (got bool, err error) {
	turns := s.turns()
	select {
	case turns <- struct{}{}:
		return true, nil
	default:
	}
	patience := time.NewTimer(s.hub.heartbeat / 2)
	defer patience.Stop()
	select {
	case turns <- struct{}{}:
		return true, nil
	case <-patience.C:
		return false, nil
	case <-leaves:
		return false, errReaderGone
	case <-s.hub.ended:
		return false, errOver
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

func (s *subscriber) endTurn() { <-s.turns() }

// turns are those that the stream takes while it catches up.
func (s *subscriber) turns() chan struct{} {
	if s.shard.filter != nil {
		return s.hub.filteredTurns
	}
	return s.hub.turns
}

// ringBatch is how many frames a stream that catches up takes from the ring at once.
const ringBatch = 128

func (s *subscriber) fromRing() (c *chunk, held bool) {
	var batch [ringBatch]*frame
	n, through, held := s.hub.ring.read(s.position, batch[:s.shard.atOnce(ringBatch)], pageBytes)
	if !held {
		return nil, false
	}
	c = newChunk()
	c.through = through
	for _, f := range batch[:n] {
		if f.event.Tenant == s.tenant && event.MatchAny(s.group.patterns, f.event.Topic) && s.shard.wants(f.event) {
			c.add(s.hub.encoded(f, s.form), f.event.Cursor)
		}
	}
	return c, true
}

// advance takes note of how much of a chunk has been sent, counted from its beginning, and returns how many events that
// completed.
func (s *subscriber) advance(c *chunk, sent int) int {
	first := c.after(s.position)
	whole := c.whole(sent)
	if whole > first {
		s.told = c.cursors[whole-1]
	}
	if whole < len(c.ends) {
		s.position, s.skip = max(s.position, c.cursors[whole]-1), sent-c.start(whole)
	} else {
		s.position, s.skip = max(s.position, c.through), 0
	}
	s.shown.Store(uint64(s.position))
	return max(0, whole-first)
}

// keepUp makes a stream that has caught up one of those that its shard feeds. It is false if there is more to catch up
// with, the stream has been left, or its key was revoked.
func (s *subscriber) keepUp() bool {
	sh := s.shard
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if s.state != catchingUp || sh.over || s.revoked.Load() || s.position < sh.seen {
		return false
	}
	s.group.add(s)
	s.leaves = nil
	return true
}

// checkpoint returns how far a silent stream has come. For one that keeps up that is as far as its shard has: whatever
// it has seen since did not match, or it would have been sent.
func (s *subscriber) checkpoint() event.Cursor {
	s.shard.mu.Lock()
	defer s.shard.mu.Unlock()
	return s.reached()
}

// reached is checkpoint for who holds the shard's lock.
func (s *subscriber) reached() event.Cursor {
	switch s.state {
	case keepingUp:
		return max(s.position, s.shard.seen)
	default:
		return event.Cursor(s.shown.Load())
	}
}
