package bench

import (
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"
)

const steadyRate = 100 // events a second

// BenchmarkHalfHang measures how long an event takes to ten healthy webhooks: alone, with ten others that answer, and
// with ten others that never do. All are owed each event.
func BenchmarkHalfHang(b *testing.B) {
	const half = 10
	span, settle, rounds := sized(12*time.Second, 500*time.Millisecond), sized(3*time.Second, 100*time.Millisecond), sized(3, 1)
	hang, stopHanging := serve(b, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	defer stopHanging()
	answer, stopAnswering := serve(b, http.HandlerFunc(accept))
	defer stopAnswering()

	once := func(others string) (p50, p99 float64) {
		got := &arrivals{}
		base, stop := serve(b, got)
		defer stop()
		p := newProcess(b)
		defer p.kill()
		p.register(half, func(i int) string { return fmt.Sprintf(`{"url":"%s/%d","topics":["crowd.**"]}`, base, i) })
		if others != "" {
			p.register(half, func(i int) string { return fmt.Sprintf(`{"url":"%s/%d","topics":["crowd.**"]}`, others, i) })
		}
		post := func(int) error {
			return p.ask("/v1/topics/crowd.a/events", "application/octet-stream", got.next(1024), http.StatusAccepted, nil)
		}
		n := steadily(b, steadyRate, settle, post)
		got.await(b, int64(n*half))
		got.forget()
		n += steadily(b, steadyRate, span, post)
		got.await(b, int64(n*half))
		q := got.quantiles(b, 0.5, 0.99)
		return q[0], q[1]
	}
	others := []struct{ name, url string }{{"alone", ""}, {"answering", answer}, {"hanging", hang}}
	p50s, p99s, ratios := map[string][]float64{}, map[string][]float64{}, map[string][]float64{}
	for round := range rounds {
		for _, other := range others {
			p50, p99 := once(other.url)
			b.Logf("round %d, the other ten %s: p50 %.2f ms, p99 %.2f ms", round, other.name, p50, p99)
			p50s[other.name] = append(p50s[other.name], p50)
			p99s[other.name] = append(p99s[other.name], p99)
			ratios[other.name] = append(ratios[other.name], p99/p99s["alone"][round])
		}
	}
	b.ReportMetric(0, "ns/op")
	for _, other := range others {
		b.ReportMetric(median(p50s[other.name]), other.name+"-p50-ms")
		b.ReportMetric(median(p99s[other.name]), other.name+"-p99-ms")
		b.ReportMetric(median(ratios[other.name]), other.name+"-p99/alone")
	}
}

// BenchmarkManyWebhooks posts at a steady rate to a gateway with very many webhooks, ten of which are owed each event.
func BenchmarkManyWebhooks(b *testing.B) {
	const matches = 10
	webhooks, span := sized(5000, 100), sized(time.Minute, time.Second)
	got := &arrivals{}
	base, stop := serve(b, got)
	defer stop()
	p := newProcess(b)
	p.register(webhooks, func(i int) string {
		return fmt.Sprintf(`{"url":"%s/%d","topics":["crowd.t%d.*"]}`, base, i, i/matches)
	})
	used, began := p.cpu(), time.Now()
	n := steadily(b, steadyRate, span, func(n int) error {
		path := fmt.Sprintf("/v1/topics/crowd.t%d.created/events", n%(webhooks/matches))
		return p.ask(path, "application/octet-stream", got.next(1024), http.StatusAccepted, nil)
	})
	got.await(b, int64(n*matches))
	share := (p.cpu() - used).Seconds() / time.Since(began).Seconds()
	q := got.quantiles(b, 0.5, 0.99, 1)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(q[0], "p50-ms")
	b.ReportMetric(q[1], "p99-ms")
	b.ReportMetric(q[2], "max-ms")
	b.ReportMetric(100*share, "cpu-%")
	b.ReportMetric(p.memory("VmRSS"), "RSS-MiB")
	b.ReportMetric(float64(n)/span.Seconds(), "events/s")
}

// BenchmarkIdle measures what a gateway does that has webhooks and nothing to do.
func BenchmarkIdle(b *testing.B) {
	webhooks, span := sized(1000, 50), sized(20*time.Second, time.Second)
	p := newProcess(b)
	p.register(webhooks, func(i int) string {
		return fmt.Sprintf(`{"url":"http://127.0.0.1:9/%d","topics":["crowd.t%d.*"]}`, i, i)
	})
	time.Sleep(sized(3*time.Second, 100*time.Millisecond)) // what registering them left to do
	used := p.cpu()
	time.Sleep(span)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64((p.cpu()-used).Milliseconds())/span.Seconds(), "cpu-ms/s")
	b.ReportMetric(p.memory("VmRSS"), "RSS-MiB")
}
