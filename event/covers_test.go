package event

import (
	"slices"
	"testing"
)

func TestPatternCovers(t *testing.T) {
	for _, c := range []struct {
		wide, narrow Pattern
		want         bool
	}{
		{"orders.**", "orders.*", true},
		{"orders.**", "orders.**", true},
		{"orders.**", "orders", false},
		{"orders.**", "orders.eu.*.paid", true},
		{"orders.*", "orders.**", false},
		{"**", "a.**", true},
		{"**", "*", true},
		{"**", "_carillon.delivery.failed", false},
		{"**", "_carillon.**", false},
		{"*.*", "_carillon.x", false},
		{"_carillon.**", "_carillon.delivery.failed", true},
		{"*.**", "**", false},
		{"a.*.c", "a.b.c", true},
		{"a.*.c", "a.*.c", true},
		{"a.b.c", "a.*.c", false},
		{"a.*", "a._x", true},
	} {
		if got := c.wide.Covers(c.narrow); got != c.want {
			t.Errorf("%s covers %s: %t", c.wide, c.narrow, got)
		}
	}
	if patterns := []Pattern{"a.*", "b.**"}; !CoverAny(patterns, "b.c.*") || CoverAny(patterns, "c") || CoverAny(nil, "a") {
		t.Error("CoverAny is wrong")
	}
}

// Whatever Match says of all short topics, Covers says of the patterns.
func TestPatternCoversWhatItMatches(t *testing.T) {
	names := func(tokens []string, length int) (all []string) {
		for level := []string{""}; length > 0; length-- {
			var next []string
			for _, begin := range level {
				for _, token := range tokens {
					next = append(next, begin+token)
				}
			}
			all = append(all, next...)
			level = nil
			for _, name := range next {
				level = append(level, name+".")
			}
		}
		return all
	}
	var patterns []Pattern
	for _, name := range names([]string{"a", "_a", "*", "**"}, 3) {
		if p, err := ParsePattern(name); err == nil {
			patterns = append(patterns, p)
		}
	}
	topics := names([]string{"a", "_a", "b"}, 4)
	if len(patterns) < 40 || len(topics) < 100 {
		t.Fatalf("only %d patterns and %d topics", len(patterns), len(topics))
	}
	for _, wide := range patterns {
		for _, narrow := range patterns {
			want := !slices.ContainsFunc(topics, func(topic string) bool {
				return narrow.Match(Topic(topic)) && !wide.Match(Topic(topic))
			})
			if got := wide.Covers(narrow); got != want {
				t.Errorf("%s covers %s: %t", wide, narrow, got)
			}
		}
	}
}
