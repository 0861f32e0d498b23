package stream

import (
	"bytes"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/carillon/carillon/event"
)

// Info describes an open stream.
type Info struct {
	ID       event.ID
	Patterns []event.Pattern
	Filter   string // what it was compiled from; empty: none
	Format   Format
	Named    bool
	Key      string
	Address  netip.AddrPort
	Opened   time.Time

	// Cursor is how far the stream has come, and Lag how many cursors the log goes beyond it: at most so many events, of
	// which not all need be the stream's. CatchingUp says that it is fed from the log, or that its reader is slow.
	Cursor     event.Cursor
	Lag        int64
	CatchingUp bool
}

// Streams returns the tenant's open streams with ids above after, oldest first, at most limit of them.
func (h *Hub) Streams(tenant event.TenantID, after event.ID, limit int) []Info {
	h.mu.Lock()
	var found []*subscriber
	for _, s := range h.streams {
		if s.tenant == tenant && bytes.Compare(s.id[:], after[:]) > 0 {
			found = append(found, s)
		}
	}
	h.mu.Unlock()
	slices.SortFunc(found, func(a, b *subscriber) int { return bytes.Compare(a.id[:], b.id[:]) })
	infos := make([]Info, 0, min(len(found), limit))
	for _, s := range found {
		if len(infos) == limit {
			break
		}
		if info, open := s.info(); open {
			infos = append(infos, info)
		}
	}
	return infos
}

// info is false for a stream that is only just being opened or has ended.
func (s *subscriber) info() (Info, bool) {
	head := s.hub.ring.head()
	s.shard.mu.Lock()
	defer s.shard.mu.Unlock()
	if s.group == nil || s.state == left {
		return Info{}, false
	}
	at := s.reached()
	return Info{
		ID: s.id, Patterns: s.group.patterns, Filter: s.shard.source, Format: s.form.format(), Named: s.form.named(),
		Key: s.shownKey(), Address: s.address, Opened: time.UnixMilli(s.opened),
		Cursor: at, Lag: int64(max(head, at) - at), CatchingUp: s.state == catchingUp,
	}, true
}

// worstLag returns by how many cursors the stream that is furthest behind is behind.
func (h *Hub) worstLag() int64 {
	h.mu.Lock()
	all := slices.Collect(maps.Values(h.streams))
	h.mu.Unlock()
	worst := int64(0)
	for _, s := range all {
		if info, open := s.info(); open && info.CatchingUp {
			worst = max(worst, info.Lag)
		}
	}
	return worst
}
