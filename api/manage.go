package api

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// A key that is bound to topics manages the webhooks all of whose patterns it covers, and what was sent to them of the
// topics that it reaches. Of everything else it learns nothing, not even that it is there.

// manages reports whether the request's key may know of what has these patterns.
func manages(r *http.Request, patterns []event.Pattern) bool {
	who := principalOf(r)
	return !slices.ContainsFunc(patterns, func(p event.Pattern) bool { return !who.ReachesAll(p) })
}

// managedWebhook returns a webhook that the request's key manages; [store.ErrNotFound] for any other.
func (a *API) managedWebhook(r *http.Request, id event.ID) (*event.Webhook, error) {
	hook, err := a.store.Webhook(r.Context(), tenantOf(r), id)
	if err == nil && !manages(r, hook.Topics) {
		err = store.ErrNotFound
	}
	return hook, err
}

// managesAt reports whether the request's key may know of what a webhook was sent, or has done with it. A key that is
// not bound may of deleted webhooks too.
func (a *API) managesAt(r *http.Request, webhook event.ID) bool {
	if len(principalOf(r).Patterns) == 0 {
		return true
	}
	_, err := a.managedWebhook(r, webhook)
	return err == nil
}

// managesDelivery is managesAt for one delivery: its event can be from before the webhook's topics were changed.
func (a *API) managesDelivery(r *http.Request, d event.Delivery) bool {
	return principalOf(r).Reaches(d.Topic) && a.managesAt(r, d.ID.Webhook)
}

// topicField names a pattern's place in a body.
func topicField(i int) string { return fmt.Sprintf("topics[%d]", i) }
