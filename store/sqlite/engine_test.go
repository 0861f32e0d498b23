package sqlite_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
	"github.com/carillon/carillon/store/sqlite"
)

// openAt opens an engine without running it.
func openAt(t *testing.T, o sqlite.Options) *sqlite.Engine {
	t.Helper()
	e, err := sqlite.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// run runs an engine until stop is called or the test ends.
func run(t *testing.T, e *sqlite.Engine) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func draftOf(topic event.Topic, size int) store.Draft {
	return store.Draft{Event: &event.Event{ID: event.NewID(), Tenant: event.DefaultTenant, Topic: topic,
		Payload: bytes.Repeat([]byte("x"), size)}}
}

func TestOneEngineAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "carillon.db")
	first, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(t.Context(), sqlite.Options{Path: path}); !errors.Is(err, sqlite.ErrInUse) {
		t.Errorf("a second engine: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	openAt(t, sqlite.Options{Path: path})
}

func TestNewerSchemaIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "carillon.db")
	e, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	c, err := sqlite3.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Exec(`PRAGMA user_version = 9999`); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if e, err := sqlite.Open(t.Context(), sqlite.Options{Path: path}); err == nil {
		_ = e.Close()
		t.Error("a database of a newer gateway was opened")
	}
}

func TestPathsThatLookLikeURIs(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "50% of?mode=memory#1")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	openAt(t, sqlite.Options{Path: filepath.Join(dir, "carillon.db")})
	if _, err := os.Stat(filepath.Join(dir, "carillon.db")); err != nil {
		t.Error(err)
	}
}

func TestReadyWhileItRuns(t *testing.T) {
	e := openAt(t, sqlite.Options{Path: filepath.Join(t.TempDir(), "carillon.db")})
	if e.Ready() == nil {
		t.Error("ready before Run")
	}
	stop := run(t, e)
	if _, err := e.Append(t.Context(), []store.Draft{draftOf("a", 1)}); err != nil {
		t.Fatal(err)
	}
	if err := e.Ready(); err != nil {
		t.Errorf("not ready though it writes: %v", err)
	}
	stop()
	if e.Ready() == nil {
		t.Error("ready after Run")
	}
	if _, err := e.Append(t.Context(), []store.Draft{draftOf("a", 1)}); !errors.Is(err, store.ErrNotStored) {
		t.Errorf("a write after Run: %v", err)
	}
}

// TestBadNeighbour has one operation of a batch fail by its own fault: the others are stored.
func TestBadNeighbour(t *testing.T) {
	e := openAt(t, sqlite.Options{Path: filepath.Join(t.TempDir(), "carillon.db")})
	bad := []store.Draft{draftOf("a", 10), draftOf("a", 10)}
	bad[1].Event.ID = bad[0].Event.ID
	type answer struct {
		receipts []store.Receipt
		err      error
	}
	answers := make([]chan answer, 9)
	for i := range answers {
		answers[i] = make(chan answer, 1)
		go func() {
			drafts := []store.Draft{draftOf("a", 10)}
			if i == 4 {
				drafts = bad
			}
			receipts, err := e.Append(context.Background(), drafts)
			answers[i] <- answer{receipts, err}
		}()
	}
	run(t, e) // what waited for it is one batch
	for i, c := range answers {
		a := <-c
		if i == 4 {
			if !errors.Is(a.err, store.ErrNotStored) {
				t.Errorf("the bad one: %v", a.err)
			}
			continue
		}
		if a.err != nil {
			t.Errorf("a neighbour: %v", a.err)
			continue
		}
		if ev, err := e.EventAt(t.Context(), a.receipts[0].Cursor); err != nil || ev.ID != a.receipts[0].ID {
			t.Errorf("the event at %s is %+v, %v", a.receipts[0].Cursor, ev, err)
		}
	}
	b, err := e.Bounds(t.Context())
	if err != nil || b.Head != event.Cursor(len(answers)-1) {
		t.Errorf("bounds are %+v, %v", b, err)
	}
}

// TestWithdrawn cancels a write that the writer has not taken yet.
func TestWithdrawn(t *testing.T) {
	e := openAt(t, sqlite.Options{Path: filepath.Join(t.TempDir(), "carillon.db")})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	withdrawn := draftOf("a", 10)
	go func() {
		_, err := e.Append(ctx, []store.Draft{withdrawn})
		ended <- err
	}()
	cancel()
	if err := <-ended; !errors.Is(err, store.ErrNotStored) || !errors.Is(err, context.Canceled) {
		t.Errorf("the withdrawn write: %v", err)
	}
	run(t, e)
	if _, err := e.Append(t.Context(), []store.Draft{draftOf("a", 10)}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Event(t.Context(), event.DefaultTenant, withdrawn.Event.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("it was stored: %v", err)
	}
}

func TestKeysAreBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "carillon.db")
	const bound = 10
	keyed := func(key string) store.Draft {
		d := draftOf("a", 1)
		d.Key = key
		return d
	}
	for _, when := range []string{"at first", "after a restart"} {
		e, err := sqlite.Open(t.Context(), sqlite.Options{Path: path, MaxKeys: bound})
		if err != nil {
			t.Fatal(err)
		}
		stop := run(t, e)
		for i := range 3 * bound {
			if _, err := e.Append(t.Context(), []store.Draft{keyed(when + string(rune('A'+i)))}); err != nil {
				t.Fatal(err)
			}
		}
		for i := 3*bound - 1; i >= 2*bound; i-- {
			receipts, err := e.Append(t.Context(), []store.Draft{keyed(when + string(rune('A'+i)))})
			if err != nil || !receipts[0].Replayed {
				t.Errorf("%s: key %d of %d is forgotten: %v", when, i, 3*bound, err)
			}
		}
		receipts, err := e.Append(t.Context(), []store.Draft{keyed(when + "A")})
		if err != nil || receipts[0].Replayed {
			t.Errorf("%s: the oldest key is remembered: %v", when, err)
		}
		stop()
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestWALStaysSmall writes far more than the bound of the write-ahead log while a reader pages through the log, as slowly
// as a stalled stream does: it holds nothing open between its calls.
func TestWALStaysSmall(t *testing.T) {
	const most = 64 << 20
	total := 256 << 20
	if testing.Short() || raceDetector {
		total = 80 << 20
	}
	path := filepath.Join(t.TempDir(), "carillon.db")
	e := openAt(t, sqlite.Options{Path: path})
	run(t, e)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		after := event.Cursor(0)
		for ctx.Err() == nil {
			result, err := e.Read(ctx, event.DefaultTenant, store.ReadQuery{After: after, Patterns: []event.Pattern{"**"}, Limit: 2})
			if err != nil {
				if ctx.Err() == nil {
					t.Error(err)
				}
				return
			}
			after = result.Through
		}
	})
	tail := e.Tail(0) // never asked: it costs nothing
	_ = tail
	const size = 64 << 10
	for written := 0; written < total; written += 16 * size {
		drafts := make([]store.Draft, 16)
		for i := range drafts {
			drafts[i] = draftOf("a", size)
		}
		if _, err := e.Append(t.Context(), drafts); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > most {
			t.Fatalf("the write-ahead log has %d bytes after %d were written", info.Size(), written)
		}
	}
}

// TestSpaceComesBack trims everything: the file shrinks.
func TestSpaceComesBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "carillon.db")
	now := time.Now()
	clock := func() time.Time { return now }
	e, err := sqlite.Open(t.Context(), sqlite.Options{Path: path, Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, e)
	for range 32 {
		if _, err := e.Append(t.Context(), []store.Draft{draftOf("a", 1<<20)}); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Hour)
	e, err = sqlite.Open(t.Context(), sqlite.Options{Path: path, Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	full, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	stop = run(t, e)
	for more := true; more; {
		done, err := e.Trim(t.Context(), store.Retention{Age: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		more = done.More
	}
	stop()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	openAt(t, sqlite.Options{Path: path, Now: clock}) // copies the write-ahead log
	empty, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if full.Size() < 32<<20 || empty.Size() > 8<<20 {
		t.Errorf("the file had %d bytes, and has %d with nothing in it", full.Size(), empty.Size())
	}
}

func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	dir := t.TempDir()
	for range 2 { // the names are free again after Close
		e, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(dir, "carillon.db"), Registerer: registry})
		if err != nil {
			t.Fatal(err)
		}
		stop := run(t, e)
		if _, err := e.Append(t.Context(), []store.Draft{draftOf("a", 10)}); err != nil {
			t.Fatal(err)
		}
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := make(map[string]float64)
		for _, f := range families {
			m := f.GetMetric()[0]
			got[f.GetName()] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
		for _, name := range []string{"carillon_store_commits_total", "carillon_store_commit_seconds",
			"carillon_store_batch_operations", "carillon_store_wal_bytes", "carillon_store_used_bytes"} {
			if got[name] <= 0 {
				t.Errorf("%s is %v", name, got[name])
			}
		}
		if size, ok := got["carillon_store_delivery_log_bytes"]; !ok || size != 0 { // nothing was delivered
			t.Errorf("carillon_store_delivery_log_bytes is %v", size)
		}
		stop()
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
