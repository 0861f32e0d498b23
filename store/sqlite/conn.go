package sqlite

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/carillon/carillon/event"
)

// conn is a connection with the statements that were prepared on it. It is for one goroutine at a time.
type conn struct {
	*sqlite3.Conn
	statements map[string]*sqlite3.Stmt
}

// busyTimeout is how long a connection waits for a lock of another one. Only opening and checkpoints meet any.
const busyTimeout = 5 * time.Second

// dial opens a connection to the database. readOnly ones cannot change it by mistake.
func dial(path, vfs string, readOnly bool, cacheKiB int) (*conn, error) {
	// A path may hold what a URI gives a meaning.
	name := "file:" + (&url.URL{Path: path}).EscapedPath()
	if vfs != "" {
		name += "?vfs=" + url.QueryEscape(vfs)
	}
	flags := sqlite3.OPEN_READWRITE | sqlite3.OPEN_CREATE | sqlite3.OPEN_URI
	db, err := sqlite3.OpenFlags(name, flags)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: db, statements: make(map[string]*sqlite3.Stmt)}
	setup := func() error {
		if err := c.BusyTimeout(busyTimeout); err != nil {
			return err
		}
		// Closing must not write: after a failed fsync that would hide the fault.
		if _, err := c.Config(sqlite3.DBCONFIG_NO_CKPT_ON_CLOSE, true); err != nil {
			return err
		}
		return c.Conn.Exec(fmt.Sprintf(`
			PRAGMA synchronous = FULL;
			PRAGMA wal_autocheckpoint = 0;
			PRAGMA temp_store = MEMORY;
			PRAGMA cache_size = -%d;
			PRAGMA query_only = %t;`, cacheKiB, readOnly))
	}
	if err := setup(); err != nil {
		_ = c.Conn.Close()
		return nil, err
	}
	return c, nil
}

// close ends the connection and its statements.
func (c *conn) close() error {
	for _, s := range c.statements {
		_ = s.Close() // repeats the error of the statement's last run
	}
	clear(c.statements)
	return c.Conn.Close()
}

// prepare returns the statement for this SQL, which must be a constant.
func (c *conn) prepare(sql string) (*sqlite3.Stmt, error) {
	if s := c.statements[sql]; s != nil {
		return s, nil
	}
	s, _, err := c.PrepareFlags(sql, sqlite3.PREPARE_PERSISTENT)
	if err != nil {
		return nil, err
	}
	c.statements[sql] = s
	return s, nil
}

// run executes a statement that returns no rows.
func (c *conn) run(sql string, args ...any) error {
	s, err := c.prepare(sql)
	if err != nil {
		return err
	}
	if err := bind(s, args); err != nil {
		return err
	}
	return s.Exec()
}

// erasing calls do, and has SQLite write zeros over whatever that removes or replaces. Elsewhere what is removed stays in
// the file until its place is taken: zeros would cost a write of each page.
func (c *conn) erasing(do func() error) (err error) {
	// A pragma of this kind works when it is prepared: it cannot be a statement that is kept.
	if err := c.Conn.Exec(`PRAGMA secure_delete = ON`); err != nil {
		return err
	}
	defer func() {
		if off := c.Conn.Exec(`PRAGMA secure_delete = OFF`); err == nil {
			err = off
		}
	}()
	return do()
}

// each calls row for each row until it returns false or an error.
func (c *conn) each(sql string, args []any, row func(*sqlite3.Stmt) (bool, error)) error {
	s, err := c.prepare(sql)
	if err != nil {
		return err
	}
	if err := bind(s, args); err != nil {
		return err
	}
	for s.Step() {
		more, err := row(s)
		if err != nil || !more {
			_ = s.Reset()
			return err
		}
	}
	// Reset repeats the error of the step, or reports one of its own.
	return s.Reset()
}

// first calls row for the first row and reports whether there was one.
func (c *conn) first(sql string, args []any, row func(*sqlite3.Stmt)) (found bool, err error) {
	err = c.each(sql, args, func(s *sqlite3.Stmt) (bool, error) {
		found = true
		row(s)
		return false, nil
	})
	return found && err == nil, err
}

// number returns the first row's first column, or 0.
func (c *conn) number(sql string, args ...any) (n int64, err error) {
	_, err = c.first(sql, args, func(s *sqlite3.Stmt) { n = s.ColumnInt64(0) })
	return n, err
}

// bind gives a statement its parameters, in order.
func bind(s *sqlite3.Stmt, args []any) error {
	for i, arg := range args {
		var err error
		switch v := arg.(type) {
		case nil:
			err = s.BindNull(i + 1)
		case int:
			err = s.BindInt(i+1, v)
		case int64:
			err = s.BindInt64(i+1, v)
		case bool:
			err = s.BindBool(i+1, v)
		case string:
			err = s.BindText(i+1, v)
		case []byte:
			err = s.BindBlob(i+1, v) // nil: NULL
		case event.ID:
			err = s.BindBlob(i+1, v[:])
		case event.Cursor:
			err = s.BindInt64(i+1, int64(v))
		case event.TenantID:
			err = s.BindInt64(i+1, int64(v))
		default:
			err = fmt.Errorf("parameter %d is a %T", i+1, arg)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func columnID(s *sqlite3.Stmt, col int) (id event.ID) {
	copy(id[:], s.ColumnRawBlob(col))
	return id
}

func columnCursor(s *sqlite3.Stmt, col int) event.Cursor { return event.Cursor(s.ColumnInt64(col)) }

func columnTime(s *sqlite3.Stmt, col int) time.Time { return toTime(s.ColumnInt64(col)) }

// toTime is the inverse of [fromTime].
func toTime(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// fromTime gives a time as it is stored; 0 for the zero time.
func fromTime(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// readers is a pool of connections that only read.
type readers chan *conn

// read calls do with a connection whose statements all see one snapshot, which is let go when do returns.
func (e *Engine) read(ctx context.Context, do func(*conn) error) error {
	var c *conn
	select {
	case c = <-e.readers:
	case <-ctx.Done():
		return ctx.Err()
	case <-e.closing:
		return errClosed
	}
	defer func() { e.readers <- c }()

	old := c.SetInterrupt(ctx)
	defer c.SetInterrupt(old)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	txn := c.Begin()
	err := do(c)
	if !c.GetAutocommit() {
		if rollback := txn.Rollback(); err == nil && rollback != nil {
			err = rollback
		}
	}
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}
