package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"
)

// authority is a small certificate authority that speaks ACME: Let's Encrypt's own Pebble. Every name is at 127.0.0.1 for
// it.
type authority struct {
	server    *httptest.Server
	directory string
	trust     string         // a file with the certificate of its own server
	roots     *x509.CertPool // of what it issues
	said      *transcript
}

// startAuthority starts one that validates names at these ports.
func startAuthority(t *testing.T, tlsPort, httpPort int) *authority {
	t.Helper()
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	a := &authority{said: &transcript{}}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the authority said\n%s", a.said)
		}
	})
	logger := log.New(a.said, "", 0)
	stored := db.NewMemoryStore()
	issuer := ca.New(logger, stored, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {Description: "The default profile"}})
	validator := va.New(logger, httpPort, tlsPort, true, startNames(t), stored)
	front := wfe.New(logger, stored, validator, issuer, []string{"authority.test"}, true, false, 1, 1)
	a.server = httptest.NewTLSServer(front.Handler())
	t.Cleanup(a.server.Close)
	a.directory = a.server.URL + wfe.DirectoryPath
	a.trust = filepath.Join(t.TempDir(), "authority.pem")
	if err := os.WriteFile(a.trust, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	a.roots = x509.NewCertPool()
	a.roots.AppendCertsFromPEM(issuer.GetRootCert(0).PEM())
	return a
}

// startNames starts a name server for which every name is at 127.0.0.1.
func startNames(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{Listener: l, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, asked *dns.Msg) {
		answer := new(dns.Msg).SetReply(asked)
		for _, q := range asked.Question {
			if q.Qtype == dns.TypeA {
				answer.Answer = append(answer.Answer, &dns.A{
					Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1}, A: net.IPv4(127, 0, 0, 1)})
			}
		}
		_ = w.WriteMsg(answer) // its error is that of an asker who has left
	})}
	ended := make(chan error, 1)
	go func() { ended <- server.ActivateAndServe() }()
	t.Cleanup(func() {
		l.Close()
		<-ended
	})
	return l.Addr().String()
}

func portOf(t *testing.T, address string) int {
	t.Helper()
	_, text, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// trusting is a client that believes these roots, and finds every name at an address.
func trusting(t *testing.T, roots *x509.CertPool, address string) *http.Client {
	to := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: roots},
		ForceAttemptHTTP2: true,
	}
	dialer := &net.Dialer{Timeout: patience}
	to.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, network, address)
	}
	t.Cleanup(to.CloseIdleConnections)
	return &http.Client{Transport: to, Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// The gateway gets a certificate from an authority that it has never seen before, which comes to validate its name over TLS,
// serves it, and has it after a restart when nobody can be asked.
func TestCertificateByACME(t *testing.T) {
	address, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	// Nobody listens at port 1: there is no other way to validate the name than over TLS.
	authority := startAuthority(t, portOf(t, address), 1)
	data := t.TempDir()
	env := []string{"PATH=" + os.Getenv("PATH"), "SSL_CERT_FILE=" + authority.trust, "CARILLON_ADMIN_KEY=0123456789abcdef"}
	args := []string{"--listen", address, "--data", data, "--log-level", "debug",
		"--acme-domain", "gateway.test", "--acme-directory", authority.directory, "--acme-email", "ops@gateway.test"}
	gateway, url, err := startGateway(t.TempDir(), env, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { gateway.kill() }()
	if url != "https://"+address {
		t.Errorf("it is at %s", url)
	}
	if _, err := gateway.stderr.await(says("a new certificate is in use")); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		client := trusting(t, authority.roots, address)
		resp, err := client.Get("https://gateway.test/healthz")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK || resp.ProtoMajor != 2 {
			t.Errorf("answered %s over %s", resp.Status, resp.Proto)
		}
		// No name but the gateway's gets a certificate, and asking for one costs the authority nothing.
		asked := strings.Count(authority.said.String(), "\n")
		if resp, err := client.Get("https://other.test/healthz"); err == nil {
			resp.Body.Close()
			t.Errorf("another name: answered %s", resp.Status)
		}
		if now := strings.Count(authority.said.String(), "\n"); now != asked {
			t.Errorf("the authority was asked for another name")
		}
		req, err := http.NewRequestWithContext(t.Context(), "GET", "https://gateway.test/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer 0123456789abcdef")
		resp, err = client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		metrics, err := io.ReadAll(resp.Body)
		if err != nil || !strings.Contains(string(metrics), `carillon_tls_certificate_expiry_timestamp_seconds{domain="gateway.test"}`) {
			t.Errorf("there is no expiry: %v", err)
		}
	}
	check()
	// The keys are the owner's alone.
	err = filepath.WalkDir(filepath.Join(data, "acme"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %s", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}

	gateway.kill()
	authority.server.Close()
	gateway, _, err = startGateway(t.TempDir(), env, args...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := gateway.stderr.await(says("a new certificate is in use")); err != nil {
		t.Fatal(err)
	}
	check()
}

// Where the authority can come over plain HTTP only, that will do; browsers that come that way are sent on.
func TestCertificateByHTTP(t *testing.T) {
	address, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	plain, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	// Nobody listens at port 1: the validation over TLS fails, and is tried first.
	authority := startAuthority(t, 1, portOf(t, plain))
	env := []string{"PATH=" + os.Getenv("PATH"), "SSL_CERT_FILE=" + authority.trust}
	gateway, _, err := startGateway(t.TempDir(), env, "--listen", address, "--data", t.TempDir(), "--acme-http", plain,
		"--acme-domain", "gateway.test", "--acme-directory", authority.directory)
	if err != nil {
		t.Fatal(err)
	}
	defer gateway.kill()
	if _, err := gateway.stderr.await(says("a new certificate is in use")); err != nil {
		t.Fatal(err)
	}
	client := trusting(t, authority.roots, plain)
	for url, want := range map[string]struct {
		status   int
		location string
	}{
		"http://gateway.test/v1/topics?limit=1":                  {http.StatusPermanentRedirect, "https://gateway.test/v1/topics?limit=1"},
		"http://gateway.test:80//elsewhere.test/a%2Fb":           {http.StatusPermanentRedirect, "https://gateway.test//elsewhere.test/a%2Fb"},
		"http://other.test/":                                     {http.StatusMisdirectedRequest, ""},
		"http://127.0.0.1/":                                      {http.StatusMisdirectedRequest, ""},
		"http://gateway.test/.well-known/acme-challenge/nothing": {http.StatusNotFound, ""},
		"http://other.test/.well-known/acme-challenge/nothing":   {http.StatusForbidden, ""},
	} {
		resp, err := client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want.status || resp.Header.Get("Location") != want.location {
			t.Errorf("%s: %s, to %q", url, resp.Status, resp.Header.Get("Location"))
		}
	}
}
