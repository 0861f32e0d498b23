package access

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/carillon/carillon/event"
)

// A token lets somebody in for a while, for one purpose, on behalf of whoever made it. Nothing is stored of it: what it
// allows stands in it, sealed with a secret that the store keeps, so that every node and every later process knows it. It
// is good only while the key is that made it, and can do nothing that the key could not.
//
// Its text is the purpose's prefix and, in base64url without padding (RFC 4648, section 5), an HMAC-SHA256 (RFC 2104) and
// the JSON that it seals. It is sealed and not encrypted: who holds a token can read what it allows, and whose it is.

// Purpose is what a token is for. One that is made for one is no good for another.
type Purpose string

// The purposes.
const (
	PurposeStream Purpose = "stream" // opens streams and polls
	PurposePortal Purpose = "portal" // manages a tenant's webhooks in the console
)

// prefixes are how the texts of tokens begin.
var prefixes = map[Purpose]string{PurposeStream: "crs_", PurposePortal: "crp_"}

// MaxToken is how long a token's text can be: as many patterns as there may be, each as long as it may be. A longer text is
// refused unread.
const MaxToken = 40 << 10

// MaxTokenLabel is how many bytes a label may have.
const MaxTokenLabel = 100

// Why a token does not let anybody in, besides those reasons that keys have. Each is told to whoever shows it.
var (
	// ErrToken: it is no token that this gateway made, or it is not whole.
	ErrToken = errors.New("no such token")
	// ErrMaker: what it was made with does not let anybody in any more.
	ErrMaker = errors.New("what the token was made with is no longer valid")
	// ErrCannotMake: tokens are made by who came in with a key, or is not asked for one.
	ErrCannotMake = errors.New("no key to make a token with")
)

// Grant is what a token is to allow.
type Grant struct {
	Purpose  Purpose
	Tenant   event.TenantID  // whose things it is for: the maker's own, or of whom it acts for
	Patterns []event.Pattern // at least one, all of them within the maker's
	Expires  time.Time       // no later than the maker
	Label    string          // for humans; may be empty
}

// sealed is what stands in a token. The names are short, since tokens stand in URLs.
type sealed struct {
	Version  int             `json:"v"`
	Tenant   event.TenantID  `json:"t"`
	Maker    string          `json:"k"`
	Expires  int64           `json:"e"` // in milliseconds
	Patterns []event.Pattern `json:"p"`
	Label    string          `json:"l,omitempty"`
	Foreign  bool            `json:"f,omitempty"` // the maker is of another tenant
	Signer   string          `json:"i,omitempty"` // the mark of the issuer's key that the maker's JWT was signed with
}

const tokenVersion = 1

// Who makes tokens without being a stored key, which is named by its id.
const (
	makerOpen  = "open"   // everybody, while nobody is asked for a key
	makerAdmin = "admin:" // the configuration's key, and after it by what this one is told from the next
	makerJWT   = "jwt:"   // the holder of a JWT: how a principal's Subject begins
)

// newSeals makes a key for each purpose: a token whose prefix is exchanged is none.
func newSeals(secret event.Secret) map[Purpose][]byte {
	seals := make(map[Purpose][]byte)
	if secret == "" {
		return seals
	}
	for purpose := range prefixes {
		mac := hmac.New(sha256.New, []byte(secret.Reveal()))
		mac.Write([]byte("carillon token: " + purpose))
		seals[purpose] = mac.Sum(nil)
	}
	return seals
}

// LikeToken reports whether a text begins as a token does.
func LikeToken(text event.Secret) bool {
	_, _, found := cutPrefix(text.Reveal())
	return found
}

func cutPrefix(text string) (Purpose, string, bool) {
	for purpose, prefix := range prefixes {
		if rest, found := strings.CutPrefix(text, prefix); found {
			return purpose, rest, true
		}
	}
	return "", "", false
}

// MakeToken makes a token on behalf of a principal that came in with a key, or is not asked for one: any other is
// [ErrCannotMake]. What is granted beyond what the principal is itself is cut down: the token expires with it. That the
// patterns are the principal's is the caller's to see to.
func (k *Keys) MakeToken(by *Principal, g Grant) (event.Secret, Principal, error) {
	seal := k.seals[g.Purpose]
	maker := k.maker(by)
	if seal == nil || maker == "" {
		return "", Principal{}, ErrCannotMake
	}
	if !by.Expires.IsZero() && by.Expires.Before(g.Expires) {
		g.Expires = by.Expires
	}
	s := sealed{
		Version: tokenVersion, Tenant: g.Tenant, Maker: maker, Expires: g.Expires.UnixMilli(), Patterns: g.Patterns, Label: g.Label, Foreign: g.Tenant != by.Tenant,
	}
	if by.Actor.Kind == event.ActorJWT {
		s.Signer = k.mark(by.signer)
	}
	body, err := json.Marshal(s)
	if err != nil {
		return "", Principal{}, fmt.Errorf("sealing a token: %w", err)
	}
	text := prefixes[g.Purpose] + base64.RawURLEncoding.EncodeToString(append(sum(seal, body), body...))
	if len(text) > MaxToken {
		return "", Principal{}, fmt.Errorf("sealing a token: it has %d characters", len(text))
	}
	return event.Secret(text), s.principal(g.Purpose, by), nil
}

// FindToken returns who comes with a token, which reaches no further than what it was made with.
func (k *Keys) FindToken(token event.Secret, now time.Time) (Principal, error) {
	purpose, s, err := k.unseal(token)
	if err != nil {
		return Principal{}, err
	}
	if now.UnixMilli() >= s.Expires {
		return Principal{}, ErrExpired
	}
	maker, err := k.findMaker(s, now)
	if err != nil {
		return Principal{}, err
	}
	return s.principal(purpose, &maker), nil
}

// unseal reads a token. What has not been sealed here is looked at no further than for its seal.
func (k *Keys) unseal(token event.Secret) (Purpose, sealed, error) {
	text := token.Reveal()
	purpose, rest, found := cutPrefix(text)
	seal := k.seals[purpose]
	if !found || seal == nil || len(text) > MaxToken {
		return "", sealed{}, ErrToken
	}
	// Strict: a token has one text.
	raw, err := base64.RawURLEncoding.Strict().DecodeString(rest)
	if err != nil || len(raw) < sha256.Size || strings.ContainsAny(rest, "\r\n") {
		return "", sealed{}, ErrToken
	}
	body := raw[sha256.Size:]
	if !hmac.Equal(raw[:sha256.Size], sum(seal, body)) {
		return "", sealed{}, ErrToken
	}
	s, err := readSealed(body)
	return purpose, s, err
}

// readSealed reads what a token seals. It was written here, but perhaps by another version.
func readSealed(body []byte) (sealed, error) {
	var s sealed
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil || s.Version != tokenVersion || len(s.Patterns) == 0 {
		return sealed{}, ErrToken
	}
	if _, err := dec.Token(); err != io.EOF {
		return sealed{}, ErrToken
	}
	return s, nil
}

// sum is the seal of a body.
func sum(seal, body []byte) []byte {
	mac := hmac.New(sha256.New, seal)
	mac.Write(body)
	return mac.Sum(nil)
}

// principal is who comes with the token that maker made.
func (s *sealed) principal(purpose Purpose, maker *Principal) Principal {
	p := Principal{
		Tenant: s.Tenant, Key: maker.Key, Subject: maker.Subject, Patterns: s.Patterns, Expires: time.UnixMilli(s.Expires).UTC(),
		Actor: maker.Actor, Purpose: purpose, Label: s.Label, Foreign: s.Foreign,
	}
	// A stream token has no scope at all: what it opens asks for its purpose.
	if purpose == PurposePortal {
		p.Actor = event.Actor{Kind: event.ActorPortal, ID: maker.KeyText(), Name: s.Label}
		p.Scopes = []event.Scope{event.ScopeManage}
	}
	return p
}

// maker names what a principal came in with, for the tokens that it makes; empty where it can make none.
func (k *Keys) maker(by *Principal) string {
	switch {
	case by.Purpose != "":
		return ""
	case by.Actor.Kind == event.ActorKey:
		return by.Key.String()
	case by.Actor.Kind == event.ActorAdminKey && k.admin != nil:
		return makerAdmin + k.adminMark()
	case by.Actor.Kind == event.ActorJWT && strings.HasPrefix(by.Subject, makerJWT):
		return by.Subject
	case by.Actor.Kind == event.ActorAnybody:
		return makerOpen
	}
	return ""
}

// findMaker finds what a token was made with, if that still lets anybody in. Only its key, subject and actor are told.
func (k *Keys) findMaker(s sealed, now time.Time) (Principal, error) {
	maker := s.Maker
	if maker == makerOpen {
		if k.Open() {
			return Principal{Actor: event.Actor{Kind: event.ActorAnybody}}, nil
		}
		return Principal{}, ErrMaker
	}
	if mark, admin := strings.CutPrefix(maker, makerAdmin); admin {
		if k.admin != nil && mark == k.adminMark() {
			return Principal{Actor: event.Actor{Kind: event.ActorAdminKey}}, nil
		}
		return Principal{}, ErrMaker
	}
	// Nobody can take a JWT back: the token ends when it does, or when its issuer has taken back the key of its signature.
	if strings.HasPrefix(maker, makerJWT) {
		if k.jwts != nil && k.jwts.hasKey(func(key event.KeyHash) bool { return k.mark(key) == s.Signer }) {
			return Principal{Subject: maker, Actor: event.Actor{Kind: event.ActorJWT, ID: maker}}, nil
		}
		return Principal{}, ErrMaker
	}
	id, err := event.ParseID(maker)
	if err != nil {
		return Principal{}, ErrMaker
	}
	k.mu.RLock()
	e := k.byID[id]
	k.mu.RUnlock()
	if e == nil || e.key.Revoked() || e.key.Expired(now) {
		return Principal{}, ErrMaker
	}
	return Principal{Key: id, Actor: e.key.Actor()}, nil
}

// adminMark tells one configured key from the next.
func (k *Keys) adminMark() string { return k.mark(*k.admin) }

// mark tells one key from others, and says nothing of any: whoever could try keys by it has the secret of tokens already.
func (k *Keys) mark(key event.KeyHash) string {
	mac := hmac.New(sha256.New, k.seals[PurposeStream])
	mac.Write(key[:])
	return hex.EncodeToString(mac.Sum(nil)[:8])
}
