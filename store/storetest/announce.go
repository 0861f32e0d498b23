package storetest

import (
	"slices"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

var announceTests = []conformance{
	{"Ended", testAnnounceEnded},
	{"Disabled", testAnnounceDisabled},
	{"Always", testAnnounceAlways},
	{"Repeated", testAnnounceRepeated},
	{"Floor", testAnnounceFloor},
	{"Expired", testAnnounceExpired},
	{"ExpiredByBytes", testAnnounceExpiredByBytes},
}

// news makes an event of the gateway's own.
func news(topic event.Topic, webhooks ...event.ID) *event.Event {
	return draft(topic, webhooks...).Event
}

// failed is a settlement that gives up.
func (h *harness) failed(id event.DeliveryID, number int) store.Settlement {
	s := h.retry(id, number, 0)
	s.State, s.Reason, s.Due = event.Failed, event.ReasonExhausted, time.Time{}
	return s
}

// announced returns the events of the gateway's own topics, by topic, oldest first.
func (h *harness) announced() (topics []event.Topic) {
	h.Helper()
	for _, ev := range h.readAll(h.boundsNow().Trimmed, []event.Pattern{"_carillon.**"}, 100) {
		topics = append(topics, ev.Topic)
	}
	return topics
}

func testAnnounceEnded(h *harness) {
	w := h.webhook()
	bare, spilled, canceled, disabled := deliveryID(h.post("a", w.ID), w), deliveryID(h.post("a", w.ID), w),
		deliveryID(h.post("a", w.ID), w), h.webhook()
	off := deliveryID(h.post("a", disabled.ID), disabled)
	h.toggle(disabled, false)
	h.spill(spilled)
	_, err := h.Cancel(h.ctx(), tenant, canceled)
	h.check(err)
	tail := h.Tail(h.boundsNow().Head)

	told := func(s store.Settlement, topic event.Topic) store.Settlement {
		s.Announce = news(topic, w.ID)
		return s
	}
	first := told(h.failed(bare, 1), "_carillon.delivery.first")
	unknown := event.DeliveryID{Event: bare.Event, Webhook: event.NewID()}
	trimmed := event.DeliveryID{Event: bare.Event + 100, Webhook: w.ID}
	quiet := store.Settlement{ID: spilled, Tenant: tenant, State: event.Failed, Reason: event.ReasonTransformError}
	h.settle(
		first,
		told(h.failed(bare, 1), "_carillon.delivery.void"),
		told(quiet, "_carillon.delivery.second"),
		told(quiet, "_carillon.delivery.ended"),
		told(h.failed(canceled, 1), "_carillon.delivery.canceled"),
		told(h.failed(unknown, 1), "_carillon.delivery.unknown"),
		told(h.failed(trimmed, 1), "_carillon.delivery.nowhere"),
		told(h.failed(off, 1), "_carillon.delivery.off"),
	)
	want := []event.Topic{"_carillon.delivery.first", "_carillon.delivery.second"}
	for range 2 {
		if got := h.announced(); !slices.Equal(got, want) {
			h.Errorf("announced %v, want %v", got, want)
		}
		h.settle(first) // again
	}
	// They are events like others.
	events, err := tail.Next(h.ctx())
	h.check(err)
	if len(events) != 2 || events[0].ID != first.Announce.ID || events[0].Cursor <= off.Event || !events[0].Time.Equal(h.clock.Now()) {
		h.Errorf("the tail gives %+v", events)
	}
	h.reopen()
	got, err := h.Event(h.ctx(), tenant, first.Announce.ID)
	h.check(err)
	if got.Topic != "_carillon.delivery.first" || len(got.Matches) != 1 || string(got.Payload) != string(first.Announce.Payload) {
		h.Errorf("it came back as %+v", got)
	}
	h.state(event.DeliveryID{Event: got.Cursor, Webhook: w.ID}, event.Pending, "")
	topics, err := h.ListTopics(h.ctx(), tenant, store.Page{Limit: 10})
	h.check(err)
	if i := slices.IndexFunc(topics.Data, func(t store.TopicSummary) bool { return t.Topic == got.Topic }); i < 0 || topics.Data[i].Events != 1 {
		h.Errorf("topics are %+v", topics.Data)
	}
	// One that was canceled and is delivered all the same takes on a state.
	h.settle(told(h.delivered(canceled, 2), "_carillon.delivery.late"))
	if got := h.announced(); !slices.Equal(got, append(want, "_carillon.delivery.late")) {
		h.Errorf("announced %v", got)
	}
}

func testAnnounceDisabled(h *harness) {
	w := h.webhook()
	one, two := deliveryID(h.post("a", w.ID), w), deliveryID(h.post("a", w.ID), w)
	gone := func(id event.DeliveryID, topic event.Topic) store.Settlement {
		s := h.failed(id, 1)
		s.Reason, s.Disable, s.AnnounceDisabled = event.ReasonGone, event.DisabledGone, news(topic, w.ID)
		return s
	}
	first := gone(one, "_carillon.webhook.first")
	h.settle(first, gone(two, "_carillon.webhook.second"))
	check := func(enabled bool, want ...event.Topic) {
		h.Helper()
		if got := h.announced(); !slices.Equal(got, want) {
			h.Errorf("announced %v, want %v", got, want)
		}
		if got := h.getWebhook(w.ID); got.Enabled != enabled {
			h.Errorf("the webhook is %+v", got)
		}
	}
	check(false, "_carillon.webhook.first")
	for _, ev := range h.readAll(0, []event.Pattern{"_carillon.**"}, 100) {
		h.state(event.DeliveryID{Event: ev.Cursor, Webhook: w.ID}, event.Canceled, event.ReasonDisabled)
	}
	// A settlement that is void disables nothing.
	h.toggle(w, true)
	h.settle(first)
	check(true, "_carillon.webhook.first")
	failing := h.failed(deliveryID(h.post("a", w.ID), w), 1)
	failing.Disable, failing.AnnounceDisabled = event.DisabledFailing, news("_carillon.webhook.third")
	h.settle(failing)
	check(false, "_carillon.webhook.first", "_carillon.webhook.third")
	if got := h.getWebhook(w.ID); got.DisabledReason != event.DisabledFailing {
		h.Errorf("disabled: %+v", got)
	}
}

func testAnnounceAlways(h *harness) {
	w := h.webhook()
	id := deliveryID(h.post("a", w.ID), w)
	s := h.failed(id, 1)
	s.Announce = news("_carillon.delivery.failed")
	h.check(h.Settle(h.ctx(), store.Settlements{
		Settled:   []store.Settlement{s},
		Announced: []*event.Event{news("_carillon.webhook.recovered"), news("_carillon.webhook.down")},
	}))
	want := []event.Topic{"_carillon.delivery.failed", "_carillon.webhook.recovered", "_carillon.webhook.down"}
	if got := h.announced(); !slices.Equal(got, want) {
		h.Errorf("announced %v, want %v", got, want)
	}
}

// testAnnounceRepeated makes the same write again, as after one whose outcome was unknown.
func testAnnounceRepeated(h *harness) {
	w := h.webhook()
	end := store.Settlement{ID: deliveryID(h.post("a", w.ID), w), Tenant: tenant, State: event.Delivered,
		Attempt: h.attempt(1, 200), Announce: news("_carillon.delivery.x")}
	other := news("_carillon.webhook.y")
	head := h.boundsNow().Head
	for range 3 {
		h.check(h.Settle(h.ctx(), store.Settlements{
			Settled: []store.Settlement{end}, Announced: []*event.Event{other, other},
		}))
		if got := h.boundsNow().Head; got != head+2 {
			h.Errorf("the head is %s after %s", got, head)
		}
		h.reopen()
	}
}

// testAnnounceFloor names a floor beyond the log: what is announced with it keeps what it owes.
func testAnnounceFloor(h *harness) {
	w := h.webhook()
	last := h.post("a", w.ID)
	h.check(h.Settle(h.ctx(), store.Settlements{
		Settled:   []store.Settlement{h.delivered(deliveryID(last, w), 1)},
		Announced: []*event.Event{news("_carillon.x", w.ID)},
		Floor:     last.Cursor + 100,
	}))
	floor, err := h.Floor(h.ctx())
	h.check(err)
	if floor != last.Cursor {
		h.Errorf("the floor is %s, want %s", floor, last.Cursor)
	}
	h.state(event.DeliveryID{Event: h.boundsNow().Head, Webhook: w.ID}, event.Pending, "")
}

func testAnnounceExpired(h *harness) {
	w, other := h.webhook(), h.webhook()
	theirs := newWebhook(another)
	h.check(h.CreateWebhook(h.ctx(), theirs))
	var receipts []store.Receipt
	for range 6 {
		receipts = append(receipts, h.post("a", w.ID))
	}
	id := func(i int) event.DeliveryID { return deliveryID(receipts[i], w) }
	h.settle(h.delivered(id(0), 1), h.retry(id(1), 1, time.Hour))
	h.spill(id(2))
	h.floor(receipts[2].Cursor)
	_, err := h.Cancel(h.ctx(), tenant, id(3))
	h.check(err)
	d := draft("a", other.ID)
	d.Event.Matches = append(d.Event.Matches, event.Match{Webhook: w.ID, FilterError: true})
	single := h.append(d)[0]
	d = draft("a", theirs.ID)
	d.Event.Tenant = another
	foreign := h.append(d)[0]
	own := h.post("_carillon.delivery.failed", w.ID, other.ID) // what these owe expires without a word
	h.spill(deliveryID(own, other))
	h.clock.Add(time.Hour)

	calls := 0
	var got []store.Expired
	r := store.Retention{Age: time.Minute, Announce: func(expired []store.Expired) []*event.Event {
		calls++
		got = append(got, expired...)
		return []*event.Event{news("_carillon.delivery.failed", w.ID), news("_carillon.delivery.failed")}
	}}
	head := h.boundsNow().Head
	if done := h.trimAll(r); done.Events != 9 || done.Expired != 4+1+1+2 {
		h.Errorf("trimmed %+v, want 9 events and 8 expired", done)
	}
	want := []store.Expired{
		{Tenant: tenant, Webhook: w.ID, Deliveries: 4, First: receipts[1].ID, Last: receipts[5].ID},
		{Tenant: tenant, Webhook: other.ID, Deliveries: 1, First: single.ID, Last: single.ID},
		{Tenant: another, Webhook: theirs.ID, Deliveries: 1, First: foreign.ID, Last: foreign.ID},
	}
	slices.SortFunc(got, func(a, b store.Expired) int { return b.Deliveries - a.Deliveries })
	if calls != 1 || len(got) != 3 || got[0] != want[0] || !slices.Contains(got, want[1]) || !slices.Contains(got, want[2]) {
		h.Errorf("in %d calls told of %+v, want %+v", calls, got, want)
	}
	for range 2 {
		if b := h.boundsNow(); b.Head != head+2 || b.Trimmed != head {
			h.Errorf("bounds are %+v, the head was %s", b, head)
		}
		if topics := h.announced(); len(topics) != 2 {
			h.Errorf("announced %v", topics)
		}
		h.state(event.DeliveryID{Event: head + 1, Webhook: w.ID}, event.Pending, "")
		h.reopen()
	}
	// Nothing expires by a step that removes only what owes nothing, or the announcements themselves.
	h.settle(h.delivered(event.DeliveryID{Event: head + 1, Webhook: w.ID}, 1))
	h.post("a")
	h.clock.Add(time.Hour)
	if done := h.trimAll(r); done.Events != 3 || done.Expired != 0 || calls != 1 {
		h.Errorf("trimmed %+v, and called %d times", done, calls)
	}
}

// testAnnounceExpiredByBytes bounds the log to less than what an announcement takes: that comes to an end.
func testAnnounceExpiredByBytes(h *harness) {
	w := h.webhook()
	h.fill(1200, w.ID)
	announced, steps := 0, 0
	r := store.Retention{Bytes: 1, Announce: func([]store.Expired) []*event.Event {
		announced++
		ev := news("_carillon.delivery.failed", w.ID)
		ev.Payload = make([]byte, 256<<10)
		return []*event.Event{ev}
	}}
	events := 0
	for more := true; more; steps++ {
		if steps > 100 {
			h.Fatal("it does not end")
		}
		done, err := h.Trim(h.ctx(), r)
		h.check(err)
		events += done.Events
		more = done.More
	}
	if announced < 2 || events != 1200+announced {
		h.Errorf("%d events were removed of 1200 and %d announcements", events, announced)
	}
}
