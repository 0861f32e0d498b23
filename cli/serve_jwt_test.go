package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const publicKeyPEM = `-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
`

func TestServeRefusesIssuersThatCannotBe(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const short = "0123456789abcdef0123456789abcde"
	shortFile := file("short", short+"\n")
	secretFile, keyFile := file("secret", short+"f\n"), file("key.pem", publicKeyPEM)
	const url = "https://issuer.example/jwks"
	of := []string{"--jwt-issuer", "https://issuer.example", "--jwt-audience", "a"}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--jwt-issuer", "x", "--jwt-jwks-url", url}, "--jwt-audience is missing"},
		{[]string{"--jwt-audience", "x"}, "--jwt-issuer is missing"},
		{[]string{"--jwt-jwks-url", url}, "--jwt-issuer is missing"},
		{of, "exactly one of --jwt-jwks-url"},
		{append(slices.Clone(of), "--jwt-jwks-url", url, "--jwt-secret-file", secretFile), "exactly one of"},
		{append(slices.Clone(of), "--jwt-jwks-url", "http://issuer.example/jwks"), "--jwt-jwks-url: "},
		{append(slices.Clone(of), "--jwt-key-file", filepath.Join(dir, "missing")), "--jwt-key-file: "},
		{append(slices.Clone(of), "--jwt-key-file", secretFile), "--jwt-key-file: there is no public key"},
		{append(slices.Clone(of), "--jwt-secret-file", shortFile), "--jwt-secret-file: the secret has 31 bytes"},
		{append(slices.Clone(of), "--jwt-key-file", keyFile, "--jwt-algorithms", "HS256"), `--jwt-algorithms: "HS256"`},
		{append(slices.Clone(of), "--jwt-secret-file", secretFile, "--jwt-algorithms", "HS256,none"), `--jwt-algorithms: "none"`},
		{append(slices.Clone(of), "--jwt-key-file", keyFile, "--jwt-skew", "6m"), "--jwt-skew"},
		{append(slices.Clone(of), "--jwt-key-file", keyFile, "--jwt-max-lifetime", "0s"), "--jwt-max-lifetime"},
	} {
		data := filepath.Join(t.TempDir(), "data")
		code, stdout, stderr := run(t, Process{}, append([]string{"serve", "--data", data}, c.args...)...)
		if code != 2 || stdout != "" || !strings.Contains(stderr, c.want) || strings.Contains(stderr, short) {
			t.Errorf("%q: code %d, stdout %q, stderr %q", c.args, code, stdout, stderr)
		}
		if _, err := os.Stat(data); err == nil {
			t.Errorf("%q: the data directory was made", c.args)
		}
	}
}

func TestIssuerIsWhatTheFlagsSay(t *testing.T) {
	secretFile := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secretFile, []byte("0123456789abcdef0123456789abcdef\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	serve, err := parseServe(t, map[string]string{"CARILLON_JWT_SECRET_FILE": secretFile, "CARILLON_JWT_ALGORITHMS": "HS256,HS512"},
		"--jwt-issuer", "me", "--jwt-audience", "a", "--jwt-claim", "https://example.com/carillon")
	if err != nil {
		t.Fatal(err)
	}
	if err := serve.check(); err != nil {
		t.Fatal(err)
	}
	cfg, err := serve.JWT.issuerConfig()
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Secret.Reveal() != "0123456789abcdef0123456789abcdef" || cfg.Name != "me" || cfg.Audience != "a" || cfg.Claim != "https://example.com/carillon" ||
		cfg.Skew != 30*time.Second || cfg.MaxLifetime != 24*time.Hour || !slices.Equal(cfg.Algorithms, []string{"HS256", "HS512"}) {
		t.Errorf("%+v", cfg)
	}
	if serve, err = parseServe(t, nil); err != nil || serve.JWT.on() {
		t.Errorf("without flags: %v", err)
	}
}
