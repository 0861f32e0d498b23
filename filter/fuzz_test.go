package filter

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/carillon/carillon/event"
)

func checkSyntaxError(t *testing.T, source string, err error) {
	t.Helper()
	var at *SyntaxError
	if !errors.As(err, &at) {
		t.Fatalf("%q: not a syntax error: %v", source, err)
	}
	lines := strings.Split(source, "\n")
	if at.Line < 1 || at.Line > len(lines) {
		t.Fatalf("%q: line %d of %d", source, at.Line, len(lines))
	}
	if n := utf8.RuneCountInString(lines[at.Line-1]) + 1; at.Column < 1 || at.Column > n {
		t.Fatalf("%q: column %d of %d", source, at.Column, n)
	}
	if at.Detail == "" || strings.ContainsAny(at.Detail, "\n\r") || len(at.Detail) > maxDetail+8 {
		t.Fatalf("%q: detail %q", source, at.Detail)
	}
}

func FuzzCompile(f *testing.F) {
	for _, s := range []string{
		benchFilter, benchIteration, `has(data.a) ? data.a : false`, `"é" + dta`, "1 +\n\n", `[1,2].map(x, x*2)[0] == {"a": b"x"}.a`,
		benchTransform, `def f($x; g): .[$x:] |= g; f(1; .a?) // "\(.)" | @json`, `. as [$a, {b: $c}] ?// $a | reduce .[] as $x (0; . + $x)`,
		"\"\x00", "\r\n\t(", `topic.matches("(")`, `.a.[0]["x"]?//1,2|..|try error catch .`, `label $x | foreach .[] as $i (0; .; break $x)`,
		`{a, "b": 1, ("c"): 2, $topic, @base64 "x": 3, "\(.)": 4}`, `@x`, `.[1e9]`, `-1 - -.a`, `?`, `'`, `"\(`, `r"\"`, "\"\r",
	} {
		f.Add(s)
	}
	in := NewInput(orderEvent(), time.Time{})
	f.Fuzz(func(t *testing.T, source string) {
		if filter, err := Compile(source); err != nil {
			checkSyntaxError(t, source, err)
		} else if matched, err := filter.Match(in); err != nil && matched {
			t.Errorf("%q matches and fails: %v", source, err)
		}
		if transform, err := CompileTransform(source); err != nil {
			checkSyntaxError(t, source, err)
		} else if body, err := transform.Apply(t.Context(), in); err == nil && (!json.Valid(body) || len(body) > MaxTransformed) {
			t.Errorf("%q gives %.80q", source, body)
		}
	})
}

func FuzzMatch(f *testing.F) {
	var filters []*Filter
	for _, source := range []string{
		benchFilter, benchIteration, `has(data.customer) && data.customer.country in ["DE","FR"]`, `"x" in data.tags`,
		`data == data`, `data.map(x, x).exists(x, x == data)`, `string(data) == "x" || size(data) > 1`, `data.a > data.b`,
		`data.all(k, data[k] == null)`,
	} {
		filter, err := Compile(source)
		if err != nil {
			f.Fatal(err)
		}
		filters = append(filters, filter)
	}
	addPayloads(f)
	f.Fuzz(func(t *testing.T, payload []byte) {
		in := NewInput(&event.Event{Topic: "orders.x", Payload: payload}, time.Time{})
		for i, filter := range filters {
			if matched, err := filter.Match(in); err != nil && (matched || strings.Contains(err.Error(), "cannot be evaluated")) {
				t.Errorf("filter %d of %q: %t, %v", i, payload, matched, err)
			}
		}
	})
}

func FuzzTransform(f *testing.F) {
	var transforms []*Transform
	for _, source := range []string{
		`.`, benchTransform, `[..]`, `[.[]?]`, `tojson | fromjson`, `to_entries? // .`, `[., .] | sort | unique`, `walk(.)`,
		`[paths]`, `.a += 1`, `"\(.)"`, `map_values(. * 2)?`, `[.[]? | tonumber?]`, `del(.[0]?, .a?)`, `(.. | numbers) |= -.`,
	} {
		transform, err := CompileTransform(source)
		if err != nil {
			f.Fatal(err)
		}
		transforms = append(transforms, transform)
	}
	addPayloads(f)
	f.Fuzz(func(t *testing.T, payload []byte) {
		in := NewInput(&event.Event{Topic: "orders.x", Payload: payload}, time.Time{})
		for i, transform := range transforms {
			body, err := transform.Apply(t.Context(), in)
			if err == nil && (!json.Valid(body) || len(body) > MaxTransformed) {
				t.Errorf("transform %d of %q gives %.80q", i, payload, body)
			}
			if err != nil && strings.Contains(err.Error(), "cannot be evaluated") {
				t.Errorf("transform %d of %q: %v", i, payload, err)
			}
		}
	})
}

func addPayloads(f *testing.F) {
	for _, s := range []string{
		order, ``, `null`, `[1,-0,1e999,-1e-999,12345678901234567890123]`, `{"a":{"a":[{}]},"":"\u0000\ud800"}`, `"x`, "\xff",
		strings.Repeat("[", 600), strings.Repeat("[", 300) + strings.Repeat("]", 300), `{"a":1,"a":[2]}`, ` 1 `, `1.0`, `[0.1e1,"é"]`,
	} {
		f.Add([]byte(s))
	}
}
