package stream

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/filter"
)

// A poll does not outlive the hub, wherever it is when that ends.
func TestPollEndsWithTheHub(t *testing.T) {
	f := &replay{}
	f.append("a", "1")
	hub, stop := runInside(t, Config{Log: f})
	<-hub.begun
	// As one that is between joining and waiting when the hub ends.
	for _, sh := range hub.shards {
		sh.mu.Lock()
		sh.over = true
		sh.mu.Unlock()
	}
	done := make(chan Polled)
	go func() {
		polled, err := hub.Poll(t.Context(), Subscription{Tenant: 1, Patterns: []event.Pattern{"b"}}, 50, time.Hour)
		if err != nil {
			t.Error(err)
		}
		done <- polled
	}()
	for hub.seats.taken() == 0 {
		runtime.Gosched()
	}
	stop()
	if polled := <-done; polled.Next != 1 || len(polled.Events) != 0 {
		t.Errorf("polled %+v", polled)
	}
}

// Pages on which a filter accepts nothing are bounded too, and kept only while somebody catches up.
func TestEmptyPagesAreBounded(t *testing.T) {
	const n = 40 * pageEvents
	f := &replay{}
	f.appendAll(func(add func(event.Topic, string)) {
		for range n {
			add("a", "1")
		}
	})
	hub, stop := runInside(t, Config{Log: f, RingEvents: 1, PageBytes: 4 << 10})
	defer stop()
	hub.pages.begin() // somebody else
	for i := range 3 {
		source := fmt.Sprintf("data == 'no%d'", i)
		wanted, err := filter.Compile(source)
		if err != nil {
			t.Fatal(err)
		}
		polled, err := hub.Poll(t.Context(), Subscription{
			Tenant: 1, Patterns: []event.Pattern{"a"}, Filter: wanted, FilterSource: source, Start: Start{from: fromEarliest},
		}, 50, 0)
		if err != nil || len(polled.Events) != 0 || polled.Next == 0 {
			t.Errorf("polled %+v, %v", polled, err)
		}
		hub.pages.mu.Lock()
		if held := len(hub.pages.held); held > 8 || hub.pages.bytes > 8<<10 {
			t.Errorf("after poll %d %d pages of %d bytes are held", i, held, hub.pages.bytes)
		}
		hub.pages.mu.Unlock()
	}
	hub.pages.end()
	if held := len(hub.pages.held); held != 0 {
		t.Errorf("%d pages are held for nobody", held)
	}
}
