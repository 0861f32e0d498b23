package bench

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// BenchmarkStreamsResume has many streams resume far back, all at once, while others are live. Each has to get all events
// since, those that come meanwhile too, in order, none missing and none twice. The resuming readers are a process of
// their own that gives way to the rest, so that the gateway and not they have the processors.
func BenchmarkStreamsResume(b *testing.B) {
	streams, back := sized(1000, 50), sized(100_000, 2000)
	alone := sized(20*time.Second, 500*time.Millisecond)
	p := newProcess(b)
	s := p.source()
	lastEventID := s.fill(back + 1)
	// What filling took is not what resuming takes.
	p.end(syscall.SIGTERM)
	p.start()
	before := p.settled()

	live := s.gather(20, readerOptions{timed: true, ordered: true, next: s.next.Load()})
	defer live.close()
	first := s.next.Load()
	until := func(end time.Time) func() bool { return func() bool { return time.Now().Before(end) } }
	s.inTurn(b.Context(), pacedRate, pacedSize, until(time.Now().Add(alone/10)))
	check(b, live.await(s.next.Load()-first, time.Minute))
	live.forget()
	s.inTurn(b.Context(), pacedRate, pacedSize, until(time.Now().Add(alone)))
	check(b, live.await(s.next.Load()-first, time.Minute))
	without := took(live.readers)
	live.forget()

	used, began := p.cpu(), time.Now()
	readers := newActor(b, "readers", true, s.addr, strconv.Itoa(streams), lastEventID, "1", strconv.Itoa(back))
	caughtUp := make(chan string, 1)
	var over atomic.Bool
	go func() {
		defer over.Store(true)
		select {
		case line := <-readers.lines:
			caughtUp <- line
		case <-time.After(20 * time.Minute):
			caughtUp <- "nothing in 20 minutes"
		}
	}()
	s.inTurn(b.Context(), pacedRate, pacedSize, func() bool { return !over.Load() })
	heard := <-caughtUp
	span, used := time.Since(began), p.cpu()-used
	check(b, live.await(s.next.Load()-first, time.Minute))
	with := took(live.readers)
	if missed := live.missed(); missed > 0 {
		b.Errorf("%d events came to live streams out of their turn", missed)
	}
	readers.tell("%d", s.next.Load()-1)
	if heard != "caught up" {
		b.Fatalf("the streams that resumed: %s", heard)
	}
	if end := readers.hear("all", time.Minute); end != "in order" {
		b.Errorf("the streams that resumed: %s", end)
	}
	peak := p.memory("VmHWM")

	messages := float64(streams) * float64(back)
	b.Logf("%d streams, %d events each, in %.1f s; RSS %.0f MiB before, %.0f at most, %.0f after",
		streams, back, span.Seconds(), before, peak, p.memory("VmRSS"))
	for name, took := range map[string][]time.Duration{"without": without, "with": with} {
		b.Logf("live streams, %s the resumption: p50 %.2f ms, p99 %.2f ms, longest %.1f ms, %d messages",
			name, quantile(took, 0.5), quantile(took, 0.99), quantile(took, 1), len(took))
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(span.Seconds(), "resumed-s")
	b.ReportMetric(messages/span.Seconds(), "msg/s")
	b.ReportMetric(float64(used.Microseconds())/messages, "cpu-µs/msg")
	b.ReportMetric(peak, "peak-RSS-MiB")
	b.ReportMetric(peak-before, "grown-MiB")
	b.ReportMetric(quantile(without, 0.99), "live-p99-ms")
	b.ReportMetric(quantile(with, 0.99), "live-resuming-p99-ms")
	b.ReportMetric(quantile(with, 0.99)/quantile(without, 0.99), "resuming/without")
}

// fill posts so many events in order and returns the first one's cursor.
func (s *source) fill(count int) (cursor string) {
	s.b.Helper()
	for count > 0 {
		n := min(count, backlogBatch)
		first, err := s.batch(s.b.Context(), n, pacedSize)
		if err != nil {
			s.b.Fatal(err)
		}
		if cursor == "" {
			cursor = first
		}
		count -= n
	}
	return cursor
}

// playReaders opens streams that resume, and says when all have come up to an event; after that it takes the number of
// the last event, and says whether all got everything up to there.
func playReaders(args []string, lines *bufio.Scanner, answer io.Writer) error {
	addr, lastEventID := args[0], args[2]
	var numbers [3]int64
	for i, text := range []string{args[1], args[3], args[4]} {
		var err error
		if numbers[i], err = strconv.ParseInt(text, 10, 64); err != nil {
			return err
		}
	}
	streams, next, last := int(numbers[0]), numbers[1], numbers[2]
	a, err := gather(addr, streams, readerOptions{
		lastEventID: lastEventID, greets: true, ordered: true, next: next, buffer: 32 << 10,
	})
	defer a.close()
	if err != nil {
		fmt.Fprintln(answer, err)
		return nil
	}
	reach := func(last int64, most time.Duration) error {
		for end := time.Now().Add(most); a.slowest() <= last; time.Sleep(5 * time.Millisecond) {
			if lost := a.lost.Load(); lost != nil {
				return fmt.Errorf("a stream has ended: %w", *lost)
			}
			if time.Now().After(end) {
				return fmt.Errorf("one has got only to event %d of %d", a.slowest(), last)
			}
		}
		return nil
	}
	if err := reach(last, math.MaxInt64); err != nil {
		fmt.Fprintln(answer, err)
		return nil
	}
	fmt.Fprintln(answer, "caught up")
	if !lines.Scan() {
		return lines.Err()
	}
	if last, err = strconv.ParseInt(lines.Text(), 10, 64); err != nil {
		return err
	}
	err = reach(last, 30*time.Second)
	switch missed := a.missed(); {
	case err != nil:
		fmt.Fprintln(answer, "all", err)
	case missed > 0:
		fmt.Fprintf(answer, "all %d events came out of their turn\n", missed)
	default:
		fmt.Fprintln(answer, "all in order")
	}
	return nil
}
