package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/carillon/carillon/transport"
)

// transportFlags say how the gateway meets the network.
type transportFlags struct {
	TLSCert string `name:"tls-cert" group:"network" placeholder:"FILE" help:"The certificate to speak TLS with, and its chain, as PEM. Read again when it changes."`
	TLSKey  string `name:"tls-key" group:"network" placeholder:"FILE" help:"The certificate's key, as PEM. Read again when it changes."`

	ACMEDomain    []string `name:"acme-domain" group:"network" placeholder:"NAME" help:"A name of the gateway, such as events.example.com, to get a certificate for by ACME; the authority must reach the gateway there at port 443. Its terms are agreed to. Repeatable."`
	ACMEEmail     string   `name:"acme-email" group:"network" placeholder:"ADDRESS" help:"Where the authority may write to."`
	ACMEDirectory string   `name:"acme-directory" group:"network" default:"https://acme-v02.api.letsencrypt.org/directory" placeholder:"URL" help:"The authority's directory."`
	ACMEHTTP      string   `name:"acme-http" group:"network" placeholder:"ADDRESS" help:"A further address without TLS, such as :80, where the authority may validate too and browsers are sent on to https."`

	TrustedProxies []cidr `name:"trusted-proxies" group:"network" placeholder:"CIDR" help:"Addresses of proxies whose X-Forwarded-For, -Proto and -Host and X-Request-Id are believed, such as 10.0.0.0/8. From others they are ignored. Repeatable."`

	MaxHeader             byteSize `group:"network" default:"64KiB" placeholder:"SIZE" help:"The largest head of a request."`
	Connections           int      `group:"network" default:"0" placeholder:"N" help:"How many connections may be open, streams among them; 0 is as many as there are descriptors to spare."`
	ConnectionsPerAddress int      `group:"network" default:"1000" placeholder:"N" help:"How many connections one address may have open, of IPv6 one /64; loopback and trusted proxies may have any number. 0 is no bound."`

	// For tests: all that they can come from is loopback.
	ConnectionsCountLoopback bool `group:"network" hidden:"" help:"Count the connections from loopback addresses as any others."`
}

const (
	minMaxHeader = 4 << 10
	maxMaxHeader = 1 << 20

	// acmeDirectory is where, in the data directory, the keys and certificates are that ACME got.
	acmeDirectory = "acme"

	// maxHandshakes bounds the connections of TLS that have brought no request yet. Each holds some 30 KiB, and shaking
	// hands takes a processor about half a millisecond.
	maxHandshakes           = 1024
	maxHandshakesPerAddress = 256
)

// check says what is wrong with values that can be parsed.
func (t *transportFlags) check() error {
	switch {
	case (t.TLSCert == "") != (t.TLSKey == ""):
		return errors.New("--tls-cert and --tls-key need each other")
	case t.TLSCert != "" && len(t.ACMEDomain) > 0:
		return errors.New("--tls-cert and --acme-domain exclude each other")
	case len(t.ACMEDomain) == 0 && (t.ACMEEmail != "" || t.ACMEHTTP != ""):
		return errors.New("--acme-email and --acme-http need --acme-domain")
	case t.MaxHeader < minMaxHeader || t.MaxHeader > maxMaxHeader:
		return errors.New("--max-header must be 4KiB to 1MiB")
	case t.Connections < 0 || t.ConnectionsPerAddress < 0:
		return errors.New("--connections and --connections-per-address must not be negative")
	}
	for _, domain := range t.ACMEDomain {
		if err := transport.CheckDomain(domain); err != nil {
			return fmt.Errorf("--acme-domain: %q %w", domain, err)
		}
	}
	if err := transport.CheckDirectory(t.ACMEDirectory); err != nil {
		return fmt.Errorf("--acme-directory: %q %w", t.ACMEDirectory, err)
	}
	return nil
}

// certificates returns where the certificates come from; nil where no TLS is spoken.
func (t *transportFlags) certificates(data string, log *slog.Logger) (transport.Certificates, error) {
	switch {
	case t.TLSCert != "":
		pair, err := transport.LoadPair(t.TLSCert, t.TLSKey, log)
		if err != nil {
			return nil, usageError{fmt.Errorf("--tls-cert, --tls-key: %w", err)}
		}
		return pair, nil
	case len(t.ACMEDomain) > 0:
		return transport.NewACME(transport.ACMEConfig{
			Domains: t.ACMEDomain, Email: t.ACMEEmail, Directory: t.ACMEDirectory,
			Cache: filepath.Join(data, acmeDirectory), Log: log,
		}), nil
	default:
		return nil, nil
	}
}

// connections bounds how many clients may be connected.
func (t *transportFlags) connections(reg prometheus.Registerer) *transport.Connections {
	total := t.Connections
	if total == 0 {
		total = maxConnections()
	}
	return transport.NewConnections(transport.Bounds{
		Total: total, PerAddress: t.ConnectionsPerAddress,
		Handshakes: maxHandshakes, HandshakesPerAddress: maxHandshakesPerAddress,
		Proxies: prefixes(t.TrustedProxies), CountLoopback: t.ConnectionsCountLoopback,
	}, reg)
}

// listenPlain listens where the authority may validate without TLS; nil where that is not wanted.
func (t *transportFlags) listenPlain() (*net.TCPListener, error) {
	if t.ACMEHTTP == "" {
		return nil, nil
	}
	address, err := net.ResolveTCPAddr("tcp", t.ACMEHTTP)
	if err != nil {
		return nil, usageError{fmt.Errorf("--acme-http: %w", err)}
	}
	l, err := net.ListenTCP("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--acme-http: %w", err)
	}
	return l, nil
}
