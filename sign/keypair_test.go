package sign

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

const (
	goldenPrivate       = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
	goldenPublic        = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
	goldenPairSignature = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
)

func mustPublic(t testing.TB, k Key) PublicKey {
	t.Helper()
	p, ok := k.Public()
	if !ok {
		t.Fatal("the key has no public half")
	}
	return p
}

func TestPairSignatureIsTheSpecificationsExample(t *testing.T) {
	k := mustParse(t, goldenPrivate)
	if got := k.Sign(goldenID, goldenTime, []byte(goldenBody)); got != goldenPairSignature {
		t.Errorf("got %s, want %s", got, goldenPairSignature)
	}
	if got := mustPublic(t, k).String(); got != goldenPublic {
		t.Errorf("public key %s, want %s", got, goldenPublic)
	}
	p, err := ParsePublicKey(goldenPublic)
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{HeaderID: {goldenID}, HeaderTimestamp: {"1614265330"}, HeaderSignature: {goldenPairSignature}}
	for _, v := range []Verifier{k, p} {
		if err := Verify(h, []byte(goldenBody), goldenTime, DefaultTolerance, v); err != nil {
			t.Errorf("%T refuses the specification's example: %v", v, err)
		}
	}
}

func TestOthersVerifyWhatAPairSigns(t *testing.T) {
	secret := NewSigningKey()
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsk_"))
	if err != nil || len(raw) != 64 {
		t.Fatalf("a new key has %d bytes (%v)", len(raw), err)
	}
	for _, body := range [][]byte{nil, []byte("{}"), bytes.Repeat([]byte("\x00é{"), 50_000)} {
		text, ok := strings.CutPrefix(mustParse(t, secret).Sign("msg_1", goldenTime, body), "v1a,")
		signature, err := base64.StdEncoding.DecodeString(text)
		if !ok || err != nil {
			t.Fatalf("signature %q: %v", text, err)
		}
		content := append([]byte("msg_1.1614265330."), body...)
		if !ed25519.Verify(ed25519.PublicKey(raw[32:]), content, signature) {
			t.Errorf("crypto/ed25519 refuses what we signed over %d bytes", len(body))
		}
	}
}

func TestVerifyWithAPublicKey(t *testing.T) {
	k := mustParse(t, goldenPrivate)
	p := mustPublic(t, k)
	for name, c := range map[string]struct {
		key       PublicKey
		id        string
		signature string
		want      error
	}{
		"right":               {p, goldenID, goldenPairSignature, nil},
		"among others":        {p, goldenID, "v1,AAAA v1a, v1a,AAAA v2," + goldenPairSignature[4:] + " " + goldenPairSignature, nil},
		"another key":         {mustPublic(t, mustParse(t, NewSigningKey())), goldenID, goldenPairSignature, ErrNoMatch},
		"no key":              {PublicKey{}, goldenID, goldenPairSignature, ErrNoMatch},
		"another id":          {p, "a", goldenPairSignature, ErrNoMatch},
		"of the other kind":   {p, goldenID, goldenSignature, ErrNoMatch},
		"as the other kind":   {p, goldenID, "v1," + goldenPairSignature[4:], ErrNoMatch},
		"cut":                 {p, goldenID, goldenPairSignature[:40], ErrNoMatch},
		"with a line break":   {p, goldenID, goldenPairSignature[:40] + "\n" + goldenPairSignature[40:], ErrNoMatch},
		"of another alphabet": {p, goldenID, strings.ReplaceAll(goldenPairSignature, "/", "_"), ErrNoMatch},
		"one bit changed":     {p, goldenID, strings.Replace(goldenPairSignature, "hnO3", "hnO2", 1), ErrNoMatch},
	} {
		h := http.Header{HeaderID: {c.id}, HeaderTimestamp: {"1614265330"}, HeaderSignature: {c.signature}}
		if err := Verify(h, []byte(goldenBody), goldenTime, DefaultTolerance, c.key); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
}

// While a webhook moves from one kind of signature to the other, both of its receivers must be content.
func TestRotationBetweenKinds(t *testing.T) {
	old, young := NewSecret(), NewSigningKey()
	body := []byte(goldenBody)
	h := http.Header{}
	now := time.Now()
	SetHeaders(h, goldenID, now, body, mustParse(t, young), mustParse(t, old))

	signatures := strings.Split(h.Get(HeaderSignature), " ")
	if len(signatures) != 2 || !strings.HasPrefix(signatures[0], "v1a,") || !strings.HasPrefix(signatures[1], "v1,") {
		t.Fatalf("signatures %q: the newest must be first", signatures)
	}
	theirs, err := standardwebhooks.NewWebhook(old)
	if err != nil {
		t.Fatal(err)
	}
	if err := theirs.Verify(body, h); err != nil {
		t.Errorf("the library refuses the old secret's signature: %v", err)
	}
	for _, v := range []Verifier{mustPublic(t, mustParse(t, young)), mustParse(t, old)} {
		if err := Verify(h, body, now, DefaultTolerance, v); err != nil {
			t.Errorf("%T refuses: %v", v, err)
		}
	}
	if err := Verify(h, body, now, DefaultTolerance, mustParse(t, NewSecret()), mustParse(t, NewSigningKey())); !errors.Is(err, ErrNoMatch) {
		t.Errorf("strangers' keys: got %v", err)
	}
}

func TestParsePair(t *testing.T) {
	whole, _ := base64.StdEncoding.DecodeString(goldenPrivate[5:])
	of := func(b []byte) string { return "whsk_" + base64.StdEncoding.EncodeToString(b) }
	seed := mustParse(t, of(whole[:32]))
	if got := seed.Sign(goldenID, goldenTime, []byte(goldenBody)); got != goldenPairSignature {
		t.Errorf("the seed alone signs %s", got)
	}
	mixed := append(bytes.Clone(whole[:32]), whole[:32]...)
	for _, s := range []string{
		"whsk_", "whsk_!", of(whole[:31]), of(whole[:33]), of(whole[:63]), of(append(whole, 0)), of(mixed), goldenPrivate + "\n",
		strings.TrimRight(goldenPrivate, "="), strings.ReplaceAll(goldenPrivate, "/", "_"), goldenPublic, "WHSK_" + goldenPrivate[5:],
	} {
		if _, err := ParseSecret(s); err == nil {
			t.Errorf("accepted %q", s)
		} else if len(s) > 10 && strings.Contains(err.Error(), s[6:]) {
			t.Errorf("the error tells the secret: %v", err)
		}
	}
	for _, s := range []string{"", "whpk_", goldenPrivate, "whpk_" + goldenPrivate[5:], goldenPublic + "\n", goldenPublic[5:]} {
		if _, err := ParsePublicKey(s); err == nil {
			t.Errorf("accepted %q as a public key", s)
		}
	}
	if _, ok := mustParse(t, goldenSecret).Public(); ok {
		t.Error("a shared secret has a public key")
	}
	if one, other := NewSigningKey(), NewSigningKey(); one == other {
		t.Error("two new keys are the same")
	}
}

func TestPairIsNeverPrinted(t *testing.T) {
	seed := strings.Repeat("k", 32)
	k := mustParse(t, "whsk_"+base64.StdEncoding.EncodeToString([]byte(seed)))
	hiding := struct{ k Key }{k} // fmt calls no methods on unexported fields
	var shown bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%t"} {
		fmt.Fprintf(&shown, verb+" "+verb+" "+verb+"\n", k, hiding, &hiding)
	}
	if err := json.NewEncoder(&shown).Encode(map[string]any{"key": k, "keys": []Key{k}}); err != nil {
		t.Fatal(err)
	}
	slog.New(slog.NewJSONHandler(&shown, nil)).Info("m", "key", k, "in", hiding)
	for _, leak := range []string{seed[:4], "6b6b", "107 107", "0x6b", "a2tr"} {
		if strings.Contains(shown.String(), leak) {
			t.Errorf("%q is in\n%s", leak, &shown)
		}
	}
}

func FuzzParsePair(f *testing.F) {
	for _, s := range []string{goldenPrivate, "whsk_", "whsk_" + goldenPublic[5:], goldenPrivate + "\n", "whsk_!!"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		k, err := ParseSecret(s)
		if err != nil || k.private == nil {
			return
		}
		whole := "whsk_" + base64.StdEncoding.EncodeToString(k.private())
		seed := "whsk_" + base64.StdEncoding.EncodeToString(k.private().Seed())
		if s != whole && s != seed {
			t.Errorf("%q is another spelling of %q", s, whole)
		}
		h := http.Header{}
		SetHeaders(h, "id", goldenTime, []byte(s), k)
		p, err := ParsePublicKey(mustPublic(t, k).String())
		if err != nil {
			t.Fatalf("the public key does not parse: %v", err)
		}
		if err := Verify(h, []byte(s), goldenTime, DefaultTolerance, p); err != nil {
			t.Errorf("our own signature is refused: %v", err)
		}
	})
}

func FuzzVerifyPair(f *testing.F) {
	f.Add(goldenID, goldenPairSignature, []byte(goldenBody))
	f.Add("a", "v1a, ,v1a,AAAA", []byte{})
	p, err := ParsePublicKey(goldenPublic)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, id, signature string, body []byte) {
		h := http.Header{HeaderID: {id}, HeaderTimestamp: {"1614265330"}, HeaderSignature: {signature}}
		if Verify(h, body, goldenTime, DefaultTolerance, p) != nil {
			return
		}
		// Nobody can sign without the seed: only the specification's own example may pass.
		if id != goldenID || string(body) != goldenBody || !strings.Contains(" "+signature+" ", " "+goldenPairSignature+" ") {
			t.Errorf("forged: %q %q %q", id, signature, body)
		}
	})
}

func BenchmarkSignWithAPair(b *testing.B) {
	body := make([]byte, 1<<10)
	b.Run("parsed", func(b *testing.B) {
		k := mustParse(b, goldenPrivate)
		b.ReportAllocs()
		for b.Loop() {
			k.Sign(goldenID, goldenTime, body)
		}
	})
	b.Run("parsing", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			mustParse(b, goldenPrivate).Sign(goldenID, goldenTime, body)
		}
	})
}

func BenchmarkParseSecret(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		mustParse(b, goldenSecret)
	}
}
