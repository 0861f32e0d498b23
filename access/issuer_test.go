package access_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/carillon/carillon/access"
	"github.com/carillon/carillon/event"
)

const (
	issuerName = "https://issuer.example/"
	audience   = "carillon.example"
	secret     = "0123456789abcdef0123456789abcdef"
)

// testKeys are made once: an RSA key takes a while.
var testKeys = sync.OnceValue(func() (k struct {
	rsa, rsa2  *rsa.PrivateKey
	p256, p384 *ecdsa.PrivateKey
	ed         ed25519.PrivateKey
}) {
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	var err error
	k.rsa, err = rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	k.rsa2, err = rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	k.p256, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	k.p384, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	must(err)
	_, k.ed, err = ed25519.GenerateKey(rand.Reader)
	must(err)
	return k
})

// good is the claims set of a good token, with some claims changed; nil takes one away.
func good(now time.Time, changed map[string]any) jwt.MapClaims {
	c := jwt.MapClaims{
		"iss": issuerName, "aud": audience, "sub": "ann", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "scope": "publish",
	}
	maps.Copy(c, changed)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

// signed makes a token. header is added to its header.
func signed(t testing.TB, alg string, key any, header map[string]any, c jwt.MapClaims) event.Secret {
	t.Helper()
	token := jwt.NewWithClaims(jwt.GetSigningMethod(alg), c)
	maps.Copy(token.Header, header)
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return event.Secret(text)
}

// door is keys with an issuer, and what it counts and logs.
type door struct {
	*access.Keys
	issuer  *access.Issuer
	metrics *prometheus.Registry
	log     *lockedLog
}

// lockedLog can be read while it is written.
type lockedLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newDoor(t testing.TB, cfg access.IssuerConfig) *door {
	t.Helper()
	d := &door{metrics: prometheus.NewRegistry(), log: new(lockedLog)}
	cfg.Name, cfg.Audience, cfg.Claim, cfg.UserAgent = issuerName, audience, "carillon", "Carillon/test"
	cfg.Registerer, cfg.Log = d.metrics, slog.New(slog.NewTextHandler(d.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if cfg.MaxLifetime == 0 {
		cfg.MaxLifetime = 24 * time.Hour
	}
	if cfg.Skew == 0 {
		cfg.Skew = 30 * time.Second
	}
	var err error
	if d.issuer, err = access.NewIssuer(cfg); err != nil {
		t.Fatal(err)
	}
	d.Keys, err = access.New(access.Config{Store: &fakeStore{}, Log: cfg.Log, Issuer: d.issuer, AdminKey: "the.admin's.key"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// counted returns what a metric with one label counts.
func (d *door) counted(t testing.TB, name, label, value string) float64 {
	t.Helper()
	families, err := d.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && (label == "" || len(m.GetLabel()) == 1 && m.GetLabel()[0].GetName() == label && m.GetLabel()[0].GetValue() == value) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("no metric %s with %s=%s", name, label, value)
	return 0
}

// refuses checks that a token is refused for the reason, that this is counted, and that nothing of the token is told.
func (d *door) refuses(t testing.TB, name string, token event.Secret, now time.Time, reason string) {
	t.Helper()
	before := d.counted(t, "carillon_jwt_refused_total", "reason", reason)
	who, err := d.Admit(t.Context(), token, now)
	var refusal *access.JWTError
	got := "no-keys"
	if errors.As(err, &refusal) {
		got = refusal.Reason
	} else if !errors.Is(err, access.ErrNoIssuerKeys) {
		t.Errorf("%s: %v, want it refused as %s", name, err, reason)
		return
	}
	if got != reason {
		t.Errorf("%s: refused as %s (%v), want %s", name, got, err, reason)
	}
	if who.Tenant != 0 || len(who.Scopes) > 0 {
		t.Errorf("%s: refused, and may do things: %+v", name, who)
	}
	if d.counted(t, "carillon_jwt_refused_total", "reason", reason) != before+1 {
		t.Errorf("%s: it was not counted as %s", name, reason)
	}
	if parts := strings.Split(token.Reveal(), "."); len(parts[1]) > 8 && (strings.Contains(err.Error(), parts[1]) || strings.Contains(d.log.String(), parts[1])) {
		t.Errorf("%s: the token is told", name)
	}
}

// takes checks that a token is taken, and gives who it is of.
func (d *door) takes(t testing.TB, name string, token event.Secret, now time.Time) access.Principal {
	t.Helper()
	who, err := d.Admit(t.Context(), token, now)
	if err != nil {
		t.Errorf("%s: %v", name, err)
	}
	return who
}

func publicPEM(t testing.TB, key crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func TestJWTWithASharedSecret(t *testing.T) {
	d := newDoor(t, access.IssuerConfig{Secret: secret})
	now := time.Now()
	sign := func(changed map[string]any) event.Secret {
		return signed(t, "HS256", []byte(secret), nil, good(now, changed))
	}
	if d.Open() {
		t.Error("with an issuer everybody may come in")
	}
	who := d.takes(t, "a good one", sign(nil), now)
	if who.Tenant != event.DefaultTenant || who.KeyText() != "jwt:ann" || !who.Key.IsZero() || !who.May(event.ScopePublish) || who.May(event.ScopeSubscribe) ||
		!who.Reaches("any") || !who.Expires.Equal(time.Unix(now.Add(time.Hour+30*time.Second).Unix(), 0)) {
		t.Errorf("it is %+v", who)
	}
	for _, alg := range []string{"HS384", "HS512"} {
		d.takes(t, alg, signed(t, alg, []byte(secret), nil, good(now, nil)), now)
	}
	d.takes(t, "a kid, which a secret has not", signed(t, "HS256", []byte(secret), map[string]any{"kid": "../../dev/null"}, good(now, nil)), now)
	d.takes(t, "of many audiences one", sign(map[string]any{"aud": []string{"other", audience}}), now)

	// Of the times each edge, with the skew of 30 s.
	second := func(n int) int64 { return now.Unix() + int64(n) }
	at := time.Unix(now.Unix(), 0)
	d.takes(t, "expired within the skew", sign(map[string]any{"iat": second(-60), "exp": second(-29)}), at)
	d.takes(t, "not yet, within the skew", sign(map[string]any{"nbf": second(30)}), at)
	d.takes(t, "issued in the future, within the skew", sign(map[string]any{"iat": second(30)}), at)
	d.takes(t, "no iat", sign(map[string]any{"iat": nil}), at)
	d.takes(t, "a whole day", sign(map[string]any{"iat": second(0), "exp": second(86400)}), at)
	d.takes(t, "a fraction", sign(map[string]any{"exp": float64(second(60)) + .5}), at)

	for _, c := range []struct {
		name, reason string
		changed      map[string]any
	}{
		{"expired", "expired", map[string]any{"iat": second(-60), "exp": second(-30)}},
		{"not yet", "not-yet", map[string]any{"nbf": second(31)}},
		{"issued in the future", "not-yet", map[string]any{"iat": second(31)}},
		{"no exp", "lifetime", map[string]any{"exp": nil}},
		{"exp null", "lifetime", map[string]any{"exp": json.RawMessage("null")}},
		{"EXP", "lifetime", map[string]any{"exp": nil, "EXP": second(60)}},
		{"more than a day", "lifetime", map[string]any{"exp": second(86401)}},
		{"more than a day without iat", "lifetime", map[string]any{"iat": nil, "exp": second(86431)}},
		{"exp beyond all calendars", "malformed", map[string]any{"exp": 1e300}},
		{"exp before all", "malformed", map[string]any{"exp": -1}},
		{"exp a text", "malformed", map[string]any{"exp": fmt.Sprint(second(60))}},
		{"nbf a text", "malformed", map[string]any{"nbf": "now"}},
		{"another issuer", "issuer", map[string]any{"iss": "https://issuer.example"}},
		{"another issuer, longer", "issuer", map[string]any{"iss": issuerName + "x"}},
		{"no issuer", "issuer", map[string]any{"iss": nil}},
		{"issuers", "malformed", map[string]any{"iss": []string{issuerName}}},
		{"another audience", "audience", map[string]any{"aud": "other"}},
		{"other audiences", "audience", map[string]any{"aud": []string{"other", audience + ".evil.example"}}},
		{"no audience", "audience", map[string]any{"aud": nil}},
		{"an empty audience", "audience", map[string]any{"aud": ""}},
		{"no audiences", "audience", map[string]any{"aud": []string{}}},
		{"audiences that are none", "malformed", map[string]any{"aud": []any{1}}},
		{"sub no text", "malformed", map[string]any{"sub": 7}},
	} {
		d.refuses(t, c.name, sign(c.changed), at, c.reason)
	}
}

// What is not as it should be with a token's form, or its signature.
func TestJWTThatIsNone(t *testing.T) {
	d := newDoor(t, access.IssuerConfig{Secret: secret})
	now := time.Now()
	ok := signed(t, "HS256", []byte(secret), nil, good(now, nil)).Reveal()
	head, rest, _ := strings.Cut(ok, ".")
	body, sum, _ := strings.Cut(rest, ".")
	b64 := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	header := func(h map[string]any) event.Secret { return signed(t, "HS256", []byte(secret), h, good(now, nil)) }
	for name, c := range map[string]struct {
		token  string
		reason string
	}{
		"wrong secret":      {signed(t, "HS256", []byte(secret+"x"), nil, good(now, nil)).Reveal(), "signature"},
		"no signature":      {head + "." + body + ".", "signature"},
		"cut off":           {ok[:len(ok)-3], "signature"},
		"cut off oddly":     {ok[:len(ok)-2], "malformed"},
		"another signature": {head + "." + body + "." + b64(strings.Repeat("x", 32)), "signature"},
		"other claims":      {head + "." + b64(strings.Replace(claimsText(t, body), "publish", "admin", 1)) + "." + sum, "signature"},
		"none":              {b64(`{"alg":"none"}`) + "." + body + ".", "algorithm"},
		"none in capitals":  {b64(`{"alg":"None"}`) + "." + body + ".", "algorithm"},
		"none, signed":      {b64(`{"alg":"none"}`) + "." + body + "." + sum, "algorithm"},
		"no alg":            {b64(`{}`) + "." + body + "." + sum, "algorithm"},
		"alg a number":      {b64(`{"alg":1}`) + "." + body + "." + sum, "algorithm"},
		"unknown alg":       {b64(`{"alg":"HS1"}`) + "." + body + "." + sum, "algorithm"},
		"public alg":        {b64(`{"alg":"RS256"}`) + "." + body + "." + sum, "algorithm"},
		"crit":              {header(map[string]any{"crit": []string{"exp"}}).Reveal(), "critical"},
		"crit that is none": {header(map[string]any{"crit": nil}).Reveal(), "critical"},
		"kid a number":      {header(map[string]any{"kid": 1}).Reveal(), "malformed"},
		"kid null":          {header(map[string]any{"kid": nil}).Reveal(), "malformed"},
		"no header":         {"." + body + "." + sum, "malformed"},
		"header no JSON":    {b64("alg") + "." + body + "." + sum, "malformed"},
		"header a list":     {b64(`["HS256"]`) + "." + body + "." + sum, "malformed"},
		"claims no JSON":    {head + "." + b64("x") + "." + sum, "malformed"},
		"claims null":       {head + "." + b64("null") + "." + sum, "issuer"},
		"only dots":         {"..", "malformed"},
		"padded":            {head + "." + body + "." + sum + "=", "malformed"},
		"standard base64":   {head + "." + body + "." + strings.Repeat("+", len(sum)), "malformed"},
		"line ends":         {head + "." + body + "." + sum[:4] + "\n" + sum[4:], "malformed"},
		"not in ASCII":      {head + ".é." + sum, "malformed"},
		"too large":         {signed(t, "HS256", []byte(secret), nil, good(now, map[string]any{"pad": strings.Repeat("x", 8<<10)})).Reveal(), "too-large"},
	} {
		d.refuses(t, name, event.Secret(c.token), now, c.reason)
	}
	// Of the last character of a signature two bits say nothing: only one spelling is taken.
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(digits, ok[len(ok)-1])
	d.refuses(t, "another spelling", event.Secret(ok[:len(ok)-1]+digits[last^1:][:1]), now, "malformed")

	// What has another form is a key, or nothing.
	for name, token := range map[string]string{
		"two parts": head + "." + body, "encrypted": ok + "." + b64("x") + "." + b64("y"), "JSON": `{"payload":"` + body + `"}`,
	} {
		if _, err := d.Admit(t.Context(), event.Secret(token), now); !errors.Is(err, access.ErrUnknown) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The configuration's key comes first.
	if who := d.takes(t, "the admin's key", "the.admin's.key", now); !who.May(event.ScopeAdmin) {
		t.Errorf("it is %+v", who)
	}
	// Where no issuer is configured, a JWT is nothing.
	keys, _ := newKeys(t, &fakeStore{}, "", nil)
	if _, err := keys.Admit(t.Context(), event.Secret(ok), now); !errors.Is(err, access.ErrUnknown) {
		t.Errorf("without an issuer: %v", err)
	}
}

func claimsText(t *testing.T, body string) string {
	t.Helper()
	text, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestWhatClaimsGrant(t *testing.T) {
	tenants := map[string]event.TenantID{"acme": 7}
	d := newDoor(t, access.IssuerConfig{Secret: secret, Tenant: func(name string) (event.TenantID, bool) {
		id, found := tenants[name]
		return id, found
	}})
	now := time.Now()
	sign := func(changed map[string]any) event.Secret {
		return signed(t, "HS256", []byte(secret), nil, good(now, changed))
	}
	own := func(text string) map[string]any { return map[string]any{"carillon": json.RawMessage(text)} }
	for _, c := range []struct {
		name    string
		changed map[string]any
		scopes  string
		topics  string
		tenant  event.TenantID
		key     string
	}{
		{"scope", map[string]any{"scope": "openid publish  carillon:subscribe publish other:manage"}, "publish subscribe", "", 1, "jwt:ann"},
		{"no scope", map[string]any{"scope": nil}, "", "", 1, "jwt:ann"},
		{"scope a list", map[string]any{"scope": []string{"publish"}}, "", "", 1, "jwt:ann"},
		{"own", own(`{"scopes":["subscribe","x"],"topics":["orders.**","a.*"],"tenant":"acme"}`), "subscribe", "orders.** a.*", 7, "jwt:ann"},
		{"own, of no scopes", own(`{"scopes":[]}`), "", "", 1, "jwt:ann"},
		{"own, with scope", own(`{"topics":["a"]}`), "publish", "a", 1, "jwt:ann"},
		{"admin", own(`{"scopes":["admin","publish"]}`), "admin publish", "", 1, "jwt:ann"},
		{"Own", map[string]any{"Carillon": map[string]any{"scopes": []string{"admin"}}}, "publish", "", 1, "jwt:ann"},
		{"no sub", map[string]any{"sub": nil}, "publish", "", 1, "jwt:"},
		{"a long sub", map[string]any{"sub": strings.Repeat("x", 65)}, "publish", "", 1, "jwt:sha256 "},
		{"a sub with a space", map[string]any{"sub": "sha256 x"}, "publish", "", 1, "jwt:sha256 "},
		{"a sub that is no text", map[string]any{"sub": "\x00é"}, "publish", "", 1, "jwt:sha256 "},
	} {
		who := d.takes(t, c.name, sign(c.changed), now)
		var scopes, topics []string
		for _, s := range who.Scopes {
			scopes = append(scopes, string(s))
		}
		for _, p := range who.Patterns {
			topics = append(topics, string(p))
		}
		if strings.Join(scopes, " ") != c.scopes || strings.Join(topics, " ") != c.topics || who.Tenant != c.tenant {
			t.Errorf("%s: %+v", c.name, who)
		}
		key := who.KeyText()
		if strings.HasSuffix(c.key, " ") {
			key = key[:min(len(key), len(c.key))]
		}
		if key != c.key || len(who.KeyText()) > 70 {
			t.Errorf("%s: it is called %q", c.name, who.KeyText())
		}
	}
	many := `["a"` + strings.Repeat(`,"a"`, event.MaxPatterns) + `]`
	for _, text := range []string{
		`null`, `1`, `"publish"`, `["publish"]`, `{"scope":["publish"]}`, `{"Topics":["a"]}`, `{"topic":"a"}`, `{"scopes":"publish"}`, `{"scopes":null}`, `{"scopes":[1]}`,
		`{"topics":[]}`, `{"topics":null}`, `{"topics":"a"}`, `{"topics":["a b"]}`, `{"topics":[""]}`, `{"topics":["**.a"]}`, `{"topics":` + many + `}`,
		`{"tenant":""}`, `{"tenant":null}`, `{"tenant":7}`, `{"scopes":["admin"],"topics":["**"]}`,
	} {
		d.refuses(t, text, sign(own(text)), now, "claims")
	}
	d.refuses(t, "a foreign tenant", sign(own(`{"tenant":"other"}`)), now, "tenant")
	// A tenant that goes takes those with it who were let in before.
	token := sign(own(`{"tenant":"acme"}`))
	d.takes(t, "before", token, now)
	delete(tenants, "acme")
	d.refuses(t, "after", token, now, "tenant")
	// And a token that was let in ends at its time.
	token = sign(nil)
	d.takes(t, "in time", token, now)
	d.refuses(t, "out of time", token, now.Add(time.Hour+30*time.Second), "expired")
}

// The default tenant is the only one where nothing knows of others.
func TestJWTOfTheDefaultTenant(t *testing.T) {
	d := newDoor(t, access.IssuerConfig{Secret: secret})
	now := time.Now()
	for name, reason := range map[string]string{"default": "", "acme": "tenant"} {
		token := signed(t, "HS256", []byte(secret), nil, good(now, map[string]any{"carillon": map[string]any{"tenant": name}}))
		if reason != "" {
			d.refuses(t, name, token, now, reason)
		} else if who := d.takes(t, name, token, now); who.Tenant != event.DefaultTenant {
			t.Errorf("%+v", who)
		}
	}
}

func TestJWTWithPublicKeys(t *testing.T) {
	k := testKeys()
	var text []byte
	for _, key := range []crypto.PublicKey{k.rsa.Public(), k.p256.Public(), k.ed.Public()} {
		text = append(text, publicPEM(t, key)...)
	}
	public, err := access.ParsePublicKeys(text)
	if err != nil {
		t.Fatal(err)
	}
	d := newDoor(t, access.IssuerConfig{PublicKeys: public})
	now := time.Now()
	for alg, key := range map[string]any{"RS256": k.rsa, "RS512": k.rsa, "PS384": k.rsa, "ES256": k.p256, "EdDSA": k.ed} {
		d.takes(t, alg, signed(t, alg, key, nil, good(now, nil)), now)
		d.takes(t, alg+" with a kid", signed(t, alg, key, map[string]any{"kid": "k1"}, good(now, nil)), now)
	}
	d.refuses(t, "another RSA key", signed(t, "RS256", k.rsa2, nil, good(now, nil)), now, "signature")
	d.refuses(t, "another curve", signed(t, "ES384", k.p384, nil, good(now, nil)), now, "algorithm")

	// The one that everybody tries: a public key is no secret, in whatever form.
	der, err := x509.MarshalPKIXPublicKey(k.rsa.Public())
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string][]byte{"the file": text, "its first key": publicPEM(t, k.rsa.Public()), "DER": der, "PKCS1": x509.MarshalPKCS1PublicKey(&k.rsa.PublicKey), "modulus": k.rsa.N.Bytes(), "nothing": {}} {
		for _, alg := range []string{"HS256", "HS384", "HS512"} {
			d.refuses(t, alg+" with "+name, signed(t, alg, key, nil, good(now, nil)), now, "algorithm")
		}
	}
	// Those that were not pinned are not taken.
	pinned := newDoor(t, access.IssuerConfig{PublicKeys: public, Algorithms: []string{"PS256", "ES256"}})
	pinned.takes(t, "PS256", signed(t, "PS256", k.rsa, nil, good(now, nil)), now)
	pinned.refuses(t, "RS256", signed(t, "RS256", k.rsa, nil, good(now, nil)), now, "algorithm")
	pinned.refuses(t, "EdDSA", signed(t, "EdDSA", k.ed, nil, good(now, nil)), now, "algorithm")
}

func TestIssuersThatCannotBe(t *testing.T) {
	k := testKeys()
	public := []any{k.rsa.Public()}
	for name, c := range map[string]struct {
		cfg  access.IssuerConfig
		want string
	}{
		"short secret":         {access.IssuerConfig{Secret: event.Secret(secret[1:])}, "31 bytes"},
		"HS with public keys":  {access.IssuerConfig{PublicKeys: public, Algorithms: []string{"RS256", "HS256"}}, "HS256"},
		"HS with a JWKS":       {access.IssuerConfig{JWKS: "https://x.example/", Algorithms: []string{"HS256"}}, "HS256"},
		"RS with a secret":     {access.IssuerConfig{Secret: secret, Algorithms: []string{"RS256"}}, "RS256"},
		"none":                 {access.IssuerConfig{Secret: secret, Algorithms: []string{"none"}}, "none"},
		"nothing":              {access.IssuerConfig{}, "no URL"},
		"http":                 {access.IssuerConfig{JWKS: "http://x.example/jwks"}, "https"},
		"http like loopback":   {access.IssuerConfig{JWKS: "http://127.0.0.1.x.example/jwks"}, "https"},
		"http at all":          {access.IssuerConfig{JWKS: "http://0.0.0.0/jwks"}, "https"},
		"another scheme":       {access.IssuerConfig{JWKS: "file:///etc/jwks"}, "no URL"},
		"another scheme, host": {access.IssuerConfig{JWKS: "ftp://localhost/jwks"}, "https"},
		"a password":           {access.IssuerConfig{JWKS: "https://u:p@x.example/"}, "user"},
	} {
		if _, err := access.NewIssuer(c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, url := range []string{"http://localhost:1/jwks", "http://127.0.0.9/", "http://[::1]:8/jwks", "https://x.example/a?b=c"} {
		if err := access.CheckJWKSURL(url); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestPublicKeysInPEM(t *testing.T) {
	k := testKeys()
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(k.ed)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, k.p256.Public(), k.p256)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	for name, c := range map[string]struct {
		text []byte
		n    int
		want string
	}{
		"one":          {publicPEM(t, k.rsa2.Public()), 1, ""},
		"four":         {slices.Repeat(publicPEM(t, k.ed.Public()), 4), 4, ""},
		"text between": {slices.Concat([]byte("the old one\n"), publicPEM(t, k.ed.Public()), []byte("the new one\n"), publicPEM(t, k.p384.Public()), []byte("\n")), 2, ""},
		"PKCS1":        {block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&k.rsa2.PublicKey)), 1, ""},
		"certificate":  {block("CERTIFICATE", certificate), 1, ""},
		"five":         {slices.Repeat(publicPEM(t, k.ed.Public()), 5), 0, "more than 4"},
		"none":         {[]byte("ssh-rsa AAAA"), 0, "no public key"},
		"nothing":      {nil, 0, "no public key"},
		"private":      {block("PRIVATE KEY", private), 0, "private key"},
		"EC private":   {block("EC PRIVATE KEY", nil), 0, "private key"},
		"another":      {block("CERTIFICATE REQUEST", nil), 0, "CERTIFICATE REQUEST"},
		"broken":       {block("PUBLIC KEY", []byte("x")), 0, "key 1"},
		"small":        {publicPEM(t, small.Public()), 0, "1024 bits"},
		"small curve":  {publicPEM(t, p224.Public()), 0, "curve"},
	} {
		keys, err := access.ParsePublicKeys(c.text)
		if len(keys) != c.n || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %d keys, %v", name, len(keys), err)
		}
	}
}

// Whoever the door lets in, what was asked of the issuer is bounded, and nothing is left behind.
func TestIssuerWithFixedKeysEnds(t *testing.T) {
	d := newDoor(t, access.IssuerConfig{Secret: secret})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.issuer.Run(ctx) }()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n, err := testutil.GatherAndCount(d.metrics, "carillon_jwt_refused_total"); n != 14 || err != nil {
		t.Errorf("%d reasons, %v", n, err)
	}
}

// Nothing but what the issuer signed is taken, in no other spelling either.
func FuzzJWT(f *testing.F) {
	// The same in each of the fuzzer's processes: what one of them has signed is good in all.
	now := time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC)
	d := newDoor(f, access.IssuerConfig{Secret: secret})
	valid := map[string]bool{}
	for _, alg := range []string{"HS256", "HS384", "HS512"} {
		token := signed(f, alg, []byte(secret), nil, good(now, nil)).Reveal()
		valid[token] = true
		f.Add(token)
		f.Add(token[:len(token)-1])
		f.Add(token + "=")
	}
	f.Add(signed(f, "HS256", []byte("another secret"), nil, good(now, nil)).Reveal())
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add("..")
	f.Fuzz(func(t *testing.T, token string) {
		who, err := d.Admit(t.Context(), event.Secret(token), now)
		if err == nil && !valid[token] {
			t.Errorf("taken: %q, as %+v", token, who)
		}
		if err != nil && who.Tenant != 0 {
			t.Errorf("refused, and somebody: %+v", who)
		}
	})
}

// Whatever stands in the claims of a token that is taken, its holder is one that the door may let in.
func FuzzJWTClaims(f *testing.F) {
	now := time.Now()
	d := newDoor(f, access.IssuerConfig{Secret: secret})
	base, err := json.Marshal(good(now, nil))
	if err != nil {
		f.Fatal(err)
	}
	for _, more := range []string{
		`,"carillon":{"scopes":["subscribe"],"topics":["orders.**"],"tenant":"default"}`, `,"carillon":{"scopes":["admin"],"topics":["**"]}`,
		`,"carillon":null`, `,"sub":"é"`, `,"exp":1e300`, `,"aud":["x",null]`, `,"scope":"admin carillon:admin"`, `,"nbf":null`,
	} {
		f.Add(more)
	}
	f.Fuzz(func(t *testing.T, more string) {
		header := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256"}`))
		text := header + "." + base64.RawURLEncoding.EncodeToString([]byte(strings.TrimSuffix(string(base), "}")+more+"}"))
		sum, err := jwt.SigningMethodHS256.Sign(text, []byte(secret))
		if err != nil {
			t.Fatal(err)
		}
		who, err := d.Admit(t.Context(), event.Secret(text+"."+base64.RawURLEncoding.EncodeToString(sum)), now)
		if err != nil {
			return
		}
		if who.Tenant != event.DefaultTenant || !who.Expires.After(now) || who.Expires.After(now.Add(24*time.Hour+2*time.Minute)) {
			t.Errorf("%+v", who)
		}
		if who.May(event.ScopeAdmin) && len(who.Patterns) > 0 || len(who.Scopes) > 4 || len(who.Patterns) > event.MaxPatterns {
			t.Errorf("%+v", who)
		}
		for _, p := range who.Patterns {
			if _, err := event.ParsePattern(string(p)); err != nil {
				t.Error(err)
			}
		}
		if key := who.KeyText(); !strings.HasPrefix(key, "jwt:") || len(key) > 70 || strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("it is called %q", key)
		}
	})
}

// What a token costs, by how it is signed, the first time and when it is known: that is why it is remembered.
func BenchmarkJWT(b *testing.B) {
	k := testKeys()
	now := time.Now()
	for _, c := range []struct {
		alg string
		key any
		cfg access.IssuerConfig
	}{
		{"HS256", []byte(secret), access.IssuerConfig{Secret: secret}},
		{"RS256", k.rsa, access.IssuerConfig{PublicKeys: []any{k.rsa.Public()}}},
		{"ES256", k.p256, access.IssuerConfig{PublicKeys: []any{k.p256.Public()}}},
		{"EdDSA", k.ed, access.IssuerConfig{PublicKeys: []any{k.ed.Public()}}},
	} {
		d := newDoor(b, c.cfg)
		b.Run(c.alg+"/first", func(b *testing.B) {
			// More than are remembered, so that each is new again when its turn comes.
			tokens := make([]event.Secret, 4096)
			for i := range tokens {
				tokens[i] = signed(b, c.alg, c.key, nil, good(now, map[string]any{"jti": fmt.Sprint(i)}))
			}
			n := 0
			for b.Loop() {
				if _, err := d.Admit(b.Context(), tokens[n%len(tokens)], now); err != nil {
					b.Fatal(err)
				}
				n++
			}
		})
		b.Run(c.alg+"/known", func(b *testing.B) {
			token := signed(b, c.alg, c.key, nil, good(now, nil))
			for b.Loop() {
				if _, err := d.Admit(b.Context(), token, now); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
