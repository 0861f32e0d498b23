package stream

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// writeSize is the most that one write hands on: the deadline is the write's, and a reader that is slow but reads must be
// able to take that much within it.
const writeSize = 64 << 10

// response is the body of one stream's response by net/http. For one goroutine, but for hurry.
type response struct {
	w       http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
	// lifts says that no deadline may be left behind by a write: over HTTP/2 it ends the response when its time has come,
	// whether or not anything waits to be written.
	lifts bool

	wrote time.Time // when something was last written

	mu       sync.Mutex
	deadline time.Time // of the connection's writes
	hurried  bool      // the deadline is the last one
	finished bool      // the response is no longer the stream's
}

// send writes a text, which may be shared, and sees it off.
func (o *response) send(text []byte) error {
	for len(text) > 0 {
		piece := text[:min(len(text), writeSize)]
		text = text[len(piece):]
		o.extend()
		if _, err := o.w.Write(piece); err != nil {
			return errReaderGone
		}
		if err := o.control.Flush(); errors.Is(err, http.ErrNotSupported) {
			return fmt.Errorf("flush a stream: %w", err)
		} else if err != nil {
			return errReaderGone
		}
		o.wrote = time.Now()
	}
	o.lift()
	return nil
}

// lift takes the deadline away, if it must not outlast a write.
func (o *response) lift() {
	if !o.lifts {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.hurried {
		return
	}
	o.deadline = time.Time{}
	_ = o.control.SetWriteDeadline(o.deadline) // as in extend
}

// extend gives the next write its deadline. Setting one costs about as much as encoding an event, so it is set for half
// as long again as is needed, and not for every write.
func (o *response) extend() {
	now := time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.hurried || o.deadline.Sub(now) >= o.timeout {
		return
	}
	o.deadline = now.Add(o.timeout + o.timeout/2)
	// Where there are no deadlines (a test's recorder) there is no connection that could stall.
	_ = o.control.SetWriteDeadline(o.deadline)
}

// hurry gives the write that is under way, and all that follow, a last short while.
func (o *response) hurry() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.finished {
		return
	}
	o.hurried = true
	_ = o.control.SetWriteDeadline(time.Now().Add(lastWrite)) // as in extend
}

// finish says that the response is no longer the stream's: who hurries it has come too late.
func (o *response) finish() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.finished = true
}
