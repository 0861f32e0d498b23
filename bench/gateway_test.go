package bench

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/carillon/carillon/access"
	"github.com/carillon/carillon/api"
	"github.com/carillon/carillon/dispatch"
	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/stats"
	"github.com/carillon/carillon/store/sqlite"
	"github.com/carillon/carillon/stream"
	"github.com/carillon/carillon/web"
)

// gateway is a whole gateway in this process, as serve wires it, listening on loopback.
type gateway struct {
	base   string
	engine *sqlite.Engine
}

func newGateway(b *testing.B) *gateway {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	log := slog.New(slog.DiscardHandler)
	registry := prometheus.NewRegistry()
	engine, err := sqlite.Open(ctx, sqlite.Options{Path: filepath.Join(b.TempDir(), "carillon.db"), Log: log, Registerer: registry})
	if err != nil {
		b.Fatal(err)
	}
	engineCtx, stopEngine := context.WithCancel(context.WithoutCancel(ctx))
	var engineRuns, others sync.WaitGroup
	engineRuns.Go(func() { check(b, engine.Run(engineCtx)) })
	guard := dispatch.NewGuard(dispatch.GuardConfig{AllowLoopback: func() bool { return true }})
	sender := dispatch.NewSender(dispatch.SenderConfig{Guard: guard, UserAgent: "Carillon/bench"})
	var dispatcher *dispatch.Dispatcher
	var hub *stream.Hub
	book := stats.New(stats.Config{
		Backlogs: func(ctx context.Context) (map[event.TenantID]int64, error) { return dispatcher.Backlogs(ctx) },
		Streams:  func(id event.TenantID) int { return hub.Open(id) },
		Log:      log,
	})
	dispatcher, err = dispatch.New(dispatch.Config{
		Store: engine, Sender: sender, Drain: time.Second, Log: log, Registerer: registry, Tally: book,
	})
	if err != nil {
		b.Fatal(err)
	}
	keys, err := access.New(access.Config{Store: engine, Log: log})
	if err != nil {
		b.Fatal(err)
	}
	tenants, err := access.NewTenants(engine, nil)
	if err != nil {
		b.Fatal(err)
	}
	hub = stream.New(stream.Config{Log: engine, Source: "/carillon", Appended: book.Appended, Metrics: registry})
	others.Go(func() { check(b, dispatcher.Run(ctx)) })
	others.Go(func() { check(b, hub.Run(ctx)) })
	others.Go(func() { check(b, book.Run(ctx)) })
	handler := api.New(api.Config{
		Store: engine, Dispatch: dispatcher, Guard: guard, Streams: hub, Stats: book, Log: log, Registerer: registry, Gatherer: registry,
		MaxBody: 1 << 20, Ready: engine.Ready, Version: "bench",
		Console: web.Handler(), Access: keys, Tenants: tenants,
	})
	base, stopServer := serve(b, handler)
	b.Cleanup(func() {
		cancel()
		stopServer()
		others.Wait()
		keys.Close()
		tenants.Close()
		dispatcher.Close()
		sender.Close()
		stopEngine()
		engineRuns.Wait()
		check(b, engine.Close())
	})
	return &gateway{base: base, engine: engine}
}

// serve runs a net/http server on loopback.
func serve(b *testing.B, h http.Handler) (base string, stop func()) {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	server := &http.Server{Handler: h}
	var running sync.WaitGroup
	running.Go(func() { server.Serve(l) })
	return "http://" + l.Addr().String(), func() {
		server.Close()
		running.Wait()
	}
}

func (g *gateway) register(b *testing.B, url string, change func(*event.Webhook)) {
	b.Helper()
	w := &event.Webhook{
		ID: event.NewID(), Tenant: event.DefaultTenant, URL: url, Topics: []event.Pattern{"bench.**"}, Enabled: true,
		Secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", Retry: event.DefaultSchedule(), Timeout: event.DefaultTimeout,
		MaxInFlight: event.DefaultMaxInFlight,
	}
	if change != nil {
		change(w)
	}
	check(b, g.engine.CreateWebhook(b.Context(), w))
}

func check(b *testing.B, err error) {
	if err != nil {
		b.Error(err)
	}
}

// cpu is the processor time that this process has used.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	check(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
