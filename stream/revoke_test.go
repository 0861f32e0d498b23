package stream_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/stream"
)

// expects reads a stream to its end and fails the test unless the last thing it is told is that it has expired.
func expects(t *testing.T, resp *http.Response) {
	t.Helper()
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("the stream broke off: %v, after %q", err, text)
	}
	if !strings.HasSuffix(string(text), "\n\nevent: _stream\ndata: {\"status\":\"expired\"}\n\n") || !strings.Contains(string(text), "retry: ") {
		t.Errorf("it ended with %q", text)
	}
}

// A key that is ended takes its streams with it, whatever carries them, and opens no more; others' go on.
func TestEndKey(t *testing.T) {
	overEach(t, stream.Config{}, func(t *testing.T, log *memLog, hub *stream.Hub, _ func(), get func() *http.Response) {
		other := openStream(t, hub, subscribe("a"))
		other.block()
		open, more := get(), get()
		awaitStreams(t, hub, 3)
		log.append(tenantA, "a", []byte("1"))
		other.want("1")
		hub.EndKey("key")
		expects(t, open)
		expects(t, more)
		awaitStreams(t, hub, 1)
		expects(t, get()) // it came too late
		hub.EndKey("key")
		log.append(tenantA, "a", []byte("2"))
		other.want("2")
		other.close()
	})
}

// With the ordinary deadline this test would hang.
func TestEndKeyDoesNotWaitForTheStalled(t *testing.T) {
	overEach(t, stream.Config{WriteTimeout: time.Hour}, func(t *testing.T, log *memLog, hub *stream.Hub, _ func(), get func() *http.Response) {
		resp := get()
		defer resp.Body.Close()
		for range 32 { // more than the kernel's buffers take
			log.append(tenantA, "a", make([]byte, 1<<20))
		}
		hub.EndKey("key")
		awaitStreams(t, hub, 0)
	})
}

// However the end of the key falls among the changes of a stream's state, the stream ends.
func TestEndKeyAtAnyTime(t *testing.T) {
	log := newMemLog()
	hub := runHub(t, stream.Config{Log: log, RingEvents: 4})
	for i := range 200 {
		sub := subscribe("a")
		sub.Key = string(rune('A' + i))
		c := openStream(t, hub, sub)
		if i%3 > 0 {
			c.block()
		}
		var wg sync.WaitGroup
		wg.Go(func() { log.append(tenantA, "a", numbered(1, i%10)...) })
		wg.Go(func() { hub.EndKey(sub.Key) })
		for {
			if _, err := c.parser.next(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if err := <-c.served; err != nil {
			t.Error(err)
		}
		wg.Wait()
	}
}

func TestPollEndsWithItsKey(t *testing.T) {
	hub := runHub(t, stream.Config{Log: newMemLog()})
	poll := func(change func(*stream.Subscription)) chan error {
		sub := subscribe("a")
		sub.Key = "key"
		change(&sub)
		answered := make(chan error, 1)
		go func() {
			_, err := hub.Poll(t.Context(), sub, 10, time.Hour)
			answered <- err
		}()
		return answered
	}
	expiring := poll(func(sub *stream.Subscription) { sub.Expires = time.Now().Add(10 * time.Millisecond) })
	if err := <-expiring; !errors.Is(err, stream.ErrExpired) {
		t.Errorf("its key expired: %v", err)
	}
	waiting := poll(func(*stream.Subscription) {})
	hub.EndKey("key")
	if err := <-waiting; !errors.Is(err, stream.ErrExpired) {
		t.Errorf("its key was ended: %v", err)
	}
	if err := <-poll(func(*stream.Subscription) {}); !errors.Is(err, stream.ErrExpired) {
		t.Errorf("its key had been ended: %v", err)
	}
	if open := hub.Streams(tenantA, event.ID{}, 10); len(open) > 0 {
		t.Errorf("open are %+v", open)
	}
}

// A tenant that is deleted takes all of its streams with it, with whatever key they were opened, and opens no more.
func TestEndTenant(t *testing.T) {
	overEach(t, stream.Config{}, func(t *testing.T, log *memLog, hub *stream.Hub, _ func(), get func() *http.Response) {
		sub := subscribe("a")
		sub.Tenant = tenantB
		other := openStream(t, hub, sub)
		other.block()
		open, more := get(), get()
		awaitStreams(t, hub, 2)
		if n := hub.Open(tenantA); n != 2 {
			t.Errorf("%d streams of the tenant are open", n)
		}
		hub.EndTenant(tenantA)
		expects(t, open)
		expects(t, more)
		awaitStreams(t, hub, 0)
		expects(t, get()) // it came too late
		log.append(tenantB, "a", []byte("1"))
		other.want("1")
		other.close()
		if _, err := hub.Poll(t.Context(), subscribe("a"), 1, time.Minute); !errors.Is(err, stream.ErrExpired) {
			t.Errorf("a poll: %v", err)
		}
	})
}
