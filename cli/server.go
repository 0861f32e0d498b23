package cli

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"
)

const (
	headerTimeout  = 10 * time.Second
	bodyTimeout    = time.Minute
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 64 << 10
)

// newServer returns a server that no client can hold on to by being slow to send. It has no deadline for writing:
// streams are written for as long as their readers read, and set their own.
func newServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           limitBodyTime(h, bodyTimeout),
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}

// limitBodyTime gives each request so long to bring its body, and lifts the deadline when it is there. The server's own
// ReadTimeout goes on after the body, and would end the context of whoever waits for webhooks to answer.
func limitBodyTime(next http.Handler, limit time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != nil && r.Body != http.NoBody {
			control := http.NewResponseController(w)
			// A server that cannot set deadlines is a test's.
			_ = control.SetReadDeadline(time.Now().Add(limit))
			// A copy: the server knows by its own request's body whether the client still waits for 100 Continue, and would
			// else wait itself for a body that is never sent.
			timed := *r
			timed.Body = &timedBody{r.Body, control}
			r = &timed
		}
		next.ServeHTTP(w, r)
	})
}

// timedBody lifts the read deadline at the body's end.
type timedBody struct {
	io.ReadCloser
	control *http.ResponseController
}

func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}
