package sign

import (
	"bytes"
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
	goldenSecret    = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	goldenID        = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	goldenBody      = `{"test": 2432232314}`
	goldenSignature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
)

var goldenTime = time.Unix(1614265330, 0)

func mustParse(t testing.TB, secret string) Key {
	t.Helper()
	k, err := ParseSecret(secret)
	if err != nil {
		t.Fatalf("ParseSecret: %v", err)
	}
	return k
}

func TestSignatureIsTheSpecificationsExample(t *testing.T) {
	k := mustParse(t, goldenSecret)
	if got := k.Sign(goldenID, goldenTime, []byte(goldenBody)); got != goldenSignature {
		t.Errorf("got %s, want %s", got, goldenSignature)
	}
}

func TestOthersVerifyWhatWeSign(t *testing.T) {
	for _, id := range []string{"0197c1f2-0000-7000-8000-000000000001", strings.Repeat("x", 300)} {
		old, young := NewSecret(), NewSecret()
		h := http.Header{}
		body := bytes.Repeat([]byte("\x00é{"), 1000)
		SetHeaders(h, id, time.Now(), body, mustParse(t, old), mustParse(t, young))
		for _, secret := range []string{old, young} {
			theirs, err := standardwebhooks.NewWebhook(secret)
			if err != nil {
				t.Fatal(err)
			}
			if err := theirs.Verify(body, h); err != nil {
				t.Errorf("they refuse what we signed: %v", err)
			}
			if err := theirs.Verify(append(body, '!'), h); err == nil {
				t.Error("they accept another body")
			}
		}
	}
}

func TestWeVerifyWhatOthersSign(t *testing.T) {
	secret := NewSecret()
	theirs, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	body := []byte(goldenBody)
	signature, err := theirs.Sign("msg_1", goldenTime, body)
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	h.Set("webhook-id", "msg_1")
	h.Set("webhook-timestamp", fmt.Sprint(goldenTime.Unix()))
	h.Set("webhook-signature", "v1a,whatever v1,AAAA "+signature)
	if err := Verify(h, body, goldenTime, DefaultTolerance, mustParse(t, NewSecret()), mustParse(t, secret)); err != nil {
		t.Errorf("we refuse what they signed: %v", err)
	}
}

func TestVerifySaysWhatIsWrong(t *testing.T) {
	k := mustParse(t, goldenSecret)
	cases := map[string]struct {
		change func(http.Header)
		body   string
		now    time.Time
		want   error
	}{
		"right":              {now: goldenTime},
		"at the oldest":      {now: goldenTime.Add(DefaultTolerance)},
		"at the newest":      {now: goldenTime.Add(-DefaultTolerance)},
		"too old":            {now: goldenTime.Add(DefaultTolerance + 1), want: ErrTooOld},
		"too new":            {now: goldenTime.Add(-DefaultTolerance - 1), want: ErrTooNew},
		"another body":       {now: goldenTime, body: "{}", want: ErrNoMatch},
		"no id":              {now: goldenTime, change: func(h http.Header) { h.Del(HeaderID) }, want: ErrMissingHeader},
		"no timestamp":       {now: goldenTime, change: func(h http.Header) { h.Del(HeaderTimestamp) }, want: ErrMissingHeader},
		"no signature":       {now: goldenTime, change: func(h http.Header) { h.Del(HeaderSignature) }, want: ErrMissingHeader},
		"signed timestamp":   {now: goldenTime, change: func(h http.Header) { h.Set(HeaderTimestamp, "+1614265330") }, want: ErrBadTimestamp},
		"zero in front":      {now: goldenTime, change: func(h http.Header) { h.Set(HeaderTimestamp, "01614265330") }, want: ErrBadTimestamp},
		"word for timestamp": {now: goldenTime, change: func(h http.Header) { h.Set(HeaderTimestamp, "now") }, want: ErrBadTimestamp},
		"huge timestamp":     {now: goldenTime, change: func(h http.Header) { h.Set(HeaderTimestamp, "99999999999999999999") }, want: ErrBadTimestamp},
		"id with a dot":      {now: goldenTime, change: func(h http.Header) { h.Set(HeaderID, "a.1") }, want: ErrBadID},
		"another id":         {now: goldenTime, change: func(h http.Header) { h.Set(HeaderID, "a") }, want: ErrNoMatch},
		"another version": {now: goldenTime, change: func(h http.Header) {
			h.Set(HeaderSignature, "v1a"+strings.TrimPrefix(goldenSignature, "v1"))
		}, want: ErrNoMatch},
		"cut signature": {now: goldenTime, change: func(h http.Header) { h.Set(HeaderSignature, goldenSignature[:20]) }, want: ErrNoMatch},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			h := http.Header{}
			SetHeaders(h, goldenID, goldenTime, []byte(goldenBody), k)
			if c.change != nil {
				c.change(h)
			}
			body := goldenBody
			if c.body != "" {
				body = c.body
			}
			if err := Verify(h, []byte(body), c.now, DefaultTolerance, k); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
	h := http.Header{}
	SetHeaders(h, goldenID, goldenTime, nil, k)
	if err := Verify(h, nil, goldenTime, DefaultTolerance); !errors.Is(err, ErrNoMatch) {
		t.Errorf("without keys: got %v, want %v", err, ErrNoMatch)
	}
}

func TestParseSecret(t *testing.T) {
	of := func(n int) string { return "whsec_" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{0xfb}, n)) }
	for _, good := range []string{of(24), of(32), of(64), goldenSecret, NewSecret()} {
		if _, err := ParseSecret(good); err != nil {
			t.Errorf("refused: %v", err)
		}
	}
	bad := []string{
		"", "whsec_", goldenSecret[6:], "WHSEC_" + goldenSecret[6:], of(23), of(65), goldenSecret + "=", goldenSecret + "\n",
		strings.ReplaceAll(of(32), "+", "-"), strings.TrimRight(of(32), "="), "whsk_" + goldenSecret[6:], " " + goldenSecret,
	}
	for _, s := range bad {
		_, err := ParseSecret(s)
		if err == nil {
			t.Errorf("accepted %q", s)
		} else if len(s) > 10 && strings.Contains(err.Error(), s[6:]) {
			t.Errorf("the error tells the secret: %v", err)
		}
	}
	if one, other := NewSecret(), NewSecret(); one == other {
		t.Error("two new secrets are the same")
	}
}

func TestKeyIsNeverPrinted(t *testing.T) {
	text := strings.Repeat("k", 32)
	k := mustParse(t, "whsec_"+base64.StdEncoding.EncodeToString([]byte(text)))
	hiding := struct{ k Key }{k} // fmt calls no methods on unexported fields
	var shown bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%t"} {
		fmt.Fprintf(&shown, verb+" "+verb+" "+verb+"\n", k, hiding, &hiding)
	}
	fmt.Fprintln(&shown, k, []Key{k}, map[string]Key{"k": k})
	if err := json.NewEncoder(&shown).Encode(map[string]any{"key": k, "keys": []Key{k}}); err != nil {
		t.Fatal(err)
	}
	slog.New(slog.NewJSONHandler(&shown, nil)).Info("m", "key", k, "in", hiding)
	slog.New(slog.NewTextHandler(&shown, nil)).Info("m", "key", k, "in", hiding)
	for _, leak := range []string{text[:4], "6b6b", "107 107", "0x6b"} {
		if strings.Contains(shown.String(), leak) {
			t.Errorf("%q is in\n%s", leak, &shown)
		}
	}
	if fmt.Sprintf("%v %s", k, k) != "*** ***" {
		t.Errorf("prints as %v", k)
	}
}

func FuzzParseSecret(f *testing.F) {
	for _, s := range []string{goldenSecret, "whsec_", "", "whsec_!!!!", "whsec_" + strings.Repeat("A", 88), goldenSecret + "\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		k, err := ParseSecret(s)
		if err != nil || k.private != nil {
			return
		}
		if again := "whsec_" + base64.StdEncoding.EncodeToString(k.shared()); again != s {
			t.Errorf("%q is another spelling of %q", s, again)
		}
		theirs, err := standardwebhooks.NewWebhook(s)
		if err != nil {
			t.Fatalf("others refuse %q: %v", s, err)
		}
		if sig, _ := theirs.Sign("id", goldenTime, []byte(s)); sig != k.Sign("id", goldenTime, []byte(s)) {
			t.Errorf("others sign otherwise with %q", s)
		}
	})
}

func FuzzVerify(f *testing.F) {
	f.Add(goldenID, "1614265330", goldenSignature, []byte(goldenBody))
	f.Add("a.1", "1", "v1,", []byte{})
	f.Add("", "-1", " v1, ,", []byte("x"))
	f.Fuzz(func(t *testing.T, id, timestamp, signature string, body []byte) {
		k := mustParse(t, goldenSecret)
		h := http.Header{HeaderID: {id}, HeaderTimestamp: {timestamp}, HeaderSignature: {signature}}
		err := Verify(h, body, goldenTime, DefaultTolerance, k)
		// Whatever we accept, the library accepts as well.
		theirs, _ := standardwebhooks.NewWebhook(goldenSecret)
		if err == nil && theirs.VerifyIgnoringTimestamp(body, h) != nil {
			t.Errorf("only we accept %q %q %q", id, timestamp, signature)
		}
		if id == "" || strings.Contains(id, ".") {
			return
		}
		SetHeaders(h, id, goldenTime, body, k)
		if err := Verify(h, body, goldenTime, DefaultTolerance, k); err != nil {
			t.Errorf("our own signature is refused: %v", err)
		}
	})
}

func BenchmarkSign(b *testing.B) {
	k := mustParse(b, goldenSecret)
	for _, size := range []int{100, 1 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			body := make([]byte, size)
			b.ReportAllocs()
			for b.Loop() {
				k.Sign("0197c1f2-0000-7000-8000-000000000001", goldenTime, body)
			}
		})
	}
}
