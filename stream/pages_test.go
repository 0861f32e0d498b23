package stream_test

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/stream"
)

// Streams that resume from the same place at the same time get everything, from what few of them read.
func TestResumingTogether(t *testing.T) {
	log := newMemLog()
	const n, streams = 5000, 50
	log.append(tenantA, "a", numbered(1, n)...)
	hub := runHub(t, stream.Config{Log: log, RingEvents: 16})
	var readers sync.WaitGroup
	for i := range streams {
		readers.Go(func() {
			c := openStream(t, hub, after(subscribe("a"), event.Cursor(i%3).String()))
			defer c.close()
			if b, err := c.parser.next(); err != nil || b.name != "_stream" {
				t.Errorf("got %+v, %v", b, err)
			}
			for want := i%3 + 1; want <= n; want++ {
				if b, err := c.parser.next(); err != nil || b.data != fmt.Sprint(want) {
					t.Errorf("got %+v, %v, want %d", b, err, want)
					return
				}
			}
		})
	}
	readers.Wait()
}

// A page that could not be read ends the stream that read it, with a time to come back, and is not kept.
func TestBrokenPage(t *testing.T) {
	log := newMemLog()
	log.append(tenantA, "a", numbered(1, 500)...)
	hub := runHub(t, stream.Config{Log: log, RingEvents: 16})
	broken := errors.New("broken")
	c := openStream(t, hub, after(subscribe("a"), event.Cursor(0).String()))
	awaitStreams(t, hub, 1) // it waits for its opening to be read
	log.setBroken(broken)
	c.status("resumed")
	c.retry = ""
	if _, err := c.parser.next(); !errors.Is(err, io.EOF) || c.retry == "" {
		t.Errorf("the stream ended with %v, retry %q", err, c.retry)
	}
	if err := <-c.served; !errors.Is(err, broken) {
		t.Errorf("Serve: %v", err)
	}
	log.setBroken(nil)
	d := openStream(t, hub, after(subscribe("a"), event.Cursor(0).String()))
	defer d.close()
	d.status("resumed")
	d.want(texts(numbered(1, 500))...)
}
