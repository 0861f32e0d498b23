package sqlite

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// logOf makes n deliveries of three attempts each, with answers of so many bytes, and raises the floor over them.
func logOf(t *testing.T, e *Engine, w *event.Webhook, n, answer int) {
	t.Helper()
	for range n / 100 {
		ids := eventsFor(t, e, w, 100)
		s := store.Settlements{Floor: ids[99].Event}
		for _, id := range ids {
			for number, state := range []event.State{event.Pending, event.Pending, event.Failed} {
				s.Settled = append(s.Settled, store.Settlement{ID: id, Tenant: w.Tenant, State: state, Due: e.now(),
					Attempt: &event.Attempt{Number: number + 1, At: e.now(), Duration: 20 * time.Millisecond, Status: 500,
						Outcome: event.ErrStatus5xx, Answer: bytes.Repeat([]byte("x"), answer)}})
			}
		}
		settleAll(t, e, s)
	}
}

// countedLog is the delivery log's size as it is counted from the rows.
func countedLog(t *testing.T, e *Engine) (size int64) {
	t.Helper()
	err := e.read(t.Context(), func(c *conn) (err error) {
		size, err = c.number(`SELECT
			(SELECT count(*) * ?1 + ifnull(sum(length(first_answer)), 0) FROM delivery) +
			(SELECT count(*) * ?2 + ifnull(sum(length(answer)), 0) FROM attempt)`, deliveryBytes, attemptBytes)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return size
}

func trimAll(t *testing.T, e *Engine, r store.Retention) (sum store.Trimmed) {
	t.Helper()
	for {
		step, err := e.Trim(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		sum.Logged += step.Logged
		sum.Events += step.Events
		if !step.More {
			return sum
		}
	}
}

// TestLogSize holds the estimate of the delivery log's size to the rows, and to the pages of the file.
func TestLogSize(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	path := filepath.Join(t.TempDir(), "carillon.db")
	e := runEngine(t, Options{Path: path, Now: func() time.Time { return now }})
	w := hookOf(t, e)
	check := func(when string) int64 {
		t.Helper()
		counted, size := countedLog(t, e), e.logBytes.Load()
		if counted != size {
			t.Errorf("%s: the size is %d, counted from the rows %d", when, size, counted)
		}
		return size
	}
	if size := check("at first"); size != 0 {
		t.Errorf("an empty log has %d bytes", size)
	}
	for _, answer := range []int{0, 100, 3000} {
		before := used(t, e)
		for range 10 {
			eventsFor(t, e, w, 100) // as many as those of the deliveries
		}
		between, last := used(t, e), check("before")
		logOf(t, e, w, 1000, answer)
		grown := check("after") - last
		real := (used(t, e) - between) - (between - before)
		if grown < real/2 || grown > real*2 {
			t.Errorf("answers of %d bytes: the size grew by %d, the file by %d", answer, grown, real)
		}
	}
	// Rows that come in every way, and go in every way.
	ids := eventsFor(t, e, w, 4)
	settleAll(t, e, store.Settlements{Spilled: []store.Spill{{ID: ids[0], Tenant: 1}, {ID: ids[0], Tenant: 1}, {ID: ids[1], Tenant: 1}}})
	attempt := &event.Attempt{Number: 1, At: now, Answer: []byte("hello")}
	late := store.Settlement{ID: ids[0], Tenant: 1, State: event.Delivered, Attempt: attempt}
	settleAll(t, e, store.Settlements{Settled: []store.Settlement{late, late}})
	if _, err := e.Cancel(t.Context(), 1, ids[2]); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Reopen(t.Context(), 1, ids[3]); err != nil {
		t.Fatal(err)
	}
	half := check("with all kinds of rows") / 2
	trimAll(t, e, store.Retention{DeliveryBytes: half})
	if size := check("after half of it went"); size > half || size < half-half/10 {
		t.Errorf("the bound was %d, left are %d", half, size)
	}
	trimAll(t, e, store.Retention{DeliveryBytes: 1})
	check("after what is at or below the floor went")
	now = now.Add(time.Hour)
	trimAll(t, e, store.Retention{Age: time.Minute})
	if size := check("with nothing in it"); size != 0 {
		t.Errorf("an emptied log has %d bytes", size)
	}
}

// used is how much of the file is in use.
func used(t *testing.T, e *Engine) (bytes int64) {
	t.Helper()
	err := e.read(t.Context(), func(c *conn) (err error) {
		bytes, err = usedBytes(c)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}

// TestLogGivesSpaceBack removes the delivery log under events that stay: the file shrinks.
func TestLogGivesSpaceBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "carillon.db")
	size := func() int64 {
		t.Helper()
		c, err := dial(path, "", false, 1024)
		if err != nil {
			t.Fatal(err)
		}
		if err := truncateWAL(c); err != nil {
			t.Error(err)
		}
		if err := c.close(); err != nil {
			t.Error(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	var full int64
	t.Run("fill and trim", func(t *testing.T) {
		e := runEngine(t, Options{Path: path})
		w := hookOf(t, e)
		logOf(t, e, w, 2500, 3000)
		full = used(t, e)
		if done := trimAll(t, e, store.Retention{DeliveryBytes: 1}); done.Logged != 2500 || done.Events != 0 {
			t.Errorf("trimmed %+v", done)
		}
	})
	if empty := size(); full < 20<<20 || empty > 6<<20 {
		t.Errorf("%d bytes were used, and the file has %d without the delivery log", full, empty)
	}
}

// TestLogStepsAreSmall has a step meet many attempts: it stops early.
func TestLogStepsAreSmall(t *testing.T) {
	e := runEngine(t, Options{})
	w := hookOf(t, e)
	logOf(t, e, w, 500, 10)
	step, err := e.Trim(t.Context(), store.Retention{DeliveryBytes: 1})
	if err != nil {
		t.Fatal(err)
	}
	if step.Logged == 0 || step.Logged > logRemoved/3+1 || !step.More {
		t.Errorf("a step over deliveries of three attempts removed %+v", step)
	}
}
