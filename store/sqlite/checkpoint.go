package sqlite

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

const (
	walFrameBytes = 4096 + 24

	// checkpointPages is how far the write-ahead log grows before it is copied to the database, beside the writer.
	checkpointPages = 4 << 20 / walFrameBytes
	// restartPages is how far it grows before the writer itself finishes the copying, so that the log begins anew: a
	// log that is written to without a pause never gets to its end otherwise.
	restartPages = 16 << 20 / walFrameBytes
)

// checkpointer copies the write-ahead log to the database.
type checkpointer struct {
	conn   *conn
	wanted chan struct{} // of capacity 1
	pages  atomic.Int64  // in the write-ahead log, as of the last commit

	copyAt, restartAt int64 // pages; checkpointPages and restartPages, lower in tests

	mu   sync.Mutex // SQLite runs one checkpoint at a time and lets nobody wait for it
	full bool       // the last one found the disk full; said once. Guarded by mu.
}

// afterCommit has the log copied once it is long enough. Called by the writer, between batches.
func (e *Engine) afterCommit() {
	pages := e.checkpoint.pages.Load()
	if pages < e.checkpoint.copyAt {
		return
	}
	if pages >= e.checkpoint.restartAt {
		e.runCheckpoint(e.writer, sqlite3.CHECKPOINT_RESTART)
		return
	}
	e.wantCheckpoint()
}

// wantCheckpoint has the log copied soon, beside the writer.
func (e *Engine) wantCheckpoint() {
	select {
	case e.checkpoint.wanted <- struct{}{}:
	default:
	}
}

func (e *Engine) runCheckpointer(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.failed:
			return
		case <-e.checkpoint.wanted:
			e.runCheckpoint(e.checkpoint.conn, sqlite3.CHECKPOINT_PASSIVE)
		}
	}
}

// runCheckpoint copies what it can. A fault of the disk is the engine's end: the kernel tells of a failed fsync once, and
// the next checkpoint would take for stored what is not.
func (e *Engine) runCheckpoint(c *conn, mode sqlite3.CheckpointMode) {
	e.checkpoint.mu.Lock()
	defer e.checkpoint.mu.Unlock()
	select {
	case <-e.failed:
		return
	default:
	}
	_, _, err := c.WALCheckpoint("main", mode)
	switch {
	case err == nil:
		e.checkpoint.full = false
	case errors.Is(err, sqlite3.BUSY):
		// A reader is still in the log; the next commit tries again.
	case isFull(err):
		if !e.checkpoint.full {
			e.checkpoint.full = true
			e.log.Warn("the disk is full: the write-ahead log cannot be copied to the database")
		}
	default:
		e.fail(fmt.Errorf("copying the write-ahead log to the database: %w", err))
	}
}

// truncateWAL copies the whole log to the database and empties it. Only for a connection that is alone.
func truncateWAL(c *conn) error {
	_, _, err := c.WALCheckpoint("main", sqlite3.CHECKPOINT_TRUNCATE)
	return err
}

// rewriteWAL writes the log's bytes again where they are, and syncs them. That takes no room, unless the file system
// never writes in place. Only for a connection that is alone.
func rewriteWAL(c *conn) error {
	pointer, err := c.FileControl("main", sqlite3.FCNTL_JOURNAL_POINTER)
	if err != nil {
		return err
	}
	log, ok := pointer.(vfs.File)
	if !ok {
		return fmt.Errorf("the file of the log is a %T", pointer)
	}
	size, err := log.Size()
	if err != nil {
		return err
	}
	buffer := make([]byte, 1<<20)
	for at := int64(0); at < size; at += int64(len(buffer)) {
		piece := buffer[:min(int64(len(buffer)), size-at)]
		if n, err := log.ReadAt(piece, at); n < len(piece) {
			return err
		}
		if _, err := log.WriteAt(piece, at); err != nil {
			return err
		}
	}
	return log.Sync(vfs.SYNC_FULL)
}
