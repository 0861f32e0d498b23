package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Backlogs are filled with small payloads, in batches: it is their number that counts.
const (
	backlogPayload = 200
	backlogBatch   = 500
	backlogPosters = 4
)

// fill posts events in batches and returns how many a second were accepted.
func (p *process) fill(count int) (perSecond float64) {
	p.b.Helper()
	type cloudEvent struct {
		SpecVersion string `json:"specversion"`
		ID          string `json:"id"`
		Source      string `json:"source"`
		Type        string `json:"type"`
		Data        string `json:"data"`
	}
	data := strings.Repeat("x", backlogPayload)
	var next atomic.Int64
	var posters sync.WaitGroup
	began := time.Now()
	for range backlogPosters {
		posters.Go(func() {
			batch := make([]cloudEvent, backlogBatch)
			for {
				first := int(next.Add(backlogBatch)) - backlogBatch
				if first >= count {
					return
				}
				for i := range batch {
					batch[i] = cloudEvent{"1.0", fmt.Sprint(first + i), "/bench", "bench.a", data}
				}
				body, err := json.Marshal(batch)
				check(p.b, err)
				if err := p.ask("/v1/events", "application/cloudevents-batch+json", body, http.StatusAccepted, nil); err != nil {
					p.b.Error(err)
					return
				}
			}
		})
	}
	posters.Wait()
	if p.b.Failed() {
		p.b.FailNow()
	}
	return float64(count) / time.Since(began).Seconds()
}

// drain is a webhook that comes alive at a place where nobody listened before.
type drain struct {
	got      atomic.Int64
	first    atomic.Int64 // when the first request came, in nanoseconds
	mu       sync.Mutex
	last     string // cursor
	disorder int
}

func (d *drain) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	d.first.CompareAndSwap(0, time.Now().UnixNano())
	cursor, _, _ := strings.Cut(r.Header.Get("Carillon-Delivery"), "-")
	d.mu.Lock()
	if cursor < d.last {
		d.disorder++
	}
	d.last = cursor
	d.mu.Unlock()
	w.WriteHeader(http.StatusOK)
	d.got.Add(1)
}

func (d *drain) listen(b *testing.B, address string) (stop func()) {
	b.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	server := &http.Server{Handler: d}
	var running sync.WaitGroup
	running.Go(func() { server.Serve(l) })
	return func() {
		server.Close()
		running.Wait()
	}
}

// wait waits until count have come, or for so long, and returns how many came a second since the first.
func (d *drain) wait(count int64, most time.Duration) (perSecond float64) {
	for end := time.Now().Add(most); d.got.Load() < count && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	return float64(d.got.Load()) / time.Since(time.Unix(0, d.first.Load())).Seconds()
}

// floorOfDrain is how fast a plain client posts to the same receiver, on so many connections.
func floorOfDrain(b *testing.B, clients int, count int64) (perSecond float64) {
	b.Helper()
	d := &drain{}
	address := freeAddress(b)
	defer d.listen(b, address)()
	transport := &http.Transport{MaxIdleConnsPerHost: clients}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	body := bytes.Repeat([]byte("x"), backlogPayload)
	var left atomic.Int64
	left.Store(count)
	var loops sync.WaitGroup
	for range clients {
		loops.Go(func() {
			for left.Add(-1) >= 0 {
				resp, err := client.Post("http://"+address, "application/json", bytes.NewReader(body))
				if err != nil {
					b.Error(err)
					return
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
		})
	}
	loops.Wait()
	return d.wait(count, time.Minute)
}

// BenchmarkBacklog fills a gateway for a webhook that refuses connections, looks at its memory, restarts it, and lets the
// webhook live. How fast it takes posts stands beside the same with a webhook that answers, and with none.
func BenchmarkBacklog(b *testing.B) {
	count := sized(1_000_000, 5000)
	b.ReportMetric(0, "ns/op")

	ingest := map[string]float64{}
	// At full size each takes most of a minute, and a gigabyte.
	for _, others := range []string{"absent", "answering"} {
		func() {
			p := newProcess(b)
			defer p.kill()
			if others == "answering" {
				base, stop := serve(b, http.HandlerFunc(accept))
				defer stop()
				p.register(1, func(int) string { return fmt.Sprintf(`{"url":"%s","topics":["bench.**"]}`, base) })
			}
			ingest[others] = p.fill(count)
			b.Logf("ingest, webhook %s: %.0f events/s, peak RSS %.0f MiB", others, ingest[others], p.memory("VmHWM"))
		}()
	}

	address := freeAddress(b)
	p := newProcess(b)
	p.register(1, func(int) string { return fmt.Sprintf(`{"url":"http://%s","topics":["bench.**"]}`, address) })
	rate := p.fill(count)
	b.Logf("ingest, webhook dead: %.0f events/s", rate)
	b.ReportMetric(rate, "dead-events/s")
	b.ReportMetric(rate/ingest["absent"], "dead/absent")
	b.ReportMetric(rate/ingest["answering"], "dead/answering")
	b.ReportMetric(p.memory("VmHWM"), "peak-RSS-MiB")
	time.Sleep(sized(3*time.Second, 1500*time.Millisecond)) // until the last ones have their rows
	b.ReportMetric(p.memory("VmRSS"), "RSS-MiB")
	b.Logf("with the backlog: RSS %.0f MiB, of which %.0f anonymous; peak %.0f", p.memory("VmRSS"), p.memory("RssAnon"), p.memory("VmHWM"))

	p.end(syscall.SIGTERM)
	b.ReportMetric(p.start().Seconds(), "ready-s")
	p.kill()
	ready := p.start()
	b.ReportMetric(ready.Seconds(), "ready-after-kill-s")
	b.ReportMetric(p.memory("VmRSS"), "RSS-after-start-MiB")
	p.kill()

	d := &drain{}
	defer d.listen(b, address)()
	p.start() // probes of a webhook that was down have become rare; a start begins them anew
	used := p.cpu()
	drained := d.wait(int64(count), sized(10*time.Minute, time.Minute))
	used = p.cpu() - used
	if got := d.got.Load(); got < int64(count) {
		b.Errorf("%d of %d deliveries were made", got, count)
	}
	floor := floorOfDrain(b, 16, int64(count)/10)
	b.ReportMetric(drained, "drained/s")
	b.ReportMetric(drained/floor, "drained/floor")
	b.ReportMetric(float64(used.Microseconds())/float64(count), "cpu-µs/delivery")
	b.ReportMetric(p.memory("VmHWM"), "draining-peak-RSS-MiB")
	b.Logf("drained at %.0f/s; a plain client with 16 connections posts %.0f/s", drained, floor)
}

// BenchmarkBacklogStrict drains a backlog in log order, one delivery at a time, each of which is stored before the next
// one is begun.
func BenchmarkBacklogStrict(b *testing.B) {
	count := sized(100_000, 1000)
	address := freeAddress(b)
	p := newProcess(b)
	p.register(1, func(int) string {
		return fmt.Sprintf(`{"url":"http://%s","topics":["bench.**"],"order":"strict"}`, address)
	})
	p.fill(count)
	time.Sleep(sized(3*time.Second, 1500*time.Millisecond))
	p.kill()
	d := &drain{}
	defer d.listen(b, address)()
	p.start()
	used := p.cpu()
	drained := d.wait(int64(count), time.Minute)
	used = p.cpu() - used
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.disorder > 0 {
		b.Errorf("%d of %d requests came after one for a later event", d.disorder, d.got.Load())
	}
	floor := floorOfDrain(b, 1, int64(count)/5)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(drained, "drained/s")
	b.ReportMetric(drained/floor, "drained/floor")
	b.ReportMetric(float64(used.Microseconds())/float64(d.got.Load()), "cpu-µs/delivery")
	b.Logf("drained %d at %.0f/s; a plain client with one connection posts %.0f/s", d.got.Load(), drained, floor)
}
