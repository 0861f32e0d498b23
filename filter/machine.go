package filter

import (
	"context"
	"encoding/json"
	"errors"
	"math/big"
	"strings"
	"time"

	"github.com/itchyny/gojq"
)

// maxWork is what one run of a transform may use up. A unit is about 16 bytes that may be kept, or what takes a few
// nanoseconds.
const maxWork = 8 << 20

// opcodeWork is what each of gojq's instructions costs.
const opcodeWork = 4

// maxIndex is how large an array's index may be: null | .[1000000000] = 0 makes an array so long.
const maxIndex = 1 << 20

// maxValueDepth is how deeply values may be nested: gojq recurses over them.
const maxValueDepth = 10_000

// machine is one copy of a transform's code with the account of what its run has used. gojq knows a bound on neither
// work nor memory, and looks at its context before each instruction: so the account is the context, and ends it. What
// one instruction can do without end is announced by functions that [guard] puts before it.
type machine struct {
	code    *gojq.Code
	context context.Context
	work    int
	stop    error
	ticks   uint

	// patterns are the regular expressions that gojq has compiled for this code, and keeps without bound.
	patterns map[string]bool
}

// maxPatterns is how many regular expressions a machine may have seen to be used again.
const maxPatterns = 64

var ended = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// Done is called for each instruction.
func (m *machine) Done() <-chan struct{} {
	m.use(opcodeWork)
	if m.ticks++; m.ticks%256 == 0 && m.stop == nil && m.context.Err() != nil {
		m.interrupted()
	}
	if m.stop != nil {
		return ended
	}
	return nil
}

func (m *machine) interrupted() {
	m.stop = context.Cause(m.context)
	if errors.Is(m.stop, context.DeadlineExceeded) {
		m.stop = ErrTooMuchWork
	}
}

// Err, Deadline and Value make a context of the account.
func (m *machine) Err() error { return m.stop }

func (m *machine) Deadline() (time.Time, bool) { return m.context.Deadline() }

func (m *machine) Value(key any) any { return m.context.Value(key) }

// use takes units from the account and reports whether the run may go on.
func (m *machine) use(units int) bool {
	if units < 0 || units > m.work { // less than none: the product was too large for an int
		m.work = 0
		if m.stop == nil {
			m.stop = ErrTooMuchWork
		}
	}
	if m.stop != nil {
		return false
	}
	m.work -= units
	return true
}

// weigh uses so many units for each value in v, and some for the texts. What is in it twice counts twice, as it does
// for whatever walks over it.
func (m *machine) weigh(v any, each, depth int) {
	if !m.use(each) || depth > maxValueDepth {
		m.use(-1)
		return
	}
	switch v := v.(type) {
	case string:
		m.use(len(v) / 4)
	case json.Number:
		m.use(len(v) * len(v) / 64)
	case *big.Int:
		m.use(v.BitLen() / 64 * (v.BitLen() / 1024))
	case []any:
		for _, element := range v {
			if m.weigh(element, each, depth+1); m.stop != nil {
				return
			}
		}
	case map[string]any:
		for name, element := range v {
			m.use(len(name)/16 + 3*each)
			if m.weigh(element, each, depth+1); m.stop != nil {
				return
			}
		}
	}
}

// size is how many elements, or bytes, a value has itself.
func size(v any) int {
	switch v := v.(type) {
	case string:
		return len(v)
	case []any:
		return len(v)
	case map[string]any:
		return len(v)
	}
	return 0
}

// functions are what [guard] calls. Nobody can write their names. Those that announce give their input, or their
// argument where there is one, as it is; the run ends at the next instruction if it was too much.
func (m *machine) functions() []gojq.CompilerOption {
	var options []gojq.CompilerOption
	announce := func(name string, arguments int, do func(v any, args []any) error) {
		options = append(options, gojq.WithFunction(name, arguments, arguments, func(v any, args []any) any {
			err := do(v, args)
			if m.stop != nil {
				return m.stop
			}
			if err != nil {
				return err
			}
			if arguments > 0 && name != guardCall {
				return args[0]
			}
			return v
		}))
	}
	announce(guardWalk, 0, func(v any, _ []any) error {
		m.weigh(v, 1, 0)
		return nil
	})
	announce(guardText, 0, func(v any, _ []any) error {
		m.weigh(v, 8, 0)
		if s, ok := v.(string); ok {
			m.use(4 * len(s))
		}
		return nil
	})
	announce(guardEach, 0, func(v any, _ []any) error {
		m.use(2 * size(v))
		return nil
	})
	announce(guardCall, 1, func(_ any, args []any) error {
		n, _ := args[0].(int)
		m.use(n)
		return nil
	})
	announce(guardPair, 1, func(v any, args []any) error {
		m.weigh(args[0], 1, 0)
		m.use(max(size(v), 1) * max(size(args[0]), 1) / pairsPerUnit(v, args[0]))
		return nil
	})
	announce(guardIndex, 1, func(_ any, args []any) error { return m.index(args[0]) })
	announce(guardPath, 1, func(_ any, args []any) error { return m.path(args[0], 1) })
	announce(guardPaths, 1, func(_ any, args []any) error { return m.path(args[0], 0) })
	announce(guardShort, 1, func(_ any, args []any) error {
		if s, ok := args[0].(string); ok && len(s) > maxRegexBytes {
			return errors.New("a format is too long")
		}
		return nil
	})
	announce(guardNumber, 0, func(v any, _ []any) error {
		if s, ok := v.(string); ok && len(s) > maxNumber {
			return errors.New("a number is too long")
		}
		return nil
	})
	announce(guardTranspose, 0, func(v any, _ []any) error {
		rows, _ := v.([]any)
		longest := 0
		for _, row := range rows {
			longest = max(longest, size(row))
		}
		m.use(2 * longest * len(rows))
		return nil
	})
	announce(guardTest, 1, func(v any, args []any) error { return m.regex(v, args[0], 0) })
	announce(guardMatch, 1, func(v any, args []any) error { return m.regex(v, args[0], matchWork) })
	for op, name := range operands {
		options = append(options, gojq.WithFunction(name, 2, 2, func(_ any, args []any) any {
			m.operate(op, args[0], args[1])
			if m.stop != nil {
				return m.stop
			}
			return []any{args[0], args[1]}
		}))
	}
	return options
}

// operate announces what an operator is about to do.
func (m *machine) operate(op gojq.Operator, l, r any) {
	if plainScalar(l) && plainScalar(r) {
		return
	}
	m.weigh(l, 1, 0)
	m.weigh(r, 1, 0)
	switch op {
	case gojq.OpMul:
		s, n := l, r
		if _, ok := s.(string); !ok {
			s, n = r, l
		}
		if s, ok := s.(string); ok {
			if n, ok := gojq.ToFloat64(n); ok && n > 0 {
				if n > MaxTransformed || !m.use(int(float64(len(s))*n)/16) {
					m.use(-1)
				}
			}
		}
		if lb, ok := l.(*big.Int); ok {
			if rb, ok := r.(*big.Int); ok {
				m.use(lb.BitLen() / 64 * (rb.BitLen() / 64))
			}
		}
	case gojq.OpDiv: // split
		if s, ok := l.(string); ok {
			m.use(4 * len(s))
		}
	case gojq.OpSub:
		if _, ok := l.([]any); ok {
			m.use(size(l) * max(size(r), 1))
		}
	}
}

func plainScalar(v any) bool {
	switch v.(type) {
	case nil, bool, int, float64:
		return true
	}
	return false
}

// pairsPerUnit is how many pairs of elements are looked at for a unit: bytes are faster.
func pairsPerUnit(v, arg any) int {
	if _, ok := v.(string); ok {
		if _, ok := arg.(string); ok {
			return 64
		}
	}
	return 1
}

func (m *machine) index(v any) error {
	switch v := v.(type) {
	case []any:
		return errors.New("an array cannot be an index; indices finds where an array stands in another one")
	case nil, string, bool, map[string]any:
		return nil
	default:
		n, ok := gojq.ToInt(v)
		if ok && (n > maxIndex || n < -maxIndex) {
			return errors.New("an index is too large")
		}
		if n > 1<<10 {
			m.use(n / 2)
		}
		return nil
	}
}

// path checks a path (depth 1), as setpath takes it, or a list of them (depth 0), as delpaths does.
func (m *machine) path(v any, depth int) error {
	elements, ok := v.([]any)
	if !ok {
		return nil // the function itself complains
	}
	m.use(len(elements))
	for _, element := range elements {
		if _, ok := element.([]any); ok && depth == 0 {
			if err := m.path(element, 1); err != nil {
				return err
			}
			continue
		}
		if err := m.index(element); err != nil {
			return err
		}
	}
	return nil
}

// matchWork is what one match of many takes for each byte of the text: each is an object with several members.
const matchWork = 64

func (m *machine) regex(text, pattern any, each int) error {
	flags := ""
	if list, ok := pattern.([]any); ok && len(list) > 0 {
		pattern = list[0]
		if len(list) > 1 {
			flags, _ = list[1].(string)
		}
	}
	s, ok := text.(string)
	if !ok {
		return nil
	}
	p, ok := pattern.(string)
	if !ok {
		return nil
	}
	if len(flags) > 8 {
		return errors.New("there are no so many flags of a regular expression")
	}
	re, err := compileRegex(strings.ReplaceAll(p, "(?<", "(?P<"))
	if err != nil {
		return err
	}
	if !m.patterns[p] {
		m.use(4096 + 64*re.instructions)
		m.patterns[p] = true
	}
	m.use(re.work(len(s)) / 2)
	m.use(each * len(s))
	return nil
}
