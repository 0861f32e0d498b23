package sqlite_test

import (
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

func TestModel(t *testing.T) { storetest.RunModel(t, open) }

func TestOrder(t *testing.T) { storetest.RunOrder(t, open) }
