package filter

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// SyntaxError says what is wrong with an expression, and where. Its text is meant for the one who wrote the expression.
type SyntaxError struct {
	Line   int // from 1
	Column int // from 1, in characters; one past the line's end where something is missing
	Detail string
}

// Error gives line:column: detail.
func (e *SyntaxError) Error() string { return fmt.Sprintf("%d:%d: %s", e.Line, e.Column, e.Detail) }

// syntaxErrorAt makes a SyntaxError of a place in the source, counted in bytes.
func syntaxErrorAt(source string, offset int, detail string) *SyntaxError {
	before := source[:max(0, min(offset, len(source)))]
	line := strings.LastIndexByte(before, '\n') + 1
	return &SyntaxError{
		Line:   strings.Count(before, "\n") + 1,
		Column: utf8.RuneCountInString(before[line:]) + 1,
		Detail: clip(detail),
	}
}

// checkSource refuses what neither language needs to look at.
func checkSource(source string, limit int) error {
	switch {
	case strings.TrimSpace(source) == "":
		return syntaxErrorAt(source, 0, "the expression is empty")
	case len(source) > limit:
		return syntaxErrorAt(source, limit, fmt.Sprintf("the expression is %d bytes long; at most %d are allowed",
			len(source), limit))
	case !utf8.ValidString(source):
		return syntaxErrorAt(source, strings.IndexFunc(source, func(r rune) bool { return r == utf8.RuneError }),
			"the expression is not UTF-8")
	}
	return nil
}

// maxDetail is how much of a library's message is passed on: some of them repeat what they were given.
const maxDetail = 200

// clip makes one short line of a library's message.
func clip(s string) string {
	s = strings.TrimSpace(s)
	if end := strings.IndexAny(s, "\r\n"); end >= 0 {
		s = s[:end]
	}
	s = strings.ToValidUTF8(s, "\ufffd")
	if len(s) <= maxDetail {
		return s
	}
	cut := maxDetail
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
