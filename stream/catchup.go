package stream

import (
	"context"
	"errors"
	"time"
)

// trailingPause is how long to wait for a log whose reads trail its tail.
const trailingPause = 20 * time.Millisecond

// errOver says that the hub has ended.
var errOver = errors.New("the hub has ended")

// catchUp feeds a socket that has fallen behind, or has just been opened, until it keeps up and its shard goes on, or it
// ends. It is the one place that waits for a socket's reader, and holds nothing meanwhile but its place in the log.
func (s *subscriber) catchUp(ctx context.Context) {
	s.hub.pages.begin()
	defer s.hub.pages.end()
	leaves, there := s.catches()
	if !there {
		return
	}
	err := s.chase(ctx, leaves)
	switch {
	case err == nil:
		return // it keeps up
	case errors.Is(err, errReaderGone):
		s.sock.close()
		return
	case errors.Is(err, errOld):
		s.parting(s.farewell())
		return
	}
	if !errors.Is(err, errOver) && ctx.Err() == nil {
		s.hub.logger.Error("a stream failed", "stream", s.id, "error", err)
	}
	s.parting(s.goodbye())
}

// parting says the last words, unless they would land in the middle of an event.
func (s *subscriber) parting(text []byte) {
	if s.skip == 0 && len(s.rest) == 0 {
		_, _ = s.sock.write(text)
	}
	s.sock.finish()
}

// errOld says that the stream has been open for as long as it may.
var errOld = errors.New("the stream has been open for long enough")

// chase sends what the stream has not had, as fast as its reader takes it. It returns nil when the stream keeps up.
func (s *subscriber) chase(ctx context.Context, leaves <-chan struct{}) error {
	for {
		switch {
		case s.hub.hasEnded() || ctx.Err() != nil:
			return errOver
		case s.gone.Load():
			return errReaderGone
		case s.due(time.Now()):
			return errOld
		case len(s.rest) > 0:
			n, err := s.sock.write(s.rest)
			if err != nil {
				return err
			}
			s.rest = s.rest[n:]
			s.wrote = s.hub.now()
			if len(s.rest) > 0 {
				if err := s.sock.await(s.hub.writeTimeout); err != nil {
					return err
				}
				continue
			}
			s.rest = nil
		case s.skip == 0 && s.keepUp():
			return nil
		}
		before, skipped := s.position, s.skip
		full, err := s.push(ctx, leaves)
		switch {
		case err != nil:
			return err
		case full && s.position == before && s.skip == skipped:
			// The kernel is short of memory and takes nothing, though it calls the socket writable.
			if err = s.sock.await(s.hub.writeTimeout); err == nil {
				err = pause(ctx, trailingPause)
			}
		case full:
			err = s.sock.await(s.hub.writeTimeout)
		case s.position == before && len(s.rest) == 0 && s.behind():
			err = pause(ctx, trailingPause)
		}
		if err != nil {
			return err
		}
		// A long replay of what does not match is silent, too.
		if s.skip == 0 && len(s.rest) == 0 && s.hub.now() >= s.wrote+beatTicks-1 {
			s.rest = s.heartbeat(s.position)
		}
	}
}

// behind reports whether the stream waits for a log whose reads trail what the hub has seen of it.
func (s *subscriber) behind() bool { return s.position < s.hub.ring.head() }

// catches begins to catch up: leaves is closed when the client has left. there is false if it has already.
func (s *subscriber) catches() (leaves <-chan struct{}, there bool) {
	s.shard.mu.Lock()
	defer s.shard.mu.Unlock()
	if s.state == left {
		return nil, false
	}
	s.leaves = make(chan struct{})
	return s.leaves, true
}

// push sends one chunk, or as much of it as the socket takes; full says that this was not all. It does so when its turn
// has come: see [Hub.turns]. While it waits for that it only breaks its silence.
func (s *subscriber) push(ctx context.Context, leaves <-chan struct{}) (full bool, err error) {
	got, err := s.takeTurn(ctx, leaves)
	if !got || err != nil {
		return false, err
	}
	defer s.endTurn()
	giveWay()
	c, own, err := s.next(ctx)
	if err != nil {
		return false, err
	}
	if own {
		defer c.recycle()
	}
	if c.gap {
		return false, s.tellGap(c)
	}
	if len(c.ends) == 0 {
		s.advance(c, 0)
		return false, nil
	}
	// It begins behind the position, and so with the event of which some was sent.
	n, err := s.writeInPieces(c.text[s.skip:])
	if err != nil {
		return false, err
	}
	if n > 0 {
		s.wrote = s.hub.now()
	}
	sent := s.skip + n
	s.hub.metrics.events.Add(float64(s.advance(c, sent)))
	return sent < len(c.text), nil
}

// replayPiece is how much of a replay is written at once. A write over loopback does the reader's share of the work too,
// and a kernel may let nothing in between: with 64 KiB live streams' p99 was 4 to 5 ms beside 1,000 that resumed, with
// this it is 2.
const replayPiece = 16 << 10

// writeInPieces writes as much as the socket takes, and lets others run in between.
func (s *subscriber) writeInPieces(text []byte) (n int, err error) {
	for {
		piece := text[n:min(len(text), n+replayPiece)]
		m, err := s.sock.write(piece)
		n += m
		if err != nil || m < len(piece) || n == len(text) {
			return n, err
		}
		giveWay()
	}
}

// tellGap goes on after what retention has removed. Half of an event cannot be completed any more: the client, which
// drops it, is told when it comes back.
func (s *subscriber) tellGap(c *chunk) error {
	if s.skip > 0 {
		return errReaderGone
	}
	s.rest = s.passGap(c)
	return nil
}

// passGap goes on after what retention has removed, and returns what the client is told of it.
func (s *subscriber) passGap(c *chunk) []byte {
	s.hub.metrics.gaps.Inc()
	s.position = c.through
	s.shown.Store(uint64(s.position))
	return s.gapText(c.through)
}

// pause waits, unless ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
