package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
	"golang.org/x/net/idna"
)

// LetsEncrypt is the directory of the certificate authority that is asked where no other is named.
const LetsEncrypt = acme.LetsEncryptURL

// alpnProto is what a certificate authority asks for when it validates a name by TLS-ALPN-01 (RFC 8737).
const alpnProto = acme.ALPNProto

const (
	// acmeLook is how often certificates are looked at that are there; autocert renews them by itself in good time.
	acmeLook = time.Hour

	// A name that got no certificate is tried again after acmeRetry, and then ever later: authorities count failures, and
	// refuse for hours whoever makes too many.
	acmeRetry    = time.Minute
	acmeRetryMax = 6 * time.Hour

	// acmeStop is how long an exchange with the authority that is under way may hold up the end.
	acmeStop = 5 * time.Second

	acmeRequest = 30 * time.Second
)

// ACMEConfig says for which names to get certificates, and where.
type ACMEConfig struct {
	Domains   []string // as [CheckDomain] takes them; no other name ever gets a certificate
	Email     string   // where the authority writes to; may be empty
	Directory string   // the authority's directory (RFC 8555, section 7.1.1)
	Cache     string   // a directory for the account's key and the certificates with theirs, made with mode 0700
	Log       *slog.Logger
}

// ACME gets certificates from an authority and renews them (RFC 8555). Using it is agreeing to the authority's terms.
//
// Only Run orders certificates. A handshake never does: clients could make it order without end.
type ACME struct {
	cfg     ACMEConfig
	manager *autocert.Manager
	ending  chan struct{} // closed when Run ends: no further request is made to the authority

	mu     sync.Mutex
	expiry map[string]time.Time // of the domains for which there is a certificate
}

var _ Certificates = (*ACME)(nil)

// NewACME makes one that has no certificate until Run is called. It writes and reads nothing.
func NewACME(cfg ACMEConfig) *ACME {
	a := &ACME{cfg: cfg, ending: make(chan struct{}), expiry: map[string]time.Time{}}
	a.manager = &autocert.Manager{
		Prompt:     autocert.AcceptTOS,
		Cache:      autocert.DirCache(cfg.Cache),
		HostPolicy: autocert.HostWhitelist(cfg.Domains...),
		Email:      cfg.Email,
		Client: &acme.Client{
			DirectoryURL: cfg.Directory,
			UserAgent:    "carillon",
			HTTPClient:   &http.Client{Transport: endingTransport{a.ending, http.DefaultTransport}, Timeout: acmeRequest},
			// A request that was refused is made again a few times, as a stale nonce asks for; for all else Run begins again.
			RetryBackoff: func(n int, _ *http.Request, _ *http.Response) time.Duration {
				if n > 3 {
					return -1
				}
				return time.Second
			},
		},
	}
	return a
}

// CheckDomain says what is wrong with a name as one to get a certificate for.
func CheckDomain(name string) error {
	if _, err := netip.ParseAddr(name); err == nil {
		return errors.New("is an address; a name is needed")
	}
	ascii, err := idna.Lookup.ToASCII(name)
	if err != nil || !strings.Contains(name, ".") || slices.Contains(strings.Split(name, "."), "") {
		return errors.New("is no name on the internet, such as events.example.com, and not a wildcard either")
	}
	if ascii != name {
		return fmt.Errorf("must be written as %s", ascii)
	}
	return nil
}

// CheckDirectory says what is wrong with an authority's directory.
func CheckDirectory(directory string) error {
	u, err := url.Parse(directory)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return errors.New("must be the https:// address of an ACME directory")
	}
	return nil
}

// GetCertificate implements [Certificates].
func (a *ACME) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if slices.Equal(hello.SupportedProtos, []string{alpnProto}) {
		return a.manager.GetCertificate(hello)
	}
	name, err := idna.Lookup.ToASCII(strings.TrimSuffix(hello.ServerName, "."))
	if err != nil {
		return nil, errors.New("the name that the client asks for is none")
	}
	a.mu.Lock()
	_, ready := a.expiry[name]
	a.mu.Unlock()
	if !ready {
		return nil, errors.New("there is no certificate for the name that the client asks for")
	}
	return a.certificate(name)
}

// certificate returns the certificate of a domain, and gets one where there is none. It is always one of ECDSA, which
// every client of TLS 1.2 and up that is still about can take: one of RSA would be another order.
func (a *ACME) certificate(domain string) (*tls.Certificate, error) {
	return a.manager.GetCertificate(&tls.ClientHelloInfo{
		ServerName:   domain,
		CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
	})
}

// Expiry implements [Certificates].
func (a *ACME) Expiry() map[string]time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := make(map[string]time.Time, len(a.expiry))
	for domain, end := range a.expiry {
		all[domain] = end
	}
	return all
}

// Run implements [Certificates]: it gets a certificate for each domain that has none. The server must be listening.
func (a *ACME) Run(ctx context.Context) error {
	var domains sync.WaitGroup
	for _, domain := range a.cfg.Domains {
		domains.Go(func() { a.keep(ctx, domain) })
	}
	<-ctx.Done()
	close(a.ending)
	ended := make(chan struct{})
	go func() {
		domains.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(acmeStop):
		// autocert cannot be told to stop waiting for the authority's answer; it makes no further request.
	}
	return nil
}

// keep sees to one domain.
func (a *ACME) keep(ctx context.Context, domain string) {
	retry := acmeRetry
	for {
		cert, err := a.certificate(domain)
		wait := acmeLook
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			wait = retry
			retry = min(2*retry, acmeRetryMax)
			a.cfg.Log.Error("there is no certificate for a domain", "domain", domain, "again_in", wait.String(), "error", err)
		default:
			retry = acmeRetry
			a.note(domain, cert.Leaf.NotAfter)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

func (a *ACME) note(domain string, end time.Time) {
	a.mu.Lock()
	before := a.expiry[domain]
	a.expiry[domain] = end
	a.mu.Unlock()
	if !before.Equal(end) {
		a.cfg.Log.Info("a new certificate is in use", "domain", domain, "expires", end)
	}
}

// Plain answers where no TLS is spoken: the authority's questions (HTTP-01; RFC 8555, section 8.3), and everybody else is
// sent to the same place of the same domain over TLS. Whoever asks for another name is not sent anywhere. From then on the
// authority may validate by HTTP-01 too.
func (a *ACME) Plain() http.Handler {
	challenges := a.manager.HTTPHandler(http.HandlerFunc(a.redirect))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The manager knows its names without ports.
		if host, _, err := net.SplitHostPort(r.Host); err == nil {
			r.Host = host
		}
		challenges.ServeHTTP(w, r)
	})
}

func (a *ACME) redirect(w http.ResponseWriter, r *http.Request) {
	host := strings.ToLower(r.Host)
	if !slices.Contains(a.cfg.Domains, host) {
		http.Error(w, "no such name here", http.StatusMisdirectedRequest)
		return
	}
	to := url.URL{Scheme: "https", Host: host, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
	w.Header().Set("Connection", "close")
	// 308 keeps the method. The body of a post was sent in the clear already; the redirect at least says so.
	http.Redirect(w, r, to.String(), http.StatusPermanentRedirect)
}

// endingTransport makes no further request once the end has begun.
type endingTransport struct {
	ending <-chan struct{}
	to     http.RoundTripper
}

var errEnding = errors.New("the gateway is stopping")

// RoundTrip implements [http.RoundTripper].
func (t endingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	select {
	case <-t.ending:
		return nil, errEnding
	default:
		return t.to.RoundTrip(r)
	}
}
