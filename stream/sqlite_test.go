package stream_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
	"github.com/carillon/carillon/store/sqlite"
	"github.com/carillon/carillon/stream"
)

// The same promises over a real log: joins during commits, and retention down to nothing.
func TestOverSQLite(t *testing.T) {
	engine, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "carillon.db")})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- engine.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	}()
	hub, stop := startHub(t, stream.Config{Log: engine, RingEvents: 32})
	defer stop()
	post := func(topic event.Topic, payload string) event.Cursor {
		receipts, err := engine.Append(t.Context(), []store.Draft{{Event: &event.Event{
			ID: event.NewID(), Tenant: tenantA, Topic: topic, Payload: []byte(payload),
		}}})
		if err != nil {
			t.Error(err)
			return 0
		}
		return receipts[0].Cursor
	}

	fresh := openStream(t, hub, since(t, subscribe("**"), "1h"))
	fresh.status("resumed") // nothing was ever removed
	post("x", "first")
	fresh.want("first")
	fresh.close()

	rounds := 150
	if testing.Short() {
		rounds = 30
	}
	var readers, poster sync.WaitGroup
	more := make(chan struct{}, 4)
	poster.Go(func() {
		n := 0
		for range more {
			post("noise", "noise")
			n++
			post("a.b", fmt.Sprint(n))
		}
	})
	head, err := engine.Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 4 {
		readers.Go(func() {
			seen, id := 0, head.Head.String()
			for range rounds {
				bounds, err := engine.Bounds(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				more <- struct{}{}
				c := openStream(t, hub, after(subscribe("a.*"), id))
				for id <= bounds.Head.String() {
					b, err := c.parser.next()
					if err != nil {
						t.Errorf("the stream broke off: %v", err)
						break
					}
					if b.name == "_stream" {
						continue
					}
					seen++
					if b.data != fmt.Sprint(seen) {
						t.Errorf("got %s after %d", b.data, seen-1)
						break
					}
					id = b.id
				}
				c.close()
				if t.Failed() {
					return
				}
			}
		})
	}
	readers.Wait()
	close(more)
	poster.Wait()

	for {
		trimmed, err := engine.Trim(t.Context(), store.Retention{Bytes: 1})
		if err != nil {
			t.Fatal(err)
		}
		if !trimmed.More {
			break
		}
	}
	bounds, err := engine.Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if bounds.Trimmed == 0 {
		t.Fatal("nothing was trimmed")
	}
	gone := openStream(t, hub, after(subscribe("a.*"), head.Head.String()))
	gone.status("gap")
	// What retention leaves of the log is its own affair; what is posted now comes last.
	post("a.b", "after the gap")
	for gone.next().data != "after the gap" {
	}
	gone.close()
}
