package transport

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

const (
	// pairPoll is how often the files are looked at. They are small, and read whole: neither a time nor a size would tell
	// of every change, least of all where a symbolic link is turned, as Kubernetes does.
	pairPoll = 2 * time.Second

	maxPEM = 1 << 20
)

// Pair is a certificate and its key in two files of PEM, which are read again when they change.
type Pair struct {
	certFile, keyFile string
	log               *slog.Logger

	current atomic.Pointer[tls.Certificate]

	// Of Run's goroutine alone.
	loaded [sha256.Size]byte // what current was read from
	broken string            // what was wrong when the files were looked at last; empty: nothing
	told   bool              // and it was logged
}

var _ Certificates = (*Pair)(nil)

// LoadPair reads the files: the certificate with what belongs to its chain, its own first, and the key.
func LoadPair(certFile, keyFile string, log *slog.Logger) (*Pair, error) {
	p := &Pair{certFile: certFile, keyFile: keyFile, log: log}
	cert, sum, err := p.read()
	if err != nil {
		return nil, err
	}
	p.current.Store(cert)
	p.loaded = sum
	if time.Now().After(cert.Leaf.NotAfter) {
		log.Warn("the certificate has expired", "file", certFile, "expired", cert.Leaf.NotAfter)
	}
	return p, nil
}

// GetCertificate implements [Certificates].
func (p *Pair) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return p.current.Load(), nil
}

// Expiry implements [Certificates].
func (p *Pair) Expiry() map[string]time.Time {
	leaf := p.current.Load().Leaf
	name := leaf.Subject.CommonName
	switch {
	case len(leaf.DNSNames) > 0:
		name = leaf.DNSNames[0]
	case len(leaf.IPAddresses) > 0:
		name = leaf.IPAddresses[0].String()
	}
	return map[string]time.Time{name: leaf.NotAfter}
}

// Run implements [Certificates]. New files that are no pair leave the old one in use, and are told of once.
func (p *Pair) Run(ctx context.Context) error {
	tick := time.NewTicker(pairPoll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			p.look()
		}
	}
}

// look takes what the files hold now.
func (p *Pair) look() {
	cert, sum, err := p.read()
	if err != nil {
		// One of the two may be new already and the other not yet: only what is wrong twice is told.
		if said := fmt.Sprintf("%x %s", sum, err); said != p.broken {
			p.broken, p.told = said, false
		} else if !p.told {
			p.told = true
			p.log.Error("the new certificate cannot be used; the old one stays", "error", err)
		}
		return
	}
	p.broken = ""
	if sum == p.loaded {
		return
	}
	p.current.Store(cert)
	p.loaded = sum
	p.log.Info("a new certificate is in use", "file", p.certFile, "names", cert.Leaf.DNSNames, "expires", cert.Leaf.NotAfter)
}

// read returns the pair and what tells it from another.
func (p *Pair) read() (*tls.Certificate, [sha256.Size]byte, error) {
	certPEM, err := readPEM(p.certFile)
	if err != nil {
		return nil, [sha256.Size]byte{}, fmt.Errorf("reading the certificate: %w", err)
	}
	keyPEM, err := readPEM(p.keyFile)
	if err != nil {
		return nil, [sha256.Size]byte{}, fmt.Errorf("reading the certificate's key: %w", err)
	}
	sum := sha256.Sum256(bytes.Join([][]byte{certPEM, keyPEM}, []byte{0}))
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, sum, fmt.Errorf("the certificate in %s and the key in %s are no pair: %w", p.certFile, p.keyFile, err)
	}
	return &cert, sum, nil
}

func readPEM(path string) ([]byte, error) {
	f, err := os.Open(path) // #nosec G304 -- the operator names it
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxPEM+1))
	if err == nil && len(text) > maxPEM {
		err = errors.New("it is larger than 1 MiB")
	}
	return text, err
}
