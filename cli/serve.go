package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"

	"github.com/alecthomas/kong"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
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

// The engine fits all who use it.
var (
	_ store.Engine    = (*sqlite.Engine)(nil)
	_ dispatch.Ledger = store.Engine(nil)
	_ stream.Log      = store.Engine(nil)
	_ api.Store       = store.Engine(nil)
)

// Run is the gateway's life: what it is made of from the bottom up, then its work, then its end from the top down.
func (c *serveCommand) Run(ctx context.Context, p *Process, parsed *kong.Context) error {
	if err := c.check(); err != nil {
		return usageError{err}
	}
	key, err := adminKey(p, c.AdminKeyFile)
	if err != nil {
		return usageError{err}
	}
	keyring, err := c.keyring(p)
	if err != nil {
		return usageError{err}
	}
	address, err := net.ResolveTCPAddr("tcp", c.Listen)
	if err != nil {
		return usageError{fmt.Errorf("--listen: %w", err)}
	}
	database := filepath.Join(c.Data, databaseFile)
	if _, err := os.Stat(database); key == "" && !c.JWT.on() && errors.Is(err, fs.ErrNotExist) {
		// No key is stored: nothing need be made to say so.
		if err := c.checkOpen(address); err != nil {
			return err
		}
	}
	log := c.logger(p.Stderr)
	defer hearComplaints(log)()
	for _, name := range strayVariables(parsed.Model, p.Environ) {
		log.Warn("an environment variable is no setting of carillon, and changes nothing", "variable", name)
	}
	certificates, err := c.Transport.certificates(c.Data, log)
	if err != nil {
		return err
	}
	version, _ := build()
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	var tenants *access.Tenants // nobody comes in before they are there
	issuer, err := c.JWT.issuer(log, registry, "Carillon/"+version, func(name string) (event.TenantID, bool) { return tenants.ByName(name) })
	if err != nil {
		return err
	}

	// Only the owner may look: payloads and webhooks' secrets are in there.
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return fmt.Errorf("making the data directory: %w", err)
	}
	engine, err := sqlite.Open(ctx, sqlite.Options{
		Path:              database,
		IdempotencyWindow: c.IdempotencyWindow,
		Log:               log,
		Registerer:        registry,
		Secrets:           keyring,
	})
	if errors.Is(err, sqlite.ErrInUse) {
		return fmt.Errorf("%w; is another carillon serve running? --data chooses another directory", err)
	}
	if err != nil {
		return explainSealed(err, c.Data)
	}
	defer func() {
		if err := engine.Close(); err != nil {
			log.Error("the store was not closed as it should be", "error", err)
		}
	}()

	var hub *stream.Hub // keys change, and are revoked, only once the engine runs
	secret, err := engine.TokenSecret(ctx)
	if err != nil {
		return err
	}
	keys, err := access.New(access.Config{
		Store: engine, AdminKey: key, TokenSecret: secret, Issuer: issuer, Log: log, Ended: func(key string) { hub.EndKey(key) },
	})
	if err != nil {
		return err
	}
	defer keys.Close()
	tenants, err = access.NewTenants(engine, func(id event.TenantID) {
		keys.ForgetTenant(id)
		hub.EndTenant(id)
	})
	if err != nil {
		return err
	}
	defer tenants.Close()
	if keys.Open() {
		if err := c.checkOpen(address); err != nil {
			return err
		}
		log.Warn("there is no key: everybody on this machine may use the gateway, and webhooks may be at loopback addresses")
	}
	// Without a key, whoever reaches the gateway is on this machine and could reach its loopback anyway.
	guard := dispatch.NewGuard(dispatch.GuardConfig{Allow: prefixes(c.WebhookAllow), AllowLoopback: keys.Open})
	sender := dispatch.NewSender(dispatch.SenderConfig{Guard: guard, UserAgent: "Carillon/" + version, Source: c.Source})
	defer sender.Close()
	var dispatcher *dispatch.Dispatcher // both count for the book, which asks them when it runs
	book := stats.New(stats.Config{
		Backlogs: func(ctx context.Context) (map[event.TenantID]int64, error) { return dispatcher.Backlogs(ctx) },
		Streams:  func(id event.TenantID) int { return hub.Open(id) },
		Log:      log,
	})
	dispatcher, err = dispatch.New(dispatch.Config{
		Store:       engine,
		Sender:      sender,
		Retention:   c.retention(),
		MaxInFlight: maxInFlight(),
		Drain:       c.Drain - c.closing(),
		Log:         log,
		Registerer:  registry,
		Tally:       book,
	})
	if err != nil {
		return err
	}
	defer dispatcher.Close()
	hub = stream.New(stream.Config{
		Log: engine, Source: c.Source, Limits: c.streamLimits(tenants), MaxAge: c.StreamMaxAge, WriteTimeout: c.StreamStall,
		Publish: dispatcher.Publish, Wanted: dispatcher.Wanted, Appended: book.Appended, Logger: log, Metrics: registry,
	})
	gateway := api.New(api.Config{
		Store: engine, Dispatch: dispatcher, Guard: guard, Streams: hub, Stats: book, Log: log,
		Registerer: registry, Gatherer: registry,
		MaxBody: int64(c.MaxBody),
		Access:  keys, Tenants: tenants, Hosts: c.Host, CORSOrigins: c.CORSOrigin, PublicURL: c.PublicURL,
		OpenAPI: p.OpenAPI, Console: web.Handler(),
		Ready: engine.Ready, Version: version,
		TrustedProxies: prefixes(c.Transport.TrustedProxies),
	})
	entrance, err := c.listen(address, certificates, gateway, registry, log)
	if err != nil {
		return err
	}

	// The store outlives all who write to it: it ends when they have, not when ctx does.
	storing, stopStoring := context.WithCancel(context.WithoutCancel(ctx))
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error { return engine.Run(storing) })
	all.Go(func() error {
		defer stopStoring()
		writers, ctx := errgroup.WithContext(ctx)
		writers.Go(func() error { return dispatcher.Run(ctx) })
		writers.Go(func() error { return hub.Run(ctx) })
		writers.Go(func() error { return book.Run(ctx) })
		writers.Go(func() error { return keys.Run(ctx) })
		writers.Go(func() error { return entrance.run(ctx) })
		if issuer != nil {
			writers.Go(func() error { return issuer.Run(ctx) })
		}
		return writers.Wait()
	})
	log.Info("carillon is up", "version", version, "address", entrance.listener.Addr().String(), "data", c.Data)
	fmt.Fprintf(p.Stdout, "carillon listens on %s\n", entrance.place(address))
	err = all.Wait()
	if err != nil {
		return err
	}
	log.Info("carillon has stopped")
	return nil
}

// databaseFile is the database's name in the data directory.
const databaseFile = "carillon.db"

// checkOpen refuses what must not be while nobody is asked for a key.
func (c *serveCommand) checkOpen(address *net.TCPAddr) error {
	if !address.IP.IsLoopback() {
		return usageError{errOpenToAll(c.Listen, c.Data)}
	}
	if slices.Contains(c.CORSOrigin, "*") {
		return usageError{errOpenToAllPages}
	}
	return nil
}
