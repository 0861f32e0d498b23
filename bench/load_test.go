package bench

import (
	"bytes"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/carillon/carillon/event"
)

// posters is how many clients post at once.
const posters = 64

var payload = bytes.Repeat([]byte("x"), 1024)

// post posts b.N events from so many clients at once and reports what one cost, client and server together.
func post(b *testing.B, url string, clients int, until func()) {
	b.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: clients}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	var next atomic.Int64
	var group sync.WaitGroup
	began, used := time.Now(), cpu(b)
	b.ResetTimer()
	for range clients {
		group.Go(func() {
			for next.Add(1) <= int64(b.N) {
				resp, err := client.Post(url, "application/octet-stream", bytes.NewReader(payload))
				if err != nil {
					b.Error(err)
					return
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if resp.StatusCode != http.StatusAccepted {
					b.Errorf("answered %s", resp.Status)
					return
				}
			}
		})
	}
	group.Wait()
	if until != nil {
		until()
	}
	b.StopTimer()
	report(b, time.Since(began), cpu(b)-used)
}

func report(b *testing.B, took, used time.Duration) {
	b.ReportMetric(float64(b.N)/took.Seconds(), "events/s")
	b.ReportMetric(float64(used.Microseconds())/float64(b.N), "cpu-µs/event")
}

// accept is the floor of ingest: a server that reads the body and answers 202.
func accept(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	w.WriteHeader(http.StatusAccepted)
}

// BenchmarkIngest posts durable events that match nobody, beside a server that stores nothing.
func BenchmarkIngest(b *testing.B) {
	b.Run("floor-202-only", func(b *testing.B) {
		base, stop := serve(b, http.HandlerFunc(accept))
		defer stop()
		post(b, base, posters, nil)
	})
	b.Run("gateway", func(b *testing.B) {
		g := newGateway(b)
		post(b, g.base+"/v1/topics/bench.a/events", posters, nil)
	})
}

// BenchmarkDelivery posts events that one webhook is owed, until it has them all, beside the two floors: the server that
// answers 202, and a client loop that posts to the same receiver.
func BenchmarkDelivery(b *testing.B) {
	receive := func() (base string, got *atomic.Int64, stop func()) {
		got = new(atomic.Int64)
		base, stop = serve(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			w.WriteHeader(http.StatusAccepted)
			got.Add(1)
		}))
		return base, got, stop
	}
	b.Run("floor-client-loop", func(b *testing.B) {
		base, _, stop := receive()
		defer stop()
		post(b, base, posters, nil)
	})
	// With as many slots as posters the receiver keeps up. With the default of 16 it does not: most deliveries wait, are
	// spilled, and are read back.
	for name, slots := range map[string]int{"gateway-keeps-up": posters, "gateway-falls-behind": event.DefaultMaxInFlight} {
		b.Run(name, func(b *testing.B) {
			base, got, stop := receive()
			defer stop()
			g := newGateway(b)
			g.register(b, base, func(w *event.Webhook) { w.MaxInFlight = slots })
			post(b, g.base+"/v1/topics/bench.a/events", posters, func() {
				for got.Load() < int64(b.N) {
					time.Sleep(time.Millisecond)
				}
			})
		})
	}
}
