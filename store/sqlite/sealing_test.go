package sqlite_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/seal"
	"github.com/carillon/carillon/store"
	"github.com/carillon/carillon/store/sqlite"
	"github.com/carillon/carillon/store/storetest"
)

// keysOf makes a keyring of keys that are told apart by letters, the first of which seals.
func keysOf(tb testing.TB, letters string) *seal.Keyring {
	tb.Helper()
	text := ""
	for _, letter := range letters {
		text += strings.Repeat(fmt.Sprintf("%02x", letter), seal.KeyBytes) + "\n"
	}
	keyring, err := seal.ParseKeyring(text)
	if err != nil {
		tb.Fatal(err)
	}
	return keyring
}

// TestConformanceSealed asks of an engine that seals what is asked of one that does not.
func TestConformanceSealed(t *testing.T) {
	keyring := keysOf(t, "ab")
	storetest.RunWebhooks(t, func(tb testing.TB, dir string, now func() time.Time) store.Engine {
		tb.Helper()
		e, err := sqlite.Open(tb.Context(), sqlite.Options{
			Path: filepath.Join(dir, "carillon.db"), IdempotencyWindow: storetest.IdempotencyWindow, Now: now, Secrets: keyring,
		})
		if err != nil {
			tb.Fatal(err)
		}
		return e
	})
}

// secretive makes webhooks whose secrets it knows, all that there ever were.
type secretive struct {
	t     *testing.T
	ever  []string
	hooks map[event.ID]*event.Webhook // as they should be
	small bool                        // each fits a page
}

// secret makes a text of about so many bytes that is nowhere else.
func (s *secretive) secret(size int) string {
	text := fmt.Sprintf("%s-is-secret-%d", event.NewID(), len(s.ever))
	s.ever = append(s.ever, text)
	if fill := size - len(text); fill > 0 {
		text += strings.Repeat(".", fill)
	}
	return text
}

// give sets everything of a webhook that is secret anew. A private key takes more than a page.
func (s *secretive) give(w *event.Webhook) {
	w.URL = "https://example.com/" + s.secret(0)
	w.Secret = event.Secret(s.secret(0))
	w.OldSecrets = []event.OldSecret{{Secret: event.Secret(s.secret(0)), Until: time.UnixMilli(1_800_000_000_000).UTC()}}
	w.Headers = map[string]event.Secret{"X-Api-Key": event.Secret(s.secret(0))}
	keyBytes := 100 + rand.IntN(10_000)
	if s.small {
		keyBytes = 0
	}
	w.Auth = event.Auth{Type: event.AuthMTLS, Username: "user", Password: event.Secret(s.secret(100)), Token: event.Secret(s.secret(500)),
		ClientSecret: event.Secret(s.secret(0)), Params: map[string]string{"resource": s.secret(0)},
		PrivateKey: event.Secret(s.secret(keyBytes))}
}

func (s *secretive) create(e *sqlite.Engine) *event.Webhook {
	s.t.Helper()
	w := &event.Webhook{ID: event.NewID(), Tenant: event.DefaultTenant, Topics: []event.Pattern{"**"}, Enabled: true,
		Description: "described", Order: event.OrderKey}
	s.give(w)
	if err := e.CreateWebhook(s.t.Context(), w); err != nil {
		s.t.Fatal(err)
	}
	s.hooks[w.ID] = w
	return w
}

// churn creates, changes and deletes webhooks, with events between, which take the places that become free.
func (s *secretive) churn(e *sqlite.Engine) {
	s.t.Helper()
	for range 3 {
		for range 10 {
			s.create(e)
			if _, err := e.Append(s.t.Context(), []store.Draft{draftOf("a", rand.IntN(6000))}); err != nil {
				s.t.Fatal(err)
			}
		}
		for id, w := range maps.Clone(s.hooks) {
			switch rand.IntN(4) {
			case 0:
				if err := e.DeleteWebhook(s.t.Context(), w.Tenant, id); err != nil {
					s.t.Fatal(err)
				}
				delete(s.hooks, id)
			case 1, 2:
				changed := *w
				s.give(&changed)
				if err := e.UpdateWebhook(s.t.Context(), &changed); err != nil {
					s.t.Fatal(err)
				}
				s.hooks[id] = &changed
			}
		}
		if _, err := e.Trim(s.t.Context(), store.Retention{Bytes: 200_000}); err != nil {
			s.t.Fatal(err)
		}
	}
}

// check compares the webhooks with what they should be.
func (s *secretive) check(e *sqlite.Engine, when string) {
	s.t.Helper()
	list, err := e.ListWebhooks(s.t.Context(), event.DefaultTenant, store.Page{Limit: 500})
	if err != nil {
		s.t.Fatal(err)
	}
	if len(list.Data) != len(s.hooks) {
		s.t.Errorf("%s: there are %d webhooks, not %d", when, len(list.Data), len(s.hooks))
	}
	for _, got := range list.Data {
		if want := s.hooks[got.ID]; !reflect.DeepEqual(got, want) {
			s.t.Errorf("%s: a webhook has become %+v, not %+v", when, got, want)
		}
	}
}

// left counts the secrets of all times that can be read in the data's files.
func (s *secretive) left(path string) (n int) {
	s.t.Helper()
	files, err := filepath.Glob(path + "*")
	if err != nil {
		s.t.Fatal(err)
	}
	var all []byte
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, content...)
	}
	for _, secret := range s.ever {
		if bytes.Contains(all, []byte(secret)) {
			n++
		}
	}
	return n
}

// with runs an engine for the length of do.
func with(t *testing.T, o sqlite.Options, do func(*sqlite.Engine)) {
	t.Helper()
	e, err := sqlite.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	do(e)
	cancel()
	if err := errors.Join(<-ended, e.Close()); err != nil {
		t.Fatal(err)
	}
}

func refusesToOpen(t *testing.T, o sqlite.Options, want error) {
	t.Helper()
	e, err := sqlite.Open(t.Context(), o)
	if err == nil {
		_ = e.Close()
	}
	if !errors.Is(err, want) {
		t.Errorf("opening it: %v, not %v", err, want)
	}
}

// TestSecretsAreNowhereOnTheDisk turns sealing on where secrets were stored in plain, changes them, replaces the key, and
// turns it off, and looks for every secret that there ever was in the bytes of all files.
func TestSecretsAreNowhereOnTheDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "carillon.db")
	s := &secretive{t: t, hooks: map[event.ID]*event.Webhook{}}
	sealed := func(letters string) sqlite.Options { return sqlite.Options{Path: path, Secrets: keysOf(t, letters)} }
	clean := func(when string) {
		t.Helper()
		if n := s.left(path); n > 0 {
			t.Errorf("%s: %d of %d secrets can be read", when, n, len(s.ever))
		}
	}

	with(t, sqlite.Options{Path: path}, s.churn)
	if n := s.left(path); n < 8*len(s.hooks) {
		t.Fatalf("of %d webhooks in plain, only %d secrets can be read: the test looks in the wrong place", len(s.hooks), n)
	}
	with(t, sealed("a"), func(e *sqlite.Engine) {
		clean("sealed")
		s.check(e, "sealed")
		s.churn(e)
		clean("after changes")
		s.check(e, "after changes")
	})
	clean("after a stop")
	with(t, sealed("ba"), func(e *sqlite.Engine) {
		clean("under a new key")
		s.check(e, "under a new key")
	})
	status, err := sqlite.ReadSealing(t.Context(), path)
	if id := keysOf(t, "b").IDs()[0]; err != nil || status.Plain != 0 || status.Copies || len(status.Sealed) != 1 || status.Sealed[id] < len(s.hooks) {
		t.Errorf("the status is %+v, %v", status, err)
	}
	with(t, sealed("b"), func(e *sqlite.Engine) {
		s.check(e, "without the old key")
		for id, w := range s.hooks {
			if err := e.DeleteWebhook(t.Context(), w.Tenant, id); err != nil {
				t.Fatal(err)
			}
			delete(s.hooks, id)
			break
		}
		clean("after one was deleted")
	})

	// Without the right key nothing is opened, and nothing changed.
	refusesToOpen(t, sqlite.Options{Path: path}, sqlite.ErrSealed)
	before := readData(t, path) // opening it has copied the log into the database
	refusesToOpen(t, sqlite.Options{Path: path}, sqlite.ErrSealed)
	refusesToOpen(t, sealed("a"), sqlite.ErrSecretsKey)
	refusesToOpen(t, sqlite.Options{Path: path, Secrets: keysOf(t, "c"), Unseal: true}, sqlite.ErrSecretsKey)
	if after := readData(t, path); !reflect.DeepEqual(before, after) {
		t.Error("the data was changed by who lacked the key")
	}

	unseal := sealed("b")
	unseal.Unseal = true
	e, err := sqlite.Open(t.Context(), unseal)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	with(t, sqlite.Options{Path: path}, func(e *sqlite.Engine) { s.check(e, "in plain again") })
	with(t, sealed("c"), func(e *sqlite.Engine) {
		s.check(e, "sealed again")
		clean("sealed again")
	})
	checkIntegrity(t, path, "at the end")
}

// readData reads the database and its log, as they would be copied.
func readData(t *testing.T, path string) map[string]string {
	t.Helper()
	data := make(map[string]string)
	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(path + suffix)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		data[suffix] = string(content)
	}
	return data
}

// TestForgottenSecrets turns sealing on where every webhook in plain is gone already, and then with none there ever was.
func TestForgottenSecrets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "carillon.db")
	s := &secretive{t: t, hooks: map[event.ID]*event.Webhook{}}
	with(t, sqlite.Options{Path: path}, func(e *sqlite.Engine) {
		s.churn(e)
		for id, w := range s.hooks {
			if err := e.DeleteWebhook(t.Context(), w.Tenant, id); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := e.Trim(t.Context(), store.Retention{Bytes: 1}); err != nil {
			t.Fatal(err)
		}
	})
	with(t, sqlite.Options{Path: path, Secrets: keysOf(t, "a")}, func(*sqlite.Engine) {})
	if n := s.left(path); n > 0 {
		t.Errorf("%d secrets of webhooks that are gone can be read", n)
	}

	var said bytes.Buffer
	fresh := sqlite.Options{Path: filepath.Join(t.TempDir(), "carillon.db"), Secrets: keysOf(t, "a"), Log: slog.New(slog.NewTextHandler(&said, nil))}
	with(t, fresh, func(e *sqlite.Engine) { s.create(e) })
	with(t, fresh, func(*sqlite.Engine) {})
	if said.Len() > 0 {
		t.Errorf("there was nothing to do, and it said: %s", &said)
	}
}

// TestLargeDataIsRewrittenWhenAsked has no process take minutes to start.
func TestLargeDataIsRewrittenWhenAsked(t *testing.T) {
	sqlite.Reseal(t, 1000, 1)
	path := filepath.Join(t.TempDir(), "carillon.db")
	s := &secretive{t: t, hooks: map[event.ID]*event.Webhook{}}
	with(t, sqlite.Options{Path: path}, s.churn)
	var said bytes.Buffer
	o := sqlite.Options{Path: path, Secrets: keysOf(t, "a"), Log: slog.New(slog.NewTextHandler(&said, nil))}
	for range 2 {
		said.Reset()
		with(t, o, func(e *sqlite.Engine) { s.check(e, "sealed") })
		if !strings.Contains(said.String(), "carillon secrets scrub") {
			t.Errorf("it does not say what is to be done: %s", &said)
		}
	}
	if status, err := sqlite.ReadSealing(t.Context(), path); err != nil || !status.Copies || status.Plain != 0 {
		t.Errorf("the status is %+v, %v", status, err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	o.Rewrite = true
	with(t, o, func(e *sqlite.Engine) { s.check(e, "written anew") })
	if n := s.left(path); n > 0 {
		t.Errorf("%d secrets can be read", n)
	}
	if status, err := sqlite.ReadSealing(t.Context(), path); err != nil || status.Copies {
		t.Errorf("the status is %+v, %v", status, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the file is %v, %v: the operator had let others read it", info, err)
	}
}

// TestSealedSecretsCannotBeMoved has somebody who can write to the database, and has no key, give a webhook the secrets
// of another one, or another tenant's.
func TestSealedSecretsCannotBeMoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "carillon.db")
	s := &secretive{t: t, hooks: map[event.ID]*event.Webhook{}}
	o := sqlite.Options{Path: path, Secrets: keysOf(t, "a")}
	with(t, o, func(e *sqlite.Engine) {
		s.create(e)
		s.create(e)
	})
	original := readData(t, path)
	for _, sql := range []string{
		`UPDATE webhook SET sealed = (SELECT sealed FROM webhook WHERE num = 2) WHERE num = 1`,
		`UPDATE webhook SET tenant = 7 WHERE num = 1; INSERT INTO tenant VALUES (7, 'other', 1, 0, 0, 0, 0, 0, 0, 0, 0)`,
		`UPDATE webhook SET sealed = x'' WHERE num = 1`,
		`UPDATE webhook SET sealed = CAST(substr(sealed, 1, length(sealed) - 1) || x'00' AS BLOB) WHERE num = 2`,
	} {
		copied := filepath.Join(t.TempDir(), "carillon.db")
		for suffix, content := range original {
			if err := os.WriteFile(copied+suffix, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		c, err := sqlite3.Open(copied)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(c.Exec(sql), c.Close()); err != nil {
			t.Fatal(err)
		}
		e, err := sqlite.Open(t.Context(), sqlite.Options{Path: copied, Secrets: o.Secrets})
		if err == nil {
			_ = e.Close()
		}
		if !errors.Is(err, seal.ErrBroken) || !strings.Contains(err.Error(), "reading webhook 0") {
			t.Errorf("%s: %v", sql, err)
		}
	}
}

// TestWithoutSecrets opens sealed data without the key, to make a key of access: no webhook can come to harm.
func TestWithoutSecrets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "carillon.db")
	s := &secretive{t: t, hooks: map[event.ID]*event.Webhook{}}
	sealed := sqlite.Options{Path: path, Secrets: keysOf(t, "a")}
	with(t, sealed, func(e *sqlite.Engine) { s.create(e) })
	with(t, sqlite.Options{Path: path, WithoutSecrets: true}, func(e *sqlite.Engine) {
		key := &event.Key{ID: event.NewID(), Tenant: event.DefaultTenant, Name: "x", Scopes: []event.Scope{event.ScopeAdmin}, Hash: event.HashKey("x")}
		if err := e.CreateKey(t.Context(), key); err != nil {
			t.Error(err)
		}
		list, err := e.ListWebhooks(t.Context(), event.DefaultTenant, store.Page{Limit: 10})
		if err != nil || len(list.Data) != 1 {
			t.Fatalf("%v, %v", list, err)
		}
		w := list.Data[0]
		if w.Secret != "" || w.URL != "" || w.Description != "described" {
			t.Errorf("the webhook is %+v", w)
		}
		if err := e.UpdateWebhook(t.Context(), w); err == nil {
			t.Error("its secrets were lost by a change")
		}
		if err := e.DeleteWebhook(t.Context(), w.Tenant, w.ID); err == nil {
			t.Error("it was deleted")
		}
	})
	with(t, sealed, func(e *sqlite.Engine) { s.check(e, "with the key again") })
}

// TestResealAndChanges replaces the key under webhooks that are being changed: whoever has read one before the restart
// changes that version, watchers hear opened webhooks, and no change is lost.
func TestResealAndChanges(t *testing.T) {
	sqlite.Reseal(t, 2, 1<<30)
	path := filepath.Join(t.TempDir(), "carillon.db")
	s := &secretive{t: t, hooks: map[event.ID]*event.Webhook{}}
	with(t, sqlite.Options{Path: path, Secrets: keysOf(t, "a")}, func(e *sqlite.Engine) {
		for range 5 {
			s.create(e)
		}
	})
	for _, letters := range []string{"ba", "cb", "dc"} {
		o := sqlite.Options{Path: path, Secrets: keysOf(t, letters)}
		e, err := sqlite.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		heard := map[event.ID]*event.Webhook{}
		stop, err := e.WatchWebhooks(func(changes []store.WebhookChange) {
			mu.Lock()
			defer mu.Unlock()
			for _, c := range changes {
				heard[c.Webhook.ID] = c.Webhook
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- e.Run(ctx) }()
		var group sync.WaitGroup
		changed := make(chan *event.Webhook, len(s.hooks))
		for _, w := range s.hooks {
			next := *w // as read before the restart
			s.give(&next)
			group.Go(func() {
				if err := e.UpdateWebhook(ctx, &next); err != nil {
					t.Errorf("a change: %v", err)
				}
				changed <- &next
			})
		}
		group.Wait()
		for range s.hooks {
			w := <-changed
			s.hooks[w.ID] = w
		}
		s.check(e, "changed under "+letters)
		mu.Lock()
		if !reflect.DeepEqual(heard, s.hooks) {
			t.Errorf("watchers heard %+v", heard)
		}
		mu.Unlock()
		stop()
		cancel()
		if err := errors.Join(<-ended, e.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.left(path); n > 0 {
		t.Errorf("%d secrets can be read", n)
	}
}

// TestResealCutOff has the disk fail, and the power, at every write of sealing anew: every secret can be read with both
// keys, whichever is first, and the next start finishes.
func TestResealCutOff(t *testing.T) {
	sqlite.Reseal(t, 1, 0)
	for _, tt := range []struct {
		name          string
		before, after string // keys; none: in plain
		unseal        bool
	}{
		{name: "turned on", before: "", after: "a"},
		{name: "key replaced", before: "a", after: "ba"},
		{name: "turned off", before: "a", after: "a", unseal: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &secretive{t: t, hooks: map[event.ID]*event.Webhook{}, small: true}
			start := filepath.Join(t.TempDir(), "carillon.db")
			options := func(path, letters string) sqlite.Options {
				o := sqlite.Options{Path: path}
				if letters != "" {
					o.Secrets = keysOf(t, letters)
				}
				return o
			}
			with(t, options(start, tt.before), func(e *sqlite.Engine) {
				for range 3 {
					s.create(e)
				}
			})
			data := readData(t, start)
			hit := 0
			// An odd number brings every way of tearing and both orders of the keys.
			step := 1
			if raceDetector || testing.Short() {
				step = 5
			}
			for k := 1; ; k += step {
				path := filepath.Join(t.TempDir(), "carillon.db")
				for suffix, content := range data {
					if err := os.WriteFile(path+suffix, []byte(content), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				faults := registerFaults(t)
				faults.failAt, faults.errno = k, syscall.EIO
				o := options(path, tt.after)
				o.VFS, o.Unseal = faults.name, tt.unseal
				e, err := sqlite.Open(t.Context(), o)
				if err == nil {
					err = e.Close()
				}
				if !faults.hit {
					if err != nil {
						t.Fatal(err)
					}
					break
				}
				hit += step
				for i, tear := range tears {
					if (k+i)%len(tears) != 0 {
						continue // each write meets one of them: opening it takes most of the time
					}
					cut := filepath.Join(t.TempDir(), "carillon.db")
					faults.cut(t, filepath.Dir(cut), func(c []change) []change { return tear.keep(rand.New(rand.NewPCG(uint64(k), 0)), c) })
					label := fmt.Sprintf("write %d failed, power cut, %s", k, tear.name)
					// Both keys open everything, whichever is first.
					again := options(cut, tt.after)
					if k%2 == 0 {
						again = options(cut, reversed(tt.after))
					}
					again.Unseal = tt.unseal
					with(t, again, func(e *sqlite.Engine) { s.check(e, label) })
					checkIntegrity(t, cut, label)
				}
				with(t, options(path, tt.after), func(e *sqlite.Engine) { s.check(e, fmt.Sprintf("write %d failed", k)) })
			}
			if hit < 10 {
				t.Errorf("there were only %d writes", hit)
			}
		})
	}
}

func reversed(s string) string {
	r := ""
	for _, c := range s {
		r = string(c) + r
	}
	return r
}

// TestRewriteCutOff kills the process at every write of writing the file anew: the data is there, and the next start
// finishes.
func TestRewriteCutOff(t *testing.T) {
	s := &secretive{t: t, hooks: map[event.ID]*event.Webhook{}, small: true}
	start := filepath.Join(t.TempDir(), "carillon.db")
	with(t, sqlite.Options{Path: start}, func(e *sqlite.Engine) {
		for range 3 {
			s.create(e)
		}
	})
	data := readData(t, start)
	for _, errno := range []syscall.Errno{syscall.EIO, syscall.ENOSPC} {
		step := 1
		if raceDetector || testing.Short() {
			step = 5
		}
		for k := 1; ; k += step {
			path := filepath.Join(t.TempDir(), "carillon.db")
			for suffix, content := range data {
				if err := os.WriteFile(path+suffix, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			faults := registerFaults(t)
			faults.failAt, faults.errno = k, errno
			o := sqlite.Options{Path: path, Secrets: keysOf(t, "a"), VFS: faults.name}
			e, err := sqlite.Open(t.Context(), o)
			if err == nil {
				s.check(e, fmt.Sprintf("write %d failed", k))
				err = e.Close()
			}
			if !faults.hit {
				if err != nil {
					t.Fatal(err)
				}
				if k < 20 {
					t.Errorf("there were only %d writes", k)
				}
				break
			}
			label := fmt.Sprintf("write %d failed (%v), next start", k, errno)
			with(t, sqlite.Options{Path: path, Secrets: keysOf(t, "a")}, func(e *sqlite.Engine) { s.check(e, label) })
			if n := s.left(path); n > 0 {
				t.Errorf("%s: %d secrets can be read", label, n)
			}
			checkIntegrity(t, path, label)
		}
	}
}

// TestSealingOnAFullDisk starts all the same, and seals when there is room.
func TestSealingOnAFullDisk(t *testing.T) {
	faults := registerFaults(t)
	faults.errno = syscall.ENOSPC
	path := filepath.Join(t.TempDir(), "carillon.db")
	s := &secretive{t: t, hooks: map[event.ID]*event.Webhook{}}
	with(t, sqlite.Options{Path: path, VFS: faults.name}, func(e *sqlite.Engine) { s.create(e) })
	with(t, sqlite.Options{Path: path, VFS: faults.name}, func(*sqlite.Engine) {}) // the log is in the database now
	var said bytes.Buffer
	o := sqlite.Options{Path: path, VFS: faults.name, Secrets: keysOf(t, "a"), Log: slog.New(slog.NewTextHandler(&said, nil))}
	faults.leave(roomForNoMore)
	with(t, o, func(e *sqlite.Engine) { s.check(e, "on a full disk") })
	if !strings.Contains(said.String(), "secrets of webhooks stay as they were stored") {
		t.Errorf("it said %s", &said)
	}
	unseal := o
	unseal.Unseal = true
	faults.leave(roomToGrow)
	with(t, o, func(e *sqlite.Engine) { s.check(e, "with room") })
	if n := s.left(path); n > 0 {
		t.Errorf("%d secrets can be read", n)
	}
	faults.leave(roomForNoMore)
	if e, err := sqlite.Open(t.Context(), unseal); err == nil {
		_ = e.Close()
		t.Error("nothing was unsealed, and nobody was told")
	}
}

// TestDeletedSecretsAreOverwritten deletes webhooks whose secrets are stored in plain: what was theirs is zeros once the
// log is in the database.
func TestDeletedSecretsAreOverwritten(t *testing.T) {
	o := sqlite.Options{Path: filepath.Join(t.TempDir(), "carillon.db")}
	s := &secretive{t: t, hooks: map[event.ID]*event.Webhook{}, small: true} // one that is cut in two by a page is not found
	with(t, o, func(e *sqlite.Engine) {
		for range 3 {
			s.create(e)
		}
	})
	with(t, o, func(e *sqlite.Engine) {
		if n := s.left(o.Path); n != len(s.ever) {
			t.Errorf("%d of %d secrets can be read before", n, len(s.ever))
		}
		for id, w := range s.hooks {
			if err := e.DeleteWebhook(t.Context(), w.Tenant, id); err != nil {
				t.Fatal(err)
			}
		}
	})
	urls := len(s.hooks) // which stay until the webhook is forgotten
	with(t, o, func(*sqlite.Engine) {
		if n := s.left(o.Path); n > urls {
			t.Errorf("%d secrets can be read, and %d are URLs", n, urls)
		}
	})
}

// What a deleted tenant has left is read by nobody any more, and so cannot be sealed anew: its secrets go before it is said
// that no copy in plain is left, and no key is asked for that nothing else is sealed under.
func TestSecretsOfADeletedTenant(t *testing.T) {
	path := filepath.Join(t.TempDir(), "carillon.db")
	s := &secretive{t: t, hooks: map[event.ID]*event.Webhook{}}
	leave := func(o sqlite.Options, name string) {
		with(t, o, func(e *sqlite.Engine) {
			gone := &event.Tenant{Name: name}
			if err := e.CreateTenant(t.Context(), gone); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				w := &event.Webhook{ID: event.NewID(), Tenant: gone.ID, Topics: []event.Pattern{"**"}, Enabled: true}
				s.give(w)
				if err := e.CreateWebhook(t.Context(), w); err != nil {
					t.Fatal(err)
				}
				if err := e.Settle(t.Context(), store.Settlements{Health: []store.Health{{Webhook: w.ID, Failures: 1}}}); err != nil {
					t.Fatal(err)
				}
			}
			if err := e.DeleteTenant(t.Context(), gone.ID); err != nil {
				t.Fatal(err)
			}
		})
	}
	leave(sqlite.Options{Path: path}, "in plain")
	for _, letter := range []string{"a", "b"} { // neither opens what is there already
		o := sqlite.Options{Path: path, Secrets: keysOf(t, letter)}
		with(t, o, func(*sqlite.Engine) {})
		if n := s.left(path); n > 0 {
			t.Errorf("under %s, %d of %d secrets can be read", letter, n, len(s.ever))
		}
		if got, err := sqlite.ReadSealing(t.Context(), path); err != nil || got.Plain != 0 || len(got.Sealed) != 0 || got.Copies {
			t.Errorf("under %s it has %+v, %v", letter, got, err)
		}
		leave(o, "under "+letter)
	}
	unseal := sqlite.Options{Path: path, Secrets: keysOf(t, "b"), Unseal: true}
	with(t, unseal, func(e *sqlite.Engine) {
		if got, err := sqlite.ReadSealing(t.Context(), path); err != nil || len(got.Sealed) != 0 {
			t.Errorf("unsealed it has %+v, %v", got, err)
		}
		for more := true; more; {
			step, err := e.Trim(t.Context(), store.Retention{})
			if err != nil {
				t.Fatal(err)
			}
			more = step.More
		}
		healths, err := e.Healths(t.Context())
		if err != nil || len(healths) != 0 {
			t.Errorf("left are %+v, %v", healths, err)
		}
	})
	checkIntegrity(t, path, "at the end")
}
