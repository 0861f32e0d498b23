package main

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestRetentionIsLoudOverKills has events leave the log while one webhook is down, and kills the gateway meanwhile: each
// delivery that was owed either is made or was announced as expired, and is counted there once.
func TestRetentionIsLoudOverKills(t *testing.T) {
	kills := max(5, killsWanted(t)/4)
	sink := newSink(t, map[string]behaviour{"fine": {}, "flaky": {refuse: 4, atMost: 3}, "down": {}, "news": {}})
	// The gateway looks at its retention when it starts, and so after each kill.
	g := newVictim(t, sink, "--retention-bytes", "768KiB", "--delivery-retention-bytes", "128KiB", "--delivery-retention-age", "1s")
	g.start()
	for _, name := range []string{"fine", "flaky", "down"} {
		g.register(name, `"topics":["load.**"]`)
	}
	g.register("news", `"topics":["_carillon.delivery.failed"]`)
	sink.setDown("down", true)

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var load sync.WaitGroup
	ledger := newLedger()
	ledger.padding = strings.Repeat("x", 8000)
	for i := range 8 {
		load.Go(func() { g.post(ctx, ledger, i, "load.p"+strconv.Itoa(i), 0) })
	}
	for i := range kills {
		if i == kills*3/4 {
			// The last kills find it recovering.
			sink.setDown("down", false)
		}
		time.Sleep(life(i))
		g.note("delivered")
		g.kill()
		g.start()
	}
	stop()
	load.Wait()
	sink.setDown("down", false)
	// Its probes have become rare; a start begins them anew.
	g.kill()
	g.start()

	accepted := ledger.all()
	stored := g.storedEvents("load.**")
	if len(stored) == 0 || len(stored) >= len(accepted) {
		t.Fatalf("%d of %d events are in the log: retention was to remove some", len(stored), len(accepted))
	}
	oldest := ""
	for _, cursor := range stored {
		if oldest == "" || cursor < oldest {
			oldest = cursor
		}
	}
	for id, event := range accepted {
		if _, ok := stored[id]; !ok && event.cursor > oldest {
			t.Errorf("event %s is not in the log, and an older one is", id)
		}
	}

	expired := map[string]*expiry{}
	webhooks := []string{"fine", "flaky", "down"}
	waitUntil(t, 2*time.Minute, "every owed delivery to be made or announced as expired", func() bool {
		expired = g.expired(accepted)
		for _, name := range webhooks {
			for id := range accepted {
				if !sink.took(name, id) && !expired[name].has(accepted[id].cursor) {
					return false
				}
			}
		}
		return true
	})
	if n := len(expired["down"].spans); n == 0 {
		t.Error("nothing expired for the webhook that was down")
	}
	for _, name := range webhooks {
		made, silent := 0, 0
		for id, event := range accepted {
			switch {
			case !sink.took(name, id):
				silent++
			case expired[name].has(event.cursor):
				made++ // before, or under way when retention removed its event
			}
		}
		t.Logf("%s: %d of %d deliveries were made, %d announced as expired in %d events", name, len(accepted)-silent,
			len(accepted), expired[name].deliveries, len(expired[name].spans))
		if got := expired[name].deliveries; got < silent || got > silent+made {
			t.Errorf("%s: %d deliveries were announced as expired, of %d that were not made", name, got, silent)
		}
		g.checkDuplicates(name)
	}
	t.Logf("%d kills, %d events accepted, %d of them still in the log", len(g.killed), len(accepted), len(stored))
	sink.checkPayloads(t, accepted)
	g.checkDeliveryLog(len(stored))
	g.end()
}

// expiry is what was announced as expired of one webhook.
type expiry struct {
	spans      []span
	deliveries int
}

// span is a piece of the log, by its first and last cursor.
type span struct{ first, last string }

func (x *expiry) has(cursor string) bool {
	for _, s := range x.spans {
		if s.first <= cursor && cursor <= s.last {
			return true
		}
	}
	return false
}

// expired reads what the webhook that hears of failures has heard so far, and checks that each was told in one way only.
func (g *victim) expired(accepted map[string]posted) map[string]*expiry {
	g.t.Helper()
	all := map[string]*expiry{}
	names := map[string]string{}
	for name, id := range g.webhooks {
		names[id] = name
		all[name] = &expiry{}
	}
	heard := map[string]bool{}
	for _, r := range g.sink.requests("news") {
		if heard[r.event] {
			continue // a duplicate is none in the count
		}
		heard[r.event] = true
		var news struct {
			Webhook    string `json:"webhook"`
			Reason     string `json:"reason"`
			Deliveries int    `json:"deliveries"`
			FirstEvent string `json:"first_event"`
			LastEvent  string `json:"last_event"`
		}
		if err := json.Unmarshal([]byte(r.payload), &news); err != nil {
			g.t.Fatalf("%v in %s", err, r.payload)
		}
		if news.Reason != "expired" {
			g.t.Errorf("a delivery failed for %q; no schedule was used up: %s", news.Reason, r.payload)
			continue
		}
		first, last := accepted[news.FirstEvent].cursor, accepted[news.LastEvent].cursor
		if first == "" || last == "" || names[news.Webhook] == "" || news.Deliveries < 1 {
			g.t.Fatalf("this tells of nothing that is known: %s", r.payload)
		}
		x := all[names[news.Webhook]]
		for _, s := range x.spans {
			if first <= s.last && s.first <= last {
				g.t.Errorf("the same piece of the log was announced twice: %s", r.payload)
			}
		}
		x.spans = append(x.spans, span{first, last})
		x.deliveries += news.Deliveries
	}
	return all
}

// checkDeliveryLog waits until ended deliveries have left the log before their events. Those of the webhook that ended
// last may stay: the log of deliveries does not go back to where it has been.
func (g *victim) checkDeliveryLog(stored int) {
	g.t.Helper()
	time.Sleep(time.Second) // the age that --delivery-retention-age names
	g.kill()
	g.start()
	waitUntil(g.t, time.Minute, "deliveries to leave the log before their events", func() bool {
		return g.count("delivered", "fine") < stored/2
	})
	if n := len(g.storedEvents("load.**")); n < stored*9/10 {
		g.t.Errorf("%d of %d events are left: they went with their deliveries", n, stored)
	}
}
