package dispatch

import (
	"strings"
	"sync"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/sign"
)

// maxKeyPairs is how many key pairs are kept as they were read.
const maxKeyPairs = 1024

// keyring reads the secrets that requests are signed with. Reading a key pair costs about as much as signing with it, so
// pairs are kept; shared secrets are not: they are read in a fraction of a microsecond. The zero keyring is empty. Safe
// for concurrent use.
type keyring struct {
	mu    sync.Mutex
	pairs map[event.Secret]sign.Key
}

// of appends the keys that a webhook's requests are signed with at a time: that of its secret, and those which a rotation
// has replaced and that still sign, in their order.
func (r *keyring) of(dst []sign.Key, w *event.Webhook, at time.Time) ([]sign.Key, error) {
	key, err := r.read(w.Secret)
	if err != nil {
		return nil, err
	}
	dst = append(dst, key)
	for _, old := range w.OldSecrets {
		if !old.Until.After(at) {
			continue
		}
		if key, err = r.read(old.Secret); err != nil {
			return nil, err
		}
		dst = append(dst, key)
	}
	return dst, nil
}

func (r *keyring) read(secret event.Secret) (sign.Key, error) {
	if strings.HasPrefix(secret.Reveal(), "whsec_") {
		return sign.ParseSecret(secret.Reveal())
	}
	r.mu.Lock()
	key, ok := r.pairs[secret]
	r.mu.Unlock()
	if ok {
		return key, nil
	}
	key, err := sign.ParseSecret(secret.Reveal())
	if err != nil {
		return sign.Key{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pairs == nil || len(r.pairs) >= maxKeyPairs {
		r.pairs = make(map[event.Secret]sign.Key)
	}
	r.pairs[secret] = key
	return key, nil
}
