package api

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// maxWait is how long a poster can wait for webhooks.
const maxWait = 60 * time.Second

var errWait = errors.New("wait must be a number of seconds, such as wait=10")

// parsePrefer returns how long the poster would like to wait (RFC 7240, section 4.3), at most [maxWait]; zero: not at
// all. The values are those of all Prefer headers. Preferences that mean nothing to the gateway are passed over, as the
// RFC demands, however they are written; of one that comes twice the first counts. Only a wait that is no number of
// seconds is an error, whose text is meant for the client.
func parsePrefer(values []string) (time.Duration, error) {
	for _, value := range values {
		for value != "" {
			var preference string
			preference, value = cutUnquoted(value, ',')
			// Parameters of a preference come after a semicolon; wait has none.
			preference, _ = cutUnquoted(preference, ';')
			name, seconds, _ := strings.Cut(preference, "=")
			if strings.EqualFold(strings.Trim(name, " \t"), "wait") {
				return parseWait(strings.Trim(seconds, " \t"))
			}
		}
	}
	return 0, nil
}

func parseWait(s string) (time.Duration, error) {
	// The RFC lets any value be a quoted string as well.
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		s = s[1 : len(s)-1]
	}
	if s == "" {
		return 0, errWait
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, errWait
		}
	}
	seconds, err := strconv.ParseUint(s, 10, 31)
	if err != nil || seconds > uint64(maxWait/time.Second) {
		return maxWait, nil // all digits: it is only more than anybody is given
	}
	return time.Duration(seconds) * time.Second, nil
}

// cutUnquoted cuts at the first separator that is not inside of a quoted string (RFC 9110, section 5.6.4).
func cutUnquoted(s string, separator byte) (before, after string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case !quoted && s[i] == separator:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}
