package access_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carillon/carillon/access"
	"github.com/carillon/carillon/event"
)

// fakeStore holds keys as an engine does, as far as package access looks.
type fakeStore struct {
	mu      sync.Mutex
	keys    []*event.Key
	changed func([]*event.Key)
	touched []map[event.ID]time.Time
	broken  error
}

func (s *fakeStore) WatchKeys(changed func([]*event.Key)) (func(), error) {
	s.changed = changed
	changed(s.keys)
	return func() {}, nil
}

func (s *fakeStore) TouchKeys(_ context.Context, used map[event.ID]time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	s.touched = append(s.touched, used)
	return nil
}

func newKey(token event.Secret) *event.Key {
	return &event.Key{
		ID: event.NewID(), Tenant: 7, Name: "shop", Hash: event.HashKey(token),
		Scopes: []event.Scope{event.ScopePublish}, Patterns: []event.Pattern{"orders.**"},
	}
}

func newKeys(t *testing.T, s *fakeStore, admin event.Secret, ended func(string)) (*access.Keys, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	keys, err := access.New(access.Config{Store: s, AdminKey: admin, Log: slog.New(slog.NewTextHandler(&log, nil)), Ended: ended})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(keys.Close)
	return keys, &log
}

func TestFind(t *testing.T) {
	now := time.Now()
	tokens := make([]event.Secret, 4)
	for i := range tokens {
		tokens[i] = event.NewKeyToken()
	}
	good, revoked, expired, expiring := newKey(tokens[0]), newKey(tokens[1]), newKey(tokens[2]), newKey(tokens[3])
	revoked.RevokedAt, expired.ExpiresAt, expiring.ExpiresAt = now, now, now.Add(time.Hour)
	const admin = "of-the-configuration"
	keys, _ := newKeys(t, &fakeStore{keys: []*event.Key{good, revoked, expired, expiring}}, admin, nil)
	for name, c := range map[string]struct {
		token event.Secret
		key   event.ID
		err   error
	}{
		"good":     {tokens[0], good.ID, nil},
		"revoked":  {tokens[1], event.ID{}, access.ErrRevoked},
		"expired":  {tokens[2], event.ID{}, access.ErrExpired},
		"expiring": {tokens[3], expiring.ID, nil},
		"unknown":  {event.NewKeyToken(), event.ID{}, access.ErrUnknown},
		"nothing":  {"", event.ID{}, access.ErrUnknown},
		"admin":    {admin, event.ID{}, nil},
	} {
		p, err := keys.Find(c.token, now)
		if !errors.Is(err, c.err) || p.Key != c.key {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
		if err != nil && (p.Tenant != 0 || p.May(event.ScopePublish)) {
			t.Errorf("%s: not let in, and may do things: %+v", name, p)
		}
	}
	if _, err := keys.Find(tokens[3], now.Add(time.Hour)); !errors.Is(err, access.ErrExpired) {
		t.Errorf("an hour later: %v", err)
	}
	p, _ := keys.Find(tokens[0], now)
	if p.Tenant != 7 || !p.May(event.ScopePublish) || p.May(event.ScopeSubscribe) || p.May(event.ScopeAdmin) ||
		!p.Reaches("orders.paid") || p.Reaches("users") || !p.ReachesAll("orders.*") || p.ReachesAll("**") || p.KeyText() != good.ID.String() {
		t.Errorf("the principal is %+v", p)
	}
	if p, _ = keys.Find(admin, now); !p.May(event.ScopeAdmin) || !p.Reaches("_carillon.x") || !p.ReachesAll("_carillon.**") || p.KeyText() != "" {
		t.Errorf("the admin is %+v", p)
	}
}

func TestFirstKeyClosesTheDoor(t *testing.T) {
	s := &fakeStore{}
	var ended []string
	keys, log := newKeys(t, s, "", func(key string) { ended = append(ended, key) })
	if !keys.Open() || keys.HasAdminKey() {
		t.Error("without keys it is closed")
	}
	token := event.NewKeyToken()
	key := newKey(token)
	s.changed([]*event.Key{key})
	if keys.Open() || !slices.Equal(ended, []string{""}) || strings.Count(log.String(), "there is a key now") != 1 {
		t.Errorf("after the first key: open %t, ended %q, log %q", keys.Open(), ended, log)
	}
	if _, err := keys.Find(token, time.Now()); err != nil {
		t.Error(err)
	}
	revoked := *key
	revoked.RevokedAt = time.Now()
	s.changed([]*event.Key{&revoked})
	if keys.Open() || !slices.Equal(ended, []string{"", key.ID.String()}) {
		t.Errorf("after its end: open %t, ended %q", keys.Open(), ended)
	}
	if _, err := keys.Find(token, time.Now()); !errors.Is(err, access.ErrRevoked) {
		t.Errorf("it is let in: %v", err)
	}
	// A gateway that begins with an ended key is not open either.
	if again, _ := newKeys(t, &fakeStore{keys: []*event.Key{&revoked}}, "", nil); again.Open() {
		t.Error("a key that has ended leaves the door open")
	}
	if admin, _ := newKeys(t, &fakeStore{}, "of-the-configuration", nil); admin.Open() || !admin.HasAdminKey() {
		t.Error("with the configuration's key it is open")
	}
}

// Uses are written many at once, and no more often than they are worth.
func TestUses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		busy, idle := event.NewKeyToken(), event.NewKeyToken()
		s := &fakeStore{keys: []*event.Key{newKey(busy), newKey(idle)}}
		keys, _ := newKeys(t, s, "", nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- keys.Run(ctx) }()
		begun := time.Now()
		use := func() {
			if _, err := keys.Find(busy, time.Now()); err != nil {
				t.Error(err)
			}
		}
		for range 3 * 60 {
			use()
			time.Sleep(time.Second)
		}
		synctest.Wait()
		s.mu.Lock()
		if n := len(s.touched); n < 2 || n > 3 {
			t.Errorf("%d writes for three minutes of uses", n)
		}
		for _, touched := range s.touched {
			if len(touched) != 1 || slices.Collect(maps.Keys(touched))[0] != s.keys[0].ID {
				t.Errorf("written were %v", touched)
			}
		}
		written := len(s.touched)
		s.broken = errors.New("broken")
		s.mu.Unlock()

		time.Sleep(time.Hour)
		use()
		time.Sleep(10 * time.Minute)
		s.mu.Lock()
		if len(s.touched) != written {
			t.Error("something was written")
		}
		s.broken = nil
		s.mu.Unlock()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if len(s.touched) != written+1 || s.touched[written][s.keys[0].ID].Sub(begun) < time.Hour {
			t.Errorf("what could not be written before was written at the end as %v", s.touched[written:])
		}
	})
}
