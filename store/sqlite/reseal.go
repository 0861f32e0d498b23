package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// resealStep is how many webhooks are sealed anew in one transaction.
var resealStep = 256

// rewriteAtOpen is how large the data may be, in bytes, for Open to write the file anew without being asked to: a second
// or two of work. A process that takes minutes to start can be killed by whoever watches it, again and again.
var rewriteAtOpen int64 = 256 << 20

// reseal has every row hold its webhook the way that the vault writes it, and nothing be left of how it was stored before.
// Nobody else has the data open yet, so no change of a webhook can be lost to it; wherever it is cut off, each row is as it
// was or sealed anew, and the next Open goes on.
func (e *Engine) reseal(ctx context.Context, fileSystem string, stale []*hook) error {
	if e.vault.box == nil || e.vault.blind {
		return nil
	}
	for left, at := true, 0; left || at < len(stale); {
		if err := ctx.Err(); err != nil {
			return err
		}
		var err error
		if left {
			left, err = e.forgetSome()
		} else {
			some := stale[at:min(at+resealStep, len(stale))]
			err = e.resealSome(some)
			at += len(some)
		}
		if isFull(err) && !e.vault.plain && !e.options.Rewrite {
			e.log.Warn("the disk is full: secrets of webhooks stay as they were stored, until the next start with room for them")
			return nil
		}
		if isFull(err) {
			return fmt.Errorf("%w: %w", errNoRoom, err)
		}
		if err != nil {
			return err
		}
	}
	if e.vault.plain {
		if len(stale) > 0 {
			e.log.Warn("the secrets of webhooks are stored in plain again", "webhooks", len(stale))
		}
		return nil
	}
	if len(stale) > 0 {
		e.log.Info("the secrets of webhooks are sealed anew", "webhooks", len(stale), "key", e.options.Secrets.IDs()[0].String())
	}
	plain, err := e.writer.number(`SELECT plain FROM meta`)
	if err != nil {
		return err
	}
	if plain == 0 {
		if len(stale) == 0 {
			return nil
		}
		// The log still has what was there before.
		if err := truncateWAL(e.writer); err != nil && !isFull(err) {
			return fmt.Errorf("emptying the write-ahead log: %w", err)
		}
		return nil
	}
	if size := e.used.Load(); size > rewriteAtOpen && !e.options.Rewrite {
		e.log.Warn("copies of secrets from before they were sealed may be left in the data; stop the gateway and run carillon secrets scrub, once",
			"bytes", size)
		return nil
	}
	err = e.rewrite(ctx, fileSystem)
	if err != nil && isFull(err) && e.writer != nil && !e.options.Rewrite {
		e.log.Warn("the disk is full: copies of secrets from before they were sealed may be left in the data, until the next start with room for as much again")
		return nil
	}
	return err
}

// forgottenConfig is the config of a webhook of which nothing is needed any more but its number: deliveries have it.
const forgottenConfig = `{}`

// forgetSome removes the settings of some webhooks that deleted tenants have left, which are not read, and so not sealed
// anew. Their rows stay until retention has removed their deliveries: others must not be given their numbers before.
func (e *Engine) forgetSome() (left bool, err error) {
	txn, err := e.writer.BeginImmediate()
	if err != nil {
		return false, err
	}
	defer txn.End(&err)
	err = e.writer.erasing(func() error {
		err := e.writer.run(`UPDATE webhook SET secret = '', config = ?1, sealed = NULL WHERE num IN (SELECT num FROM webhook
			WHERE tenant NOT IN `+standingTenants+` AND (secret <> '' OR config <> ?1 OR sealed IS NOT NULL) LIMIT ?2)`,
			forgottenConfig, resealStep)
		left = e.writer.Changes() > 0
		return err
	})
	return left, err
}

// resealSome seals some webhooks in one transaction. Their versions stay: nothing about them has changed.
func (e *Engine) resealSome(some []*hook) (err error) {
	txn, err := e.writer.BeginImmediate()
	if err != nil {
		return err
	}
	defer txn.End(&err)
	return e.writer.erasing(func() error {
		for _, k := range some {
			stored, err := e.vault.encode(k.webhook)
			if err != nil {
				return err
			}
			err = e.writer.run(`UPDATE webhook SET secret = ?, config = ?, sealed = ? WHERE num = ?`,
				stored.secret, string(stored.config), stored.sealed, k.num)
			if err != nil {
				return err
			}
		}
		if e.vault.plain {
			return e.writer.run(`UPDATE meta SET plain = 1`)
		}
		return nil
	})
}

// rewrite puts a new file in the database's place, which has only what is in use. SQLite moves rows about and leaves
// copies where they were, in free places of pages of any table; there is no other way to be rid of them all.
//
// Wherever it is cut off, one of the two files is there in full under the database's name.
func (e *Engine) rewrite(ctx context.Context, fileSystem string) error {
	e.log.Info("the data is written anew, so that nothing is left of secrets from before they were sealed", "bytes", e.used.Load())
	path := e.options.Path
	owner, err := os.Stat(path)
	if err != nil {
		return err
	}
	fresh := path + ".new"
	if err := copyInto(ctx, e.writer, owner, fresh); err != nil {
		_ = os.Remove(fresh) // the error that counts is there already
		return fmt.Errorf("writing %s: %w", fresh, orFull(err))
	}
	// What is in the log must be in the database before the log goes, in case the new file never takes its place.
	if err := truncateWAL(e.writer); err != nil {
		_ = os.Remove(fresh)
		return fmt.Errorf("emptying the write-ahead log: %w", err)
	}
	err = e.writer.close()
	e.writer = nil
	if err != nil {
		return err
	}
	for _, suffix := range [...]string{"-wal", "-shm"} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := os.Rename(fresh, path); err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return err
	}
	if e.writer, err = e.openWriter(fileSystem); err != nil {
		return err
	}
	for _, suffix := range [...]string{"-wal", "-shm"} {
		if err := giveTo(owner, path+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return e.writer.run(`UPDATE meta SET plain = 0`)
}

// copyInto copies the database to a new file, which is on the disk then, and belongs to whom the old one does.
func copyInto(ctx context.Context, c *conn, owner fs.FileInfo, fresh string) error {
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	old := c.SetInterrupt(ctx)
	err := c.run(`VACUUM INTO ?`, fresh)
	c.SetInterrupt(old)
	_ = os.Remove(fresh + "-shm") // made as for each database, and never used
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	// The operator may let others read it.
	if err := os.Chmod(fresh, owner.Mode().Perm()); err != nil {
		return err
	}
	if err := giveTo(owner, fresh); err != nil {
		return err
	}
	f, err := os.OpenFile(fresh, os.O_RDWR, 0) // #nosec G304 -- it stands beside the database
	if err != nil {
		return err
	}
	err = f.Sync()
	return errors.Join(err, f.Close())
}

// syncDir has a directory's entries be on the disk. Windows has no way to ask for that.
func syncDir(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(path) // #nosec G304 -- the operator names it
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
