package access_test

import (
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carillon/carillon/access"
	"github.com/carillon/carillon/event"
)

// withIssuer is keys that take JWTs, and make and know tokens.
func withIssuer(t *testing.T, issuer *access.Issuer) *access.Keys {
	t.Helper()
	keys, err := access.New(access.Config{
		Store: &fakeStore{}, Log: slog.New(slog.DiscardHandler), AdminKey: "the.admin's.key", TokenSecret: tokenSecret, Issuer: issuer,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(keys.Close)
	return keys
}

// tokenOfJWT makes a token with a JWT.
func tokenOfJWT(t *testing.T, keys *access.Keys, jwt event.Secret) event.Secret {
	t.Helper()
	who, err := keys.Admit(t.Context(), jwt, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	token, _, err := keys.MakeToken(&who, grant(access.PurposePortal, time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// Whoever could sign JWTs with a key that is taken back has nothing left of it, neither the JWTs nor what they made.
func TestTokenEndsWithItsIssuersKey(t *testing.T) {
	k := testKeys()
	issuer := func(cfg access.IssuerConfig) *access.Issuer { return newDoor(t, cfg).issuer }
	shared := func(text event.Secret) *access.Issuer { return issuer(access.IssuerConfig{Secret: text}) }
	public := func(keys ...any) *access.Issuer { return issuer(access.IssuerConfig{PublicKeys: keys}) }
	now := time.Now()
	bySecret := tokenOfJWT(t, withIssuer(t, shared(secret)), signed(t, "HS256", []byte(secret), nil, good(now, nil)))
	// Of two keys that fit it is the second.
	byRSA := tokenOfJWT(t, withIssuer(t, public(k.rsa2.Public(), k.rsa.Public())), signed(t, "RS256", k.rsa, nil, good(now, nil)))
	for name, c := range map[string]struct {
		token  event.Secret
		issuer *access.Issuer
		want   error
	}{
		"the same secret":         {bySecret, shared(secret), nil},
		"another secret":          {bySecret, shared(secret + "x"), access.ErrMaker},
		"a public key instead":    {bySecret, public(k.rsa.Public()), access.ErrMaker},
		"no issuer":               {bySecret, nil, access.ErrMaker},
		"the key among others":    {byRSA, public(k.ed.Public(), k.rsa.Public()), nil},
		"the key that it was not": {byRSA, public(k.rsa2.Public()), access.ErrMaker},
	} {
		if _, err := withIssuer(t, c.issuer).FindToken(c.token, now); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTokenEndsWhenAJWKSRotates(t *testing.T) {
	k := testKeys()
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{}
		e.set(says(200, jwks(t, jwk(t, "a", k.rsa.Public(), nil)), "Cache-Control", "max-age=300"))
		d, stop := fetching(t, e)
		defer stop()
		keys := withIssuer(t, d.issuer)
		token := tokenOfJWT(t, keys, signed(t, "RS256", k.rsa, kid("a"), good(time.Now(), nil)))

		e.set(says(200, jwks(t, jwk(t, "b", k.p256.Public(), nil), jwk(t, "a2", k.rsa.Public(), nil)), "Cache-Control", "max-age=300"))
		time.Sleep(6 * time.Minute)
		synctest.Wait()
		if _, err := keys.FindToken(token, time.Now()); err != nil {
			t.Errorf("the same key by another name: %v", err)
		}
		e.set(says(200, jwks(t, jwk(t, "b", k.p256.Public(), nil))))
		time.Sleep(6 * time.Minute)
		synctest.Wait()
		if _, err := keys.FindToken(token, time.Now()); !errors.Is(err, access.ErrMaker) {
			t.Errorf("without its key: %v", err)
		}
	})
}
