package transport

import (
	"crypto/tls"
	"log"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// How long a client may take, and how much of a connection's memory is its own to fill. docs/operations.md has the table.
const (
	// headerTimeout is for the handshake of TLS, and then for each request's head.
	headerTimeout = 10 * time.Second

	// idleTimeout is how long a connection may wait for its next request.
	idleTimeout = 2 * time.Minute

	// maxConcurrent is how many requests one connection of HTTP/2 may have under way: what RFC 9113, section 6.5.2, asks for
	// at least. Of further ones that were sent regardless net/http holds four times as many, and then closes the connection;
	// that bounds what opening and resetting requests without end (CVE-2023-44487) can do.
	maxConcurrent = 100

	// receiveBuffer is what HTTP/2 may send ahead of whoever reads it: of one request, and of all that share a connection.
	receiveBuffer = 256 << 10

	// pingAfter is how long a connection of HTTP/2 may be silent before it is asked whether it is still there.
	pingAfter = 30 * time.Second
)

// ServerConfig is what a server is made of.
type ServerConfig struct {
	Handler   http.Handler
	TLS       *tls.Config // nil: none, and no HTTP/2
	MaxHeader int         // bytes of a request's head
	Log       *slog.Logger
}

// NewServer returns a server that no client can hold on to by being slow, at whichever end of a request. Its listeners
// should be those of [Connections].
//
// It has no deadline for a request as a whole: streams are written for as long as their readers read, and who waits for
// webhooks to answer waits as long as it asked for. A handler that sets a deadline for reading or writing, through an
// [http.ResponseController], has it for itself from then on.
//
// Over HTTP/1 it keeps no connection for another request after one of HTTP/1.0 or one whose body came in chunks, whose
// framing another server in front may have seen differently (RFC 9112, section 6.1): what follows is never read.
func NewServer(cfg ServerConfig) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(cfg.TLS != nil)
	return &http.Server{
		Handler:           paced(cfg.Handler),
		TLSConfig:         cfg.TLS,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    cfg.MaxHeader,
		ErrorLog:          log.New(&quietLog{log: cfg.Log}, "", 0),
		ConnState:         watchConn,
		Protocols:         protocols,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          maxConcurrent,
			MaxReceiveBufferPerConnection: receiveBuffer,
			MaxReceiveBufferPerStream:     receiveBuffer,
			SendPingTimeout:               pingAfter,
			WriteByteTimeout:              answerStall,
		},
		// The answer to OPTIONS * is as every other.
		DisableGeneralOptionsHandler: true,
	}
}

// watchConn hears from the server what became of a connection.
func watchConn(c net.Conn, state http.ConnState) {
	if state == http.StateNew {
		return
	}
	if secure, ok := c.(*tls.Conn); ok {
		c = secure.NetConn()
	}
	if counted, ok := c.(*conn); ok {
		counted.grown()
	}
}
