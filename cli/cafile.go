package cli

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
)

// http returns who makes the requests to the gateway: it believes the certificates that --ca-file names besides those that
// the system believes.
func (c *client) http() (*http.Client, error) {
	if c.CAFile == "" {
		return http.DefaultClient, nil
	}
	text, err := readSmall(c.CAFile, maxCAFile)
	if err != nil {
		return nil, usageError{fmt.Errorf("--ca-file: %w", err)}
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool() // a machine may have none
	}
	if !roots.AppendCertsFromPEM(text) {
		return nil, usageError{fmt.Errorf("--ca-file: %s holds no certificate as PEM", c.CAFile)}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	return &http.Client{Transport: transport}, nil
}

const maxCAFile = 4 << 20
