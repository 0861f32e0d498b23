package bench

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/carillon/carillon/event"
)

// floor is what every server of streams has to do at least: a process that writes one prepared frame to each of its
// sockets, at a rate.
type floor struct {
	*actor
	addr string
}

func newFloor(b *testing.B) *floor {
	b.Helper()
	a := newActor(b, "floor", false)
	return &floor{a, a.hear("listens", time.Minute)}
}

// paced measures what a frame costs to each of n sockets.
func (f *floor) paced(n, rate int, settle, span time.Duration) fanOut {
	f.b.Helper()
	readers, err := gather(f.addr, n, readerOptions{buffer: readerBuffer(n)})
	defer f.send(0, rate)
	defer readers.close()
	if err != nil {
		f.b.Fatal(err)
	}
	first := int64(settle.Seconds() * float64(rate))
	events := int64(span.Seconds() * float64(rate))
	f.send(first, rate)
	check(f.b, readers.await(first, time.Minute))
	used, began := f.cpu(), time.Now()
	f.send(events, rate)
	check(f.b, readers.await(first+events, time.Minute))
	return fanOutOf(f.cpu()-used, time.Since(began), events, n)
}

// send has so many frames written to each, at a rate in a second; none closes the sockets.
func (f *floor) send(frames int64, rate int) {
	f.b.Helper()
	f.tell("%d %d", frames, rate)
	f.hear("sent", 2*time.Minute)
}

func playFloor(_ []string, lines *bufio.Scanner, answer io.Writer) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	var mu sync.Mutex
	var sockets []net.Conn
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			sockets = append(sockets, conn)
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n") // as below
			mu.Unlock()
		}
	}()
	fmt.Fprintln(answer, "listens", l.Addr())

	frame := fmt.Appendf(nil, "id: %s\ndata: %s\n\n", event.Cursor(1), stamped(pacedSize, 0, time.Now()))
	for lines.Scan() {
		var frames, rate int
		if _, err := fmt.Sscan(lines.Text(), &frames, &rate); err != nil {
			return err
		}
		if frames == 0 {
			mu.Lock()
			for _, s := range sockets {
				s.Close()
			}
			sockets = nil
			mu.Unlock()
		}
		tick := time.NewTicker(time.Second / time.Duration(rate))
		for range frames {
			<-tick.C
			mu.Lock()
			for _, s := range sockets {
				_, _ = s.Write(frame) // what does not arrive is missed by who counts
			}
			mu.Unlock()
		}
		tick.Stop()
		fmt.Fprintln(answer, "sent", frames)
	}
	return lines.Err()
}
