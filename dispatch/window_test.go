package dispatch

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/carillon/carillon/event"
)

func TestWindowDoublesThenGrowsByOne(t *testing.T) {
	w := newWindow(64)
	round := func() {
		for range w.limit() {
			w.succeeded(w.limit())
		}
	}
	if w.limit() != 4 {
		t.Fatalf("begins at %d", w.limit())
	}
	for _, want := range []int{8, 16, 32, 64, 64} {
		n := w.limit()
		for range n {
			w.succeeded(w.limit()) // refilled after each
		}
		if w.limit() != want {
			t.Fatalf("after %d successes: %d, want %d", n, w.limit(), want)
		}
	}
	w.failed(w.round)
	if w.limit() != 32 {
		t.Fatalf("halved to %d", w.limit())
	}
	for range 10 {
		before := w.limit()
		round()
		if grown := w.limit() - before; grown > 1 {
			t.Fatalf("grew by %d in a round trip", grown)
		}
	}
	if w.limit() < 40 {
		t.Errorf("grew to %d in ten round trips", w.limit())
	}
	if small := newWindow(2); small.limit() != 2 {
		t.Errorf("under a ceiling of 2 begins at %d", small.limit())
	}
}

func TestWindowGrowsOnlyWhileItLimits(t *testing.T) {
	w := newWindow(64)
	for range 100 {
		w.succeeded(3)
	}
	if w.limit() != 4 {
		t.Errorf("grew to %d with 3 in flight", w.limit())
	}
}

func TestWindowIsHalvedOncePerRoundTrip(t *testing.T) {
	w := newWindow(64)
	w.size = 40
	round := w.round
	for range 40 { // all of them were under way when the first failed
		w.failed(round)
	}
	if w.limit() != 20 {
		t.Errorf("40 failures of one round made it %d", w.limit())
	}
}

func TestWindowIsDownAfterFiveFailuresAtOne(t *testing.T) {
	w := newWindow(4)
	for i := range 2 {
		if w.failed(w.round) {
			t.Fatalf("down after %d failures", i+1)
		}
	}
	for i := range downAfter {
		if down := w.failed(w.round); down != (i == downAfter-1) {
			t.Fatalf("down is %t after %d failures at one", down, i+1)
		}
	}
	w = newWindow(1)
	for range downAfter - 1 {
		w.failed(w.round)
	}
	w.answered()
	if w.failed(w.round) {
		t.Error("an answer between did not count")
	}
}

func TestRateLimit(t *testing.T) {
	now := time.Unix(1e9, 0)
	limit := event.RateLimit{PerSecond: 10, Burst: 3}
	var b bucket
	for range 3 {
		if at := b.ready(limit, now); !at.IsZero() {
			t.Fatalf("a token of the burst is there only at %s", at)
		}
		b.take(limit)
	}
	at := b.ready(limit, now)
	if wait := at.Sub(now); wait < 100*time.Millisecond || wait > 101*time.Millisecond {
		t.Fatalf("the fourth is there after %s", wait)
	}
	if again := b.ready(limit, at); !again.IsZero() {
		t.Errorf("when it should be there it is said to come at %s", again)
	}
	// An hour later the burst is full, and no more.
	now = now.Add(time.Hour)
	got := 0
	for ; b.ready(limit, now).IsZero(); got++ {
		b.take(limit)
	}
	if got != 3 {
		t.Errorf("after an hour there are %d tokens", got)
	}
	if at := b.ready(event.RateLimit{}, now); !at.IsZero() {
		t.Errorf("without a limit: %s", at)
	}
}

func TestRateLimitSpacesAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.stop()
		r.webhook(func(w *event.Webhook) { w.RateLimit = event.RateLimit{PerSecond: 2, Burst: 2} }, "a")
		free := r.webhook(nil, "a")
		for range 10 {
			r.post("a")
		}
		began := time.Now()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		n := 0
		for _, c := range r.receiver.got() {
			if c.webhook == free.ID {
				continue
			}
			n++
			// The burst at once, then one each half second.
			want := time.Duration(max(0, n-2)) * 500 * time.Millisecond
			if got := c.at.Sub(began); got < want-50*time.Millisecond || got > want+100*time.Millisecond {
				t.Errorf("request %d after %s, want %s", n, got, want)
			}
		}
		if n != 10 {
			t.Errorf("%d requests of 10", n)
		}
	})
}
