package bench

import (
	"bytes"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkIngestUnderRetention posts as fast as it can to a log that is full, so that as much has to leave it as comes,
// beside the same with a log that may grow.
func BenchmarkIngestUnderRetention(b *testing.B) {
	span, rounds := sized(20*time.Second, time.Second), sized(3, 1)
	rates := map[string][]float64{}
	cost := map[string][]float64{}
	var size float64
	once := func(retention string) (perSecond, cpuEach, sizeMiB float64) {
		p := newProcess(b, "--retention-bytes", retention)
		defer p.kill()
		p.post(span / 3) // the log is full by then
		used, began := p.cpu(), time.Now()
		n := p.post(span)
		took := time.Since(began)
		return float64(n) / took.Seconds(), float64((p.cpu() - used).Microseconds()) / float64(n), p.stored()
	}
	for round := range rounds {
		for name, retention := range map[string]string{"growing": "0", "full": sized("64MiB", "1MiB")} {
			rate, each, stored := once(retention)
			b.Logf("round %d, log %s: %.0f events/s, %.0f µs of CPU each, %.0f MiB in the end", round, name, rate, each, stored)
			rates[name] = append(rates[name], rate)
			cost[name] = append(cost[name], each)
			if name == "full" {
				size = stored
			}
		}
		rates["ratio"] = append(rates["ratio"], rates["full"][round]/rates["growing"][round])
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(rates["growing"]), "growing-events/s")
	b.ReportMetric(median(rates["full"]), "full-events/s")
	b.ReportMetric(median(rates["ratio"]), "full/growing")
	b.ReportMetric(median(cost["growing"]), "growing-cpu-µs/event")
	b.ReportMetric(median(cost["full"]), "full-cpu-µs/event")
	b.ReportMetric(size, "full-MiB")
}

// post posts 1 KB events from many clients for a while, and returns how many were accepted.
func (p *process) post(span time.Duration) int64 {
	p.b.Helper()
	var posted atomic.Int64
	var group sync.WaitGroup
	end := time.Now().Add(span)
	for range posters {
		group.Go(func() {
			for time.Now().Before(end) {
				resp, err := p.client.Post(p.base+"/v1/topics/bench.a/events", "application/octet-stream", bytes.NewReader(payload))
				if err != nil {
					p.b.Error(err)
					return
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if resp.StatusCode != http.StatusAccepted {
					p.b.Errorf("answered %s", resp.Status)
					return
				}
				posted.Add(1)
			}
		})
	}
	group.Wait()
	return posted.Load()
}
