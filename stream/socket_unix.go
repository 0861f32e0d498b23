//go:build unix

package stream

import (
	"errors"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// takeOver makes a socket of the request's connection, if that can be written to without waiting: HTTP/1 over plain TCP
// or a Unix socket. nil: it cannot, and nothing has changed.
func takeOver(w http.ResponseWriter, r *http.Request, watcher func() *watcher) (socket, error) {
	if r.ProtoMajor != 1 || r.TLS != nil {
		return nil, nil
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if errors.Is(err, http.ErrNotSupported) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	sc, ok := conn.(syscall.Conn)
	if !ok {
		_ = conn.Close()
		return nil, errors.New("the connection has no descriptor")
	}
	raw, err := sc.SyscallConn()
	if err == nil {
		err = conn.SetDeadline(time.Time{}) // the server's own
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	// The kernel would let the buffer of one who reads slowly or not at all grow to several mebibytes.
	if sized, ok := conn.(interface{ SetWriteBuffer(bytes int) error }); ok {
		_ = sized.SetWriteBuffer(socketBuffer) // what it does not take it has another size for
	}
	return &descriptor{conn: conn, raw: raw, watcher: watcher()}, nil
}

// socketBuffer is how much the kernel may hold for a stream's reader; Linux takes twice of it, for its own overhead too.
const socketBuffer = 256 << 10

// descriptor is a socket by its file descriptor.
type descriptor struct {
	conn    net.Conn
	raw     syscall.RawConn
	watcher *watcher // nil if there is none: the stream then ends at once
	gone    func()   // see watch

	fd      int32 // for the watcher
	said    int32 // how many bytes have come from the client
	hurried atomic.Bool
	closed  atomic.Bool
}

// attempt is one write. Its function is made once and used again: a closure for each write of a stream is three
// allocations, which at full speed make a quarter of the garbage.
type attempt struct {
	b   []byte
	n   int
	err error
	do  func(fd uintptr) bool
}

var attempts = sync.Pool{New: func() any {
	a := &attempt{}
	a.do = a.write
	return a
}}

func (a *attempt) write(fd uintptr) bool {
	for {
		n, err := syscall.Write(int(fd), a.b)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			return true
		case err != nil:
			a.err = err
			return true
		}
		a.n += n
		if a.b = a.b[n:]; len(a.b) == 0 {
			return true
		}
	}
}

func (d *descriptor) write(b []byte) (int, error) {
	a := attempts.Get().(*attempt)
	a.b, a.n, a.err = b, 0, nil
	err := d.raw.Write(a.do)
	n, writeErr := a.n, a.err
	a.b = nil
	attempts.Put(a)
	if err != nil || writeErr != nil {
		return n, errReaderGone
	}
	return n, nil
}

func (d *descriptor) await(timeout time.Duration) error {
	for held := d.unread(); ; {
		err := d.wait(timeout)
		if err == nil {
			return nil
		}
		// The kernel calls a socket writable when a third of its buffer is free. A reader that has taken less, but something,
		// is slow and no more.
		now := d.unread()
		if !errors.Is(err, os.ErrDeadlineExceeded) || d.hurried.Load() || now >= held {
			return errReaderGone
		}
		held = now
	}
}

func (d *descriptor) wait(timeout time.Duration) error {
	if !d.hurried.Load() {
		// The only deadline of a stream's writes: setting one costs as much as a quarter of a write, and a socket that takes
		// what it is given needs none.
		if err := d.conn.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
			return err
		}
		if d.hurried.Load() {
			d.hurry() // just now, and its deadline was overwritten
		}
	}
	// The poller reports a change, and this one may have come before it was asked.
	if err := d.raw.Write(writable); err != nil {
		return err
	}
	if d.hurried.Load() {
		return nil
	}
	return d.conn.SetWriteDeadline(time.Time{})
}

// unread is how much of what was written the client has not taken yet, as far as the kernel tells.
func (d *descriptor) unread() (bytes int) {
	_ = d.raw.Control(func(fd uintptr) {
		bytes, _ = unix.IoctlGetInt(int(fd), unix.TIOCOUTQ)
	})
	return bytes
}

func writable(fd uintptr) bool {
	ask := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	n, err := unix.Poll(ask, 0)
	return n > 0 || err != nil && err != unix.EINTR
}

func (d *descriptor) hurry() {
	d.hurried.Store(true)
	_ = d.conn.SetWriteDeadline(time.Now().Add(lastWrite)) // its error is that of a closed connection
}

func (d *descriptor) finish() {
	// A connection that is closed while something unread has come in is reset, and what was written last is lost with it.
	if half, ok := d.conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	time.AfterFunc(lastWrite, d.close)
}

func (d *descriptor) watch(gone func()) {
	d.gone = gone
	if d.watcher == nil || d.watcher.add(d) != nil {
		d.close()
	}
}

// maxSaid is how much a client may say on its stream. It has nothing to say, and whoever goes on and on is no client.
const maxSaid = 64 << 10

// heard takes what came from the client and throws it away. It reports whether the client is gone.
func (d *descriptor) heard() bool {
	gone := false
	err := d.raw.Read(func(fd uintptr) bool {
		var b [512]byte
		for {
			n, err := syscall.Read(int(fd), b[:])
			switch {
			case err == syscall.EINTR:
				continue
			case err == syscall.EAGAIN:
				return true
			case err != nil || n == 0:
				gone = true
				return true
			}
			if d.said += int32(n); d.said > maxSaid {
				gone = true
				return true
			}
		}
	})
	return gone || err != nil
}

func (d *descriptor) close() {
	if d.closed.Swap(true) {
		return
	}
	if d.watcher != nil {
		d.watcher.remove(d)
	}
	_ = d.conn.Close()
	if d.gone != nil {
		// Whoever closes may hold what it needs.
		go d.gone()
	}
}
