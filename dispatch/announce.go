package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// The topics of what the gateway itself has to say.
const (
	TopicDisabled  event.Topic = "_carillon.webhook.disabled"
	TopicRecovered event.Topic = "_carillon.webhook.recovered"
	TopicFailed    event.Topic = "_carillon.delivery.failed"
)

// ownTopic reports whether a topic is the gateway's own. Deliveries of such events announce nothing: their failing would
// otherwise announce itself for ever.
func ownTopic(t event.Topic) bool { return strings.HasPrefix(string(t), "_") }

// Publish appends events of the gateway's own, with the webhooks that match them: all those of one tenant at once. Those of
// a tenant that was deleted meanwhile are nobody's to hear.
func (d *Dispatcher) Publish(ctx context.Context, events []*event.Event) error {
	var tenants []event.TenantID
	drafts := make(map[event.TenantID][]store.Draft, 1)
	for _, ev := range events {
		ev.Matches = d.Match(ev)
		if drafts[ev.Tenant] == nil {
			tenants = append(tenants, ev.Tenant)
		}
		drafts[ev.Tenant] = append(drafts[ev.Tenant], store.Draft{Event: ev})
	}
	for _, tenant := range tenants {
		if _, err := d.store.Append(ctx, drafts[tenant]); err != nil && !errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("append what the gateway has to say: %w", err)
		}
	}
	return nil
}

// Wanted reports whether a webhook of the tenant subscribes to a topic.
func (d *Dispatcher) Wanted(tenant event.TenantID, topic event.Topic) bool {
	return d.matcher.wanted(tenant, topic)
}

// announcement makes an event of the gateway's own, with its matches.
func (d *Dispatcher) announcement(tenant event.TenantID, topic event.Topic, data any) *event.Event {
	payload, err := json.Marshal(data)
	if err != nil {
		d.log.Error("an announcement cannot be written", "topic", topic, "error", err)
		return nil
	}
	ev := &event.Event{ID: event.NewID(), Tenant: tenant, Topic: topic, ContentType: "application/json", Payload: payload}
	ev.Matches = d.Match(ev)
	return ev
}

// disabledNews is the payload of an event on TopicDisabled.
type disabledNews struct {
	Webhook      event.ID             `json:"webhook"`
	Reason       event.DisabledReason `json:"reason"`
	Failures     int                  `json:"failures"` // in a row
	FailingSince time.Time            `json:"failing_since"`
	LastStatus   int                  `json:"last_status,omitempty"`
	LastError    event.Outcome        `json:"last_error"`
}

func (s *scheduler) announceDisabled(t *task, reason event.DisabledReason, a *event.Attempt) *event.Event {
	if ownTopic(t.topic) {
		return nil
	}
	return s.announcement(t.tenant, TopicDisabled, disabledNews{
		Webhook: t.id.Webhook, Reason: reason, Failures: t.lane.failures, FailingSince: t.lane.failingSince.UTC().Truncate(event.Precision),
		LastStatus: a.Status, LastError: a.Outcome,
	})
}

// recoveredNews is the payload of an event on TopicRecovered.
type recoveredNews struct {
	Webhook      event.ID  `json:"webhook"`
	Failures     int       `json:"failures"` // in a row, before
	FailingSince time.Time `json:"failing_since"`
}

func (s *scheduler) announceRecovered(t *task) *event.Event {
	if ownTopic(t.topic) {
		return nil
	}
	return s.announcement(t.tenant, TopicRecovered, recoveredNews{
		Webhook: t.id.Webhook, Failures: t.lane.failures, FailingSince: t.lane.failingSince.UTC().Truncate(event.Precision),
	})
}

// failedNews is the payload of an event on TopicFailed: of one delivery, or of all those of a webhook that a step of
// retention ended.
type failedNews struct {
	Webhook    event.ID     `json:"webhook"`
	Reason     event.Reason `json:"reason"`
	Deliveries int          `json:"deliveries"`

	Delivery   string        `json:"delivery,omitempty"`
	Event      string        `json:"event,omitempty"`
	Topic      event.Topic   `json:"topic,omitempty"`
	Attempts   int           `json:"attempts,omitempty"`
	LastStatus int           `json:"last_status,omitempty"`
	LastError  event.Outcome `json:"last_error,omitzero"`

	FirstEvent string `json:"first_event,omitempty"`
	LastEvent  string `json:"last_event,omitempty"`
}

// announceFailed tells of a delivery that was given up, after a last attempt if there was one.
func (s *scheduler) announceFailed(t *task, reason event.Reason, last *event.Attempt) *event.Event {
	if ownTopic(t.topic) {
		return nil
	}
	news := failedNews{
		Webhook: t.id.Webhook, Reason: reason, Deliveries: 1, Delivery: t.id.String(), Event: t.event.String(), Topic: t.topic,
		Attempts: t.attempts,
	}
	if last != nil {
		news.Attempts, news.LastStatus, news.LastError = last.Number, last.Status, last.Outcome
	}
	return s.announcement(t.tenant, TopicFailed, news)
}

// announceExpired tells of deliveries that retention ended. It is called within the store's transaction.
func (d *Dispatcher) announceExpired(expired []store.Expired) []*event.Event {
	events := make([]*event.Event, 0, len(expired))
	for _, x := range expired {
		ev := d.announcement(x.Tenant, TopicFailed, failedNews{
			Webhook: x.Webhook, Reason: event.ReasonExpired, Deliveries: x.Deliveries,
			FirstEvent: x.First.String(), LastEvent: x.Last.String(),
		})
		if ev != nil {
			events = append(events, ev)
		}
	}
	return events
}
