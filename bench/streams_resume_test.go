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

	first := s.next.Load()
	live := s.gather(20, readerOptions{timed: true, ordered: true, next: first, loose: first})
	defer live.close()
	post := func(int) error { return s.one(b.Context(), pacedSize, time.Now()) }
	posted := int64(steadily(b, pacedRate, alone/10, post))
	check(b, live.await(posted, time.Minute))
	live.forget()
	posted += int64(steadily(b, pacedRate, alone, post))
	check(b, live.await(posted, time.Minute))
	without := took(live.readers)
	live.forget()

	used, began := p.cpu(), time.Now()
	readers := newActor(b, "readers", true, s.addr, strconv.Itoa(streams), lastEventID, strconv.Itoa(back))
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
	meanwhile := int64(steadilyWhile(b, pacedRate, func() bool { return !over.Load() }, post))
	posted += meanwhile
	heard := <-caughtUp
	span, used := time.Since(began), p.cpu()-used
	check(b, live.await(posted, 10*time.Minute))
	with := took(live.readers)
	if heard != "caught up" {
		b.Fatalf("the streams that resumed: %s", heard)
	}
	readers.tell("%d", posted)
	end := readers.hear("all", 11*time.Minute)
	got, err := live.order()
	check(b, err)
	// The sum of the numbers from first on; no other events of that number have it.
	if want := posted*first + posted*(posted-1)/2; got.count != posted || got.sum != want {
		b.Errorf("the live streams got other events than were posted: %+v instead of %d with the sum %d", got, posted, want)
	}
	if want := fmt.Sprint("got ", got); end != want || live.missed() > 0 {
		b.Errorf("the streams that resumed: %s; the live ones %s", end, want)
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
	b.ReportMetric(float64(meanwhile)/span.Seconds(), "live-events/s")
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

// playReaders opens streams that resume behind event 0, and says when all have the events up to a number. After that it
// takes how many more there are, and says what all of them got of these.
func playReaders(args []string, lines *bufio.Scanner, answer io.Writer) error {
	addr, lastEventID := args[0], args[2]
	streams, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	back, err := strconv.ParseInt(args[3], 10, 64)
	if err != nil {
		return err
	}
	a, err := gather(addr, streams, readerOptions{
		lastEventID: lastEventID, greets: true, ordered: true, next: 1, loose: back + 1, buffer: 32 << 10, yields: true,
	})
	defer a.close()
	if err != nil {
		fmt.Fprintln(answer, err)
		return nil
	}
	if err := a.reach(back, math.MaxInt64); err != nil {
		fmt.Fprintln(answer, err)
		return nil
	}
	fmt.Fprintln(answer, "caught up")
	if !lines.Scan() {
		return lines.Err()
	}
	more, err := strconv.ParseInt(lines.Text(), 10, 64)
	if err != nil {
		return err
	}
	if err := a.reach(back+more, 10*time.Minute); err != nil {
		fmt.Fprintln(answer, "all", err)
		return nil
	}
	got, err := a.order()
	switch missed := a.missed(); {
	case err != nil:
		fmt.Fprintln(answer, "all", err)
	case missed > 0:
		fmt.Fprintf(answer, "all missed %d events, or got them out of their turn\n", missed)
	default:
		fmt.Fprintln(answer, "all got", got)
	}
	return nil
}

// reach waits until each has so many events.
func (a *audience) reach(count int64, most time.Duration) error {
	for began := time.Now(); a.slowest() < count; time.Sleep(5 * time.Millisecond) {
		if lost := a.lost.Load(); lost != nil {
			return fmt.Errorf("a stream has ended: %w", *lost)
		}
		if time.Since(began) > most {
			return fmt.Errorf("one has only %d events of %d", a.slowest(), count)
		}
	}
	return nil
}
