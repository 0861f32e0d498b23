//go:build unix

package sqlite_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store/sqlite"
)

// Who writes the data anew leaves it with whom it belongs to, and nothing else beside it.
func TestRewrittenDataKeepsItsOwner(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "carillon.db")
	s := &secretive{t: t, hooks: map[event.ID]*event.Webhook{}}
	with(t, sqlite.Options{Path: path}, func(e *sqlite.Engine) { s.create(e) })
	before := files(t, dir)
	uid, gid := os.Geteuid(), os.Getegid()
	if uid == 0 { // nobody else can give files away
		uid, gid = 65534, 65533
		for _, name := range before {
			if err := os.Chown(filepath.Join(dir, name), uid, gid); err != nil {
				t.Fatal(err)
			}
		}
	}
	with(t, sqlite.Options{Path: path, Secrets: keysOf(t, "a"), Rewrite: true}, func(e *sqlite.Engine) { s.check(e, "written anew") })
	after := files(t, dir)
	if got, want := strings.Join(after, " "), strings.Join(before, " "); got != want {
		t.Errorf("there are %s, and were %s", got, want)
	}
	for _, name := range after {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if is := info.Sys().(*syscall.Stat_t); int(is.Uid) != uid || int(is.Gid) != gid {
			t.Errorf("%s has become %d:%d, and was %d:%d", name, is.Uid, is.Gid, uid, gid)
		}
	}
}

func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
