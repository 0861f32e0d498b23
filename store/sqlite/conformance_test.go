package sqlite_test

import (
	"flag"
	"path/filepath"
	"testing"
	"time"

	"github.com/carillon/carillon/store"
	"github.com/carillon/carillon/store/sqlite"
	"github.com/carillon/carillon/store/storetest"
)

func open(tb testing.TB, dir string, now func() time.Time) store.Engine {
	tb.Helper()
	e, err := sqlite.Open(tb.Context(), sqlite.Options{
		Path:              filepath.Join(dir, "carillon.db"),
		IdempotencyWindow: storetest.IdempotencyWindow,
		Now:               now,
	})
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

func TestConformance(t *testing.T) { storetest.Run(t, open) }

func TestModel(t *testing.T) {
	takeSamples(t)
	storetest.RunModel(t, open)
}

func TestOrder(t *testing.T) {
	takeSamples(t)
	storetest.RunOrder(t, open)
}

// takeSamples makes a test of random histories try fewer of them where each takes ten times longer.
func takeSamples(t *testing.T) {
	t.Helper()
	if !raceDetector {
		return
	}
	const checks = "rapid.checks"
	all := flag.Lookup(checks).Value.String()
	if err := flag.Set(checks, "25"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := flag.Set(checks, all); err != nil {
			t.Error(err)
		}
	})
}
