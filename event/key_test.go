package event

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestKeyValidate(t *testing.T) {
	key := func(change func(*Key)) *Key {
		k := &Key{Name: "shop", Scopes: []Scope{ScopePublish, ScopeSubscribe}, Patterns: []Pattern{"orders.**"}}
		change(k)
		return k
	}
	for name, c := range map[string]struct {
		change func(*Key)
		fields []string
	}{
		"fine":                 {func(*Key) {}, nil},
		"every topic":          {func(k *Key) { k.Patterns = nil }, nil},
		"admin":                {func(k *Key) { k.Scopes, k.Patterns = []Scope{ScopeAdmin}, nil }, nil},
		"no name":              {func(k *Key) { k.Name = "" }, []string{"name"}},
		"long name":            {func(k *Key) { k.Name = strings.Repeat("x", MaxKeyName+1) }, []string{"name"}},
		"name of two lines":    {func(k *Key) { k.Name = "a\nb" }, []string{"name"}},
		"name of no text":      {func(k *Key) { k.Name = "a\xff" }, []string{"name"}},
		"no scopes":            {func(k *Key) { k.Scopes = nil }, []string{"scopes"}},
		"unknown scope":        {func(k *Key) { k.Scopes = append(k.Scopes, "Publish") }, []string{"scopes[2]"}},
		"a scope twice":        {func(k *Key) { k.Scopes = append(k.Scopes, ScopePublish) }, []string{"scopes[2]"}},
		"no pattern":           {func(k *Key) { k.Patterns = []Pattern{"a", "a..b"} }, []string{"topics[1]"}},
		"many patterns":        {func(k *Key) { k.Patterns = slices.Repeat([]Pattern{"a"}, MaxPatterns+1) }, []string{"topics"}},
		"manager of one topic": {func(k *Key) { k.Scopes = []Scope{ScopeManage} }, nil},
		"admin of one topic":   {func(k *Key) { k.Scopes = []Scope{ScopeAdmin} }, []string{"topics"}},
	} {
		var got []string
		for _, bad := range key(c.change).Validate() {
			got = append(got, bad.Field)
		}
		if !slices.Equal(got, c.fields) {
			t.Errorf("%s: at fault are %v, want %v", name, got, c.fields)
		}
	}
}

func TestScopes(t *testing.T) {
	for _, asked := range Scopes() {
		for _, has := range Scopes() {
			if got, want := Allows([]Scope{has}, asked), has == asked || has == ScopeAdmin; got != want {
				t.Errorf("%s allows %s: %t", has, asked, got)
			}
		}
		if Allows(nil, asked) {
			t.Errorf("nothing allows %s", asked)
		}
	}
}

func TestKeyEnds(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		expires time.Time
		want    bool
	}{
		"never":  {time.Time{}, false},
		"later":  {now.Add(1), false},
		"now":    {now, true},
		"before": {now.Add(-1), true},
	} {
		if got := (&Key{ExpiresAt: c.expires}).Expired(now); got != c.want {
			t.Errorf("%s: expired is %t", name, got)
		}
	}
}

func TestKeyTokens(t *testing.T) {
	form := regexp.MustCompile(`^crn_[0-9A-Za-z]{49}$`)
	seen := make(map[string]bool)
	counts := make(map[rune]int)
	const made = 2000
	for range made {
		token := NewKeyToken()
		text := token.Reveal()
		if !form.MatchString(text) || !WholeToken(token) || seen[text] {
			t.Fatalf("made %q", text)
		}
		seen[text] = true
		for _, c := range text[len(tokenPrefix) : len(tokenPrefix)+tokenRandom] {
			counts[c]++
		}
		if HashKey(token) == (KeyHash{}) || HashKey(token) != HashKey(Secret(text)) {
			t.Fatal("the hash is not one")
		}
	}
	// Each is expected 1387 times, with a standard deviation of 37.
	for _, c := range tokenAlphabet {
		if n := counts[c]; n < 1000 || n > 1800 {
			t.Errorf("%c came %d times of %d", c, n, made*tokenRandom)
		}
	}
	whole := NewKeyToken().Reveal()
	for _, broken := range []string{"", "crn_", whole[1:], whole[:len(whole)-1], whole + "0", strings.ToUpper(whole), "crn_" + strings.Repeat("0", 49)} {
		if WholeToken(Secret(broken)) {
			t.Errorf("%q is taken for whole", broken)
		}
	}
	for i := range len(whole) {
		other := byte('0')
		if whole[i] == other {
			other = '1'
		}
		if broken := whole[:i] + string(other) + whole[i+1:]; WholeToken(Secret(broken)) {
			t.Errorf("mistyped at %d and taken for whole", i)
		}
	}
}

func FuzzKeyToken(f *testing.F) {
	token := NewKeyToken().Reveal()
	for _, seed := range []string{token, token[:len(token)-1], token + "0", "crn_", "", "CRN_" + token[4:], strings.Repeat("crn_", 14)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !WholeToken(Secret(text)) {
			return
		}
		if !LikeToken(Secret(text)) || len(text) != len(token) {
			t.Fatalf("%q is whole", text)
		}
		// The checksum tells of every single character that is another one.
		for i := range text {
			other := []byte(text)
			other[i] ^= 1
			if WholeToken(Secret(other)) {
				t.Errorf("%q and %q are whole", text, other)
			}
		}
	})
}
