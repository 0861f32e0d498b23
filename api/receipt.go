package api

import (
	"net/http"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

const eventPath = "/v1/events/"

// receiptDocument is what a poster is told of an event.
type receiptDocument struct {
	ID       event.ID     `json:"id"`
	Topic    event.Topic  `json:"topic"`
	Cursor   event.Cursor `json:"cursor"`
	Time     stamp        `json:"time"`
	Webhooks int          `json:"webhooks"` // enabled ones that matched
}

// batchReceipt is a receipt among others, which may each be of an event that was posted before.
type batchReceipt struct {
	receiptDocument
	Replayed bool `json:"replayed"`
}

func showReceipt(r store.Receipt) receiptDocument {
	return receiptDocument{ID: r.ID, Topic: r.Topic, Cursor: r.Cursor, Time: stamp(r.Time), Webhooks: r.Webhooks}
}

// writeReceipt answers a poster whose event is stored.
func writeReceipt(w http.ResponseWriter, r store.Receipt) {
	w.Header().Set("Location", eventPath+r.ID.String())
	if r.Replayed {
		w.Header().Set("Idempotent-Replayed", "true")
	}
	writeJSON(w, http.StatusAccepted, showReceipt(r))
}

// writeReceipts answers the poster of a batch.
func writeReceipts(w http.ResponseWriter, receipts []store.Receipt) {
	all := len(receipts) > 0
	doc := make([]batchReceipt, len(receipts))
	for i, r := range receipts {
		doc[i] = batchReceipt{showReceipt(r), r.Replayed}
		all = all && r.Replayed
	}
	if all {
		w.Header().Set("Idempotent-Replayed", "true")
	}
	writeJSON(w, http.StatusAccepted, doc)
}
