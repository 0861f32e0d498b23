package stream

// EndKey ends every stream and poll that was opened with the key, and every one that still is, for good. Streams are
// told that what they came in with has expired; their clients, which come back, are then the caller's to refuse. It does
// not wait for any reader: one that has stalled has a last short while. The empty key is that of all who were not asked
// for one.
func (h *Hub) EndKey(key string) {
	h.mu.Lock()
	h.revoked[key] = struct{}{}
	var ended []*subscriber
	for _, s := range h.streams {
		if s.key == key {
			ended = append(ended, s)
		}
	}
	for s := range h.polls {
		if s.key == key {
			ended = append(ended, s)
		}
	}
	h.mu.Unlock()
	for _, s := range ended {
		s.revoke()
	}
}

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
