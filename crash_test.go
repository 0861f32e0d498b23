package main

import (
	"context"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// crashes is how often TestNothingIsLostWhenKilled kills the gateway, and the other tests of crashes in proportion,
// unless CARILLON_KILLS says otherwise.
const crashes = 10

func killsWanted(t *testing.T) int {
	t.Helper()
	s := os.Getenv("CARILLON_KILLS")
	if s == "" {
		return crashes
	}
	kills, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal("CARILLON_KILLS:", err)
	}
	return kills
}

// life is how long the gateway runs before the given kill. The moment is the point, not a wait for something: most come
// so soon that the last one is not yet forgotten, and a few so late that nothing old has an excuse any more.
func life(kill int) time.Duration {
	if kill%30 == 29 {
		return uncommitted + uncommitted/2
	}
	return time.Duration(20+rand.IntN(250)) * time.Millisecond
}

// checkUsual holds what came again against what is usual, in the life in the middle: at this load, no more is answered
// in the time that a settlement takes than can be under way at once. A busy machine can make it more here and there, but
// not in every other life.
func checkUsual(t *testing.T, name string, again map[int][]*arrival, kills int) {
	t.Helper()
	const window = 16 // the default of max_in_flight
	var counts []int
	for life := range kills {
		counts = append(counts, len(again[life]))
	}
	slices.Sort(counts)
	if usual := counts[kills/2]; usual > 2*window {
		t.Errorf("%s: %d deliveries came again in the life in the middle; %d can have been under way or just answered", name, usual, 2*window)
	}
}

// TestNothingIsLostWhenKilled kills the gateway with SIGKILL at random moments under load and keeps the ledger outside
// of it: every event for which a poster had a 202 must be in the log, on the stream once and in order, and at every
// webhook that it was owed to; what is owed in an order must come in it, and what comes twice must have an excuse.
func TestNothingIsLostWhenKilled(t *testing.T) {
	kills := killsWanted(t)
	sink := newSink(t, map[string]behaviour{
		"fine":  {},
		"flaky": {refuse: 4, atMost: 3},
		"slow":  {pause: 50},
		// A failing head holds up all that is behind it for a second. So that a kill meets it at work, this one is busy.
		"strict": {refuse: 500, atMost: 2, takes: 3 * time.Millisecond},
		"key":    {refuse: 100, atMost: 2},
	})
	g := newVictim(t, sink)
	g.start()
	for _, name := range []string{"fine", "flaky", "slow"} {
		g.register(name, `"topics":["load.**"]`)
	}
	some := func(p posted) bool { return p.topic < "load.p2" }
	for _, order := range []string{"strict", "key"} {
		g.register(order, `"topics":["load.p0","load.p1"],"order":"`+order+`"`)
	}

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var load, following sync.WaitGroup
	ledger := newLedger()
	for i := range 8 {
		load.Go(func() { g.post(ctx, ledger, i, "load.p"+strconv.Itoa(i), 0) })
	}
	stream := &follower{}
	followCtx, stopFollowing := context.WithCancel(t.Context())
	defer stopFollowing()
	following.Go(func() { stream.follow(followCtx, g.base) })

	for i := range kills {
		time.Sleep(life(i))
		g.note("delivered")
		g.kill()
		g.start()
	}
	stop()
	load.Wait()

	accepted := ledger.all()
	t.Logf("%d kills, %d events accepted, %d posts repeated under their key", kills, len(accepted), ledger.repeated)
	if len(accepted) < kills {
		t.Fatal("too few events were accepted for the test to mean anything")
	}
	stored := g.storedEvents("**")
	for id := range accepted {
		if _, ok := stored[id]; !ok {
			t.Errorf("event %s was accepted and is not in the log", id)
		}
	}
	owed := map[string]func(posted) bool{
		"fine": everything, "flaky": everything, "slow": everything,
		"strict": some, "key": some,
	}
	waitUntil(t, 3*time.Minute, "every owed delivery to arrive", func() bool {
		for name, isOwed := range owed {
			if sink.missing(name, accepted, isOwed) > 0 {
				return false
			}
		}
		return true
	})
	waitUntil(t, time.Minute, "the stream to show every event", func() bool { return stream.has(accepted) })
	stopFollowing()
	following.Wait()
	if stream.fault != "" {
		t.Error("stream:", stream.fault)
	}
	for name := range owed {
		again := g.checkDuplicates(name)
		checkUsual(t, name, again, kills)
		switch name {
		case "strict":
			checkOrder(t, sink, name, func(*arrival) string { return "" })
			// One at a time, and the next only when what became of the last one is stored: there is never more than one
			// that could come again.
			for life, keys := range again {
				if n := len(keys); n > 1 {
					t.Errorf("%s: %d deliveries came again because of kill %d; order strict has one under way", name, n, life+1)
				}
			}
		case "key":
			checkOrder(t, sink, name, (*arrival).key)
			for life, requests := range again {
				seen := map[string]bool{}
				for _, r := range requests {
					if seen[r.key()] {
						t.Errorf("%s: two deliveries of %s came again because of kill %d", name, r.key(), life+1)
					}
					seen[r.key()] = true
				}
			}
		}
	}
	sink.checkPayloads(t, accepted)
	g.end()
}
