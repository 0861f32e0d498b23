package filter

import (
	"context"
	"encoding/json"
	"errors"
	"math/big"
	"math/bits"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/itchyny/gojq"
)

// maxWork is what one run of a transform may use up. A unit is about 16 bytes that may be kept, or what takes a few
// nanoseconds.
const maxWork = 8 << 20

// opcodeWork is what each of gojq's instructions costs.
const opcodeWork = 4

// clockWork is after how many units the clock is looked at: not after so many instructions, which may be long ones.
const clockWork = 2048

// freeIndex is how large an index may be to cost nothing; null | .[freeIndex] = 0 makes an array so long.
const freeIndex = 64

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
	unseen  int // units used since the clock was looked at

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
	if m.unseen += units + 1; m.unseen > clockWork {
		m.unseen = 0
		if m.context.Err() != nil {
			m.interrupted()
			return false
		}
	}
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
			switch name {
			case guardCall, guardTest, guardMatch, guardScan:
				return v
			}
			if arguments > 0 {
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
		m.pairs(v, args[0])
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
	announce(guardSort, 0, func(v any, _ []any) error {
		m.weigh(v, 1, 0)
		if elements, ok := v.([]any); ok {
			for _, element := range elements {
				if m.weigh(element, 2*bits.Len(uint(len(elements))), 0); m.stop != nil {
					break
				}
			}
		}
		return nil
	})
	announce(guardKey, 1, func(_ any, args []any) error {
		m.weigh(args[0], keyWork, 0)
		return nil
	})
	announce(guardEvent, 1, func(_ any, args []any) error {
		m.weigh(args[0], 1, 0)
		if pair, ok := args[0].([]any); ok && len(pair) > 0 {
			return m.path(pair[0], 1)
		}
		return nil
	})
	announce(guardTest, 2, func(v any, args []any) error { return m.regex(v, args[0], args[1], false, false) })
	announce(guardMatch, 2, func(v any, args []any) error { return m.regex(v, args[0], args[1], true, false) })
	announce(guardScan, 2, func(v any, args []any) error { return m.regex(v, args[0], args[1], true, true) })
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
			m.pairs(l, r)
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

// keyWork is what a value of a key that others are sorted by takes: as many comparisons as a long list needs.
const keyWork = 24

// pairs announces that what is in v, however deep, may be compared with what is in arg: contains and the difference of
// arrays go down on both sides.
func (m *machine) pairs(v, arg any) {
	l, leftText := v.(string)
	r, rightText := arg.(string)
	if leftText && rightText {
		m.use(len(l)/4 + len(r)/4 + len(l)*len(r)/64)
		return
	}
	before := m.work
	m.weigh(v, 1, 0)
	left := before - m.work
	before = m.work
	m.weigh(arg, 1, 0)
	m.use(left * (before - m.work) / 4)
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
		if n > freeIndex {
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
	if depth == 1 && len(elements) > maxValueDepth {
		return errors.New("a path is too long")
	}
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
		if n, ok := element.(int); ok && n > freeIndex {
			m.use(n / 2) // where nothing else is said about a path, it is one to be made
		}
	}
	return nil
}

// regex announces that a text is matched once or, as the flags or the function say, again and again.
func (m *machine) regex(text, pattern, flags any, matching, always bool) error {
	if list, ok := pattern.([]any); ok && len(list) > 0 {
		pattern = list[0]
		if len(list) > 1 {
			flags = list[1]
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
	f, _ := flags.(string)
	if len(f) > 8 {
		return errors.New("a regular expression has too many flags")
	}
	// As gojq writes the flags that change what is matched.
	written := p
	if strings.ContainsRune(f, 'i') {
		written = "(?i)" + written
	}
	if strings.ContainsRune(f, 'm') {
		written = "(?s)" + written
	}
	re, err := compileRegex(written)
	if err != nil {
		m.use(maxRegexInstructions)
		return err
	}
	if key := f + "/" + p; !m.patterns[key] {
		m.use(4096 + 64*re.instructions + re.estimate)
		m.patterns[key] = true
	}
	m.use(re.work(len(s)) / 2)
	switch {
	case !matching || m.stop != nil:
	case always || strings.ContainsRune(f, 'g'):
		m.scan(re, s)
	default:
		m.match(re, len(s))
	}
	return nil
}

// match announces one match that ends at a place: it and its groups become objects, for each of which the characters
// before it are counted.
func (m *machine) match(re *regex, end int) bool {
	return m.use((1 + re.NumSubexp()) * (24 + end/8))
}

// scan announces all matches in a text. How many there are, and how far the automaton reads ahead for each of them (for
// a.*b|a it is all the rest), nobody can tell from the expression: so a text that is not short is gone through here
// first, match by match, while the account is kept.
func (m *machine) scan(re *regex, s string) {
	if len(s) < 64 {
		m.use((len(s) + 1) * (re.work(len(s))/2 + (1+re.NumSubexp())*24) / 4)
		return
	}
	for at, first := 0, true; at <= len(s); first = false {
		expression, from := re.Regexp, 0
		if !first {
			var err error
			if expression, err = re.further(); err != nil {
				m.use(-1)
				return
			}
			_, width := utf8.DecodeLastRuneInString(s[:at])
			from = at - width
		}
		text := strings.NewReader(s[from:])
		found := expression.FindReaderIndex(text)
		read := len(s) - from - text.Len()
		if !m.use(read*re.instructions/2) || found == nil {
			return
		}
		end := from + found[1]
		if !m.match(re, end) {
			return
		}
		if end == at { // nothing was matched, or nothing but the end of the last match
			_, width := utf8.DecodeRuneInString(s[at:])
			end += max(width, 1)
		}
		at = end
	}
}
