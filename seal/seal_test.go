package seal

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// countingKey has the bytes 1, 2, … 32.
func countingKey() string {
	raw := make([]byte, KeyBytes)
	for i := range raw {
		raw[i] = byte(i + 1)
	}
	return hex.EncodeToString(raw)
}

func mustParse(t *testing.T, text string) *Keyring {
	t.Helper()
	k, err := ParseKeyring(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// golden is "a secret", sealed by another implementation.
const golden = "01" + // the version
	"657bcd79f48cc6c7" + // the key's id
	"a0a1a2a3a4a5a6a7a8a9aaab" + // the nonce
	"34837259a7496694" + // the value
	"d415044f9111c361b3efd7f4ce2a1ca6" // the tag

// TestFormat holds the format to bytes that another implementation made, of HKDF and AES-256-GCM in Node.js. What was
// sealed must be opened by every later version.
func TestFormat(t *testing.T) {
	sealed, err := hex.DecodeString(golden)
	if err != nil {
		t.Fatal(err)
	}
	keyring := mustParse(t, countingKey())
	if id := keyring.IDs()[0].String(); id != golden[2:18] {
		t.Errorf("the key's id is %s", id)
	}
	box := keyring.For("webhooks")
	value, err := box.Open(sealed, []byte("tenant"), []byte("webhook"))
	if err != nil || string(value) != "a secret" {
		t.Errorf("opened %q, %v", value, err)
	}
	again := box.Seal([]byte("a secret"), []byte("tenant"), []byte("webhook"))
	if len(again) != len(sealed) || !bytes.Equal(again[:9], sealed[:9]) || len(again) != len("a secret")+Overhead {
		t.Errorf("sealed anew it is %x", again)
	}
}

func TestSealedForOnePlace(t *testing.T) {
	keyring := mustParse(t, NewKey())
	box := keyring.For("webhooks")
	sealed := box.Seal([]byte("value"), []byte("a"), []byte("bc"))
	for _, place := range [][][]byte{
		{[]byte("ab"), []byte("c")}, {[]byte("abc")}, {[]byte("a"), []byte("bc"), nil}, {[]byte("bc"), []byte("a")}, nil,
	} {
		if _, err := box.Open(sealed, place...); !errors.Is(err, ErrBroken) {
			t.Errorf("opened at %q: %v", place, err)
		}
	}
	if _, err := keyring.For("tokens").Open(sealed, []byte("a"), []byte("bc")); !errors.Is(err, ErrBroken) {
		t.Errorf("opened for another purpose: %v", err)
	}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		if _, err := box.Open(changed, []byte("a"), []byte("bc")); err == nil {
			t.Errorf("opened with byte %d changed", i)
		}
		if _, err := box.Open(sealed[:i], []byte("a"), []byte("bc")); !errors.Is(err, ErrBroken) {
			t.Errorf("opened %d bytes of it: %v", i, err)
		}
	}
	if bytes.Equal(sealed, box.Seal([]byte("value"), []byte("a"), []byte("bc"))) {
		t.Error("the same value is sealed twice in the same way")
	}
	if value, err := box.Open(box.Seal(nil)); err != nil || len(value) != 0 {
		t.Errorf("of nothing came %q, %v", value, err)
	}
}

func TestRotation(t *testing.T) {
	oldKey, newKey := NewKey(), NewKey()
	before := mustParse(t, oldKey).For("p")
	sealed := before.Seal([]byte("value"))
	both := mustParse(t, newKey+"\n"+oldKey+"\n").For("p")
	if value, err := both.Open(sealed); err != nil || string(value) != "value" {
		t.Errorf("the old key opens %q, %v", value, err)
	}
	if both.Current(sealed) || !before.Current(sealed) {
		t.Error("the key that seals is not the first one")
	}
	anew := both.Seal([]byte("value"))
	if !both.Current(anew) {
		t.Error("it was not sealed under the first key")
	}
	after := mustParse(t, newKey).For("p")
	if value, err := after.Open(anew); err != nil || string(value) != "value" {
		t.Errorf("the new key opens %q, %v", value, err)
	}
	id, err := Key(sealed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := after.Open(sealed); !errors.Is(err, ErrKey) || !strings.Contains(err.Error(), id.String()) {
		t.Errorf("without the old key: %v", err)
	}
}

func TestParseKeyring(t *testing.T) {
	a, b := NewKey(), countingKey()
	raw, err := base64.StdEncoding.DecodeString(a)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, text string
		keys       int // 0: it is refused
	}{
		{"base64", a, 1},
		{"hex", b, 1},
		{"HEX", strings.ToUpper(b), 1},
		{"without padding", strings.TrimRight(a, "="), 1},
		{"for URLs", base64.URLEncoding.EncodeToString(raw), 1},
		{"two lines", a + "\n" + b + "\n", 2},
		{"Windows", "# made in May\r\n\r\n" + a + "\r\n" + b + "\r\n", 2},
		{"commas", a + "," + b, 2},
		{"spaces", " " + a + "  " + b, 2},
		{"empty", "", 0},
		{"comments only", "# " + a + "\n", 0},
		{"short", a[:40], 0},
		{"long", b + "00", 0},
		{"48 bytes", base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{255}, 48)), 0},
		{"a password", "correct horse battery staple", 0},
		{"zeros", strings.Repeat("0", 64), 0},
		{"twice", a + "\n" + hex.EncodeToString(raw), 0},
		{"too many", strings.Repeat(a+"\n", MaxKeys+1), 0},
		{"too long", strings.Repeat("#\n", MaxKeyringBytes), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k, err := ParseKeyring(tt.text)
			if tt.keys == 0 {
				if err == nil {
					t.Fatalf("was taken as %v", k)
				}
				for _, word := range strings.Fields(tt.text) {
					if len(word) > 8 && strings.Contains(err.Error(), word) {
						t.Errorf("the error repeats it: %v", err)
					}
				}
				return
			}
			if err != nil || len(k.IDs()) != tt.keys {
				t.Errorf("gave %v, %v", k, err)
			}
		})
	}
	many := ""
	for range MaxKeys + 1 {
		many += NewKey() + "\n"
	}
	if _, err := ParseKeyring(many); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("too many keys: %v", err)
	}
}

// TestKeysAreNotPrinted prints keys in every way that is likely to happen by accident.
func TestKeysAreNotPrinted(t *testing.T) {
	keyring := mustParse(t, countingKey())
	box := keyring.For("p")
	raw, err := hex.DecodeString(countingKey())
	if err != nil {
		t.Fatal(err)
	}
	type holder struct {
		Keys *Keyring
		Box  *Box
	}
	text, err := json.Marshal(keyring)
	if err != nil {
		t.Fatal(err)
	}
	printed := string(text)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		printed += fmt.Sprintf(verb+verb+verb, keyring, box, holder{keyring, box}) + "\n"
	}
	if !strings.Contains(printed, keyring.IDs()[0].String()) {
		t.Error("the ids are not printed")
	}
	for _, form := range []string{"%x", "%d", "%s", "%q", "%#v"} {
		for _, secret := range [][]byte{raw, keyring.keys[0].derive("for p", KeyBytes)} {
			want := strings.Trim(fmt.Sprintf(form, secret), "[]")
			if strings.Contains(printed, want) {
				t.Errorf("a key is printed as %s", form)
			}
		}
	}
	if got := fmt.Sprint((*Keyring)(nil), (*Box)(nil)); got != "no keys no keys" {
		t.Errorf("nothing prints as %q", got)
	}
}

func FuzzParseKeyring(f *testing.F) {
	f.Add("")
	f.Add(countingKey())
	f.Add("# a\nAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=, " + strings.Repeat("ab", 32))
	f.Add("-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_8")
	f.Fuzz(func(t *testing.T, text string) {
		k, err := ParseKeyring(text)
		if (k == nil) == (err == nil) {
			t.Fatalf("%v, %v", k, err)
		}
		if err != nil {
			return
		}
		if n := len(k.IDs()); n < 1 || n > MaxKeys {
			t.Fatalf("%d keys", n)
		}
		box := k.For("p")
		if value, err := box.Open(box.Seal([]byte("v"), []byte("at")), []byte("at")); err != nil || string(value) != "v" {
			t.Errorf("opened %q, %v", value, err)
		}
	})
}

func FuzzOpen(f *testing.F) {
	keyring, err := ParseKeyring(countingKey())
	if err != nil {
		f.Fatal(err)
	}
	box := keyring.For("webhooks")
	genuine, err := hex.DecodeString(golden)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(genuine)
	f.Add([]byte{})
	f.Add(genuine[:Overhead])
	f.Add(append([]byte{2}, genuine[1:]...))
	f.Fuzz(func(t *testing.T, sealed []byte) {
		value, err := box.Open(sealed, []byte("tenant"), []byte("webhook"))
		switch {
		case err == nil:
			if !bytes.Equal(sealed, genuine) {
				t.Errorf("opened what nobody sealed: %q", value)
			}
		case !errors.Is(err, ErrKey) && !errors.Is(err, ErrBroken):
			t.Errorf("an error of another kind: %v", err)
		}
	})
}

// A mixed secret is the same for ever under one first key, whatever stands behind it, and nothing that another key, purpose
// or secret gives.
func TestMix(t *testing.T) {
	keyring := mustParse(t, countingKey())
	mixed := keyring.Mix("tokens", []byte("stored"))
	if len(mixed) != 32 || !bytes.Equal(mixed, mustParse(t, countingKey()+"\n"+NewKey()).Mix("tokens", []byte("stored"))) {
		t.Errorf("mixed %x", mixed)
	}
	for name, other := range map[string][]byte{
		"key":     mustParse(t, NewKey()).Mix("tokens", []byte("stored")),
		"purpose": keyring.Mix("webhooks", []byte("stored")),
		"secret":  keyring.Mix("tokens", []byte("other")),
	} {
		if bytes.Equal(mixed, other) {
			t.Errorf("another %s gives the same", name)
		}
	}
}
