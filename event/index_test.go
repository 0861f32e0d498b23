package event

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func drawTokens(t *rapid.T, choices []string, label string) []string {
	return rapid.SliceOfN(rapid.SampledFrom(choices), 1, 4).Draw(t, label)
}

func drawPattern(t *rapid.T) Pattern {
	parts := drawTokens(t, []string{"a", "b", "_a", "*"}, "pattern")
	if rapid.Bool().Draw(t, "open") {
		parts = append(parts[:len(parts)-1], "**")
	}
	p, err := ParsePattern(strings.Join(parts, "."))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// The tokens are few, so that patterns and topics meet often.
func TestIndexFindsWhatPatternsMatch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var index Index[int]
		model := map[int][]Pattern{}
		check := func(index *Index[int]) {
			if index.Len() != len(model) {
				t.Fatalf("%d keys, want %d", index.Len(), len(model))
			}
			for range 5 {
				topic := Topic(strings.Join(drawTokens(t, []string{"a", "b", "_a"}, "topic"), "."))
				found := []int{}
				index.Match(topic, func(k int) { found = append(found, k) })
				slices.Sort(found)
				want := []int{}
				for _, k := range slices.Sorted(maps.Keys(model)) {
					if MatchAny(model[k], topic) {
						want = append(want, k)
					}
				}
				if !slices.Equal(found, want) {
					t.Fatalf("%s: found %v, want %v of %v", topic, found, want, model)
				}
			}
		}
		for range rapid.IntRange(1, 20).Draw(t, "changes") {
			key := rapid.IntRange(1, 5).Draw(t, "key")
			patterns := make([]Pattern, rapid.IntRange(0, 4).Draw(t, "patterns"))
			for i := range patterns {
				patterns[i] = drawPattern(t)
			}
			index.Set(key, patterns)
			if len(patterns) == 0 {
				delete(model, key)
			} else {
				model[key] = patterns
			}
			check(&index)
		}
		for key := range model {
			index.Set(key, nil)
		}
		if n := index.root; index.Len() != 0 || len(n.children) != 0 || len(n.here) != 0 || len(n.below) != 0 {
			t.Fatalf("removal left %+v behind", n)
		}
	})
}

func BenchmarkIndexMatch(b *testing.B) {
	var index Index[int]
	for i := range 10_000 {
		index.Set(i, []Pattern{Pattern("tenant" + ID{byte(i), byte(i >> 8)}.String() + ".*")})
	}
	index.Set(-1, []Pattern{"orders.**", "orders.*.created"})
	b.ReportAllocs()
	for b.Loop() {
		index.Match("orders.eu.created", func(int) {})
	}
}
