package sqlite

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/carillon/carillon/store"
)

// TestWhatFaultsMean holds the answers to a failed transaction to the contract, and to whether the engine goes on.
func TestWhatFaultsMean(t *testing.T) {
	for _, test := range []struct {
		name       string
		cause      error
		committing bool
		want       error
		fails      bool
	}{
		{"full", sqlite3.FULL, false, store.ErrFull, false},
		{"full at the commit", sqlite3.FULL, true, store.ErrFull, false},
		{"no room for the index", sqlite3.IOERR_SHMSIZE, false, store.ErrFull, false},
		{"no room for the index at the commit", sqlite3.IOERR_SHMSIZE, true, store.ErrUnknown, false},
		{"write", sqlite3.IOERR_WRITE, false, store.ErrNotStored, true},
		{"write at the commit", sqlite3.IOERR_WRITE, true, store.ErrUnknown, true},
		{"sync", sqlite3.IOERR_FSYNC, true, store.ErrUnknown, true},
		{"constraint", sqlite3.CONSTRAINT, false, store.ErrNotStored, false},
	} {
		e, err := Open(t.Context(), Options{Path: filepath.Join(t.TempDir(), "carillon.db")})
		if err != nil {
			t.Fatal(err)
		}
		b := newBatch(e)
		b.committing = test.committing
		err = test.cause
		b.undo(&err)
		if !errors.Is(err, test.want) {
			t.Errorf("%s: %v", test.name, err)
		}
		select {
		case <-e.failed:
			if !test.fails {
				t.Errorf("%s: the engine ends", test.name)
			}
		default:
			if test.fails {
				t.Errorf("%s: the engine goes on", test.name)
			}
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
}
