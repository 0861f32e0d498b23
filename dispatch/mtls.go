package dispatch

import (
	"bytes"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http"
	"sync"

	"github.com/carillon/carillon/event"
)

const (
	// maxClients is how many clients' certificates have their connections kept.
	maxClients = 256
	// clientSessions is how many TLS sessions are kept for each of them.
	clientSessions = 16
	// maxRSABits bounds what a handshake costs: with the cube of it.
	maxRSABits = 8192
)

// clients keeps a transport for each client's certificate: a connection that was opened with one must carry nobody
// else's requests. Safe for concurrent use.
type clients struct {
	transport func(*tls.Config) *http.Transport
	config    *tls.Config // without a certificate

	mu   sync.Mutex
	held map[credential]*client
	turn uint64
}

// client is one certificate's connections. Its fields belong to the lock of clients.
type client struct {
	transport *http.Transport
	users     int    // attempts that use it now
	used      uint64 // the turn in which it was taken last
	evicted   bool
}

// take gives the transport for an auth of [event.AuthMTLS]. Call release when the answer has been read.
func (c *clients) take(a *event.Auth) (t *http.Transport, release func(), err error) {
	key := credentialOf(a)
	taken := c.find(key)
	if taken == nil {
		config, err := c.clientConfig(a)
		if err != nil {
			return nil, nil, &handshakeError{err}
		}
		taken = c.put(key, &client{transport: c.transport(config)})
	}
	return taken.transport, func() { c.release(taken) }, nil
}

func (c *clients) find(key credential) *client {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := c.held[key]
	if found != nil {
		c.turn++
		found.users, found.used = found.users+1, c.turn
	}
	return found
}

// put keeps a client, unless another one has kept it meanwhile, and takes the one that is kept.
func (c *clients) put(key credential, made *client) *client {
	c.mu.Lock()
	defer c.mu.Unlock()
	kept := c.held[key]
	if kept == nil {
		if len(c.held) >= maxClients {
			c.evict()
		}
		kept = made
		c.held[key] = kept
	}
	c.turn++
	kept.users, kept.used = kept.users+1, c.turn
	return kept
}

// evict lets go of the client that was not taken for the longest time. The lock is held.
func (c *clients) evict() {
	oldest, at := credential{}, c.turn+1
	for key, held := range c.held {
		if held.used < at {
			oldest, at = key, held.used
		}
	}
	held := c.held[oldest]
	delete(c.held, oldest)
	held.evicted = true
	held.transport.CloseIdleConnections()
}

// release ends what take began. The last to use a client that was evicted closes its connections.
func (c *clients) release(taken *client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	taken.users--
	if taken.evicted && taken.users == 0 {
		taken.transport.CloseIdleConnections()
	}
}

// close closes all connections that are idle.
func (c *clients) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, held := range c.held {
		held.transport.CloseIdleConnections()
	}
}

func (c *clients) clientConfig(a *event.Auth) (*tls.Config, error) {
	pair, err := tls.X509KeyPair([]byte(a.Certificate), []byte(a.PrivateKey.Reveal()))
	if err != nil {
		return nil, errors.New("the client's certificate and key cannot be read, or do not belong together")
	}
	config := c.config.Clone()
	config.Certificates = []tls.Certificate{pair}
	// A session that was begun with one certificate must not be resumed with another.
	config.ClientSessionCache = tls.NewLRUClientSessionCache(clientSessions)
	if a.CA != "" {
		roots, err := parseCertificates(a.CA)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		for _, root := range roots {
			config.RootCAs.AddCert(root)
		}
	}
	return config, nil
}

// parseCertificates reads PEM that holds certificates and nothing else. The error's text is meant for the one who sent it.
func parseCertificates(text string) ([]*x509.Certificate, error) {
	var certificates []*x509.Certificate
	rest := bytes.TrimSpace([]byte(text))
	for len(rest) > 0 {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			return nil, errors.New("must be PEM")
		}
		if block.Type != "CERTIFICATE" {
			return nil, errors.New("must hold certificates and nothing else")
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, errors.New("has a certificate that cannot be read")
		}
		certificates = append(certificates, certificate)
		rest = bytes.TrimSpace(rest)
	}
	if len(certificates) == 0 {
		return nil, errors.New("holds no certificate")
	}
	return certificates, nil
}

func (c *authCheck) clientCertificate(a *event.Auth) {
	before := len(c.bad)
	chain := c.certificates("certificate", a.Certificate)
	if len(chain) > 0 {
		if key, ok := chain[0].PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() > maxRSABits {
			c.add("certificate", "has an RSA key of %d bits; at most %d are allowed", key.N.BitLen(), maxRSABits)
		}
	}
	switch key := a.PrivateKey.Reveal(); {
	case key == "":
		c.add("private_key", "is required")
	case len(key) > maxPrivateKeyBytes:
		c.add("private_key", "is %d bytes long; at most %d are allowed", len(key), maxPrivateKeyBytes)
	case len(c.bad) > before:
		// Without a certificate there is nothing that the key could belong to.
	default:
		if _, err := tls.X509KeyPair([]byte(a.Certificate), []byte(key)); err != nil {
			c.add("private_key", "must be PEM, not encrypted, and belong to the first certificate")
		}
	}
	if a.CA != "" {
		c.certificates("ca", a.CA)
	}
}

func (c *authCheck) certificates(name, text string) []*x509.Certificate {
	switch {
	case text == "":
		c.add(name, "is required")
		return nil
	case len(text) > maxCertificateBytes:
		c.add(name, "is %d bytes long; at most %d are allowed", len(text), maxCertificateBytes)
		return nil
	}
	parsed, err := parseCertificates(text)
	if err != nil {
		c.add(name, "%s", err)
	}
	return parsed
}
