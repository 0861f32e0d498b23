package api

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus/promhttp"

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

	m.Group(func(m chi.Router) {
		m.Use(a.door)

		m.Get("/metrics", promhttp.HandlerFor(a.cfg.Gatherer, promhttp.HandlerOpts{}).ServeHTTP)

		m.Post("/v1/events", a.answer(a.publishCloudEvents))
		m.Get("/v1/events", a.answer(a.listEvents))
		m.Get("/v1/events/{id}", a.answer(a.getEvent))
		m.Get("/v1/events/{id}/payload", a.answer(a.getPayload))

		m.Get("/v1/topics", a.answer(a.listTopics))
		m.Post("/v1/topics/{topic}/events", a.answer(a.publishToTopic))

		m.Get("/v1/topics/{topic}/events", a.answer(a.pollEvents))

		m.Get("/v1/stream", a.answer(a.streamTopics))
		m.Post("/v1/stream", a.answer(a.postStream))
		m.Get(doctorPath, a.answer(a.streamDoctor))
		m.Get("/v1/topics/{pattern}/stream", a.answer(a.streamPattern))
		m.Get("/v1/streams", a.answer(a.listStreams))

		m.Post("/v1/webhooks", a.answer(a.createWebhook))
		m.Get("/v1/webhooks", a.answer(a.listWebhooks))
		m.Get("/v1/webhooks/{id}", a.answer(a.getWebhook))
		m.Patch("/v1/webhooks/{id}", a.answer(a.patchWebhook))
		m.Delete("/v1/webhooks/{id}", a.answer(a.deleteWebhook))
		m.Post("/v1/webhooks/{id}/ping", a.answer(a.pingWebhook))
		m.Post("/v1/webhooks/{id}/rotate-secret", a.answer(a.rotateSecret))
		m.Get("/v1/webhooks/{id}/health", a.answer(a.webhookHealth))
		m.Post("/v1/webhooks/{id}/replay", a.answer(a.replayWebhook))
		m.Post("/v1/webhooks/test", a.answer(a.testWebhook))

		m.Get("/v1/jobs", a.answer(a.listJobs))
		m.Get("/v1/jobs/{id}", a.answer(a.getJob))
		m.Post("/v1/jobs/{id}/cancel", a.answer(a.cancelJob))

		m.Get("/v1/deliveries", a.answer(a.listDeliveries))
		m.Get("/v1/deliveries/{id}", a.answer(a.getDelivery))
		m.Post("/v1/deliveries/{id}/retry", a.answer(a.retryDelivery))
		m.Post("/v1/deliveries/{id}/cancel", a.answer(a.cancelDelivery))
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
