package bench

import (
	"encoding/binary"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// arrivals measures how long events take from their POST to the webhooks' having them. An event is known by the number
// that its payload begins with.
type arrivals struct {
	mu    sync.Mutex
	sent  []time.Time
	took  []time.Duration
	count atomic.Int64
}

// next makes the payload of the next event, which is about to be posted.
func (a *arrivals) next(size int) []byte {
	body := make([]byte, size)
	a.mu.Lock()
	defer a.mu.Unlock()
	binary.BigEndian.PutUint64(body, uint64(len(a.sent)))
	a.sent = append(a.sent, time.Now())
	return body
}

// ServeHTTP is a webhook that answers at once.
func (a *arrivals) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	body, err := io.ReadAll(r.Body)
	w.WriteHeader(http.StatusOK)
	a.count.Add(1)
	if err != nil || len(body) < 8 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.took = append(a.took, now.Sub(a.sent[binary.BigEndian.Uint64(body)]))
}

// forget begins anew with what is measured; numbers go on.
func (a *arrivals) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.took = nil
}

// quantiles returns the given quantiles of what was measured, in milliseconds.
func (a *arrivals) quantiles(b *testing.B, qs ...float64) []float64 {
	b.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.took) == 0 {
		b.Fatal("nothing arrived")
	}
	slices.Sort(a.took)
	found := make([]float64, len(qs))
	for i, q := range qs {
		found[i] = float64(a.took[min(len(a.took)-1, int(q*float64(len(a.took))))].Microseconds()) / 1000
	}
	return found
}

// steadily posts events at a rate for a while, none of which waits for the one before it, and returns how many.
func steadily(b *testing.B, perSecond int, span time.Duration, post func(n int) error) int {
	b.Helper()
	end := time.Now().Add(span)
	return steadilyWhile(b, perSecond, func() bool { return time.Now().Before(end) }, post)
}

// steadilyWhile is like steadily, until more says no.
func steadilyWhile(b *testing.B, perSecond int, more func() bool, post func(n int) error) int {
	b.Helper()
	var posts sync.WaitGroup
	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	defer tick.Stop()
	n := 0
	for ; more(); n++ {
		<-tick.C
		posts.Go(func() { check(b, post(n)) })
	}
	posts.Wait()
	return n
}

// await waits until so many deliveries have arrived.
func (a *arrivals) await(b *testing.B, count int64) {
	b.Helper()
	for end := time.Now().Add(time.Minute); a.count.Load() < count; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			b.Fatalf("%d of %d deliveries arrived", a.count.Load(), count)
		}
	}
}

func median(values []float64) float64 {
	values = slices.Clone(values)
	slices.Sort(values)
	return values[len(values)/2]
}
