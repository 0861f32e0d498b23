package event

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Limits of a key.
const (
	MaxKeyName     = 100                       // bytes
	MaxKeyLifetime = 10 * 365 * 24 * time.Hour // of one that expires
)

// Key lets somebody in: to do what its scopes say, with the topics that its patterns say. What is shown at the door is its
// token, of which only the hash is kept.
type Key struct {
	ID     ID
	Tenant TenantID
	Name   string // for humans
	Scopes []Scope

	// Patterns are all that the key reaches of the tenant's topics; none: it reaches every topic.
	Patterns []Pattern

	Hash KeyHash

	CreatedAt  time.Time
	ExpiresAt  time.Time // zero: never
	LastUsedAt time.Time // to the minute or so; zero: not yet
	RevokedAt  time.Time // zero: it was not
}

// KeyHash is the SHA-256 of a key's token. A token has more than 256 bits of chance: nobody can find it by trying, so
// there is nothing that a slow hash, made for passwords, would protect.
type KeyHash [sha256.Size]byte

// HashKey returns what is kept of a token.
func HashKey(token Secret) KeyHash { return sha256.Sum256([]byte(token.Reveal())) }

// Scope is a sort of thing that a key may do.
type Scope string

// The scopes. [ScopeAdmin] is all of them, and more.
const (
	ScopePublish   Scope = "publish"   // post events
	ScopeSubscribe Scope = "subscribe" // read events and topics, open streams
	ScopeManage    Scope = "manage"    // webhooks, their deliveries and jobs, and who is connected
	ScopeAdmin     Scope = "admin"     // everything, keys too
)

// Scopes returns all scopes.
func Scopes() []Scope { return []Scope{ScopePublish, ScopeSubscribe, ScopeManage, ScopeAdmin} }

// Allows reports whether a key with these scopes may do what asks for the scope.
func Allows(scopes []Scope, asked Scope) bool {
	return slices.Contains(scopes, asked) || slices.Contains(scopes, ScopeAdmin)
}

// Expired reports whether the key is past its time.
func (k *Key) Expired(now time.Time) bool { return !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt) }

// Revoked reports whether somebody has taken the key back.
func (k *Key) Revoked() bool { return !k.RevokedAt.IsZero() }

// Actor is who somebody with the key is, for the audit log.
func (k *Key) Actor() Actor { return Actor{Kind: ActorKey, ID: k.ID.String(), Name: k.Name} }

// Validate returns everything that is wrong with what somebody wants a key to be. The fields are named as in the API.
func (k *Key) Validate() []FieldError {
	var bad []FieldError
	add := func(field, format string, args ...any) {
		bad = append(bad, FieldError{field, fmt.Sprintf(format, args...)})
	}
	switch {
	case k.Name == "":
		add("name", "is required: for humans, who must know it again")
	case len(k.Name) > MaxKeyName:
		add("name", "is %d bytes long; at most %d are allowed", len(k.Name), MaxKeyName)
	case !utf8.ValidString(k.Name) || strings.ContainsFunc(k.Name, func(r rune) bool { return !unicode.IsPrint(r) }):
		add("name", "has a character that cannot be printed")
	}
	if len(k.Scopes) == 0 {
		add("scopes", "is required: one or more of %s", scopeNames())
	}
	for i, s := range k.Scopes {
		switch {
		case !slices.Contains(Scopes(), s):
			add(fmt.Sprintf("scopes[%d]", i), "must be one of %s", scopeNames())
		case slices.Contains(k.Scopes[:i], s):
			add(fmt.Sprintf("scopes[%d]", i), "is there twice")
		}
	}
	if len(k.Patterns) > MaxPatterns {
		add("topics", "has %d patterns; at most %d are allowed", len(k.Patterns), MaxPatterns)
	}
	for i, p := range k.Patterns {
		if _, err := ParsePattern(string(p)); err != nil {
			add(fmt.Sprintf("topics[%d]", i), "%s", err)
		}
	}
	if len(k.Patterns) > 0 && slices.Contains(k.Scopes, ScopeAdmin) {
		add("topics", "must be left out for the scope admin, which may make itself a key for any topic")
	}
	return bad
}

func scopeNames() string {
	var names []string
	for _, s := range Scopes() {
		names = append(names, string(s))
	}
	return strings.Join(names, ", ")
}
