package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store/sqlite"
)

// With the operator's keys the secret of tokens is one that the database alone does not give, and lasts as long as the
// first of them.
func TestTokenSecretNeedsTheKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "carillon.db")
	secret := func(letters string) (secret event.Secret) {
		options := sqlite.Options{Path: path}
		if letters != "" {
			options.Secrets = keysOf(t, letters)
		}
		with(t, options, func(e *sqlite.Engine) {
			var err error
			if secret, err = e.TokenSecret(t.Context()); err != nil || len(secret) != 32 {
				t.Errorf("%d bytes, %v", len(secret), err)
			}
		})
		return secret
	}
	plain, a := secret(""), secret("a")
	if again := secret("ab"); plain == a || again != a {
		t.Errorf("the database alone gives it: %t; it stays with its key: %t", plain == a, again == a)
	}
	if b := secret("ba"); b == a || b == plain {
		t.Error("another key gives the same")
	}
}
