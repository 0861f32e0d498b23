package sqlite

import (
	"context"
	"fmt"
	"os"

	"github.com/ncruces/go-sqlite3"

	"github.com/carillon/carillon/seal"
)

// Sealing tells how the secrets of webhooks are stored. Those that were deleted, or are of a tenant that was, and are not
// yet forgotten count.
type Sealing struct {
	// Plain is how many webhooks have their secrets stored in plain.
	Plain int
	// Sealed is how many have them sealed under each key.
	Sealed map[seal.KeyID]int
	// Copies says that copies from before the secrets were sealed may be left in the file.
	Copies bool
}

// ReadSealing reads it from the database at path, also while an engine has that open. It needs no key, and changes
// nothing.
func ReadSealing(ctx context.Context, path string) (_ Sealing, err error) {
	s := Sealing{Sealed: make(map[seal.KeyID]int), Copies: true}
	if _, err := os.Stat(path); err != nil {
		return s, err // it says what was to be done and where
	}
	fileSystem, err := fileSystemOver("")
	if err != nil {
		return s, err
	}
	c, err := dial(path, fileSystem, true, readerCacheKiB)
	if err != nil {
		return s, fmt.Errorf("opening %s: %w", path, err)
	}
	defer func() {
		if closing := c.close(); err == nil && closing != nil {
			err = fmt.Errorf("closing %s: %w", path, closing)
		}
	}()
	old := c.SetInterrupt(ctx)
	defer c.SetInterrupt(old)
	if err := s.read(c); err != nil {
		return s, fmt.Errorf("reading %s: %w", path, err)
	}
	return s, nil
}

func (s *Sealing) read(c *conn) error {
	sealable, err := c.number(`SELECT count(*) FROM pragma_table_info('webhook') WHERE name = 'sealed'`)
	if err != nil {
		return err
	}
	if sealable == 0 { // a gateway that could not seal has written it
		n, err := c.number(`SELECT count(*) FROM webhook`)
		s.Plain = int(n)
		return err
	}
	plain, err := c.number(`SELECT plain FROM meta`)
	if err != nil {
		return err
	}
	s.Copies = plain != 0
	return c.each(`SELECT sealed FROM webhook WHERE sealed IS NOT NULL OR secret <> '' OR config <> ?`, []any{forgottenConfig}, func(row *sqlite3.Stmt) (bool, error) {
		if row.ColumnType(0) == sqlite3.NULL {
			s.Plain++
			return true, nil
		}
		id, err := seal.Key(row.ColumnRawBlob(0))
		s.Sealed[id]++
		return true, err
	})
}
