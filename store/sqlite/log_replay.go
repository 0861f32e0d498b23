package sqlite

import (
	"context"

	"github.com/carillon/carillon/store"
)

// Replayed implements [store.Log].
func (e *Engine) Replayed(ctx context.Context, d store.Draft) (store.Receipt, bool, error) {
	var row draftRow
	if err := row.encode(&d); err != nil || !row.keyed || e.tenants.get(d.Event.Tenant) == nil {
		return store.Receipt{}, false, err
	}
	var first *store.Receipt
	err := e.read(ctx, func(c *conn) (err error) {
		// As the writer looks, but at what is committed: this batch has nothing of its own, and ends here.
		first, err = (&batch{e: e, c: c, now: e.now().UnixMilli()}).receiptOf(&row)
		return err
	})
	if err != nil || first == nil {
		return store.Receipt{}, false, reading("idempotency keys", err)
	}
	first.Replayed = true
	return *first, true, nil
}
