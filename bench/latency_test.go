package bench

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"
)

// BenchmarkLatency measures one event at a time on an idle gateway: from the POST to the webhook's receiver, and from the
// POST to the webhook's own answer in synchronous mode, beside a direct POST to the receiver.
func BenchmarkLatency(b *testing.B) {
	arrived := make(chan time.Time, 1)
	base, stop := serve(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		arrived <- time.Now()
		w.WriteHeader(http.StatusOK)
	}))
	defer stop()
	g := newGateway(b)
	g.register(b, base, nil)
	topic := g.base + "/v1/topics/bench.a/events"

	b.Run("floor-direct-arrival", func(b *testing.B) { oneByOne(b, base, "", arrived, true) })
	b.Run("webhook-arrival", func(b *testing.B) { oneByOne(b, topic, "", arrived, true) })
	b.Run("floor-direct-answer", func(b *testing.B) { oneByOne(b, base, "", arrived, false) })
	b.Run("sync-answer", func(b *testing.B) { oneByOne(b, topic, "wait=10", arrived, false) })
}

func oneByOne(b *testing.B, url, prefer string, arrived chan time.Time, toArrival bool) {
	b.Helper()
	took := make([]time.Duration, 0, b.N)
	for range b.N {
		req, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(payload))
		if err != nil {
			b.Fatal(err)
		}
		if prefer != "" {
			req.Header.Set("Prefer", prefer)
		}
		began := time.Now()
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		answered := time.Now()
		if at := <-arrived; toArrival {
			took = append(took, at.Sub(began))
		} else {
			took = append(took, answered.Sub(began))
		}
		// Idle means that the last event's settlement is over too.
		time.Sleep(8 * time.Millisecond)
	}
	slices.Sort(took)
	b.ReportMetric(0, "ns/op") // the pause between events is no part of it
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}
