package dispatch

import (
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
)

// answerError is why no whole answer came. Its text may be logged, and repeats nothing of the answer: that may be
// anything, the credentials that were sent there as well.
type answerError struct {
	doing string
	err   error
}

func (e *answerError) Error() string {
	text := e.err.Error()
	if !saysNoMore(e.err) && (strings.Contains(text, `"`) || strings.Contains(text, "malformed")) {
		text = "the answer is not HTTP"
	}
	return e.doing + ": " + text
}

func (e *answerError) Unwrap() error { return e.err }

// saysNoMore reports whether an error comes from where answers are not read yet. Packages net/http and net/textproto
// give their own no types, and put what they could not read between quotation marks, or behind the word malformed.
func saysNoMore(err error) bool {
	var network net.Error
	var handshake *handshakeError
	return errors.As(err, &network) || errors.As(err, &handshake) || errors.Is(err, ErrBlocked) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// withoutURL takes the URL out of the error of one that cannot be parsed: for some receivers it is all that it takes to
// post there.
func withoutURL(err error) error {
	if parsing, ok := errors.AsType[*url.Error](err); ok {
		return parsing.Err
	}
	return err
}
