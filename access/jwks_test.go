package access_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carillon/carillon/access"
	"github.com/carillon/carillon/event"
)

// endpoint answers for an issuer's JWKS, without a network.
type endpoint struct {
	mu      sync.Mutex
	answer  func() (*http.Response, error)
	fetches int
}

func (e *endpoint) RoundTrip(r *http.Request) (*http.Response, error) {
	e.mu.Lock()
	e.fetches++
	answer := e.answer
	e.mu.Unlock()
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if answer == nil { // it hangs
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	return answer()
}

func (e *endpoint) set(answer func() (*http.Response, error)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.answer = answer
}

func (e *endpoint) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.fetches
}

func says(status int, body string, header ...string) func() (*http.Response, error) {
	return func() (*http.Response, error) {
		h := http.Header{}
		for i := 0; i < len(header); i += 2 {
			h.Add(header[i], header[i+1])
		}
		return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}, nil
	}
}

// jwk writes a public key as a JWK. more is added to it.
func jwk(t testing.TB, kid string, key crypto.PublicKey, more map[string]any) map[string]any {
	t.Helper()
	b64 := base64.RawURLEncoding.EncodeToString
	m := map[string]any{}
	switch key := key.(type) {
	case *rsa.PublicKey:
		m["kty"], m["n"], m["e"] = "RSA", b64(key.N.Bytes()), b64(big.NewInt(int64(key.E)).Bytes())
	case *ecdsa.PublicKey:
		point, err := key.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		half := len(point) / 2
		m["kty"], m["crv"], m["x"], m["y"] = "EC", key.Curve.Params().Name, b64(point[1:1+half]), b64(point[1+half:])
	case ed25519.PublicKey:
		m["kty"], m["crv"], m["x"] = "OKP", "Ed25519", b64(key)
	default:
		t.Fatalf("%T", key)
	}
	if kid != "" {
		m["kid"] = kid
	}
	for name, value := range more {
		m[name] = value
	}
	return m
}

func jwks(t testing.TB, keys ...map[string]any) string {
	t.Helper()
	if keys == nil {
		keys = []map[string]any{}
	}
	text, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// fetching runs an issuer whose keys are fetched from e, in a bubble.
func fetching(t *testing.T, e *endpoint) (d *door, stop func()) {
	t.Helper()
	d = newDoor(t, access.IssuerConfig{JWKS: "https://issuer.example/jwks", Transport: e})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.issuer.Run(ctx) }()
	return d, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func kid(id string) map[string]any { return map[string]any{"kid": id} }

func TestJWKSRotates(t *testing.T) {
	k := testKeys()
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{}
		a, b := jwk(t, "a", k.rsa.Public(), map[string]any{"use": "sig", "alg": "RS256"}), jwk(t, "b", k.p256.Public(), nil)
		e.set(says(200, jwks(t, a), "Cache-Control", "public, max-age=3600"))
		d, stop := fetching(t, e)
		defer stop()
		with := func(id string) event.Secret {
			if id == "a" {
				return signed(t, "RS256", k.rsa, kid("a"), good(time.Now(), nil))
			}
			return signed(t, "ES256", k.p256, kid("b"), good(time.Now(), nil))
		}
		// The first request may come before the first fetch has ended, or begun: it waits.
		old := with("a")
		d.takes(t, "the first key", old, time.Now())
		d.refuses(t, "an algorithm that the key is not for", signed(t, "RS512", k.rsa, kid("a"), good(time.Now(), nil)), time.Now(), "algorithm")
		d.refuses(t, "a key that is not known yet", with("b"), time.Now(), "unknown-key")
		asked := e.count()
		if asked > 3 {
			t.Errorf("%d fetches", asked)
		}

		// A key that comes is known as soon as a token is signed with it, but for tokens that had others fetched just before.
		e.set(says(200, jwks(t, a, b), "Cache-Control", "public, max-age=3600"))
		d.refuses(t, "too soon", with("b"), time.Now(), "unknown-key")
		time.Sleep(30 * time.Second)
		d.takes(t, "the second key", with("b"), time.Now())
		d.takes(t, "the first key, beside it", with("a"), time.Now())
		if e.count() != asked+1 {
			t.Errorf("%d more fetches", e.count()-asked)
		}

		// A key that goes is gone with the next fetch, and what was let in before is not remembered past it.
		e.set(says(200, jwks(t, b)))
		d.takes(t, "a token that was let in", old, time.Now())
		time.Sleep(59 * time.Minute)
		synctest.Wait()
		now := time.Now().Add(-30 * time.Minute) // of the token's clock: it has not expired
		d.takes(t, "within max-age", old, now)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		d.refuses(t, "after it", old, now, "unknown-key")
		d.takes(t, "the second key alone", with("b"), time.Now())

		// An issuer that takes all keys back is believed.
		e.set(says(200, jwks(t)))
		time.Sleep(time.Hour)
		synctest.Wait()
		d.refuses(t, "no keys at all", with("b"), time.Now(), "unknown-key")
		if n := d.counted(t, "carillon_jwks_keys", "", ""); n != 0 {
			t.Errorf("%g keys", n)
		}
	})
}

// Tokens cost nothing to make up. Whatever comes, the issuer is asked now and then, and nobody waits for long.
func TestFloodOfUnknownKeys(t *testing.T) {
	k := testKeys()
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{}
		set := jwks(t, jwk(t, "a", k.ed.Public(), nil))
		e.set(func() (*http.Response, error) {
			time.Sleep(2 * time.Second)
			return says(200, set)()
		})
		d, stop := fetching(t, e)
		defer stop()
		var flood sync.WaitGroup
		const lasts = 10 * time.Minute
		begun := time.Now()
		// Who makes a key up makes the signature up too.
		known := signed(t, "EdDSA", k.ed, nil, good(begun, nil)).Reveal()
		rest := known[strings.IndexByte(known, '.'):]
		for attacker := range 8 {
			flood.Go(func() {
				for n := 0; time.Since(begun) < lasts; n++ {
					asked := time.Now()
					header := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"alg":"EdDSA","kid":"%d-%d"}`, attacker, n))
					_, err := d.Admit(t.Context(), event.Secret(header+rest), asked)
					var refusal *access.JWTError
					if !errors.As(err, &refusal) && !errors.Is(err, access.ErrNoIssuerKeys) {
						t.Errorf("%v", err)
					}
					if waited := time.Since(asked); waited > 3*time.Second {
						t.Errorf("it took %s", waited)
					}
					time.Sleep(time.Second)
				}
			})
		}
		// Those who come with a key that is known do not notice.
		flood.Go(func() {
			time.Sleep(3 * time.Second)
			for time.Since(begun) < lasts {
				asked := time.Now()
				d.takes(t, "an honest one", signed(t, "EdDSA", k.ed, kid("a"), good(asked, nil)), asked)
				if time.Since(asked) != 0 {
					t.Errorf("it took %s", time.Since(asked))
				}
				time.Sleep(time.Second)
			}
		})
		flood.Wait()
		if n := e.count(); n > 2+int(lasts/(30*time.Second)) || n < 10 {
			t.Errorf("%d fetches", n)
		}

		// What is none of the issuer's tokens, or too old, has nobody fetch anything.
		time.Sleep(time.Minute)
		before := e.count()
		now := time.Now()
		d.refuses(t, "foreign", signed(t, "EdDSA", k.ed, kid("x"), good(now, map[string]any{"iss": "x"})), now, "issuer")
		d.refuses(t, "expired", signed(t, "EdDSA", k.ed, kid("x"), good(now.Add(-2*time.Hour), nil)), now, "expired")
		d.refuses(t, "of a kind that is not taken", signed(t, "HS256", []byte("x"), kid("x"), good(now, nil)), now, "algorithm")
		if e.count() != before {
			t.Errorf("%d fetches for them", e.count()-before)
		}
	})
}

func TestFailingJWKS(t *testing.T) {
	k := testKeys()
	set := jwks(t, jwk(t, "a", k.ed.Public(), nil))
	many := make([]map[string]any, 101)
	for i := range many {
		many[i] = jwk(t, fmt.Sprint(i), k.ed.Public(), nil)
	}
	for name, c := range map[string]struct {
		answer  func() (*http.Response, error)
		outcome string
	}{
		"unreachable": {func() (*http.Response, error) { return nil, errors.New("connection refused") }, "unreachable"},
		"hanging":     {nil, "unreachable"},
		"broken off": {func() (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: io.NopCloser(io.MultiReader(strings.NewReader(set[:9]), brokenReader{}))}, nil
		}, "unreachable"},
		"500":          {says(500, set), "status"},
		"404":          {says(404, "not here"), "status"},
		"204":          {says(204, ""), "status"},
		"a redirect":   {says(302, set, "Location", "https://evil.example/jwks"), "status"},
		"too large":    {says(200, set+strings.Repeat(" ", 1<<20)), "too-large"},
		"HTML":         {says(200, "<html>"), "malformed"},
		"nothing":      {says(200, ""), "malformed"},
		"another JSON": {says(200, `{"error":"x"}`), "malformed"},
		"keys null":    {says(200, `{"keys":null}`), "malformed"},
		"a list":       {says(200, "[]"), "malformed"},
		"two":          {says(200, set+set), "malformed"},
		"101 keys":     {says(200, jwks(t, many...)), "malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := &endpoint{}
				e.set(c.answer)
				d, stop := fetching(t, e)
				defer stop()
				token := func(id string) event.Secret {
					return signed(t, "EdDSA", k.ed, kid(id), good(time.Now(), nil))
				}
				// While there are no keys nobody can say whether a token is good.
				asked := time.Now()
				d.refuses(t, "before any key", token("a"), asked, "no-keys")
				if waited := time.Since(asked); waited > 3*time.Second {
					t.Errorf("it took %s", waited)
				}
				time.Sleep(20 * time.Second)
				d.refuses(t, "still", token("a"), time.Now(), "no-keys")
				if n := d.counted(t, "carillon_jwks_fetches_total", "outcome", c.outcome); n < 1 {
					t.Errorf("%g times %s", n, c.outcome)
				}
				if text := d.log.String(); !strings.Contains(text, "could not be fetched") || strings.Contains(text, "issuer.example/jwks") {
					t.Errorf("the log says %s", text)
				}
				// It is asked soon again, but ever less often.
				if n := e.count(); n < 2 || n > 8 {
					t.Errorf("%d fetches", n)
				}
				e.set(says(200, set))
				time.Sleep(5 * time.Minute)
				synctest.Wait()
				d.takes(t, "when it works", token("a"), time.Now())

				// What is known stays, however long it then fails; of other keys nobody can say.
				e.set(c.answer)
				time.Sleep(3 * time.Hour)
				synctest.Wait()
				d.takes(t, "while it fails", token("a"), time.Now())
				d.refuses(t, "a key that may be new", token("b"), time.Now(), "no-keys")
				if n := e.count(); n > 50 {
					t.Errorf("%d fetches", n)
				}
			})
		})
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("reset") }

// How often keys are fetched is the issuer's to say, within bounds.
func TestJWKSIsFetchedAsItSays(t *testing.T) {
	k := testKeys()
	for cacheControl, want := range map[string]int{ // in two days
		"max-age=1": 577, "no-cache": 577, "no-store, max-age=7200": 577, `MAX-AGE="7200"`: 25, "public, max-age=7200, must-revalidate": 25,
		"max-age=999999999": 3, "max-age=99999999999999999999": 49, "max-age=-1": 49, "": 49,
	} {
		synctest.Test(t, func(t *testing.T) {
			e := &endpoint{}
			e.set(says(200, jwks(t, jwk(t, "a", k.ed.Public(), nil)), "Cache-Control", cacheControl))
			_, stop := fetching(t, e)
			defer stop()
			time.Sleep(48*time.Hour + time.Minute)
			synctest.Wait()
			if e.count() != want {
				t.Errorf("%q: %d fetches, want %d", cacheControl, e.count(), want)
			}
		})
	}
}

// Of a set of keys those are taken that can be, and each only for what it is for.
func TestKeysOfAJWKS(t *testing.T) {
	k := testKeys()
	synctest.Test(t, func(t *testing.T) {
		secretKey := map[string]any{"kty": "oct", "kid": "oct", "k": base64.RawURLEncoding.EncodeToString([]byte(secret))}
		e := &endpoint{}
		e.set(says(200, jwks(t,
			jwk(t, "rsa", k.rsa.Public(), nil),
			jwk(t, "enc", k.rsa.Public(), map[string]any{"use": "enc"}),
			jwk(t, "sign", k.rsa.Public(), map[string]any{"key_ops": []string{"sign"}}),
			jwk(t, "oaep", k.rsa.Public(), map[string]any{"alg": "RSA-OAEP"}),
			jwk(t, "384", k.p384.Public(), map[string]any{"key_ops": []string{"verify"}}),
			jwk(t, "private", k.ed.Public(), map[string]any{"d": base64.RawURLEncoding.EncodeToString(k.ed.Seed()), "x5c": "nonsense"}),
			jwk(t, "../../etc/passwd", k.p256.Public(), nil),
			jwk(t, "twice", k.rsa.Public(), nil), jwk(t, "twice", k.p256.Public(), nil), jwk(t, "twice", k.rsa2.Public(), nil),
			jwk(t, "", k.ed.Public(), nil),
			secretKey,
			map[string]any{"kty": "RSA", "kid": "bad", "n": "!", "e": "AQAB"},
			map[string]any{"kty": "EC", "kid": "off the curve", "crv": "P-256", "x": strings.Repeat("A", 43), "y": strings.Repeat("A", 43)},
			map[string]any{"kty": 7},
		)))
		d, stop := fetching(t, e)
		defer stop()
		synctest.Wait()
		now := time.Now()
		for _, c := range []struct {
			alg, kid string
			key      any
			reason   string
		}{
			{"RS256", "rsa", k.rsa, ""}, {"PS512", "rsa", k.rsa, ""}, {"ES384", "384", k.p384, ""}, {"EdDSA", "private", k.ed, ""},
			{"ES256", "../../etc/passwd", k.p256, ""},
			{"RS256", "twice", k.rsa, ""}, {"RS256", "twice", k.rsa2, ""}, {"ES256", "twice", k.p256, ""},
			{"EdDSA", "twice", k.ed, "algorithm"}, {"ES384", "twice", k.p384, "algorithm"},
			{"RS256", "rsa", k.rsa2, "signature"}, {"ES256", "384", k.p256, "algorithm"}, {"EdDSA", "rsa", k.ed, "algorithm"},
			{"RS256", "enc", k.rsa, "unknown-key"}, {"RS256", "sign", k.rsa, "unknown-key"}, {"RS256", "oaep", k.rsa, "algorithm"},
			{"HS256", "oct", []byte(secret), "algorithm"}, {"HS256", "rsa", publicPEM(t, k.rsa.Public()), "algorithm"},
			{"RS256", "bad", k.rsa, "unknown-key"}, {"ES256", "off the curve", k.p256, "unknown-key"},
			{"RS256", "", k.rsa, "algorithm"}, {"RS256", "RSA", k.rsa, "unknown-key"}, {"RS256", "../rsa", k.rsa, "unknown-key"},
			{"RS256", "https://evil.example/jwks", k.rsa, "unknown-key"}, {"RS256", strings.Repeat("x", 4096), k.rsa, "unknown-key"},
		} {
			token := signed(t, c.alg, c.key, kid(c.kid), good(now, nil))
			if name := c.alg + " with " + c.kid; c.reason == "" {
				d.takes(t, name, token, now)
			} else {
				d.refuses(t, name, token, now, c.reason)
			}
		}
		// Keys that a token brings along, or points to, are not looked at.
		for _, header := range []map[string]any{
			{"kid": "x", "jwk": jwk(t, "x", k.rsa2.Public(), nil)}, {"kid": "x", "jku": "https://evil.example/jwks"}, {"kid": "x", "x5u": "https://evil.example/"},
		} {
			d.refuses(t, "with a key of its own", signed(t, "RS256", k.rsa2, header, good(now, nil)), now, "unknown-key")
		}
		// Without a kid those are tried that fit, unless there are too many.
		d.takes(t, "no kid", signed(t, "EdDSA", k.ed, nil, good(now, nil)), now)
		d.takes(t, "no kid, of a few", signed(t, "ES256", k.p256, nil, good(now, nil)), now)
		if n := d.counted(t, "carillon_jwks_keys", "", ""); n != 9 {
			t.Errorf("%g keys", n)
		}
		if text := d.log.String(); !strings.Contains(text, "left_out=6") || strings.Contains(text, secretKey["k"].(string)) {
			t.Errorf("the log says %s", text)
		}

		var five []map[string]any
		for i := range 5 {
			five = append(five, jwk(t, fmt.Sprint(i), k.ed.Public(), nil))
		}
		e.set(says(200, jwks(t, five...)))
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		d.refuses(t, "no kid, of many", signed(t, "EdDSA", k.ed, nil, good(time.Now(), nil)), time.Now(), "unknown-key")
		for i := range five {
			five[i]["kid"] = "same"
		}
		five = append(five, jwk(t, "same", k.p256.Public(), nil))
		e.set(says(200, jwks(t, five...)))
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		d.takes(t, "many of one kid", signed(t, "EdDSA", k.ed, kid("same"), good(time.Now(), nil)), time.Now())
		if n := d.counted(t, "carillon_jwks_keys", "", ""); n != 4 {
			t.Errorf("%g keys of one kid", n)
		}
	})
}

// A gateway that stops does not wait for the issuer.
func TestIssuerStopsInMidFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, stop := fetching(t, &endpoint{})
		synctest.Wait()
		begun := time.Now()
		stop()
		if time.Since(begun) != 0 || strings.Contains(d.log.String(), "could not") {
			t.Errorf("it took %s and says %s", time.Since(begun), d.log)
		}
	})
}

// Over a real connection.
func TestJWKSOverHTTP(t *testing.T) {
	k := testKeys()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.Error("a redirect was followed")
	}))
	defer elsewhere.Close()
	var (
		mu    sync.Mutex
		moved bool
		seen  http.Header
		asked = make(chan struct{}, 100)
	)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen = r.Header
		asked <- struct{}{}
		if moved {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
			return
		}
		w.Header().Set("Content-Type", "application/jwk-set+json")
		_, _ = io.WriteString(w, jwks(t, jwk(t, "a", k.p256.Public(), nil)))
	}))
	defer server.Close()
	d := newDoor(t, access.IssuerConfig{JWKS: server.URL + "/jwks?tenant=a"})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.issuer.Run(ctx) }()
	<-asked
	now := time.Now()
	token := signed(t, "ES256", k.p256, kid("a"), good(now, nil))
	for {
		// A loaded machine may take longer than a request is willing to wait.
		_, err := d.Admit(t.Context(), token, now)
		if err == nil {
			break
		}
		if !errors.Is(err, access.ErrNoIssuerKeys) {
			t.Fatal(err)
		}
	}
	mu.Lock()
	if seen.Get("User-Agent") != "Carillon/test" || !strings.Contains(seen.Get("Accept"), "application/jwk-set+json") {
		t.Errorf("asked with %v", seen)
	}
	moved = true
	mu.Unlock()
	for d.counted(t, "carillon_jwks_fetches_total", "outcome", "status") == 0 {
		_, err := d.Admit(t.Context(), signed(t, "ES256", k.p256, kid("b"), good(now, nil)), now)
		if err == nil {
			t.Fatal("a key that is none was taken")
		}
		if d.counted(t, "carillon_jwks_fetches_total", "outcome", "ok") > 1 {
			t.Fatal("it was asked before it moved")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := d.Admit(t.Context(), token, now); err != nil {
		t.Errorf("after the end: %v", err)
	}
}
