package sqlite

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/seal"
	"github.com/carillon/carillon/store"
)

// Defaults of [Options].
const (
	DefaultIdempotencyWindow = 24 * time.Hour
	DefaultMaxKeys           = 1_000_000
)

// Options say where the data is and how the engine keeps it.
type Options struct {
	// Path is the database file; others are kept beside it, under its name with something appended. The directory
	// must exist. Files are made for this user alone; the modes of those that are there are left as they are.
	Path string

	// IdempotencyWindow is how long an idempotency key is remembered; zero: [DefaultIdempotencyWindow].
	IdempotencyWindow time.Duration
	// MaxKeys is how many idempotency keys are remembered, the newest; zero: [DefaultMaxKeys].
	MaxKeys int

	Log        *slog.Logger          // nil: none
	Registerer prometheus.Registerer // nil: no metrics
	Now        func() time.Time      // nil: time.Now

	// VFS is the SQLite file system to use; empty: the operating system's.
	VFS string

	// Secrets seals the secrets of webhooks; what is stored in plain, or under another key than the first, is sealed
	// anew by [Open]. Nil: secrets are stored in plain, and what is sealed is refused with [ErrSealed].
	Secrets *seal.Keyring
	// Unseal has Open store in plain again what the keys open.
	Unseal bool
	// Rewrite has Open write the file anew, whatever its size, if secrets from before they were sealed may be left in it.
	Rewrite bool
	// WithoutSecrets opens what is sealed without its keys: webhooks lack their secrets then and cannot be changed.
	WithoutSecrets bool
}

// Engine keeps the contract of package store in one SQLite file. It is safe for concurrent use.
type Engine struct {
	options Options
	log     *slog.Logger
	now     func() time.Time
	metrics *metrics
	vault   vault

	lock    *sqlite3.Conn
	writer  *conn
	readers readers

	operations chan *operation
	running    atomic.Bool   // Run takes operations
	stopped    chan struct{} // closed when Run has taken its last operation
	closing    chan struct{} // closed by Close
	closeOnce  sync.Once

	failed  chan struct{} // closed by the first fault after which nothing can be promised
	fault   error         // that fault; read it only after failed is closed
	failing sync.Once

	state state // of the writer alone
	room  room  // of the writer alone

	bounds struct {
		sync.RWMutex
		store.Bounds
		floor event.Cursor
	}

	hooks      hooks
	accessKeys accessKeys
	tenants    tenants
	ring       ring

	tokenSecret event.Secret // set by Open
	used        atomic.Int64 // bytes, as of the last step of retention

	logBytes atomic.Int64 // state.logBytes, for metrics

	checkpoint checkpointer
}

var _ store.Engine = (*Engine)(nil)

var (
	errClosed = errors.New("the store is closed")
	errNoRoom = errors.New("the disk is full: free some space on it and start again")
)

// Open opens the database at o.Path, or creates it, and brings its schema up to date. It fails with [ErrInUse] while
// another engine, of this process or another, has it open.
func Open(ctx context.Context, o Options) (_ *Engine, err error) {
	if o.IdempotencyWindow <= 0 {
		o.IdempotencyWindow = DefaultIdempotencyWindow
	}
	if o.MaxKeys <= 0 {
		o.MaxKeys = DefaultMaxKeys
	}
	e := &Engine{
		options:    o,
		log:        o.Log,
		now:        o.Now,
		readers:    make(readers, readerCount),
		operations: make(chan *operation, operationQueue),
		stopped:    make(chan struct{}),
		closing:    make(chan struct{}),
		failed:     make(chan struct{}),
		vault:      newVault(&o),
	}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	if e.now == nil {
		e.now = time.Now
	}
	e.checkpoint.wanted = make(chan struct{}, 1)
	e.checkpoint.copyAt, e.checkpoint.restartAt = checkpointPages, restartPages

	fileSystem, err := fileSystemOver(o.VFS)
	if err != nil {
		return nil, err
	}
	if e.lock, err = lockData(o.Path); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = e.Close()
		}
	}()
	if e.writer, err = e.openWriter(fileSystem); err != nil {
		if isFull(err) {
			err = fmt.Errorf("%w: %w", errNoRoom, err)
		}
		return nil, fmt.Errorf("opening %s: %w", o.Path, err)
	}
	stale, err := e.load()
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", o.Path, err)
	}
	if err := e.reseal(ctx, fileSystem, stale); err != nil {
		return nil, fmt.Errorf("sealing secrets in %s: %w", o.Path, err)
	}
	e.warnOfOthers()
	e.writer.WALHook(func(_ *sqlite3.Conn, _ string, pages int) error {
		e.checkpoint.pages.Store(int64(pages))
		e.room.wrote = true
		return nil
	})
	for range readerCount {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		c, err := dial(o.Path, fileSystem, true, readerCacheKiB)
		if err != nil {
			return nil, fmt.Errorf("opening %s for reading: %w", o.Path, err)
		}
		e.readers <- c
	}
	if e.checkpoint.conn, err = dial(o.Path, fileSystem, false, checkpointCacheKiB); err != nil {
		return nil, fmt.Errorf("opening %s for checkpoints: %w", o.Path, err)
	}
	if e.metrics, err = newMetrics(e, o.Registerer); err != nil {
		return nil, fmt.Errorf("registering metrics: %w", err)
	}
	return e, nil
}

const (
	readerCount        = 4
	readerCacheKiB     = 2 << 10
	writerCacheKiB     = 16 << 10
	checkpointCacheKiB = 256
)

// openWriter opens the connection that writes and makes the database what the engine needs.
func (e *Engine) openWriter(fileSystem string) (_ *conn, err error) {
	c, err := dial(e.options.Path, fileSystem, false, writerCacheKiB)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = c.close()
		}
	}()
	// auto_vacuum can only be set before the first table is made. After that, setting it would write for nothing: a full
	// disk would keep the engine from opening.
	pages, err := c.number(`PRAGMA page_count`)
	if err != nil {
		return nil, err
	}
	if pages == 0 {
		if err := c.Conn.Exec(`PRAGMA auto_vacuum = INCREMENTAL`); err != nil {
			return nil, err
		}
	}
	mode := ""
	if _, err := c.first(`PRAGMA journal_mode = WAL`, nil, func(s *sqlite3.Stmt) { mode = s.ColumnText(0) }); err != nil {
		return nil, fmt.Errorf("setting the journal mode: %w", err)
	}
	if mode != "wal" {
		return nil, fmt.Errorf("the file system does not allow a write-ahead log (journal mode is %q)", mode)
	}
	// After a failed fsync the page cache can show what the disk does not have. Copying everything to the database anew
	// makes it true before anything is built upon it. Where the database cannot grow, writing the log anew in its place
	// makes it as true, and the log stays.
	switch err := truncateWAL(c); {
	case err == nil:
	case isFull(err):
		if err := rewriteWAL(c); err != nil {
			return nil, fmt.Errorf("%w: recovering the write-ahead log: %w", errNoRoom, err)
		}
		e.log.Warn("the disk is full: the write-ahead log stays as it is, and writes are refused until there is room")
	default:
		return nil, fmt.Errorf("recovering the write-ahead log: %w", err)
	}
	if err := migrate(c); err != nil {
		return nil, err
	}
	if pages == 0 {
		if err := c.Conn.Exec(`UPDATE meta SET plain = 0`); err != nil {
			return nil, err
		}
	}
	if e.tokenSecret, err = tokenSecret(c); err != nil {
		return nil, err
	}
	return c, nil
}

// warnOfOthers tells if others than the gateway's user can read the data, which holds payloads and secrets. What the
// engine makes they cannot; the modes of what is there already are the operator's.
func (e *Engine) warnOfOthers() {
	if runtime.GOOS == "windows" {
		return // its modes say nothing about that
	}
	for _, suffix := range [...]string{"", "-wal"} {
		path := e.options.Path + suffix
		info, err := os.Stat(path)
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			e.log.Warn("other users can open the data, which holds payloads and secrets; chmod 600 ends that",
				"file", path, "mode", fmt.Sprintf("%04o", info.Mode().Perm()))
		}
	}
}

// load reads what the engine keeps in memory. It returns the webhooks that are to be sealed anew.
func (e *Engine) load() (stale []*hook, err error) {
	c := e.writer
	_, err = c.first(`SELECT next_cursor, last_time, trimmed, floor, log_bytes, log_cursor, log_webhook FROM meta`, nil, func(s *sqlite3.Stmt) {
		e.state = state{
			next:     columnCursor(s, 0),
			lastTime: s.ColumnInt64(1),
			trimmed:  columnCursor(s, 2),
			floor:    columnCursor(s, 3),
			logBytes: s.ColumnInt64(4),
			logAt:    deliveryPlace{columnCursor(s, 5), s.ColumnInt64(6)},
		}
	})
	if err != nil {
		return nil, err
	}
	keys, err := c.number(`SELECT count(*) FROM idempotency`)
	if err != nil {
		return nil, err
	}
	e.state.keys = int(keys)
	used, err := usedBytes(c)
	if err != nil {
		return nil, err
	}
	e.used.Store(used)
	e.logBytes.Store(e.state.logBytes)
	e.state.topics = make(map[topicKey]int64)
	e.publishBounds()
	e.ring.reset(e.state.next - 1)
	if err := e.tenants.load(c); err != nil {
		return nil, err
	}
	if stale, err = e.hooks.load(c, &e.vault); err != nil {
		return nil, err
	}
	return stale, e.accessKeys.load(c)
}

// publishBounds shows readers the writer's state.
func (e *Engine) publishBounds() {
	e.bounds.Lock()
	e.bounds.Trimmed = e.state.trimmed
	e.bounds.Head = e.state.next - 1
	e.bounds.floor = e.state.floor
	e.bounds.Unlock()
}

// Ready implements [store.Engine].
func (e *Engine) Ready() error {
	select {
	case <-e.failed:
		return fmt.Errorf("the store has failed: %w", e.fault)
	case <-e.stopped:
		return errors.New("the store has stopped")
	default:
	}
	if !e.running.Load() {
		return errors.New("the store is starting")
	}
	return nil
}

// fail records the fault after which nothing can be promised. The first one counts.
func (e *Engine) fail(err error) {
	e.failing.Do(func() {
		e.fault = err
		close(e.failed)
	})
}

// Close implements [store.Engine].
func (e *Engine) Close() error {
	var errs []error
	e.closeOnce.Do(func() {
		close(e.closing)
		e.metrics.unregister()
		for range cap(e.readers) {
			select {
			case c := <-e.readers:
				errs = append(errs, c.close())
			default: // Open failed before it made them all
			}
		}
		if e.checkpoint.conn != nil {
			errs = append(errs, e.checkpoint.conn.close())
		}
		if e.writer != nil {
			errs = append(errs, e.writer.close())
		}
		if e.lock != nil {
			errs = append(errs, e.lock.Close())
		}
	})
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("closing the database: %w", err)
	}
	return nil
}
