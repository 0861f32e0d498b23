package access_test

import (
	"encoding/base64"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/carillon/carillon/access"
	"github.com/carillon/carillon/event"
)

const tokenSecret = event.Secret("0123456789abcdef0123456789abcdef")

// tokenKeys is keys that make and know tokens.
func tokenKeys(t testing.TB, s *fakeStore, adminKey, secret event.Secret) *access.Keys {
	t.Helper()
	keys, err := access.New(access.Config{Store: s, AdminKey: adminKey, TokenSecret: secret, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(keys.Close)
	return keys
}

func grant(p access.Purpose, in time.Duration) access.Grant {
	return access.Grant{Purpose: p, Tenant: 7, Patterns: []event.Pattern{"orders.*", "users.**"}, Expires: time.Now().Add(in), Label: "<Ann>"}
}

func TestTokens(t *testing.T) {
	text := event.NewKeyToken()
	key := newKey(text)
	key.ExpiresAt = time.Now().Add(time.Hour)
	s := &fakeStore{keys: []*event.Key{key}}
	keys := tokenKeys(t, s, "", tokenSecret)
	now := time.Now()
	maker, err := keys.Find(text, now)
	if err != nil {
		t.Fatal(err)
	}
	for purpose, prefix := range map[access.Purpose]string{access.PurposeStream: "crs_", access.PurposePortal: "crp_"} {
		token, made, err := keys.MakeToken(&maker, grant(purpose, time.Minute))
		if err != nil || !strings.HasPrefix(token.Reveal(), prefix) || !access.LikeToken(token) || event.LikeToken(token) {
			t.Fatalf("%s: made %q, %v", purpose, token.Reveal(), err)
		}
		// Another process, and another node, know it too.
		for _, k := range []*access.Keys{keys, tokenKeys(t, &fakeStore{keys: s.keys}, "", tokenSecret)} {
			got, err := k.FindToken(token, now)
			if err != nil {
				t.Fatal(err)
			}
			if got.Purpose != purpose || got.Tenant != key.Tenant || got.KeyText() != key.ID.String() || got.Label != "<Ann>" ||
				!slices.Equal(got.Patterns, []event.Pattern{"orders.*", "users.**"}) || !got.Expires.Equal(made.Expires) ||
				got.May(event.ScopeManage) != (purpose == access.PurposePortal) || got.May(event.ScopeSubscribe) || got.May(event.ScopeAdmin) {
				t.Errorf("%s lets in %+v", purpose, got)
			}
			if _, _, err := k.MakeToken(&got, grant(purpose, time.Minute)); !errors.Is(err, access.ErrCannotMake) {
				t.Errorf("%s makes another: %v", purpose, err)
			}
			if _, err := k.Find(token, now); !errors.Is(err, access.ErrUnknown) {
				t.Errorf("%s is taken for a key: %v", purpose, err)
			}
		}
		if _, err := keys.FindToken(token, made.Expires); !errors.Is(err, access.ErrExpired) {
			t.Errorf("%s at its end: %v", purpose, err)
		}
		if _, err := keys.FindToken(token, made.Expires.Add(-time.Millisecond)); err != nil {
			t.Errorf("%s before its end: %v", purpose, err)
		}
		if _, err := tokenKeys(t, &fakeStore{keys: s.keys}, "", tokenSecret+"x").FindToken(token, now); !errors.Is(err, access.ErrToken) {
			t.Errorf("%s with another secret: %v", purpose, err)
		}
		if _, err := tokenKeys(t, &fakeStore{keys: s.keys}, "", "").FindToken(token, now); !errors.Is(err, access.ErrToken) {
			t.Errorf("%s without a secret: %v", purpose, err)
		}
		if _, err := tokenKeys(t, &fakeStore{}, "", tokenSecret).FindToken(token, now); !errors.Is(err, access.ErrMaker) {
			t.Errorf("%s without its key: %v", purpose, err)
		}
	}
	_, long, err := keys.MakeToken(&maker, grant(access.PurposeStream, 2*time.Hour))
	if err != nil || !long.Expires.Equal(key.ExpiresAt.Truncate(time.Millisecond)) {
		t.Errorf("it outlives its key: %s, %v", long.Expires, err)
	}
	token, _, err := keys.MakeToken(&maker, grant(access.PurposeStream, time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	revoked := *key
	revoked.RevokedAt = now
	s.changed([]*event.Key{&revoked})
	if _, err := keys.FindToken(token, now); !errors.Is(err, access.ErrMaker) {
		t.Errorf("with a revoked key: %v", err)
	}
}

// Who has no stored key makes tokens too; they end when that is over.
func TestTokensWithoutAStoredKey(t *testing.T) {
	s := &fakeStore{}
	open := tokenKeys(t, s, "", tokenSecret)
	anybody := open.Anybody()
	token, _, err := open.MakeToken(&anybody, grant(access.PurposeStream, time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := open.FindToken(token, time.Now()); err != nil || got.KeyText() != "" {
		t.Errorf("while it is open: %+v, %v", got, err)
	}
	s.changed([]*event.Key{newKey(event.NewKeyToken())})
	if _, err := open.FindToken(token, time.Now()); !errors.Is(err, access.ErrMaker) {
		t.Errorf("after the first key: %v", err)
	}

	admin := tokenKeys(t, &fakeStore{}, "of-the-configuration", tokenSecret)
	who, err := admin.Find("of-the-configuration", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if token, _, err = admin.MakeToken(&who, grant(access.PurposePortal, time.Minute)); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[event.Secret]error{"of-the-configuration": nil, "of-the-next-one": access.ErrMaker, "": access.ErrMaker} {
		if _, err := tokenKeys(t, &fakeStore{}, key, tokenSecret).FindToken(token, time.Now()); !errors.Is(err, want) {
			t.Errorf("with the configuration's key %q: %v", key.Reveal(), err)
		}
	}
	if _, _, err := admin.MakeToken(&access.Principal{Scopes: event.Scopes()}, grant(access.PurposeStream, time.Minute)); !errors.Is(err, access.ErrCannotMake) {
		t.Errorf("somebody of unknown origin makes a token: %v", err)
	}
}

// Whatever is changed of a token makes it none.
func TestTokenIsSealed(t *testing.T) {
	keys := tokenKeys(t, &fakeStore{}, "", tokenSecret)
	anybody := keys.Anybody()
	token, _, err := keys.MakeToken(&anybody, grant(access.PurposeStream, time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	text := token.Reveal()
	none := []string{"", "crs_", "crp_", text[:len(text)-1], text + "A", text + "=", text + "\n", "\n" + text, " " + text, text[4:], "crp_" + text[4:],
		strings.ToUpper(text), text[:50] + "\r\n" + text[50:], "crs_" + strings.Repeat("A", access.MaxToken), "crs_" + strings.Repeat("A", 43)}
	for i := range len(text) {
		for _, c := range []byte("A_-z9") {
			if text[i] != c {
				none = append(none, text[:i]+string(c)+text[i+1:])
			}
		}
	}
	for _, broken := range none {
		if got, err := keys.FindToken(event.Secret(broken), time.Now()); !errors.Is(err, access.ErrToken) {
			t.Errorf("%q lets in %+v, %v", broken, got, err)
		}
	}
}

// FuzzToken holds what reads tokens to this: it never fails, and knows only those that were made here.
func FuzzToken(f *testing.F) {
	keys := tokenKeys(f, &fakeStore{}, "", tokenSecret)
	anybody := keys.Anybody()
	known := make(map[event.Secret]bool)
	for _, purpose := range []access.Purpose{access.PurposeStream, access.PurposePortal} {
		g := grant(purpose, 0)
		g.Expires = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC) // the same in each of the fuzzer's processes
		token, _, err := keys.MakeToken(&anybody, g)
		if err != nil {
			f.Fatal(err)
		}
		known[token] = true
		f.Add(token.Reveal())
	}
	f.Add("crs_")
	f.Add("crp_" + base64.RawURLEncoding.EncodeToString(make([]byte, 40)))
	f.Fuzz(func(t *testing.T, text string) {
		got, err := keys.FindToken(event.Secret(text), time.Now())
		if (err == nil) != known[event.Secret(text)] {
			t.Errorf("%q lets in %+v, %v", text, got, err)
		}
	})
}
