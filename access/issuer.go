package access

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/carillon/carillon/event"
)

// maxJWT is the largest token that is looked at, in bytes.
const maxJWT = 8 << 10

// IssuerConfig is what [NewIssuer] makes an Issuer of. Exactly one of JWKS, PublicKeys and Secret is given.
type IssuerConfig struct {
	Name     string // what iss must be
	Audience string // what aud must be, or have among others

	JWKS       string       // where the issuer publishes its keys; see [CheckJWKSURL]
	PublicKeys []any        // as [ParsePublicKeys] gives them
	Secret     event.Secret // for HMAC, as it is: 32 bytes at least

	// Algorithms are those that a token may be signed by; none: all that fit the keys. See [Algorithms].
	Algorithms []string

	Skew        time.Duration // how much clocks may differ
	MaxLifetime time.Duration // how long after its iat, and after now, a token's exp may be
	Claim       string        // the name of the claim that holds what is Carillon's

	// Tenant finds a tenant by the name that a claim gives. nil: there is the one named default.
	Tenant func(name string) (event.TenantID, bool)

	Log        *slog.Logger
	Registerer prometheus.Registerer // nil: nobody counts
	UserAgent  string                // of what fetches the JWKS
	Transport  http.RoundTripper     // what it is fetched by; nil: [http.DefaultTransport]'s like
}

// MinSecret is how many bytes a shared secret must have (RFC 7518, section 3.2).
const MinSecret = 32

// Issuer takes the JWTs that somebody else issues (RFC 7519; RFC 8725 for what to beware of). Safe for concurrent use.
type Issuer struct {
	cfg     IssuerConfig
	parser  *jwt.Parser
	fixed   *keySet  // nil: keys are fetched
	fetched *fetcher // nil: keys are fixed
	refused *prometheus.CounterVec
}

// NewIssuer makes an Issuer. Its errors are meant for the one who configures it.
func NewIssuer(cfg IssuerConfig) (*Issuer, error) {
	i := &Issuer{cfg: cfg}
	if i.cfg.Tenant == nil {
		i.cfg.Tenant = func(name string) (event.TenantID, bool) { return event.DefaultTenant, name == "default" }
	}
	secret, allowed := Algorithms()
	switch {
	case cfg.Secret != "":
		if len(cfg.Secret) < MinSecret {
			return nil, fmt.Errorf("the secret has %d bytes; at least %d are needed", len(cfg.Secret), MinSecret)
		}
		allowed = secret
		i.fixed = keysOf([]any{[]byte(cfg.Secret.Reveal())})
	case len(cfg.PublicKeys) > 0:
		i.fixed = keysOf(cfg.PublicKeys)
	default:
		if err := CheckJWKSURL(cfg.JWKS); err != nil {
			return nil, err
		}
		i.fetched = newFetcher(cfg)
	}
	for _, alg := range cfg.Algorithms {
		if !slices.Contains(allowed, alg) {
			return nil, fmt.Errorf("%q is no algorithm for keys of this kind; %s are", alg, strings.Join(allowed, ", "))
		}
	}
	if len(cfg.Algorithms) == 0 {
		i.cfg.Algorithms = allowed
	}
	// Claims are checked before the signature: it is cheaper, and a foreign token makes nobody fetch keys for it.
	i.parser = jwt.NewParser(jwt.WithValidMethods(i.cfg.Algorithms), jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation())
	i.refused = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "carillon_jwt_refused_total", Help: "JWTs that were not taken, by the reason.",
	}, []string{"reason"})
	for _, reason := range reasons {
		i.refused.WithLabelValues(reason)
	}
	if cfg.Registerer != nil {
		cfg.Registerer.MustRegister(i.refused)
	}
	return i, nil
}

// Run fetches the issuer's keys, now and from time to time, until ctx ends. There is nothing to do for keys that are fixed.
func (i *Issuer) Run(ctx context.Context) error {
	if i.fetched == nil {
		<-ctx.Done()
		return nil
	}
	return i.fetched.run(ctx)
}

// likeJWT reports whether a token has the form of a signed JWT: three parts, two dots between them (RFC 7515, section 7.1).
func likeJWT(token event.Secret) bool { return strings.Count(token.Reveal(), ".") == 2 }

// find returns whose JWT this is. The error is a [*JWTError], or [ErrNoIssuerKeys] where it cannot be known now. hash is
// the token's. It waits for keys that are being fetched, but not for long.
func (i *Issuer) find(ctx context.Context, token event.Secret, hash event.KeyHash, now time.Time) (Principal, error) {
	who, err := i.identify(ctx, token.Reveal(), hash, now)
	var refusal *JWTError
	switch {
	case errors.As(err, &refusal):
		i.refused.WithLabelValues(refusal.Reason).Inc()
	case err != nil:
		i.refused.WithLabelValues(noKeys).Inc()
	}
	return who, err
}

func (i *Issuer) identify(ctx context.Context, token string, hash event.KeyHash, now time.Time) (Principal, error) {
	set := i.keys()
	var g *grant
	if set != nil {
		g = set.verified.find(hash)
	}
	if g == nil {
		var err error
		if g, set, err = i.verify(ctx, token, now); err != nil {
			return Principal{}, err
		}
		set.verified.keep(hash, g)
	}
	if !now.Before(g.expires) {
		return Principal{}, errJWTExpired
	}
	who := Principal{
		Tenant: event.DefaultTenant, Subject: g.subject, Scopes: g.scopes, Patterns: g.patterns, Expires: g.expires,
		Actor:  event.Actor{Kind: event.ActorJWT, ID: g.subject},
		signer: g.signer,
	}
	if g.tenant != "" {
		var found bool
		if who.Tenant, found = i.cfg.Tenant(g.tenant); !found {
			return Principal{}, errTenant
		}
	}
	return who, nil
}

// hasKey reports whether one of the issuer's keys is the one, by what [printOf] tells of each. Before any could be fetched it
// is taken for granted: a stream that comes back after a restart must not be refused for good.
func (i *Issuer) hasKey(one func(event.KeyHash) bool) bool {
	set := i.keys()
	return set == nil || slices.ContainsFunc(set.keys, func(k *verifyKey) bool { return one(k.print) })
}

// keys returns the keys there are now; nil before any could be fetched.
func (i *Issuer) keys() *keySet {
	if i.fetched != nil {
		return i.fetched.set.Load()
	}
	return i.fixed
}

// verify reads a token that is not known, and gives the keys that it was found good by.
func (i *Issuer) verify(ctx context.Context, token string, now time.Time) (*grant, *keySet, error) {
	if len(token) > maxJWT {
		return nil, nil, errJWTTooLarge
	}
	// Decoders skip line ends: the same token could be written in many ways.
	if strings.ContainsFunc(token, func(r rune) bool { return !tokenRune(r) }) {
		return nil, nil, errMalformed
	}
	c := &claims{name: i.cfg.Claim}
	var set *keySet
	var picked []*verifyKey
	parsed, err := i.parser.ParseWithClaims(token, c, func(t *jwt.Token) (any, error) {
		// RFC 7515, section 4.1.11.
		if _, critical := t.Header["crit"]; critical {
			return nil, errCritical
		}
		kid, given := t.Header["kid"]
		id, isText := kid.(string)
		if given && !isText {
			return nil, errMalformed
		}
		if err := i.check(c, now); err != nil {
			return nil, err
		}
		var err error
		if picked, set, err = i.pick(ctx, id, given, t.Method.Alg()); err != nil {
			return nil, err
		}
		var keys jwt.VerificationKeySet
		for _, k := range picked {
			keys.Keys = append(keys.Keys, k.key)
		}
		return keys, nil
	})
	var refusal *JWTError
	switch {
	case err == nil:
	case errors.Is(err, ErrNoIssuerKeys):
		return nil, nil, ErrNoIssuerKeys
	case errors.As(err, &refusal):
		return nil, nil, refusal
	case errors.Is(err, jwt.ErrTokenMalformed):
		return nil, nil, errMalformed
	case parsed == nil || parsed.Method == nil || !slices.Contains(i.cfg.Algorithms, parsed.Method.Alg()):
		return nil, nil, errAlgorithm
	default:
		return nil, nil, errSignature
	}
	g, refusal := c.grant(i.cfg.Skew)
	if refusal != nil {
		return nil, nil, refusal
	}
	g.signer = signedBy(picked, parsed).print
	return g, set, nil
}

// check says what is wrong with the registered claims.
func (i *Issuer) check(c *claims, now time.Time) error {
	err := jwt.NewValidator(
		jwt.WithIssuer(i.cfg.Name), jwt.WithAudience(i.cfg.Audience), jwt.WithExpirationRequired(), jwt.WithIssuedAt(),
		jwt.WithLeeway(i.cfg.Skew), jwt.WithTimeFunc(func() time.Time { return now }),
	).Validate(c)
	switch {
	case c.Issuer != i.cfg.Name:
		return errIssuer
	case !slices.Contains(c.Audience, i.cfg.Audience):
		return errAudience
	case c.ExpiresAt == nil:
		return errNoExpiry
	case errors.Is(err, jwt.ErrTokenExpired):
		return errJWTExpired
	case errors.Is(err, jwt.ErrTokenNotValidYet), errors.Is(err, jwt.ErrTokenUsedBeforeIssued):
		return errNotYet
	case err != nil:
		return errMalformed
	}
	until := c.ExpiresAt.Time
	if until.After(now.Add(i.cfg.MaxLifetime+i.cfg.Skew)) || c.IssuedAt != nil && until.After(c.IssuedAt.Add(i.cfg.MaxLifetime)) {
		return errLifetime
	}
	return nil
}

// pick finds the keys that a token may be signed with, and the set that they are of. If none is known, newer ones are
// asked for.
func (i *Issuer) pick(ctx context.Context, kid string, hasKid bool, alg string) ([]*verifyKey, *keySet, error) {
	set := i.keys()
	if set != nil {
		picked, err := set.pick(kid, hasKid, alg)
		if err == nil {
			return picked, set, nil
		}
		if err != errUnknownKey || i.fetched == nil {
			return picked, nil, err
		}
	}
	sure := i.fetched.renew(ctx)
	if set = i.keys(); set != nil {
		picked, err := set.pick(kid, hasKid, alg)
		if err == nil {
			return picked, set, nil
		}
		if err != errUnknownKey || sure {
			return picked, nil, err
		}
	}
	return nil, nil, ErrNoIssuerKeys
}

// tokenRune reports whether a character can stand in a JWS in the compact form.
func tokenRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.'
}
