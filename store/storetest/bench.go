package storetest

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// Posters are how many goroutines the benchmarks append from.
var Posters = []int{1, 64, 256}

// PayloadBytes is the size of the payloads in the benchmarks.
const PayloadBytes = 1024

// Benchmark measures an engine: appending from some posters, settling, reading. An engine's own benchmarks put the floor
// beside it.
func Benchmark(b *testing.B, open Open) {
	for _, posters := range Posters {
		b.Run(fmt.Sprintf("Append/%d", posters), func(b *testing.B) {
			h := newHarness(b, open)
			w := h.webhook()
			Post(b, posters, func() error {
				_, err := h.Append(b.Context(), []store.Draft{benchDraft(w.ID)})
				return err
			})
		})
	}
	for _, group := range []int{1, 64, 256} {
		b.Run(fmt.Sprintf("Settle/%d", group), func(b *testing.B) { benchmarkSettle(b, newHarness(b, open), group) })
	}
	b.Run("Read", func(b *testing.B) { benchmarkRead(b, newHarness(b, open)) })
	b.Run("Tail", func(b *testing.B) { benchmarkTail(b, newHarness(b, open)) })
}

// Post calls post b.N times from so many goroutines and reports the rate.
func Post(b *testing.B, posters int, post func() error) {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(b.N))
	errs := make(chan error, posters)
	b.ReportAllocs()
	b.ResetTimer()
	for range posters {
		go func() {
			for left.Add(-1) >= 0 {
				if err := post(); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range posters {
		if err := <-errs; err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

var benchPayload = bytes.Repeat([]byte("0123456789abcdef"), PayloadBytes/16)

func benchDraft(webhooks ...event.ID) store.Draft {
	d := draft("orders.created", webhooks...)
	d.Event.Payload = benchPayload
	return d
}

// fill appends n events and returns their receipts.
func (h *harness) fill(n int, webhooks ...event.ID) []store.Receipt {
	h.Helper()
	receipts := make([]store.Receipt, 0, n)
	for len(receipts) < n {
		drafts := make([]store.Draft, min(1000, n-len(receipts)))
		for i := range drafts {
			drafts[i] = benchDraft(webhooks...)
		}
		receipts = append(receipts, h.append(drafts...)...)
	}
	return receipts
}

func benchmarkSettle(b *testing.B, h *harness, group int) {
	w := h.webhook()
	receipts := h.fill(b.N, w.ID)
	b.ReportAllocs()
	b.ResetTimer()
	for len(receipts) > 0 {
		n := min(group, len(receipts))
		s := store.Settlements{Settled: make([]store.Settlement, n)}
		for i, r := range receipts[:n] {
			s.Settled[i] = h.delivered(deliveryID(r, w), 1)
		}
		s.Floor = receipts[n-1].Cursor
		if err := h.Settle(b.Context(), s); err != nil {
			b.Fatal(err)
		}
		receipts = receipts[n:]
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "deliveries/s")
}

func benchmarkRead(b *testing.B, h *harness) {
	h.fill(20_000)
	b.ResetTimer()
	after := event.Cursor(0)
	for done := 0; done < b.N; {
		result, err := h.Read(b.Context(), tenant, store.ReadQuery{After: after, Patterns: []event.Pattern{"orders.*"}, Limit: 256})
		if err != nil {
			b.Fatal(err)
		}
		done += len(result.Events)
		if after = result.Through; result.End {
			after = 0
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

func benchmarkTail(b *testing.B, h *harness) {
	h.fill(20_000)
	ctx, cancel := context.WithTimeout(b.Context(), time.Hour)
	defer cancel()
	b.ResetTimer()
	tail := h.Tail(0)
	head := h.boundsNow().Head
	for done := 0; done < b.N; {
		events, err := tail.Next(ctx)
		if err != nil {
			b.Fatal(err)
		}
		if done += len(events); events[len(events)-1].Cursor == head {
			tail = h.Tail(0)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
