package cloudevent

import (
	"encoding/json"
	"iter"
	"strconv"
	"unicode/utf16"
)

// The functions here walk the top level of JSON that is known to be valid, and give pieces of it as they stand.
// encoding/json would copy them, and would let one of two members of the same name win.

// skipSpace gives text from its first character that is not whitespace on.
func skipSpace(text []byte) []byte {
	for len(text) > 0 && (text[0] == ' ' || text[0] == '\t' || text[0] == '\r' || text[0] == '\n') {
		text = text[1:]
	}
	return text
}

// cutValue splits off the value with which text begins.
func cutValue(text []byte) (value, rest []byte) {
	depth, inString := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case inString:
			if c == '\\' {
				i++
			} else if c == '"' {
				inString = false
				if depth == 0 {
					return text[:i+1], text[i+1:]
				}
			}
		case c == '"':
			inString = true
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth == 0 {
				return text[:i], text[i:]
			}
			depth--
			if depth == 0 {
				return text[:i+1], text[i+1:]
			}
		case depth == 0 && (c == ',' || c == ' ' || c == '\t' || c == '\r' || c == '\n'):
			return text[:i], text[i:]
		}
	}
	return text, nil
}

// elements gives the values of a JSON array.
func elements(array []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		text := skipSpace(array[1:])
		for text[0] != ']' {
			var value []byte
			value, text = cutValue(text)
			if !yield(value) {
				return
			}
			text = skipComma(text)
		}
	}
}

// members gives the names, still quoted, and values of a JSON object.
func members(object []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		text := skipSpace(object[1:])
		for text[0] != '}' {
			var name, value []byte
			name, text = cutValue(text)
			text = skipSpace(skipSpace(text)[1:]) // the colon
			value, text = cutValue(text)
			if !yield(name, value) {
				return
			}
			text = skipComma(text)
		}
	}
}

func skipComma(text []byte) []byte {
	text = skipSpace(text)
	if text[0] == ',' {
		text = skipSpace(text[1:])
	}
	return text
}

// unquote gives the text of a JSON string. It is false where an escape names half of a surrogate pair, which is no text:
// encoding/json would put another character in its place.
func unquote(quoted []byte) (string, bool) {
	ok := true
	plain := true
	for i := 0; i < len(quoted); i++ {
		if quoted[i] != '\\' {
			continue
		}
		plain = false
		i++
		r := escaped(quoted[i-1:])
		if !utf16.IsSurrogate(r) {
			continue
		}
		if utf16.DecodeRune(r, escaped(quoted[i+5:])) == '\uFFFD' {
			ok = false
		}
		i += 10
	}
	if plain && len(quoted) >= 2 {
		return string(quoted[1 : len(quoted)-1]), true
	}
	var text string
	if err := json.Unmarshal(quoted, &text); err != nil {
		return "", false
	}
	return text, ok
}

// escaped gives the number of an escape such as \u00e9 with which text begins, or -1.
func escaped(text []byte) rune {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return -1
	}
	n, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(n)
}
