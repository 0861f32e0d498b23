package transport

import (
	"context"
	"crypto/tls"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Certificates are where a server's certificate comes from.
type Certificates interface {
	// GetCertificate is for [tls.Config].
	GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error)

	// Expiry returns until when the certificates that are in use are valid, by a name of each.
	Expiry() map[string]time.Time

	// Run keeps the certificates fresh until ctx ends.
	Run(ctx context.Context) error
}

// TLSConfig returns the settings for a server: TLS 1.2 and up, with the certificates. What it asks a Go program to offer
// beyond that is Go's own choice. It registers a metric of the certificates' expiry, and panics if that was done before.
func TLSConfig(from Certificates, reg prometheus.Registerer) *tls.Config {
	reg.MustRegister(expiryCollector{from})
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: from.GetCertificate}
	if _, ok := from.(*ACME); ok {
		cfg.NextProtos = []string{alpnProto}
	}
	return cfg
}

var expiryDesc = prometheus.NewDesc("carillon_tls_certificate_expiry_timestamp_seconds",
	"Until when each certificate in use is valid, in seconds since 1970, by its first name.", []string{"domain"}, nil)

type expiryCollector struct{ of Certificates }

// Describe implements [prometheus.Collector].
func (c expiryCollector) Describe(to chan<- *prometheus.Desc) { to <- expiryDesc }

// Collect implements [prometheus.Collector].
func (c expiryCollector) Collect(to chan<- prometheus.Metric) {
	for domain, end := range c.of.Expiry() {
		to <- prometheus.MustNewConstMetric(expiryDesc, prometheus.GaugeValue, float64(end.Unix()), domain)
	}
}
