package api

import (
	"net/http"
	"time"

	"github.com/carillon/carillon/dispatch"
	"github.com/carillon/carillon/event"
)

// healthWait is how long the answer of a dispatcher is waited for that is not running, or very busy.
const healthWait = 10 * time.Second

// healthDocument is how a webhook is doing. What is not known, or not so, is null.
type healthDocument struct {
	Webhook event.ID              `json:"webhook"`
	State   dispatch.WebhookState `json:"state"`
	Why     *string               `json:"why"`
	Since   stamp                 `json:"since"`

	Window      int   `json:"window"`
	MaxInFlight int   `json:"max_in_flight"`
	InFlight    int   `json:"in_flight"`
	GatedUntil  stamp `json:"gated_until"`
	NextProbe   stamp `json:"next_probe"`

	Failures     int   `json:"failures"`
	FailingSince stamp `json:"failing_since"`

	Backlog           int64 `json:"backlog"`
	OldestUndelivered stamp `json:"oldest_undelivered"`

	MeasuredSince stamp    `json:"measured_since"`
	Attempts      int64    `json:"attempts"`
	Successes     int64    `json:"successes"`
	SuccessRate   *float64 `json:"success_rate"`
	P50MS         *float64 `json:"p50_ms"`
	P99MS         *float64 `json:"p99_ms"`

	FilterErrors      int64   `json:"filter_errors"`
	LastFilterError   *string `json:"last_filter_error"`
	LastFilterErrorAt stamp   `json:"last_filter_error_at"`

	TransformErrors      int64   `json:"transform_errors"`
	LastTransformError   *string `json:"last_transform_error"`
	LastTransformErrorAt stamp   `json:"last_transform_error_at"`
}

func showHealth(webhook event.ID, h dispatch.Health) healthDocument {
	doc := healthDocument{
		Webhook: webhook, State: h.State, Why: orNull(h.Why), Since: stamp(h.Since),
		Window: h.Window, MaxInFlight: h.MaxInFlight, InFlight: h.InFlight,
		GatedUntil: stamp(h.GatedUntil), NextProbe: stamp(h.NextProbe),
		Failures: h.Failures, FailingSince: stamp(h.FailingSince),
		Backlog: h.Backlog, OldestUndelivered: stamp(h.OldestUndelivered),
		MeasuredSince: stamp(h.MeasuredSince), Attempts: h.Attempts, Successes: h.Successes,
		FilterErrors: h.FilterErrors, LastFilterError: orNull(h.LastFilterError), LastFilterErrorAt: stamp(h.LastFilterErrorAt),
		TransformErrors: h.TransformErrors, LastTransformError: orNull(h.LastTransformError),
		LastTransformErrorAt: stamp(h.LastTransformErrorAt),
	}
	if h.Attempts > 0 {
		rate := float64(h.Successes) / float64(h.Attempts)
		doc.SuccessRate, doc.P50MS, doc.P99MS = &rate, milliseconds(h.P50), milliseconds(h.P99)
	}
	return doc
}

// milliseconds are to a tenth: many answers take less than one.
func milliseconds(d time.Duration) *float64 {
	ms := float64(d.Round(100*time.Microsecond)) / float64(time.Millisecond)
	return &ms
}

func (a *API) webhookHealth(w http.ResponseWriter, r *http.Request) *problem {
	hook, p := a.webhook(r)
	if p != nil {
		return p
	}
	ctx, end := a.waits.begin(r.Context(), healthWait)
	defer end()
	health, err := a.dispatch.Health(ctx, hook)
	if err != nil && ctx.Err() != nil {
		return &problem{kind: kindUnavailable, retryAfter: 1, detail: "The gateway's deliveries are starting, stopping or very busy."}
	}
	if err != nil {
		return a.readProblem(r, "asking how a webhook is doing", err)
	}
	writeJSON(w, http.StatusOK, showHealth(hook.ID, health))
	return nil
}
