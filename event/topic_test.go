package event

import (
	"strings"
	"testing"
)

func tokens(n int) string { return strings.Repeat("a.", n-1) + "a" }

func TestParseTopicAndPattern(t *testing.T) {
	cases := []struct {
		text           string
		topic, pattern bool
	}{
		{"orders", true, true},
		{"orders.eu.created", true, true},
		{"A-Z_0.9-", true, true},
		{"_carillon.delivery.failed", true, true},
		{strings.Repeat("a", MaxTopicBytes), true, true},
		{tokens(MaxTopicTokens), true, true},
		{"*", false, true},
		{"**", false, true},
		{"*.*", false, true},
		{"orders.*.created", false, true},
		{"orders.**", false, true},
		{"*.**", false, true},
		{"", false, false},
		{".", false, false},
		{"a.", false, false},
		{".a", false, false},
		{"a..b", false, false},
		{"a b", false, false},
		{"a/b", false, false},
		{"é", false, false},
		{"a\x00", false, false},
		{"a\n", false, false},
		{strings.Repeat("a", MaxTopicBytes+1), false, false},
		{tokens(MaxTopicTokens + 1), false, false},
		{"**.a", false, false},
		{"**.**", false, false},
		{"***", false, false},
		{"a*", false, false},
		{"a.b*.c", false, false},
		{"a.>", false, false},
	}
	for _, c := range cases {
		topic, err := ParseTopic(c.text)
		if (err == nil) != c.topic || (err == nil && string(topic) != c.text) {
			t.Errorf("topic %q: %q, %v", c.text, topic, err)
		}
		pattern, err := ParsePattern(c.text)
		if (err == nil) != c.pattern || (err == nil && string(pattern) != c.text) {
			t.Errorf("pattern %q: %q, %v", c.text, pattern, err)
		}
		if err == nil && pattern.Literal() != c.topic {
			t.Errorf("%q: literal is %v", c.text, pattern.Literal())
		}
	}
}

func TestTopicErrorsSayWhatToDo(t *testing.T) {
	for text, want := range map[string]string{
		"":       "must not be empty",
		"a..b":   "token 2 is empty",
		"a.b c":  `token 2 has ' '; allowed are A-Z a-z 0-9 _ -`,
		"a.*":    "token 2 has a wildcard; a topic names one place, a pattern may name many",
		"a.\xff": "token 2 has '�'; allowed are A-Z a-z 0-9 _ -",
	} {
		if _, err := ParseTopic(text); err == nil || err.Error() != want {
			t.Errorf("topic %q: %v, want %s", text, err, want)
		}
	}
	for text, want := range map[string]string{
		"**.a": "** may only be the last token",
		"a.b*": "token 2 mixes a wildcard with other characters",
	} {
		if _, err := ParsePattern(text); err == nil || err.Error() != want {
			t.Errorf("pattern %q: %v, want %s", text, err, want)
		}
	}
}

func TestPatternMatch(t *testing.T) {
	cases := []struct {
		pattern Pattern
		yes, no []Topic
	}{
		{"a.b", []Topic{"a.b"}, []Topic{"a", "a.b.c", "a.B", "b.a", "a.bb"}},
		{"*", []Topic{"a", "z"}, []Topic{"a.b", "_a"}},
		{"**", []Topic{"a", "a.b", "a._b.c"}, []Topic{"_a", "_a.b"}},
		{"a.*", []Topic{"a.b", "a._b"}, []Topic{"a", "a.b.c", "b.b"}},
		{"a.**", []Topic{"a.b", "a.b.c"}, []Topic{"a", "aa.b"}},
		{"*.b", []Topic{"a.b"}, []Topic{"_a.b", "b", "a.b.c"}},
		{"a.*.c", []Topic{"a.b.c"}, []Topic{"a.c", "a.b.b.c", "a.b"}},
		{"*.**", []Topic{"a.b", "a.b.c"}, []Topic{"a", "_a.b"}},
		{"_a.*", []Topic{"_a.b"}, []Topic{"_a", "a.b", "_b.b"}},
		{"_a.**", []Topic{"_a.b", "_a.b.c"}, []Topic{"_a"}},
		{"_a", []Topic{"_a"}, []Topic{"a"}},
	}
	for _, c := range cases {
		for _, topic := range c.yes {
			if !c.pattern.Match(topic) || !MatchAny([]Pattern{"nothing", c.pattern}, topic) {
				t.Errorf("%s does not match %s", c.pattern, topic)
			}
		}
		for _, topic := range c.no {
			if c.pattern.Match(topic) || MatchAny([]Pattern{"nothing", c.pattern}, topic) {
				t.Errorf("%s matches %s", c.pattern, topic)
			}
		}
	}
	if MatchAny(nil, "a") {
		t.Error("no patterns match")
	}
}

var topicSeeds = []string{"a", "a.b", "_a.b", "*", "**", "a.*.b", "a.**", "", "..", "a.\xff", strings.Repeat("a.", 16)}

func FuzzParseTopic(f *testing.F) {
	for _, s := range topicSeeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		topic, err := ParseTopic(s)
		if err != nil {
			return
		}
		if string(topic) != s || len(s) > MaxTopicBytes || strings.Count(s, ".") >= MaxTopicTokens {
			t.Errorf("%q became %q", s, topic)
		}
		pattern, err := ParsePattern(s)
		if err != nil || !pattern.Literal() || !pattern.Match(topic) {
			t.Errorf("%q is no pattern that matches itself: %v", s, err)
		}
		if Pattern("**").Match(topic) == topic.Reserved() {
			t.Errorf("** and %q", s)
		}
	})
}

func FuzzParsePattern(f *testing.F) {
	for _, s := range topicSeeds {
		f.Add(s, "a.b")
	}
	f.Fuzz(func(t *testing.T, s, name string) {
		pattern, err := ParsePattern(s)
		if err != nil {
			return
		}
		if _, err := ParseTopic(s); (err == nil) != pattern.Literal() {
			t.Errorf("%q: literal is %v", s, pattern.Literal())
		}
		topic, err := ParseTopic(name)
		if err != nil {
			return
		}
		var index Index[int]
		index.Set(1, []Pattern{pattern})
		found := 0
		index.Match(topic, func(int) { found++ })
		if (found == 1) != pattern.Match(topic) || found > 1 {
			t.Errorf("%q and %q: found %d, matches %v", s, name, found, pattern.Match(topic))
		}
	})
}
