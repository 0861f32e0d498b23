package dispatch

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/carillon/carillon/event"
)

// metrics are the counters of deliveries. No label names a webhook or a topic: those grow without bound.
type metrics struct {
	attempts map[event.Outcome]prometheus.Counter
	ended    map[event.State]prometheus.Counter
	retries  prometheus.Counter
	spilled  prometheus.Counter
	expired  prometheus.Counter
	trimmed  prometheus.Counter
	seconds  prometheus.Histogram
	inFlight prometheus.Gauge
	floorLag prometheus.Gauge
	disabled prometheus.Counter

	down         prometheus.Gauge
	filterErrors prometheus.Counter
	replayed     prometheus.Counter
	logged       prometheus.Counter
}

// newMetrics registers the counters, unless r is nil.
func newMetrics(r prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	attempts := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "carillon_attempts_total", Help: "Requests made to webhooks, by what came of them.",
	}, []string{"outcome"})
	ended := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "carillon_deliveries_ended_total", Help: "Deliveries settled for good, by state. Those that disabling or deleting a webhook canceled in the store are not among them.",
	}, []string{"state"})
	m := &metrics{
		attempts: make(map[event.Outcome]prometheus.Counter),
		ended:    make(map[event.State]prometheus.Counter),
		retries:  counter("carillon_delivery_retries_total", "Failed attempts after which another one was scheduled."),
		spilled:  counter("carillon_deliveries_spilled_total", "Deliveries that had to wait and were given a row for it."),
		expired:  counter("carillon_deliveries_expired_total", "Deliveries still owed when retention removed their event."),
		trimmed:  counter("carillon_events_trimmed_total", "Events that retention removed."),
		disabled: counter("carillon_webhooks_disabled_total", "Webhooks disabled because of what they answered, or did not."),

		down:         gauge("carillon_webhooks_down", "Webhooks that do not answer and are only probed."),
		filterErrors: counter("carillon_filter_errors_total", "Deliveries canceled because a webhook's filter failed on the event."),
		replayed:     counter("carillon_deliveries_replayed_total", "Deliveries that a replay made pending again."),
		logged:       counter("carillon_deliveries_trimmed_total", "Ended deliveries that left the delivery log before their events."),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "carillon_attempt_seconds", Help: "How long requests to webhooks took, body included.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15, 30, 60},
		}),
		inFlight: gauge("carillon_attempts_in_flight", "Requests to webhooks under way."),
		floorLag: gauge("carillon_delivery_floor_lag_events", "Events above the floor: what a restart would read again."),
	}
	for _, o := range event.Outcomes() {
		m.attempts[o] = attempts.WithLabelValues(o.String())
	}
	for _, s := range event.States()[1:] {
		m.ended[s] = ended.WithLabelValues(s.String())
	}
	if r != nil {
		r.MustRegister(attempts, ended, m.retries, m.spilled, m.expired, m.trimmed, m.disabled, m.seconds, m.inFlight, m.floorLag,
			m.down, m.filterErrors, m.replayed, m.logged)
	}
	return m
}
