package stream

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// watcher notices which clients leave, for all sockets by one goroutine. One that waited for each of them would be most of
// what an idle stream costs: 6 to 7 KiB of memory with it, 2 to 3 without.
//
// The runtime's poller knows the same descriptors, but tells only goroutines that wait. This one has a poller of its
// own, which the runtime's watches in turn, so that it holds no thread.
type watcher struct {
	file *os.File // the poller: see epoll(7)
	raw  syscall.RawConn
	over atomic.Bool // close was called

	mu      sync.Mutex
	watched map[int32]*descriptor // by their descriptors
}

func newWatcher() (*watcher, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		return nil, fmt.Errorf("make a poller: %w", err)
	}
	w := &watcher{file: os.NewFile(uintptr(fd), "epoll"), watched: make(map[int32]*descriptor)}
	if w.raw, err = w.file.SyscallConn(); err != nil {
		return nil, fmt.Errorf("make a poller: %w", err)
	}
	return w, nil
}

// close ends run.
func (w *watcher) close() {
	w.over.Store(true)
	_ = w.file.Close()
}

// run tells sockets what their clients do until close.
func (w *watcher) run() error {
	var events [256]unix.EpollEvent
	for {
		n := 0
		var waitErr error
		err := w.raw.Read(func(fd uintptr) bool {
			n, waitErr = unix.EpollWait(int(fd), events[:], 0)
			if errors.Is(waitErr, unix.EINTR) {
				waitErr = nil
			}
			return n > 0 || waitErr != nil
		})
		if err != nil && w.over.Load() { // whatever it is: it is not os.ErrClosed
			return nil
		}
		if err = errors.Join(err, waitErr); err != nil {
			return fmt.Errorf("wait for clients to leave: %w", err)
		}
		for _, e := range events[:n] {
			w.mu.Lock()
			d := w.watched[e.Fd]
			w.mu.Unlock()
			// One that is not there has just been closed. Its number may have been given to another one, which finds nothing.
			if d != nil && d.heard() {
				d.close()
			}
		}
	}
}

// add watches a socket until it is closed.
func (w *watcher) add(d *descriptor) error {
	var ctlErr error
	err := d.raw.Control(func(fd uintptr) {
		w.mu.Lock()
		defer w.mu.Unlock()
		e := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(fd)}
		var poller uintptr
		ctlErr = w.raw.Control(func(p uintptr) { poller = p })
		if ctlErr == nil {
			ctlErr = unix.EpollCtl(int(poller), unix.EPOLL_CTL_ADD, int(fd), &e)
		}
		if ctlErr == nil {
			d.fd = int32(fd)
			w.watched[d.fd] = d
		}
	})
	return errors.Join(err, ctlErr)
}

// remove is called before a socket is closed, which is what takes it off the poller.
func (w *watcher) remove(d *descriptor) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.watched[d.fd] == d {
		delete(w.watched, d.fd)
	}
}
