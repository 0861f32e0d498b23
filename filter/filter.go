package filter

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/env"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/carillon/carillon/event"
)

const (
	// maxCost is how much one evaluation may cost, in CEL's own units: an access, a comparison or a step of an
	// iteration is one, ten bytes of a string are one.
	maxCost = 200_000
	// maxCompared is how many values one comparison may look at. CEL counts a comparison's cost when it is over.
	maxCompared = 50_000
	// maxNesting is how deeply an expression may be nested.
	maxNesting = 64
	// maxNodes is how many nodes an expression may have once its macros are expanded.
	maxNodes = 4000
)

// Filter is a compiled CEL expression. It is safe for concurrent use with different inputs.
type Filter struct {
	program cel.Program
	bytes   int // an estimate of what it keeps
}

// Compile compiles a CEL expression (cel.dev, the language's definition) over
//
//	topic       string
//	type        string               the CloudEvents type, or the topic
//	data        dyn                  the payload, when it is JSON, or null
//	attributes  map(string, string)  the CloudEvents attributes
//	time        timestamp            when the event was accepted
//
// that has to say true or false. Its errors are always a [SyntaxError].
func Compile(source string) (*Filter, error) {
	if err := checkSource(source, event.MaxFilterBytes); err != nil {
		return nil, err
	}
	f, err := compile(source)
	if err == nil {
		return f, nil
	}
	var syntax *SyntaxError
	if errors.As(err, &syntax) {
		return nil, syntax
	}
	return nil, syntaxErrorAt(source, 0, err.Error())
}

func compile(source string) (f *Filter, err error) {
	defer recovered(&err)
	e, err := environment()
	if err != nil {
		return nil, err
	}
	parsed, issues := e.Parse(source)
	if err := syntaxError(source, issues); err != nil {
		return nil, err
	}
	boundComparisons(parsed.NativeRep())
	checked, issues := e.Check(parsed)
	if err := syntaxError(source, issues); err != nil {
		return nil, err
	}
	if t := checked.OutputType(); !t.IsExactType(cel.BoolType) && !t.IsExactType(cel.DynType) {
		return nil, syntaxErrorAt(source, 0, "the expression is of type "+t.String()+"; it has to be bool")
	}
	program, err := e.Program(checked, cel.CostLimit(maxCost), cel.CostTracking(costs{}))
	if err != nil {
		return nil, err
	}
	return &Filter{program, 2<<10 + 128*len(source)}, nil
}

// Match evaluates the filter. Its errors are about the expression and the event, such as a field that is not there
// (has tells), and are meant for the webhook's owner.
func (f *Filter) Match(in *Input) (matched bool, err error) {
	defer recovered(&err)
	result, _, err := f.program.Eval(activation{in})
	if err != nil {
		if strings.Contains(err.Error(), "actual cost limit exceeded") {
			return false, errors.New("the filter does more work on this event than a filter may")
		}
		return false, errors.New(clip(err.Error()))
	}
	b, ok := result.(types.Bool)
	if !ok {
		return false, fmt.Errorf("the filter's result is of type %s; it has to be bool", result.Type().TypeName())
	}
	return bool(b), nil
}

// recovered makes an error of a library's panic.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("the expression cannot be evaluated: %s", clip(fmt.Sprint(p)))
	}
}

// environment is shared by all filters: it is by far the largest thing about them.
var environment = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewCustomEnv(
		cel.StdLib(cel.StdLibSubset(env.NewLibrarySubset().AddExcludedFunctions(env.NewFunction("matches")))),
		cel.Variable("topic", cel.StringType),
		cel.Variable("type", cel.StringType),
		cel.Variable("data", cel.DynType),
		cel.Variable("attributes", cel.MapType(cel.StringType, cel.StringType)),
		cel.Variable("time", cel.TimestampType),
		cel.CrossTypeNumericComparisons(true),
		cel.DefaultUTCTimeZone(true),
		cel.ParserRecursionLimit(maxNesting),
		cel.ParserErrorRecoveryLimit(4),
		cel.ParserExpressionSizeLimit(event.MaxFilterBytes),
		cel.ExpressionNodeLimit(maxNodes),
		cel.Function("matches",
			cel.Overload("matches_pattern", []*cel.Type{cel.StringType, cel.StringType}, cel.BoolType,
				cel.BinaryBinding(matches)),
			cel.MemberOverload("string_matches_pattern", []*cel.Type{cel.StringType, cel.StringType}, cel.BoolType,
				cel.BinaryBinding(matches))),
		textFunction("lowerAscii", lowerASCII),
		textFunction("upperAscii", upperASCII),
		textFunction("trim", strings.TrimSpace),
		cel.Function(comparable,
			cel.Overload(comparable, []*cel.Type{cel.TypeParamType("T")}, cel.TypeParamType("T"),
				cel.UnaryBinding(boundedValue))),
		cel.Function(key,
			cel.Overload(key, []*cel.Type{cel.TypeParamType("T")}, cel.TypeParamType("T"),
				cel.UnaryBinding(func(v ref.Val) ref.Val { return v }))),
	)
})

func textFunction(name string, do func(string) string) cel.EnvOption {
	return cel.Function(name, cel.MemberOverload("string_"+name, []*cel.Type{cel.StringType}, cel.StringType,
		cel.UnaryBinding(func(v ref.Val) ref.Val {
			s, ok := v.(types.String)
			if !ok {
				return types.MaybeNoSuchOverloadErr(v)
			}
			return types.String(do(string(s)))
		})))
}

func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

func upperASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			return r + 'A' - 'a'
		}
		return r
	}, s)
}

func matches(text, pattern ref.Val) ref.Val {
	s, ok := text.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(text)
	}
	p, ok := pattern.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(pattern)
	}
	re, err := compileRegex(string(p))
	if err == nil {
		err = re.check(len(s))
	}
	if err != nil {
		return types.NewErr("%s", err)
	}
	return types.Bool(re.MatchString(string(s)))
}

// costs replaces CEL's own costs of calls, which do not hold for us: a call whose types are known at run time only,
// such as all that is made of data, costs 1 there however long its strings and lists are, and what a comparison costs is
// found by counting the characters of both sides.
type costs struct{}

func (costs) CallCost(function, _ string, args []ref.Val, result ref.Val) *uint64 {
	cost := 1
	switch {
	case function == operators.Equals || function == operators.NotEquals:
		if len(args) == 2 && length(args[0]) == length(args[1]) {
			cost += length(args[0]) / 32
		}
	case function == "startsWith" || function == "endsWith" || orders[function]:
		if len(args) == 2 {
			cost += min(length(args[0]), length(args[1])) / 10
		}
	case function == operators.In && len(args) == 2:
		if list, ok := args[1].(traits.Lister); ok {
			n, _ := list.Size().(types.Int)
			cost += int(n) / 4
		}
	case function == "matches" && len(args) == 2:
		cost = maxCost / 10 // what cannot be compiled is compiled each time
		if re, err := compileRegex(string(text(args[1]))); err == nil {
			cost = 20 + re.estimate + min(re.work(length(args[0])), maxRegexWork)/8
		}
	case function == key && len(args) == 1:
		cost += length(args[0]) / 32
	case function == comparable:
		left := maxCompared
		if types.IsError(result) { // it was too much, and || and all would forgive it
			left = 0
		}
		weigh(result, &left)
		cost += maxCompared - max(left, 0)
	case strings.HasPrefix(function, "get") && len(args) == 2:
		cost = 1000 // may read a time zone's file
	default:
		for _, arg := range args {
			cost += length(arg) / 10
		}
		cost += length(result) / 10
	}
	units := uint64(cost)
	return &units
}

var orders = map[string]bool{
	operators.Less: true, operators.LessEquals: true, operators.Greater: true, operators.GreaterEquals: true,
}

// length is a text's in bytes, and 0 of everything else.
func length(v ref.Val) int {
	switch v := v.(type) {
	case types.String:
		return len(v)
	case types.Bytes:
		return len(v)
	}
	return 0
}

func text(v ref.Val) types.String {
	s, _ := v.(types.String)
	return s
}

// comparable is what the operands of comparisons are handed through. Nobody can write its name.
const comparable = "@comparable"

// key is what computed keys of maps and indexes are handed through, since a look-up costs nothing in CEL's model however
// long the key is. Nobody can write its name.
const key = "@key"

// boundComparisons puts both sides of ==, != and in through [boundedValue], unless there is nothing deep to compare: a
// side of == is a plain literal, or what in looks through is one. Keys go through [key].
func boundComparisons(tree *ast.AST) {
	next := ast.MaxID(tree) + 1
	factory := ast.NewExprFactory()
	wrap := func(e ast.Expr, function string) {
		if plain(e) {
			return
		}
		inner := factory.CopyExpr(e)
		id := next
		next++
		inner.RenumberIDs(func(old int64) int64 {
			if old == e.ID() {
				return id
			}
			return old
		})
		if at, ok := tree.SourceInfo().GetOffsetRange(e.ID()); ok {
			tree.SourceInfo().SetOffsetRange(id, at)
		}
		e.SetKindCase(factory.NewCall(e.ID(), function, inner))
	}
	// What is inside comes first: wrapping copies what it wraps.
	var inside []ast.Expr
	ast.PostOrderVisit(tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) { inside = append(inside, e) }))
	for _, e := range inside {
		switch e.Kind() {
		case ast.MapKind:
			for _, entry := range e.AsMap().Entries() {
				wrap(entry.AsMapEntry().Key(), key)
			}
		case ast.CallKind:
			args := e.AsCall().Args()
			if len(args) != 2 || plain(args[1]) {
				continue
			}
			switch e.AsCall().FunctionName() {
			case operators.Index:
				wrap(args[1], key)
			case operators.Equals, operators.NotEquals:
				if !plain(args[0]) {
					wrap(args[0], comparable)
					wrap(args[1], comparable)
				}
			case operators.In: // looks through all of a list for a number, too
				wrap(args[0], comparable)
				wrap(args[1], comparable)
			}
		}
	}
}

// plain reports whether e is a literal, or a list of nothing else.
func plain(e ast.Expr) bool {
	switch e.Kind() {
	case ast.LiteralKind:
		return true
	case ast.ListKind:
		for _, element := range e.AsList().Elements() {
			if element.Kind() != ast.LiteralKind {
				return false
			}
		}
		return true
	}
	return false
}

func boundedValue(v ref.Val) ref.Val {
	left := maxCompared
	if weigh(v, &left); left < 0 {
		return types.NewErr("a comparison looks at more than %d values", maxCompared)
	}
	return v
}

// weigh takes from left what there is in v. What is in it twice counts twice, as it does for comparisons.
func weigh(v ref.Val, left *int) {
	if *left--; *left < 0 {
		return
	}
	switch v := v.(type) {
	case traits.Mapper:
		for it := v.Iterator(); *left >= 0 && it.HasNext() == types.True; {
			*left--
			weigh(v.Get(it.Next()), left)
		}
	case traits.Lister:
		for it := v.Iterator(); *left >= 0 && it.HasNext() == types.True; {
			weigh(it.Next(), left)
		}
	case types.String:
		*left -= len(v) / 32
	case types.Bytes:
		*left -= len(v) / 32
	}
}

// activation answers for the variables of one evaluation.
type activation struct{ in *Input }

func (a activation) ResolveName(name string) (any, bool) {
	switch name {
	case "topic":
		return string(a.in.ev.Topic), true
	case "type":
		return a.in.eventType(), true
	case "data":
		return a.in.value(), true
	case "attributes":
		if a.in.ev.Attributes == nil {
			return map[string]string{}, true
		}
		return a.in.ev.Attributes, true
	case "time":
		return a.in.time, true
	}
	return nil, false
}

func (activation) Parent() cel.Activation { return nil }

// syntaxError makes one line of what the library found first.
func syntaxError(source string, issues *cel.Issues) error {
	if issues.Err() == nil {
		return nil
	}
	found := issues.Errors()
	if len(found) == 0 {
		return syntaxErrorAt(source, 0, issues.Err().Error())
	}
	first := found[0]
	detail := strings.ReplaceAll(first.Message, " (in container '')", "")
	detail = strings.NewReplacer(comparable, "comparison", key, "key").Replace(detail)
	detail, _, _ = strings.Cut(strings.TrimPrefix(detail, "Syntax error: "), " expecting {")
	detail = strings.ReplaceAll(detail, "'<EOF>'", "end of the expression")
	return syntaxErrorAt(source, offsetOf(source, first.Location), detail)
}

// offsetOf finds a place, whose line counts from 1 and whose column counts characters from 0, in the source. The library
// says -1 for what has no place.
func offsetOf(source string, at common.Location) int {
	line, offset := at.Line(), 0
	for ; line > 1; line-- {
		n := strings.IndexByte(source[offset:], '\n')
		if n < 0 {
			break
		}
		offset += n + 1
	}
	column := at.Column()
	for i, r := range source[offset:] {
		if column <= 0 || r == '\n' {
			return offset + i
		}
		column--
	}
	return len(source)
}
