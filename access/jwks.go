package access

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

const (
	maxJWKSBytes = 1 << 20
	fetchTimeout = 10 * time.Second

	// How long fetched keys are used before they are fetched again: as the answer says (RFC 9111, section 5.2.2), within
	// bounds.
	minFresh, usualFresh, maxFresh = 5 * time.Minute, time.Hour, 24 * time.Hour

	// After a failure the next try comes after firstRetry, then twice that, and so on.
	firstRetry, maxRetry = time.Second, 5 * time.Minute

	// renewGap is the least time between two fetches that tokens with unknown keys were the cause of: anybody can make up
	// such tokens, and the endpoint is somebody else's.
	renewGap = 30 * time.Second
	// renewPatience is how long a request waits for a fetch.
	renewPatience = 3 * time.Second
	// maxRenewing is how many requests wait for it.
	maxRenewing = 1024
)

// fetcher keeps the keys that an issuer publishes. All fetching is done by run; requests only ask it to.
type fetcher struct {
	url       string
	userAgent string
	client    *http.Client
	log       *slog.Logger
	set       atomic.Pointer[keySet] // nil: none could be fetched yet

	asked chan struct{} // holds one while somebody has asked run for a fetch

	mu       sync.Mutex
	round    chan struct{} // closed at the end of the fetch that is under way or asked for; nil: there is none
	waiting  int           // for the round's end
	renewed  time.Time     // when somebody asked last
	failures int           // of fetches, since the last that succeeded

	outcomes *prometheus.CounterVec
	known    prometheus.Gauge
	at       prometheus.Gauge
}

// CheckJWKSURL says what is wrong with where a JWK Set is: it must be https, or http at this machine's loopback.
func CheckJWKSURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return fmt.Errorf("%q is no URL, such as https://issuer.example.com/.well-known/jwks.json", text)
	}
	if u.User != nil || u.Fragment != "" {
		return errors.New("the URL must have neither a user nor a fragment")
	}
	addr, err := netip.ParseAddr(u.Hostname())
	loopback := u.Hostname() == "localhost" || err == nil && addr.Unmap().IsLoopback()
	if u.Scheme != "https" && !(u.Scheme == "http" && loopback) {
		return errors.New("the URL must be https, unless it is at a loopback address: who can change the answer on its way can make tokens")
	}
	return nil
}

func newFetcher(cfg IssuerConfig) *fetcher {
	transport := cfg.Transport
	if transport == nil {
		own := http.DefaultTransport.(*http.Transport).Clone()
		own.DisableKeepAlives = true // the next request is minutes away
		own.MaxResponseHeaderBytes = 64 << 10
		transport = own
	}
	auto := promauto.With(cfg.Registerer)
	f := &fetcher{
		url: cfg.JWKS, userAgent: cfg.UserAgent, log: cfg.Log, asked: make(chan struct{}, 1),
		round: make(chan struct{}), // the one that run begins with
		client: &http.Client{
			Transport: transport,
			// Elsewhere somebody else could be the issuer.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		outcomes: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "carillon_jwks_fetches_total", Help: "Fetches of the issuer's keys, by what came of them.",
		}, []string{"outcome"}),
		known: auto.NewGauge(prometheus.GaugeOpts{Name: "carillon_jwks_keys", Help: "Keys of the issuer that are known."}),
		at: auto.NewGauge(prometheus.GaugeOpts{
			Name: "carillon_jwks_fetched_timestamp_seconds", Help: "When the issuer's keys were last fetched; 0: not yet.",
		}),
	}
	for _, outcome := range []string{"ok", outcomeUnreachable, outcomeStatus, outcomeTooLarge, outcomeMalformed} {
		f.outcomes.WithLabelValues(outcome)
	}
	return f
}

// What becomes of a fetch, besides ok.
const (
	outcomeUnreachable = "unreachable"
	outcomeStatus      = "status"
	outcomeTooLarge    = "too-large"
	outcomeMalformed   = "malformed"
)

// run fetches the keys until ctx ends.
func (f *fetcher) run(ctx context.Context) error {
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-next.C:
		case <-f.asked:
		}
		if wait := f.refresh(ctx); ctx.Err() == nil {
			next.Reset(wait)
		}
	}
}

// refresh fetches the keys, tells those who wait, and returns when to do so again.
func (f *fetcher) refresh(ctx context.Context) time.Duration {
	f.mu.Lock()
	if f.round == nil {
		f.round = make(chan struct{})
	}
	select {
	case <-f.asked: // for the round that begins here
	default:
	}
	f.mu.Unlock()

	set, left, fresh, outcome, err := f.fetch(ctx)

	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.round)
	f.round = nil
	if ctx.Err() != nil {
		return 0
	}
	f.outcomes.WithLabelValues(outcome).Inc()
	old := f.set.Load()
	if err != nil {
		wait := min(firstRetry<<min(f.failures, 16), maxRetry)
		f.failures++
		kept := 0
		if old != nil {
			kept = len(old.keys)
		}
		f.log.Warn("the issuer's keys could not be fetched; those that are known stay", "keys", kept, "again_in", wait.String(), "error", err)
		return wait
	}
	f.failures = 0
	f.known.Set(float64(len(set.keys)))
	f.at.SetToCurrentTime()
	// The same keys are not put in place of themselves: what is known to be verified would be forgotten.
	if old == nil || !old.equal(set) {
		f.set.Store(set)
		level := slog.LevelInfo
		if len(set.keys) == 0 {
			level = slog.LevelWarn
		}
		f.log.Log(ctx, level, "the issuer's keys are new", "keys", len(set.keys), "left_out", left)
	}
	return fresh
}

// renew waits until newer keys were fetched, if somebody is fetching them or it is time that somebody does. It is false
// if keys that are not known then may be the issuer's all the same. Until the first could be fetched, run asks often
// enough by itself.
func (f *fetcher) renew(ctx context.Context) bool {
	f.mu.Lock()
	if f.round == nil && f.set.Load() != nil && time.Since(f.renewed) >= renewGap {
		f.renewed, f.round = time.Now(), make(chan struct{})
		f.asked <- struct{}{} // there is room: nobody asks while there is a round, and the last one took it
	}
	round := f.round
	if round == nil {
		defer f.mu.Unlock()
		return f.failures == 0
	}
	if f.waiting == maxRenewing {
		f.mu.Unlock()
		return false
	}
	f.waiting++
	f.mu.Unlock()

	patience := time.NewTimer(renewPatience)
	defer patience.Stop()
	ended := false
	select {
	case <-round:
		ended = true
	case <-patience.C:
	case <-ctx.Done():
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiting--
	return ended && f.failures == 0
}

// fetch gets the keys once. left is how many could not be used, fresh how long to use the others.
func (f *fetcher) fetch(ctx context.Context) (set *keySet, left int, fresh time.Duration, outcome string, err error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url, nil)
	if err != nil {
		return nil, 0, 0, outcomeUnreachable, err
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	req.Header.Set("User-Agent", f.userAgent)
	resp, err := f.client.Do(req)
	if err != nil {
		// The URL, which the error repeats, may have a key of somebody in its query.
		var network *url.Error
		if errors.As(err, &network) {
			err = network.Err
		}
		return nil, 0, 0, outcomeUnreachable, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, 0, 0, outcomeStatus, fmt.Errorf("the answer is %d", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxJWKSBytes+1))
	if err != nil {
		return nil, 0, 0, outcomeUnreachable, fmt.Errorf("reading the answer: %w", err)
	}
	if len(body) > maxJWKSBytes {
		return nil, 0, 0, outcomeTooLarge, fmt.Errorf("the answer has more than %d bytes", maxJWKSBytes)
	}
	set, left, err = parseJWKS(body)
	if err != nil {
		return nil, 0, 0, outcomeMalformed, err
	}
	return set, left, freshFor(resp.Header), "ok", nil
}

// freshFor returns how long an answer says that it is true.
func freshFor(h http.Header) time.Duration {
	fresh := usualFresh
	for directive := range strings.SplitSeq(strings.Join(h.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(directive)), "=")
		switch name {
		case "no-store", "no-cache":
			return minFresh
		case "max-age":
			if seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31); err == nil {
				fresh = time.Duration(seconds) * time.Second
			}
		}
	}
	return min(max(fresh, minFresh), maxFresh)
}
