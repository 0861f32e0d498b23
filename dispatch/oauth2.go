package dispatch

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/carillon/carillon/event"
)

const (
	// maxTokenAnswer is how much of a token endpoint's answer is read.
	maxTokenAnswer = 64 << 10
	// maxTokenBytes is how long a token may be: it stands in a header of each request.
	maxTokenBytes = 16 << 10
	// maxTokens is how many credentials have their tokens kept.
	maxTokens = 1024
	// undatedLife is how long a token is used whose life the endpoint does not tell (RFC 6749, section 5.1). One that ends
	// sooner is dropped when a webhook answers 401.
	undatedLife = time.Hour
	// maxEarly is how long before its end a token is no longer used, for those that live ten times as long: what is sent
	// with it has to arrive in time.
	maxEarly = time.Minute
)

// errNoToken is why an answer of a token endpoint is of no use.
var errNoToken = errors.New("the token endpoint's answer holds no bearer token")

// tokenError is a token endpoint's refusal.
type tokenError struct {
	status int
	code   string // of RFC 6749, section 5.2; empty where the answer had no such one
}

func (e *tokenError) Error() string {
	if e.code == "" {
		return fmt.Sprintf("the token endpoint answered %d", e.status)
	}
	return fmt.Sprintf("the token endpoint answered %d, %s", e.status, e.code)
}

// tokens keeps the bearer tokens of OAuth 2.0 client credentials (RFC 6749, section 4.4), until a little before their
// end. Safe for concurrent use; of many that want the same token one asks for it.
type tokens struct {
	client *http.Client

	mu   sync.Mutex
	held map[credential]*heldToken
	turn uint64
}

// credential is a digest of all that a token depends on.
type credential [sha256.Size]byte

// heldToken is one credential's token. Its fields belong to the lock of tokens.
type heldToken struct {
	text  string
	until time.Time        // it is used until then
	style oauth2.AuthStyle // how the endpoint takes the client's secret, once that is known
	asked *asking          // somebody is asking for a new one
	used  uint64           // the turn in which it was wanted last
}

// asking is a request for a token, and what came of it once done is closed.
type asking struct {
	done      chan struct{}
	text      string
	err       error
	abandoned bool // the one who asked had to leave: err says nothing to the others
}

func newTokens(transport http.RoundTripper, userAgent string) *tokens {
	return &tokens{
		client: &http.Client{
			Transport: &tokenTransport{transport, userAgent},
			// A redirect would carry the client's secret to wherever the endpoint likes.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		held: make(map[credential]*heldToken),
	}
}

// token gives the token for an auth, within ctx. Who waits for another's asking shares its failure, unless that other
// had to leave.
func (t *tokens) token(ctx context.Context, a *event.Auth) (string, error) {
	for {
		t.mu.Lock()
		held := t.holder(credentialOf(a))
		if time.Now().Before(held.until) {
			defer t.mu.Unlock()
			return held.text, nil
		}
		ask, mine := held.asked, false
		if ask == nil {
			ask, mine = &asking{done: make(chan struct{})}, true
			held.asked = ask
		}
		t.mu.Unlock()
		if mine {
			t.ask(ctx, a, held, ask)
			return ask.text, ask.err
		}
		select {
		case <-ask.done:
			if !ask.abandoned {
				return ask.text, ask.err
			}
		case <-ctx.Done():
			return "", fmt.Errorf("waiting for it: %w", ctx.Err())
		}
	}
}

// holder finds the place of a credential's token, or makes it. The lock is held.
func (t *tokens) holder(c credential) *heldToken {
	t.turn++
	held := t.held[c]
	if held == nil {
		if len(t.held) >= maxTokens {
			oldest, at := credential{}, t.turn
			for c, h := range t.held {
				if h.used < at {
					oldest, at = c, h.used
				}
			}
			delete(t.held, oldest)
		}
		held = new(heldToken)
		t.held[c] = held
	}
	held.used = t.turn
	return held
}

// ask asks the endpoint, and tells those who wait.
func (t *tokens) ask(ctx context.Context, a *event.Auth, held *heldToken, ask *asking) {
	t.mu.Lock()
	style := held.style
	t.mu.Unlock()
	defer close(ask.done)
	token, style, err := t.fetch(ctx, a, style)
	ask.err, ask.abandoned = err, err != nil && ctx.Err() != nil

	t.mu.Lock()
	defer t.mu.Unlock()
	held.asked = nil
	if err != nil {
		return
	}
	ask.text, held.text, held.style = token.AccessToken, token.AccessToken, style
	life := undatedLife
	if !token.Expiry.IsZero() {
		life = time.Until(token.Expiry)
	}
	held.until = time.Now().Add(life - min(life/10, maxEarly))
}

// drop forgets a token that a webhook did not take. One that has taken its place meanwhile stays.
func (t *tokens) drop(a *event.Auth, text string) {
	c := credentialOf(a)
	t.mu.Lock()
	defer t.mu.Unlock()
	if held := t.held[c]; held != nil && held.text == text {
		held.text, held.until = "", time.Time{}
	}
}

// fetch asks the endpoint for a token. Endpoints take the client's secret in a header, as RFC 6749, section 2.3.1, wants
// them to, or only in the body: where the style is not known, the second is tried after the first was refused.
func (t *tokens) fetch(ctx context.Context, a *event.Auth, style oauth2.AuthStyle) (*oauth2.Token, oauth2.AuthStyle, error) {
	known := style != oauth2.AuthStyleAutoDetect
	if !known {
		style = oauth2.AuthStyleInHeader
	}
	token, err := t.exchange(ctx, a, style)
	var refusal *tokenError
	if !known && errors.As(err, &refusal) && (refusal.status == http.StatusBadRequest || refusal.status == http.StatusUnauthorized) {
		style = oauth2.AuthStyleInParams
		token, err = t.exchange(ctx, a, style)
	}
	return token, style, err
}

// exchange makes one request to the endpoint. Its errors repeat nothing of what the endpoint says: that may be anything,
// the client's secret as well.
func (t *tokens) exchange(ctx context.Context, a *event.Auth, style oauth2.AuthStyle) (*oauth2.Token, error) {
	config := clientcredentials.Config{
		ClientID: a.ClientID, ClientSecret: a.ClientSecret.Reveal(), TokenURL: a.TokenURL, Scopes: a.Scopes, AuthStyle: style,
		EndpointParams: make(url.Values, len(a.Params)),
	}
	for name, value := range a.Params {
		config.EndpointParams.Set(name, value)
	}
	token, err := config.Token(context.WithValue(ctx, oauth2.HTTPClient, t.client))
	var (
		refusal *oauth2.RetrieveError
		network *url.Error
	)
	switch {
	case err == nil:
		if !strings.EqualFold(token.Type(), "Bearer") || len(token.AccessToken) > maxTokenBytes || !visible(token.AccessToken) {
			return nil, errNoToken
		}
		return token, nil
	case errors.As(err, &refusal):
		return nil, &tokenError{refusal.Response.StatusCode, errorCode(refusal.ErrorCode)}
	case errors.As(err, &network):
		return nil, &answerError{"asking the token endpoint", network.Err}
	default:
		return nil, errNoToken
	}
}

// errorCode gives an error code of RFC 6749, section 5.2, and nothing for any other text.
func errorCode(s string) string {
	switch s {
	case "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope":
		return s
	}
	return ""
}

// tokenTransport sends requests to token endpoints.
type tokenTransport struct {
	http.RoundTripper
	userAgent string
}

// RoundTrip implements [http.RoundTripper].
func (t *tokenTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header["User-Agent"] = []string{t.userAgent}
	r.Header["Accept"] = []string{jsonType}
	resp, err := t.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode < 200 {
		_ = resp.Body.Close()
		return nil, errSwitched
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, maxTokenAnswer), resp.Body}
	return resp, nil
}

// credentialOf digests what a token, or a client's connections, depend on.
func credentialOf(a *event.Auth) credential {
	h := sha256.New()
	write := func(texts ...string) {
		for _, s := range texts {
			fmt.Fprintf(h, "%d:%s", len(s), s)
		}
	}
	write(string(a.Type))
	switch a.Type {
	case event.AuthOAuth2:
		write(a.TokenURL, a.ClientID, a.ClientSecret.Reveal(), strings.Join(a.Scopes, " "))
		for _, name := range slices.Sorted(maps.Keys(a.Params)) {
			write(name, a.Params[name])
		}
	case event.AuthMTLS:
		write(a.Certificate, a.PrivateKey.Reveal(), a.CA)
	}
	return credential(h.Sum(nil))
}
