package filter

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/itchyny/gojq"
)

// The functions that [guard] puts into a transform; see machine.functions.
const (
	guardWalk      = "%walk"      // the input will be walked over
	guardText      = "%text"      // the input may be taken apart, or written out, byte by byte
	guardEach      = "%each"      // the input's elements will be listed
	guardCall      = "%call"      // so many variables may be made
	guardPair      = "%pair"      // each of the input's elements may be compared with each of the argument's
	guardIndex     = "%index"     // the argument is an index
	guardPath      = "%path"      // the argument is a path
	guardPaths     = "%paths"     // the argument is a list of paths
	guardShort     = "%short"     // the argument has to be short
	guardNumber    = "%number"    // the input becomes a number
	guardTranspose = "%transpose" // the input's rows become columns
	guardSort      = "%sort"      // the input's elements will be sorted
	guardKey       = "%key"       // the argument will be compared with others of its kind
	guardEvent     = "%event"     // the argument is a path with a value, as tostream gives them
	guardTest      = "%test"      // the arguments are a regular expression, matched once, and its flags
	guardMatch     = "%match"     // the same, matched again and again if the flags have a g
	guardScan      = "%scan"      // the same, matched again and again
)

// operands are the functions that take an operator's operands and give them as an array.
var operands = map[gojq.Operator]string{
	gojq.OpAdd: "%add", gojq.OpSub: "%sub", gojq.OpMul: "%mul", gojq.OpDiv: "%div", gojq.OpMod: "%mod",
	gojq.OpEq: "%eq", gojq.OpNe: "%ne", gojq.OpGt: "%gt", gojq.OpLt: "%lt", gojq.OpGe: "%ge", gojq.OpLe: "%le",
}

var updates = map[gojq.Operator]gojq.Operator{
	gojq.OpUpdateAdd: gojq.OpAdd, gojq.OpUpdateSub: gojq.OpSub, gojq.OpUpdateMul: gojq.OpMul,
	gojq.OpUpdateDiv: gojq.OpDiv, gojq.OpUpdateMod: gojq.OpMod, gojq.OpUpdateAlt: gojq.OpAlt,
}

// free are the builtins that do no more at a time than an instruction may.
var free = set(`empty/0 not/0 type/0 now/0 select/1 first/0 first/1 last/0 last/1 limit/2 skip/2 recurse/1
	recurse/2 range/1 range/2 range/3 while/2 until/2 repeat/1 isempty/1 all/1 all/2 any/1 any/2 path/1 env/0
	values/0 nulls/0 booleans/0 numbers/0 strings/0 arrays/0 objects/0 iterables/0 scalars/0
	infinite/0 nan/0 isinfinite/0 isfinite/0 isnan/0 isnormal/0 finites/0 normals/0
	floor/0 round/0 ceil/0 trunc/0 nearbyint/0 rint/0 significand/0 fabs/0 sqrt/0 cbrt/0 exp/0 exp10/0 exp2/0 expm1/0
	log/0 log10/0 log1p/0 log2/0 logb/0 frexp/0 modf/0 gamma/0 lgamma/0 tgamma/0
	sin/0 cos/0 tan/0 asin/0 acos/0 atan/0 sinh/0 cosh/0 tanh/0 asinh/0 acosh/0 atanh/0
	atan2/2 copysign/2 fdim/2 fmax/2 fmin/2 fmod/2 hypot/2 ldexp/2 scalb/2 scalbln/2 pow/2 fma/3 drem/2`)

// walking are the builtins whose time and memory follow the size of their input and of what their arguments give.
var walking = set(`error/0 error/1 length/0 utf8bytelength/0 keys/0 has/1 in/1 abs/0 add/0 map/1 map_values/1 to_entries/0 from_entries/0
	with_entries/1 toboolean/0 reverse/0 recurse/0 all/0 any/0 walk/1 del/1 paths/0 paths/1 pick/1 tostream/0
	truncate_stream/1 bsearch/1 IN/1 IN/2 startswith/1 endswith/1 ltrimstr/1 rtrimstr/1 trimstr/1
	ltrim/0 rtrim/0 trim/0 ascii_downcase/0 ascii_upcase/0 implode/0 combinations/0 combinations/1
	gmtime/0 localtime/0 mktime/0 todate/0 fromdate/0 todateiso8601/0 fromdateiso8601/0 INDEX/1 INDEX/2`)

// guarded are the builtins that need more: what goes before them, and around their first argument.
var guarded = map[string]struct{ before, argument string }{
	"explode/0":   {guardText, ""},
	"fromjson/0":  {guardText, ""},
	"split/1":     {guardText, ""},
	"tojson/0":    {guardText, ""},
	"tostring/0":  {guardText, ""},
	"flatten/0":   {guardText, ""},
	"flatten/1":   {guardText, ""},
	"tonumber/0":  {guardNumber, ""},
	"transpose/0": {guardTranspose, ""},

	"contains/1": {guardWalk, guardPair},
	"inside/1":   {guardWalk, guardPair},
	"indices/1":  {guardText, guardPair},
	"index/1":    {guardText, guardPair},
	"rindex/1":   {guardText, guardPair},
	"join/1":     {guardWalk, guardPair},

	"sort/0": {guardSort, ""}, "unique/0": {guardSort, ""}, "min/0": {guardSort, ""}, "max/0": {guardSort, ""},
	"sort_by/1": {guardWalk, guardKey}, "group_by/1": {guardWalk, guardKey}, "unique_by/1": {guardWalk, guardKey},
	"min_by/1": {guardWalk, guardKey}, "max_by/1": {guardWalk, guardKey},

	"fromstream/1": {guardWalk, guardEvent},

	"nth/1":      {guardWalk, guardIndex},
	"nth/2":      {guardWalk, guardIndex},
	"getpath/1":  {"", guardPath},
	"setpath/2":  {guardWalk, guardPath},
	"delpaths/1": {guardWalk, guardPaths},

	"strftime/1":      {guardWalk, guardShort},
	"strflocaltime/1": {guardWalk, guardShort},
	"strptime/1":      {guardWalk, guardShort},

	"test/1": {guardWalk, guardTest}, "test/2": {guardWalk, guardTest},
	"match/1": {guardWalk, guardMatch}, "match/2": {guardWalk, guardMatch},
	"capture/1": {guardWalk, guardMatch}, "capture/2": {guardWalk, guardMatch},
	"scan/1": {guardWalk, guardScan}, "scan/2": {guardWalk, guardScan},
	"split/2":  {guardWalk, guardScan},
	"splits/1": {guardWalk, guardScan}, "splits/2": {guardWalk, guardScan},
	"sub/2": {guardWalk, guardMatch}, "sub/3": {guardWalk, guardMatch},
	"gsub/2": {guardWalk, guardScan}, "gsub/3": {guardWalk, guardScan},
}

func set(names string) map[string]bool {
	s := map[string]bool{}
	for _, name := range strings.Fields(names) {
		s[name] = true
	}
	return s
}

func builtin(name string) bool {
	_, ok := guarded[name]
	return ok || free[name] || walking[name] || name == "add/1"
}

// guard rewrites a query so that whatever can do much in one instruction is announced before: functions are put before
// and around it that give what they get. It refuses what is not known to it, and
// tells how large the query is. What it makes has names that cannot be
// written, so that no definition of the query's own stands in for them.
func guard(source string, query *gojq.Query) (nodes int, err error) {
	g := &guarding{source: source, defined: map[string]bool{}}
	if query.Meta != nil || len(query.Imports) > 0 {
		return 0, syntaxErrorAt(source, 0, "there are no modules here")
	}
	g.define(reflect.ValueOf(query))
	if g.err == nil {
		nodes = g.walk(reflect.ValueOf(query))
	}
	if g.err != nil {
		return 0, g.err
	}
	return nodes, nil
}

type guarding struct {
	source  string
	defined map[string]bool // name/arity of what the query defines, functions' arguments too
	err     *SyntaxError
}

func (g *guarding) refuse(name, detail string) {
	if g.err == nil {
		g.err = syntaxErrorAt(g.source, find(g.source, name), detail)
	}
}

// define collects what the query defines.
func (g *guarding) define(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return
		}
		if def, ok := v.Interface().(*gojq.FuncDef); ok {
			names := []string{fmt.Sprintf("%s/%d", def.Name, len(def.Args))}
			for _, arg := range def.Args {
				// $x is x too. One that is called like a builtin stands in for it as nothing but a value; what is put
				// before the builtin does not harm it.
				if name, value := strings.CutPrefix(arg, "$"); !value || name == "add" || !builtin(name+"/0") {
					names = append(names, name+"/0")
				}
			}
			for _, name := range names {
				if builtin(name) {
					g.refuse(name, fmt.Sprintf("%s is built in and cannot be defined anew", name))
				}
				g.defined[name] = true
			}
		}
		g.define(v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			g.define(v.Field(i))
		}
	case reflect.Slice:
		for i := range v.Len() {
			g.define(v.Index(i))
		}
	}
}

// walk rewrites everything below v, the innermost first, and returns how much there is. It goes by the types' fields,
// so that nothing is left out.
func (g *guarding) walk(v reflect.Value) int {
	n := 0
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return 0
		}
		n = 1 + g.walk(v.Elem())
		switch node := v.Interface().(type) {
		case *gojq.Query:
			g.query(node)
		case *gojq.Term:
			g.term(node)
		case *gojq.Index:
			g.index(node)
		case *gojq.String:
			for i, q := range node.Queries {
				if q.Term == nil || q.Term.Type != gojq.TermTypeString {
					whole := &gojq.Term{Type: gojq.TermTypeQuery, Query: pipe(q, call(guardText))}
					node.Queries[i] = &gojq.Query{Term: whole}
				}
			}
		case *gojq.FuncDef:
			node.Body = roomy(node.Body, n)
		case *gojq.Func:
			for i, arg := range node.Args {
				node.Args[i] = roomy(arg, n)
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			n += g.walk(v.Field(i))
		}
	case reflect.Slice:
		for i := range v.Len() {
			n += g.walk(v.Index(i))
		}
	}
	return n
}

// roomy announces the variables of a body that may have many: room is made for all of them when it is entered.
func roomy(body *gojq.Query, nodes int) *gojq.Query {
	if nodes <= 32 {
		return body
	}
	return pipe(call(guardCall, number(nodes)), body)
}

func (g *guarding) query(q *gojq.Query) {
	if name, ok := operands[q.Op]; ok {
		*q = gojq.Query{FuncDefs: q.FuncDefs, Op: gojq.OpPipe, Left: call(name, q.Left, q.Right), Right: operation(q.Op)}
		return
	}
	if op, ok := updates[q.Op]; ok {
		// l += r is r as $x | l |= . + $x.
		value := &gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeFunc, Func: &gojq.Func{Name: updateValue}}}
		change := &gojq.Query{Op: op, Left: identity(), Right: value}
		g.query(change)
		update := &gojq.Query{Op: gojq.OpModify, Left: q.Left, Right: change}
		*q = gojq.Query{
			FuncDefs: q.FuncDefs, Op: gojq.OpPipe, Left: q.Right, Patterns: []*gojq.Pattern{{Name: updateValue}},
			Right: pipe(call(guardWalk), update),
		}
		return
	}
	if q.Op == gojq.OpAssign || q.Op == gojq.OpModify {
		update := &gojq.Query{Op: q.Op, Left: q.Left, Right: q.Right}
		*q = gojq.Query{FuncDefs: q.FuncDefs, Op: gojq.OpPipe, Left: call(guardWalk), Right: update}
	}
}

const updateValue = "$%value"

func (g *guarding) term(t *gojq.Term) {
	switch {
	case t.Type == gojq.TermTypeFunc:
		g.function(t)
	case t.Type == gojq.TermTypeRecurse:
		prefix(t, guardWalk)
	case t.Type == gojq.TermTypeFormat && t.Str == nil:
		prefix(t, guardText)
	}
	g.iterate(t)
}

// prefix puts a function before a term.
func prefix(t *gojq.Term, name string) {
	inner := *t
	inner.SuffixList = nil
	*t = gojq.Term{
		Type: gojq.TermTypeQuery, Query: pipe(call(name), &gojq.Query{Term: &inner}), SuffixList: t.SuffixList,
	}
}

// iterate announces each [] among a term's suffixes.
func (g *guarding) iterate(t *gojq.Term) {
	i := 0
	for i < len(t.SuffixList) && !t.SuffixList[i].Iter {
		i++
	}
	if i == len(t.SuffixList) {
		return
	}
	made := *t
	made.SuffixList = slices.Clone(t.SuffixList[:i])
	for ; i < len(t.SuffixList); i++ {
		if t.SuffixList[i].Iter {
			inner := made
			made = gojq.Term{
				Type: gojq.TermTypeQuery, Query: pipe(&gojq.Query{Term: &inner}, call(guardEach)),
			}
		}
		made.SuffixList = append(made.SuffixList, t.SuffixList[i])
	}
	*t = made
}

// index announces computed and large indexes.
func (g *guarding) index(x *gojq.Index) {
	if x.IsSlice || x.Start == nil {
		return
	}
	if t := x.Start.Term; t != nil && len(t.SuffixList) == 0 {
		if t.Type == gojq.TermTypeString && t.Str.Queries == nil {
			return
		}
		if n, err := strconv.Atoi(t.Number); t.Type == gojq.TermTypeNumber && err == nil && n <= freeIndex {
			return
		}
	}
	x.Start = call(guardIndex, x.Start)
}

func (g *guarding) function(t *gojq.Term) {
	f := t.Func
	if strings.HasPrefix(f.Name, "$") {
		return
	}
	name := fmt.Sprintf("%s/%d", f.Name, len(f.Args))
	rule, special := guarded[name]
	switch {
	case rule.argument == guardTest || rule.argument == guardMatch || rule.argument == guardScan:
		matching(t, rule.argument)
	case special:
		for i, arg := range f.Args {
			if i == 0 && rule.argument != "" {
				f.Args[i] = call(rule.argument, arg)
			} else {
				f.Args[i] = pipe(arg, call(guardWalk))
			}
		}
		if rule.before != "" {
			prefix(t, rule.before)
		}
	case name == "add/1":
		// add(f) is [f] | add.
		list := &gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeArray, Array: &gojq.Array{Query: f.Args[0]}}}
		*t = gojq.Term{
			Type: gojq.TermTypeQuery, Query: pipe(list, pipe(call(guardWalk), call("add"))), SuffixList: t.SuffixList,
		}
	case walking[name]:
		for i, arg := range f.Args {
			f.Args[i] = pipe(arg, call(guardWalk))
		}
		prefix(t, guardWalk)
	case free[name], g.defined[name]:
	default:
		g.refuse(f.Name, fmt.Sprintf("there is no function %s here", name))
	}
}

// matching makes re as $re | flags as $flags | check($re; $flags) | test($re; $flags) of test(re; flags), and the same of
// what is like it: a match cannot be judged without its flags.
func matching(t *gojq.Term, check string) {
	inner := *t
	inner.SuffixList = nil
	args := t.Func.Args
	re, flags := args[0], &gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeNull}}
	for i := 1; i < len(args); i++ {
		if i == 1 && (t.Func.Name == "sub" || t.Func.Name == "gsub") {
			args[i] = pipe(args[i], call(guardWalk)) // the replacement
			continue
		}
		flags, args[i] = args[i], call(regexFlags)
	}
	args[0] = call(regexPattern)
	body := pipe(call(guardWalk), pipe(call(check, call(regexPattern), call(regexFlags)), &gojq.Query{Term: &inner}))
	body = &gojq.Query{Op: gojq.OpPipe, Left: flags, Patterns: []*gojq.Pattern{{Name: regexFlags}}, Right: body}
	body = &gojq.Query{Op: gojq.OpPipe, Left: re, Patterns: []*gojq.Pattern{{Name: regexPattern}}, Right: body}
	*t = gojq.Term{Type: gojq.TermTypeQuery, Query: body, SuffixList: t.SuffixList}
}

const (
	regexPattern = "$%pattern"
	regexFlags   = "$%flags"
)

func identity() *gojq.Query { return &gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeIdentity}} }

func number(n int) *gojq.Query {
	return &gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeNumber, Number: strconv.Itoa(n)}}
}

func pipe(l, r *gojq.Query) *gojq.Query { return &gojq.Query{Op: gojq.OpPipe, Left: l, Right: r} }

func call(name string, args ...*gojq.Query) *gojq.Query {
	return &gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeFunc, Func: &gojq.Func{Name: name, Args: args}}}
}

// operation is .[0] op .[1].
func operation(op gojq.Operator) *gojq.Query {
	at := func(i int) *gojq.Query {
		return &gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeIndex, Index: &gojq.Index{Start: number(i)}}}
	}
	return &gojq.Query{Op: op, Left: at(0), Right: at(1)}
}
