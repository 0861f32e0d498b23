package sqlite

import (
	"fmt"
	"testing"
)

// Strain gives the writer a cache of so few pages that it writes in the midst of a transaction, and has the write-ahead
// log copied after so many. Call it before Run.
func (e *Engine) Strain(cachePages int, copyAt, restartAt int64) error {
	e.checkpoint.copyAt, e.checkpoint.restartAt = copyAt, restartAt
	return e.writer.Conn.Exec(fmt.Sprintf(`PRAGMA cache_size = %d; PRAGMA cache_spill = 1`, cachePages))
}

// Reseal has engines seal so many webhooks in a transaction, and write files anew that are no larger, until the test
// ends.
func Reseal(t *testing.T, step int, rewriteAt int64) {
	steps, at := resealStep, rewriteAtOpen
	resealStep, rewriteAtOpen = step, rewriteAt
	t.Cleanup(func() { resealStep, rewriteAtOpen = steps, at })
}
