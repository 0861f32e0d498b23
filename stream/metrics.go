package stream

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	open     prometheus.Gauge
	events   prometheus.Counter
	logReads prometheus.Counter
	gaps     prometheus.Counter
}

func newMetrics(r prometheus.Registerer) metrics {
	auto := promauto.With(r)
	return metrics{
		open: auto.NewGauge(prometheus.GaugeOpts{
			Name: "carillon_streams_open",
			Help: "Streams that are open.",
		}),
		events: auto.NewCounter(prometheus.CounterOpts{
			Name: "carillon_stream_events_total",
			Help: "Events written to streams.",
		}),
		logReads: auto.NewCounter(prometheus.CounterOpts{
			Name: "carillon_stream_log_reads_total",
			Help: "Pages of the log read for streams that resumed far back or could not keep up.",
		}),
		gaps: auto.NewCounter(prometheus.CounterOpts{
			Name: "carillon_stream_gaps_total",
			Help: "Times that a stream was told that events are missing.",
		}),
	}
}
