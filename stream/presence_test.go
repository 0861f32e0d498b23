package stream

import (
	"context"
	"encoding/json"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/carillon/carillon/event"
)

// Who comes and leaves is told while somebody asks, and to nobody otherwise.
func TestPresence(t *testing.T) {
	f := &replay{}
	published := make(chan *event.Event, 16)
	var asked atomic.Bool
	var asks atomic.Int64
	hub, stop := runInside(t, Config{
		Log: f,
		Publish: func(_ context.Context, events []*event.Event) error {
			for _, e := range events {
				published <- e
			}
			return nil
		},
		Wanted: func(_ event.TenantID, topic event.Topic) bool {
			asks.Add(1)
			return asked.Load() && topic == TopicClosed
		},
	})
	defer stop()
	open := func(patterns ...event.Pattern) *narrowSocket {
		s := newNarrowSocket(-1, 0)
		serveOn(t, hub, s, Subscription{Tenant: 1, Patterns: patterns})
		s.until(t, "\n\n")
		return s
	}
	told := func(topic event.Topic, pattern event.Pattern) presenceNews {
		t.Helper()
		e := <-published
		var news presenceNews
		if err := json.Unmarshal(e.Payload, &news); err != nil {
			t.Fatal(err)
		}
		if e.Topic != topic || len(news.Topics) != 1 || news.Topics[0] != pattern || (topic == TopicClosed) != (news.Closed != nil) {
			t.Errorf("%s: %s, want %s of %s", e.Topic, e.Payload, topic, pattern)
		}
		return news
	}
	open("a").close() // told to nobody
	for asks.Load() < 2 {
		runtime.Gosched()
	}
	asked.Store(true)
	b := open("b") // a webhook asks for departures only
	f.append("b", "1", "2", "3")
	b.until(t, "data: 3\n\n")
	// The hub notes what it has sent after its reader may have it.
	for streams := hub.Streams(1, event.ID{}, 2); len(streams) != 1 || streams[0].Cursor != 3; streams = hub.Streams(1, event.ID{}, 2) {
		runtime.Gosched()
	}
	b.close()
	if news := told(TopicClosed, "b"); news.Cursor != 3 {
		t.Errorf("it had come to 3, told %s", news.Cursor)
	}
	asked.Store(false)
	watch := open("_carillon.stream.*")
	told(TopicOpened, "_carillon.stream.*")
	open("c").close()
	told(TopicOpened, "c")
	told(TopicClosed, "c")
	watch.close()
}
