package sqlite

import "fmt"

// Strain gives the writer a cache of so few pages that it writes in the midst of a transaction, and has the write-ahead
// log copied after so many. Call it before Run.
func (e *Engine) Strain(cachePages int, copyAt, restartAt int64) error {
	e.checkpoint.copyAt, e.checkpoint.restartAt = copyAt, restartAt
	return e.writer.Conn.Exec(fmt.Sprintf(`PRAGMA cache_size = %d; PRAGMA cache_spill = 1`, cachePages))
}
