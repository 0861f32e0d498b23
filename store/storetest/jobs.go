package storetest

import (
	"errors"
	"slices"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

var jobTests = []conformance{
	{"Replay", testReplayJob},
	{"Filters", testJobFilters},
	{"SameFilter", testJobSameFilter},
	{"Floor", testJobFloor},
	{"Line", testJobLine},
	{"Order", testJobOrder},
	{"Disabled", testJobDisabled},
	{"Cancel", testJobCancel},
	{"List", testJobList},
	{"ManyRows", testJobManyRows},
	{"Retention", testJobRetention},
	{"Forgotten", testJobForgotten},
}

func replayOf(w *event.Webhook, states ...event.State) store.Job {
	if len(states) == 0 {
		states = []event.State{event.Failed}
	}
	return store.Job{ID: event.NewID(), Tenant: w.Tenant, Webhook: w.ID, PerSecond: 50, Filter: store.ReplayFilter{States: states}}
}

func (h *harness) create(j store.Job) store.Job {
	h.Helper()
	made, err := h.CreateJob(h.ctx(), j)
	h.check(err)
	return made
}

// step goes on with a job, and holds what it returns to what is stored.
func (h *harness) step(id event.ID, limit int) (store.Job, []event.DeliveryID) {
	h.Helper()
	before, err := h.Job(h.ctx(), tenant, id)
	h.check(err)
	j, made, err := h.StepJob(h.ctx(), id, limit)
	h.check(err)
	stored, err := h.Job(h.ctx(), tenant, id)
	h.check(err)
	if !sameJob(j, stored) || j.Done != before.Done+int64(len(made)) || j.At < before.At || j.Total < j.Done || len(made) > max(limit, 0) {
		h.Errorf("a step from %+v to %+v (stored %+v) made %v", before, j, stored, made)
	}
	for _, id := range made {
		if d := h.state(id, event.Pending, ""); !d.Replay || d.Step != 0 || !d.Due.Equal(h.clock.Now()) || !d.EndedAt.IsZero() {
			h.Errorf("replayed: %+v", d)
		}
	}
	return j, made
}

// finish steps until the job has ended.
func (h *harness) finish(id event.ID) (store.Job, []event.DeliveryID) {
	h.Helper()
	var all []event.DeliveryID
	for range 1000 {
		j, made := h.step(id, 100)
		all = append(all, made...)
		if j.State != store.JobRunning {
			return j, all
		}
	}
	h.Fatal("the job does not end")
	return store.Job{}, nil
}

func sameJob(a, b store.Job) bool {
	return a.ID == b.ID && a.Tenant == b.Tenant && a.Webhook == b.Webhook && a.PerSecond == b.PerSecond && a.State == b.State &&
		a.Through == b.Through && a.At == b.At && a.Total == b.Total && a.Done == b.Done && a.CreatedAt.Equal(b.CreatedAt) &&
		a.UpdatedAt.Equal(b.UpdatedAt) && a.Filter.Since.Equal(b.Filter.Since) && a.Filter.Until.Equal(b.Filter.Until) &&
		slices.Equal(a.Filter.Patterns, b.Filter.Patterns) && slices.Equal(a.Filter.States, b.Filter.States)
}

func testReplayJob(h *harness) {
	w, other := h.webhook(), h.webhook()
	var ids []event.DeliveryID
	for range 6 {
		r := h.post("a", w.ID, other.ID)
		ids = append(ids, deliveryID(r, w))
		h.settle(h.failed(deliveryID(r, other), 1))
	}
	h.settle(h.failed(ids[0], 1), h.delivered(ids[1], 1), h.failed(ids[2], 1), h.retry(ids[3], 1, time.Hour), h.failed(ids[4], 1))
	_, err := h.Cancel(h.ctx(), tenant, ids[5])
	h.check(err)
	h.floor(ids[5].Event)
	h.clock.Add(time.Minute)
	want := replayOf(w)
	j := h.create(want)
	if j.ID != want.ID || j.Webhook != w.ID || j.Tenant != tenant || j.State != store.JobRunning || j.Through != ids[5].Event ||
		j.Total != 3 || j.Done != 0 || j.PerSecond != 50 || !j.CreatedAt.Equal(h.clock.Now()) || !j.UpdatedAt.Equal(j.CreatedAt) {
		h.Errorf("created as %+v", j)
	}
	late := deliveryID(h.post("a", w.ID), w) // accepted later
	h.settle(h.failed(late, 1))
	h.floor(late.Event)
	h.clock.Add(time.Minute)

	first, made := h.step(j.ID, 2)
	if !slices.Equal(made, []event.DeliveryID{ids[0], ids[2]}) || first.State != store.JobRunning || first.At < ids[2].Event ||
		!first.UpdatedAt.Equal(h.clock.Now()) || !first.CreatedAt.Equal(j.CreatedAt) {
		h.Errorf("the first step made %v: %+v", made, first)
	}
	h.reopen()
	last, made := h.finish(j.ID)
	if !slices.Equal(made, ids[4:5]) || last.State != store.JobDone || last.Done != 3 || last.Total != 3 || last.At != j.Through {
		h.Errorf("the rest made %v: %+v", made, last)
	}
	if again, made := h.step(j.ID, 100); !sameJob(again, last) || len(made) != 0 {
		h.Errorf("a step after the end made %v: %+v", made, again)
	}
	h.turn(w, false, ids[0], ids[2], ids[3], ids[4])
	h.state(late, event.Failed, event.ReasonExhausted)
	if d, attempts := h.delivery(ids[0]); d.Attempts != 1 || len(attempts) != 1 || d.LastStatus != 500 {
		h.Errorf("a replayed one lost what was before: %+v", d)
	}
	// It stays a replay until its end, and a retry by hand is none.
	h.settle(h.retry(ids[0], 2, 0), h.failed(ids[2], 2))
	if d := h.state(ids[0], event.Pending, ""); !d.Replay {
		h.Errorf("tried once: %+v", d)
	}
	got, err := h.Reopen(h.ctx(), tenant, ids[2])
	h.check(err)
	if d := h.state(ids[2], event.Pending, ""); d.Replay || got.Replay {
		h.Errorf("reopened by hand: %+v", d)
	}
	b, err := h.Backlog(h.ctx(), w.ID, h.clock.Now(), 10)
	h.check(err)
	for _, d := range b.Due {
		if full, _ := h.delivery(d.ID); full != d {
			h.Errorf("the backlog shows %+v of %+v", d, full)
		}
	}
	for how, err := range map[string]error{
		"Job":     second(h.Job(h.ctx(), tenant, event.NewID())),
		"StepJob": third(h.StepJob(h.ctx(), event.NewID(), 1)),
		"another": second(h.Job(h.ctx(), another, j.ID)),
		"Create":  second(h.CreateJob(h.ctx(), replayOf(&event.Webhook{ID: event.NewID(), Tenant: tenant}))),
		"theirs":  second(h.CreateJob(h.ctx(), replayOf(&event.Webhook{ID: w.ID, Tenant: another}))),
		"count":   second(h.CountReplay(h.ctx(), another, w.ID, want.Filter)),
	} {
		if !errors.Is(err, store.ErrNotFound) {
			h.Errorf("%s: %v", how, err)
		}
	}
}

func second[T any](_ T, err error) error        { return err }
func third[T, U any](_ T, _ U, err error) error { return err }

func testJobFilters(h *harness) {
	w := h.webhook()
	start := h.clock.Now()
	topics := []event.Topic{"orders.created", "orders.paid", "users.new"}
	var ids []event.DeliveryID
	for i := range 12 {
		id := deliveryID(h.post(topics[i%3], w.ID), w)
		ids = append(ids, id)
		switch i % 4 {
		case 0:
			h.settle(h.delivered(id, 1))
		case 1:
			h.settle(h.failed(id, 1))
		case 2:
			_, err := h.Cancel(h.ctx(), tenant, id)
			h.check(err)
		case 3:
			h.spill(id)
		}
		h.clock.Add(time.Second)
	}
	h.floor(ids[11].Event)
	at := func(i int) time.Time { return start.Add(time.Duration(i) * time.Second) }
	for _, test := range []struct {
		name   string
		filter store.ReplayFilter
		want   []int
	}{
		{"failed", store.ReplayFilter{States: []event.State{event.Failed}}, []int{1, 5, 9}},
		{"all", store.ReplayFilter{States: []event.State{event.Delivered, event.Failed, event.Canceled}}, []int{0, 1, 2, 4, 5, 6, 8, 9, 10}},
		{"since", store.ReplayFilter{States: []event.State{event.Failed}, Since: at(5)}, []int{5, 9}},
		{"until", store.ReplayFilter{States: []event.State{event.Failed}, Until: at(5)}, []int{1}},
		{"between", store.ReplayFilter{States: []event.State{event.Failed, event.Canceled}, Since: at(2), Until: at(9)}, []int{2, 5, 6}},
		{"none", store.ReplayFilter{States: []event.State{event.Failed}, Since: at(20)}, nil},
		{"to come", store.ReplayFilter{States: []event.State{event.Failed}, Until: at(2000)}, []int{1, 5, 9}},
		{"topic", store.ReplayFilter{States: []event.State{event.Failed}, Patterns: []event.Pattern{"orders.paid"}}, []int{1}},
		{"patterns", store.ReplayFilter{States: []event.State{event.Failed}, Patterns: []event.Pattern{"orders.*", "x"}}, []int{1, 9}},
		{"no topic", store.ReplayFilter{States: []event.State{event.Failed}, Patterns: []event.Pattern{"x"}}, nil},
	} {
		var want []event.DeliveryID
		for _, i := range test.want {
			want = append(want, ids[i])
		}
		n, err := h.CountReplay(h.ctx(), tenant, w.ID, test.filter)
		h.check(err)
		before := make(map[event.DeliveryID]event.Delivery)
		for _, id := range ids {
			before[id], _ = h.delivery(id)
		}
		j := replayOf(w)
		j.Filter = test.filter
		made := h.create(j)
		if made.Total != int64(len(want)) || n != made.Total {
			h.Errorf("%s: a total of %d, counted %d, want %d", test.name, made.Total, n, len(want))
		}
		done, got := h.finish(made.ID)
		if !slices.Equal(got, want) || done.State != store.JobDone || done.Done != int64(len(want)) {
			h.Errorf("%s: made %v, want %v: %+v", test.name, got, want, done)
		}
		// As it was, for the next.
		for _, id := range got {
			switch d := before[id]; d.State {
			case event.Canceled:
				_, err := h.Cancel(h.ctx(), tenant, id)
				h.check(err)
			default:
				h.settle(store.Settlement{ID: id, Tenant: tenant, State: d.State, Reason: d.Reason})
			}
		}
	}
}

func testJobSameFilter(h *harness) {
	w, other := h.webhook(), h.webhook()
	h.post("a", w.ID)
	filtered := func(change func(*store.Job)) store.Job {
		j := replayOf(w, event.Failed, event.Canceled)
		j.Filter.Patterns = []event.Pattern{"a", "b.*"}
		j.Filter.Since = h.clock.Now().Add(-time.Hour)
		change(&j)
		return j
	}
	first := h.create(filtered(func(*store.Job) {}))
	for _, same := range []store.Job{
		filtered(func(*store.Job) {}),
		filtered(func(j *store.Job) { j.Filter.Patterns = []event.Pattern{"b.*", "a", "a"} }),
		filtered(func(j *store.Job) { j.Filter.States = []event.State{event.Canceled, event.Failed} }),
		filtered(func(j *store.Job) { j.PerSecond = 1 }),
	} {
		if got := h.create(same); !sameJob(got, first) {
			h.Errorf("made %+v beside %+v", got, first)
		}
		h.reopen()
	}
	for _, differs := range []store.Job{
		filtered(func(j *store.Job) { j.Webhook = other.ID }),
		filtered(func(j *store.Job) { j.Filter.Patterns = nil }),
		filtered(func(j *store.Job) { j.Filter.States = []event.State{event.Failed} }),
		filtered(func(j *store.Job) { j.Filter.Since = time.Time{} }),
		filtered(func(j *store.Job) { j.Filter.Until = h.clock.Now() }),
	} {
		if got := h.create(differs); got.ID != differs.ID {
			h.Errorf("got %+v for %+v", got, differs)
		}
	}
	running, err := h.RunningJobs(h.ctx())
	h.check(err)
	if len(running) != 6 {
		h.Errorf("%d jobs run", len(running))
	}
	_, err = h.CancelJob(h.ctx(), tenant, first.ID)
	h.check(err)
	again := filtered(func(*store.Job) {})
	if got := h.create(again); got.ID != again.ID {
		h.Errorf("the job that ended was taken for it: %+v", got)
	}
}

// testJobFloor has a job come to deliveries that have no row yet.
func testJobFloor(h *harness) {
	w := h.webhook()
	ids := h.posts(4, w)
	h.settle(h.failed(ids[0], 1), h.failed(ids[2], 1))
	j := h.create(replayOf(w))
	if got, made := h.step(j.ID, 10); len(made) != 0 || !sameJob(got, j) {
		h.Errorf("above the floor it made %v: %+v", made, got)
	}
	h.floor(ids[0].Event)
	if got, made := h.step(j.ID, 10); !slices.Equal(made, ids[:1]) || got.State != store.JobRunning || got.At != ids[0].Event {
		h.Errorf("up to the floor it made %v: %+v", made, got)
	}
	h.clock.Add(time.Second)
	before, err := h.Job(h.ctx(), tenant, j.ID)
	h.check(err)
	if got, made := h.step(j.ID, 10); len(made) != 0 || !sameJob(got, before) {
		h.Errorf("at the floor it made %v: %+v", made, got)
	}
	h.settle(h.failed(ids[1], 1)) // more than were there at first
	h.spill(ids[3])
	h.floor(ids[3].Event)
	if got, made := h.finish(j.ID); !slices.Equal(made, ids[1:3]) || got.State != store.JobDone || got.Done != 3 || got.Total != 3 {
		h.Errorf("then it made %v: %+v", made, got)
	}
	// A job over an empty log is done at once.
	if got, made := h.finish(h.create(func() store.Job {
		j := replayOf(w)
		j.Filter.Until = time.Unix(1, 0)
		return j
	}()).ID); got.State != store.JobDone || len(made) != 0 {
		h.Errorf("over nothing it made %v: %+v", made, got)
	}
}

// testJobLine replays what a line canceled, whether or not its rows were rewritten.
func testJobLine(h *harness) {
	w := h.webhook()
	ids := h.posts(3, w)
	h.spill(ids...)
	h.floor(ids[2].Event)
	h.toggle(w, false)
	if _, err := h.CreateJob(h.ctx(), replayOf(w, event.Canceled)); !errors.Is(err, store.ErrState) {
		h.Errorf("of a disabled webhook: %v", err)
	}
	h.toggle(w, true)
	j := h.create(replayOf(w, event.Canceled))
	if got, made := h.finish(j.ID); j.Total != 3 || !slices.Equal(made, ids) || got.Done != 3 {
		h.Errorf("it made %v: %+v", made, got)
	}
	h.trimAll(store.Retention{})
	h.turn(w, false, ids...)
}

// testJobOrder replays deliveries that wait for one another.
func testJobOrder(h *harness) {
	w := h.webhook()
	ids := h.posts(5, w)
	h.spillKeyed(7, ids...)
	h.settle(h.failed(ids[0], 1), h.failed(ids[1], 1), h.failed(ids[3], 1))
	h.turn(w, true, ids[2])
	h.floor(ids[4].Event)
	_, made := h.finish(h.create(replayOf(w)).ID)
	if !slices.Equal(made, []event.DeliveryID{ids[0], ids[1], ids[3]}) {
		h.Errorf("it made %v", made)
	}
	for _, id := range ids {
		h.turn(w, id != ids[4], id)
		d, _ := h.delivery(id)
		h.settle(h.delivered(id, d.Attempts+1))
	}
	h.turn(w, false)
}

func testJobDisabled(h *harness) {
	for name, end := range map[string]func(*event.Webhook){
		"disabled": func(w *event.Webhook) { h.toggle(w, false) },
		"deleted":  func(w *event.Webhook) { h.check(h.DeleteWebhook(h.ctx(), tenant, w.ID)) },
	} {
		w := h.webhook()
		ids := h.posts(2, w)
		h.settle(h.failed(ids[0], 1), h.failed(ids[1], 1))
		h.floor(ids[1].Event)
		j := h.create(replayOf(w))
		h.step(j.ID, 1)
		end(w)
		got, made := h.step(j.ID, 1)
		if got.State != store.JobCanceled || len(made) != 0 || got.Done != 1 {
			h.Errorf("%s: it made %v: %+v", name, made, got)
		}
		h.state(ids[1], event.Failed, event.ReasonExhausted)
	}
	if running, err := h.RunningJobs(h.ctx()); err != nil || len(running) != 0 {
		h.Errorf("running: %+v, %v", running, err)
	}
}

func testJobCancel(h *harness) {
	w := h.webhook()
	ids := h.posts(1, w)
	h.settle(h.failed(ids[0], 1))
	h.floor(ids[0].Event)
	j := h.create(replayOf(w))
	if _, err := h.CancelJob(h.ctx(), another, j.ID); !errors.Is(err, store.ErrNotFound) {
		h.Errorf("another tenant's: %v", err)
	}
	h.clock.Add(time.Second)
	got, err := h.CancelJob(h.ctx(), tenant, j.ID)
	h.check(err)
	if got.State != store.JobCanceled || !got.UpdatedAt.Equal(h.clock.Now()) {
		h.Errorf("canceled: %+v", got)
	}
	for range 2 {
		if stepped, made := h.step(j.ID, 1); !sameJob(stepped, got) || len(made) != 0 {
			h.Errorf("it goes on: %+v, %v", stepped, made)
		}
		if _, err := h.CancelJob(h.ctx(), tenant, j.ID); !errors.Is(err, store.ErrState) {
			h.Errorf("canceled again: %v", err)
		}
		h.reopen()
	}
	if _, err := h.CancelJob(h.ctx(), tenant, event.NewID()); !errors.Is(err, store.ErrNotFound) {
		h.Errorf("one that is none: %v", err)
	}
}

func testJobList(h *harness) {
	theirs := newWebhook(another)
	h.check(h.CreateWebhook(h.ctx(), theirs))
	h.create(replayOf(theirs))
	var want []event.ID
	for range 5 {
		want = append([]event.ID{h.create(replayOf(h.webhook())).ID}, want...)
	}
	_, err := h.CancelJob(h.ctx(), tenant, want[1])
	h.check(err)
	for _, limit := range []int{1, 2, 5, 10} {
		var got []event.ID
		page := store.Page{Limit: limit}
		for {
			list, err := h.ListJobs(h.ctx(), tenant, page)
			h.check(err)
			if len(list.Data) == 0 || len(list.Data) > limit {
				h.Fatalf("a page of %d for a limit of %d", len(list.Data), limit)
			}
			for _, j := range list.Data {
				got = append(got, j.ID)
			}
			if page.Token = list.Next; page.Token == "" {
				break
			}
		}
		if !slices.Equal(got, want) {
			h.Errorf("by %d: got %v, want %v", limit, got, want)
		}
	}
	if running, err := h.RunningJobs(h.ctx()); err != nil || len(running) != 5 {
		h.Errorf("running: %+v, %v", running, err)
	}
	for _, token := range []string{"?", "0", "-1", "+2", "02", "a"} {
		if _, err := h.ListJobs(h.ctx(), tenant, store.Page{Limit: 3, Token: token}); !errors.Is(err, store.ErrPage) {
			h.Errorf("a foreign token, %s: %v", token, err)
		}
	}
}

// testJobManyRows goes over rows of which few pass the filter: a step stays small, and gets on.
func testJobManyRows(h *harness) {
	w := h.webhook()
	const n = 9000
	ids := h.logged(w, n, 1)
	failed := ids[n-2]
	_, err := h.Reopen(h.ctx(), tenant, failed)
	h.check(err)
	h.settle(h.failed(failed, 2))
	j := h.create(replayOf(w))
	if j.Total != 1 {
		h.Errorf("a total of %d", j.Total)
	}
	steps := 0
	for {
		before := j.At
		var made []event.DeliveryID
		j, made = h.step(j.ID, 100)
		if steps++; j.At <= before || steps > 100 {
			h.Fatalf("step %d went from %s to %s", steps, before, j.At)
		}
		if len(made) > 0 && !slices.Equal(made, ids[n-2:n-1]) {
			h.Errorf("it made %v", made)
		}
		if j.State == store.JobDone {
			break
		}
	}
	if steps < 2 || j.Done != 1 {
		h.Errorf("after %d steps: %+v", steps, j)
	}
	// All of it: more than one page is counted.
	if n, err := h.CountReplay(h.ctx(), tenant, w.ID, store.ReplayFilter{States: []event.State{event.Delivered}}); err != nil || n != 8999 {
		h.Errorf("counted %d, %v", n, err)
	}
}

// testJobRetention removes rows and events under a job.
func testJobRetention(h *harness) {
	w := h.webhook()
	old := h.posts(3, w)
	h.settle(h.failed(old[0], 1), h.failed(old[1], 1), h.failed(old[2], 1))
	h.clock.Add(time.Hour)
	ids := h.posts(3, w)
	h.settle(h.failed(ids[0], 1), h.failed(ids[1], 1), h.failed(ids[2], 1))
	h.floor(ids[2].Event)
	j := h.create(replayOf(w))
	_, made := h.step(j.ID, 1)
	if !slices.Equal(made, old[:1]) {
		h.Errorf("it made %v", made)
	}
	if done := h.trimAll(store.Retention{DeliveryAge: time.Minute}); done.Logged != 2 {
		h.Errorf("trimmed %+v", done)
	}
	_, made = h.step(j.ID, 1)
	if !slices.Equal(made, ids[:1]) {
		h.Errorf("it made %v", made)
	}
	h.clock.Add(time.Hour)
	h.trimAll(store.Retention{Age: time.Minute})
	if got, made := h.finish(j.ID); got.State != store.JobDone || len(made) != 0 || got.Done != 2 || got.Total != 6 {
		h.Errorf("without events it made %v: %+v", made, got)
	}
	// Retention can be faster than the floor.
	last := h.posts(1, w)
	j = h.create(replayOf(w))
	h.clock.Add(time.Hour)
	h.trimAll(store.Retention{Age: time.Minute})
	if got, made := h.finish(j.ID); got.State != store.JobDone || len(made) != 0 || got.At != last[0].Event {
		h.Errorf("above the floor it made %v: %+v", made, got)
	}
}

func testJobForgotten(h *harness) {
	const day = 24 * time.Hour
	w := h.webhook()
	h.post("a", w.ID)
	running := h.create(replayOf(w))
	ended := h.create(replayOf(w, event.Canceled))
	_, err := h.CancelJob(h.ctx(), tenant, ended.ID)
	h.check(err)
	there := func(want bool) {
		h.Helper()
		h.trimAll(store.Retention{})
		_, err := h.Job(h.ctx(), tenant, ended.ID)
		if want && err != nil || !want && !errors.Is(err, store.ErrNotFound) {
			h.Errorf("the job that ended: %v", err)
		}
		if _, err := h.Job(h.ctx(), tenant, running.ID); err != nil {
			h.Errorf("the running job: %v", err)
		}
	}
	h.clock.Add(29 * day)
	there(true)
	h.clock.Add(2 * day)
	there(false)
}
