package access

import (
	"sync"

	"github.com/carillon/carillon/event"
)

// maxVerified is how many tokens are remembered, twice: what is in use moves to the younger half. A token is at most
// 8 KiB, and what is kept of it less.
const maxVerified = 1024

// verified remembers which tokens were found good, by their hashes: verifying a signature costs as much as taking an event.
// Only good ones are in it, so that nobody can fill it with bad ones. Its zero value is empty. Safe for concurrent use.
type verified struct {
	mu         sync.RWMutex
	young, old map[event.KeyHash]*grant
}

// find returns nil for a token that is not remembered. One that is may have expired.
func (v *verified) find(hash event.KeyHash) *grant {
	v.mu.RLock()
	g := v.young[hash]
	aged := g == nil
	if aged {
		g = v.old[hash]
	}
	v.mu.RUnlock()
	if aged && g != nil {
		v.keep(hash, g)
	}
	return g
}

func (v *verified) keep(hash event.KeyHash, g *grant) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.young) >= maxVerified {
		v.old, v.young = v.young, nil
	}
	if v.young == nil {
		v.young = make(map[event.KeyHash]*grant)
	}
	v.young[hash] = g
}
