package filter

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/carillon/carillon/event"
)

// mebibyte is an event whose payload has nearly 1 MiB: what hostile expressions are given to work with.
func mebibyte() *event.Event {
	items := strings.TrimSuffix(strings.Repeat(`{"sku":"a","n":1},`, 25000), ",")
	list := strings.TrimSuffix(strings.Repeat("0,", 100000), ",")
	var members strings.Builder
	for i := range 200 {
		fmt.Fprintf(&members, `"%d":0,`, i)
	}
	return &event.Event{
		Topic:   "t",
		Payload: []byte(`{"s":"` + strings.Repeat("a", 300000) + `","l":[` + list + `],"items":[` + items + `],"m":{` + members.String() + `"":0}}`),
	}
}

// allocated returns how many bytes do allocates altogether. Nothing else may run meanwhile.
func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestHostileFilters(t *testing.T) {
	in := NewInput(mebibyte(), time.Time{})
	in.payload()
	for _, source := range []string{
		`data.items.all(i, data.items.all(j, i.sku == j.sku))`,
		`data.l.all(a, data.l.all(b, data.l.all(c, true)))`,
		`data == data`,
		`data.l.map(x, data.items) == data.l.map(x, data.items)`,
		`data.l.map(x, data) in data.l.map(x, data)`,
		`[data.l].map(a, [a,a,a,a]).map(a, [a,a,a,a]).map(a, [a,a,a,a]).map(a, [a,a,a,a]) == [data.s]`,
		`data.s.matches("(a{10}){10}b")`,
		`data.l.all(x, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".matches("(a?){20}a{20}$"))`,
		`data.l.all(x, string(x).matches("x" + string(x)) || true)`,
		`data.l.all(x, data.s + data.s != "")`,
		`[data.s].map(a,a+a).map(a,a+a).map(a,a+a).map(a,a+a).map(a,a+a).map(a,a+a).map(a,a+a)[0] == "b"`,
		`data.l.all(x, size(data.s) > 3)`,
		`data.l.all(x, time.getHours("Europe/Berlin") >= 0)`,
		`data.l.all(x, data.s != "x")`,
		`data.l.all(x, data.s < data.s || true)`,
		`data.l.all(x, !(5 in data.l))`,
		`data.l.all(x, string(data.s).startsWith("a"))`,
		`data.l.all(x, bytes(data.s) == bytes(data.s))`,
		`data.l.all(x, data.s.lowerAscii().trim() != "")`,
		`data.l.all(x, data.s.contains("aaaaaaab") || true)`,
		`data.l.all(x, data.l.map(y, [y, y]).size() > 0)`,
		`data.l.all(x, (data.l + data.l + data.l)[3] == 0)`,
		`data.l.all(x, data.l == data.l)`, `data.l.all(x, !(5 in data.l) || true)`,
		`[data.l]` + strings.Repeat(".map(a,a+a)", 11) + `.exists(a, 5 in a)`,
		`data.l.all(x, data.m[data.s] == 1 || true)`, `data.l.all(x, size({data.s: 1}) == 1)`,
		`data.l.all(x, data.m[{data.s: 1}["a"]] == 1 || true)`, `data.l.all(x, !(5 in data.m) && data.m.exists(k, true))`,
		`data.l.all(x, "x".matches("` + strings.Repeat(`\\pL`, 250) + `") || true)`,
		`data.l.all(x, "x".matches("(?i)[` + strings.Repeat(`\\pL`, 8) + `]") || true)`,
		`data.l.all(x, "x".matches(string(x) + "((a{10}){10}){15}") || true)`,
	} {
		f, err := Compile(source)
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		used := allocated(func() { _, err = f.Match(in) })
		if err == nil {
			t.Errorf("%s was let through", source)
		}
		if used > 128<<20 {
			t.Errorf("%s took %d MiB", source, used>>20)
		}
	}
}

func TestHostileTransforms(t *testing.T) {
	in := NewInput(mebibyte(), time.Time{})
	in.payload()
	for _, source := range []string{
		`[limit(1e9; repeat(1))]`, `"x" * 1e9`, `1e9 * "x"`, `[range(1e12)]`, `[range(1e7)]`, `def f: [f]; f`, `def f: 1 + f; f`,
		`def f: f | f; f`, `def f(g): f(g | g); f(.)`, `def f: {a: f}; f`,
		`def f: f, (` + strings.Repeat(". as $a | ", 1500) + `1); f`,
		`def f(g): g; def h: f(h | ` + strings.Repeat(". as $a | ", 1500) + `1); h`,
		strings.Repeat(".l[] as $a | ", 1000) + `1`,
		`def f: .l[] as $x | f; f`,
		`[0] | until(length >= 1e9; . + .)`, `"x" | until(length >= 1e9; . + .)`, `"x" | until(false; . += .)`,
		`"\"" | until(length >= 1e9; tojson)`, `"\"" | until(false; @json)`, `"'" | until(false; @html)`,
		`"x" | until(false; "\(.)\(.)")`, `"x" | until(false; [.,.])`, `"x" | until(false; {a: ., b: .})`,
		`[0] | until(false; [.[], .[]])`, `{} | until(false; . * {a: ., b: .})`, `[0] | until(false; add(., .))`,
		`reduce range(60) as $i (0; [.,.]) | tojson`, `reduce range(60) as $i (0; [.,.]) | . == [1]`,
		`reduce range(60) as $i (0; [.,.])`, `[reduce range(60) as $i (0; [.,.])] | sort`,
		`reduce range(60) as $i (0; [.,.]) | [..]`, `reduce range(60) as $i (0; [.,.]) | .[0] |= 1`,
		`reduce range(60) as $i (0; [.,.]) as $x | [1] | index($x)`, `reduce range(60) as $i (0; [.,.]) | error`,
		`reduce range(60) as $i (0; [.,.]) | .a`, `reduce range(60) as $i (0; [.,.]) | {(.): 1}`,
		`reduce range(60) as $i (0; [.,.]) | sin`, `reduce range(60) as $i (0; [.,.]) | try .a catch error(1)`,
		`reduce range(60) as $i ([0]; [.,.] | flatten)`, `reduce range(100000) as $i (0; [.])`,
		`null | .[1000000000] = 1`, `null | setpath([536870911]; 1)`, `[range(1000) as $i | null | .[1000000] = $i]`,
		`[range(1000) as $i | .l | .[$i] = 1]`, `[range(1000) as $i | .l + [1]]`, `[range(1000) as $i | .s | explode]`,
		`[range(1000) as $i | .s + "x"]`, `[range(1000) as $i | .l | reverse]`, `[range(1000) as $i | .l | map(.)]`,
		`.l - .l`, `.l | indices(.)`, `.l | .[.]`, `.l | getpath([.])`, `.l | contains(map(1))`,
		`[.l] + (.l | map([])) | transpose`, `[.l | combinations(3)]`, `.l | map(tostring) | join("x" * 100000)`,
		`.s | [match("a"; "g")]`, `.s | test("(a{10}){10}b")`, `.s | gsub("a"; "bb")`, `capture("^" * 78888880)`,
		`[range(1e6) | tostring as $re | "x" | test($re)]`,
		`2 | until(false; . * .)`, `12345678901234567890 | until(false; . * .)`, `try until(false; .) catch 1`,
		`[repeat(.l[])]`, `.l | until(false; map(.))`, `.l as $l | [range(100)] | map($l) | unique`,
		`[.s, .s, .s, .s]`, `[..]`, `until(false; now | strftime("%c" * 500))`, `[.items[] | .x = $time | .y = .] | until(false; .)`,
		`[range(200000)] | sort_by(tostring | explode)`,
		`"a" * 10000 | [match("a.*b|a"; "g")]`, `"a" * 50000 | [match("a"; "g")]`, `"a" * 20000 | [match("()" * 200; "g")]`,
		`"a\n" * 20000 | [match(["a.*b|a", "gm"])]`, `"A" * 20000 | gsub("a.*b|a"; ""; "i")`, `"a," * 30000 | [splits(",")]`,
		`[range(1000)] as $a | [range(4000) | [$a, (. * 7919 % 7001)]] | sort`,
		`[range(1000)] as $a | [range(4000)] | group_by([$a, (. * 7919 % 7001)])`,
		`[range(1000) | {key: tostring}] | from_entries as $a | [range(1000) | [$a, (. * 7919 % 7001)]] | sort`,
		`[range(500)] as $a | [range(1000) | $a + [1]] - [range(1000) | $a + [2]]`,
		`[[range(20000)]] | contains([[range(20000) | 19999]])`, `[range(500)] as $a | [range(9000) | $a] | indices([range(500) | $a] + [1])`,
		`[range(1e6) | null | .[1024] = 0]`, `[range(1e6) as $i | null | setpath([1024]; 0)]`, `[range(1e6) | null | pick(.[1000])]`,
		`[range(200000) | "a"] as $p | null | setpath($p; 1)`, `[range(200000) | "a"] as $p | null | delpaths([$p])`,
		`fromstream([[5000000], 1], [[5000000]])`, `[fromstream(range(1e6) | [[1024], 1], [[1024]])]`, `until(false; .s | split("") | empty, .)`,
	} {
		tr, err := CompileTransform(source)
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		used := allocated(func() { _, err = tr.Apply(t.Context(), in) })
		if err == nil {
			t.Errorf("%.80s was let through", source)
		} else if len(err.Error()) > maxDetail+8 {
			t.Errorf("%.80s: a long error: %s", source, err)
		}
		if used > 400<<20 {
			t.Errorf("%.80s took %d MiB", source, used>>20)
		}
		t.Logf("%4d MiB  %.60s", used>>20, source)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if m.HeapSys > 2<<30 {
		t.Errorf("the heap has grown to %d MiB", m.HeapSys>>20)
	}
}

func TestHostileSources(t *testing.T) {
	around := func(open, middle, shut string, bytes int) string {
		n := (bytes - len(middle)) / (len(open) + len(shut))
		return strings.Repeat(open, n) + middle + strings.Repeat(shut, n)
	}
	for _, s := range [][3]string{
		{"(", "1", ")"}, {"[", "", "]"}, {"[", "", ""}, {"-", "1", ""}, {"!", "true", ""}, {"{a:", "1", "}"}, {"1+", "1", ""},
		{"try ", "1", ""}, {"map(", "1", ")"}, {"sort_by(", "1", ")"}, {`"\(`, "1", `)"`}, {".[.", "", "]"}, {".[]", "", ""},
		{". as [$a] ?// [$b] | ", "1", ""}, {"def f:", "1", ";1"}, {"def f:1;", "f", ""}, {"if 1 then ", "1", " else 1 end"},
		{"[1].all(x,", "true", ")"}, {"true||", "true", ""}, {"data.a==1?true:", "true", ""}, {"has(", "a.b", ")"},
		{"'a'+", "'a'==topic", ""}, {"data.m(1).", "x", ""}, {") ", "", ""}, {"? ", "", ""}, {"data", "", "[0]"},
	} {
		used := allocated(func() {
			_, _ = Compile(around(s[0], s[1], s[2], event.MaxFilterBytes))
			_, _ = CompileTransform(around(s[0], s[1], s[2], event.MaxTransformBytes))
		})
		if used > 256<<20 {
			t.Errorf("to compile many %s took %d MiB", s[0], used>>20)
		}
	}
}
