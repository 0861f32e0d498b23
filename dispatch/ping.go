package dispatch

import (
	"context"
	"fmt"
	"time"

	"github.com/carillon/carillon/event"
)

// PingTopic is the topic of the event that Ping sends. It is never in the log.
const PingTopic event.Topic = "_carillon.ping"

// Ping sends a webhook one signed request outside of the log, and returns what came back.
func (d *Dispatcher) Ping(ctx context.Context, w *event.Webhook) Answer {
	id := event.NewID()
	now := time.Now().UTC()
	ev := &event.Event{
		ID: id, Tenant: w.Tenant, Topic: PingTopic, Time: now, ContentType: "application/json",
		Payload: fmt.Appendf(nil, `{"type":"ping","webhook":%q,"time":%q}`, w.ID, now.Format(time.RFC3339)),
	}
	return d.sender.Send(ctx, Request{Webhook: w, Event: ev, Attempt: 1}).Answer
}
