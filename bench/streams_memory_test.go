package bench

import (
	"bufio"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// BenchmarkStreamsMemory opens streams on which nothing happens but heartbeats, and measures what the gateway's memory
// grows by for each, once it has settled. What the kernel holds for a socket is in no process's memory.
func BenchmarkStreamsMemory(b *testing.B) {
	for _, n := range sized([]int{1000, 10_000, 19_000}, []int{200}) {
		b.Run(fmt.Sprintf("streams=%d", n), func(b *testing.B) {
			p := newProcess(b)
			without, goroutines := p.settled(), p.metric("go_goroutines")
			streams := p.source().gather(n, readerOptions{})
			defer streams.close()
			with := p.settled()
			used, began := p.cpu(), time.Now()
			time.Sleep(sized(15*time.Second, 300*time.Millisecond)) // a heartbeat for each
			share := float64((p.cpu() - used).Milliseconds()) / time.Since(began).Seconds()
			if lost := streams.lost.Load(); lost != nil {
				b.Errorf("a stream has ended: %v", *lost)
			}
			each := func(mib float64) float64 { return (mib - without) * 1024 / float64(n) }
			b.Logf("RSS without a stream %.1f MiB, with %d streams %.1f, at most %.1f", without, n, with, p.memory("VmHWM"))
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(each(with), "KiB/stream")
			b.ReportMetric(each(p.memory("VmHWM")), "peak-KiB/stream")
			b.ReportMetric((p.metric("go_goroutines")-goroutines)/float64(n), "goroutines/stream")
			b.ReportMetric(share, "cpu-ms/s")
		})
	}
}

// settled returns the gateway's resident memory, in MiB, when it has not fallen by a hundredth for ten seconds, or when a
// minute is over. The collector's own cycle of two minutes may take it further down.
func (p *process) settled() float64 {
	p.b.Helper()
	quiet, most := sized(10*time.Second, 300*time.Millisecond), sized(time.Minute, time.Second)
	least := p.memory("VmRSS")
	began := time.Now()
	for fell := began; time.Since(fell) < quiet && time.Since(began) < most; time.Sleep(50 * time.Millisecond) {
		if now := p.memory("VmRSS"); now < 0.99*least {
			least, fell = now, time.Now()
		}
	}
	return p.memory("VmRSS")
}

// metric returns one of the gateway's metrics, a plain one without labels.
func (p *process) metric(name string) float64 {
	p.b.Helper()
	resp, err := p.client.Get(p.base + "/metrics")
	if err != nil {
		p.b.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		p.b.Fatalf("/metrics: %s", resp.Status)
	}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			value, err := strconv.ParseFloat(text, 64)
			check(p.b, err)
			return value
		}
	}
	check(p.b, lines.Err())
	p.b.Fatalf("there is no metric %s", name)
	return 0
}
