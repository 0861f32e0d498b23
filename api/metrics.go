package api

import (
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"
)

// serveMetrics answers with the metrics of the whole gateway.
func (a *API) serveMetrics(w http.ResponseWriter, r *http.Request) *problem {
	a.gathered.ServeHTTP(w, r)
	return nil
}

type metrics struct {
	requests *prometheus.CounterVec   // by route, method, status
	seconds  *prometheus.HistogramVec // by route
	accepted prometheus.Counter
	replayed prometheus.Counter
	refused  *prometheus.CounterVec // by reason
	waits    *prometheus.CounterVec // by result
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "carillon_http_requests_total",
			Help: "HTTP requests answered, by route, method and status.",
		}, []string{"route", "method", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "carillon_http_request_seconds",
			Help:    "How long requests took to answer, by route. Streams are left out.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"route"}),
		accepted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "carillon_events_accepted_total",
			Help: "Events that were stored and acknowledged.",
		}),
		replayed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "carillon_events_replayed_total",
			Help: "Events that were recognised as posted before, and stored nothing.",
		}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "carillon_publish_refused_total",
			Help: "Requests to publish that were refused, by the kind of the problem.",
		}, []string{"reason"}),
		waits: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "carillon_sync_waits_total",
			Help: "Posters that waited for webhooks to answer, by how it ended.",
		}, []string{"result"}),
	}
	reg.MustRegister(m.requests, m.seconds, m.accepted, m.replayed, m.refused, m.waits)
	return m
}

// unmatched is the route of a request for which there is none. Its path is the client's own text and would make as many
// series as clients have ideas.
const unmatched = "none"

// observe counts and times requests, and logs them at level debug. A query is never logged: it can hold a token.
func (a *API) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun := time.Now()
		defer func() {
			status := requestOf(r).written.status
			if status == 0 {
				status = http.StatusOK
			}
			route := chi.RouteContext(r.Context()).RoutePattern()
			if route == "" || status == http.StatusNotFound && strings.HasSuffix(route, "*") {
				route = unmatched
			}
			took := time.Since(begun)
			a.metrics.requests.WithLabelValues(route, methodLabel(r.Method), strconv.Itoa(status)).Inc()
			if !isStream(route) {
				a.metrics.seconds.WithLabelValues(route).Observe(took.Seconds())
			}
			if a.log.Enabled(r.Context(), slog.LevelDebug) {
				a.log.Debug("request", "id", requestID(r), "method", r.Method, "path", r.URL.Path, "status", status,
					"duration", took, "remote", remoteText(r))
			}
		}()
		next.ServeHTTP(w, r)
	})
}

func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}

// isStream reports whether a path or route is that of a stream, or of what is sent like one.
func isStream(path string) bool {
	return path == "/v1/stream" || path == doctorPath || path == statsStreamPath || strings.HasPrefix(path, "/v1/topics/") && strings.HasSuffix(path, "/stream")
}
