package api

import (
	"sync"

	"github.com/carillon/carillon/event"
)

// keysInFlight knows the idempotency keys of requests whose events are being stored at the moment by this process. The
// engine deduplicates; this only tells a client that repeats itself too quickly so. The zero value is ready for use.
type keysInFlight struct {
	mu   sync.Mutex
	held map[tenantKey]struct{}
}

type tenantKey struct {
	tenant event.TenantID
	key    string
}

// claim takes all of the drafts' keys, or none and is false if somebody else has one of them. Empty keys are not taken.
func (k *keysInFlight) claim(keys []tenantKey) bool {
	if len(keys) == 0 {
		return true
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, key := range keys {
		if _, taken := k.held[key]; taken {
			return false
		}
	}
	if k.held == nil {
		k.held = make(map[tenantKey]struct{})
	}
	for _, key := range keys {
		k.held[key] = struct{}{}
	}
	return true
}

// release gives back what claim took.
func (k *keysInFlight) release(keys []tenantKey) {
	if len(keys) == 0 {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, key := range keys {
		delete(k.held, key)
	}
}
