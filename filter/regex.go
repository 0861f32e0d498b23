package filter

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
	"sync"
)

const (
	// maxRegexBytes and maxRegexInstructions bound a regular expression: x{1000} is short and large.
	maxRegexBytes        = 1 << 10
	maxRegexInstructions = 2000
	// maxRegexWork bounds one match: instructions times bytes, since Go's automaton may look at each of them for each.
	maxRegexWork = 1 << 20
	// maxRegexClasses bounds the classes of Unicode (\pL): each is two characters, and hundreds of ranges to be sorted.
	maxRegexClasses = 8
)

// regex is a compiled regular expression (RE2) that knows what a match may cost.
type regex struct {
	*regexp.Regexp
	instructions int
	estimate     int // of instructions and of what the classes list, as instructions counts them

	// further is the expression for what comes after a match: it is given the character before, so that ^ and \b know
	// it, and finds the next match as if that were not there.
	further func() (*regexp.Regexp, error)
}

// regexes are those used last. Their patterns may come from events, so their number is small.
var regexes = newLRU[*regex](64, nil)

func compileRegex(pattern string) (*regex, error) {
	if len(pattern) > maxRegexBytes {
		return nil, fmt.Errorf("a regular expression is longer than %d bytes", maxRegexBytes)
	}
	if strings.Count(pattern, `\p`)+strings.Count(pattern, `\P`) > maxRegexClasses {
		return nil, errors.New("a regular expression has too many Unicode classes")
	}
	return regexes.get(pattern, func(pattern string) (*regex, error) {
		parsed, err := syntax.Parse(pattern, syntax.Perl)
		if err != nil {
			return nil, errors.New(clip(err.Error()))
		}
		estimate := instructions(parsed)
		if estimate > maxRegexInstructions {
			return nil, errors.New("a regular expression is too large once its repetitions are written out")
		}
		program, err := syntax.Compile(parsed.Simplify())
		if err != nil {
			return nil, errors.New(clip(err.Error()))
		}
		re, err := regexp.Compile(pattern)
		if err != nil {
			return nil, errors.New(clip(err.Error()))
		}
		further := sync.OnceValues(func() (*regexp.Regexp, error) {
			return regexp.Compile(`\A(?s:.)(?s:.*?)(?:` + pattern + `)`)
		})
		return &regex{re, len(program.Inst), estimate, further}, nil
	})
}

// instructions estimates from above how large a program the expression makes, before it is made.
func instructions(re *syntax.Regexp) int {
	n := 2 + len(re.Rune)
	for _, sub := range re.Sub {
		n += instructions(sub)
	}
	if re.Op == syntax.OpRepeat {
		n *= max(re.Min, re.Max, 1)
	}
	return min(n, 1<<30)
}

func (re *regex) work(bytes int) int { return re.instructions * bytes }

func (re *regex) check(bytes int) error {
	if re.work(bytes) > maxRegexWork {
		return errors.New("a regular expression is too large for a text so long")
	}
	return nil
}
