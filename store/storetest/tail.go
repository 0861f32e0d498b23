package storetest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

var tailTests = []conformance{
	{"Follows", testTailFollows},
	{"Waits", testTailWaits},
	{"JoinsDuringCommits", testTailJoins},
	{"FallsBehind", testTailFallsBehind},
}

// follow reads from a tail until it has reached a cursor, and checks that nothing is missing and nothing comes twice.
func follow(ctx context.Context, tail store.Tail, after, through event.Cursor) (got []event.Cursor, err error) {
	for after < through {
		events, err := tail.Next(ctx)
		if err != nil {
			return got, err
		}
		if len(events) == 0 {
			return got, errors.New("no event and no error")
		}
		for _, ev := range events {
			if ev.Cursor <= after {
				return got, errors.New("event twice or out of order")
			}
			after = ev.Cursor
			got = append(got, ev.Cursor)
		}
	}
	return got, nil
}

func testTailFollows(h *harness) {
	r := h.post("a")
	tail := h.Tail(0)
	later := h.Tail(r.Cursor)
	var want []event.Cursor
	for range 50 {
		want = append(want, h.append(draft("a"), draft("b"))[1].Cursor)
	}
	got, err := follow(h.ctx(), tail, 0, want[len(want)-1])
	h.check(err)
	if len(got) != 101 {
		h.Errorf("followed %d events of 101", len(got))
	}
	got, err = follow(h.ctx(), later, r.Cursor, want[len(want)-1])
	h.check(err)
	if len(got) != 100 {
		h.Errorf("followed %d events of 100", len(got))
	}
}

func testTailWaits(h *harness) {
	tail := h.Tail(h.boundsNow().Head)
	ctx, cancel := context.WithCancel(h.ctx())
	ended := make(chan error, 1)
	go func() {
		_, err := tail.Next(ctx)
		ended <- err
	}()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		h.Errorf("Next of a canceled context: %v", err)
	}
	// It is as good as before.
	got := make(chan []*event.Event, 1)
	go func() {
		events, err := tail.Next(h.ctx())
		if err != nil {
			h.Error(err)
		}
		got <- events
	}()
	r := h.post("a")
	if events := <-got; len(events) != 1 || events[0].Cursor != r.Cursor || events[0].ID != r.ID {
		h.Errorf("got %+v, want the event at %s", events, r.Cursor)
	}
}

// testTailJoins joins a replay and a tail again and again while events are committed: there is no gap and no duplicate
// where they meet.
func testTailJoins(h *harness) {
	joins := 10_000
	if testing.Short() {
		joins = 500
	}
	ctx, cancel := context.WithCancel(h.Context())
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for ctx.Err() == nil {
				if _, err := h.Append(ctx, []store.Draft{draft("a"), draft("b"), draft("a")}); err != nil && ctx.Err() == nil {
					h.Error(err)
					return
				}
			}
		})
	}
	// One reader that never stops knows what there is.
	var mu sync.Mutex
	var all []event.Cursor
	wg.Go(func() {
		tail := h.Tail(0)
		for {
			events, err := tail.Next(ctx)
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				h.Error(err)
				return
			}
			mu.Lock()
			for _, ev := range events {
				all = append(all, ev.Cursor)
			}
			mu.Unlock()
		}
	})
	type piece struct{ got []event.Cursor }
	const readers = 4
	pieces := make([][]piece, readers)
	var joiners sync.WaitGroup
	for n := range readers {
		joiners.Go(func() {
			for i := range joins / readers {
				bounds, err := h.Bounds(h.ctx())
				if err != nil {
					h.Error(err)
					return
				}
				after := bounds.Head - min(bounds.Head, event.Cursor(i%7))
				// A replay to the end of the log, then live.
				var p piece
				for end := false; !end; {
					result, err := h.Read(ctx, tenant, store.ReadQuery{After: after, Patterns: []event.Pattern{"**"}, Limit: 4})
					if err != nil {
						h.Error(err)
						return
					}
					for _, ev := range result.Events {
						p.got = append(p.got, ev.Cursor)
					}
					after, end = result.Through, result.End || len(p.got) > 20
				}
				tail := h.Tail(after)
				for range 2 {
					events, err := tail.Next(ctx)
					if err != nil {
						h.Error(err)
						return
					}
					for _, ev := range events {
						p.got = append(p.got, ev.Cursor)
					}
				}
				pieces[n] = append(pieces[n], p)
			}
		})
	}
	joiners.Wait()
	head := h.boundsNow().Head
	for {
		mu.Lock()
		caughtUp := len(all) > 0 && all[len(all)-1] >= head
		mu.Unlock()
		if caughtUp || h.Failed() {
			break
		}
		h.post("a") // gives the reader a reason to wake
	}
	cancel()
	wg.Wait()
	at := make(map[event.Cursor]int, len(all))
	for i, c := range all {
		if i > 0 && c <= all[i-1] {
			h.Fatalf("the tail gave %s after %s", c, all[i-1])
		}
		at[c] = i
	}
	for _, list := range pieces {
		for _, p := range list {
			first, ok := at[p.got[0]]
			for i, c := range p.got {
				if !ok || first+i >= len(all) || all[first+i] != c {
					h.Fatalf("a join gave %v, the log has %v", p.got, all[first:min(len(all), first+len(p.got))])
				}
			}
		}
	}
}

// testTailFallsBehind lets a tail fall far behind what an engine can hold in memory.
func testTailFallsBehind(h *harness) {
	tail := h.Tail(0)
	h.post("first")
	if _, err := tail.Next(h.ctx()); err != nil {
		h.Fatal(err)
	}
	receipts := h.fill(6000)
	last := receipts[len(receipts)-1].Cursor
	ctx, cancel := context.WithTimeout(h.ctx(), 30*time.Second)
	defer cancel()
	got, err := follow(ctx, tail, 0, last)
	h.check(err)
	if len(got) != len(receipts) || got[0] != receipts[0].Cursor {
		h.Errorf("followed %d events of %d", len(got), len(receipts))
	}
}
