package sqlite

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/ncruces/go-sqlite3"

	"github.com/carillon/carillon/event"
)

const tokenSecretBytes = 32

// TokenSecret implements [store.Secrets].
//
// With the operator's keys it is one that the database alone does not give. Replacing the first of them ends all tokens,
// which live for days at most; so there is nothing to seal anew.
func (e *Engine) TokenSecret(context.Context) (event.Secret, error) {
	if keys := e.options.Secrets; keys != nil {
		return event.Secret(keys.Mix("tokens", []byte(e.tokenSecret.Reveal()))), nil
	}
	return e.tokenSecret, nil
}

// tokenSecret reads the secret of tokens, and makes it if there is none yet: the schema has just been made or brought up
// to date then. Later openings write nothing, as a full disk demands.
func tokenSecret(c *conn) (event.Secret, error) {
	var secret []byte
	_, err := c.first(`SELECT token_secret FROM meta`, nil, func(s *sqlite3.Stmt) { secret = s.ColumnBlob(0, nil) })
	if err != nil {
		return "", fmt.Errorf("reading the secret of tokens: %w", err)
	}
	switch len(secret) {
	case tokenSecretBytes:
	case 0:
		secret = make([]byte, tokenSecretBytes)
		_, _ = rand.Read(secret) // it never fails: crypto/rand ends the process rather than that
		if err := c.run(`UPDATE meta SET token_secret = ?`, secret); err != nil {
			return "", fmt.Errorf("storing the secret of tokens: %w", err)
		}
	default:
		return "", fmt.Errorf("the secret of tokens has %d bytes and not %d", len(secret), tokenSecretBytes)
	}
	return event.Secret(secret), nil
}
