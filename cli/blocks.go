package cli

import (
	"bytes"
	"errors"
	"io"
	"slices"
)

// maxBlock is the largest event that is read. A mebibyte of line feeds is 7 MiB on the wire, and a gateway can be told
// to take larger bodies than that.
const maxBlock = 256 << 20

var errBlockTooLarge = errors.New("an event is larger than 256 MiB")

// wholeBlocks passes on only those blocks of an event stream (WHATWG HTML, section 9.2.6) that came whole. The SSE
// client takes what stands between the last blank line and the end of a broken connection for an event: half of a
// payload would be printed, and its cursor taken for done.
type wholeBlocks struct {
	body  io.ReadCloser
	heard func() // called whenever something came

	buf   []byte
	whole int // the part of buf that ends with a blank line
}

// Read implements [io.Reader].
func (r *wholeBlocks) Read(p []byte) (int, error) {
	for r.whole == 0 {
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.buf[:r.whole])
	r.buf, r.whole = r.buf[n:], r.whole-n
	return n, nil
}

// Close implements [io.Closer].
func (r *wholeBlocks) Close() error { return r.body.Close() }

func (r *wholeBlocks) fill() error {
	if len(r.buf) > maxBlock {
		return errBlockTooLarge
	}
	const atLeast = 16 << 10
	r.buf = slices.Grow(r.buf, atLeast)
	old := len(r.buf)
	n, err := r.body.Read(r.buf[old:cap(r.buf)])
	r.buf = r.buf[:old+n]
	if n > 0 {
		r.heard()
		// A blank line may have begun in what was there before.
		from := max(0, old-2)
		r.whole = endOfBlocks(r.buf[from:])
		if r.whole > 0 {
			r.whole += from
			return nil // an error comes again with the next read
		}
	}
	return err
}

// endOfBlocks returns where the last blank line ends; 0: there is none.
func endOfBlocks(b []byte) int {
	end := 0
	for _, blank := range []string{"\n\n", "\n\r\n", "\r\r"} {
		if i := bytes.LastIndex(b, []byte(blank)); i >= 0 {
			end = max(end, i+len(blank))
		}
	}
	return end
}
