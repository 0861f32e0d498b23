//go:build unix

package sqlite

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// giveTo makes a file the user's and group's who have another one, as far as this user may. What root runs by hand in the
// data directory must not leave files there that the gateway's user cannot open.
func giveTo(owner fs.FileInfo, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	want, known := owner.Sys().(*syscall.Stat_t)
	has, both := info.Sys().(*syscall.Stat_t)
	if !known || !both || want.Uid == has.Uid && want.Gid == has.Gid {
		return nil
	}
	err = os.Chown(path, int(want.Uid), int(want.Gid))
	if errors.Is(err, fs.ErrPermission) {
		return nil // it is the gateway's user, and the owner is another, who let it write there
	}
	return err
}
