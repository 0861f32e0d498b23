package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/launchdarkly/eventsource"
	r3labs "github.com/r3labs/sse/v2"
	tmaxmax "github.com/tmaxmax/go-sse"
	"gopkg.in/cenkalti/backoff.v1"
)

// client is somebody's client of event streams. It listens to a URL, over whatever happens to the connection, and tells
// the tally what it was given, until the context ends.
type client func(ctx context.Context, url string, got *tally) error

// largestBlock is what clients are told that may come between two blank lines. Their defaults, where they have one, are
// too small for a payload of 64 KB.
const largestBlock = 4 << 20

// tally is what one client was given.
type tally struct {
	mu      sync.Mutex
	events  []heard
	notices []string
	last    string // id
}

// hear is told of an event.
func (y *tally) hear(h heard) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if h.Event == "_stream" {
		y.notices = append(y.notices, h.Data)
		return
	}
	y.events = append(y.events, h)
	y.last = h.ID
}

// hearBlock is told of a block, by clients that hand on those without data, too. Such a block is told from an event
// whose payload is empty by its id only, which is that of the event before.
func (y *tally) hearBlock(h heard) {
	y.mu.Lock()
	empty := h.Event == "" && h.Data == "" && (y.last == "" || y.last == h.ID)
	if empty {
		y.last = h.ID
	}
	y.mu.Unlock()
	if !empty {
		y.hear(h)
	}
}

func (y *tally) has(cursor string) bool {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.last >= cursor
}

// launchDarkly resumes by itself, after the time that the gateway asks for, and drops half an event. It hands on blocks
// without data.
func launchDarkly(ctx context.Context, url string, got *tally) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	stream, err := eventsource.SubscribeWithRequestAndOptions(req,
		eventsource.StreamOptionErrorHandler(func(error) eventsource.StreamErrorHandlerResult {
			return eventsource.StreamErrorHandlerResult{} // go on
		}))
	if err != nil {
		return err
	}
	defer stream.Close()
	for {
		select {
		case e := <-stream.Events:
			got.hearBlock(heard{e.(eventsource.EventWithLastID).LastEventID(), e.Event(), e.Data()})
		case <-ctx.Done():
			return nil
		}
	}
}

// goSSE resumes by itself, about after the time that the gateway asks for, and drops half an event. It hands on blocks
// without data. Told nothing of a buffer, it ends at an event of 64 KB, and comes back to it for ever.
func goSSE(ctx context.Context, url string, got *tally) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	c := tmaxmax.NewConnection(req)
	c.Buffer(nil, largestBlock)
	c.SubscribeToAll(func(e tmaxmax.Event) { got.hearBlock(heard{e.LastEventID, e.Type, e.Data}) })
	if err := c.Connect(); ctx.Err() == nil {
		return err
	}
	return nil
}

// r3labsSSE needs help. The package
//
//   - takes a stream that ends for one that is over, and returns without an error;
//   - hands on half an event, with its id, where a connection breaks in the middle of it, and would resume behind it;
//   - does not wait for as long as the gateway asks;
//   - ends at an event of 64 KB if it is told nothing of a buffer.
//
// So its own reconnecting is turned off here, and whenever it returns, the last event counts as not received: it is
// resumed behind the one before, which is all that can be relied on.
func r3labsSSE(ctx context.Context, url string, got *tally) error {
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	var positions []string // ids that can be resumed behind, the last one's event perhaps in half
	for ctx.Err() == nil {
		c := r3labs.NewClient(url, r3labs.ClientMaxBufferSize(largestBlock))
		c.ReconnectStrategy = &backoff.StopBackOff{}
		if len(positions) > 0 {
			c.LastEventID.Store([]byte(positions[len(positions)-1]))
		}
		_ = c.SubscribeRawWithContext(ctx, func(m *r3labs.Event) {
			id := string(m.ID)
			switch {
			case m.Data == nil:
				// An id alone. Where the stream resumes it is the one that is known already.
				if len(positions) == 0 {
					positions = append(positions, id)
				}
			case string(m.Event) == "_stream":
				got.hear(heard{id, "_stream", string(m.Data)})
			default:
				positions = append(positions, id)
				got.hear(heard{id, string(m.Event), string(m.Data)})
			}
		}) // it returns nil for an end, and otherwise why it could not go on: both are the same here
		if len(positions) > 1 && ctx.Err() == nil {
			positions = positions[:len(positions)-1]
			got.forget(positions[len(positions)-1])
		}
		select {
		case <-again.C:
		case <-ctx.Done():
		}
	}
	return nil
}

// forget takes back the last event.
func (y *tally) forget(before string) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.events, y.last = y.events[:len(y.events)-1], before
}

// TestGoClients has clients in use elsewhere follow a stream of the real binary.
func TestGoClients(t *testing.T) {
	t.Parallel() // most of the time the clients wait until they may reconnect
	followOverCrashes(t, map[string]client{"launchdarkly/eventsource": launchDarkly, "tmaxmax/go-sse": goSSE, "r3labs/sse": r3labsSSE})
}

// followOverCrashes has clients follow a stream while payloads of all kinds are posted, the gateway is killed and started
// again, and the connection breaks in the middle of an event: each has to be given every event once, in order, as it was
// posted.
func followOverCrashes(t *testing.T, clients map[string]client) {
	address, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	data := t.TempDir()
	gateway, url := browse(t, nil, "--listen", address, "--data", data)
	ctx, stop := context.WithCancel(t.Context())
	var listening sync.WaitGroup
	defer listening.Wait()
	defer stop()
	tallies, relays := map[string]*tally{}, map[string]*relay{}
	for name, follow := range clients {
		got, relay := &tally{}, newRelay(t, url)
		tallies[name], relays[name] = got, relay
		listening.Go(func() {
			if err := follow(ctx, relay.url+"/v1/stream?topic=samples", got); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
		relay.awaitStream(t, 1, "\n\n")
	}

	var want []heard
	round := func(name string, samples []sample, meanwhile func(*feed)) {
		t.Helper()
		f := newFeed(ctx, url, "samples", name, samples)
		meanwhile(f)
		want = append(want, f.wait(t)...)
		last := want[len(want)-1].ID
		for name, got := range tallies {
			waitUntil(t, patience, name+" to have it all", func() bool { return got.has(last) })
		}
	}
	round("undisturbed", samples, func(*feed) {})
	for i := range 2 {
		twice := slices.Concat(samples, samples)
		round(fmt.Sprint("killed ", i), twice, func(f *feed) {
			f.half(t, twice)
			gateway.kill()
			gateway, _ = browse(t, nil, "--listen", address, "--data", data)
		})
	}
	for _, r := range relays {
		r.cutBehind("HERE")
	}
	round("cut", []sample{text("", "before"), text("in the middle", "half\nHERE and\nmore"), text("", "after")}, func(*feed) {})
	stop()
	listening.Wait()

	for name, got := range tallies {
		if d := difference(got.events, want); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		if len(got.notices) < 3 || slices.ContainsFunc(got.notices, func(n string) bool { return !strings.Contains(n, `"resumed"`) }) {
			t.Errorf("%s: the gateway said %q", name, got.notices)
		}
		for _, e := range relays[name].streams()[1:] {
			if e.request.Header.Get("Last-Event-ID") == "" {
				t.Errorf("%s came back without an id", name)
			}
		}
	}
}
