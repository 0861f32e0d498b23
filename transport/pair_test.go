package transport

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// writePair writes a certificate for a name and its key into a directory.
func writePair(t *testing.T, dir, name string, end time.Time) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "common"}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: end}
	der, err := x509.CreateCertificate(rand.Reader, leaf, leaf, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

// A new pair is taken; one that is broken, or only half there, leaves the old one in use and is told of once.
func TestPairIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	end := time.Now().Add(24 * time.Hour).Truncate(time.Second)
	certFile, keyFile := writePair(t, dir, "one.test", end)
	var said strings.Builder
	p, err := LoadPair(certFile, keyFile, slog.New(slog.NewTextHandler(&said, nil)))
	if err != nil {
		t.Fatal(err)
	}
	names := func() string {
		cert, err := p.GetCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(cert.Leaf.DNSNames, " ")
	}
	logged := func(want int, what string) {
		t.Helper()
		p.look()
		p.look()
		p.look()
		if n := strings.Count(said.String(), "\n"); n != want {
			t.Errorf("%s: %d lines were logged:\n%s", what, n, &said)
		}
	}
	logged(0, "unchanged")
	if err := testutil.CollectAndCompare(expiryCollector{p}, strings.NewReader("")); err == nil {
		t.Error("there is no metric")
	}
	registry := prometheus.NewRegistry()
	TLSConfig(p, registry)
	families, err := registry.Gather()
	if err != nil || len(families) != 1 || families[0].Metric[0].GetGauge().GetValue() != float64(end.Unix()) || families[0].Metric[0].Label[0].GetValue() != "one.test" {
		t.Errorf("the metrics are %v, %v", families, err)
	}

	other := t.TempDir()
	otherCert, otherKey := writePair(t, other, "two.test", end)
	if err := os.Rename(otherCert, certFile); err != nil {
		t.Fatal(err)
	}
	p.look() // the key is on its way
	if names() != "one.test" || said.Len() != 0 {
		t.Errorf("half a pair: %s is in use:\n%s", names(), &said)
	}
	if err := os.Rename(otherKey, keyFile); err != nil {
		t.Fatal(err)
	}
	logged(1, "a new pair")
	if names() != "two.test" {
		t.Errorf("%s is in use", names())
	}
	if err := os.WriteFile(keyFile, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	logged(2, "a broken pair")
	if err := os.Remove(certFile); err != nil {
		t.Fatal(err)
	}
	logged(3, "no certificate")
	if names() != "two.test" {
		t.Errorf("%s is in use", names())
	}
	writePair(t, dir, "three.test", end)
	logged(4, "mended")
	if names() != "three.test" {
		t.Errorf("%s is in use", names())
	}
	if strings.Contains(said.String(), "PRIVATE KEY") || strings.Contains(said.String(), "no key\n") {
		t.Errorf("the log tells too much:\n%s", &said)
	}
}

func TestPairThatIsNone(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	certFile, _ := writePair(t, t.TempDir(), "one.test", time.Now().Add(time.Hour))
	_, keyFile := writePair(t, t.TempDir(), "two.test", time.Now().Add(time.Hour))
	large := filepath.Join(t.TempDir(), "large.pem")
	if err := os.WriteFile(large, make([]byte, maxPEM+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, files := range [][2]string{{certFile, keyFile}, {certFile, certFile}, {certFile, "missing.pem"}, {large, keyFile}} {
		if _, err := LoadPair(files[0], files[1], log); err == nil {
			t.Errorf("%q were taken for a pair", files)
		}
	}
}

func TestCheckDomain(t *testing.T) {
	for name, ok := range map[string]bool{
		"events.example.com": true, "a.b": true, "xn--bcher-kva.example": true,
		"": false, "localhost": false, "*.example.com": false, "10.0.0.1": false, "::1": false, "example.com.": false, "bücher.example": false,
		"Example.com": false, "a..b": false, "a b.example": false, "example.com:443": false,
	} {
		if err := CheckDomain(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}
