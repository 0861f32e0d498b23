package dispatch

import (
	"bytes"
	"cmp"
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

	"github.com/carillon/carillon/cloudevent"
	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/filter"
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

// errSwitched ends an attempt that was answered with 101 Switching Protocols. What follows it is no body but the bare
// connection, on which a read ends with no context.
var errSwitched = errors.New("the answer switches protocols, which nobody asked for")

// Request is one attempt to be made.
type Request struct {
	Webhook *event.Webhook
	Event   *event.Event
	Attempt int  // from 1
	Whole   bool // somebody waits for the answer: read it whole, up to MaxAnswer
	Replay  bool // a replay has made the delivery pending again
}

// Response is what came of an attempt.
type Response struct {
	Answer
	// RetryAfter is what an answer other than 2xx asked for, up to a year; zero: nothing, or nothing sensible.
	RetryAfter time.Duration
	// Refused, unless empty, says that there was no attempt, and why there can be none: nothing was sent, and trying again
	// would change nothing.
	Refused event.Reason
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
	// Source is the source of events that were not posted as CloudEvents; empty is [cloudevent.DefaultSource].
	Source string
	// Origin is the DNS name that a webhook's owner is asked to consent to; empty is [DefaultOrigin].
	Origin string
	// Filters keeps the compiled transforms; nil is a cache of the sender's own.
	Filters *filter.Cache
	// Now is the clock of signatures and attempts; nil is time.Now.
	Now func() time.Time
	// RootCAs verifies the webhooks' certificates; nil is the system's pool.
	RootCAs *x509.CertPool
}

// Sender makes attempts, on connections that it keeps and uses again. Safe for concurrent use.
type Sender struct {
	userAgent string
	source    string
	origin    string
	now       func() time.Time
	filters   *filter.Cache
	keys      keyring
	transport *http.Transport
	tokens    *tokens
	clients   *clients
}

// NewSender makes a Sender.
func NewSender(c SenderConfig) *Sender {
	s := &Sender{
		userAgent: c.UserAgent, now: c.Now, filters: c.Filters,
		source: cmp.Or(c.Source, cloudevent.DefaultSource), origin: cmp.Or(c.Origin, DefaultOrigin),
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.filters == nil {
		s.filters = filter.NewCache(0)
	}
	config := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		RootCAs:            c.RootCAs,
		NextProtos:         []string{"h2", "http/1.1"},
		ClientSessionCache: tls.NewLRUClientSessionCache(tlsSessions),
	}
	transport := func(config *tls.Config) *http.Transport { return newTransport(dialer{c.Guard.DialContext, config}) }
	s.transport = transport(config)
	s.tokens = newTokens(s.transport, c.UserAgent)
	s.clients = &clients{transport: transport, config: config, held: make(map[credential]*client)}
	return s
}

// newTransport makes what keeps connections.
func newTransport(dial dialer) *http.Transport {
	return &http.Transport{
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
}

// Close closes the connections that are idle. Those in use end with the context of their attempt.
func (s *Sender) Close() {
	s.transport.CloseIdleConnections()
	s.clients.close()
}

// Send makes one attempt: one signed POST (Standard Webhooks 1.0) in the webhook's format, with its headers and auth,
// whose redirects are not followed. One deadline, the webhook's Timeout, covers the transform, a token that has to be
// fetched, names, connection, handshake, headers and body. It never returns an error: what went wrong is
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
	_, refused := errors.AsType[*TransformError](err)
	late := context.Cause(attemptCtx) == errDeadline || ctx.Err() == nil && resp.Attempt.Duration >= r.Webhook.Timeout
	switch {
	case err == nil:
	case refused && ctx.Err() == nil:
		return Response{Answer: Answer{Webhook: r.Webhook.ID}, Refused: event.ReasonTransformError, Err: err}
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
	m, err := s.message(ctx, r, at)
	if err != nil {
		return err
	}
	transport, release, err := s.authorize(ctx, &r.Webhook.Auth, m.header)
	if err != nil {
		return err
	}
	defer release()
	httpResp, err := transport.RoundTrip(m.request(ctx))
	if err != nil {
		return &answerError{"posting", err}
	}
	// Closing before the end of the body closes an HTTP/1 connection and resets an HTTP/2 stream.
	defer func() { _ = httpResp.Body.Close() }()

	resp.Attempt.Status = httpResp.StatusCode
	outcome := event.OutcomeOfStatus(httpResp.StatusCode)
	if outcome != event.Success {
		resp.RetryAfter = parseRetryAfter(httpResp.Header.Get("Retry-After"), s.now())
	}
	if httpResp.StatusCode == http.StatusUnauthorized {
		s.refused(&r.Webhook.Auth, m.header)
	}
	if httpResp.StatusCode < 200 {
		return errSwitched
	}
	if r.Whole {
		err = resp.readWhole(httpResp.Body)
	} else {
		err = resp.readFirst(httpResp.Body)
	}
	if len(resp.Attempt.Answer) >= minRedacted {
		resp.Attempt.Answer = redactorOf(r.Webhook, m.header).redact(resp.Attempt.Answer)
	}
	if err != nil {
		return &answerError{"reading the answer", err}
	}
	if resp.TooLarge {
		outcome = event.ErrTooLarge
	}
	resp.ContentType = httpResp.Header.Get("Content-Type")
	resp.ContentEncoding = httpResp.Header.Get("Content-Encoding")
	resp.Attempt.Outcome = outcome
	return nil
}

// message is an attempt's request, but for what only the network gives: a token, a connection.
type message struct {
	target *url.URL
	header http.Header
	body   []byte
}

// message makes the request of an attempt.
func (s *Sender) message(ctx context.Context, r *Request, at time.Time) (message, error) {
	w, ev := r.Webhook, r.Event
	target, err := url.Parse(w.URL)
	if err != nil {
		return message{}, fmt.Errorf("reading the webhook's URL: %w", withoutURL(err))
	}
	var room [4]sign.Key
	keys, err := s.keys.of(room[:0], w, at)
	if err != nil {
		return message{}, fmt.Errorf("reading the webhook's secret: %w", err)
	}
	c, err := s.render(ctx, w, ev, at)
	if err != nil {
		return message{}, err
	}
	delivery := event.DeliveryID{Event: ev.Cursor, Webhook: w.ID}
	h := make(http.Header, 10+len(w.Headers))
	h["Content-Type"] = []string{c.contentType}
	h["User-Agent"] = []string{s.userAgent}
	addHeaders(h, w)
	// What follows is the gateway's to say: it comes after what the webhook's owner wants to be said.
	setAuthorization(h, &w.Auth)
	// An answer is kept, shown and passed on as it comes: compressed, it would be of no use to anybody.
	h["Accept-Encoding"] = []string{"identity"}
	h["Carillon-Topic"] = []string{string(ev.Topic)}
	h["Carillon-Delivery"] = []string{delivery.String()}
	h["Carillon-Attempt"] = []string{strconv.Itoa(r.Attempt)}
	if r.Replay {
		h["Carillon-Replay"] = []string{"true"}
	}
	if ev.Traceparent != "" && headerValue(ev.Traceparent) {
		h["Traceparent"] = []string{ev.Traceparent}
	}
	s.setAttributes(h, w, ev)
	sign.SetHeaders(h, ev.ID.String(), at, c.body, keys...)
	return message{target, h, c.body}, nil
}

// request makes the HTTP request of a message.
func (m *message) request(ctx context.Context) *http.Request {
	// The key without a value is never sent. It tells net/http that the request may be sent again when a kept-alive
	// connection turns out to be closed (http.Transport's documentation).
	if _, own := m.header["X-Idempotency-Key"]; !own && len(m.body) > 0 {
		m.header["X-Idempotency-Key"] = nil
	}
	made, content := 0, m.body
	body := func() (io.ReadCloser, error) {
		// Each connection that turns out to be closed has net/http take the next idle one: a receiver whose handler
		// breaks would get the attempt as often as there are.
		if made++; made > 2 {
			return nil, errResent
		}
		return io.NopCloser(bytes.NewReader(content)), nil
	}
	req := &http.Request{
		Method: http.MethodPost, URL: m.target, Host: m.target.Host, Header: m.header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		ContentLength: int64(len(m.body)), Body: http.NoBody,
	}
	if len(m.body) > 0 {
		req.GetBody = body
		req.Body, _ = body()
	}
	return req.WithContext(ctx)
}

// dialer makes the transport's connections.
type dialer struct {
	connect func(ctx context.Context, network, addr string) (net.Conn, error) // the guard's
	tls     *tls.Config
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
	return d.connect(ctx, network, addr)
}

// dialTLS does the handshake itself, so that whatever goes wrong in it is known to be that.
func (d dialer) dialTLS(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := boundDial(ctx)
	defer cancel()
	conn, err := d.connect(ctx, network, addr)
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
