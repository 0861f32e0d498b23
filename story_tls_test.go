package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// writeCertificate writes a certificate for 127.0.0.1 and a name, which is its own authority, and its key.
func writeCertificate(dir, name string) (certFile, keyFile string, cert *x509.Certificate, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return "", "", nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", "", nil, err
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			return "", "", nil, err
		}
	}
	cert, err = x509.ParseCertificate(der)
	return certFile, keyFile, cert, err
}

func (s *story) certificate(_ *testscript.TestScript, args []string) error {
	if len(args) != 1 {
		return usage("certificate NAME")
	}
	_, _, cert, err := writeCertificate(s.work, args[0])
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	s.transport.CloseIdleConnections()
	s.transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	s.transport.ForceAttemptHTTP2 = true
	return nil
}

func (s *story) shows(_ *testscript.TestScript, args []string) error {
	if len(args) != 1 || s.gateway == nil {
		return usage("shows NAME, while the gateway runs")
	}
	deadline := time.Now().Add(patience)
	for {
		// Whether it can be believed is for the other steps.
		conn, err := tls.Dial("tcp", s.address, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			return err
		}
		names := conn.ConnectionState().PeerCertificates[0].DNSNames
		conn.Close()
		if len(names) == 1 && names[0] == args[0] {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%w; the certificate is for %q", errPatience, names)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
