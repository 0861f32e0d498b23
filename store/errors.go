package store

import (
	"errors"
	"fmt"

	"github.com/carillon/carillon/event"
)

// The errors of the contract. Compare with [errors.Is] and [errors.As]; anything else that an engine returns means
// ErrNotStored for a write.
var (
	// ErrNotFound: there is no such thing, or it is another tenant's.
	ErrNotFound = errors.New("not found")

	// ErrConflict: the thing was changed since the version that the write names.
	ErrConflict = errors.New("changed by someone else")

	// ErrKeyReused: the idempotency key was used for something else.
	ErrKeyReused = errors.New("idempotency key was used for another request")

	// ErrState: the delivery, its webhook or the job is in no state in which this can be done.
	ErrState = errors.New("not possible in this state")

	// ErrPage: the page token is none that this engine gave out.
	ErrPage = errors.New("unknown page token")

	// ErrFull: the disk is full; nothing was stored.
	ErrFull = errors.New("storage is full")

	// ErrNotStored: nothing was stored.
	ErrNotStored = errors.New("not stored")

	// ErrUnknown: the write may or may not have been stored.
	ErrUnknown = errors.New("outcome unknown")
)

// QuotaError refuses what would be more than a tenant may have. Nothing was stored.
type QuotaError struct {
	Quota string // as the API names it: stored_bytes or webhooks
	Limit int64
	Used  int64 // before
}

// Error implements error.
func (e *QuotaError) Error() string {
	return fmt.Sprintf("the tenant has %d of %d %s", e.Used, e.Limit, e.Quota)
}

// GoneError is returned to a reader whose cursor retention has passed.
type GoneError struct {
	// Trimmed is the highest cursor that retention removed: reading can go on after it.
	Trimmed event.Cursor
}

// Error implements error.
func (e *GoneError) Error() string {
	return fmt.Sprintf("retention has removed events up to %s", e.Trimmed)
}
