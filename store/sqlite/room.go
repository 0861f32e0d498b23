package sqlite

import "log/slog"

// room tells the operator when the disk becomes full and when there is room again: once each, not for each write. On a
// full disk small writes still fit now and then, and that is not news.
type room struct {
	lacked int  // bytes of the smallest write that did not fit; 0: the disk is not full
	wrote  bool // the transaction under way came to write its commit
}

// lacking notes a write that did not fit.
func (r *room) lacking(log *slog.Logger, bytes int) {
	bytes = max(bytes, 1)
	if r.lacked == 0 {
		r.lacked = bytes
		log.Error("the disk is full: what does not fit is refused, until there is room")
	}
	r.lacked = min(r.lacked, bytes)
}

// found notes a write that was stored.
func (r *room) found(log *slog.Logger, bytes int) {
	if r.lacked > 0 && r.wrote && max(bytes, 1) >= r.lacked {
		r.lacked = 0
		log.Info("there is room on the disk again")
	}
}

// payload sums up how much operations write.
func payload(ops []*operation) (bytes int) {
	for _, op := range ops {
		bytes += op.bytes
	}
	return bytes
}
