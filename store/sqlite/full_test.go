package sqlite_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
	"github.com/carillon/carillon/store/sqlite"
)

// fillLog opens an engine on the file system, appends events and closes it: the write-ahead log holds them.
func fillLog(t *testing.T, o sqlite.Options) (ids []event.ID) {
	t.Helper()
	e, err := sqlite.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, e)
	for range 20 {
		receipts, err := e.Append(t.Context(), []store.Draft{draftOf("a", 5000)})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, receipts[0].ID)
	}
	stop()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return ids
}

func checkThere(t *testing.T, e *sqlite.Engine, ids []event.ID) {
	t.Helper()
	for _, id := range ids {
		if _, err := e.Event(t.Context(), event.DefaultTenant, id); err != nil {
			t.Errorf("event %s: %v", id, err)
		}
	}
}

// TestFullDisk fills the disk under a running engine: it refuses what does not fit, and takes it once there is room.
func TestFullDisk(t *testing.T) {
	faults := registerFaults(t)
	faults.errno = syscall.ENOSPC
	var said bytes.Buffer
	o := sqlite.Options{Path: filepath.Join(t.TempDir(), "carillon.db"), VFS: faults.name,
		Log: slog.New(slog.NewTextHandler(&said, nil))}
	e := openAt(t, o)
	stop := run(t, e)
	var ids []event.ID
	// Each size is more than the write-ahead log can have become, so that it has no room of its own for it.
	for _, size := range []int{256 << 10, 1 << 20, 4 << 20} {
		refused := draftOf("a", size)
		faults.leave(roomInPlace)
		for range 5 {
			if _, err := e.Append(t.Context(), []store.Draft{refused}); !errors.Is(err, store.ErrFull) {
				t.Fatalf("on a full disk: %v", err)
			}
			if _, err := e.Trim(t.Context(), store.Retention{}); err != nil { // nothing to write
				t.Fatal(err)
			}
		}
		faults.leave(roomToGrow)
		receipts, err := e.Append(t.Context(), []store.Draft{draftOf("a", size)})
		if err != nil {
			t.Fatalf("with room again: %v", err)
		}
		ids = append(ids, receipts[0].ID)
		if _, err := e.Event(t.Context(), event.DefaultTenant, refused.Event.ID); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("what was refused: %v", err)
		}
	}
	checkThere(t, e, ids)
	stop()
	if n := strings.Count(said.String(), "level=ERROR"); n != 3 {
		t.Errorf("it said %d times that the disk is full, of 3:\n%s", n, said.String())
	}
}

// TestOpenOnFullDisk opens a log that cannot be copied to the database. The page cache shows more of it than is on the
// disk, as after a failed fsync: what the engine shows must survive a power cut all the same.
func TestOpenOnFullDisk(t *testing.T) {
	faults := registerFaults(t)
	faults.errno = syscall.ENOSPC
	o := sqlite.Options{Path: filepath.Join(t.TempDir(), "carillon.db"), VFS: faults.name}
	ids := fillLog(t, o)

	log := faults.files["carillon.db-wal"]
	log.synced, log.unsynced = log.synced[:len(log.synced)/2], nil
	faults.leave(roomInPlace)
	e := openAt(t, o)
	run(t, e)
	checkThere(t, e, ids)
	if _, err := e.Append(t.Context(), []store.Draft{draftOf("a", 5000)}); !errors.Is(err, store.ErrFull) {
		t.Errorf("appending: %v", err)
	}
	cut := t.TempDir()
	faults.mu.Lock()
	faults.cut(t, cut, func([]change) []change { return nil })
	faults.mu.Unlock()
	checkThere(t, openAt(t, sqlite.Options{Path: filepath.Join(cut, "carillon.db")}), ids)

	faults.leave(roomToGrow)
	if _, err := e.Append(t.Context(), []store.Draft{draftOf("a", 5000)}); err != nil {
		t.Errorf("appending with room again: %v", err)
	}
}

// TestOpenWhereNothingFits opens a log that cannot be made sure of: the engine says what to do.
func TestOpenWhereNothingFits(t *testing.T) {
	faults := registerFaults(t)
	faults.errno = syscall.ENOSPC
	o := sqlite.Options{Path: filepath.Join(t.TempDir(), "carillon.db"), VFS: faults.name}
	ids := fillLog(t, o)
	faults.leave(roomForNoMore)
	if e, err := sqlite.Open(t.Context(), o); err == nil {
		_ = e.Close()
		t.Error("it was opened")
	} else if !strings.Contains(err.Error(), "free some space") {
		t.Errorf("the error does not say what to do: %v", err)
	}
	faults.leave(roomToGrow)
	checkThere(t, openAt(t, o), ids)
}

// TestFilesArePrivate looks at what is made in a directory that others can read.
func TestFilesArePrivate(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes say nothing there")
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	e := openAt(t, sqlite.Options{Path: filepath.Join(dir, "carillon.db")})
	run(t, e)
	if _, err := e.Append(t.Context(), []store.Draft{draftOf("a", 10)}); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, entry.Name())
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", entry.Name(), info.Mode())
		}
	}
	want := "carillon.db carillon.db-shm carillon.db-wal carillon.db.lock"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("files are %s, want %s", got, want)
	}
}

// TestOthersCanRead opens data that others can read: the log says so.
func TestOthersCanRead(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes say nothing there")
	}
	path := filepath.Join(t.TempDir(), "carillon.db")
	fillLog(t, sqlite.Options{Path: path})
	var said bytes.Buffer
	o := sqlite.Options{Path: path, Log: slog.New(slog.NewTextHandler(&said, nil))}
	for _, mode := range []os.FileMode{0o600, 0o640} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		said.Reset()
		e, err := sqlite.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		if warned := strings.Contains(said.String(), "level=WARN"); warned != (mode == 0o640) {
			t.Errorf("with mode %v it said %q", mode, said.String())
		}
	}
}
