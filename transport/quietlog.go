package transport

import (
	"bytes"
	"log/slog"
	"sync"
	"time"
)

const (
	linesPerMinute = 10
	handshakeError = "TLS handshake error"
)

// quietLog takes what net/http has to say, line by line. Clients can make it say as much as they like: handshakes that
// fail are told at level debug, and of the rest a few lines a minute.
type quietLog struct {
	log *slog.Logger

	mu     sync.Mutex
	minute time.Time // when it began
	lines  int       // in it
	left   int       // lines left out since the last one
}

// Write implements [io.Writer].
func (q *quietLog) Write(line []byte) (int, error) {
	text := string(bytes.TrimRight(line, "\n"))
	if bytes.Contains(line, []byte(handshakeError)) {
		q.log.Debug(text)
		return len(line), nil
	}
	q.mu.Lock()
	if now := time.Now(); now.Sub(q.minute) >= time.Minute {
		q.minute, q.lines = now, 0
	}
	q.lines++
	if q.lines > linesPerMinute {
		q.left++
		q.mu.Unlock()
		return len(line), nil
	}
	left := q.left
	q.left = 0
	q.mu.Unlock()
	if left > 0 {
		q.log.Warn(text, "lines_left_out", left)
	} else {
		q.log.Warn(text)
	}
	return len(line), nil
}
