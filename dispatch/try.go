package dispatch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/filter"
)

// Trial is what would become of an event at a webhook.
type Trial struct {
	Matches bool
	// Why is the reason for which nothing would be sent: topic, filter, filter-error or transform-error; empty where
	// something would be.
	Why     string
	Detail  string // what failed, for whoever wrote it
	Request *Preview
}

// Try tells what would become of an event at a webhook, and sends nothing.
func (d *Dispatcher) Try(ctx context.Context, w *event.Webhook, ev *event.Event) (Trial, error) {
	if !event.MatchAny(w.Topics, ev.Topic) {
		return Trial{Why: "topic", Detail: "no pattern of the webhook matches the topic"}, nil
	}
	if w.Filter != "" {
		wanted, err := d.matcher.evaluate(w.Filter, filter.NewInput(ev, time.Now()))
		if err != nil {
			return Trial{Why: string(event.ReasonFilterError), Detail: err.Error()}, nil
		}
		if !wanted {
			return Trial{Why: "filter", Detail: "the filter is false for the event"}, nil
		}
	}
	preview, err := d.previewer.Preview(ctx, w, ev)
	if failed, ok := errors.AsType[*TransformError](err); ok {
		return Trial{Matches: true, Why: string(event.ReasonTransformError), Detail: failed.Error()}, nil
	}
	if err != nil {
		return Trial{}, fmt.Errorf("making a request to look at: %w", err)
	}
	return Trial{Matches: true, Request: &preview}, nil
}

// Handshake asks the owner of a webhook's URL for consent; see [Sender.Handshake].
func (d *Dispatcher) Handshake(ctx context.Context, w *event.Webhook) error {
	return d.previewer.Handshake(ctx, w)
}
