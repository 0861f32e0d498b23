package dispatch

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/sign"
)

// Limits of what a sender takes from a webhook, and of what it keeps open.
const (
	// maxAnswerRead is how much of an answer's body is read when nobody waits for it.
	maxAnswerRead = 64 << 10
	// maxAnswerHeader is how large the head of an answer may be.
	maxAnswerHeader = 64 << 10

	maxIdleConnections = 4096
	idleTimeout        = 90 * time.Second
	// pingAfter is how long an HTTP/2 connection may be silent before it is asked whether it is still there. Without,
	// every attempt on one whose peer vanished would time out until the kernel gives it up.
	pingAfter = 15 * time.Second
	// tlsSessions is how many servers' TLS sessions are kept for resumption.
	tlsSessions = 1024
)

// errResent ends an attempt that was sent twice, on connections that both turned out to be closed.
var errResent = errors.New("two connections were closed without an answer")

// Request is one attempt to be made.
type Request struct {
	Webhook *event.Webhook
	Event   *event.Event
	Attempt int  // from 1
	Whole   bool // somebody waits for the answer: read it whole, up to MaxAnswer
}

// Response is what came of an attempt.
type Response struct {
	Answer
	// RetryAfter is what an answer other than 2xx asked for, up to a year; zero: nothing, or nothing sensible.
	RetryAfter time.Duration
	// Interrupted says that the caller's context ended first: there is no outcome, and nothing to record. Whether the
	// request was received is not known.
	Interrupted bool
	// Err is why no whole answer came, for the log and never for a client; nil where one came.
	Err error
}

// SenderConfig says how a [Sender] works. Guard is required.
type SenderConfig struct {
	Guard     *Guard
	UserAgent string
	// Now is the clock of signatures and attempts; nil is time.Now.
	Now func() time.Time
	// RootCAs verifies the webhooks' certificates; nil is the system's pool.
	RootCAs *x509.CertPool
}

// Sender makes attempts, on connections that it keeps and uses again. Safe for concurrent use.
type Sender struct {
	userAgent string
	now       func() time.Time
	transport *http.Transport
}

// NewSender makes a Sender.
func NewSender(c SenderConfig) *Sender {
	s := &Sender{userAgent: c.UserAgent, now: c.Now}
	if s.now == nil {
		s.now = time.Now
	}
	dial := dialer{c.Guard, &tls.Config{
		MinVersion:         tls.VersionTLS12,
		RootCAs:            c.RootCAs,
		NextProtos:         []string{"h2", "http/1.1"},
		ClientSessionCache: tls.NewLRUClientSessionCache(tlsSessions),
	}}
	s.transport = &http.Transport{
		// A proxy would be dialled in the webhook's place, and the guard judge the proxy.
		Proxy:          nil,
		DialContext:    dial.dial,
		DialTLSContext: dial.dialTLS,
		// An answer is passed on as it came, and a small one must not unpack to a large one.
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
		MaxResponseHeaderBytes: maxAnswerHeader,
		MaxIdleConns:           maxIdleConnections,
		// A webhook at its ceiling finds as many connections as it has slots.
		MaxIdleConnsPerHost: event.MaxMaxInFlight,
		IdleConnTimeout:     idleTimeout,
		HTTP2: &http.HTTP2Config{
			SendPingTimeout: pingAfter,
			PingTimeout:     pingAfter,
			// What a server may send ahead of our reading; the defaults are megabytes an answer.
			MaxReceiveBufferPerStream:     maxAnswerRead,
			MaxReceiveBufferPerConnection: 16 * maxAnswerRead,
		},
	}
	return s
}

// Close closes the connections that are idle. Those in use end with the context of their attempt.
func (s *Sender) Close() { s.transport.CloseIdleConnections() }

// Send makes one attempt: one signed POST (Standard Webhooks 1.0), whose redirects are not followed. One deadline, the
// webhook's Timeout, covers names, connection, handshake, headers and body. It never returns an error: what went wrong is
// the attempt's outcome, which has the answer's status and first bytes even where the rest of it did not come. On a
// connection that the server had closed meanwhile the request is sent again at once, on another one: a receiver can see
// one attempt twice.
func (s *Sender) Send(ctx context.Context, r Request) Response {
	at, began := s.now(), time.Now()
	resp := Response{Answer: Answer{Webhook: r.Webhook.ID, Attempt: event.Attempt{Number: r.Attempt, At: at}}}

	attemptCtx, cancel := context.WithTimeoutCause(ctx, r.Webhook.Timeout, errDeadline)
	defer cancel()
	err := s.exchange(withDialContext(attemptCtx, ctx), &r, at, &resp)
	resp.Attempt.Duration = time.Since(began)

	// The clock is asked too: a dial has a context of its own with the same deadline, which may be the first to notice.
	late := context.Cause(attemptCtx) == errDeadline || ctx.Err() == nil && resp.Attempt.Duration >= r.Webhook.Timeout
	switch {
	case err == nil:
	case late:
		resp.Attempt.Outcome, resp.Err = event.ErrTimeout, err
	case ctx.Err() != nil:
		return Response{Answer: Answer{Webhook: r.Webhook.ID}, Interrupted: true, Err: err}
	default:
		resp.Attempt.Outcome, resp.Err = outcomeOfError(err), err
	}
	return resp
}

// exchange sends the request and reads the answer into resp. An error means that no whole answer came.
func (s *Sender) exchange(ctx context.Context, r *Request, at time.Time, resp *Response) error {
	req, err := s.request(ctx, r, at)
	if err != nil {
		return err
	}
	httpResp, err := s.transport.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("posting: %w", err)
	}
	// Closing before the end of the body closes an HTTP/1 connection and resets an HTTP/2 stream.
	defer func() { _ = httpResp.Body.Close() }()

	resp.Attempt.Status = httpResp.StatusCode
	outcome := event.OutcomeOfStatus(httpResp.StatusCode)
	if outcome != event.Success {
		resp.RetryAfter = parseRetryAfter(httpResp.Header.Get("Retry-After"), s.now())
	}
	if r.Whole {
		err = resp.readWhole(httpResp.Body)
	} else {
		err = resp.readFirst(httpResp.Body)
	}
	if err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if resp.TooLarge {
		outcome = event.ErrTooLarge
	}
	resp.ContentType = httpResp.Header.Get("Content-Type")
	resp.ContentEncoding = httpResp.Header.Get("Content-Encoding")
	resp.Attempt.Outcome = outcome
	return nil
}

// request makes the HTTP request of an attempt.
func (s *Sender) request(ctx context.Context, r *Request, at time.Time) (*http.Request, error) {
	target, err := url.Parse(r.Webhook.URL)
	if err != nil {
		return nil, fmt.Errorf("reading the webhook's URL: %w", err)
	}
	key, err := sign.ParseSecret(r.Webhook.Secret.Reveal())
	if err != nil {
		return nil, fmt.Errorf("reading the webhook's secret: %w", err)
	}
	ev := r.Event
	contentType := ev.ContentType
	if contentType == "" || !headerValue(contentType) {
		contentType = "application/octet-stream"
	}
	delivery := event.DeliveryID{Event: ev.Cursor, Webhook: r.Webhook.ID}
	h := make(http.Header, 10)
	h["Content-Type"] = []string{contentType}
	h["User-Agent"] = []string{s.userAgent}
	// An answer is kept, shown and passed on as it comes: compressed, it would be of no use to anybody.
	h["Accept-Encoding"] = []string{"identity"}
	h["Carillon-Topic"] = []string{string(ev.Topic)}
	h["Carillon-Delivery"] = []string{delivery.String()}
	h["Carillon-Attempt"] = []string{strconv.Itoa(r.Attempt)}
	if ev.Traceparent != "" && headerValue(ev.Traceparent) {
		h["Traceparent"] = []string{ev.Traceparent}
	}
	sign.SetHeaders(h, ev.ID.String(), at, ev.Payload, key)
	// The key without a value is never sent. It tells net/http that the request may be sent again when a kept-alive
	// connection turns out to be closed (http.Transport's documentation).
	if len(ev.Payload) > 0 {
		h["X-Idempotency-Key"] = nil
	}

	made := 0
	body := func() (io.ReadCloser, error) {
		// Each connection that turns out to be closed has net/http take the next idle one: a receiver whose handler
		// breaks would get the attempt as often as there are.
		if made++; made > 2 {
			return nil, errResent
		}
		return io.NopCloser(bytes.NewReader(ev.Payload)), nil
	}
	req := &http.Request{
		Method: http.MethodPost, URL: target, Host: target.Host, Header: h,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		ContentLength: int64(len(ev.Payload)), Body: http.NoBody,
	}
	if len(ev.Payload) > 0 {
		req.GetBody = body
		req.Body, _ = body()
	}
	return req.WithContext(ctx), nil
}

// headerValue reports whether a text can stand in a header (RFC 9110, section 5.5). Where a poster gave it otherwise than
// in a header of its own, it may hold anything.
func headerValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// dialer makes the transport's connections.
type dialer struct {
	guard *Guard
	tls   *tls.Config
}

// dialContextKey is the key of the context in which an attempt's connection is dialled.
type dialContextKey struct{}

// dialContext is what bounds a dial.
type dialContext struct {
	parent   context.Context
	deadline time.Time
}

// withDialContext hands parent and the deadline of ctx through to the dial. The transport detaches a dial from the request's
// context, so that another request can use the connection; a dial must still not outlive its attempt's deadline, nor
// the process's wish to end.
func withDialContext(ctx, parent context.Context) context.Context {
	deadline, _ := ctx.Deadline()
	return context.WithValue(ctx, dialContextKey{}, dialContext{parent, deadline})
}

func boundDial(ctx context.Context) (context.Context, context.CancelFunc) {
	bound, ok := ctx.Value(dialContextKey{}).(dialContext)
	if !ok {
		return context.WithTimeout(ctx, event.MaxTimeout)
	}
	return context.WithDeadline(bound.parent, bound.deadline)
}

func (d dialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := boundDial(ctx)
	defer cancel()
	return d.guard.DialContext(ctx, network, addr)
}

// dialTLS does the handshake itself, so that whatever goes wrong in it is known to be that.
func (d dialer) dialTLS(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := boundDial(ctx)
	defer cancel()
	conn, err := d.guard.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	config := d.tls.Clone()
	config.ServerName = host
	tlsConn := tls.Client(conn, config)
	if err := tlsConn.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, &handshakeError{err}
	}
	return tlsConn, nil
}
