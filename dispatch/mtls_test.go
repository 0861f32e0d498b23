package dispatch

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/carillon/carillon/event"
)

// wantsClient is a webhook that knows its clients by the certificates of an authority, and answers with their names. It
// counts its connections.
func wantsClient(t *testing.T, server, client *authority) (url string, connections *atomic.Int64) {
	t.Helper()
	connections = new(atomic.Int64)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.TLS.PeerCertificates[0].Subject.CommonName)
	}))
	quiet(s)
	s.TLS = &tls.Config{
		Certificates: []tls.Certificate{server.issue(t, nil)}, ClientCAs: client.pool(), ClientAuth: tls.RequireAndVerifyClientCert,
		VerifyConnection: func(tls.ConnectionState) error { connections.Add(1); return nil },
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL, connections
}

func clientAuth(t *testing.T, a *authority, name string) event.Auth {
	t.Helper()
	certificate, key := pemOf(t, a.issue(t, func(c *x509.Certificate) { c.Subject.CommonName = name }))
	return event.Auth{Type: event.AuthMTLS, Certificate: certificate, PrivateKey: event.Secret(key)}
}

func TestClientCertificates(t *testing.T) {
	theirs, ours := newAuthority(t), newAuthority(t)
	url, connections := wantsClient(t, theirs, ours)
	s := newSender(t, func(c *SenderConfig) { c.RootCAs = theirs.pool() })
	send := func(a event.Auth) Response {
		r := attemptOn(url)
		r.Webhook.Auth = a
		return s.Send(t.Context(), r)
	}
	one, other := clientAuth(t, ours, "one"), clientAuth(t, ours, "other")
	for range 3 {
		for name, a := range map[string]event.Auth{"one": one, "other": other} {
			if got := send(a); got.Attempt.Outcome != event.Success || string(got.Attempt.Answer) != name {
				t.Errorf("%s: %+v", name, got)
			}
		}
	}
	if connections.Load() != 2 {
		t.Errorf("%d connections for two clients", connections.Load())
	}
	stranger := clientAuth(t, newAuthority(t), "stranger")
	broken := one
	broken.PrivateKey = other.PrivateKey
	for name, a := range map[string]event.Auth{"none": {}, "stranger": stranger, "broken": broken} {
		if got := send(a); got.Attempt.Outcome != event.ErrTLS {
			t.Errorf("%s: %+v", name, got)
		} else if strings.Contains(got.Err.Error(), "BEGIN") {
			t.Errorf("%s: %v", name, got.Err)
		}
	}
}

// The webhook's own authority takes the place of the system's, for it alone.
func TestClientsOwnAuthority(t *testing.T) {
	theirs, ours := newAuthority(t), newAuthority(t)
	url, _ := wantsClient(t, theirs, ours)
	s := newSender(t, func(c *SenderConfig) { c.RootCAs = ours.pool() })
	a := clientAuth(t, ours, "one")
	r := attemptOn(url)
	r.Webhook.Auth = a
	if got := s.Send(t.Context(), r); got.Attempt.Outcome != event.ErrTLS {
		t.Errorf("without: %+v", got)
	}
	r.Webhook.Auth.CA, _ = pemOf(t, tls.Certificate{Certificate: [][]byte{theirs.certificate.Raw}, PrivateKey: ours.key})
	if got := s.Send(t.Context(), r); got.Attempt.Outcome != event.Success {
		t.Errorf("with: %+v", got)
	}
	r.Webhook.Auth = a
	if got := s.Send(t.Context(), r); got.Attempt.Outcome != event.ErrTLS {
		t.Errorf("without again: %+v", got)
	}
}

func TestClientsAreBounded(t *testing.T) {
	theirs, ours := newAuthority(t), newAuthority(t)
	url, connections := wantsClient(t, theirs, ours)
	s := newSender(t, func(c *SenderConfig) { c.RootCAs = theirs.pool() })
	r := attemptOn(url)
	r.Webhook.Auth = clientAuth(t, ours, "one")
	send := func() {
		if got := s.Send(t.Context(), r); got.Attempt.Outcome != event.Success {
			t.Fatalf("%+v", got)
		}
	}
	send()
	// Others come, which all are in use at once, and the first one has to go.
	filler := &http.Transport{}
	for i := range maxClients {
		s.clients.put(credential([]byte(fmt.Sprintf("%032d", i))), &client{transport: filler})
	}
	if n := len(s.clients.held); n != maxClients || s.clients.held[credentialOf(&r.Webhook.Auth)] != nil {
		t.Errorf("%d are kept", n)
	}
	send()
	if connections.Load() != 2 {
		t.Errorf("%d connections: the evicted client's was used again", connections.Load())
	}
}

func TestAnEvictedClientIsClosedByItsLastUser(t *testing.T) {
	theirs, ours := newAuthority(t), newAuthority(t)
	url, _ := wantsClient(t, theirs, ours)
	s := newSender(t, func(c *SenderConfig) { c.RootCAs = theirs.pool() })
	a := clientAuth(t, ours, "one")
	transport, release, err := s.clients.take(&a)
	if err != nil {
		t.Fatal(err)
	}
	s.clients.mu.Lock()
	s.clients.evict()
	s.clients.mu.Unlock()
	request := func() (reused bool) {
		trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused }}
		req, _ := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), http.MethodPost, url, nil)
		resp, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		return reused
	}
	request()
	if !request() {
		t.Error("while it is used its connections are not kept")
	}
	release()
	if request() {
		t.Error("a connection has outlived the last user")
	}
	transport.CloseIdleConnections()
}

// Many attempts begin with the same certificate at once.
func TestClientsShareATransport(t *testing.T) {
	a := clientAuth(t, newAuthority(t), "one")
	s := newSender(t, nil)
	var all sync.WaitGroup
	var seen sync.Map
	for range 20 {
		all.Go(func() {
			transport, release, err := s.clients.take(&a)
			if err != nil {
				t.Error(err)
				return
			}
			defer release()
			seen.Store(transport, true)
		})
	}
	all.Wait()
	n := 0
	seen.Range(func(any, any) bool { n++; return true })
	if n != 1 || len(s.clients.held) != 1 {
		t.Errorf("%d transports, %d kept", n, len(s.clients.held))
	}
	for _, held := range s.clients.held {
		if held.users != 0 {
			t.Errorf("%d users are left", held.users)
		}
	}
}
