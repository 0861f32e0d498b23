package stream

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/carillon/carillon/event"
)

const (
	// writeSize is how much is gathered for one write, and the most that one write hands on: the deadline is the write's,
	// and a reader that is slow but reads must be able to take that much within it.
	writeSize = 64 << 10

	// largeFrame is from where on a shared frame is written as it is: a copy of it for each of many stalled readers would
	// cost more memory than the ring.
	largeFrame = 8 << 10

	// lastWrite is how long a write may take once the hub has ended.
	lastWrite = time.Second
)

// errReaderGone says that the client has left, or has read nothing for too long. What exactly is of no use to anybody.
var errReaderGone = errors.New("the reader is gone")

// buffers are those in which frames are gathered: a stream has one only between its first frame and its next flush.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, writeSize+largeFrame); return &b }}

// wire is the body of one stream's response. For one goroutine, but for hurry.
type wire struct {
	w       http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration

	buffer *[]byte   // what is gathered, or nil
	wrote  time.Time // when something was last written

	mu       sync.Mutex
	deadline time.Time // of the connection's writes
	hurried  bool      // the deadline is the last one
}

// add gathers a text, which may be shared, and sends what is gathered if it is enough.
func (o *wire) add(text []byte) error {
	if len(text) >= largeFrame {
		if err := o.flush(); err != nil {
			return err
		}
		return o.send(text)
	}
	b := o.gather()
	*b = append(*b, text...)
	return o.sendIfFull()
}

// addEvent gathers an event that nobody else has encoded, and sends what is gathered if it is enough.
func (o *wire) addEvent(e *event.Event, in form, source string) error {
	b := o.gather()
	*b = appendFrame(*b, e, in, source)
	return o.sendIfFull()
}

func (o *wire) gather() *[]byte {
	if o.buffer == nil {
		o.buffer = buffers.Get().(*[]byte)
	}
	return o.buffer
}

func (o *wire) sendIfFull() error {
	if len(*o.buffer) < writeSize {
		return nil
	}
	return o.flush()
}

// flush sends what is gathered.
func (o *wire) flush() error {
	if o.buffer == nil {
		return nil
	}
	err := o.send(*o.buffer)
	o.release()
	return err
}

// release gives the buffer back, sent or not.
func (o *wire) release() {
	// One that a large event has made grow would keep that memory for small ones.
	if b := o.buffer; b != nil && cap(*b) <= 2*writeSize {
		*b = (*b)[:0]
		buffers.Put(b)
	}
	o.buffer = nil
}

// send writes a text and sees it off.
func (o *wire) send(text []byte) error {
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
	}
	o.wrote = time.Now()
	return nil
}

// extend gives the next write its deadline. Setting one costs about as much as encoding an event, so it is set for half
// as long again as is needed, and not for every write.
func (o *wire) extend() {
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
func (o *wire) hurry() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.hurried = true
	_ = o.control.SetWriteDeadline(time.Now().Add(lastWrite)) // as in extend
}
