package sqlite

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics is nil where nobody asked for any.
type metrics struct {
	registerer prometheus.Registerer
	commits    prometheus.Counter
	seconds    prometheus.Histogram
	operations prometheus.Histogram
	all        []prometheus.Collector
}

func newMetrics(e *Engine, r prometheus.Registerer) (*metrics, error) {
	if r == nil {
		return nil, nil
	}
	m := &metrics{
		registerer: r,
		commits: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "carillon_store_commits_total",
			Help: "Transactions made durable.",
		}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "carillon_store_commit_seconds",
			Help:    "How long a transaction took, fsync included.",
			Buckets: prometheus.ExponentialBuckets(0.00025, 2, 14),
		}),
		operations: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "carillon_store_batch_operations",
			Help:    "Writes that one transaction made durable.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 11),
		}),
	}
	m.all = []prometheus.Collector{
		m.commits, m.seconds, m.operations,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "carillon_store_wal_bytes",
			Help: "Size of the write-ahead log in use.",
		}, func() float64 { return float64(e.checkpoint.pages.Load() * walFrameBytes) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "carillon_store_used_bytes",
			Help: "Size of what is stored, as retention counted it last.",
		}, func() float64 { return float64(e.used.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "carillon_store_delivery_log_bytes",
			Help: "About how much of it deliveries and attempts take.",
		}, func() float64 { return float64(e.logBytes.Load()) }),
	}
	for i, c := range m.all {
		if err := r.Register(c); err != nil {
			for _, done := range m.all[:i] {
				r.Unregister(done)
			}
			return nil, err
		}
	}
	return m, nil
}

// unregister lets another engine take the names.
func (m *metrics) unregister() {
	if m == nil {
		return
	}
	for _, c := range m.all {
		m.registerer.Unregister(c)
	}
}

func (m *metrics) committed(operations int, took time.Duration) {
	if m == nil {
		return
	}
	m.commits.Inc()
	m.seconds.Observe(took.Seconds())
	m.operations.Observe(float64(operations))
}
