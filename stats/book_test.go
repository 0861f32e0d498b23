package stats

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carillon/carillon/event"
)

// running is a book that runs in a bubble until the test ends, with what it is told to be pending and open.
type running struct {
	*Book
	backlogs atomic.Pointer[map[event.TenantID]int64] // nil: nobody answers
	stop     func()
}

func start(t *testing.T) *running {
	r := &running{}
	r.tell(nil)
	r.Book = New(Config{
		Backlogs: func(ctx context.Context) (map[event.TenantID]int64, error) {
			if told := r.backlogs.Load(); told != nil {
				return *told, nil
			}
			<-ctx.Done()
			return nil, ctx.Err()
		},
		Streams: func(id event.TenantID) int { return 10 * int(id) },
		Log:     slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	r.stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	synctest.Wait()
	return r
}

func (r *running) tell(backlogs map[event.TenantID]int64) { r.backlogs.Store(&backlogs) }

// pass lets intervals go by.
func pass(n int) {
	time.Sleep(time.Duration(n) * Interval)
	synctest.Wait()
}

func events(tenant event.TenantID, topics ...event.Topic) (all []*event.Event) {
	for _, topic := range topics {
		all = append(all, &event.Event{Tenant: tenant, Topic: topic})
	}
	return all
}

func TestPointsTellOfTheirInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		defer b.stop()
		begun := time.Now()
		const one, two = event.DefaultTenant, event.DefaultTenant + 1
		b.Appended(slices.Concat(events(one, "a", "b", "_carillon.stream.opened"), events(two, "a"), events(one, "c")))
		for range 3 {
			b.Settled(one, event.Delivered, 4*time.Millisecond)
		}
		b.Settled(one, event.Delivered, -1)
		b.Settled(one, event.Pending, -1)
		b.Settled(one, event.Failed, -1)
		b.Settled(one, event.Canceled, -1)
		b.tell(map[event.TenantID]int64{one: 7})
		if points, now := b.Look(one); len(points) != 0 || now.Events != 3 || now.Delivered != 4 {
			t.Errorf("before the first point: %v, %+v", points, now)
		}
		pass(1)
		points, now := b.Look(one)
		if len(points) != 1 || now.Events != 0 || now.Backlog != 7 {
			t.Fatalf("after the first interval: %+v, %+v", points, now)
		}
		got := points[0]
		if got.P50 < 2.8 || got.P50 > 4.6 || got.P99 < got.P50 || !got.Measured() {
			t.Errorf("latencies of 4 ms are told as %v and %v", got.P50, got.P99)
		}
		want := Point{
			At: begun.Add(Interval).UnixMilli(), Backlog: 7, Streams: 10 * uint32(one), Events: 3, Delivered: 4, Retrying: 1, Failed: 1, Canceled: 1,
			P50: got.P50, P99: got.P99,
		}
		if got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if points, _ := b.Look(two); len(points) != 1 || points[0].Events != 1 || points[0].Delivered != 0 || points[0].Measured() {
			t.Errorf("the other tenant has %+v", points)
		}
		if points, now := b.Look(99); len(points) != 0 || now.Streams != 990 {
			t.Errorf("a tenant of which nothing is known has %+v, %+v", points, now)
		}
	})
}

// The number before serves while the scheduler is too busy to tell.
func TestBacklogThatIsNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		defer b.stop()
		b.tell(map[event.TenantID]int64{event.DefaultTenant: 7})
		pass(1)
		b.backlogs.Store(nil)
		pass(3)
		points, _ := b.Look(event.DefaultTenant)
		if len(points) < 3 || points[len(points)-1].Backlog != 7 {
			t.Errorf("got %+v", points)
		}
	})
}

func TestHistoryIsOneHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		defer b.stop()
		const quiet = event.DefaultTenant + 1
		b.Appended(events(quiet, "a"))
		for range History + 5 {
			b.Appended(events(event.DefaultTenant, "a"))
			pass(1)
		}
		points, _ := b.Look(event.DefaultTenant)
		if len(points) != History {
			t.Fatalf("%d points", len(points))
		}
		for i := 1; i < len(points); i++ {
			if points[i].At-points[i-1].At != Interval.Milliseconds() || points[i].Events != 1 {
				t.Fatalf("after %+v comes %+v", points[i-1], points[i])
			}
		}
		if points[History-1].At != time.Now().UnixMilli() {
			t.Errorf("the newest is of %s", points[History-1].Time())
		}
		if left, _ := b.Look(quiet); len(left) != 0 {
			t.Errorf("of a tenant that was quiet for more than an hour %d points are left", len(left))
		}
	})
}

func TestTenantsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		defer b.stop()
		const most = event.DefaultTenant + MaxTenants
		for id := event.DefaultTenant; id < most+10; id++ {
			b.Appended(events(id, "a"))
			b.Settled(id, event.Delivered, 0)
		}
		if n := len(b.known()); n != MaxTenants {
			t.Errorf("%d tenants are remembered", n)
		}
		// Who watches has a place all the same, and those who are watched keep theirs.
		w, err := b.Watch(most + 5)
		if err != nil {
			t.Fatal(err)
		}
		for range quietEnough/Interval + 1 {
			pass(1)
			<-w.Points
		}
		for id := range event.TenantID(makeRoom) {
			b.Appended(events(most+100+id, "a"))
		}
		known := b.known()
		if len(known) != MaxTenants || !slices.Contains(known, most+100) || !slices.Contains(known, most+5) || !slices.Contains(known, event.DefaultTenant) {
			t.Errorf("%d tenants are remembered: %v", len(known), known)
		}
		b.Leave(w)
		b.Leave(w)
	})
}

func TestWatchGetsEachPointOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		pass(3)
		w, err := b.Watch(event.DefaultTenant)
		if err != nil {
			t.Fatal(err)
		}
		last := w.Before[len(w.Before)-1].At
		if len(w.Before) != 3 {
			t.Errorf("%d points were before", len(w.Before))
		}
		for range 10 {
			pass(1)
			if p := <-w.Points; p.At != last+Interval.Milliseconds() {
				t.Fatalf("after %d comes %d", last, p.At)
			} else {
				last = p.At
			}
		}
		// One who does not read loses the watch, and the others keep theirs.
		lazy, err := b.Watch(event.DefaultTenant)
		if err != nil {
			t.Fatal(err)
		}
		for range unread + 1 {
			pass(1)
			<-w.Points
		}
		n := 0
		for range lazy.Points {
			n++
		}
		if n != unread {
			t.Errorf("who did not read got %d points, want %d", n, unread)
		}
		b.stop()
		if _, more := <-w.Points; more {
			t.Error("a point came after the end")
		}
		if _, err := b.Watch(event.DefaultTenant); !errors.Is(err, ErrClosed) {
			t.Errorf("watching a closed book: %v", err)
		}
		b.Leave(w)
	})
}

func TestWatchesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		defer b.stop()
		var all []*Watch
		for id := event.DefaultTenant; ; id++ {
			n := 0
			for ; ; n++ {
				w, err := b.Watch(id)
				if err != nil {
					if !errors.Is(err, ErrFull) {
						t.Fatal(err)
					}
					break
				}
				all = append(all, w)
			}
			if n == 0 {
				break
			}
			if n != MaxWatchesOfTenant {
				t.Errorf("%d watch a tenant", n)
			}
		}
		if len(all) != MaxWatches {
			t.Errorf("%d watch", len(all))
		}
		b.Leave(all[0])
		if _, err := b.Watch(event.DefaultTenant); err != nil {
			t.Errorf("after one has left: %v", err)
		}
	})
}

// Quantiles are a fifth off at most, where they are not beyond the last class.
func TestQuantiles(t *testing.T) {
	for _, d := range []time.Duration{150 * time.Microsecond, time.Millisecond, 4100 * time.Microsecond, 77 * time.Millisecond, time.Second, 70 * time.Second} {
		var l latencies
		for range 100 {
			l.add(d)
		}
		ms := float64(d) / float64(time.Millisecond)
		for _, share := range []float64{.5, .99} {
			if got := float64(l.quantile(share)); got < ms/1.42 || got > ms*1.42 {
				t.Errorf("the %v quantile of %v is told as %v ms", share, d, got)
			}
		}
	}
	var l latencies
	if l.quantile(.5) != 0 {
		t.Error("nothing has a quantile")
	}
	l.add(0)
	l.add(24 * time.Hour)
	if got := l.quantile(.99); got < 50_000 {
		t.Errorf("a day is told as %v ms", got)
	}
}

func BenchmarkAppended(b *testing.B) {
	book := New(Config{})
	page := events(event.DefaultTenant, slices.Repeat([]event.Topic{"orders.created"}, 256)...)
	for b.Loop() {
		book.Appended(page)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(page)), "ns/event")
}

func BenchmarkSettled(b *testing.B) {
	book := New(Config{})
	for b.Loop() {
		book.Settled(event.DefaultTenant, event.Delivered, 4*time.Millisecond)
	}
}
