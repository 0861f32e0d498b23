package access

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/carillon/carillon/event"
)

// claims is what a JWT says, as far as it is looked at. Names are taken exactly as they are written, where encoding/json
// would take EXP for exp: an issuer may let its users choose names that it does not use itself.
type claims struct {
	jwt.RegisteredClaims

	name  string          // of Carillon's claim
	own   json.RawMessage // that claim; nil: there is none
	scope string          // of RFC 8693, section 4.2
}

// UnmarshalJSON reads a claims set. The name of Carillon's claim must be set before.
func (c *claims) UnmarshalJSON(text []byte) error {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		return err
	}
	for name, into := range map[string]any{
		"iss": &c.Issuer, "sub": &c.Subject, "aud": &c.Audience,
		"exp": &dateInto{&c.ExpiresAt}, "nbf": &dateInto{&c.NotBefore}, "iat": &dateInto{&c.IssuedAt},
	} {
		if value, given := all[name]; given {
			if err := json.Unmarshal(value, into); err != nil {
				return err
			}
		}
	}
	if scope, given := all["scope"]; given && json.Unmarshal(scope, &c.scope) != nil {
		c.scope = "" // some issuers keep other things there
	}
	c.own = all[c.name]
	return nil
}

// grant is what a JWT that was found good lets its holder do.
type grant struct {
	tenant   string // empty: it names none
	scopes   []event.Scope
	patterns []event.Pattern
	subject  string
	expires  time.Time     // the skew is in it
	signer   event.KeyHash // the key that it is signed with
}

// grant reads what the claims let their holder do. What is malformed is refused, and not left out: a token whose topics
// were left out would reach all of them.
func (c *claims) grant(skew time.Duration) (*grant, *JWTError) {
	g := &grant{subject: subjectText(c.Subject), expires: c.ExpiresAt.Add(skew)}
	words := strings.Fields(c.scope)
	if c.own != nil {
		var members map[string]json.RawMessage
		if json.Unmarshal(c.own, &members) != nil || members == nil {
			return nil, badClaim("has a claim for Carillon that is no object")
		}
		for name, value := range members {
			null := bytes.Equal(value, []byte("null"))
			switch name {
			case "scopes":
				words = nil
				if null || json.Unmarshal(value, &words) != nil {
					return nil, badClaim("has a claim for Carillon whose scopes are no list of texts")
				}
			case "topics":
				if null || json.Unmarshal(value, &g.patterns) != nil {
					return nil, badClaim("has a claim for Carillon whose topics are no list of patterns")
				}
				if len(g.patterns) == 0 || len(g.patterns) > event.MaxPatterns {
					return nil, badClaim("has a claim for Carillon whose topics are none, or too many; to reach every topic, leave them out")
				}
			case "tenant":
				if null || json.Unmarshal(value, &g.tenant) != nil || g.tenant == "" {
					return nil, badClaim("has a claim for Carillon whose tenant is no name")
				}
			default:
				return nil, badClaim("has a claim for Carillon with a member that is not scopes, topics or tenant")
			}
		}
	}
	for _, p := range g.patterns {
		if _, err := event.ParsePattern(string(p)); err != nil {
			return nil, badClaim("has a claim for Carillon with a topic that is no pattern")
		}
	}
	for _, word := range words {
		scope := event.Scope(strings.TrimPrefix(word, scopePrefix))
		if slices.Contains(event.Scopes(), scope) && !slices.Contains(g.scopes, scope) {
			g.scopes = append(g.scopes, scope)
		}
	}
	if len(g.patterns) > 0 && slices.Contains(g.scopes, event.ScopeAdmin) {
		return nil, badClaim("has the scope admin and topics: who may make keys for any topic cannot be bound to some")
	}
	return g, nil
}

// scopePrefix may stand before a scope, for issuers at which all that they give scopes for share the names.
const scopePrefix = "carillon:"

// maxSubject is the longest sub, in bytes, that stands for itself.
const maxSubject = 64

// subjectText names the holder of a JWT among all who come in: by sub, or by a hash of one that is long or cannot be
// printed. All tokens without a sub are one holder's.
func subjectText(sub string) string {
	const prefix = "jwt:"
	odd := strings.ContainsFunc(sub, func(r rune) bool { return r <= ' ' || r > '~' })
	if len(sub) > maxSubject || odd {
		sum := sha256.Sum256([]byte(sub))
		// No sub that stands for itself looks like this.
		return prefix + "sha256 " + base64.RawURLEncoding.EncodeToString(sum[:])
	}
	return prefix + sub
}

// dateInto reads a NumericDate (RFC 7519, section 2). jwt's own reading wraps around at dates that no calendar has.
type dateInto struct{ date **jwt.NumericDate }

// UnmarshalJSON implements [json.Unmarshaler].
func (d *dateInto) UnmarshalJSON(text []byte) error {
	var seconds *float64
	if err := json.Unmarshal(text, &seconds); err != nil || seconds == nil {
		return err
	}
	const endOf9999 = 253402300799
	if *seconds < 0 || *seconds > endOf9999 {
		return errMalformed
	}
	*d.date = jwt.NewNumericDate(time.Unix(int64(*seconds), 0))
	return nil
}
