package stream

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	open         prometheus.Gauge
	events       prometheus.Counter
	fallbacks    prometheus.Counter
	logReads     prometheus.Counter
	sharedReads  prometheus.Counter
	gaps         prometheus.Counter
	refused      prometheus.Counter
	filterErrors prometheus.Counter
	untold       prometheus.Counter
}

func newMetrics(r prometheus.Registerer, h *Hub) metrics {
	auto := promauto.With(r)
	counter := func(name, help string) prometheus.Counter {
		return auto.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	auto.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "carillon_streams_catching_up",
		Help: "Streams and polls that are fed from the log, or whose reader is slow.",
	}, func() float64 { return float64(h.pages.count()) })
	auto.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "carillon_stream_lag_events",
		Help: "By how many events of the log the stream that is furthest behind is behind.",
	}, func() float64 { return float64(h.worstLag()) })
	return metrics{
		open: auto.NewGauge(prometheus.GaugeOpts{
			Name: "carillon_streams_open",
			Help: "Streams that are open.",
		}),
		events: counter("carillon_stream_events_total", "Events written to streams."),
		fallbacks: counter("carillon_stream_fallbacks_total",
			"Times that a stream's reader did not take what came as fast as it came, and the stream went back to the log."),
		logReads: counter("carillon_stream_log_reads_total",
			"Pages of the log read for streams that resumed far back or could not keep up."),
		sharedReads: counter("carillon_stream_shared_pages_total",
			"Pages of the log that a stream got from what another one had read."),
		gaps:         counter("carillon_stream_gaps_total", "Times that a stream was told that events are missing."),
		refused:      counter("carillon_streams_refused_total", "Streams that were sent away because there were too many."),
		filterErrors: counter("carillon_stream_filter_errors_total", "Events on which a stream's filter failed: they were not sent."),
		untold: counter("carillon_stream_news_dropped_total",
			"Openings and closings of streams that were not told on _carillon.stream.* though somebody asked for them."),
	}
}
