package stream

import "github.com/carillon/carillon/event"

// EndKey ends every stream and poll that was opened with the key, and every one that still is, for good. Streams are
// told that what they came in with has expired; their clients, which come back, are then the caller's to refuse. It does
// not wait for any reader: one that has stalled has a last short while. The empty key is that of all who were not asked
// for one.
func (h *Hub) EndKey(key string) {
	h.mu.Lock()
	h.revoked[key] = struct{}{}
	ended := h.whose(func(s *subscriber) bool { return s.key == key })
	h.mu.Unlock()
	for _, s := range ended {
		s.revoke()
	}
}

// EndTenant is [Hub.EndKey] for all that is a tenant's, whoever opened it.
func (h *Hub) EndTenant(tenant event.TenantID) {
	h.mu.Lock()
	h.gone[tenant] = struct{}{}
	ended := h.whose(func(s *subscriber) bool { return s.tenant == tenant })
	h.mu.Unlock()
	for _, s := range ended {
		s.revoke()
	}
}

// whose finds streams and polls. The hub's lock is held.
func (h *Hub) whose(one func(*subscriber) bool) (found []*subscriber) {
	for _, s := range h.streams {
		if one(s) {
			found = append(found, s)
		}
	}
	for s := range h.polls {
		if one(s) {
			found = append(found, s)
		}
	}
	return found
}

// Open tells how many streams of a tenant are open, polls that wait counted.
func (h *Hub) Open(tenant event.TenantID) int { return h.seats.takenBy(tenant) }

// revoke ends one stream, once. What catches up finds out by itself, but it may be waiting for its reader.
func (s *subscriber) revoke() {
	if s.revoked.Swap(true) {
		return
	}
	if s.quit != nil {
		close(s.quit)
		if s.hurry != nil {
			s.hurry()
		}
		return
	}
	sh := s.shard
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if s.state == keepingUp {
		sh.dismiss(s, s.farewell())
	} else {
		s.sock.hurry()
	}
}

// unseated is the only thing that a stream is told which was not let in: the hub has ended, or its key.
func (s *subscriber) unseated() []byte {
	if s.revoked.Load() {
		return s.farewell()
	}
	return s.goodbye()
}
