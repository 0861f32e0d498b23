package main

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"
)

// job is a replay as the gateway shows it.
type job struct {
	ID    string `json:"id"`
	State string `json:"state"`
	Total int    `json:"total"`
	Done  int    `json:"done"`
}

// TestReplayOutlivesKills replays what a webhook had, over kills: the job goes on where it was, says in the end that it
// has done all, and each delivery is made again, once but for what was under way at a kill.
func TestReplayOutlivesKills(t *testing.T) {
	const posters, each = 16, 100
	kills := max(2, killsWanted(t)/4)
	sink := newSink(t, map[string]behaviour{"again": {}, "once": {refuse: 1, atMost: 1, status: http.StatusUnprocessableEntity}})
	g := newVictim(t, sink)
	g.start()
	g.register("again", `"topics":["load.**","live.**"]`)
	// The first answer decides: what it refuses has failed.
	g.registerWith("once", `"topics":["load.**"]`, `[]`)

	ledger, live := newLedger(), newLedger()
	var load sync.WaitGroup
	for i := range posters {
		load.Go(func() { g.post(t.Context(), ledger, i, "load.a", each) })
	}
	load.Wait()
	accepted := ledger.all()
	if len(accepted) != posters*each {
		t.Fatalf("%d events were accepted, of %d", len(accepted), posters*each)
	}
	for name, state := range map[string]string{"again": "delivered", "once": "failed"} {
		waitUntil(t, time.Minute, "everything to come once", func() bool { return g.count(state, name) == len(accepted) })
	}

	// What comes meanwhile is not replayed.
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	load.Go(func() { g.post(ctx, live, 0, "live.a", 0) })

	rounds := 0
	for done := 0; done < kills; rounds++ {
		before := map[string]int{}
		jobs := map[string]job{}
		for name, states := range map[string]string{"again": `"delivered"`, "once": `"failed","delivered"`} {
			before[name] = len(sink.requests(name))
			jobs[name] = g.replay(name, `{"topics":["load.*"],"states":[`+states+`],"per_second":1000}`)
			if total := jobs[name].Total; total != len(accepted) {
				t.Fatalf("%s: the replay is of %d deliveries, want %d", name, total, len(accepted))
			}
		}
		for running := true; running && done < kills; done++ {
			time.Sleep(life(done))
			g.note("delivered")
			g.kill()
			g.start()
			running = false
			for _, j := range jobs {
				running = running || g.job(j.ID).State == "running"
			}
		}
		for name, j := range jobs {
			waitUntil(t, 3*time.Minute, "the replay to end", func() bool { return g.job(j.ID).State != "running" })
			if end := g.job(j.ID); end.State != "done" || end.Done != end.Total || end.Total != len(accepted) {
				t.Errorf("%s: the replay of %d deliveries ended as %+v", name, len(accepted), end)
			}
			missing := func() (missing int) {
				again := map[string]bool{}
				for _, r := range sink.requests(name)[before[name]:] {
					if r.replay && r.succeeded() {
						again[r.event] = true
					}
				}
				for id := range accepted {
					if !again[id] {
						missing++
					}
				}
				return missing
			}
			waitUntil(t, 3*time.Minute, "every replayed delivery to come again", func() bool { return missing() == 0 })
			waitUntil(t, time.Minute, "nothing of it to be pending any more", func() bool { return g.count("pending", name) == 0 })
			for _, r := range sink.requests(name) {
				if _, ok := accepted[r.event]; !ok && r.replay {
					t.Errorf("%s: event %s was replayed, which the replay was not asked for", name, r.event)
				}
			}
			sink.nextRound(name)
		}
	}
	stop()
	load.Wait()
	waitUntil(t, time.Minute, "what came meanwhile to be delivered", func() bool {
		return sink.missing("again", live.all(), everything) == 0
	})
	t.Logf("%d kills, %d replays of %d deliveries each, %d events accepted meanwhile", len(g.killed), 2*rounds, len(accepted), len(live.all()))
	g.checkDuplicates("again")
	g.checkDuplicates("once")
	sink.checkPayloads(t, accepted)
	g.end()
}

// replay begins a replay of what a webhook had.
func (g *victim) replay(name, filter string) (j job) {
	g.t.Helper()
	g.ask("POST", "/v1/webhooks/"+g.webhooks[name]+"/replay", filter, http.StatusAccepted, &j)
	return j
}

func (g *victim) job(id string) (j job) {
	g.t.Helper()
	g.ask("GET", "/v1/jobs/"+id, "", http.StatusOK, &j)
	return j
}

// count counts a webhook's deliveries of what was posted as load that are in a state.
func (g *victim) count(state, name string) (n int) {
	g.t.Helper()
	g.pages("/v1/deliveries?limit=500&topic=load.**&state="+state+"&webhook="+g.webhooks[name], func(listed) { n++ })
	return n
}
