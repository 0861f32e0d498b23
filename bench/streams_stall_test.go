package bench

import (
	"bufio"
	"context"
	"fmt"
	"math"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// stallTrial has a steady rate of events go to many readers, one of which can stall.
type stallTrial struct {
	source *source
	others *audience
	slow   *audience // of one, whose window is small
	size   int
	span   time.Duration
	sent   int64 // events that were accepted so far
}

const stallRate = 200 // events a second

func newStallTrial(s *source) *stallTrial {
	s.b.Helper()
	// In the short run larger events fill the kernel's buffers, some megabytes, in a shorter time.
	t := &stallTrial{source: s, size: sized(4<<10, 32<<10), span: sized(12*time.Second, 700*time.Millisecond)}
	t.others = s.gather(sized(99, 9), readerOptions{timed: true, ordered: true, loose: math.MaxInt64})
	t.slow = s.gather(1, readerOptions{timed: true, ordered: true, loose: math.MaxInt64, window: 32 << 10})
	return t
}

func (t *stallTrial) close() {
	t.others.close()
	t.slow.close()
}

// stallOutcome is what became of the events of one span, at the readers that did not stall.
type stallOutcome struct {
	posted  float64         // share of the events that were due that were accepted
	arrived float64         // share of the messages of the accepted that had arrived a second after the span
	held    float64         // MiB for the slow reader that neither it nor the kernel had at the end of the span
	took    []time.Duration // also by what came only when the slow reader went on
}

func (o stallOutcome) String() string {
	return fmt.Sprintf("p50 %.2f ms, p99 %.2f ms, longest %.1f ms; %.1f %% of the events accepted, %.1f %% of their messages arrived, %.1f MiB held back",
		quantile(o.took, 0.5), quantile(o.took, 0.99), quantile(o.took, 1), 100*o.posted, 100*o.arrived, o.held)
}

// run lets a span pass. A reader that has stalled reads again at its end, and what is late gets time to come, so that the
// next span begins with everybody up to date; how long it took counts too.
func (t *stallTrial) run(stall bool) stallOutcome {
	b := t.source.b
	b.Helper()
	t.others.forget()
	hadOthers, hadSlow := t.others.total.Load(), t.slow.total.Load()
	goOn := func() {}
	if stall {
		t.slow.readers[0].stall()
		goOn = sync.OnceFunc(t.slow.readers[0].goOn)
		defer goOn() // also if the benchmark ends here
	}
	// A server may not take another event until the slow reader goes on.
	ctx, cancel := context.WithTimeout(b.Context(), t.span+time.Second)
	defer cancel()
	end := time.Now().Add(t.span)
	accepted := t.source.inTurn(ctx, stallRate, t.size, func() bool { return time.Now().Before(end) })
	t.sent += accepted
	messages := accepted * int64(len(t.others.readers))
	for late := time.Now().Add(time.Second); t.others.total.Load()-hadOthers < messages && time.Now().Before(late); {
		time.Sleep(time.Millisecond)
	}
	held := (accepted-(t.slow.total.Load()-hadSlow))*int64(t.size) - t.queued()
	outcome := stallOutcome{
		posted:  min(1, float64(accepted)/(t.span.Seconds()*stallRate)),
		arrived: float64(t.others.total.Load()-hadOthers) / float64(messages),
		held:    max(0, float64(held)/(1<<20)),
	}
	goOn()
	t.catchUp()
	outcome.took = took(t.others.readers)
	return outcome
}

// catchUp waits until everything accepted has come to all, or until nothing has come for two seconds.
func (t *stallTrial) catchUp() {
	last, since := int64(-1), time.Now()
	for time.Since(since) < 2*time.Second {
		if t.others.total.Load() == t.sent*int64(len(t.others.readers)) && t.slow.total.Load() == t.sent {
			return
		}
		if now := t.others.total.Load() + t.slow.total.Load(); now != last {
			last, since = now, time.Now()
		}
		time.Sleep(time.Millisecond)
	}
}

// verify fails unless everybody got everything that was accepted, in order.
func (t *stallTrial) verify() {
	b := t.source.b
	b.Helper()
	for _, a := range []*audience{t.others, t.slow} {
		check(b, a.await(t.sent, time.Minute))
		if missed := a.missed(); missed > 0 {
			b.Errorf("%d events came out of their turn", missed)
		}
	}
}

// queued is how many bytes the kernel holds on the slow reader's connection, at both ends (proc_net_tcp(5)).
func (t *stallTrial) queued() (bytes int64) {
	b := t.source.b
	b.Helper()
	conn := t.slow.readers[0].conn
	var here, there string
	fmt.Sscanf(conn.LocalAddr().String(), "127.0.0.1:%s", &here)
	fmt.Sscanf(conn.RemoteAddr().String(), "127.0.0.1:%s", &there)
	file, err := os.Open("/proc/net/tcp")
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		var local, remote string
		for i, into := range []*string{&local, &remote} {
			var address, port uint32
			if _, err := fmt.Sscanf(fields[1+i], "%X:%X", &address, &port); err == nil {
				*into = fmt.Sprint(port)
			}
		}
		if local == here && remote == there || local == there && remote == here {
			var sending, received int64
			_, err := fmt.Sscanf(fields[4], "%X:%X", &sending, &received)
			check(b, err)
			bytes += sending + received
		}
	}
	check(b, lines.Err())
	return bytes
}

// stallFigures are those of several rounds.
type stallFigures struct {
	p99, p99Stalled, ratio, arrived, posted, held []float64
}

// round runs a span without a stall and one with it, in turns which of them first.
func (f *stallFigures) round(name string, round int, t *stallTrial) {
	b := t.source.b
	b.Helper()
	var moving, stalled stallOutcome
	if round%2 == 0 {
		moving = t.run(false)
		stalled = t.run(true)
	} else {
		stalled = t.run(true)
		moving = t.run(false)
	}
	b.Logf("%s, round %d, all read: %s", name, round, moving)
	b.Logf("%s, round %d, one stalls: %s", name, round, stalled)
	f.p99 = append(f.p99, quantile(moving.took, 0.99))
	f.p99Stalled = append(f.p99Stalled, quantile(stalled.took, 0.99))
	f.ratio = append(f.ratio, quantile(stalled.took, 0.99)/quantile(moving.took, 0.99))
	f.arrived = append(f.arrived, 100*stalled.arrived)
	f.posted = append(f.posted, 100*stalled.posted)
	f.held = append(f.held, stalled.held)
}

func (f *stallFigures) report(b *testing.B, prefix string) {
	b.ReportMetric(median(f.p99), prefix+"p99-ms")
	b.ReportMetric(median(f.p99Stalled), prefix+"stalled-p99-ms")
	b.ReportMetric(median(f.ratio), prefix+"stalled/all-read")
	b.ReportMetric(median(f.posted), prefix+"stalled-posted-%")
	b.ReportMetric(median(f.arrived), prefix+"stalled-arrived-%")
	b.ReportMetric(median(f.held), prefix+"held-MiB")
}

// BenchmarkStreamsStalled measures how long events take to readers, another of which reads nothing for a while, beside
// the same while it reads. When it reads again it has to get everything, in order.
func BenchmarkStreamsStalled(b *testing.B) {
	rounds := sized(9, 1)
	t := newStallTrial(newProcess(b).source())
	defer t.close()
	var figures stallFigures
	for round := range rounds {
		figures.round("gateway", round, t)
		t.verify()
	}
	// Otherwise the reader's stall was none for the gateway.
	if full && median(figures.held) < 1 {
		b.Errorf("the kernel's buffers had room for all but %.1f MiB", median(figures.held))
	}
	b.ReportMetric(0, "ns/op")
	figures.report(b, "")
}
