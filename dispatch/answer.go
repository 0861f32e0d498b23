package dispatch

import (
	"bytes"
	"io"
	"sync"

	"github.com/carillon/carillon/event"
)

// firstBytes holds buffers for an answer's first bytes: most bodies are empty or tiny, and their length is often not
// known before.
var firstBytes = sync.Pool{New: func() any { return new([event.MaxAnswerKept]byte) }}

// readFirst keeps the first bytes of a body and reads on to its end, so that the connection can be used again, but not
// beyond maxAnswerRead: what is longer is no error, and costs the connection. An error means that the body broke off.
func (r *Response) readFirst(body io.Reader) error {
	buf := firstBytes.Get().(*[event.MaxAnswerKept]byte)
	defer firstBytes.Put(buf)
	n := 0
	var err error
	// Not io.ReadFull: it gives a body that ends and one that breaks off the same error.
	for n < len(buf) && err == nil {
		var got int
		got, err = body.Read(buf[n:])
		n += got
	}
	if n > 0 {
		r.Attempt.Answer = bytes.Clone(buf[:n])
	}
	if err == nil {
		// One byte more: of a body that is just as long, the end must be seen too.
		_, err = io.Copy(io.Discard, io.LimitReader(body, maxAnswerRead-event.MaxAnswerKept+1))
	}
	if err == io.EOF {
		return nil
	}
	return err
}

// readWhole keeps the whole body, up to MaxAnswer. An error means that the body broke off.
func (r *Response) readWhole(body io.Reader) error {
	whole, err := io.ReadAll(io.LimitReader(body, MaxAnswer+1))
	if len(whole) > 0 {
		// A copy: the attempt may be kept for longer than the body.
		r.Attempt.Answer = bytes.Clone(whole[:min(len(whole), event.MaxAnswerKept)])
	}
	if err != nil {
		return err
	}
	if len(whole) > MaxAnswer {
		r.TooLarge = true
		return nil
	}
	r.Body = whole
	return nil
}
