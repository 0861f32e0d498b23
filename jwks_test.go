package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// rotatingIssuer is an issuer with a JWKS that has all keys but those that were withdrawn.
type rotatingIssuer struct {
	server *httptest.Server

	mu      sync.Mutex
	keys    map[string]*ecdsa.PrivateKey
	broken  bool
	fetches int
}

func newRotatingIssuer(t *testing.T) *rotatingIssuer {
	i := &rotatingIssuer{keys: map[string]*ecdsa.PrivateKey{}}
	i.server = httptest.NewServer(i)
	t.Cleanup(i.server.Close)
	return i
}

// ServeHTTP implements [http.Handler].
func (i *rotatingIssuer) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.fetches++
	if i.broken {
		http.Error(w, "down", http.StatusBadGateway)
		return
	}
	set := map[string][]map[string]string{"keys": {}}
	for id, key := range i.keys {
		point, err := key.PublicKey.Bytes()
		if err != nil {
			panic(err) // the key was generated
		}
		b64 := base64.RawURLEncoding.EncodeToString
		set["keys"] = append(set["keys"], map[string]string{
			"kty": "EC", "crv": "P-256", "kid": id, "use": "sig", "alg": "ES256", "x": b64(point[1:33]), "y": b64(point[33:]),
		})
	}
	w.Header().Set("Cache-Control", "max-age=86400")
	_ = json.NewEncoder(w).Encode(set)
}

// rotate makes a new key, and withdraws another; none if it is empty.
func (i *rotatingIssuer) rotate(t *testing.T, id, withdrawn string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys[id] = key
	delete(i.keys, withdrawn)
}

func (i *rotatingIssuer) fail(broken bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.broken = broken
}

func (i *rotatingIssuer) asked() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetches
}

// issuedToken is signed with the key, which need not be published any more.
func issuedToken(t *testing.T, issuer, id string, key *ecdsa.PrivateKey) string {
	t.Helper()
	claims := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"iss": issuer, "aud": "carillon", "sub": "ann", "exp": time.Now().Add(time.Hour).Unix(), "scope": "publish subscribe",
	})
	claims.Header["kid"] = id
	text, err := claims.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// The real binary follows an issuer that rotates its keys, starts while it is down, and is not made to flood it. It listens
// on all addresses without a key of its own.
func TestGatewayFollowsAnIssuer(t *testing.T) {
	issuer := newRotatingIssuer(t)
	issuer.rotate(t, "first", "")
	issuer.fail(true)
	gateway, err := start(t.TempDir(), nil, "serve", "--listen", "0.0.0.0:0", "--data", t.TempDir(), "--log-level", "debug",
		"--jwt-issuer", issuer.server.URL, "--jwt-audience", "carillon", "--jwt-jwks-url", issuer.server.URL+"/jwks")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(gateway.kill)
	text, err := gateway.address()
	if err != nil {
		t.Fatal(err)
	}
	url := strings.Replace(strings.TrimSuffix(text, " (all addresses)"), "0.0.0.0", "127.0.0.1", 1)

	post := func(token string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), "POST", url+"/v1/topics/a/events", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") == "" {
			t.Error("there is no Retry-After")
		}
		return resp.StatusCode, string(body)
	}
	// until posts again and again, as a client does that is told to.
	until := func(want int, token string) {
		t.Helper()
		deadline := time.Now().Add(patience)
		again := time.NewTicker(50 * time.Millisecond)
		defer again.Stop()
		for ; ; <-again.C {
			status, body := post(token)
			if status == want {
				return
			}
			if status != http.StatusServiceUnavailable || time.Now().After(deadline) {
				t.Fatalf("%d, want %d: %s\n%s", status, want, body, &gateway.stderr)
			}
		}
	}
	first := issuedToken(t, issuer.server.URL, "first", issuer.keys["first"])
	if status, body := post(first); status != http.StatusServiceUnavailable || !strings.Contains(body, "carillon:unavailable") {
		t.Errorf("while the issuer is down: %d %s", status, body)
	}
	if _, err := gateway.stderr.await(says("could not be fetched")); err != nil {
		t.Fatal(err)
	}
	issuer.fail(false)
	until(http.StatusAccepted, first)

	// It rotates: a token with the new key is taken at once, one with the withdrawn key no longer, known as it was.
	issuer.rotate(t, "second", "first")
	second := issuedToken(t, issuer.server.URL, "second", issuer.keys["second"])
	until(http.StatusAccepted, second)
	if status, body := post(first); status != http.StatusUnauthorized || !strings.Contains(body, "none of its issuer's") {
		t.Errorf("with the withdrawn key: %d %s", status, body)
	}

	// Made-up keys have nobody ask again so soon.
	before := issuer.asked()
	for n := range 100 {
		status, body := post(issuedToken(t, issuer.server.URL, strings.Repeat("x", n+1), issuer.keys["second"]))
		if status != http.StatusUnauthorized {
			t.Fatalf("a made-up key: %d %s", status, body)
		}
	}
	if n := issuer.asked() - before; n > 2 {
		t.Errorf("%d fetches for 100 made-up keys", n)
	}
	if status, body := post(second); status != http.StatusAccepted {
		t.Errorf("after all that: %d %s", status, body)
	}
	if err := gateway.signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if gateway.err != nil {
		t.Errorf("the gateway ended with %v", gateway.err)
	}
	if log := gateway.stderr.String(); strings.Contains(log, first) || strings.Contains(log, "eyJ") {
		t.Errorf("a token is in the log: %s", log)
	}
}
