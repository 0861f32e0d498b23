package sqlite_test

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/util/vfsutil"
	"github.com/ncruces/go-sqlite3/vfs"
)

// faultVFS is the operating system's file system with faults. It keeps, for each file, what a power cut would leave.
type faultVFS struct {
	vfs.VFS
	name string // under which SQLite knows it

	mu      sync.Mutex
	files   map[string]*disk // by base name
	writes  int              // writes, truncations and syncs so far
	opening int              // those that were made to open the database
	failAt  int              // the one that fails, counted from 1; 0: none
	errno   syscall.Errno
	hit     bool
	hitSync bool   // the one that failed was a sync
	full    room   // what else fails, for want of room
	onSync  func() // called before each sync, with the files locked
}

// room is what a disk has of it.
type room int

const (
	roomToGrow    room = iota // no write fails
	roomInPlace               // writes past a file's end fail
	roomForNoMore             // all writes fail
)

// disk is what is surely on a disk of a file, and what was done to the file since.
type disk struct {
	synced   []byte
	unsynced []change
}

// change is a write, or with nil data a truncation to at.
type change struct {
	at   int64
	data []byte
}

func (c change) apply(image []byte) []byte {
	end := c.at + int64(len(c.data))
	if c.data == nil && int64(len(image)) > end {
		return image[:end]
	}
	if grow := end - int64(len(image)); grow > 0 {
		image = append(image, make([]byte, grow)...)
	}
	copy(image[c.at:], c.data)
	return image
}

// registerFaults makes the file system known to SQLite for the length of a test.
func registerFaults(tb testing.TB) *faultVFS {
	f := &faultVFS{
		VFS:   vfs.Find("os"),
		name:  fmt.Sprintf("faults-%d", registered.Add(1)),
		files: make(map[string]*disk),
	}
	vfs.Register(f.name, f)
	tb.Cleanup(func() { vfs.Unregister(f.name) })
	return f
}

var registered atomic.Int64

// opened notes that what comes now is the engine's own work.
func (f *faultVFS) opened() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opening = f.writes
}

func (f *faultVFS) Open(name string, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	return nil, flags, sqlite3.CANTOPEN // OpenFilename is called instead
}

func (f *faultVFS) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	file, flags, err := vfsutil.WrapOpenFilename(f.VFS, name, flags)
	if err != nil {
		return nil, flags, err
	}
	base := filepath.Base(name.String())
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.files[base] == nil {
		// What was there before the test is on the disk.
		content, err := os.ReadFile(name.String())
		if err != nil {
			return nil, flags, err
		}
		f.files[base] = &disk{synced: content}
	}
	return &faultFile{File: file, vfs: f, disk: f.files[base]}, flags, nil
}

func (f *faultVFS) Delete(name string, syncDir bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.files, filepath.Base(name))
	return f.VFS.Delete(name, syncDir)
}

// fault counts a write or sync and reports whether it is the one to fail.
func (f *faultVFS) fault() bool {
	f.writes++
	if f.failAt == 0 || f.writes != f.failAt {
		return false
	}
	f.hit = true
	return true
}

// err is the error as the operating system's files give it.
func (f *faultVFS) err(op string) error { return &fs.PathError{Op: op, Path: "a file", Err: f.errno} }

// cut writes to dir what a power cut would leave now. keep says which of a file's unsynced changes got to the disk, and
// can tear them.
func (f *faultVFS) cut(tb testing.TB, dir string, keep func([]change) []change) {
	for name, d := range f.files {
		image := append([]byte(nil), d.synced...)
		for _, c := range keep(d.unsynced) {
			image = c.apply(image)
		}
		if err := os.WriteFile(filepath.Join(dir, name), image, 0o600); err != nil {
			tb.Error(err)
		}
	}
}

// The ways in which unsynced changes get to a disk.
var tears = []struct {
	name string
	keep func(*rand.Rand, []change) []change
}{
	{"none", func(*rand.Rand, []change) []change { return nil }},
	{"all", func(_ *rand.Rand, c []change) []change { return c }},
	{"some", func(r *rand.Rand, all []change) (kept []change) {
		for _, c := range all {
			if r.IntN(2) == 0 {
				kept = append(kept, c)
			}
		}
		return kept
	}},
	{"torn", func(r *rand.Rand, all []change) []change {
		if len(all) == 0 {
			return nil
		}
		n := r.IntN(len(all))
		last := all[n]
		if last.data != nil {
			last.data = last.data[:r.IntN(len(last.data)+1)]
		}
		return append(append([]change(nil), all[:n]...), last)
	}},
}

// faultFile is an open file of a faultVFS.
type faultFile struct {
	vfs.File
	vfs  *faultVFS
	disk *disk
}

func (f *faultFile) WriteAt(p []byte, at int64) (int, error) {
	f.vfs.mu.Lock()
	defer f.vfs.mu.Unlock()
	if f.vfs.fault() {
		// Half of it can be written all the same.
		if half := p[:len(p)/2]; len(half) > 0 && f.vfs.failAt%2 == 0 {
			f.disk.unsynced = append(f.disk.unsynced, change{at, append([]byte{}, half...)})
			if _, err := f.File.WriteAt(half, at); err != nil {
				return 0, err
			}
		}
		return 0, f.vfs.err("write")
	}
	if size, err := f.File.Size(); err != nil {
		return 0, err
	} else if f.vfs.full == roomForNoMore || f.vfs.full == roomInPlace && at+int64(len(p)) > size {
		return 0, f.vfs.err("write")
	}
	f.disk.unsynced = append(f.disk.unsynced, change{at, append([]byte{}, p...)})
	return f.File.WriteAt(p, at)
}

func (f *faultFile) Truncate(size int64) error {
	f.vfs.mu.Lock()
	defer f.vfs.mu.Unlock()
	if f.vfs.fault() {
		return f.vfs.err("truncate")
	}
	f.disk.unsynced = append(f.disk.unsynced, change{at: size})
	return f.File.Truncate(size)
}

func (f *faultFile) Sync(flags vfs.SyncFlag) error {
	f.vfs.mu.Lock()
	defer f.vfs.mu.Unlock()
	if f.vfs.onSync != nil {
		f.vfs.onSync()
	}
	if f.vfs.fault() {
		f.vfs.hitSync = true
		return f.vfs.errno // with delayed allocation, that the disk is full too
	}
	for _, c := range f.disk.unsynced {
		f.disk.synced = c.apply(f.disk.synced)
	}
	f.disk.unsynced = nil
	return nil // the real disk is not what is tested
}

func (f *faultFile) SharedMemory() vfs.SharedMemory { return vfsutil.WrapSharedMemory(f.File) }
func (f *faultFile) LockState() vfs.LockLevel       { return vfsutil.WrapLockState(f.File) }

// leave sets how much room the disk has.
func (f *faultVFS) leave(r room) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.full = r
}
