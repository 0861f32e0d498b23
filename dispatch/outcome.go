package dispatch

import (
	"errors"
	"net"

	"github.com/carillon/carillon/event"
)

// errDeadline is why an attempt's context ended when its webhook took too long.
var errDeadline = errors.New("the webhook's timeout passed")

// handshakeError is an error of a TLS handshake. Package crypto/tls gives most of its own no type.
type handshakeError struct{ err error }

func (e *handshakeError) Error() string { return "TLS handshake: " + e.err.Error() }

func (e *handshakeError) Unwrap() error { return e.err }

// credentialError is why there are no credentials to send. Its text may be logged, and holds no secret.
type credentialError struct{ err error }

func (e *credentialError) Error() string { return "getting a token: " + e.err.Error() }

func (e *credentialError) Unwrap() error { return e.err }

// outcomeOfError classifies why no whole answer came, before the deadline and without being interrupted.
func outcomeOfError(err error) event.Outcome {
	var (
		handshake *handshakeError
		dns       *net.DNSError
		op        *net.OpError
		auth      *credentialError
	)
	switch {
	case errors.As(err, &auth):
		return event.ErrAuth
	case errors.Is(err, ErrBlocked):
		return event.ErrBlocked
	case errors.As(err, &handshake):
		return event.ErrTLS
	case errors.As(err, &dns):
		return event.ErrDNS
	case errors.As(err, &op):
		switch op.Op {
		case "dial":
			return event.ErrConnect
		case "remote error", "local error":
			// A TLS alert: in TLS 1.3 a server refuses a client after the handshake, as the client sees it.
			return event.ErrTLS
		}
	}
	return event.ErrReset
}
