package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/carillon/carillon/access"
	"github.com/carillon/carillon/api"
	"github.com/carillon/carillon/dispatch"
	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/stats"
	"github.com/carillon/carillon/store"
	"github.com/carillon/carillon/store/sqlite"
	"github.com/carillon/carillon/stream"
	"github.com/carillon/carillon/web"
)

const maxBody = 64 << 10

// gateway is an API with a real engine, dispatcher and hub below it, served on loopback.
type gateway struct {
	t        *testing.T
	api      *api.API
	url      string
	host     string
	client   *http.Client
	engine   *sqlite.Engine
	dispatch *dispatch.Dispatcher
	access   *access.Keys
	tenants  *access.Tenants
	metrics  *prometheus.Registry
	log      *lockedBuffer
}

// lockedBuffer is a log that can be read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newGateway serves an API until the test ends. configure may be nil.
func newGateway(t *testing.T, configure func(*api.Config)) *gateway {
	t.Helper()
	return newGatewayWith(t, stream.Config{}, "", configure)
}

// newGatewayWithKey is newGateway with an admin key in its configuration; empty: none.
func newGatewayWithKey(t *testing.T, adminKey event.Secret, configure func(*api.Config)) *gateway {
	t.Helper()
	return newGatewayWith(t, stream.Config{}, adminKey, configure)
}

// newGatewayWith is newGateway with more said of the streams; their log and who is told of them are set here. With an
// issuer, its JWTs are taken.
func newGatewayWith(t *testing.T, streams stream.Config, adminKey event.Secret, configure func(*api.Config), issuer ...access.IssuerConfig) *gateway {
	t.Helper()
	g := &gateway{t: t, log: &lockedBuffer{}, metrics: prometheus.NewRegistry()}
	log := slog.New(slog.NewTextHandler(g.log, &slog.HandlerOptions{Level: slog.LevelDebug}))

	engine, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "test.db")})
	if err != nil {
		t.Fatal(err)
	}
	g.engine = engine
	secret, err := engine.TokenSecret(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var hub *stream.Hub
	var jwts *access.Issuer
	for _, cfg := range issuer {
		cfg.Tenant = func(name string) (event.TenantID, bool) { return g.tenants.ByName(name) }
		if jwts, err = access.NewIssuer(cfg); err != nil {
			t.Fatal(err)
		}
	}
	if g.access, err = access.New(access.Config{
		Store: engine, AdminKey: adminKey, TokenSecret: secret, Log: log, Ended: func(key string) { hub.EndKey(key) }, Issuer: jwts,
	}); err != nil {
		t.Fatal(err)
	}
	if g.tenants, err = access.NewTenants(engine, func(id event.TenantID) {
		g.access.ForgetTenant(id)
		hub.EndTenant(id)
	}); err != nil {
		t.Fatal(err)
	}
	guard := dispatch.NewGuard(dispatch.GuardConfig{AllowLoopback: func() bool { return true }})
	sender := dispatch.NewSender(dispatch.SenderConfig{Guard: guard, UserAgent: "Carillon/test"})

	engineCtx, stopEngine := context.WithCancel(context.WithoutCancel(t.Context()))
	var engineRun, run errgroup.Group
	engineRun.Go(func() error { return engine.Run(engineCtx) })

	book := stats.New(stats.Config{
		Backlogs: func(ctx context.Context) (map[event.TenantID]int64, error) { return g.dispatch.Backlogs(ctx) },
		Streams:  func(id event.TenantID) int { return hub.Open(id) },
		Log:      log,
	})
	g.dispatch, err = dispatch.New(dispatch.Config{Store: engine, Sender: sender, Drain: time.Second, Log: log, Tally: book})
	if err != nil {
		t.Fatal(err)
	}
	streams.Log, streams.Source = engine, "/carillon"
	streams.Limits.PerTenant = g.tenants.StreamsOf
	streams.Publish, streams.Wanted, streams.Appended = g.dispatch.Publish, g.dispatch.Wanted, book.Appended
	hub = stream.New(streams)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	run.Go(func() error { return g.dispatch.Run(ctx) })
	run.Go(func() error { return hub.Run(ctx) })
	run.Go(func() error { return book.Run(ctx) })
	run.Go(func() error { return g.access.Run(ctx) })

	cfg := api.Config{
		Store: engine, Dispatch: g.dispatch, Guard: guard, Streams: hub, Stats: book, Log: log, Access: g.access, Tenants: g.tenants,
		Registerer: g.metrics, Gatherer: g.metrics, MaxBody: maxBody, OpenAPI: openAPIText(),
		Console: web.Handler(), Ready: engine.Ready, Version: "test",
	}
	if configure != nil {
		configure(&cfg)
	}
	g.api = api.New(cfg)
	server := httptest.NewServer(g.api)
	g.url = server.URL
	g.host = strings.TrimPrefix(server.URL, "http://")
	g.client = &http.Client{
		Transport:     &http.Transport{DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.Cleanup(func() {
		g.api.Drain()
		stop()
		if err := run.Wait(); err != nil {
			t.Errorf("the dispatcher or the hub ended with: %v", err)
		}
		g.client.CloseIdleConnections()
		server.Close()
		g.tenants.Close()
		g.access.Close()
		g.dispatch.Close()
		sender.Close()
		stopEngine()
		if err := engineRun.Wait(); err != nil {
			t.Errorf("the engine ended with: %v", err)
		}
		if err := engine.Close(); err != nil {
			t.Errorf("closing the engine: %v", err)
		}
		if t.Failed() {
			t.Logf("log:\n%s", g.log)
		}
	})
	return g
}

// answer is what came back for a request.
type answer struct {
	t      *testing.T
	status int
	header http.Header
	body   []byte
}

// headers is a list of names and values.
type headers []string

// request makes a request; path may have a query. A body of nil is none.
func (g *gateway) request(method, path string, h headers, body []byte) *http.Request {
	g.t.Helper()
	var from io.Reader
	if body != nil {
		from = bytes.NewReader(body)
	}
	r, err := http.NewRequestWithContext(g.t.Context(), method, g.url+path, from)
	if err != nil {
		g.t.Fatal(err)
	}
	for i := 0; i < len(h); i += 2 {
		if h[i] == "Host" {
			r.Host = h[i+1]
			continue
		}
		r.Header.Add(h[i], h[i+1])
	}
	return r
}

// do sends a request that openapi.yaml allows, and holds the answer against it.
func (g *gateway) do(method, path string, h headers, body string) *answer {
	g.t.Helper()
	r := g.request(method, path, h, bodyOf(body))
	theContract().checkRequest(g.t, r, []byte(body))
	return g.send(r)
}

// tryBad sends a request that need not be one of openapi.yaml's, and holds the answer against it if the route is there.
func (g *gateway) tryBad(method, path string, h headers, body string) *answer {
	g.t.Helper()
	return g.send(g.request(method, path, h, bodyOf(body)))
}

func bodyOf(text string) []byte {
	if text == "" {
		return nil
	}
	return []byte(text)
}

func (g *gateway) send(r *http.Request) *answer {
	g.t.Helper()
	res, err := g.client.Do(r)
	if err != nil {
		g.t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		g.t.Fatalf("%s %s: reading the answer: %v", r.Method, r.URL, err)
	}
	return g.checked(r, res, body)
}

// checked holds an answer against what is true of all of them, and against openapi.yaml.
func (g *gateway) checked(r *http.Request, res *http.Response, body []byte) *answer {
	g.t.Helper()
	if res.Header.Get("X-Content-Type-Options") != "nosniff" {
		g.t.Errorf("%s %s: the answer lacks nosniff", r.Method, r.URL)
	}
	if res.Header.Get("Referrer-Policy") != "no-referrer" {
		g.t.Errorf("%s %s: the answer lets addresses be told: %v", r.Method, r.URL, res.Header)
	}
	if vary := strings.Join(res.Header.Values("Vary"), ", "); strings.Count(vary, "Origin") != 1 {
		g.t.Errorf("%s %s: the answer varies by %q", r.Method, r.URL, vary)
	}
	unrouted := res.StatusCode == http.StatusMethodNotAllowed || r.Method == http.MethodHead || r.Method == http.MethodOptions ||
		res.StatusCode == http.StatusNotFound && bytes.Contains(body, []byte("Nothing is served at this path"))
	if !unrouted {
		theContract().checkResponse(g.t, r, res, body)
	}
	return &answer{g.t, res.StatusCode, res.Header, body}
}

// want fails the test at once if the status is another.
func (a *answer) want(status int) *answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("status %d, want %d: %s", a.status, status, a.body)
	}
	return a
}

// into reads the answer as JSON.
func (a *answer) into(v any) *answer {
	a.t.Helper()
	if got := a.header.Get("Content-Type"); got != "application/json" && got != "application/problem+json" {
		a.t.Fatalf("content type %q: %s", got, a.body)
	}
	dec := json.NewDecoder(bytes.NewReader(a.body))
	if err := dec.Decode(v); err != nil {
		a.t.Fatalf("%v: %s", err, a.body)
	}
	return a
}

// problem is a problem document as a client reads it.
type problem struct {
	Type, Title, Detail, Instance string
	Status                        int
	Errors                        []event.FieldError
	Outcomes                      []struct {
		Webhook string
		Status  *int
		Error   *string
	}
}

// wantProblem fails the test if the answer is not a problem of this kind about these fields.
func (a *answer) wantProblem(status int, kind string, fields ...string) problem {
	a.t.Helper()
	a.want(status)
	if got := a.header.Get("Content-Type"); got != "application/problem+json" {
		a.t.Errorf("content type %q", got)
	}
	var p problem
	a.into(&p)
	if p.Type != "urn:problem-type:carillon:"+kind || p.Status != status || p.Title == "" || p.Detail == "" {
		a.t.Errorf("want a %s: %s", kind, a.body)
	}
	var got []string
	for _, e := range p.Errors {
		got = append(got, e.Field)
	}
	if !slices.Equal(got, fields) {
		a.t.Errorf("fields at fault are %v, want %v: %s", got, fields, a.body)
	}
	return p
}

// receipt is what a poster is told.
type receipt struct {
	ID, Topic, Cursor string
	Time              time.Time
	Webhooks          int
	Replayed          bool
}

// publish posts a plain event.
func (g *gateway) publish(topic, payload string) receipt {
	g.t.Helper()
	var r receipt
	g.do("POST", "/v1/topics/"+topic+"/events", headers{"Content-Type", "text/plain"}, payload).want(202).into(&r)
	return r
}

// hook registers a webhook and returns its id. more is further members of the JSON object.
func (g *gateway) hook(url, topic, more string) string {
	g.t.Helper()
	var w struct{ ID string }
	body := fmt.Sprintf(`{"url":%q,"topics":[%q]%s}`, url, topic, more)
	g.do("POST", "/v1/webhooks", headers{"Content-Type", "application/json"}, body).want(201).into(&w)
	return w.ID
}

// receiver is a webhook's server.
func receiver(t *testing.T, handle http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handle)
	t.Cleanup(s.Close)
	return s.URL
}

// stored tells everything that a request could change, so that two of them can be compared.
func (g *gateway) stored() string {
	g.t.Helper()
	ctx, tenant, page := g.t.Context(), event.DefaultTenant, store.Page{Limit: 500}
	bounds, err := g.engine.Bounds(ctx)
	if err != nil {
		g.t.Fatal(err)
	}
	hooks, err := g.engine.ListWebhooks(ctx, tenant, page)
	if err != nil {
		g.t.Fatal(err)
	}
	deliveries, err := g.engine.ListDeliveries(ctx, tenant, store.DeliveryFilter{}, page)
	if err != nil {
		g.t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintln(&b, bounds.Head)
	for _, w := range hooks.Data {
		fmt.Fprintln(&b, *w)
	}
	for _, d := range deliveries.Data {
		fmt.Fprintln(&b, d)
	}
	return b.String()
}

// eventually waits until ok is true.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}
