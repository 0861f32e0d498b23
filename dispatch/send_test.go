package dispatch

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/sign"
)

// newSender makes a sender that may reach loopback.
func newSender(t testing.TB, change func(*SenderConfig)) *Sender {
	t.Helper()
	c := SenderConfig{Guard: NewGuard(GuardConfig{AllowLoopback: loopbackOpen}), UserAgent: "Carillon/test"}
	if change != nil {
		change(&c)
	}
	s := NewSender(c)
	t.Cleanup(s.Close)
	return s
}

// attemptOn is a first attempt on a URL, with a timeout that is never reached.
func attemptOn(url string) Request {
	return Request{
		Webhook: &event.Webhook{ID: event.NewID(), URL: url, Timeout: event.MaxTimeout, Secret: event.Secret(sign.NewSecret())},
		Event: &event.Event{
			ID: event.NewID(), Topic: "orders.created", Cursor: 77, ContentType: "application/json", Payload: []byte(`{"n":1}`),
		},
		Attempt: 1,
	}
}

func quiet(s *httptest.Server) { s.Config.ErrorLog = log.New(io.Discard, "", 0) }

func TestSendRequest(t *testing.T) {
	type seen struct {
		method, uri, host string
		header            http.Header
		body              []byte
	}
	var got seen
	server, _ := sink(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got = seen{r.Method, r.RequestURI, r.Host, r.Header, b}
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Retry-After", "5")
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, "thanks")
	})
	s := newSender(t, nil)
	r := attemptOn(server.URL + "/hook?a=b%20c")
	r.Attempt = 3
	r.Event.Traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	resp := s.Send(t.Context(), r)

	if resp.Attempt.Outcome != event.Success || resp.Attempt.Status != 201 || resp.Attempt.Number != 3 ||
		string(resp.Attempt.Answer) != "thanks" || resp.ContentType != "text/plain" || resp.Webhook != r.Webhook.ID {
		t.Errorf("response %+v", resp)
	}
	if resp.RetryAfter != 0 {
		t.Errorf("Retry-After of a success was taken: %v", resp.RetryAfter)
	}
	if resp.Attempt.At.IsZero() || resp.Attempt.Duration <= 0 {
		t.Errorf("at %v, for %v", resp.Attempt.At, resp.Attempt.Duration)
	}
	if got.method != "POST" || got.uri != "/hook?a=b%20c" || got.host != server.Listener.Addr().String() ||
		!bytes.Equal(got.body, r.Event.Payload) {
		t.Errorf("request %+v", got)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/json", "User-Agent": "Carillon/test", "Carillon-Topic": "orders.created",
		"Carillon-Delivery": event.DeliveryID{Event: 77, Webhook: r.Webhook.ID}.String(), "Carillon-Attempt": "3",
		"Traceparent": r.Event.Traceparent, "Webhook-Id": r.Event.ID.String(), "Content-Length": "7", "Accept-Encoding": "identity",
	} {
		if v := got.header.Values(name); len(v) != 1 || v[0] != want {
			t.Errorf("%s: %q, want %q", name, v, want)
		}
	}
	for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
		if v, ok := got.header[name]; ok {
			t.Errorf("%s was sent: %q", name, v)
		}
	}
	verifier, err := standardwebhooks.NewWebhook(r.Webhook.Secret.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	if err := verifier.Verify(got.body, got.header); err != nil {
		t.Errorf("the Standard Webhooks library refuses the signature: %v", err)
	}
	if err := verifier.Verify(append(got.body, ' '), got.header); err == nil {
		t.Error("the Standard Webhooks library takes any body")
	}

	// What the poster left out, or could not have sent in a header.
	for _, contentType := range []string{"", "a/b\r\nX-Evil: 1"} {
		r.Event.ContentType, r.Event.Traceparent, r.Event.Payload = contentType, "", nil
		if resp := s.Send(t.Context(), r); resp.Attempt.Outcome != event.Success {
			t.Fatalf("content type %q: %v", contentType, resp.Err)
		}
		if got.header.Get("Content-Type") != "application/octet-stream" || got.header.Get("X-Evil") != "" ||
			got.header["Traceparent"] != nil || len(got.body) != 0 || got.header.Get("Content-Length") != "0" {
			t.Errorf("content type %q: request %+v", contentType, got)
		}
		if err := verifier.Verify(got.body, got.header); err != nil {
			t.Errorf("empty payload: %v", err)
		}
	}
}

func TestSendStatuses(t *testing.T) {
	server, _ := sink(t, func(w http.ResponseWriter, r *http.Request) {
		code, _ := strconv.Atoi(r.URL.Query().Get("status"))
		w.Header().Set("Retry-After", "120")
		w.WriteHeader(code)
	})
	s := newSender(t, nil)
	for code, want := range map[int]event.Outcome{
		200: event.Success, 204: event.Success, 304: event.ErrStatus3xx, 302: event.ErrStatus3xx, 400: event.ErrStatus4xx,
		410: event.ErrStatus4xx, 429: event.ErrThrottled, 500: event.ErrStatus5xx, 503: event.ErrStatus5xx,
	} {
		resp := s.Send(t.Context(), attemptOn(fmt.Sprintf("%s/?status=%d", server.URL, code)))
		wantAfter := 2 * time.Minute
		if want == event.Success {
			wantAfter = 0
		}
		if resp.Attempt.Outcome != want || resp.Attempt.Status != code || resp.RetryAfter != wantAfter || resp.Err != nil {
			t.Errorf("%d: %+v", code, resp)
		}
	}
}

func TestSendFollowsNoRedirect(t *testing.T) {
	var elsewhere atomic.Int64
	target, _ := sink(t, func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) })
	for _, location := range []string{target.URL, "http://169.254.169.254/latest/meta-data/", "//localhost/"} {
		server, _ := sink(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", location)
			w.WriteHeader(http.StatusTemporaryRedirect)
		})
		resp := newSender(t, nil).Send(t.Context(), attemptOn(server.URL))
		if resp.Attempt.Outcome != event.ErrStatus3xx || resp.Attempt.Status != 307 {
			t.Errorf("%s: %+v", location, resp)
		}
	}
	if elsewhere.Load() != 0 {
		t.Error("a redirect was followed")
	}
}

func TestSendAnswers(t *testing.T) {
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write(make([]byte, 50<<20))
	_ = z.Close()
	ended := make(chan struct{}, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("/size/{n}", func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.PathValue("n"))
		if r.URL.Query().Has("length") {
			w.Header().Set("Content-Length", strconv.Itoa(n))
		} else {
			w.(http.Flusher).Flush()
		}
		_, _ = w.Write(bytes.Repeat([]byte("a"), n))
	})
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(500)
		for chunk := make([]byte, 32<<10); ; {
			if _, err := w.Write(chunk); err != nil {
				ended <- struct{}{}
				return
			}
		}
	})
	mux.HandleFunc("/gzip", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(zipped.Bytes())
	})
	server, _ := sink(t, mux.ServeHTTP)
	s := newSender(t, nil)
	for _, n := range []int{0, 1, event.MaxAnswerKept - 1, event.MaxAnswerKept, event.MaxAnswerKept + 1, maxAnswerRead, maxAnswerRead + 1, MaxAnswer, MaxAnswer + 1} {
		for _, length := range []string{"", "?length"} {
			r := attemptOn(fmt.Sprintf("%s/size/%d%s", server.URL, n, length))
			resp := s.Send(t.Context(), r)
			if resp.Attempt.Outcome != event.Success || len(resp.Attempt.Answer) != min(n, event.MaxAnswerKept) || resp.Body != nil || resp.TooLarge {
				t.Errorf("%d%s: outcome %s, %d bytes kept", n, length, resp.Attempt.Outcome, len(resp.Attempt.Answer))
			}
			r.Whole = true
			resp = s.Send(t.Context(), r)
			wantBody, wantOutcome := n, event.Success
			if n > MaxAnswer {
				wantBody, wantOutcome = 0, event.ErrTooLarge
			}
			if resp.Attempt.Outcome != wantOutcome || resp.Attempt.Status != 200 || len(resp.Body) != wantBody ||
				resp.TooLarge != (n > MaxAnswer) || len(resp.Attempt.Answer) != min(n, event.MaxAnswerKept) {
				t.Errorf("%d%s whole: outcome %s, body of %d, %d kept", n, length, resp.Attempt.Outcome, len(resp.Body), len(resp.Attempt.Answer))
			}
		}
	}

	for _, whole := range []bool{false, true} {
		r := attemptOn(server.URL + "/endless")
		r.Whole = whole
		want := event.ErrStatus5xx
		if whole {
			want = event.ErrTooLarge
		}
		if resp := s.Send(t.Context(), r); resp.Attempt.Outcome != want || resp.Attempt.Status != 500 || resp.TooLarge != whole {
			t.Errorf("endless, whole %v: %+v", whole, resp.Attempt)
		}
		<-ended // the connection was closed: the server's write fails
	}

	r := attemptOn(server.URL + "/gzip")
	r.Whole = true
	if resp := s.Send(t.Context(), r); !bytes.Equal(resp.Body, zipped.Bytes()) {
		t.Errorf("the answer was unpacked, to %d bytes", len(resp.Body))
	}
}

// rawServer hands each connection to serve, which owns it until it returns.
func rawServer(t testing.TB, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() { cancel(); _ = l.Close(); running.Wait() })
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			stop := context.AfterFunc(ctx, func() { _ = c.Close() })
			running.Go(func() {
				defer stop()
				defer func() { _ = c.Close() }()
				serve(c)
			})
		}
	})
	return l.Addr().String()
}

// readRequest reads one request with a body.
func readRequest(c net.Conn) { _, _ = c.Read(make([]byte, 64<<10)) }

func TestSendCannotConnect(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closedURL := "http://" + closed.Addr().String()
	_ = closed.Close()

	s := newSender(t, nil)
	s2 := newSender(t, func(c *SenderConfig) {
		c.Guard = NewGuard(GuardConfig{})
		c.Guard.resolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done() // a name server that never answers
			return nil, ctx.Err()
		}}
	})
	noNames := newSender(t, func(c *SenderConfig) {
		c.Guard = NewGuard(GuardConfig{})
		c.Guard.resolver = nameServer(func(int) []string { return nil })
	})
	for name, c := range map[string]struct {
		sender *Sender
		url    string
		want   event.Outcome
	}{
		"closed port":   {s, closedURL, event.ErrConnect},
		"no such name":  {noNames, "http://nowhere.test", event.ErrDNS},
		"names hang":    {s2, "http://nowhere.test", event.ErrTimeout},
		"private":       {s, "http://10.0.0.1/", event.ErrBlocked},
		"metadata, TLS": {s, "https://169.254.169.254/", event.ErrBlocked},
		"loopback":      {noNames, closedURL, event.ErrBlocked},
		"localhost":     {newSender(t, func(c *SenderConfig) { c.Guard = NewGuard(GuardConfig{}) }), "http://localhost:1/", event.ErrBlocked},
	} {
		t.Run(name, func(t *testing.T) {
			r := attemptOn(c.url)
			if c.want == event.ErrTimeout {
				r.Webhook.Timeout = 200 * time.Millisecond
			}
			resp := c.sender.Send(t.Context(), r)
			if resp.Attempt.Outcome != c.want || resp.Attempt.Status != 0 || resp.Err == nil || resp.Interrupted {
				t.Errorf("%+v", resp)
			}
		})
	}
}

func TestSendTLS(t *testing.T) {
	var proto atomic.Value
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proto.Store(r.Proto)
		if v, ok := r.Header["X-Idempotency-Key"]; ok {
			t.Errorf("X-Idempotency-Key was sent: %q", v)
		}
		_, _ = io.Copy(w, r.Body)
	})
	secure := httptest.NewUnstartedServer(handler)
	quiet(secure)
	secure.EnableHTTP2 = true
	secure.StartTLS()
	t.Cleanup(secure.Close)
	old := httptest.NewUnstartedServer(handler)
	quiet(old)
	old.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	old.StartTLS()
	t.Cleanup(old.Close)
	wantsCert := httptest.NewUnstartedServer(handler)
	quiet(wantsCert)
	wantsCert.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS13}
	wantsCert.StartTLS()
	t.Cleanup(wantsCert.Close)
	plain, _ := sink(t, handler)

	pool := x509.NewCertPool()
	pool.AddCert(secure.Certificate())
	trusting := newSender(t, func(c *SenderConfig) { c.RootCAs = pool })
	_, port, _ := net.SplitHostPort(secure.Listener.Addr().String())

	r := attemptOn(secure.URL)
	r.Whole = true
	resp := trusting.Send(t.Context(), r)
	if resp.Attempt.Outcome != event.Success || !bytes.Equal(resp.Body, r.Event.Payload) || proto.Load() != "HTTP/2.0" {
		t.Errorf("good certificate: %+v over %v", resp, proto.Load())
	}
	for name, c := range map[string]struct {
		sender *Sender
		url    string
		want   event.Outcome
	}{
		"unknown authority":     {newSender(t, func(c *SenderConfig) { c.RootCAs = x509.NewCertPool() }), secure.URL, event.ErrTLS},
		"another host's":        {trusting, "https://localhost:" + port, event.ErrTLS},
		"TLS to a plain port":   {trusting, "https://" + plain.Listener.Addr().String(), event.ErrTLS},
		"TLS 1.1":               {trusting, old.URL, event.ErrTLS},
		"wants a certificate":   {trusting, wantsCert.URL, event.ErrTLS},
		"plain HTTP to a TLS's": {trusting, "http://" + secure.Listener.Addr().String(), event.ErrStatus4xx},
	} {
		if resp := c.sender.Send(t.Context(), attemptOn(c.url)); resp.Attempt.Outcome != c.want {
			t.Errorf("%s: %s, %v", name, resp.Attempt.Outcome, resp.Err)
		}
	}
	silent := attemptOn("https://" + rawServer(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }))
	silent.Webhook.Timeout = 200 * time.Millisecond
	if resp := trusting.Send(t.Context(), silent); resp.Attempt.Outcome != event.ErrTimeout {
		t.Errorf("a handshake that hangs: %+v", resp)
	}
}

func TestSendInterrupted(t *testing.T) {
	arrived := make(chan struct{})
	addr := rawServer(t, func(c net.Conn) {
		readRequest(c)
		arrived <- struct{}{}
		_, _ = io.Copy(io.Discard, c)
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	r := attemptOn("http://" + addr)
	resp := newSender(t, nil).Send(ctx, r)
	if !resp.Interrupted || resp.Attempt.Outcome != event.NoOutcome || !errors.Is(resp.Err, context.Canceled) {
		t.Errorf("%+v", resp)
	}
}

func TestSendReusesConnections(t *testing.T) {
	var peers sync.Map
	server, _ := sink(t, func(w http.ResponseWriter, r *http.Request) {
		peers.Store(r.RemoteAddr, true)
		_, _ = w.Write(make([]byte, maxAnswerRead)) // read to its end, though most of it is not kept
	})
	s := newSender(t, nil)
	for i := range 20 {
		r := attemptOn(server.URL)
		r.Whole = i%2 == 0
		if resp := s.Send(t.Context(), r); resp.Attempt.Outcome != event.Success {
			t.Fatalf("%+v", resp)
		}
	}
	n := 0
	peers.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		t.Errorf("%d connections for 20 attempts in a row", n)
	}
}

// A server closes a kept-alive connection at the moment when the next request comes in on it.
func TestSendOnAStaleConnection(t *testing.T) {
	var connections, requests atomic.Int64
	addr := rawServer(t, func(c net.Conn) {
		first := connections.Add(1) == 1
		for {
			if n, _ := c.Read(make([]byte, 64<<10)); n == 0 {
				return
			}
			if requests.Add(1) == 2 && first {
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	s := newSender(t, nil)
	for i := range 2 {
		if resp := s.Send(t.Context(), attemptOn("http://"+addr)); resp.Attempt.Outcome != event.Success {
			t.Fatalf("attempt %d: %v", i, resp.Err)
		}
	}
	if connections.Load() != 2 || requests.Load() != 3 {
		t.Errorf("%d connections and %d requests, want 2 and 3", connections.Load(), requests.Load())
	}
}

// The permission for loopback ends while a connection is kept alive.
func TestSendOnAConnectionNoLongerAllowed(t *testing.T) {
	var open atomic.Bool
	var requests atomic.Int64
	server, addr := sink(t, func(http.ResponseWriter, *http.Request) { requests.Add(1) })
	s := newSender(t, func(c *SenderConfig) { c.Guard = NewGuard(GuardConfig{AllowLoopback: open.Load}) })
	for _, c := range []struct {
		open bool
		want event.Outcome
	}{{false, event.ErrBlocked}, {true, event.Success}, {false, event.ErrBlocked}, {true, event.Success}} {
		open.Store(c.open)
		if resp := s.Send(t.Context(), attemptOn(server.URL)); resp.Attempt.Outcome != c.want {
			t.Errorf("open %v: %s, %v", c.open, resp.Attempt.Outcome, resp.Err)
		}
	}
	if requests.Load() != 2 {
		t.Errorf("%d requests arrived, want 2", requests.Load())
	}
	// Named in the configuration, it needs no permission.
	named := newSender(t, func(c *SenderConfig) {
		c.Guard = NewGuard(GuardConfig{Allow: []netip.Prefix{netip.PrefixFrom(addr.Addr(), addr.Addr().BitLen())}})
	})
	if resp := named.Send(t.Context(), attemptOn(server.URL)); resp.Attempt.Outcome != event.Success {
		t.Errorf("named: %v", resp.Err)
	}
}

func TestSendUsesNoProxy(t *testing.T) {
	if newSender(t, nil).transport.Proxy != nil {
		t.Error("a proxy would be dialled in the webhook's place")
	}
}

func TestSendUnusableWebhook(t *testing.T) {
	s := newSender(t, nil)
	for _, change := range []func(*event.Webhook){
		func(w *event.Webhook) { w.Secret = "whsec_!" },
		func(w *event.Webhook) { w.URL = "http://[" },
		func(w *event.Webhook) { w.URL = "gopher://example.com" },
	} {
		r := attemptOn("http://127.0.0.1:1")
		change(r.Webhook)
		if resp := s.Send(t.Context(), r); resp.Err == nil || resp.Attempt.Status != 0 || resp.Attempt.Outcome != event.ErrReset {
			t.Errorf("%q: %+v", r.Webhook.URL, resp)
		}
	}
}

func TestParseRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "0": 0, "1": time.Second, "120": 2 * time.Minute, " 5 ": 5 * time.Second, "007": 7 * time.Second,
		"31536000": 365 * 24 * time.Hour, "31536001": 0, "1795348800": 0, "99999999999999999999999999": 0,
		"-1": 0, "+5": 0, "1.5": 0, "5s": 0, "0x10": 0, "soon": 0, "5, 6": 0, "٥": 0,
		"Sun, 22 Nov 2026 12:00:30 GMT":   30 * time.Second,
		"Sunday, 22-Nov-26 13:00:00 GMT":  time.Hour,
		"Sun Nov 22 12:01:00 2026":        time.Minute,
		"Sun, 22 Nov 2026 11:59:59 GMT":   0,
		"Mon, 22 Nov 9999 12:00:00 GMT":   0,
		"Mon, 01 Jan 0001 00:00:00 GMT":   0,
		"Sun, 22 Nov 2026 12:00:30 +0000": 0,
	} {
		if got := parseRetryAfter(value, now); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"", "120", "-1", "99999999999999999999", "Sun, 22 Nov 2026 12:00:30 GMT", "Sun Nov 22 12:01:00 2026", "1e9", "٥"} {
		f.Add(s)
	}
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, value string) {
		d := parseRetryAfter(value, now)
		if d < 0 || d > saneRetryAfter {
			t.Fatalf("%q: %v", value, d)
		}
		n, err := strconv.ParseUint(value, 10, 24)
		if err == nil && d != time.Duration(n)*time.Second {
			t.Fatalf("%q: %v", value, d)
		}
	})
}

// BenchmarkSend is an attempt against a server that only answers, beside a plain net/http client doing the same POST.
func BenchmarkSend(b *testing.B) {
	server, _ := sink(b, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusAccepted)
	})
	payload := bytes.Repeat([]byte("x"), 1000)
	b.Run("sender", func(b *testing.B) {
		s := newSender(b, nil)
		r := attemptOn(server.URL)
		r.Event.Payload = payload
		b.ReportAllocs()
		for b.Loop() {
			if resp := s.Send(b.Context(), r); resp.Attempt.Outcome != event.Success {
				b.Fatal(resp.Err)
			}
		}
	})
	b.Run("floor", func(b *testing.B) {
		client := &http.Client{Transport: &http.Transport{}}
		b.Cleanup(client.CloseIdleConnections)
		b.ReportAllocs()
		for b.Loop() {
			resp, err := client.Post(server.URL, "application/json", bytes.NewReader(payload))
			if err != nil {
				b.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
	})
}
