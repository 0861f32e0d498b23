package access

import (
	"context"
	"crypto/subtle"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/carillon/carillon/event"
)

// Store is what is needed of an engine; see [store.Keys].
type Store interface {
	WatchKeys(changed func([]*event.Key)) (stop func(), err error)
	TouchKeys(ctx context.Context, used map[event.ID]time.Time) error
}

// Config is what [New] makes Keys of. Store and Log are needed.
type Config struct {
	Store Store
	Log   *slog.Logger

	// TokenSecret is what tokens are signed with, at least 32 bytes: see [store.Secrets]. Empty: no tokens are made, and
	// none is good.
	TokenSecret event.Secret

	// AdminKey is the key of the configuration, which may do everything; empty: there is none.
	AdminKey event.Secret

	// Issuer knows who comes with a JWT; nil: none is taken.
	Issuer *Issuer

	// Ended is told of each key that is revoked, by its text, and before the revocation is answered; and of "", when the
	// first key ends the time in which nobody was asked for one. It is told of nothing that was so before [New]. It must be
	// quick and must not call the store. nil: nobody.
	Ended func(key string)
}

// Keys is every key there is. Safe for concurrent use.
type Keys struct {
	store Store
	log   *slog.Logger
	ended func(string)
	admin *event.KeyHash // nil: none is configured
	jwts  *Issuer        // nil: no JWT is taken
	stop  func()

	// seals has a key of its own for each purpose of a token: see newSeals.
	seals map[Purpose][]byte

	open atomic.Bool // there is no key at all, nor an issuer

	mu     sync.RWMutex
	byHash map[event.KeyHash]*entry
	byID   map[event.ID]*entry
}

// entry is a stored key, and when it was used as far as that is not written yet.
type entry struct {
	key  *event.Key
	used atomic.Int64 // in milliseconds
}

// Why somebody with a key is not let in. Each is told to whoever shows the key, and to nobody else.
var (
	ErrUnknown = errors.New("no such key")
	ErrRevoked = errors.New("the key was revoked")
	ErrExpired = errors.New("the key has expired")
)

// usePrecision is how exactly it is known when a key was last used: more would be a write for each request.
const usePrecision = time.Minute

// New reads the keys and follows them until Close.
func New(cfg Config) (*Keys, error) {
	k := &Keys{
		store: cfg.Store, log: cfg.Log, ended: cfg.Ended, jwts: cfg.Issuer,
		byHash: make(map[event.KeyHash]*entry), byID: make(map[event.ID]*entry),
	}
	if k.ended == nil {
		k.ended = func(string) {}
	}
	if cfg.AdminKey != "" {
		hash := event.HashKey(cfg.AdminKey)
		k.admin = &hash
	}
	k.seals = newSeals(cfg.TokenSecret)
	first := true
	stop, err := cfg.Store.WatchKeys(func(keys []*event.Key) {
		k.take(keys)
		if first {
			first = false
			k.open.Store(k.admin == nil && k.jwts == nil && len(keys) == 0)
			return
		}
		k.tell(keys)
	})
	if err != nil {
		return nil, err
	}
	k.stop = stop
	return k, nil
}

// Close ends the following of changes.
func (k *Keys) Close() { k.stop() }

// take takes note of keys that are new or were revoked.
func (k *Keys) take(keys []*event.Key) {
	k.mu.Lock()
	for _, key := range keys {
		now := &entry{key: key}
		now.used.Store(milliseconds(key.LastUsedAt))
		if old := k.byHash[key.Hash]; old != nil {
			now.used.Store(max(now.used.Load(), old.used.Load()))
		}
		k.byHash[key.Hash] = now
		k.byID[key.ID] = now
	}
	k.mu.Unlock()
}

// ForgetTenant ends every key of a tenant that is deleted. The door stays shut, also if there is no other.
func (k *Keys) ForgetTenant(id event.TenantID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for hash, e := range k.byHash {
		if e.key.Tenant == id {
			delete(k.byHash, hash)
			delete(k.byID, e.key.ID)
		}
	}
}

// tell tells of what ends with a change of keys.
func (k *Keys) tell(keys []*event.Key) {
	if len(keys) > 0 && k.open.CompareAndSwap(true, false) {
		k.log.Info("there is a key now: every request needs one from here on, and webhooks can no longer be at loopback addresses")
		k.ended("")
	}
	for _, key := range keys {
		if key.Revoked() {
			k.ended(key.ID.String())
		}
	}
}

// Open reports whether there is no key at all, neither a stored one nor the configuration's, and no issuer: whoever can
// connect may then come in. A key that has ended is one, too: the gateway does not fall open again.
func (k *Keys) Open() bool { return k.open.Load() }

// HasAdminKey reports whether the configuration has a key, so that nobody can be locked out.
func (k *Keys) HasAdminKey() bool { return k.admin != nil }

// Anybody returns who everybody is while the gateway is open.
func (k *Keys) Anybody() Principal { return anybody(event.ActorAnybody) }

// Admit returns who comes with the token, a key's or a JWT. What is wrong with a JWT is a [*JWTError] or [ErrNoIssuerKeys].
// It may wait a short while, within ctx, for the issuer's keys.
func (k *Keys) Admit(ctx context.Context, token event.Secret, now time.Time) (Principal, error) {
	// The configuration's key can look like anything.
	if k.jwts != nil && likeJWT(token) {
		if hash := event.HashKey(token); k.admin == nil || subtle.ConstantTimeCompare(hash[:], k.admin[:]) == 0 {
			return k.jwts.find(ctx, token, hash, now)
		}
	}
	return k.Find(token, now)
}

// Find returns whose key's token this is. Hashes are compared: how long it takes says nothing about any token.
func (k *Keys) Find(token event.Secret, now time.Time) (Principal, error) {
	hash := event.HashKey(token)
	if k.admin != nil && subtle.ConstantTimeCompare(hash[:], k.admin[:]) == 1 {
		return anybody(event.ActorAdminKey), nil
	}
	k.mu.RLock()
	e := k.byHash[hash]
	k.mu.RUnlock()
	switch {
	case e == nil:
		return Principal{}, ErrUnknown
	case e.key.Revoked():
		return Principal{}, ErrRevoked
	case e.key.Expired(now):
		return Principal{}, ErrExpired
	}
	if at := milliseconds(now); at-e.used.Load() >= usePrecision.Milliseconds() {
		e.used.Store(at)
	}
	return Principal{
		Tenant: e.key.Tenant, Actor: e.key.Actor(),
		Key: e.key.ID, Scopes: e.key.Scopes, Patterns: e.key.Patterns, Expires: e.key.ExpiresAt,
	}, nil
}

// Run writes down now and then which keys were used, until ctx ends, and then once more. A use that could not be written
// is written with the next.
func (k *Keys) Run(ctx context.Context) error {
	tick := time.NewTicker(usePrecision)
	defer tick.Stop()
	written := make(map[event.ID]int64)
	for _, e := range k.all() {
		written[e.key.ID] = milliseconds(e.key.LastUsedAt)
	}
	for {
		select {
		case <-tick.C:
			k.writeUses(ctx, written)
		case <-ctx.Done():
			// What ends is the work, not yet the store.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastUses)
			defer cancel()
			k.writeUses(ctx, written)
			return nil
		}
	}
}

// lastUses is how long writing down the last uses may take when the gateway stops.
const lastUses = 2 * time.Second

// writeUses writes the uses that are not among written.
func (k *Keys) writeUses(ctx context.Context, written map[event.ID]int64) {
	used := make(map[event.ID]time.Time)
	for _, e := range k.all() {
		if at := e.used.Load(); at > written[e.key.ID] {
			used[e.key.ID] = time.UnixMilli(at)
		}
	}
	if len(used) == 0 {
		return
	}
	if err := k.store.TouchKeys(ctx, used); err != nil {
		k.log.Warn("when keys were last used could not be written", "keys", len(used), "error", err)
		return
	}
	for id, at := range used {
		written[id] = at.UnixMilli()
	}
}

func (k *Keys) all() []*entry {
	k.mu.RLock()
	defer k.mu.RUnlock()
	entries := make([]*entry, 0, len(k.byHash))
	for _, e := range k.byHash {
		entries = append(entries, e)
	}
	return entries
}

func milliseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
