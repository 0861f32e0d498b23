package api

import (
	"math"
	"net/http"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/stats"
)

// pointDocument is what happened in an interval, and how things stood at its end.
type pointDocument struct {
	Time       stamp            `json:"time"`
	Events     uint32           `json:"events"`
	Deliveries outcomesDocument `json:"deliveries"`
	Latency    *latencyDocument `json:"latency_ms"` // null where no first attempt succeeded
	Backlog    int64            `json:"backlog"`
	Streams    uint32           `json:"streams"`
}

type outcomesDocument struct {
	Delivered uint32 `json:"delivered"`
	Retrying  uint32 `json:"retrying"`
	Failed    uint32 `json:"failed"`
	Canceled  uint32 `json:"canceled"`
}

type latencyDocument struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

// historyDocument is the points of the last hour, oldest first.
type historyDocument struct {
	IntervalMS int64           `json:"interval_ms"`
	Points     []pointDocument `json:"points"`
}

// statsDocument is all of it at once.
type statsDocument struct {
	historyDocument
	Now       pointDocument     `json:"now"` // of the interval that is under way
	Attention []concernDocument `json:"attention"`
}

func showPoint(p stats.Point) pointDocument {
	doc := pointDocument{
		Time: stamp(p.Time()), Events: p.Events, Backlog: p.Backlog, Streams: p.Streams,
		Deliveries: outcomesDocument{p.Delivered, p.Retrying, p.Failed, p.Canceled},
	}
	if p.Measured() {
		doc.Latency = &latencyDocument{hundredths(p.P50), hundredths(p.P99)}
	}
	return doc
}

func hundredths(ms float32) float64 { return math.Round(float64(ms)*100) / 100 }

func showHistory(points []stats.Point) historyDocument {
	doc := historyDocument{IntervalMS: stats.Interval.Milliseconds(), Points: make([]pointDocument, len(points))}
	for i, p := range points {
		doc.Points[i] = showPoint(p)
	}
	return doc
}

// ofWholeTenant refuses who reaches only a part of a tenant: these numbers are of all of it.
func ofWholeTenant(handle func(http.ResponseWriter, *http.Request) *problem) func(http.ResponseWriter, *http.Request) *problem {
	return notByToken(func(w http.ResponseWriter, r *http.Request) *problem {
		if !reachesTenant(r) {
			return &reachesPart
		}
		return handle(w, r)
	})
}

// reachesTenant reports whether the request's key reaches every topic but the gateway's own.
func reachesTenant(r *http.Request) bool { return manages(r, []event.Pattern{"**"}) }

var reachesPart = problem{kind: kindForbidden, detail: "The key reaches some topics only; these numbers are of the whole tenant."}

// showStats answers with the last hour, the present and what needs attention.
func (a *API) showStats(w http.ResponseWriter, r *http.Request) *problem {
	if p := noQuery(r); p != nil {
		return p
	}
	concerns, p := a.attention(r)
	if p != nil {
		return p
	}
	points, now := a.cfg.Stats.Look(tenantOf(r))
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, http.StatusOK, statsDocument{showHistory(points), showPoint(now), concerns})
	return nil
}

const (
	// statsStreamAge is how long one answer goes on; who reads it comes back by itself.
	statsStreamAge = 24 * time.Hour
	// statsFullRetry is the least time after which who found no place should come back; the most is twice that.
	statsFullRetry = 10 * time.Second
	// statsRetry is the same after any other end.
	statsRetry = time.Second
)
