package storetest

import (
	"errors"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

var webhookTests = []conformance{
	{"CreateAndRead", testWebhookCreate},
	{"AllSettings", testWebhookSettings},
	{"DeletedSecrets", testWebhookDeletedSecrets},
	{"CompareAndSet", testWebhookCompareAndSet},
	{"List", testWebhookList},
	{"Watch", testWebhookWatch},
	{"WatchInOrder", testWebhookWatchInOrder},
	{"Tenants", testWebhookTenants},
}

func sameWebhook(a, b *event.Webhook) bool {
	return a.ID == b.ID && a.Tenant == b.Tenant && a.Version == b.Version && a.URL == b.URL &&
		slices.Equal(a.Topics, b.Topics) && a.Secret == b.Secret && slices.Equal(a.Retry, b.Retry) &&
		a.Timeout == b.Timeout && a.MaxInFlight == b.MaxInFlight && a.Description == b.Description &&
		maps.Equal(a.Metadata, b.Metadata) && a.Filter == b.Filter && a.Transform == b.Transform && a.Format == b.Format &&
		maps.Equal(a.Headers, b.Headers) && sameAuth(a.Auth, b.Auth) && a.Signing == b.Signing && a.RateLimit == b.RateLimit &&
		a.Order == b.Order && a.Handshake == b.Handshake && slices.EqualFunc(a.OldSecrets, b.OldSecrets, sameOldSecret) &&
		a.Enabled == b.Enabled && a.DisabledReason == b.DisabledReason &&
		a.CreatedAt.Equal(b.CreatedAt) && a.UpdatedAt.Equal(b.UpdatedAt) &&
		a.CanceledThrough == b.CanceledThrough && a.CanceledReason == b.CanceledReason
}

func sameAuth(a, b event.Auth) bool {
	same := slices.Equal(a.Scopes, b.Scopes) && maps.Equal(a.Params, b.Params)
	a.Scopes, b.Scopes, a.Params, b.Params = nil, nil, nil, nil
	return same && reflect.DeepEqual(a, b)
}

func sameOldSecret(a, b event.OldSecret) bool { return a.Secret == b.Secret && a.Until.Equal(b.Until) }

func (h *harness) getWebhook(id event.ID) *event.Webhook {
	h.Helper()
	w, err := h.Webhook(h.ctx(), tenant, id)
	h.check(err)
	return w
}

func testWebhookCreate(h *harness) {
	w := h.webhook()
	if w.Version == 0 || !w.CreatedAt.Equal(h.clock.Now()) || !w.UpdatedAt.Equal(w.CreatedAt) {
		h.Errorf("created as %+v", w)
	}
	for range 2 {
		if got := h.getWebhook(w.ID); !sameWebhook(got, w) {
			h.Errorf("got %+v, want %+v", got, w)
		}
		h.reopen()
	}
	again := newWebhook(tenant)
	again.ID = w.ID
	if err := h.CreateWebhook(h.ctx(), again); err == nil {
		h.Error("an id was taken twice")
	}
	if _, err := h.Webhook(h.ctx(), tenant, event.NewID()); !errors.Is(err, store.ErrNotFound) {
		h.Errorf("an unknown webhook: %v", err)
	}
	// What the caller does with its copy afterwards is its own affair.
	w.Topics[0], w.Metadata["team"] = "changed", "changed"
	if got := h.getWebhook(w.ID); got.Topics[0] == "changed" || got.Metadata["team"] == "changed" {
		h.Error("the engine shares the caller's webhook")
	}
}

// fullWebhook is a webhook of which everything is set.
func fullWebhook(until time.Time) *event.Webhook {
	w := newWebhook(tenant)
	w.Filter, w.Transform = `data.amount > 10`, `.data`
	w.Format, w.Signing, w.Order = event.FormatStandard, event.SigningEd25519, event.OrderKey
	w.Headers = map[string]event.Secret{"X-Shop": "7"}
	w.Auth = event.Auth{
		Type: event.AuthOAuth2, Username: "user", Password: "password-1", Token: "token-1", TokenURL: "https://example.com/token",
		ClientID: "client", ClientSecret: "client-secret-1", Scopes: []string{"a", "b"}, Params: map[string]string{"audience": "x"},
		Certificate: "CERT", PrivateKey: "private-key-1", CA: "CA",
	}
	w.RateLimit = event.RateLimit{PerSecond: 2.5, Burst: 20}
	w.Handshake = true
	w.OldSecrets = []event.OldSecret{{Secret: "whsec_old1", Until: until}, {Secret: "whsec_old2", Until: until.Add(time.Hour)}}
	return w
}

func testWebhookSettings(h *harness) {
	w := fullWebhook(h.clock.Now().Add(time.Hour))
	h.check(h.CreateWebhook(h.ctx(), w))
	for range 2 {
		if got := h.getWebhook(w.ID); !sameWebhook(got, w) {
			h.Errorf("got %+v, want %+v", got, w)
		}
		h.reopen()
	}
	// Nobody else's copy is the engine's.
	for _, mine := range []*event.Webhook{w, h.getWebhook(w.ID)} {
		mine.Headers["X-Shop"], mine.Auth.Scopes[0], mine.Auth.Params["audience"] = "changed", "changed", "changed"
		mine.OldSecrets[0].Secret, mine.Retry[0] = "changed", 1
		got := h.getWebhook(w.ID)
		if got.Headers["X-Shop"] != "7" || got.Auth.Scopes[0] != "a" || got.Auth.Params["audience"] != "x" ||
			got.OldSecrets[0].Secret != "whsec_old1" || got.Retry[0] == 1 {
			h.Errorf("the engine shares a webhook: %+v", got)
		}
	}
	plain := newWebhook(tenant)
	plain.ID, plain.Version = w.ID, w.Version
	h.check(h.UpdateWebhook(h.ctx(), plain))
	for range 2 {
		if got := h.getWebhook(w.ID); !sameWebhook(got, plain) {
			h.Errorf("without settings: got %+v, want %+v", got, plain)
		}
		h.reopen()
	}
}

func testWebhookDeletedSecrets(h *harness) {
	w := fullWebhook(h.clock.Now().Add(time.Hour))
	h.check(h.CreateWebhook(h.ctx(), w))
	var seen []store.WebhookChange
	stop, err := h.WatchWebhooks(func(changes []store.WebhookChange) { seen = changes })
	h.check(err)
	defer stop()
	h.check(h.DeleteWebhook(h.ctx(), tenant, w.ID))
	if len(seen) != 1 || !seen[0].Deleted {
		h.Fatalf("a deletion: %+v", seen)
	}
	if got := seen[0].Webhook; got.Secret != "" || len(got.OldSecrets) != 0 || len(got.Headers) != 0 || !sameAuth(got.Auth, event.Auth{}) {
		h.Errorf("deleted, and still with secrets: %q", []string{got.Secret.Reveal(), got.Auth.ClientSecret.Reveal()})
	}
}

func testWebhookCompareAndSet(h *harness) {
	w := h.webhook()
	stale := h.getWebhook(w.ID)
	h.clock.Add(time.Minute)
	w.URL, w.Secret, w.Metadata = "https://example.org/", "whsec_other", nil
	version := w.Version
	h.check(h.UpdateWebhook(h.ctx(), w))
	if w.Version <= version || !w.UpdatedAt.Equal(h.clock.Now()) || w.CreatedAt.Equal(w.UpdatedAt) {
		h.Errorf("updated as %+v", w)
	}
	if got := h.getWebhook(w.ID); !sameWebhook(got, w) {
		h.Errorf("got %+v, want %+v", got, w)
	}
	if err := h.UpdateWebhook(h.ctx(), stale); !errors.Is(err, store.ErrConflict) {
		h.Errorf("an update of a stale version: %v", err)
	}

	// Of many who change the same version one wins.
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := 0
	same := make([]*event.Webhook, 8)
	for i := range same {
		same[i] = h.getWebhook(w.ID)
	}
	for _, mine := range same {
		wg.Go(func() {
			err := h.UpdateWebhook(h.ctx(), mine)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won++
			} else if !errors.Is(err, store.ErrConflict) {
				h.Error(err)
			}
		})
	}
	wg.Wait()
	if won != 1 {
		h.Errorf("%d of the same updates won", won)
	}

	unknown := newWebhook(tenant)
	if err := h.UpdateWebhook(h.ctx(), unknown); !errors.Is(err, store.ErrNotFound) {
		h.Errorf("an update of an unknown webhook: %v", err)
	}
	h.check(h.DeleteWebhook(h.ctx(), tenant, w.ID))
	for range 2 {
		if _, err := h.Webhook(h.ctx(), tenant, w.ID); !errors.Is(err, store.ErrNotFound) {
			h.Errorf("a deleted webhook: %v", err)
		}
		if err := h.UpdateWebhook(h.ctx(), w); !errors.Is(err, store.ErrNotFound) {
			h.Errorf("an update of a deleted webhook: %v", err)
		}
		if err := h.DeleteWebhook(h.ctx(), tenant, w.ID); !errors.Is(err, store.ErrNotFound) {
			h.Errorf("a second deletion: %v", err)
		}
		h.reopen()
	}
}

func testWebhookList(h *harness) {
	var want []event.ID
	for range 7 {
		want = append([]event.ID{h.webhook().ID}, want...)
		h.clock.Add(time.Second)
	}
	gone := h.webhook()
	h.check(h.DeleteWebhook(h.ctx(), tenant, gone.ID))
	h.checkPages(want, func(page store.Page) (ids []event.ID, next string, err error) {
		list, err := h.ListWebhooks(h.ctx(), tenant, page)
		for _, w := range list.Data {
			ids = append(ids, w.ID)
		}
		return ids, list.Next, err
	})
}

func testWebhookWatch(h *harness) {
	first, second := h.webhook(), h.webhook()
	var seen [][]store.WebhookChange
	stop, err := h.WatchWebhooks(func(changes []store.WebhookChange) { seen = append(seen, changes) })
	h.check(err)
	if len(seen) != 1 || len(seen[0]) != 2 || seen[0][0].Deleted || seen[0][1].Deleted {
		h.Fatalf("at first it gave %+v", seen)
	}
	latest := func(what string, w *event.Webhook, deleted bool) {
		h.Helper()
		if len(seen) == 0 || len(seen[len(seen)-1]) != 1 {
			h.Fatalf("%s: not told of before it returned", what)
		}
		change := seen[len(seen)-1][0]
		if change.Deleted != deleted || change.Webhook.ID != w.ID || !deleted && !sameWebhook(change.Webhook, w) {
			h.Errorf("%s: got %+v of %+v", what, change, change.Webhook)
		}
		seen = nil
	}
	third := h.webhook()
	latest("a creation", third, false)
	first.Description = "changed"
	h.check(h.UpdateWebhook(h.ctx(), first))
	latest("an update", first, false)
	h.check(h.DeleteWebhook(h.ctx(), tenant, second.ID))
	latest("a deletion", second, true)

	r := h.post("a", third.ID)
	failed := store.Settlement{ID: deliveryID(r, third), Tenant: tenant, Attempt: h.attempt(1, 410), State: event.Failed,
		Reason: event.ReasonGone, Step: 1, Disable: event.DisabledGone}
	h.settle(failed)
	third = h.getWebhook(third.ID)
	if third.Enabled || third.DisabledReason != event.DisabledGone {
		h.Errorf("disabled by a settlement: %+v", third)
	}
	latest("a settlement that disables", third, false)
	h.settle(failed)
	if len(seen) != 0 {
		h.Errorf("the same settlement changed the webhook again: %+v", seen)
	}

	stop()
	h.webhook()
	if len(seen) != 0 {
		h.Errorf("told of %+v after the end", seen)
	}
	var again []store.WebhookChange
	stop, err = h.WatchWebhooks(func(changes []store.WebhookChange) { again = changes })
	h.check(err)
	defer stop()
	if len(again) != 3 {
		h.Errorf("a second watcher began with %d webhooks of 3", len(again))
	}
}

// testWebhookWatchInOrder has a watcher begin in the midst of changes: it misses none and hears them in order.
func testWebhookWatchInOrder(h *harness) {
	w := h.webhook()
	const changes = 50
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range changes {
			if err := h.UpdateWebhook(h.ctx(), w); err != nil {
				h.Error(err)
				return
			}
		}
	}()
	type watcher struct {
		versions []int64
		stop     func()
	}
	watchers := make([]*watcher, 20)
	for i := range watchers {
		watched := &watcher{}
		stop, err := h.WatchWebhooks(func(changes []store.WebhookChange) {
			for _, c := range changes {
				watched.versions = append(watched.versions, c.Webhook.Version)
			}
		})
		h.check(err)
		watched.stop = stop
		watchers[i] = watched
	}
	<-done
	for _, watched := range watchers {
		watched.stop()
		for i := 1; i < len(watched.versions); i++ {
			if watched.versions[i] != watched.versions[i-1]+1 {
				h.Fatalf("versions came as %v", watched.versions)
			}
		}
		if last := watched.versions[len(watched.versions)-1]; last != w.Version {
			h.Errorf("the last version heard of is %d, it is %d", last, w.Version)
		}
	}
}

func testWebhookTenants(h *harness) {
	theirs := newWebhook(another)
	h.check(h.CreateWebhook(h.ctx(), theirs))
	if _, err := h.Webhook(h.ctx(), tenant, theirs.ID); !errors.Is(err, store.ErrNotFound) {
		h.Errorf("Webhook: %v", err)
	}
	if err := h.DeleteWebhook(h.ctx(), tenant, theirs.ID); !errors.Is(err, store.ErrNotFound) {
		h.Errorf("DeleteWebhook: %v", err)
	}
	stolen := *theirs
	stolen.Tenant = tenant
	if err := h.UpdateWebhook(h.ctx(), &stolen); !errors.Is(err, store.ErrNotFound) {
		h.Errorf("UpdateWebhook: %v", err)
	}
	list, err := h.ListWebhooks(h.ctx(), tenant, store.Page{Limit: 10})
	h.check(err)
	if len(list.Data) != 0 {
		h.Errorf("ListWebhooks gives %d", len(list.Data))
	}
	if got, err := h.Webhook(h.ctx(), another, theirs.ID); err != nil || !sameWebhook(got, theirs) {
		h.Errorf("the other tenant gets %+v, %v", got, err)
	}
}
