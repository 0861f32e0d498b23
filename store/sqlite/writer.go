package sqlite

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/ncruces/go-sqlite3"
	"golang.org/x/sync/errgroup"

	"github.com/carillon/carillon/store"
)

const (
	operationQueue = 512     // operations that wait without blocking their callers' goroutines twice
	batchCount     = 1024    // operations in one commit
	batchBytes     = 8 << 20 // of payload in one commit
)

// operation is one write that waits for the writer.
type operation struct {
	// apply does the write. An error that is not SQLite's refuses this operation alone, and must be returned before
	// anything was written. It can be called again, after a rollback.
	apply func(*batch) error
	// bytes says how much it writes, roughly.
	bytes int
	// alone asks for a commit of its own.
	alone bool

	taken  atomic.Uint32 // one of the constants below
	refuse error         // what apply answered
	done   chan error    // of capacity 1
}

const (
	waiting   = 0
	takenUp   = 1
	withdrawn = 2
)

// write hands an operation to the writer and waits for its end.
func (e *Engine) write(ctx context.Context, op *operation) error {
	op.done = make(chan error, 1)
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", store.ErrNotStored, err)
	}
	select {
	case <-e.stopped: // else a queue with room could be chosen, in vain
		return e.refusal()
	default:
	}
	select {
	case e.operations <- op:
	case <-e.stopped:
		return e.refusal()
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", store.ErrNotStored, ctx.Err())
	}
	select {
	case err := <-op.done:
		return err
	case <-e.stopped:
		// What was taken was answered before the writer stopped.
		select {
		case err := <-op.done:
			return err
		default:
			return e.refusal()
		}
	case <-ctx.Done():
		if op.taken.CompareAndSwap(waiting, withdrawn) {
			return fmt.Errorf("%w: %w", store.ErrNotStored, ctx.Err())
		}
		select {
		case err := <-op.done:
			return err
		default:
			return fmt.Errorf("%w: %w", store.ErrUnknown, ctx.Err())
		}
	}
}

// refusal is the answer of an engine that takes no writes any more.
func (e *Engine) refusal() error {
	select {
	case <-e.failed:
		return fmt.Errorf("%w: the store has failed: %w", store.ErrNotStored, e.fault)
	default:
		return fmt.Errorf("%w: the store has stopped", store.ErrNotStored)
	}
}

// Run implements [store.Engine].
func (e *Engine) Run(ctx context.Context) error {
	if !e.running.CompareAndSwap(false, true) {
		return errors.New("the store runs, or ran, already")
	}
	ctx, cancel := context.WithCancel(ctx)
	var group errgroup.Group
	group.Go(func() error {
		e.runCheckpointer(ctx)
		return nil
	})
	e.runWriter(ctx)
	cancel()
	_ = group.Wait() // never an error
	select {
	case <-e.failed:
		return fmt.Errorf("the store has failed: %w", e.fault)
	default:
		return nil
	}
}

// runWriter takes operations until ctx ends or the engine fails, and then answers what is left.
func (e *Engine) runWriter(ctx context.Context) {
	defer close(e.stopped)
	var ops []*operation
	for {
		select {
		case <-e.failed:
			e.refuseAll()
			return
		default:
		}
		var first *operation
		select {
		case first = <-e.operations:
		case <-e.failed:
			continue
		case <-ctx.Done():
			// Callers that are still on their way in see stopped.
			select {
			case first = <-e.operations:
			default:
				return
			}
		}
		var alone *operation
		ops, alone = e.gather(ops[:0], first)
		e.commit(ops)
		if alone != nil {
			e.commit([]*operation{alone})
		}
		clear(ops) // they hold payloads
	}
}

// gather takes what waits behind first, and the operation that wants to be alone and ends the gathering.
func (e *Engine) gather(ops []*operation, first *operation) (_ []*operation, alone *operation) {
	// The writers answered by the last commit are about to run: as long as they come, letting them go first makes the
	// batch theirs too.
	for queued := -1; len(e.operations) > queued; {
		queued = len(e.operations)
		runtime.Gosched()
	}
	bytes := 0
	for op := first; ; {
		if op.taken.CompareAndSwap(waiting, takenUp) {
			if op.alone {
				return ops, op
			}
			ops = append(ops, op)
			bytes += op.bytes
		}
		if len(ops) >= batchCount || bytes >= batchBytes {
			return ops, nil
		}
		select {
		case op = <-e.operations:
		default:
			return ops, nil
		}
	}
}

func (e *Engine) refuseAll() {
	for {
		select {
		case op := <-e.operations:
			if op.taken.CompareAndSwap(waiting, takenUp) {
				op.done <- e.refusal()
			}
		default:
			return
		}
	}
}

// commit makes the operations durable in one transaction and answers them. One that fails by its own fault is answered
// alone, and the others are tried again without it.
func (e *Engine) commit(ops []*operation) {
	for len(ops) > 0 {
		select {
		case <-e.failed:
			answer(ops, e.refusal())
			return
		default:
		}
		began := time.Now()
		e.room.wrote = false
		b := newBatch(e)
		bad, err := b.try(ops)
		if err == nil {
			e.metrics.committed(len(ops), time.Since(began))
			e.room.found(e.log, payload(ops))
			b.publish()
			for _, op := range ops {
				op.done <- op.refuse
			}
			e.afterCommit()
			return
		}
		if isFull(err) {
			e.room.lacking(e.log, payload(ops))
			e.wantCheckpoint() // the log's own room can be used anew once it was copied
		}
		if b.undo(&err) && bad >= 0 {
			ops[bad].done <- err
			ops = append(ops[:bad], ops[bad+1:]...)
			continue
		}
		answer(ops, err)
		return
	}
}

func answer(ops []*operation, err error) {
	for _, op := range ops {
		op.done <- err
	}
}

// try runs the whole transaction. If it fails and that is one operation's doing, bad is its index, else -1.
func (b *batch) try(ops []*operation) (bad int, err error) {
	if err := b.c.run(`BEGIN IMMEDIATE`); err != nil {
		return -1, err
	}
	for i, op := range ops {
		op.refuse = nil
		err := op.apply(b)
		if isDatabase(err) {
			return i, err
		}
		op.refuse = err
		// A statement can end the transaction by itself, and report less than that. What came after would commit alone.
		if b.c.GetAutocommit() {
			return -1, fmt.Errorf("the transaction ended half way: %w", sqlite3.ABORT_ROLLBACK)
		}
	}
	if err := b.flush(); err != nil {
		return -1, err
	}
	b.committing = true
	return -1, b.c.run(`COMMIT`)
}

// isDatabase tells an error of the database from an operation's own answer.
func isDatabase(err error) bool {
	var code sqlite3.ErrorCode
	return err != nil && errors.As(err, &code)
}

// undo ends a transaction that failed, and makes of the error what the contract says. It reports whether the engine is
// sound and the fault can be one operation's.
func (b *batch) undo(err *error) (retry bool) {
	cause := *err
	if !b.c.GetAutocommit() {
		if rollback := b.c.run(`ROLLBACK`); rollback != nil && !b.c.GetAutocommit() {
			b.e.fail(fmt.Errorf("rolling back after %w: %w", cause, rollback))
		}
	}
	switch {
	case errors.Is(cause, sqlite3.FULL):
		// Writing, not syncing, finds the disk full: the commit's last frame is not whole, and the next commit takes
		// its place.
		*err = fmt.Errorf("%w: %w", store.ErrFull, cause)
		return false
	case errors.Is(cause, sqlite3.IOERR_SHMSIZE):
		// The index of the write-ahead log, which holds no data, cannot grow. A commit comes to that after its sync:
		// the next commit takes its place, but if the process ends before, it is found in the log.
		if b.committing {
			*err = fmt.Errorf("%w: %w", store.ErrUnknown, cause)
		} else {
			*err = fmt.Errorf("%w: %w", store.ErrFull, cause)
		}
		return false
	case errors.Is(cause, sqlite3.IOERR), errors.Is(cause, sqlite3.CORRUPT), errors.Is(cause, sqlite3.NOTADB),
		errors.Is(cause, sqlite3.CANTOPEN), errors.Is(cause, sqlite3.READONLY), errors.Is(cause, sqlite3.PROTOCOL):
		b.e.fail(cause)
		if b.committing {
			*err = fmt.Errorf("%w: %w", store.ErrUnknown, cause)
		} else {
			*err = fmt.Errorf("%w: %w", store.ErrNotStored, cause)
		}
		return false
	default:
		*err = fmt.Errorf("%w: %w", store.ErrNotStored, cause)
		return true
	}
}
