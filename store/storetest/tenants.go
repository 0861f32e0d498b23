package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

var tenantTests = []conformance{
	{"CreateAndRead", testTenantCreate},
	{"Update", testTenantUpdate},
	{"List", testTenantList},
	{"Watch", testTenantWatch},
	{"Unknown", testTenantUnknown},
	{"Delete", testTenantDelete},
	{"DeleteDefault", testTenantDeleteDefault},
	{"NumbersAreUsedOnce", testTenantNumbers},
	{"StoredBytes", testTenantStoredBytes},
	{"StoredBytesQuota", testTenantStoredBytesQuota},
	{"WebhooksQuota", testTenantWebhooksQuota},
	{"PostersDuringDelete", testTenantPostersDuringDelete},
}

// tenant creates a tenant.
func (h *harness) tenant(name string) *event.Tenant {
	h.Helper()
	t := &event.Tenant{Name: name}
	h.check(h.CreateTenant(h.ctx(), t))
	return t
}

func (h *harness) usage(id event.TenantID) store.TenantUsage {
	h.Helper()
	u, err := h.TenantUsage(h.ctx(), id)
	h.check(err)
	return u
}

func draftOf(tenant event.TenantID, topic event.Topic, webhooks ...event.ID) store.Draft {
	d := draft(topic, webhooks...)
	d.Event.Tenant = tenant
	return d
}

// purge carries retention out to its end.
func (h *harness) purge() (done store.Trimmed) {
	h.Helper()
	h.check(h.Settle(h.ctx(), store.Settlements{Floor: h.boundsNow().Head}))
	for more, steps := true, 0; more; steps++ {
		step, err := h.Trim(h.ctx(), store.Retention{})
		h.check(err)
		done.Events += step.Events
		done.Purged += step.Purged
		more = step.More
		if steps > 10_000 {
			h.Fatal("retention has no end")
		}
	}
	return done
}

func testTenantCreate(h *harness) {
	want := &event.Tenant{Name: "acme", Quotas: event.Quotas{EventsPerSecond: 5, StoredBytes: 1 << 40, Webhooks: 3, Streams: 2}}
	h.check(h.CreateTenant(h.ctx(), want))
	if want.ID <= another || want.Version != 1 || !want.CreatedAt.Equal(h.clock.Now()) || !want.UpdatedAt.Equal(h.clock.Now()) || want.Deleted() {
		h.Errorf("created as %+v", want)
	}
	if err := h.CreateTenant(h.ctx(), &event.Tenant{Name: "acme"}); !errors.Is(err, store.ErrConflict) {
		h.Errorf("the same name again: %v", err)
	}
	if err := h.CreateTenant(h.ctx(), &event.Tenant{Name: event.DefaultTenantName}); !errors.Is(err, store.ErrConflict) {
		h.Errorf("the default tenant's name again: %v", err)
	}
	for range 2 {
		got, err := h.Tenant(h.ctx(), "acme")
		h.check(err)
		if !sameTenant(got, want) {
			h.Errorf("got %+v, want %+v", got, want)
		}
		got.Quotas.Streams = 99
		first, err := h.Tenant(h.ctx(), event.DefaultTenantName)
		h.check(err)
		if first.ID != event.DefaultTenant || first.Quotas != (event.Quotas{}) {
			h.Errorf("the default tenant is %+v", first)
		}
		h.reopen()
	}
	if _, err := h.Tenant(h.ctx(), "nobody"); !errors.Is(err, store.ErrNotFound) {
		h.Errorf("an unknown tenant: %v", err)
	}
}

func sameTenant(a, b *event.Tenant) bool {
	return a.ID == b.ID && a.Name == b.Name && a.Version == b.Version && a.Quotas == b.Quotas && a.CreatedAt.Equal(b.CreatedAt) &&
		a.UpdatedAt.Equal(b.UpdatedAt) && a.DeletedAt.Equal(b.DeletedAt)
}

func testTenantUpdate(h *harness) {
	made := h.tenant("acme")
	stale := *made
	h.clock.Add(time.Minute)
	made.Quotas.Webhooks = 7
	h.check(h.UpdateTenant(h.ctx(), made))
	if made.Version != 2 || !made.UpdatedAt.Equal(h.clock.Now()) || made.Quotas != (event.Quotas{Webhooks: 7}) {
		h.Errorf("updated to %+v", made)
	}
	if err := h.UpdateTenant(h.ctx(), &stale); !errors.Is(err, store.ErrConflict) {
		h.Errorf("an old version: %v", err)
	}
	h.reopen()
	got, err := h.Tenant(h.ctx(), "acme")
	h.check(err)
	if !sameTenant(got, made) {
		h.Errorf("got %+v, want %+v", got, made)
	}
	if err := h.UpdateTenant(h.ctx(), &event.Tenant{ID: 999, Name: "x"}); !errors.Is(err, store.ErrNotFound) {
		h.Errorf("an unknown tenant: %v", err)
	}
}

func testTenantList(h *harness) {
	want := []string{"another", event.DefaultTenantName}
	for i := range 7 {
		want = append(want, h.tenant(fmt.Sprintf("t-%d", 6-i)).Name)
	}
	slices.Sort(want)
	var got []string
	for page := (store.Page{Limit: 3}); ; {
		list, err := h.ListTenants(h.ctx(), page)
		h.check(err)
		for _, t := range list.Data {
			got = append(got, t.Name)
		}
		if page.Token = list.Next; list.Next == "" {
			break
		}
	}
	if !slices.Equal(got, want) {
		h.Errorf("got %v, want %v", got, want)
	}
	for _, token := range []string{"?", "acme", "~", "~A", "~a b"} {
		if _, err := h.ListTenants(h.ctx(), store.Page{Limit: 3, Token: token}); !errors.Is(err, store.ErrPage) {
			h.Errorf("a foreign token, %s: %v", token, err)
		}
	}
}

func testTenantWatch(h *harness) {
	var heard []string
	stop, err := h.WatchTenants(func(tenants []*event.Tenant) {
		for _, t := range tenants {
			heard = append(heard, fmt.Sprint(t.ID, t.Name, t.Version, t.Deleted()))
		}
	})
	h.check(err)
	expect := func(what string, want ...string) {
		h.Helper()
		if !slices.Equal(heard, want) {
			h.Errorf("%s: heard %q, want %q", what, heard, want)
		}
		heard = nil
	}
	expect("at first", "1default1 false", "2another1 false")
	made := h.tenant("acme")
	expect("created", fmt.Sprint(made.ID, "acme1 false"))
	h.check(h.UpdateTenant(h.ctx(), made))
	expect("updated", fmt.Sprint(made.ID, "acme2 false"))
	if err := h.CreateTenant(h.ctx(), &event.Tenant{Name: "acme"}); !errors.Is(err, store.ErrConflict) {
		h.Error(err)
	}
	expect("refused")
	h.check(h.DeleteTenant(h.ctx(), made.ID))
	expect("deleted", fmt.Sprint(made.ID, "acme2 true"))
	stop()
	h.tenant("late")
	expect("after the end")
}

// testTenantUnknown asks for what a tenant has that never was.
func testTenantUnknown(h *harness) {
	const never = event.TenantID(77)
	if _, err := h.Append(h.ctx(), []store.Draft{draft("a"), draftOf(never, "a")}); !errors.Is(err, store.ErrNotFound) {
		h.Errorf("Append: %v", err)
	}
	if head := h.boundsNow().Head; head != 0 {
		h.Errorf("refused whole, and the head is %s", head)
	}
	if err := h.CreateWebhook(h.ctx(), newWebhook(never)); !errors.Is(err, store.ErrNotFound) {
		h.Errorf("CreateWebhook: %v", err)
	}
	if err := h.CreateKey(h.ctx(), newKey(never, time.Time{})); !errors.Is(err, store.ErrNotFound) {
		h.Errorf("CreateKey: %v", err)
	}
	if err := h.DeleteTenant(h.ctx(), never); !errors.Is(err, store.ErrNotFound) {
		h.Errorf("DeleteTenant: %v", err)
	}
	if u := h.usage(never); u != (store.TenantUsage{}) {
		h.Errorf("it has %+v", u)
	}
}

func testTenantDeleteDefault(h *harness) {
	if err := h.DeleteTenant(h.ctx(), event.DefaultTenant); !errors.Is(err, store.ErrState) {
		h.Errorf("the default tenant was deleted: %v", err)
	}
	h.post("a")
}

func testTenantNumbers(h *harness) {
	last := event.TenantID(another)
	for i := range 4 {
		t := h.tenant("again")
		if t.ID <= last {
			h.Errorf("the id %d comes after %d", t.ID, last)
		}
		last = t.ID
		h.check(h.DeleteTenant(h.ctx(), t.ID))
		if i%2 == 0 {
			h.purge()
		}
		h.reopen()
	}
}

// all is everything that a tenant can find.
func (h *harness) all(id event.TenantID) string {
	h.Helper()
	page := store.Page{Limit: 500}
	events, err := h.ListEvents(h.ctx(), id, store.EventFilter{}, page)
	h.check(err)
	topics, err := h.ListTopics(h.ctx(), id, page)
	h.check(err)
	deliveries, err := h.ListDeliveries(h.ctx(), id, store.DeliveryFilter{}, page)
	h.check(err)
	webhooks, err := h.ListWebhooks(h.ctx(), id, page)
	h.check(err)
	keys, err := h.ListKeys(h.ctx(), id, page)
	h.check(err)
	jobs, err := h.ListJobs(h.ctx(), id, page)
	h.check(err)
	read, err := h.Read(h.ctx(), id, store.ReadQuery{Patterns: []event.Pattern{"**", "_carillon.**"}, Limit: 500})
	h.check(err)
	return fmt.Sprint(len(events.Data), len(topics.Data), len(deliveries.Data), len(webhooks.Data), len(keys.Data), len(jobs.Data),
		len(read.Events), h.usage(id).Webhooks)
}

// furnished is what can be asked for of a tenant that has some of everything.
type furnished struct {
	event    event.ID
	delivery event.DeliveryID
	webhook  *event.Webhook
	key      *event.Key
	job      store.Job
	keyed    store.Draft
}

// furnish gives a tenant some of everything.
func (h *harness) furnish(id event.TenantID, events int) furnished {
	h.Helper()
	f := furnished{webhook: newWebhook(id), key: newKey(id, time.Time{})}
	h.check(h.CreateWebhook(h.ctx(), f.webhook))
	h.check(h.CreateKey(h.ctx(), f.key))
	var s store.Settlements
	for i := range events {
		d := draftOf(id, event.Topic(fmt.Sprintf("orders.n%d", i%7)), f.webhook.ID)
		d.Key = fmt.Sprintf("key %d", i)
		r := h.append(d)[0]
		f.event, f.delivery, f.keyed = r.ID, deliveryID(r, f.webhook), d
		if i%2 == 0 {
			s.Spilled = append(s.Spilled, store.Spill{ID: f.delivery, Tenant: id})
			continue
		}
		for n := 1; n <= 2; n++ {
			retry := h.retry(f.delivery, n, time.Minute)
			retry.Tenant = id
			s.Settled = append(s.Settled, retry)
		}
		failed := store.Settlement{ID: f.delivery, Tenant: id, Attempt: h.attempt(3, 500), State: event.Failed, Reason: event.ReasonExhausted}
		s.Settled = append(s.Settled, failed)
	}
	s.Health = []store.Health{{Webhook: f.webhook.ID, Failures: 3, Down: true}}
	h.check(h.Settle(h.ctx(), s))
	var err error
	f.job, err = h.CreateJob(h.ctx(), replayOf(f.webhook, event.Failed))
	h.check(err)
	return f
}

func testTenantDelete(h *harness) {
	const events = 1200 // more than a step removes
	mine, theirs := h.furnish(tenant, 20), h.furnish(another, events)
	unread := h.append(draftOf(another, "a"))[0].Cursor // no delivery is made before it was read from the log
	h.check(h.Settle(h.ctx(), store.Settlements{Floor: unread - 1}))
	before := h.all(tenant)
	kept := h.usage(tenant)
	var hooks []store.WebhookChange
	stop, err := h.WatchWebhooks(func(c []store.WebhookChange) { hooks = c })
	h.check(err)
	h.check(h.DeleteTenant(h.ctx(), another))
	stop()
	if len(hooks) != 1 || !hooks[0].Deleted || hooks[0].Webhook.ID != theirs.webhook.ID || hooks[0].Webhook.Secret != "" {
		h.Errorf("told of webhooks: %+v", hooks)
	}
	gone := func(when string) {
		h.Helper()
		if got := h.all(another); got != "0 0 0 0 0 0 0 0" {
			h.Errorf("%s it has %s", when, got)
		}
		if got := h.all(tenant); got != before {
			h.Errorf("%s the other tenant has %s, and had %s", when, got, before)
		}
		for what, err := range map[string]error{
			"Event":      second(h.Event(h.ctx(), another, theirs.event)),
			"Delivery":   third(h.Delivery(h.ctx(), another, theirs.delivery)),
			"Reopen":     second(h.Reopen(h.ctx(), another, theirs.delivery)),
			"Cancel":     second(h.Cancel(h.ctx(), another, theirs.delivery)),
			"Webhook":    second(h.Webhook(h.ctx(), another, theirs.webhook.ID)),
			"Key":        second(h.Key(h.ctx(), another, theirs.key.ID)),
			"Job":        second(h.Job(h.ctx(), another, theirs.job.ID)),
			"CancelJob":  second(h.CancelJob(h.ctx(), another, theirs.job.ID)),
			"CreateJob":  second(h.CreateJob(h.ctx(), replayOf(theirs.webhook))),
			"Tenant":     second(h.Tenant(h.ctx(), "another")),
			"Append":     second(h.Append(h.ctx(), []store.Draft{draftOf(another, "a")})),
			"CreateHook": h.CreateWebhook(h.ctx(), newWebhook(another)),
			"CreateKey":  h.CreateKey(h.ctx(), newKey(another, time.Time{})),
			"Delete":     h.DeleteTenant(h.ctx(), another),
		} {
			if !errors.Is(err, store.ErrNotFound) {
				h.Errorf("%s, %s: %v", when, what, err)
			}
		}
		if _, found, err := h.Replayed(h.ctx(), theirs.keyed); found || err != nil {
			h.Errorf("%s its idempotency keys are remembered: %v", when, err)
		}
		if b, err := h.Backlog(h.ctx(), theirs.webhook.ID, h.clock.Now().Add(time.Hour), 5); err != nil || len(b.Due) > 0 {
			h.Errorf("%s its backlog is %+v, %v", when, b, err)
		}
		dues, err := h.Dues(h.ctx())
		h.check(err)
		if _, due := dues[theirs.webhook.ID]; due || len(dues) != 1 {
			h.Errorf("%s due are %v", when, dues)
		}
		healths, err := h.Healths(h.ctx())
		h.check(err)
		if len(healths) != 1 || healths[0].Webhook != mine.webhook.ID {
			h.Errorf("%s healths are %+v", when, healths)
		}
		jobs, err := h.RunningJobs(h.ctx())
		h.check(err)
		if len(jobs) != 1 || jobs[0].ID != mine.job.ID {
			h.Errorf("%s jobs are %+v", when, jobs)
		}
		// What was under way comes in late: it is nobody's, and brings nothing back.
		late := store.Settlement{ID: theirs.delivery, Tenant: another, Attempt: h.attempt(9, 410), State: event.Failed,
			Disable: event.DisabledGone, Announce: draftOf(another, "_carillon.delivery.failed").Event,
			AnnounceDisabled: draftOf(another, "_carillon.webhook.disabled").Event}
		h.check(h.Settle(h.ctx(), store.Settlements{
			Settled: []store.Settlement{late}, Spilled: []store.Spill{{ID: theirs.delivery, Tenant: another}},
			Announced: []*event.Event{draftOf(another, "_carillon.webhook.recovered").Event},
			Health:    []store.Health{{Webhook: theirs.webhook.ID, Failures: 1}},
		}))
	}
	gone("at once")
	h.reopen()
	gone("after a restart")
	step, err := h.Trim(h.ctx(), store.Retention{})
	h.check(err)
	if step.Purged == 0 || step.Purged >= events || !step.More {
		h.Errorf("one step removed %+v", step)
	}
	h.reopen() // half way
	gone("half way")
	for more := true; more; more = step.More {
		n := step.Purged
		step, err = h.Trim(h.ctx(), store.Retention{})
		h.check(err)
		step.Purged += n
	}
	if got, err := follow(h.ctx(), h.Tail(unread-1), unread-1, unread); err != nil || len(got) != 1 {
		h.Errorf("what is above the floor has gone: %v", err)
	}
	rest := h.purge()
	if step.Purged != events || rest.Purged != 1 || rest.Events > 0 {
		h.Errorf("removed %+v, then %+v", step, rest)
	}
	gone("when all was removed")
	h.reopen()
	gone("after another restart")
	if got := h.usage(tenant); got != kept {
		h.Errorf("the other tenant uses %+v, and did %+v", got, kept)
	}

	// The name is free, and whoever has it next finds nothing of the first.
	next := h.tenant("another")
	if got := h.all(next.ID); next.ID == another || got != "0 0 0 0 0 0 0 0" || h.usage(next.ID) != (store.TenantUsage{}) {
		h.Errorf("the next of the name, %d, has %s", next.ID, got)
	}
	d := draftOf(next.ID, "orders.n1")
	d.Key = theirs.keyed.Key
	if r := h.append(d)[0]; r.Replayed {
		h.Error("an idempotency key of the first is remembered")
	}
	// The log goes on over the holes.
	tail := h.Tail(0)
	for seen := event.Cursor(0); seen < h.boundsNow().Head; {
		events, err := tail.Next(h.ctx())
		h.check(err)
		for _, ev := range events {
			if ev.Cursor <= seen || ev.Tenant == another {
				h.Errorf("the tail gives %s of tenant %d after %s", ev.Cursor, ev.Tenant, seen)
			}
			seen = ev.Cursor
		}
	}
}

func testTenantStoredBytes(h *harness) {
	w := newWebhook(another)
	h.check(h.CreateWebhook(h.ctx(), w))
	var batches [][]store.Draft
	for i := range 10 {
		d, other := draftOf(another, "a", w.ID), draft("b")
		d.Event.Payload = make([]byte, 100*i)
		d.Event.Attributes = map[string]string{"source": "/ä", "subject": "x"}
		d.Key = fmt.Sprint(i / 2)
		d.Fingerprint = [16]byte{byte(i / 2)}
		batches = append(batches, []store.Draft{d, other, draftOf(another, "c")})
	}
	var want, all int64
	for _, drafts := range batches {
		before := h.usage(another).StoredBytes
		receipts := h.append(drafts...)
		grown := h.usage(another).StoredBytes - before
		least := int64(0)
		for i, r := range receipts {
			if drafts[i].Event.Tenant == another && !r.Replayed {
				least += int64(len(drafts[i].Event.Payload))
			}
		}
		if grown < least || grown > least+2000 {
			h.Errorf("for %d bytes of payload it grew by %d", least, grown)
		}
		want += grown
	}
	all = h.usage(another).StoredBytes
	if all != want {
		h.Errorf("it has %d bytes, and grew by %d", all, want)
	}
	ours := h.usage(tenant).StoredBytes
	if ours <= 0 {
		h.Error("the other tenant has none")
	}
	if u := h.usage(another); u.Webhooks != 1 {
		h.Errorf("it has %+v", u)
	}
	// A write that is refused stores nothing.
	reused := batches[0][0]
	reused.Event = draftOf(another, "a").Event
	reused.Fingerprint = [16]byte{99}
	if _, err := h.Append(h.ctx(), []store.Draft{draftOf(another, "a"), reused}); !errors.Is(err, store.ErrKeyReused) {
		h.Errorf("reused: %v", err)
	}
	h.reopen()
	if got := h.usage(another).StoredBytes; got != all {
		h.Errorf("after a restart it has %d bytes, and had %d", got, all)
	}
	if got := h.usage(tenant).StoredBytes; got != ours {
		h.Errorf("after a restart the other tenant has %d bytes, and had %d", got, ours)
	}
	h.clock.Add(time.Hour)
	for more := true; more; {
		step, err := h.Trim(h.ctx(), store.Retention{Age: time.Minute})
		h.check(err)
		more = step.More
	}
	for _, id := range []event.TenantID{tenant, another} {
		if got := h.usage(id).StoredBytes; got != 0 {
			h.Errorf("the log is empty, and tenant %d has %d bytes", id, got)
		}
	}
}

func testTenantStoredBytesQuota(h *harness) {
	limited := &event.Tenant{Name: "limited", Quotas: event.Quotas{StoredBytes: 4000}}
	h.check(h.CreateTenant(h.ctx(), limited))
	post := func(n int) error {
		var drafts []store.Draft
		for range n {
			d := draftOf(limited.ID, "a")
			d.Event.Payload = make([]byte, 500)
			drafts = append(drafts, d)
		}
		_, err := h.Append(h.ctx(), drafts)
		return err
	}
	refused := func(what string, err error) {
		h.Helper()
		var over *store.QuotaError
		if !errors.As(err, &over) || over.Quota != "stored_bytes" || over.Limit != 4000 || over.Used != h.usage(limited.ID).StoredBytes {
			h.Errorf("%s: %v", what, err)
		}
	}
	h.check(post(2))
	refused("a batch that is too large as a whole", post(8))
	for range 10 {
		if err := post(1); err != nil {
			refused("one too many", err)
			break
		}
	}
	refused("full", post(1))
	if used := h.usage(limited.ID).StoredBytes; used > 4000 || used < 3000 {
		h.Errorf("it has %d bytes", used)
	}
	// The gateway itself goes on telling, and others go on posting.
	h.append(draftOf(limited.ID, "_carillon.webhook.disabled"))
	h.post("a")
	h.reopen()
	refused("after a restart", post(1))
	limited, err := h.Tenant(h.ctx(), "limited")
	h.check(err)
	limited.Quotas.StoredBytes = 0
	h.check(h.UpdateTenant(h.ctx(), limited))
	h.check(post(20))

	// Many at once come to no more than one after another.
	small := &event.Tenant{Name: "small", Quotas: event.Quotas{StoredBytes: 10_000}}
	h.check(h.CreateTenant(h.ctx(), small))
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			d := draftOf(small.ID, "a")
			d.Event.Payload = make([]byte, 500)
			var over *store.QuotaError
			if _, err := h.Append(h.ctx(), []store.Draft{d}); err != nil && !errors.As(err, &over) {
				h.Error(err)
			}
		})
	}
	wg.Wait()
	if used := h.usage(small.ID).StoredBytes; used > 10_000 || used < 8000 {
		h.Errorf("at once it came to %d bytes", used)
	}
}

func testTenantWebhooksQuota(h *harness) {
	limited := &event.Tenant{Name: "limited", Quotas: event.Quotas{Webhooks: 3}}
	h.check(h.CreateTenant(h.ctx(), limited))
	create := func() (*event.Webhook, error) {
		w := newWebhook(limited.ID)
		return w, h.CreateWebhook(h.ctx(), w)
	}
	var over *store.QuotaError
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			var over *store.QuotaError
			if _, err := create(); err != nil && (!errors.As(err, &over) || over.Quota != "webhooks" || over.Limit != 3 || over.Used != 3) {
				h.Error(err)
			}
		})
	}
	wg.Wait()
	list, err := h.ListWebhooks(h.ctx(), limited.ID, store.Page{Limit: 10})
	h.check(err)
	if len(list.Data) != 3 || h.usage(limited.ID).Webhooks != 3 {
		h.Fatalf("it has %d webhooks", len(list.Data))
	}
	h.webhook() // of another tenant
	h.reopen()
	if _, err := create(); !errors.As(err, &over) {
		h.Errorf("after a restart: %v", err)
	}
	h.check(h.DeleteWebhook(h.ctx(), limited.ID, list.Data[0].ID))
	_, err = create()
	h.check(err)
	if _, err := create(); !errors.As(err, &over) {
		h.Errorf("one for one: %v", err)
	}
}

// testTenantPostersDuringDelete has a tenant deleted in the midst of its posters: each is answered, and nothing is left.
func testTenantPostersDuringDelete(h *harness) {
	id := h.tenant("busy").ID
	w := newWebhook(id)
	h.check(h.CreateWebhook(h.ctx(), w))
	var wg sync.WaitGroup
	begun := make(chan struct{}, 8)
	for range 8 {
		wg.Go(func() {
			for i := range 200 {
				_, err := h.Append(h.ctx(), []store.Draft{draftOf(id, "a", w.ID)})
				if errors.Is(err, store.ErrNotFound) {
					return
				}
				if err != nil {
					h.Error(err)
				}
				if i == 3 {
					begun <- struct{}{}
				}
			}
		})
	}
	<-begun
	h.check(h.DeleteTenant(h.ctx(), id))
	h.purge()
	wg.Wait()
	if done := h.purge(); done.Purged != 0 {
		h.Errorf("after its end it got %d events", done.Purged)
	}
	read, err := h.EventsAt(h.ctx(), []event.Cursor{h.boundsNow().Head}, 1)
	h.check(err)
	if len(read) != 0 {
		h.Errorf("left is %+v", read[0])
	}
}
