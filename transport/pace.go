package transport

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// How slow a client may be at least. A body has bodyGrace and then a second more for each bodyRate bytes of it: a mebibyte
// may take a quarter of an hour and more, and a byte now and then is cut off. An answer that is not taken at all for
// answerStall is broken off; of one that is taken answerPart must leave in that time.
const (
	bodyGrace   = 20 * time.Second
	bodyRate    = 1 << 10
	answerStall = time.Minute
	answerPart  = 64 << 10
)

// paced bounds how slow a client may send a request's body and take its answer. The server's own deadlines would end
// whoever waits for webhooks to answer, and streams.
func paced(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// What was said of the length may have been said twice: the server keeps quiet about a Content-Length that stood
		// beside chunks, and about chunks in HTTP/1.0.
		if r.ProtoMajor == 1 && (r.ProtoMinor == 0 || len(r.TransferEncoding) > 0) {
			w.Header().Set("Connection", "close")
		}
		x := &exchange{ResponseWriter: w, control: http.NewResponseController(w)}
		if r.Body != nil && r.Body != http.NoBody {
			body := &pacedBody{ReadCloser: r.Body, exchange: x, begun: time.Now()}
			// A body that the handler leaves unread is read by the server, and must not take longer either.
			body.extend()
			// A copy: the server knows by its own request's body whether the client still waits for 100 Continue, and would
			// else wait itself for a body that is never sent.
			timed := *r
			timed.Body = body
			r = &timed
		}
		next.ServeHTTP(x, r)
	})
}

// exchange is an answer whose reader must take it. Deadlines that the handler sets take the place of its own.
type exchange struct {
	http.ResponseWriter
	control *http.ResponseController

	readSet, writeSet atomic.Bool // the handler sets its own deadlines
}

// Write implements [http.ResponseWriter].
func (x *exchange) Write(b []byte) (written int, err error) {
	for {
		part := b[written:min(len(b), written+answerPart)]
		x.expect()
		n, err := x.ResponseWriter.Write(part)
		written += n
		if err != nil || written == len(b) {
			return written, err
		}
	}
}

// WriteHeader implements [http.ResponseWriter].
func (x *exchange) WriteHeader(status int) {
	x.expect()
	x.ResponseWriter.WriteHeader(status)
}

// expect gives the client its time to take what is written next.
func (x *exchange) expect() {
	if !x.writeSet.Load() {
		// A server that cannot set deadlines is a test's.
		_ = x.control.SetWriteDeadline(time.Now().Add(answerStall))
	}
}

// SetReadDeadline is for [http.ResponseController].
func (x *exchange) SetReadDeadline(t time.Time) error {
	x.readSet.Store(true)
	return x.control.SetReadDeadline(t)
}

// SetWriteDeadline is for [http.ResponseController].
func (x *exchange) SetWriteDeadline(t time.Time) error {
	x.writeSet.Store(true)
	return x.control.SetWriteDeadline(t)
}

// Unwrap is for [http.ResponseController].
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// pacedBody moves the deadline for reading with what has come, and lifts it at the body's end. The server's own
// ReadTimeout goes on after the body.
type pacedBody struct {
	io.ReadCloser
	exchange *exchange
	begun    time.Time
	read     int64
	until    time.Time // the deadline that is set
}

// Read implements [io.Reader].
func (b *pacedBody) Read(p []byte) (int, error) {
	b.extend()
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	if errors.Is(err, io.EOF) && !b.exchange.readSet.Load() {
		_ = b.exchange.control.SetReadDeadline(time.Time{})
	}
	return n, err
}

// extend sets the deadline, but not for less than a second: a deadline costs as much as a read.
func (b *pacedBody) extend() {
	due := b.begun.Add(bodyGrace + time.Duration(b.read)*(time.Second/bodyRate))
	if due.Sub(b.until) < time.Second || b.exchange.readSet.Load() {
		return
	}
	b.until = due
	_ = b.exchange.control.SetReadDeadline(due)
}
