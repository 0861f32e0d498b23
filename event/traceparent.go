package event

import "strings"

// ValidTraceparent reports whether a text has the form of W3C Trace Context, section 3.2, in version 00 or a later one:
// version, trace-id, parent-id and flags in lower-case hex, neither id zero. What a later version puts behind them may be
// any visible characters, 256 bytes in all.
func ValidTraceparent(s string) bool {
	if len(s) < 55 || len(s) > 256 || s[:2] == "ff" || (s[:2] == "00" && len(s) != 55) || (len(s) > 55 && s[55] != '-') {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case i == 2 || i == 35 || i == 52:
			if c != '-' {
				return false
			}
		case i < 55:
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
				return false
			}
		case c <= ' ' || c > '~':
			return false
		}
	}
	return strings.Trim(s[3:35], "0") != "" && strings.Trim(s[36:52], "0") != ""
}
