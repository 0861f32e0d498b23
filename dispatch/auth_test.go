package dispatch

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"

	"github.com/carillon/carillon/event"
)

func TestCheckAuth(t *testing.T) {
	pair := newAuthority(t).issue(t, nil)
	certificate, key := pemOf(t, pair)
	_, otherKey := pemOf(t, newAuthority(t).issue(t, nil))
	const secret = "s3cret-s3cret"
	oauth := func(change func(*event.Auth)) event.Auth {
		a := event.Auth{
			Type: event.AuthOAuth2, TokenURL: "https://id.example.com/token", ClientID: "me", ClientSecret: secret,
			Scopes: []string{"a", "b:c"}, Params: map[string]string{"audience": "x y"},
		}
		change(&a)
		return a
	}
	for name, c := range map[string]struct {
		auth event.Auth
		want string
	}{
		"none":          {event.Auth{}, ""},
		"unknown":       {event.Auth{Type: "digest"}, "type"},
		"basic":         {event.Auth{Type: event.AuthBasic, Username: "ü", Password: "a:b c"}, ""},
		"basic, empty":  {event.Auth{Type: event.AuthBasic}, "username password"},
		"basic, colon":  {event.Auth{Type: event.AuthBasic, Username: "a:b", Password: secret}, "username"},
		"basic, breaks": {event.Auth{Type: event.AuthBasic, Username: "a\n", Password: secret + "\r"}, "username password"},
		"basic, long":   {event.Auth{Type: event.AuthBasic, Username: "a", Password: event.Secret(strings.Repeat(secret, 1000))}, "password"},
		"bearer":        {event.Auth{Type: event.AuthBearer, Token: "a.b-c_d~e+f/g=="}, ""},
		"bearer, empty": {event.Auth{Type: event.AuthBearer}, "token"},
		"bearer, space": {event.Auth{Type: event.AuthBearer, Token: secret + " x"}, "token"},

		"oauth2":                  {oauth(func(*event.Auth) {}), ""},
		"oauth2, empty":           {event.Auth{Type: event.AuthOAuth2}, "token_url client_id client_secret"},
		"oauth2, plain":           {oauth(func(a *event.Auth) { a.TokenURL = "http://id.example.com/token" }), "token_url"},
		"oauth2, private":         {oauth(func(a *event.Auth) { a.TokenURL = "https://10.0.0.1/token" }), "token_url"},
		"oauth2, metadata":        {oauth(func(a *event.Auth) { a.TokenURL = "https://[::ffff:169.254.169.254]/" }), "token_url"},
		"oauth2, loopback":        {oauth(func(a *event.Auth) { a.TokenURL = "http://127.0.0.1:8081/token" }), "token_url"},
		"oauth2, with a password": {oauth(func(a *event.Auth) { a.TokenURL = "https://a:" + secret + "@example.com/" }), "token_url"},
		"oauth2, fragment":        {oauth(func(a *event.Auth) { a.TokenURL += "#a" }), "token_url"},
		"oauth2, no URL":          {oauth(func(a *event.Auth) { a.TokenURL = "token" }), "token_url"},
		"oauth2, scopes":          {oauth(func(a *event.Auth) { a.Scopes = []string{"a b", "ok", "", `"`} }), "scopes[0] scopes[2] scopes[3]"},
		"oauth2, many scopes":     {oauth(func(a *event.Auth) { a.Scopes = make([]string, 65) }), "scopes"},
		"oauth2, own params":      {oauth(func(a *event.Auth) { a.Params["grant_type"] = "password" }), "params"},
		"oauth2, odd params":      {oauth(func(a *event.Auth) { a.Params[""] = "x" }), "params"},

		"mtls":                {event.Auth{Type: event.AuthMTLS, Certificate: "subject=x\n" + certificate, PrivateKey: event.Secret(key), CA: certificate}, ""},
		"mtls, empty":         {event.Auth{Type: event.AuthMTLS}, "certificate private_key"},
		"mtls, another's key": {event.Auth{Type: event.AuthMTLS, Certificate: certificate, PrivateKey: event.Secret(otherKey)}, "private_key"},
		"mtls, swapped":       {event.Auth{Type: event.AuthMTLS, Certificate: key, PrivateKey: event.Secret(certificate)}, "certificate"},
		"mtls, no PEM":        {event.Auth{Type: event.AuthMTLS, Certificate: certificate, PrivateKey: secret, CA: "x"}, "private_key ca"},
		"mtls, cut":           {event.Auth{Type: event.AuthMTLS, Certificate: certificate[:100] + certificate[200:], PrivateKey: event.Secret(key)}, "certificate"},
		"mtls, too long": {
			event.Auth{Type: event.AuthMTLS, Certificate: strings.Repeat(certificate, 200), PrivateKey: event.Secret(strings.Repeat(key, 200))},
			"certificate private_key",
		},
		"fields of others": {event.Auth{Type: event.AuthBearer, Token: "t", TokenURL: "x", CA: "x", Username: ":"}, ""},
	} {
		var got []string
		for _, f := range CheckAuth(c.auth, NewGuard(GuardConfig{})) {
			got = append(got, strings.TrimPrefix(f.Field, "auth."))
			if f.Detail == "" || strings.Contains(f.Detail, "%!") || strings.Contains(f.Detail, secret) || strings.Contains(f.Detail, "MI") {
				t.Errorf("%s: %+v", name, f)
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %q is wrong, want %q", name, got, c.want)
		}
	}
	open := NewGuard(GuardConfig{AllowLoopback: loopbackOpen})
	for url, want := range map[string]int{"http://localhost:1/": 0, "http://127.1/": 0, "http://[::1]/": 0, "http://example.com/": 1, "http://10.0.0.1/": 1} {
		if bad := CheckAuth(oauth(func(a *event.Auth) { a.TokenURL = url }), open); len(bad) != want {
			t.Errorf("%s with loopback open: %v", url, bad)
		}
	}
}

// What a stranger's key costs each handshake is bounded.
func TestCheckAuthRefusesHugeKeys(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	certificate := func(public any) string {
		a := newAuthority(t)
		template := *a.certificate
		template.IsCA = false
		der, err := x509.CreateCertificate(rand.Reader, &template, a.certificate, public, a.key)
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	// A modulus need not be one to be large.
	huge := key.PublicKey
	huge.N = huge.N.Lsh(huge.N, maxRSABits)
	huge.N.SetBit(huge.N, 0, 1)
	bad := CheckAuth(event.Auth{Type: event.AuthMTLS, Certificate: certificate(&huge), PrivateKey: "x"}, NewGuard(GuardConfig{}))
	if len(bad) == 0 || bad[0].Field != "auth.certificate" {
		t.Errorf("%v", bad)
	}
}

func TestAuthorizationIsSent(t *testing.T) {
	url, requests := recorder(t)
	s := newSender(t, nil)
	for want, auth := range map[string]event.Auth{
		"":                           {},
		"Basic dXNlcjpwYTpzcw==":     {Type: event.AuthBasic, Username: "user", Password: "pa:ss"},
		"Bearer abc":                 {Type: event.AuthBearer, Token: "abc"},
		"Basic w7w6w7w=":             {Type: event.AuthBasic, Username: "ü", Password: "ü"},
		"Bearer " + longToken(4<<10): {Type: event.AuthBearer, Token: event.Secret(longToken(4 << 10))},
	} {
		r := attemptOn(url)
		r.Webhook.Auth = auth
		if resp := s.Send(t.Context(), r); resp.Attempt.Outcome != event.Success {
			t.Fatalf("%+v", resp)
		}
		if got := <-requests; got.header.Get("Authorization") != want {
			t.Errorf("%q, want %q", got.header.Get("Authorization"), want)
		}
		if text := fmt.Sprintf("%v %+v %#v", auth, auth, auth); strings.Contains(text, "pa:ss") || strings.Contains(text, "abc") {
			t.Errorf("the secret is printed: %s", text)
		}
	}
}

func longToken(n int) string { return strings.Repeat("t", n) }

func FuzzParseCertificates(f *testing.F) {
	certificate, key := pemOf(f, newAuthority(f).issue(f, nil))
	for _, s := range []string{"", certificate, key, certificate + "x", "x\n" + certificate, "-----BEGIN CERTIFICATE-----\n\n-----END CERTIFICATE-----\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := parseCertificates(text)
		if (err == nil) != (len(parsed) > 0) {
			t.Fatalf("%d certificates and %v", len(parsed), err)
		}
	})
}
