package bench

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// dialers is how many streams of an audience are opened at a time.
const dialers = 64

// audience is many readers, each with a stream of its own.
type audience struct {
	readers []*reader
	total   atomic.Int64          // events, of all readers
	lost    atomic.Pointer[error] // why a stream has ended that nobody closed; nil: none has
	closing atomic.Bool
	running sync.WaitGroup
}

// gather opens so many streams. Close the audience also if there was an error.
func gather(addr string, n int, o readerOptions) (*audience, error) {
	a := &audience{readers: make([]*reader, n)}
	var next atomic.Int64
	var opening sync.WaitGroup
	var failed atomic.Pointer[error]
	for range dialers {
		opening.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && failed.Load() == nil; i = int(next.Add(1)) - 1 {
				r, err := openReader(addr, o, &a.total)
				if err != nil {
					failed.Store(&err)
					return
				}
				a.readers[i] = r
			}
		})
	}
	opening.Wait()
	for _, r := range a.readers {
		if r == nil {
			continue
		}
		a.running.Go(func() {
			if err := r.run(); !a.closing.Load() {
				a.lost.Store(&err)
			}
		})
	}
	if err := failed.Load(); err != nil {
		return a, *err
	}
	return a, nil
}

func (a *audience) close() {
	a.closing.Store(true)
	for _, r := range a.readers {
		if r != nil {
			r.hangUp()
		}
	}
	a.running.Wait()
}

// await waits until so many events have come to each, which is an error if it takes longer than most, or one has another
// number then.
func (a *audience) await(each int64, most time.Duration) error {
	all := each * int64(len(a.readers))
	for end := time.Now().Add(most); a.total.Load() < all; time.Sleep(time.Millisecond) {
		if lost := a.lost.Load(); lost != nil {
			return fmt.Errorf("a stream has ended: %w", *lost)
		}
		if time.Now().After(end) {
			return fmt.Errorf("after %s %d of %d messages have arrived", most, a.total.Load(), all)
		}
	}
	for i, r := range a.readers {
		if got := r.count.Load(); got != each {
			return fmt.Errorf("stream %d got %d events of %d", i, got, each)
		}
	}
	return nil
}

// missed is how many events came to somebody out of their turn.
func (a *audience) missed() (count int64) {
	for _, r := range a.readers {
		count += r.missed.Load()
	}
	return count
}

// slowest is how many events have come to the one that has the fewest.
func (a *audience) slowest() int64 {
	least := a.readers[0].count.Load()
	for _, r := range a.readers {
		least = min(least, r.count.Load())
	}
	return least
}

// order returns that of the events which could come in any order, which has to be the same for all.
func (a *audience) order() (order, error) {
	var first order
	for i, r := range a.readers {
		r.mu.Lock()
		its := r.late
		r.mu.Unlock()
		if i == 0 {
			first = its
		} else if its != first {
			return order{}, fmt.Errorf("stream %d got other events, or in another order, than stream 0: %v, %v", i, its, first)
		}
	}
	return first, nil
}

// forget begins anew with the times of what comes.
func (a *audience) forget() {
	for _, r := range a.readers {
		r.mu.Lock()
		r.took = nil
		r.mu.Unlock()
	}
}

// took returns how long events took to these readers, sorted.
func took(readers []*reader) []time.Duration {
	var all []time.Duration
	for _, r := range readers {
		r.mu.Lock()
		all = append(all, r.took...)
		r.mu.Unlock()
	}
	slices.Sort(all)
	return all
}

// quantile returns a quantile of sorted times, in milliseconds; 0 if there are none.
func quantile(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return float64(sorted[min(len(sorted)-1, int(q*float64(len(sorted))))].Microseconds()) / 1000
}
