package storetest

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

var auditTests = []conformance{
	{"EachChange", audited(testAuditEachChange)},
	{"NoChange", audited(testAuditNoChange)},
	{"Webhooks", audited(testAuditWebhooks)},
	{"ByTheGateway", audited(testAuditByGateway)},
	{"List", audited(testAuditList)},
	{"Filters", audited(testAuditFilters)},
	{"Tenants", audited(testAuditTenants)},
	{"Retention", audited(testAuditRetention)},
	{"Together", audited(testAuditTogether)},
}

// audited begins a test with an empty log: of what the harness itself did, nothing is left.
func audited(run func(*harness)) func(*harness) {
	return func(h *harness) {
		h.clock.Add(time.Minute)
		_, err := h.Trim(h.ctx(), store.Retention{AuditAge: time.Second})
		h.check(err)
		run(h)
	}
}

// ann is somebody who makes changes.
func ann() event.Origin {
	return event.Origin{
		Actor:   event.Actor{Kind: event.ActorKey, ID: event.NewID().String(), Name: "ann"},
		Address: netip.MustParseAddr("192.0.2.7"),
		Request: event.NewID().String(),
	}
}

// audit returns all entries of a tenant, newest first.
func (h *harness) audit(of event.TenantID) []event.AuditEntry {
	h.Helper()
	return h.auditWhere(of, store.AuditFilter{})
}

func (h *harness) auditWhere(of event.TenantID, f store.AuditFilter) (all []event.AuditEntry) {
	h.Helper()
	for page := (store.Page{Limit: 3}); ; {
		list, err := h.ListAudit(h.ctx(), of, f, page)
		h.check(err)
		if len(list.Data) > page.Limit {
			h.Errorf("a page of %d", len(list.Data))
		}
		all = append(all, list.Data...)
		if page.Token = list.Next; page.Token == "" {
			return all
		}
	}
}

// newest returns the entries that are new since there were so many, oldest first.
func (h *harness) newest(had int) []event.AuditEntry {
	h.Helper()
	all := h.audit(tenant)
	fresh := slices.Clone(all[:len(all)-had])
	slices.Reverse(fresh)
	return fresh
}

func fields(e event.AuditEntry) string {
	names := make([]string, len(e.Changes))
	for i, c := range e.Changes {
		names[i] = c.Field
	}
	return strings.Join(names, " ")
}

func testAuditEachChange(h *harness) {
	who := ann()
	ctx := store.WithOrigin(h.ctx(), who)
	hook, key := newWebhook(tenant), newKey(tenant, h.clock.Now().Add(time.Hour))
	var delivery event.DeliveryID
	var job store.Job
	for _, step := range []struct {
		action  event.AuditAction
		fields  string
		do      func() error
		subject func() string
	}{
		{event.AuditWebhookCreated, "url topics enabled secret retry timeout max_in_flight description metadata",
			func() error { return h.CreateWebhook(ctx, hook) }, func() string { return hook.ID.String() }},
		{event.AuditWebhookUpdated, "timeout", func() error {
			hook.Timeout = time.Minute
			return h.UpdateWebhook(ctx, hook)
		}, func() string { return hook.ID.String() }},
		{event.AuditSecretRotated, "secret old_secrets_until", func() error {
			hook.OldSecrets = []event.OldSecret{{Secret: hook.Secret, Until: h.clock.Now().Add(time.Hour)}}
			hook.Secret = "whsec_AnotherSecretThatNobodyKnows"
			return h.UpdateWebhook(ctx, hook)
		}, func() string { return hook.ID.String() }},
		{event.AuditWebhookDisabled, "enabled disabled_reason", func() error {
			hook.Enabled = false
			return h.UpdateWebhook(ctx, hook)
		}, func() string { return hook.ID.String() }},
		{event.AuditWebhookEnabled, "enabled disabled_reason", func() error {
			hook.Enabled = true
			return h.UpdateWebhook(ctx, hook)
		}, func() string { return hook.ID.String() }},
		{event.AuditDeliveryCanceled, "state", func() error {
			delivery = deliveryID(h.post("orders.created", hook.ID), hook)
			h.spill(delivery)
			_, err := h.Cancel(ctx, tenant, delivery)
			return err
		}, func() string { return delivery.String() }},
		{event.AuditDeliveryRetried, "state", func() error {
			_, err := h.Reopen(ctx, tenant, delivery)
			return err
		}, func() string { return delivery.String() }},
		{event.AuditReplayStarted, "webhook topics states per_second total", func() (err error) {
			job, err = h.CreateJob(ctx, store.Job{ID: event.NewID(), Tenant: tenant, Webhook: hook.ID, PerSecond: 5, Filter: store.ReplayFilter{
				Patterns: []event.Pattern{"orders.*"}, States: []event.State{event.Failed},
			}})
			return err
		}, func() string { return job.ID.String() }},
		{event.AuditJobCanceled, "state", func() error {
			_, err := h.CancelJob(ctx, tenant, job.ID)
			return err
		}, func() string { return job.ID.String() }},
		{event.AuditKeyCreated, "name scopes topics expires_at", func() error { return h.CreateKey(ctx, key) }, func() string { return key.ID.String() }},
		{event.AuditKeyRevoked, "revoked_at", func() error { return h.RevokeKey(ctx, tenant, key.ID) }, func() string { return key.ID.String() }},
		{event.AuditWebhookDeleted, "url topics enabled secret old_secrets_until retry timeout max_in_flight description metadata",
			func() error { return h.DeleteWebhook(ctx, tenant, hook.ID) }, func() string { return hook.ID.String() }},
		{event.AuditPortalLinkCreated, "webhooks", func() error {
			return h.AppendAudit(ctx, tenant, event.AuditPortalLinkCreated, "link", []event.Change{event.NewChange("webhooks", nil, 3)})
		}, func() string { return "link" }},
	} {
		h.clock.Add(time.Second)
		had := len(h.audit(tenant))
		h.check(step.do())
		fresh := h.newest(had)
		if len(fresh) != 1 {
			h.Fatalf("%s left %d entries: %+v", step.action, len(fresh), fresh)
		}
		e := fresh[0]
		if e.Action != step.action || e.Subject != step.subject() || e.Origin != who || !e.Time.Equal(h.clock.Now()) || e.Tenant != tenant || e.ID.IsZero() {
			h.Errorf("%s: %+v", step.action, e)
		}
		if got := fields(e); got != step.fields {
			h.Errorf("%s: changed were %s, want %s", step.action, got, step.fields)
		}
		for _, c := range e.Changes {
			if strings.Contains(string(c.Old)+string(c.New), "whsec_") {
				h.Errorf("%s tells a secret: %s, %s", step.action, c.Old, c.New)
			}
			if c.Hidden != (c.Old == nil && c.New == nil) {
				h.Errorf("%s, %s: %s, %s", step.action, c.Field, c.Old, c.New)
			}
		}
	}
	before := h.audit(tenant)
	h.reopen()
	if after := h.audit(tenant); fmt.Sprint(after) != fmt.Sprint(before) {
		h.Errorf("opened again: %v\nbefore: %v", after, before)
	}
	ids := make(map[event.ID]bool)
	for _, e := range before {
		ids[e.ID] = true
	}
	if len(ids) != len(before) {
		h.Error("two entries have the same id")
	}
}

// testAuditNoChange makes writes that fail, or that change nothing: they leave no entry.
func testAuditNoChange(h *harness) {
	hook, key := h.webhook(), h.key()
	stale := *hook
	hook.Timeout = time.Minute
	h.check(h.UpdateWebhook(h.ctx(), hook))
	h.check(h.RevokeKey(h.ctx(), tenant, key.ID))
	id := deliveryID(h.post("orders.created", hook.ID), hook)
	filter := store.ReplayFilter{States: []event.State{event.Failed}}
	job, err := h.CreateJob(h.ctx(), store.Job{ID: event.NewID(), Tenant: tenant, Webhook: hook.ID, Filter: filter})
	h.check(err)
	had := len(h.audit(tenant))

	same := *hook
	h.check(h.UpdateWebhook(h.ctx(), &same))
	h.check(h.RevokeKey(h.ctx(), tenant, key.ID))
	h.check(h.TouchKeys(h.ctx(), map[event.ID]time.Time{key.ID: h.clock.Now()}))
	if again, err := h.CreateJob(h.ctx(), store.Job{ID: event.NewID(), Tenant: tenant, Webhook: hook.ID, Filter: filter}); err != nil || again.ID != job.ID {
		h.Errorf("the same job again: %+v, %v", again, err)
	}
	h.settle(h.delivered(id, 1))

	taken := newKey(tenant, time.Time{})
	taken.Hash = key.Hash
	for what, err := range map[string]error{
		"a stale version":     h.UpdateWebhook(h.ctx(), &stale),
		"another's webhook":   h.DeleteWebhook(h.ctx(), another, hook.ID),
		"no webhook":          h.DeleteWebhook(h.ctx(), tenant, event.NewID()),
		"a hash that is":      h.CreateKey(h.ctx(), taken),
		"no key":              h.RevokeKey(h.ctx(), tenant, event.NewID()),
		"an ended delivery":   second(h.Cancel(h.ctx(), tenant, id)),
		"no delivery":         second(h.Reopen(h.ctx(), tenant, event.DeliveryID{Event: 1 << 40, Webhook: hook.ID})),
		"another's job":       second(h.CancelJob(h.ctx(), another, job.ID)),
		"a replay of nothing": second(h.CreateJob(h.ctx(), store.Job{ID: event.NewID(), Tenant: tenant, Webhook: event.NewID(), Filter: filter})),
	} {
		if err == nil {
			h.Errorf("%s: no error", what)
		}
	}
	if fresh := h.newest(had); len(fresh) != 0 {
		h.Errorf("left were %+v", fresh)
	}
	if theirs := h.audit(another); len(theirs) != 0 {
		h.Errorf("the other tenant has %+v", theirs)
	}
}

func testAuditWebhooks(h *harness) {
	hook := h.webhook()
	hook.Headers = map[string]event.Secret{"X-Key": "sesame"}
	hook.Auth = event.Auth{Type: event.AuthBasic, Username: "sesame", Password: "sesame"}
	hook.URL, hook.Enabled, hook.Topics = "https://example.com/?key=sesame", false, []event.Pattern{"users.**"}
	h.check(h.UpdateWebhook(h.ctx(), hook))
	e := h.audit(tenant)[0]
	if e.Action != event.AuditWebhookDisabled || fields(e) != "url topics enabled disabled_reason headers auth.type auth.username auth.password" {
		h.Errorf("changed were %s: %s", e.Action, fields(e))
	}
	var text strings.Builder
	for _, c := range e.Changes {
		fmt.Fprintf(&text, "%s:%s:%s:%t ", c.Field, c.Old, c.New, c.Hidden)
	}
	const want = `url:"https://example.com/***":"https://example.com/***":false topics:["orders.*","users.**"]:["users.**"]:false ` +
		`enabled:true:false:false disabled_reason::"manual":false headers:[]:["X-Key"]:false auth.type::"basic":false ` +
		`auth.username:::true auth.password:::true `
	if text.String() != want {
		h.Errorf("it tells\n%s, want\n%s", text.String(), want)
	}
}

// testAuditByGateway has the engine make changes of its own accord.
func testAuditByGateway(h *harness) {
	ctx := store.WithOrigin(h.ctx(), ann()) // whoever it is that stores what became of deliveries: it is not their doing
	hook := h.webhook()
	id := deliveryID(h.post("orders.created", hook.ID), hook)
	job, err := h.CreateJob(h.ctx(), store.Job{ID: event.NewID(), Tenant: tenant, Webhook: hook.ID,
		Filter: store.ReplayFilter{States: []event.State{event.Failed}}})
	h.check(err)
	had := len(h.audit(tenant))
	gone := h.delivered(id, 1)
	gone.State, gone.Reason, gone.Disable = event.Failed, event.ReasonGone, event.DisabledGone
	for range 2 { // the second changes nothing
		h.check(h.Settle(ctx, store.Settlements{Settled: []store.Settlement{gone}, Floor: id.Event}))
	}
	for range 2 {
		_, _, err = h.StepJob(ctx, job.ID, 10)
		h.check(err)
	}
	fresh := h.newest(had)
	if len(fresh) != 2 {
		h.Fatalf("left were %+v", fresh)
	}
	disabled, canceled := fresh[0], fresh[1]
	gateway := event.Origin{Actor: event.Actor{Kind: event.ActorGateway}}
	if disabled.Action != event.AuditWebhookDisabled || disabled.Subject != hook.ID.String() || disabled.Origin != gateway || fields(disabled) != "enabled disabled_reason" {
		h.Errorf("disabled: %+v", disabled)
	}
	if string(disabled.Changes[1].New) != `"gone"` {
		h.Errorf("the reason is %s", disabled.Changes[1].New)
	}
	if canceled.Action != event.AuditJobCanceled || canceled.Subject != job.ID.String() || canceled.Origin != gateway {
		h.Errorf("canceled: %+v", canceled)
	}
	// Without a word of who it is, it is the gateway too.
	if e := h.audit(tenant)[len(h.audit(tenant))-1]; e.Origin != gateway {
		h.Errorf("made by %+v", e.Origin)
	}
}

// record writes an entry of whatever is done by somebody.
func (h *harness) record(who event.Origin, action event.AuditAction, subject string) {
	h.Helper()
	h.check(h.AppendAudit(store.WithOrigin(h.ctx(), who), tenant, action, subject, nil))
}

func testAuditList(h *harness) {
	var want []event.ID
	for i := range 8 {
		h.record(event.Origin{}, event.AuditKeyCreated, fmt.Sprint(i))
		want = append([]event.ID{h.audit(tenant)[0].ID}, want...)
		if i%3 == 2 {
			h.clock.Add(time.Second)
		}
	}
	h.checkPages(want, func(page store.Page) (ids []event.ID, next string, err error) {
		list, err := h.ListAudit(h.ctx(), tenant, store.AuditFilter{}, page)
		for _, e := range list.Data {
			ids = append(ids, e.ID)
		}
		return ids, list.Next, err
	})
	for _, token := range []string{"1", "1.", "1.0", "1.-1", "01.1", ".1", "1.1.1"} {
		if _, err := h.ListAudit(h.ctx(), tenant, store.AuditFilter{}, store.Page{Limit: 3, Token: token}); !errors.Is(err, store.ErrPage) {
			h.Errorf("a foreign token, %s: %v", token, err)
		}
	}
	// What comes while somebody pages is not on the pages to come.
	first, err := h.ListAudit(h.ctx(), tenant, store.AuditFilter{}, store.Page{Limit: 4})
	h.check(err)
	h.record(event.Origin{}, event.AuditKeyCreated, "late")
	rest, err := h.ListAudit(h.ctx(), tenant, store.AuditFilter{}, store.Page{Limit: 4, Token: first.Next})
	h.check(err)
	var got []event.ID
	for _, e := range append(first.Data, rest.Data...) {
		got = append(got, e.ID)
	}
	if !slices.Equal(got, want) || rest.Next != "" {
		h.Errorf("paged were %v, want %v", got, want)
	}
}

func testAuditFilters(h *harness) {
	start := h.clock.Now()
	people := []event.Origin{ann(), ann(), {}}
	actions := []event.AuditAction{event.AuditKeyCreated, event.AuditKeyRevoked, event.AuditWebhookUpdated, event.AuditTenantCreated}
	for i := range 24 {
		h.record(people[i%3], actions[i%4], fmt.Sprint("subject ", i%5))
		h.clock.Add(time.Second)
	}
	all := h.audit(tenant)
	if len(all) != 24 {
		h.Fatalf("there are %d entries", len(all))
	}
	for name, c := range map[string]struct {
		filter store.AuditFilter
		want   func(event.AuditEntry) bool
	}{
		"actor":   {store.AuditFilter{Actor: people[1].Actor.ID}, func(e event.AuditEntry) bool { return e.Origin == people[1] }},
		"action":  {store.AuditFilter{Actions: actions[:1]}, func(e event.AuditEntry) bool { return e.Action == actions[0] }},
		"actions": {store.AuditFilter{Actions: actions[1:3]}, func(e event.AuditEntry) bool { return e.Action == actions[1] || e.Action == actions[2] }},
		"subject": {store.AuditFilter{Subject: "subject 3"}, func(e event.AuditEntry) bool { return e.Subject == "subject 3" }},
		"since":   {store.AuditFilter{Since: start.Add(5 * time.Second)}, func(e event.AuditEntry) bool { return !e.Time.Before(start.Add(5 * time.Second)) }},
		"until":   {store.AuditFilter{Until: start.Add(5 * time.Second)}, func(e event.AuditEntry) bool { return e.Time.Before(start.Add(5 * time.Second)) }},
		"within a millisecond": {store.AuditFilter{Since: start.Add(5*time.Second + time.Microsecond), Until: start.Add(7*time.Second + time.Microsecond)},
			func(e event.AuditEntry) bool {
				return !e.Time.Before(start.Add(5*time.Second)) && !e.Time.After(start.Add(7*time.Second))
			}},
		"several": {store.AuditFilter{Since: start.Add(2 * time.Second), Until: start.Add(20 * time.Second), Actor: people[0].Actor.ID,
			Actions: actions[:2], Subject: "subject 4"},
			func(e event.AuditEntry) bool {
				return e.Origin == people[0] && e.Subject == "subject 4" && (e.Action == actions[0] || e.Action == actions[1])
			}},
		"nobody": {store.AuditFilter{Actor: "x"}, func(event.AuditEntry) bool { return false }},
	} {
		var got, want []event.ID
		for _, e := range h.auditWhere(tenant, c.filter) {
			got = append(got, e.ID)
		}
		for _, e := range all {
			if c.want(e) {
				want = append(want, e.ID)
			}
		}
		if !slices.Equal(got, want) || name != "nobody" && len(want) == 0 {
			h.Errorf("%s: got %d entries, want %d", name, len(got), len(want))
		}
	}
}

func testAuditTenants(h *harness) {
	h.record(ann(), event.AuditKeyCreated, "mine")
	h.check(h.CreateWebhook(h.ctx(), newWebhook(another)))
	if mine := h.audit(tenant); len(mine) != 1 || mine[0].Subject != "mine" {
		h.Errorf("the tenant sees %+v", mine)
	}
	theirs := h.audit(another)
	if len(theirs) != 1 || theirs[0].Action != event.AuditWebhookCreated || theirs[0].Tenant != another {
		h.Fatalf("the other one sees %+v", theirs)
	}
	for _, subject := range []string{"mine", theirs[0].Subject} {
		for _, of := range []event.TenantID{tenant, another} {
			for _, e := range h.auditWhere(of, store.AuditFilter{Subject: subject}) {
				if e.Tenant != of {
					h.Errorf("tenant %d sees %+v", of, e)
				}
			}
		}
	}
}

func testAuditRetention(h *harness) {
	const old = 1200
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range old / 8 {
				if err := h.AppendAudit(h.ctx(), tenant, event.AuditKeyCreated, "old", nil); err != nil {
					h.Error(err)
				}
			}
		})
	}
	wg.Wait()
	h.clock.Add(time.Hour)
	h.record(event.Origin{}, event.AuditKeyCreated, "young")
	trim := func(age time.Duration) (removed, steps int) {
		for more := true; more; steps++ {
			done, err := h.Trim(h.ctx(), store.Retention{AuditAge: age})
			h.check(err)
			removed += done.Audit
			more = done.More
		}
		return removed, steps
	}
	if removed, _ := trim(0); removed != 0 {
		h.Errorf("kept for ever, and %d are removed", removed)
	}
	if removed, _ := trim(time.Hour); removed != 0 {
		h.Errorf("of that age, and %d are removed", removed)
	}
	if all := h.auditWhere(tenant, store.AuditFilter{Until: h.clock.Now()}); len(all) != old {
		h.Errorf("there are %d entries", len(all))
	}
	if removed, steps := trim(time.Hour - time.Millisecond); removed != old || steps < 2 {
		h.Errorf("removed were %d in %d steps", removed, steps)
	}
	// It goes on as it did before.
	h.record(event.Origin{}, event.AuditKeyRevoked, "younger")
	h.reopen()
	all := h.audit(tenant)
	if len(all) != 2 || all[0].Subject != "younger" || all[1].Subject != "young" {
		h.Errorf("left are %+v", all)
	}
}

// testAuditTogether has many make changes at once: each of them has its own entry, with its own name.
func testAuditTogether(h *harness) {
	type change struct {
		who  event.Origin
		hook *event.Webhook
	}
	changes := make([]change, 40)
	var wg sync.WaitGroup
	for i := range changes {
		changes[i] = change{ann(), newWebhook(tenant)}
		wg.Go(func() {
			ctx := store.WithOrigin(h.ctx(), changes[i].who)
			if err := h.CreateWebhook(ctx, changes[i].hook); err != nil {
				h.Error(err)
			}
			// Of two who change the same version one is refused.
			stale := *changes[i].hook
			for _, w := range []*event.Webhook{changes[i].hook, &stale} {
				w.Timeout += time.Second
				if err := h.UpdateWebhook(ctx, w); err != nil && !errors.Is(err, store.ErrConflict) {
					h.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if all := h.audit(tenant); len(all) != 2*len(changes) {
		h.Errorf("there are %d entries", len(all))
	}
	for _, c := range changes {
		of := h.auditWhere(tenant, store.AuditFilter{Subject: c.hook.ID.String()})
		if len(of) != 2 || of[0].Action != event.AuditWebhookUpdated || of[1].Action != event.AuditWebhookCreated || of[0].Origin != c.who || of[1].Origin != c.who {
			h.Errorf("webhook %s has %+v", c.hook.ID, of)
		}
	}
}
