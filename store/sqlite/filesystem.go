package sqlite

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/util/vfsutil"
	"github.com/ncruces/go-sqlite3/vfs"
)

// fileSystem is the file system that SQLite sees. It adds to the one beneath, which it asks for by name:
//
//   - A write that finds no room says so. The driver reports a fault of the disk instead, after which nothing can be
//     promised.
//   - Files are made for the gateway's user alone.
type fileSystem struct {
	beneath string
}

var _ vfs.VFSFilename = fileSystem{}

// fileSystemOver makes the file system over another one known to SQLite and returns its name.
func fileSystemOver(beneath string) (name string, err error) {
	if vfs.Find(beneath) == nil {
		return "", fmt.Errorf("there is no file system %q", beneath)
	}
	name = "carillon-" + beneath
	vfs.Register(name, fileSystem{beneath})
	return name, nil
}

// Open implements [vfs.VFS].
func (f fileSystem) Open(name string, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	return nil, flags, sqlite3.CANTOPEN // OpenFilename is called instead
}

// OpenFilename implements [vfs.VFSFilename].
func (f fileSystem) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	if path := name.String(); path != "" && flags&vfs.OPEN_CREATE != 0 && flags&vfs.OPEN_EXCLUSIVE == 0 {
		if err := makePrivate(path); err != nil {
			return nil, flags, err
		}
		if flags&vfs.OPEN_MAIN_DB != 0 {
			if err := makePrivate(path + "-shm"); err != nil {
				return nil, flags, err
			}
		}
	}
	opened, flags, err := vfsutil.WrapOpenFilename(vfs.Find(f.beneath), name, flags)
	if err != nil {
		return nil, flags, orFull(err)
	}
	return file{opened}, flags, nil
}

// makePrivate makes the file, if there is none, for this user alone. Of its errors only a full disk matters: whoever
// opens the file next meets the others.
func makePrivate(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // #nosec G304 -- in the data directory of who runs the gateway
	if err == nil {
		err = f.Close()
	}
	if isNoRoom(err) {
		return orFull(err)
	}
	return nil
}

// Delete implements [vfs.VFS].
func (f fileSystem) Delete(name string, syncDir bool) error {
	return vfs.Find(f.beneath).Delete(name, syncDir)
}

// Access implements [vfs.VFS].
func (f fileSystem) Access(name string, flags vfs.AccessFlag) (bool, error) {
	return vfs.Find(f.beneath).Access(name, flags)
}

// FullPathname implements [vfs.VFS].
func (f fileSystem) FullPathname(name string) (string, error) {
	return vfs.Find(f.beneath).FullPathname(name)
}

// file is an open file of a fileSystem. A failed Sync is never that of a full disk, whatever the cause: what was written
// may be on the disk or not, and the next Sync would not tell.
type file struct {
	vfs.File
}

var (
	_ vfs.FileUnwrap             = file{}
	_ vfs.FileLockState          = file{}
	_ vfs.FileSharedMemory       = file{}
	_ vfs.FileMemoryMapper       = file{}
	_ vfs.FileHasMoved           = file{}
	_ vfs.FileSizeHint           = file{}
	_ vfs.FilePersistWAL         = file{}
	_ vfs.FilePowersafeOverwrite = file{}
	_ vfs.FileBatchAtomicWrite   = file{}
)

func (f file) WriteAt(p []byte, at int64) (int, error) {
	n, err := f.File.WriteAt(p, at)
	return n, orFull(err)
}

func (f file) Truncate(size int64) error { return orFull(f.File.Truncate(size)) }
func (f file) SizeHint(size int64) error { return orFull(vfsutil.WrapSizeHint(f.File, size)) }
func (f file) BeginAtomicWrite() error   { return orFull(vfsutil.WrapBeginAtomicWrite(f.File)) }
func (f file) CommitAtomicWrite() error  { return vfsutil.WrapCommitAtomicWrite(f.File) }
func (f file) RollbackAtomicWrite() error {
	return vfsutil.WrapRollbackAtomicWrite(f.File)
}

func (f file) Unwrap() vfs.File                { return f.File }
func (f file) LockState() vfs.LockLevel        { return vfsutil.WrapLockState(f.File) }
func (f file) SharedMemory() vfs.SharedMemory  { return vfsutil.WrapSharedMemory(f.File) }
func (f file) MemoryMapper() vfs.MemoryMapper  { return vfsutil.WrapMemoryMapper(f.File) }
func (f file) HasMoved() (bool, error)         { return vfsutil.WrapHasMoved(f.File) }
func (f file) PersistWAL() bool                { return vfsutil.WrapPersistWAL(f.File) }
func (f file) SetPersistWAL(keep bool)         { vfsutil.WrapSetPersistWAL(f.File, keep) }
func (f file) PowersafeOverwrite() bool        { return vfsutil.WrapPowersafeOverwrite(f.File) }
func (f file) SetPowersafeOverwrite(safe bool) { vfsutil.WrapSetPowersafeOverwrite(f.File, safe) }

// isNoRoom reports whether the operating system found no room on the disk, or none left to this user.
func isNoRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// orFull makes the operating system's want of room SQLite's.
func orFull(err error) error {
	if isNoRoom(err) {
		return vfs.SystemError(err, sqlite3.FULL)
	}
	return err
}

// isFull reports whether SQLite failed for want of room on the disk. Where the shared memory cannot grow, which holds no
// data, SQLite keeps no cause.
func isFull(err error) bool {
	return errors.Is(err, sqlite3.FULL) || errors.Is(err, sqlite3.IOERR_SHMSIZE)
}
