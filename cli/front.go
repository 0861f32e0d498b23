package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/carillon/carillon/api"
	"github.com/carillon/carillon/transport"
)

// front is where clients come in: the listeners that are open, and who serves them.
type front struct {
	log          *slog.Logger
	drain        func()        // lets those go who wait
	drainTime    time.Duration // for requests to end
	saysDrain    time.Duration // for all of the gateway, as the operator set it
	certificates transport.Certificates

	listener *net.TCPListener
	servers  []served
}

// served is a server and what it serves.
type served struct {
	*http.Server
	on net.Listener
}

// listen opens what clients can connect to. Nobody is answered before run.
func (c *serveCommand) listen(address *net.TCPAddr, certificates transport.Certificates, gateway *api.API, registry prometheus.Registerer, log *slog.Logger) (*front, error) {
	f := &front{log: log, drain: gateway.Drain, drainTime: c.Drain - c.closing(), saysDrain: c.Drain, certificates: certificates}
	var settings *tls.Config
	if f.certificates != nil {
		settings = transport.TLSConfig(f.certificates, registry)
	}
	connections := c.Transport.connections(registry)
	var err error
	f.listener, err = net.ListenTCP("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%w; choose another with --listen", err)
	}
	if err != nil {
		return nil, err // it says what was to be done and where
	}
	config := transport.ServerConfig{Handler: gateway, TLS: settings, MaxHeader: int(c.Transport.MaxHeader), Log: log}
	f.servers = []served{{transport.NewServer(config), connections.Listener(f.listener, settings != nil)}}

	plain, err := c.Transport.listenPlain()
	if err != nil {
		_ = f.listener.Close() // the error that counts is there already
		return nil, err
	}
	if authority, ok := f.certificates.(*transport.ACME); ok && plain != nil {
		config.Handler, config.TLS = authority.Plain(), nil
		f.servers = append(f.servers, served{transport.NewServer(config), connections.Listener(plain, false)})
	}
	return f, nil
}

// place writes where the gateway is. What listens on all addresses calls itself [::], also when asked for 0.0.0.0.
func (f *front) place(asked *net.TCPAddr) string {
	scheme := "http"
	if f.certificates != nil {
		scheme = "https"
	}
	at := f.listener.Addr().(*net.TCPAddr)
	if !at.IP.IsUnspecified() {
		return scheme + "://" + at.String()
	}
	ip := asked.IP
	if ip == nil {
		ip = net.IPv4zero
	}
	return fmt.Sprintf("%s://%s (all addresses)", scheme, &net.TCPAddr{IP: ip, Port: at.Port})
}

// run serves until ctx ends, then lets requests finish: waiting posters are given their receipts, and the hub, which stops
// for the same reason, ends the streams.
func (f *front) run(ctx context.Context) error {
	all, ctx := errgroup.WithContext(ctx)
	if f.certificates != nil {
		all.Go(func() error { return f.certificates.Run(ctx) })
	}
	for _, s := range f.servers {
		all.Go(func() error { return f.serve(ctx, s) })
	}
	all.Go(func() error {
		<-ctx.Done()
		f.log.Info("stopping", "drain", f.saysDrain.String())
		f.drain()
		return nil
	})
	return all.Wait()
}

func (f *front) serve(ctx context.Context, s served) error {
	ended := make(chan error, 1)
	go func() {
		if s.TLSConfig != nil {
			ended <- s.ServeTLS(s.on, "", "")
		} else {
			ended <- s.Serve(s.on)
		}
	}()
	select {
	case err := <-ended:
		return fmt.Errorf("serving HTTP: %w", err)
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), f.drainTime)
	defer cancel()
	if err := s.Shutdown(ending); err != nil {
		f.log.Warn("requests were cut off at the end of the drain time", "error", err)
		// Its error is that of a listener which is closed already.
		_ = s.Close()
	}
	<-ended
	return nil
}
