package event

import "fmt"

// Outcome is what came of an attempt: success, or the class of its error. Log, metric and API share the words. The
// numbers are stored: never renumber them.
type Outcome uint8

// The outcomes of an attempt. NoOutcome is that of a delivery without one.
const (
	NoOutcome      Outcome = 0
	Success        Outcome = 1 // 2xx
	ErrDNS         Outcome = 2 // the host's name did not resolve
	ErrConnect     Outcome = 3 // no connection
	ErrTLS         Outcome = 4 // handshake or certificate
	ErrBlocked     Outcome = 5 // the address is one where requests may not go
	ErrTimeout     Outcome = 6 // the deadline over connect, headers and body
	ErrReset       Outcome = 7 // the connection broke, or what came was not HTTP
	ErrTooLarge    Outcome = 8 // the answer was more than a waiting poster can be given
	ErrStatus3xx   Outcome = 9
	ErrStatus4xx   Outcome = 10
	ErrStatus5xx   Outcome = 11
	ErrThrottled   Outcome = 12 // 429
	ErrAuth        Outcome = 13 // the webhook's token endpoint gave no token: the webhook itself was not asked
	outcomesNumber         = 14
)

var outcomeNames = [outcomesNumber]string{
	"", "success", "dns", "connect", "tls", "address-blocked", "timeout", "reset", "answer-too-large",
	"status-3xx", "status-4xx", "status-5xx", "throttled", "auth",
}

// Outcomes lists every outcome that an attempt can have.
func Outcomes() []Outcome {
	all := make([]Outcome, 0, outcomesNumber-1)
	for o := Success; o < outcomesNumber; o++ {
		all = append(all, o)
	}
	return all
}

// OutcomeOfStatus returns what an answer with this HTTP status means for the attempt. One below 200 is no final status
// (RFC 9110, section 15.2): nothing was answered.
func OutcomeOfStatus(status int) Outcome {
	switch {
	case status < 200:
		return ErrReset
	case status < 300:
		return Success
	case status == 429:
		return ErrThrottled
	case status < 400:
		return ErrStatus3xx
	case status < 500:
		return ErrStatus4xx
	default:
		return ErrStatus5xx
	}
}

// Answered reports whether a whole answer came: only then does its status say anything.
func (o Outcome) Answered() bool { return o == Success || o >= ErrStatus3xx && o <= ErrThrottled }

// ParseErrorClass reads the name of an outcome other than success.
func ParseErrorClass(s string) (Outcome, error) {
	for o := Success + 1; o < outcomesNumber; o++ {
		if outcomeNames[o] == s {
			return o, nil
		}
	}
	return 0, fmt.Errorf("%q is no error class", s)
}

// String gives the outcome's name, as log, metric and API say it.
func (o Outcome) String() string { return outcomeNames[o] }

// MarshalText implements [encoding.TextMarshaler].
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }
