package api

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/carillon/carillon/event"
)

// routes lists all that can be asked for.
func (a *API) routes() *chi.Mux {
	m := chi.NewRouter()
	m.Use(a.withRequest, a.observe, a.recoverer, headAsGet, a.cors())
	m.NotFound(a.notFound)
	m.MethodNotAllowed(a.methodNotAllowed)

	// For anybody: probes, which know no key and come with any Host.
	m.Get("/healthz", a.health)
	m.Get("/readyz", a.readiness)

	// For anybody: nothing in them is anybody's.
	m.Group(func(m chi.Router) {
		m.Use(a.visitorsDoor)
		m.Get("/openapi.yaml", a.openAPI)
		m.Get("/", a.cfg.Console.ServeHTTP)
		m.Get("/assets/{file}", a.cfg.Console.ServeHTTP)
	})

	// For who may subscribe, and who has a stream token, which opens these and nothing else.
	m.Group(func(m chi.Router) {
		m.Use(a.door(tokenAnywhere))
		m.Get("/v1/stream", a.listening(a.streamTopics))
		m.Post("/v1/stream", a.listening(a.postStream))
		m.Get(doctorPath, a.listening(a.streamDoctor))
		m.Get("/v1/topics/{pattern}/stream", a.listening(a.streamPattern))
		m.Get("/v1/topics/{topic}/events", a.listening(a.pollEvents))
	})

	m.Group(func(m chi.Router) {
		m.Use(a.door(tokenInHeader))

		// Each asks for a scope. What is the gateway's as a whole, and not a tenant's, asks for an admin of all of it.
		publish, subscribe := a.asking(event.ScopePublish), a.asking(event.ScopeSubscribe)
		manage, admin := a.asking(event.ScopeManage), a.asking(event.ScopeAdmin)

		m.Get("/metrics", a.askingGateway(a.serveMetrics))

		m.Post("/v1/events", publish(a.metering(a.publishCloudEvents)))
		m.Get("/v1/events", subscribe(a.listEvents))
		m.Get("/v1/events/{id}", subscribe(a.getEvent))
		m.Get("/v1/events/{id}/payload", subscribe(a.getPayload))

		m.Get("/v1/topics", subscribe(a.listTopics))
		m.Post("/v1/topics/{topic}/events", publish(a.metering(a.publishToTopic)))

		m.Get("/v1/streams", manage(notByToken(a.listStreams)))
		m.Get("/v1/stats", manage(ofWholeTenant(a.showStats)))
		m.Get(statsStreamPath, manage(ofWholeTenant(a.streamStats)))

		m.Get("/v1/me", a.answer(a.showMe))
		m.Post("/v1/stream-tokens", subscribe(a.createStreamToken))
		m.Post("/v1/portal-links", manage(notByToken(a.createPortalLink)))

		m.Post("/v1/webhooks", manage(a.createWebhook))
		m.Get("/v1/webhooks", manage(a.listWebhooks))
		m.Get("/v1/webhooks/{id}", manage(a.getWebhook))
		m.Patch("/v1/webhooks/{id}", manage(a.patchWebhook))
		m.Delete("/v1/webhooks/{id}", manage(a.deleteWebhook))
		m.Post("/v1/webhooks/{id}/ping", manage(a.pingWebhook))
		m.Post("/v1/webhooks/{id}/rotate-secret", manage(a.rotateSecret))
		m.Get("/v1/webhooks/{id}/health", manage(a.webhookHealth))
		m.Post("/v1/webhooks/{id}/replay", manage(a.replayWebhook))
		m.Post("/v1/webhooks/test", manage(a.testWebhook))

		m.Get("/v1/jobs", manage(a.listJobs))
		m.Get("/v1/jobs/{id}", manage(a.getJob))
		m.Post("/v1/jobs/{id}/cancel", manage(a.cancelJob))

		m.Get("/v1/deliveries", manage(a.listDeliveries))
		m.Get("/v1/deliveries/{id}", manage(a.getDelivery))
		m.Post("/v1/deliveries/{id}/retry", manage(a.retryDelivery))
		m.Post("/v1/deliveries/{id}/cancel", manage(a.cancelDelivery))

		m.Post("/v1/keys", admin(a.createKey))
		m.Get("/v1/keys", admin(a.listKeys))
		m.Get("/v1/keys/{id}", admin(a.getKey))
		m.Delete("/v1/keys/{id}", admin(a.revokeKey))

		m.Post("/v1/tenants", a.askingGateway(a.createTenant))
		m.Get("/v1/tenants", a.askingGateway(a.listTenants))
		m.Get("/v1/tenants/{name}", a.askingGateway(a.getTenant))
		m.Patch("/v1/tenants/{name}", a.askingGateway(a.patchTenant))
		m.Delete("/v1/tenants/{name}", a.askingGateway(a.deleteTenant))

		m.Get("/v1/audit", admin(a.listAudit))
	})
	return m
}

func (a *API) notFound(w http.ResponseWriter, r *http.Request) {
	a.refuse(w, r, *kindNotFound.is("Nothing is served at this path; /openapi.yaml lists what is."))
}

func (a *API) methodNotAllowed(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete} {
		if a.router.Match(chi.NewRouteContext(), method, r.URL.EscapedPath()) {
			allowed = append(allowed, method)
			if method == http.MethodGet && !isStream(r.URL.Path) {
				allowed = append(allowed, http.MethodHead)
			}
		}
	}
	// The router asks no further once it does not know the method.
	if len(allowed) == 0 {
		a.notFound(w, r)
		return
	}
	list := strings.Join(allowed, ", ")
	w.Header().Set("Allow", list)
	a.refuse(w, r, *kindMethod.is("Possible here: %s.", list))
}

// pathValue returns a part of the path as the client meant it: the router sees it still escaped, if any of the path is.
func pathValue(r *http.Request, name string) (string, *problem) {
	value := chi.URLParam(r, name)
	if r.URL.RawPath == "" {
		return value, nil
	}
	value, err := url.PathUnescape(value)
	if err != nil {
		return "", kindBadRequest.in(event.FieldError{Field: name, Detail: "is wrongly escaped"})
	}
	return value, nil
}

// pathID returns the id in the path.
func pathID(r *http.Request) (event.ID, *problem) {
	text, p := pathValue(r, "id")
	if p != nil {
		return event.ID{}, p
	}
	id, err := event.ParseID(text)
	if err != nil {
		return event.ID{}, kindBadRequest.in(event.FieldError{Field: "id", Detail: "is " + err.Error()})
	}
	return id, nil
}

// pathPattern returns a topic pattern in the path.
func pathPattern(r *http.Request, name string) (event.Pattern, *problem) {
	text, p := pathValue(r, name)
	if p != nil {
		return "", p
	}
	pattern, err := event.ParsePattern(text)
	if err != nil {
		return "", kindBadRequest.in(event.FieldError{Field: name, Detail: err.Error()})
	}
	return pattern, nil
}

// answer makes an [http.HandlerFunc] of a handler that returns what it refuses a request for. One that returns a problem
// has written nothing.
func (a *API) answer(handle func(http.ResponseWriter, *http.Request) *problem) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if p := handle(w, r); p != nil {
			a.refuse(w, r, *p)
		}
	}
}

// noQuery refuses parameters where there are none to give.
func noQuery(r *http.Request) *problem { return readQuery(r).problem() }
