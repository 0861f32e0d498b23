package filter

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/carillon/carillon/event"
)

func apply(t *testing.T, source string, ev *event.Event) (string, error) {
	t.Helper()
	tr, err := CompileTransform(source)
	if err != nil {
		t.Fatalf("%s: %v", source, err)
	}
	body, err := tr.Apply(t.Context(), NewInput(ev, time.Time{}))
	return string(body), err
}

func TestWhatTransformsGive(t *testing.T) {
	for source, want := range map[string]string{
		`.customer`:                                      `{"country":"DE","name":"Ann"}`,
		`{id: $id, t: $topic, type: $type}`:              `{"id":"00000000-0000-0000-0000-000000000000","t":"orders.created","type":"com.example.order"}`,
		`[$time, $attributes.tenant]`:                    `["2026-03-01T10:30:00.000Z","a"]`,
		`.huge`:                                          `12345678901234567890`,
		`[.huge, .id, .exact]`:                           `[12345678901234567890,9007199254740993,100.0]`,
		`.huge + 1`:                                      `12345678901234567891`,
		`.missing`:                                       `null`,
		`.amount + 1`:                                    `151`,
		`.amount - .price * 2 / 5 % 7`:                   `145`,
		`.amount > 100 and .price != 3`:                  `true`,
		`[.items[] | .sku]`:                              `["a","b"]`,
		`[.items[]?.n, .tags[]?[]?]`:                     `[1,2]`,
		`.items | map(.n) | add`:                         `3`,
		`add(.items[].n)`:                                `3`,
		`.items |= map(.n) | .items`:                     `[1,2]`,
		`.amount += 5 | .amount`:                         `155`,
		`.items[].n *= 2 | [.items[].n]`:                 `[2,4]`,
		`.missing //= 3 | .missing`:                      `3`,
		`.amount -= 1 | .amount /= 2 | .amount`:          `74.5`,
		`.customer.name = "B" | .customer.name`:          `"B"`,
		`"\(.customer.name): \(.amount)"`:                `"Ann: 150"`,
		`@base64 "x\(.amount)"`:                          `"xMTUw"`,
		`.tags | @csv`:                                   `"\"x\",\"y\""`,
		`.tags | join("-")`:                              `"x-y"`,
		`.tags | tojson | fromjson`:                      `["x","y"]`,
		`del(.items, .tags) | keys`:                      `["amount","blob","customer","exact","huge","id","neg","nothing","price","vast"]`,
		`.customer | to_entries`:                         `[{"key":"country","value":"DE"},{"key":"name","value":"Ann"}]`,
		`.customer | with_entries(.key |= ascii_upcase)`: `{"COUNTRY":"DE","NAME":"Ann"}`,
		`.items | group_by(.sku) | map(length)`:          `[1,1]`,
		`.items | sort_by(-.n) | map(.sku)`:              `["b","a"]`,
		`.items | any(.n > 1)`:                           `true`,
		`.items[-1].sku, empty`:                          `"b"`,
		`.items[1:] | length`:                            `1`,
		`.items[.neg + 4].n`:                             `2`,
		`getpath(["items",0,"n"])`:                       `1`,
		`pick(.customer.name)`:                           `{"customer":{"name":"Ann"}}`,
		`[.customer | .. | strings]`:                     `["DE","Ann"]`,
		`[.customer | paths]`:                            `[["country"],["name"]]`,
		`reduce .items[] as $i (0; . + $i.n)`:            `3`,
		`[foreach .items[] as $i (0; . + $i.n)]`:         `[1,3]`,
		`.items as [$a, {$sku}] | [$a.n, $sku]`:          `[1,"b"]`,
		`def f($x; g): $x + g + x; f(1; 2)`:              `4`,
		`def f($length): .[:$length]; .tags | f(1)`:      `["x"]`,
		`INDEX(.items[]; .sku) | keys`:                   `["a","b"]`,
		`def length2: length * 2; .tags|length2`:         `4`,
		`[limit(3; repeat(1))]`:                          `[1,1,1]`,
		`first(range(5; 10))`:                            `5`,
		`label $out | 1, break $out`:                     `1`,
		`try error("x") catch .`:                         `"x"`,
		`.customer.name | test("^a"; "i")`:               `true`,
		`.customer.name | gsub("n"; "m")`:                `"Amm"`,
		`"a1b2" | [match("[0-9]"; "g").string]`:          `["1","2"]`,
		`"x-1" | capture("(?<k>x)-(?<v>.)")`:             `{"k":"x","v":"1"}`,
		`"a\nB" | [test("a.b"; "im", "i")]`:              `[true,false]`,
		`"a, b" | [splits(", *")]`:                       `["a","b"]`,
		`"ab" * 2 + ("a,b" / "," | .[0])`:                `"ababa"`,
		`[1,2,3] - [2]`:                                  `[1,3]`,
		`{a: {b: 1}} * {a: {c: 2}}`:                      `{"a":{"b":1,"c":2}}`,
		`[.tags | contains(["x"]), index("y")]`:          `[true,1]`,
		`.blob | fromdate | todate`:                      `"2026-03-01T10:00:00Z"`,
		`.blob | strptime("%Y-%m-%dT%H:%M:%SZ") | mktime | strftime("%A")`: `"Sunday"`,
		`[env, $ENV]`:                        `[{},{}]`,
		`now | type`:                         `"number"`,
		`[[1,2],[3]] | [transpose, flatten]`: `[[[1,3],[2,null]],[1,2,3]]`,
		`[.items[] | walk(if type == "number" then . + 1 else . end) | .n]`: `[2,3]`,
		`nan`:   `null`,
		`"<&é"`: `"<&é"`,
	} {
		if got, err := apply(t, source, orderEvent()); got != want || err != nil {
			t.Errorf("%s gives %s, want %s: %v", source, got, want, err)
		}
	}
	if got, err := apply(t, `[., $type, $attributes]`, &event.Event{Topic: "t", Payload: []byte("x")}); got != `[null,"t",{}]` {
		t.Errorf("of no JSON: %s, %v", got, err)
	}
}

func TestWhatTransformsFailOn(t *testing.T) {
	for source, want := range map[string]error{
		`empty`: ErrNoResult, `.tags[]`: ErrManyResults, `range(1e12)`: ErrManyResults, `"x" * (1024 * 1023), 1`: ErrManyResults,
		`"x" * (1024 * 1024)`: ErrTooLarge, `until(false; .)`: ErrTooMuchWork, `try until(false; .) catch 1`: ErrTooMuchWork,
	} {
		if got, err := apply(t, source, orderEvent()); !errors.Is(err, want) {
			t.Errorf("%s gives %.40s, %v; want %v", source, got, err, want)
		}
	}
	for source, want := range map[string]string{
		`.amount | .x`: "object", `0[]`: "cannot iterate", `error("no")`: "no", `{} + 1`: "cannot add",
		`.tags | test("x")`: "cannot be applied", `"a" | test("(")`: "missing closing )", `.[[0]]?, (.tags | .[[0]])`: "index",
		`null | .[2000000] = 1`: "index is too large", `null | setpath([2000000]; 1)`: "index is too large",
		`("1" * 5000) | tonumber`: "too long", `error({a: "` + strings.Repeat("x", 500) + `"})`: "",
	} {
		got, err := apply(t, source, orderEvent())
		if err == nil || !strings.Contains(err.Error(), want) || len(err.Error()) > maxDetail+8 {
			t.Errorf("%.60s gives %s, %v; want a short error with %q", source, got, err, want)
		}
	}
}

func TestTransformSyntaxErrors(t *testing.T) {
	for source, want := range map[string]string{
		`.a |`:                "1:5: unexpected EOF",
		"1 +\n  é":            "2:3: unexpected token \"é\"",
		`{a: foo(1)}`:         "1:5: there is no function foo/1 here",
		`.a | $nope`:          "1:6: variable not defined: $nope",
		`$__prog_args`:        "1:1: variable not defined",
		`1, halt`:             "1:4: there is no function halt/0 here",
		`halt_error`:          "1:1: there is no function",
		`input`:               "1:1: there is no function",
		`[inputs]`:            "1:2: there is no function",
		`debug`:               "1:1: there is no function",
		`debug("x")`:          "1:1: there is no function",
		`stderr`:              "1:1: there is no function",
		`input_filename`:      "1:1: there is no function",
		`modulemeta`:          "1:1: there is no function",
		`import "a" as a; .`:  "1:1: there are no modules here",
		`include "a"; .`:      "1:1: there are no modules here",
		`def map(f): 1; .`:    "1:5: map/1 is built in",
		`def f(length): 1; .`: "1:7: length/0 is built in",
		`_add(1; 2)`:          "1:1: there is no function _add/2 here",
		`%walk`:               "1:1: unexpected token",
		`break $x`:            "1:7: ",
		``:                    "1:1: the expression is empty",
		`#` + strings.Repeat("x", event.MaxTransformBytes): "1:16385: ",
	} {
		_, err := CompileTransform(source)
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%.60q: %v, want %q", source, err, want)
		}
	}
}

// What the rewriting calls has to be there, or a listed builtin would fail only when somebody uses it.
func TestEveryListedBuiltinCompiles(t *testing.T) {
	var names []string
	for name := range free {
		names = append(names, name)
	}
	for name := range walking {
		names = append(names, name)
	}
	for name := range guarded {
		names = append(names, name)
	}
	for _, name := range names {
		f, arity, _ := strings.Cut(name, "/")
		args := map[string]string{"0": "", "1": "(.)", "2": "(.; .)", "3": "(.; .; .)"}[arity]
		if _, err := CompileTransform(f + args); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTransformIsSharedByInputs(t *testing.T) {
	tr, err := CompileTransform(`{n: [.items[].n] | add, s: (.customer.name | sub("A"; "B")), huge} | .n += 1`)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				body, err := tr.Apply(t.Context(), NewInput(orderEvent(), time.Time{}))
				if want := `{"huge":12345678901234567890,"n":4,"s":"Bnn"}`; string(body) != want || err != nil {
					t.Errorf("%s, %v", body, err)
				}
			}
		})
	}
	wg.Wait()
	if len(tr.idle) > cap(running) {
		t.Errorf("%d machines are kept", len(tr.idle))
	}
}

func TestInputIsNotChangedByTransforms(t *testing.T) {
	in := NewInput(orderEvent(), time.Time{})
	for _, source := range []string{`.items |= reverse`, `.items[0].n = 9`, `del(.tags)`, `.customer.name |= "x"`, `.items | sort_by(-.n)`} {
		tr, err := CompileTransform(source)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tr.Apply(t.Context(), in); err != nil {
			t.Errorf("%s: %v", source, err)
		}
	}
	f, err := Compile(`data.items[0].n == 1 && data.items[0].sku == "a" && data.customer.name == "Ann" && size(data.tags) == 2`)
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := f.Match(in); !ok || err != nil {
		t.Errorf("the input has changed: %v", err)
	}
}

func TestTransformEndsWithItsContext(t *testing.T) {
	tr, err := CompileTransform(`until(false; .)`)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := tr.Apply(ctx, NewInput(orderEvent(), time.Time{})); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// gojq keeps each regular expression that it has compiled with the code.
func TestPatternsAreNotKeptWithoutBound(t *testing.T) {
	tr, err := CompileTransform(`[range(200) | tostring as $re | "150" | test($re)] | any`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tr.Apply(t.Context(), NewInput(orderEvent(), time.Time{})); err != nil {
		t.Fatal(err)
	}
	if len(tr.idle) != 0 {
		t.Error("a machine with 200 patterns is kept")
	}
	if _, err := tr.Apply(t.Context(), NewInput(orderEvent(), time.Time{})); err != nil {
		t.Error(err)
	}
}
