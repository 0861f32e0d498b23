package sqlite

import (
	"errors"
	"fmt"

	"github.com/ncruces/go-sqlite3"
)

// ErrInUse is returned by [Open] when another engine has the same data open.
var ErrInUse = errors.New("the data is in use by another process")

// lockData keeps every other engine away from the data at path until the returned connection is closed.
//
// The lock is SQLite's own, on an empty database beside the real one: it works wherever SQLite does, ends with the
// process however that ends, and leaves the real database to as many connections as we like.
func lockData(path string) (*sqlite3.Conn, error) {
	if err := makePrivate(path + ".lock"); err != nil {
		return nil, fmt.Errorf("making the lock %s.lock: %w: %w", path, errNoRoom, err)
	}
	c, err := sqlite3.OpenFlags(path+".lock", sqlite3.OPEN_READWRITE|sqlite3.OPEN_CREATE)
	if err != nil {
		return nil, fmt.Errorf("opening the lock %s.lock: %w", path, err)
	}
	// Nothing is ever written, so that no journal need lie beside it.
	if err := c.Exec(`PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE`); err != nil {
		_ = c.Close()
		if errors.Is(err, sqlite3.BUSY) {
			return nil, fmt.Errorf("%s: %w", path, ErrInUse)
		}
		return nil, fmt.Errorf("locking %s.lock: %w", path, err)
	}
	return c, nil
}
