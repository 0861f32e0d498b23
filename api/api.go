package api

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/carillon/carillon/access"
	"github.com/carillon/carillon/dispatch"
	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/filter"
	"github.com/carillon/carillon/stats"
	"github.com/carillon/carillon/store"
	"github.com/carillon/carillon/stream"
)

// Store is what the API needs of an engine.
type Store interface {
	store.Log
	store.Webhooks
	store.Deliveries
	Jobs
	Keys
	Tenants
	Audit
}

// Keys is what the API does with stored keys; package access knows who they let in.
type Keys interface {
	CreateKey(ctx context.Context, k *event.Key) error
	Key(ctx context.Context, tenant event.TenantID, id event.ID) (*event.Key, error)
	ListKeys(ctx context.Context, tenant event.TenantID, p store.Page) (store.List[*event.Key], error)
	RevokeKey(ctx context.Context, tenant event.TenantID, id event.ID) error
}

// Jobs is what the API reads of jobs; the dispatcher begins and ends them.
type Jobs interface {
	Job(ctx context.Context, tenant event.TenantID, id event.ID) (store.Job, error)
	ListJobs(ctx context.Context, tenant event.TenantID, p store.Page) (store.List[store.Job], error)
	CountReplay(ctx context.Context, tenant event.TenantID, webhook event.ID, f store.ReplayFilter) (int64, error)
}

// Audit is what the API reads of the audit log, which the store writes.
type Audit interface {
	ListAudit(ctx context.Context, tenant event.TenantID, f store.AuditFilter, p store.Page) (store.List[event.AuditEntry], error)
	AppendAudit(ctx context.Context, tenant event.TenantID, action event.AuditAction, subject string, changes []event.Change) error
}

// Config is what an API is made of. All fields are needed but where they say otherwise.
type Config struct {
	Store    Store
	Dispatch *dispatch.Dispatcher
	Guard    *dispatch.Guard
	Streams  *stream.Hub
	Stats    *stats.Book
	Log      *slog.Logger

	Registerer prometheus.Registerer
	Gatherer   prometheus.Gatherer

	// MaxBody is how many bytes a request's body may have.
	MaxBody int64

	// Access knows the keys of which every request must carry one. While it is open the gateway must listen on loopback
	// only, and the door looks at Host, Origin and Sec-Fetch-Site instead.
	Access *access.Keys

	// Tenants knows the tenants by their names.
	Tenants *access.Tenants

	// Hosts are names by which the gateway may be addressed besides localhost and loopback addresses, while there is no
	// key. Without ports. May be empty.
	Hosts []string

	// CORSOrigins are the origins whose pages may read answers, such as https://app.example.com; "*" is every one. May be
	// empty.
	CORSOrigins []string

	// PublicURL is where browsers reach the gateway, such as https://events.example.com; empty: where the request that
	// asks for a link was sent to.
	PublicURL string

	// TrustedProxies are where the proxies are whose word about their own clients is believed: see sender. May be empty.
	TrustedProxies []netip.Prefix

	OpenAPI []byte       // the text of openapi.yaml
	Console http.Handler // the page at / and its files under /assets/

	// Ready returns nil while the gateway can do its work.
	Ready func() error

	Version string
}

// API serves the gateway's HTTP surface. Safe for concurrent use.
type API struct {
	cfg      Config
	store    Store
	access   *access.Keys
	tenants  *access.Tenants
	rates    *rates
	dispatch *dispatch.Dispatcher
	streams  *stream.Hub
	log      *slog.Logger
	metrics  *metrics
	gathered http.Handler  // the metrics' text
	filters  *filter.Cache // of streams
	inFlight keysInFlight
	changing webhookLocks
	waits    waits
	concerns concerns
	doctors  chan struct{} // holds one for each that is at work
	router   *chi.Mux
}

// New makes an API. It registers its metrics, and panics if that was done before.
func New(cfg Config) *API {
	a := &API{
		cfg: cfg, store: cfg.Store, access: cfg.Access, tenants: cfg.Tenants, dispatch: cfg.Dispatch, streams: cfg.Streams, log: cfg.Log,
		metrics: newMetrics(cfg.Registerer), gathered: promhttp.HandlerFor(cfg.Gatherer, promhttp.HandlerOpts{}),
		rates: newRates(cfg.Tenants), filters: filter.NewCache(1024), doctors: make(chan struct{}, maxDoctors),
		concerns: newConcerns(),
	}
	a.router = a.routes()
	return a
}

// ServeHTTP implements [http.Handler].
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.router.ServeHTTP(w, r) }

// Routes gives the router, for whoever wants to walk it.
func (a *API) Routes() chi.Routes { return a.router }

// Drain ends the waits of all synchronous posters, now and from now on: they get their receipts. It ends doctors too.
// Streams are ended by their hub.
func (a *API) Drain() { a.waits.drain() }
