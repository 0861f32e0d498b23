package api_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/carillon/carillon/access"
	"github.com/carillon/carillon/api"
	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/stream"
)

const jwtSecret = "the secret that an issuer shares with the gateway"

// newGatewayWithIssuer serves an API that takes JWTs, and the admin's key. Tenants are found by their names, as they are.
func newGatewayWithIssuer(t *testing.T, streams stream.Config, secret event.Secret) *gateway {
	t.Helper()
	return newGatewayWith(t, streams, adminKey, func(cfg *api.Config) {
		issuer, err := access.NewIssuer(access.IssuerConfig{
			Name: "my-shop", Audience: "carillon", Secret: secret, MaxLifetime: time.Hour, Claim: "carillon", Tenant: cfg.Tenants.ByName,
		})
		if err != nil {
			t.Fatal(err)
		}
		type keyStore interface {
			access.Store
			TokenSecret(ctx context.Context) (event.Secret, error)
		}
		engine := cfg.Store.(keyStore)
		sealing, err := engine.TokenSecret(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		cfg.Access, err = access.New(access.Config{
			Store: engine, Log: cfg.Log, AdminKey: adminKey, TokenSecret: sealing, Issuer: issuer, Ended: cfg.Streams.EndKey,
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// jwtOf is who comes with a JWT of the issuer, for an hour less a minute.
func jwtOf(t *testing.T, claims jwt.MapClaims) headers {
	t.Helper()
	claims["iss"], claims["aud"], claims["exp"] = "my-shop", "carillon", time.Now().Add(59*time.Minute).Unix()
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(jwtSecret))
	if err != nil {
		t.Fatal(err)
	}
	return bearer(text)
}

func TestMeWithAJWT(t *testing.T) {
	g := newGatewayWithIssuer(t, stream.Config{}, jwtSecret)
	a := g.do("GET", "/v1/me", jwtOf(t, jwt.MapClaims{"sub": "ann", "carillon": map[string]any{"scopes": []string{"subscribe"}}}), "").want(200)
	if !strings.Contains(string(a.body), `"kind":"jwt","key":null,"tenant":"default","scopes":["subscribe"]`) {
		t.Errorf("a JWT: %s", a.body)
	}
	// It is taken, and may do nothing; the page asks which scopes there are.
	a = g.do("GET", "/v1/me", jwtOf(t, jwt.MapClaims{"sub": "ann"}), "").want(200)
	if !strings.Contains(string(a.body), `"scopes":[]`) {
		t.Errorf("a JWT without scopes: %s", a.body)
	}
}

// One tenant's streams never keep another's out but by what is the gateway's in all: not by having the same sub, or none.
func TestStreamsPerKeyAreCountedByTenant(t *testing.T) {
	g := newGatewayWithIssuer(t, stream.Config{Limits: stream.Limits{PerKey: 1}}, jwtSecret)
	g.makeTenant("acme", "{}")
	as := func(tenant string) headers {
		return jwtOf(t, jwt.MapClaims{"carillon": map[string]any{"scopes": []string{"subscribe"}, "tenant": tenant}})
	}
	g.linesOf(as("acme"), "/v1/stream?topic=a")
	g.tryBad("GET", "/v1/topics/a/events", as("acme"), "").wantProblem(429, "too-many-streams")
	g.do("GET", "/v1/topics/a/events", as("default"), "").want(200)
}
