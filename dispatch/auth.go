package dispatch

import (
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/carillon/carillon/event"
)

// Limits of what a webhook's auth may hold.
const (
	maxCredentialBytes  = 8 << 10 // a user name, password, token, client id or client secret
	maxScopes           = 64
	maxScopeBytes       = 256
	maxParams           = 16
	maxParamBytes       = 1 << 10
	maxCertificateBytes = 64 << 10 // a PEM text of certificates
	maxPrivateKeyBytes  = 16 << 10
)

// setAuthorization sets the header that a webhook's auth is, where that is known without asking anybody.
func setAuthorization(h http.Header, a *event.Auth) {
	switch a.Type {
	case event.AuthBasic:
		pair := a.Username + ":" + a.Password.Reveal()
		h["Authorization"] = []string{"Basic " + base64.StdEncoding.EncodeToString([]byte(pair))}
	case event.AuthBearer:
		h["Authorization"] = []string{"Bearer " + a.Token.Reveal()}
	}
}

// authorize completes what setAuthorization began, and returns the transport that the request has to take. Call release
// once the answer has been read.
func (s *Sender) authorize(ctx context.Context, a *event.Auth, h http.Header) (t *http.Transport, release func(), err error) {
	switch a.Type {
	case event.AuthOAuth2:
		token, err := s.tokens.token(ctx, a)
		if err != nil {
			return nil, nil, &credentialError{err}
		}
		h["Authorization"] = []string{"Bearer " + token}
	case event.AuthMTLS:
		return s.clients.take(a)
	}
	return s.transport, func() {}, nil
}

// refused is told when a webhook answered 401.
func (s *Sender) refused(a *event.Auth, h http.Header) {
	if a.Type == event.AuthOAuth2 {
		s.tokens.drop(a, strings.TrimPrefix(h.Get("Authorization"), "Bearer "))
	}
}

// CheckAuth returns everything that is wrong with a webhook's auth, in the order of its fields, which are auth and a name
// with a dot between. Only the fields that count for the type are looked at. The guard judges where the token endpoint
// is. No text repeats what it is about.
func CheckAuth(a event.Auth, g *Guard) []event.FieldError {
	c := authCheck{}
	switch a.Type {
	case event.AuthNone:
	case event.AuthBasic:
		c.text("username", a.Username)
		c.text("password", a.Password.Reveal())
		if strings.Contains(a.Username, ":") {
			c.add("username", "must have no colon (RFC 7617, section 2)")
		}
	case event.AuthBearer:
		c.token("token", a.Token.Reveal())
	case event.AuthOAuth2:
		c.tokenURL(a.TokenURL, g)
		c.text("client_id", a.ClientID)
		c.text("client_secret", a.ClientSecret.Reveal())
		c.scopes(a.Scopes)
		c.params(a.Params)
	case event.AuthMTLS:
		c.clientCertificate(&a)
	default:
		c.add("type", "must be basic, bearer, oauth2 or mtls")
	}
	return c.bad
}

type authCheck struct{ bad []event.FieldError }

func (c *authCheck) add(name, format string, args ...any) {
	c.bad = append(c.bad, event.FieldError{Field: "auth." + name, Detail: fmt.Sprintf(format, args...)})
}

func (c *authCheck) text(name, value string) {
	switch {
	case value == "":
		c.add(name, "is required")
	case len(value) > maxCredentialBytes:
		c.add(name, "is %d bytes long; at most %d are allowed", len(value), maxCredentialBytes)
	case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }):
		c.add(name, "must have no control characters")
	}
}

// token checks what has to stand behind Bearer. RFC 6750, section 2.1, allows fewer characters; others are in use.
func (c *authCheck) token(name, value string) {
	c.text(name, value)
	if value != "" && !visible(value) {
		c.add(name, "must be visible ASCII without spaces")
	}
}

func (c *authCheck) tokenURL(raw string, g *Guard) {
	const name = "token_url"
	u, err := url.Parse(raw)
	switch {
	case raw == "":
		c.add(name, "is required")
		return
	case len(raw) > event.MaxURLBytes:
		c.add(name, "is %d bytes long; at most %d are allowed", len(raw), event.MaxURLBytes)
		return
	case err != nil:
		c.add(name, "is not a URL")
		return
	case u.User != nil || strings.Contains(raw, "#"):
		c.add(name, "must not carry a user name, a password or a fragment")
		return
	}
	if err := g.CheckURL(raw); err != nil {
		c.add(name, "%s", err)
		return
	}
	// The request carries the client's secret (RFC 6749, section 2.3.1). What stays on this machine may go without TLS.
	if u.Scheme != "https" && !isLoopback(u.Hostname()) {
		c.add(name, "must begin with https://")
	}
}

// isLoopback reports whether a URL's host is this machine.
func isLoopback(host string) bool {
	addr, isLiteral, err := parseLiteral(host)
	if err == nil && isLiteral {
		return addr.Unmap().IsLoopback()
	}
	return loopbackName(host)
}

func (c *authCheck) scopes(scopes []string) {
	if len(scopes) > maxScopes {
		c.add("scopes", "has %d scopes; at most %d are allowed", len(scopes), maxScopes)
		return
	}
	for i, scope := range scopes {
		if scope == "" || len(scope) > maxScopeBytes || !visible(scope) || strings.ContainsAny(scope, `"\`) {
			c.add(fmt.Sprintf("scopes[%d]", i), `must be 1 to %d characters of visible ASCII without " and \`, maxScopeBytes)
		}
	}
}

func (c *authCheck) params(params map[string]string) {
	if len(params) > maxParams {
		c.add("params", "has %d entries; at most %d are allowed", len(params), maxParams)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(params)) {
		value := params[name]
		switch name {
		case "grant_type", "client_id", "client_secret", "scope", "client_assertion", "client_assertion_type":
			c.add("params", "must not have %s, which the grant itself sets", name)
			return
		}
		if name == "" || !visible(name) || len(name) > maxParamBytes || len(value) > maxParamBytes {
			c.add("params", "names must be visible ASCII, and names and values have at most %d bytes", maxParamBytes)
			return
		}
	}
}

// visible reports whether a text has only characters of ASCII that show.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}
