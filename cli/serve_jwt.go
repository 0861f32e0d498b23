package cli

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/carillon/carillon/access"
	"github.com/carillon/carillon/event"
)

// jwtSettings names the issuer whose JWTs are taken besides keys.
type jwtSettings struct {
	Issuer      string        `group:"access" placeholder:"TEXT" help:"Take JWTs of this issuer, exactly as iss has it, besides keys. Needs --jwt-audience, and one of --jwt-jwks-url, --jwt-key-file and --jwt-secret-file."`
	Audience    string        `group:"access" placeholder:"TEXT" help:"What a JWT's aud must be, or have among others."`
	JWKSURL     string        `name:"jwks-url" group:"access" placeholder:"URL" help:"Where the issuer publishes its keys: https, or http at a loopback address."`
	KeyFile     string        `group:"access" placeholder:"FILE" help:"The issuer's public keys in PEM, at most four."`
	SecretFile  string        `group:"access" placeholder:"FILE" help:"A file that holds the secret which is shared with the issuer, for HS256, HS384 and HS512: 32 bytes at least; a line end after it is not part of it."`
	Algorithms  []string      `group:"access" placeholder:"ALG" help:"An algorithm that a JWT may be signed with, such as RS256; all that fit the keys if not given. Repeatable."`
	Skew        time.Duration `group:"access" default:"30s" placeholder:"TIME" help:"How much the issuer's clock may differ; 5m at most."`
	MaxLifetime time.Duration `group:"access" default:"24h" placeholder:"TIME" help:"JWTs that are valid for longer are refused: nobody can take one back."`
	Claim       string        `group:"access" default:"carillon" placeholder:"NAME" help:"The claim that holds scopes, topics and tenant, for issuers that want such names to be URLs."`
}

// Bounds of what can be set.
const (
	maxJWTSkew     = 5 * time.Minute
	minJWTLifetime = time.Minute
	maxJWTLifetime = 365 * 24 * time.Hour
	maxJWTKeyFile  = 64 << 10
)

// on reports whether JWTs are taken.
func (s *jwtSettings) on() bool { return s.Issuer != "" }

// check says what is wrong with values that can be parsed.
func (s *jwtSettings) check() error {
	sources := 0
	for _, source := range []string{s.JWKSURL, s.KeyFile, s.SecretFile} {
		if source != "" {
			sources++
		}
	}
	switch {
	case !s.on() && (s.Audience != "" || sources > 0 || len(s.Algorithms) > 0):
		return errors.New("--jwt-issuer is missing: the other --jwt flags say more of it")
	case s.on() && s.Audience == "":
		return errors.New("--jwt-audience is missing: a JWT that the issuer made for somebody else would be taken too")
	case s.on() && sources != 1:
		return errors.New("--jwt-issuer needs exactly one of --jwt-jwks-url, --jwt-key-file and --jwt-secret-file")
	case s.Skew < 0 || s.Skew > maxJWTSkew:
		return errors.New("--jwt-skew must be 0 to 5m")
	case s.MaxLifetime < minJWTLifetime || s.MaxLifetime > maxJWTLifetime:
		return errors.New("--jwt-max-lifetime must be 1m to 365d")
	case s.Claim == "":
		return errors.New("--jwt-claim must name a claim")
	}
	if s.JWKSURL != "" {
		if err := access.CheckJWKSURL(s.JWKSURL); err != nil {
			return fmt.Errorf("--jwt-jwks-url: %w", err)
		}
	}
	allowed, public := access.Algorithms()
	if s.SecretFile == "" {
		allowed = public
	}
	for _, alg := range s.Algorithms {
		if !slices.Contains(allowed, alg) {
			return fmt.Errorf("--jwt-algorithms: %q is none for keys of this kind; %s are", alg, strings.Join(allowed, ", "))
		}
	}
	return nil
}

// issuerConfig reads the keys. What only the running gateway has is left to [jwtSettings.issuer].
func (s *jwtSettings) issuerConfig() (access.IssuerConfig, error) {
	cfg := access.IssuerConfig{
		Name: s.Issuer, Audience: s.Audience, JWKS: s.JWKSURL, Algorithms: s.Algorithms,
		Skew: s.Skew, MaxLifetime: s.MaxLifetime, Claim: s.Claim,
	}
	switch {
	case s.KeyFile != "":
		text, err := readSmall(s.KeyFile, maxJWTKeyFile)
		if err != nil {
			return cfg, fmt.Errorf("--jwt-key-file: %w", err)
		}
		if cfg.PublicKeys, err = access.ParsePublicKeys(text); err != nil {
			return cfg, fmt.Errorf("--jwt-key-file: %w", err)
		}
	case s.SecretFile != "":
		text, err := readSmall(s.SecretFile, maxAdminKey)
		if err != nil {
			return cfg, fmt.Errorf("--jwt-secret-file: %w", err)
		}
		// Editors and echo end a file with a newline.
		text = bytes.TrimRight(text, "\r\n")
		if len(text) < access.MinSecret || len(text) > maxAdminKey {
			return cfg, fmt.Errorf("--jwt-secret-file: the secret has %d bytes; %d to %d are allowed", len(text), access.MinSecret, maxAdminKey)
		}
		cfg.Secret = event.Secret(text)
	}
	return cfg, nil
}

// issuer makes the issuer; nil: no JWT is taken.
func (s *jwtSettings) issuer(log *slog.Logger, metrics prometheus.Registerer, userAgent string,
	tenant func(string) (event.TenantID, bool)) (*access.Issuer, error) {
	if !s.on() {
		return nil, nil
	}
	cfg, err := s.issuerConfig()
	if err != nil {
		return nil, usageError{err}
	}
	cfg.Log, cfg.Registerer, cfg.UserAgent, cfg.Tenant = log, metrics, userAgent, tenant
	issuer, err := access.NewIssuer(cfg)
	if err == nil {
		log.Info("JWTs are taken besides keys: every request needs one or the other", "issuer", s.Issuer, "audience", s.Audience)
	}
	return issuer, err
}
