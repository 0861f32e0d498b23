package bench

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// readerOptions say what a reader of a stream does. A zero one only counts.
type readerOptions struct {
	lastEventID string
	greets      bool // the server begins with a block of its own; the stream is open when that has come
	timed       bool // how long each event took is kept
	ordered     bool // events have to be numbered one after the other, from next on, up to the one before loose
	next        int64
	loose       int64 // from here on their order is the gateway's, the same for all
	buffer      int   // bytes
	window      int   // SO_RCVBUF; 0: the system's own
	yields      bool  // others may have the processor after each piece
}

// reader is a client of one stream: a socket, a goroutine and a small buffer.
type reader struct {
	readerOptions
	conn  net.Conn
	body  dechunker
	seen  records
	total *atomic.Int64 // of all readers of an audience

	gate   sync.Mutex // held by whoever has it stall
	count  atomic.Int64
	missed atomic.Int64 // events that came out of their turn, or whose turn passed

	mu   sync.Mutex
	took []time.Duration
	late order
}

// order is what tells whether readers got the same events in the same order.
type order struct {
	count, sum int64  // of the events' numbers
	hash       uint64 // of the numbers as they came
}

func (o *order) add(number int64) {
	o.count++
	o.sum += number
	o.hash = (o.hash ^ uint64(number)) * 1099511628211 // FNV-1's prime
}

// openReader opens a stream and returns when it is open. What comes is read by run.
func openReader(addr string, o readerOptions, total *atomic.Int64) (*reader, error) {
	dialer := net.Dialer{Timeout: time.Minute}
	if o.window > 0 {
		dialer.Control = func(_, _ string, c syscall.RawConn) error {
			var set error
			err := c.Control(func(fd uintptr) {
				set = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, o.window)
			})
			return errors.Join(err, set)
		}
	}
	conn, err := dialer.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	r := &reader{readerOptions: o, conn: conn, total: total}
	if err := r.open(addr); err != nil {
		conn.Close()
		return nil, fmt.Errorf("open a stream: %w", err)
	}
	return r, nil
}

func (r *reader) open(addr string) error {
	resume := ""
	if r.lastEventID != "" {
		resume = "Last-Event-ID: " + r.lastEventID + "\r\n"
	}
	if _, err := fmt.Fprintf(r.conn, "GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", streamPath, addr, resume); err != nil {
		return err
	}
	if err := r.conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	var head []byte
	piece := make([]byte, 1024)
	bodyAt := -1
	for bodyAt < 0 || r.greets && len(head) == bodyAt {
		n, err := r.conn.Read(piece)
		if err != nil {
			return fmt.Errorf("after %q: %w", head, err)
		}
		head = append(head, piece[:n]...)
		if i := bytes.Index(head, []byte("\r\n\r\n")); i >= 0 && bodyAt < 0 {
			bodyAt = i + 4
		}
	}
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 200 ")) {
		return fmt.Errorf("answered %q", head)
	}
	r.body.plain = !bytes.Contains(bytes.ToLower(head[:bodyAt]), []byte("transfer-encoding: chunked"))
	if err := r.take(head[bodyAt:]); err != nil {
		return err
	}
	return r.conn.SetReadDeadline(time.Time{})
}

// run reads until the connection ends, and returns why.
func (r *reader) run() error {
	buffer := make([]byte, r.buffer)
	for {
		r.gate.Lock()
		r.gate.Unlock() //lint:ignore SA2001 whoever has it stall holds the gate
		n, err := r.conn.Read(buffer)
		if err != nil {
			return err
		}
		if err := r.take(buffer[:n]); err != nil {
			return err
		}
		if r.yields {
			giveWay()
		}
	}
}

// take counts what a piece of the response brings.
func (r *reader) take(piece []byte) error {
	now := time.Now()
	events := int64(0)
	err := r.body.feed(piece, func(text []byte) error {
		if !r.timed && !r.ordered {
			events += int64(bytes.Count(text, []byte{recordEnd}))
			return nil
		}
		return r.seen.scan(text, func(record []byte) error {
			events++
			return r.look(record, now)
		})
	})
	if events > 0 {
		r.count.Add(events)
		r.total.Add(events)
	}
	return err
}

func (r *reader) look(record []byte, now time.Time) error {
	number, at, err := readRecord(record)
	if err != nil {
		return err
	}
	if r.ordered && number < r.loose {
		if number != r.next {
			r.missed.Add(1)
		}
		r.next = number + 1
		if !r.timed {
			return nil
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ordered && number >= r.loose {
		if r.next != r.loose {
			r.missed.Add(1)
			r.next = r.loose
		}
		r.late.add(number)
	}
	if r.timed {
		r.took = append(r.took, now.Sub(at))
	}
	return nil
}

// stall has the reader read no more than what it has begun to, until goOn.
func (r *reader) stall() { r.gate.Lock() }
func (r *reader) goOn()  { r.gate.Unlock() }

// hangUp ends the connection without the wait that would keep its port from the next one.
func (r *reader) hangUp() {
	_ = r.conn.(*net.TCPConn).SetLinger(0) // what it ends is the connection either way
	r.conn.Close()
}

// dechunker takes a body out of its chunks (RFC 9112, section 7.1), unless it is plain.
type dechunker struct {
	plain bool
	left  int // of the chunk
	skip  int // what follows a chunk's end
	size  int // of the next chunk, as far as its line has come
}

// feed hands on what a piece has of the body, and stops at the first error.
func (d *dechunker) feed(piece []byte, text func([]byte) error) error {
	if d.plain {
		return text(piece)
	}
	for len(piece) > 0 {
		if d.left > 0 {
			n := min(d.left, len(piece))
			if err := text(piece[:n]); err != nil {
				return err
			}
			piece = piece[n:]
			if d.left -= n; d.left == 0 {
				d.skip = len("\r\n")
			}
			continue
		}
		c := piece[0]
		piece = piece[1:]
		switch {
		case d.skip > 0:
			d.skip--
		case c == '\r':
		case c == '\n':
			if d.size == 0 {
				return io.EOF
			}
			d.left, d.size = d.size, 0
		case '0' <= c && c <= '9':
			d.size = d.size<<4 | int(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			d.size = d.size<<4 | int(c|0x20-'a'+10)
		default:
			return fmt.Errorf("a chunk's size has %q in it", c)
		}
	}
	return nil
}
