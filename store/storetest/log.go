package storetest

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

var logTests = []conformance{
	{"AppendAndRead", testAppendAndRead},
	{"EventsAt", testEventsAt},
	{"CursorsOutliveAnEmptiedLog", testCursorsOutliveAnEmptiedLog},
	{"TimesNeverFall", testTimesNeverFall},
	{"AllOrNone", testAllOrNone},
	{"Canceled", testAppendCanceled},
	{"ReadByPattern", testReadByPattern},
	{"ReadInPieces", testReadInPieces},
	{"ReadGone", testReadGone},
	{"CursorBefore", testCursorBefore},
	{"ListEvents", testListEvents},
	{"ListTopics", testListTopics},
	{"Tenants", testLogTenants},
}

func testAppendAndRead(h *harness) {
	id := event.NewID()
	off, broken, both := event.NewID(), event.NewID(), event.NewID()
	d := store.Draft{Event: &event.Event{
		ID:           event.NewID(),
		Tenant:       tenant,
		Topic:        "orders.created",
		ContentType:  "application/json; charset=utf-8",
		PartitionKey: "customer-17",
		Traceparent:  "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		Attributes:   map[string]string{"source": "/shop", "type": "order", "id": "ü"},
		Payload:      []byte("\x00\xff{\r\n}"),
		Matches: []event.Match{{Webhook: id}, {Webhook: off, Disabled: true}, {Webhook: broken, FilterError: true},
			{Webhook: both, Disabled: true, FilterError: true}},
	}}
	want := *d.Event
	r := h.append(d)[0]
	if r.ID != want.ID || r.Topic != want.Topic || r.Webhooks != 1 || r.Replayed || r.Cursor == 0 {
		h.Errorf("receipt is %+v", r)
	}
	if r.Time != h.clock.Now().Truncate(event.Precision) {
		h.Errorf("accepted at %s, want the clock's %s", r.Time, h.clock.Now())
	}
	want.Cursor, want.Time = r.Cursor, r.Time
	empty := h.append(store.Draft{Event: &event.Event{ID: event.NewID(), Tenant: tenant, Topic: "orders.empty"}})[0]

	compare := func(how string, got *event.Event) {
		h.Helper()
		if !sameEvent(got, &want) {
			h.Errorf("%s: got %+v, want %+v", how, got, &want)
		}
	}
	for _, when := range []string{"at once", "after a restart"} {
		got, err := h.Event(h.ctx(), tenant, r.ID)
		h.check(err)
		compare("Event "+when, got)
		got, err = h.EventAt(h.ctx(), r.Cursor)
		h.check(err)
		compare("EventAt "+when, got)
		result, err := h.Read(h.ctx(), tenant, store.ReadQuery{Patterns: []event.Pattern{"orders.created"}, Limit: 10})
		h.check(err)
		if len(result.Events) != 1 {
			h.Fatalf("read %d events", len(result.Events))
		}
		compare("Read "+when, result.Events[0])
		events, err := h.Tail(0).Next(h.ctx())
		h.check(err)
		compare("Tail "+when, events[0])

		got, err = h.Event(h.ctx(), tenant, empty.ID)
		h.check(err)
		if got.Attributes != nil || len(got.Matches) != 0 || len(got.Payload) != 0 || got.ContentType != "" {
			h.Errorf("a bare event came back as %+v", got)
		}
		h.reopen()
	}
	if _, err := h.Event(h.ctx(), tenant, event.NewID()); !errors.Is(err, store.ErrNotFound) {
		h.Errorf("an unknown id: %v", err)
	}
	if _, err := h.EventAt(h.ctx(), empty.Cursor+100); !errors.Is(err, store.ErrNotFound) {
		h.Errorf("an unknown cursor: %v", err)
	}
}

func testEventsAt(h *harness) {
	var cursors []event.Cursor
	for range 4 {
		cursors = append(cursors, h.post("a").Cursor)
	}
	bytes := len(draft("a").Event.Payload)
	asked := []event.Cursor{cursors[3], cursors[0], cursors[3] + 100, cursors[2]}
	for _, c := range []struct {
		bytes int
		want  []event.Cursor
	}{
		{1 << 20, []event.Cursor{cursors[3], cursors[0], cursors[2]}},
		{bytes + 1, []event.Cursor{cursors[3], cursors[0]}},
		{bytes, []event.Cursor{cursors[3]}},
		{1, []event.Cursor{cursors[3]}},
	} {
		events, err := h.EventsAt(h.ctx(), asked, c.bytes)
		h.check(err)
		var got []event.Cursor
		for _, ev := range events {
			got = append(got, ev.Cursor)
			if len(ev.Payload) != bytes || ev.Topic != "a" {
				h.Errorf("read %+v", ev)
			}
		}
		if !slices.Equal(got, c.want) {
			h.Errorf("of %d bytes: %v, want %v", c.bytes, got, c.want)
		}
	}
	if events, err := h.EventsAt(h.ctx(), nil, 1); err != nil || len(events) != 0 {
		h.Errorf("of no cursors: %v (%v)", events, err)
	}
}

func sameEvent(a, b *event.Event) bool {
	return a.ID == b.ID && a.Tenant == b.Tenant && a.Topic == b.Topic && a.Cursor == b.Cursor && a.Time.Equal(b.Time) &&
		a.ContentType == b.ContentType && a.PartitionKey == b.PartitionKey && a.Traceparent == b.Traceparent &&
		maps.Equal(a.Attributes, b.Attributes) && bytes.Equal(a.Payload, b.Payload) && slices.Equal(a.Matches, b.Matches)
}

func testCursorsOutliveAnEmptiedLog(h *harness) {
	var last event.Cursor
	for range 3 {
		for range 5 {
			r := h.post("a")
			if r.Cursor <= last {
				h.Fatalf("cursor %s after %s", r.Cursor, last)
			}
			last = r.Cursor
		}
		h.clock.Add(time.Hour)
		h.trimAll(store.Retention{Age: time.Minute})
		h.reopen()
		b := h.boundsNow()
		if b.Head != last || b.Trimmed != last {
			h.Fatalf("bounds of the emptied log are %+v, the last cursor was %s", b, last)
		}
	}
}

// trimAll trims until there is no more to do and returns the sum.
func (h *harness) trimAll(r store.Retention) (sum store.Trimmed) {
	h.Helper()
	for {
		step, err := h.Trim(h.ctx(), r)
		h.check(err)
		sum.Events += step.Events
		sum.Expired += step.Expired
		sum.Logged += step.Logged
		sum.Swept += step.Swept
		if !step.More {
			return sum
		}
	}
}

func testTimesNeverFall(h *harness) {
	first := h.post("a")
	h.clock.Add(-time.Hour)
	second := h.post("a")
	h.reopen()
	third := h.post("a")
	if second.Time.Before(first.Time) || third.Time.Before(second.Time) {
		h.Errorf("times fell: %s, %s, %s", first.Time, second.Time, third.Time)
	}
}

func testAllOrNone(h *harness) {
	one := h.post("a")
	again := draft("b")
	again.Event.ID = one.ID // an id is an event's own
	head := h.boundsNow().Head
	if _, err := h.Append(h.ctx(), []store.Draft{draft("b"), draft("b"), again}); err == nil {
		h.Fatal("an id was taken twice")
	}
	keyed := draft("b")
	keyed.Key = "k"
	h.append(keyed)
	reused := draft("b")
	reused.Key, reused.Fingerprint = "k", [16]byte{1}
	if _, err := h.Append(h.ctx(), []store.Draft{draft("b"), reused, draft("b")}); !errors.Is(err, store.ErrKeyReused) {
		h.Fatalf("a reused key: %v", err)
	}
	result, err := h.Read(h.ctx(), tenant, store.ReadQuery{After: head, Patterns: []event.Pattern{"**"}, Limit: 10})
	h.check(err)
	if len(result.Events) != 1 || result.Events[0].ID != keyed.Event.ID {
		h.Errorf("a refused batch left %d events behind", len(result.Events)-1)
	}
	receipts := h.append(draft("c"), draft("d"), draft("c"))
	for i := 1; i < len(receipts); i++ {
		if receipts[i].Cursor <= receipts[i-1].Cursor {
			h.Errorf("cursors of a batch do not grow: %s, %s", receipts[i-1].Cursor, receipts[i].Cursor)
		}
	}
}

func testAppendCanceled(h *harness) {
	ctx, cancel := context.WithCancel(h.ctx())
	cancel()
	_, err := h.Append(ctx, []store.Draft{draft("a")})
	if !errors.Is(err, context.Canceled) || !(errors.Is(err, store.ErrNotStored) || errors.Is(err, store.ErrUnknown)) {
		h.Errorf("a canceled append: %v", err)
	}
}

func testReadByPattern(h *harness) {
	topics := []event.Topic{"orders", "orders.created", "orders.eu.created", "users.eu", "ordersX.created",
		"_carillon.delivery.failed", "_carillon", "a.b.c.d"}
	for _, topic := range topics {
		h.post(topic)
	}
	for i := range 40 { // more topics than an engine looks up one by one
		h.post(event.Topic("many.t" + string(rune('A'+i))))
		topics = append(topics, event.Topic("many.t"+string(rune('A'+i))))
	}
	for _, patterns := range [][]event.Pattern{
		{"orders"}, {"orders.*"}, {"orders.**"}, {"**"}, {"*"}, {"*.*"}, {"*.created"}, {"_carillon.**"}, {"_carillon.*.failed"},
		{"orders", "users.*"}, {"orders.*", "orders.created", "**"}, {"nothing"}, {"nothing.**"}, {}, {"many.**"}, {"a.*.c.**"},
		{"many.tA", "many.tB"}, {"*.eu"}, {"_carillon"},
	} {
		var want []event.Topic
		for _, topic := range topics {
			if event.MatchAny(patterns, topic) {
				want = append(want, topic)
			}
		}
		var got []event.Topic
		for _, ev := range h.readAll(0, patterns, 3) {
			got = append(got, ev.Topic)
		}
		if !slices.Equal(got, want) {
			h.Errorf("%v: got %v, want %v", patterns, got, want)
		}
	}
}

// readAll reads from after to the log's end.
func (h *harness) readAll(after event.Cursor, patterns []event.Pattern, limit int) (events []*event.Event) {
	h.Helper()
	for {
		result, err := h.Read(h.ctx(), tenant, store.ReadQuery{After: after, Patterns: patterns, Limit: limit})
		h.check(err)
		if len(result.Events) > limit {
			h.Fatalf("asked for %d events, got %d", limit, len(result.Events))
		}
		for _, ev := range result.Events {
			if ev.Cursor <= after || ev.Cursor > result.Through {
				h.Fatalf("event at %s is not in (%s, %s]", ev.Cursor, after, result.Through)
			}
			after = ev.Cursor
		}
		events = append(events, result.Events...)
		if result.End {
			if head := h.boundsNow().Head; result.Through != head {
				h.Fatalf("the end is %s, the head is %s", result.Through, head)
			}
			return events
		}
		if result.Through < after || len(result.Events) == 0 && result.Through == after {
			h.Fatalf("no way forward from %s: %+v", after, result)
		}
		after = result.Through
	}
}

func testReadInPieces(h *harness) {
	var want []event.ID
	big := bytes.Repeat([]byte("x"), 1000)
	for range 20 {
		d := draft("a.b")
		d.Event.Payload = big
		want = append(want, h.append(d)[0].ID)
		h.post("other")
	}
	for _, patterns := range [][]event.Pattern{{"a.b"}, {"a.*"}, {"*.b"}} {
		var got []event.ID
		after := event.Cursor(0)
		for {
			result, err := h.Read(h.ctx(), tenant, store.ReadQuery{After: after, Patterns: patterns, Limit: 100, Bytes: 2500})
			h.check(err)
			if len(result.Events) > 3 {
				h.Fatalf("%d events of 1000 bytes for a bound of 2500", len(result.Events))
			}
			for _, ev := range result.Events {
				got = append(got, ev.ID)
			}
			after = result.Through
			if result.End {
				break
			}
		}
		if !slices.Equal(got, want) {
			h.Errorf("%v: pieces make %d events, want %d", patterns, len(got), len(want))
		}
	}
	head := h.boundsNow().Head
	result, err := h.Read(h.ctx(), tenant, store.ReadQuery{After: head, Patterns: []event.Pattern{"**"}, Limit: 1})
	h.check(err)
	if len(result.Events) != 0 || !result.End || result.Through != head {
		h.Errorf("reading at the head: %+v", result)
	}
}

func testReadGone(h *harness) {
	h.post("a")
	second := h.post("a")
	h.clock.Add(time.Hour)
	third := h.post("a")
	h.trimAll(store.Retention{Age: time.Minute})
	if b := h.boundsNow(); b.Trimmed != second.Cursor || b.Head != third.Cursor {
		h.Errorf("bounds are %+v", b)
	}
	gone := func(how string, err error) {
		h.Helper()
		var g *store.GoneError
		if !errors.As(err, &g) || g.Trimmed != second.Cursor {
			h.Errorf("%s: %v", how, err)
		}
	}
	for range 2 {
		_, err := h.Read(h.ctx(), tenant, store.ReadQuery{Patterns: []event.Pattern{"**"}, Limit: 1})
		gone("Read", err)
		_, err = h.Tail(0).Next(h.ctx())
		gone("Tail", err)
		_, err = h.Tail(second.Cursor - 1).Next(h.ctx())
		gone("Tail", err)
		events, err := h.Tail(second.Cursor).Next(h.ctx())
		h.check(err)
		if len(events) != 1 || events[0].Cursor != third.Cursor {
			h.Errorf("tail after the trimmed: %+v", events)
		}
		if got := h.readAll(second.Cursor, []event.Pattern{"a"}, 5); len(got) != 1 {
			h.Errorf("read %d events after the trimmed", len(got))
		}
		h.reopen()
	}
}

func testCursorBefore(h *harness) {
	at := func(t time.Time) event.Cursor {
		h.Helper()
		c, err := h.CursorBefore(h.ctx(), t)
		h.check(err)
		return c
	}
	start := h.clock.Now()
	if c := at(start); c != h.boundsNow().Head {
		h.Errorf("in an empty log: %s", c)
	}
	var receipts []store.Receipt
	for range 30 {
		receipts = append(receipts, h.post("a"), h.post("a"))
		h.clock.Add(10 * time.Second)
	}
	check := func() {
		h.Helper()
		trimmed := h.boundsNow().Trimmed
		for offset := -5 * time.Second; offset < 310*time.Second; offset += 5 * time.Second {
			got := at(start.Add(offset))
			if got < trimmed {
				h.Errorf("at %s: %s is trimmed", offset, got)
			}
			for _, r := range receipts {
				if r.Cursor <= trimmed {
					continue
				}
				if after := !r.Time.Before(start.Add(offset)); after != (r.Cursor > got) {
					h.Errorf("at %s: %s, but %s was accepted at %s", offset, got, r.Cursor, r.Time)
				}
			}
		}
	}
	check()
	h.trimAll(store.Retention{Age: 200 * time.Second})
	check()
}

func testListEvents(h *harness) {
	var all []store.Receipt
	start := h.clock.Now()
	for i := range 30 {
		d := draft([]event.Topic{"a.x", "a.y", "b", "_carillon.x"}[i%4], event.NewID())
		d.Event.Matches = append(d.Event.Matches, event.Match{Webhook: event.NewID(), Disabled: true})
		all = append(all, h.append(d)[0])
		h.clock.Add(time.Second)
	}
	for _, test := range []struct {
		name   string
		filter store.EventFilter
		want   func(i int) bool
	}{
		{"all", store.EventFilter{}, func(int) bool { return true }},
		{"literal", store.EventFilter{Patterns: []event.Pattern{"b"}}, func(i int) bool { return i%4 == 2 }},
		{"prefix", store.EventFilter{Patterns: []event.Pattern{"a.*"}}, func(i int) bool { return i%4 < 2 }},
		{"wildcard", store.EventFilter{Patterns: []event.Pattern{"**"}}, func(i int) bool { return i%4 != 3 }},
		{"inner wildcard", store.EventFilter{Patterns: []event.Pattern{"*.x"}}, func(i int) bool { return i%4 == 0 }},
		{"since", store.EventFilter{Since: start.Add(10 * time.Second)}, func(i int) bool { return i >= 10 }},
		{"until", store.EventFilter{Until: start.Add(10 * time.Second)}, func(i int) bool { return i < 10 }},
		{"between", store.EventFilter{Patterns: []event.Pattern{"a.x"}, Since: start.Add(4 * time.Second), Until: start.Add(12 * time.Second)},
			func(i int) bool { return i == 4 || i == 8 }},
	} {
		var want []event.ID
		for i := len(all) - 1; i >= 0; i-- {
			if test.want(i) {
				want = append(want, all[i].ID)
			}
		}
		var got []event.ID
		page := store.Page{Limit: 4}
		for {
			list, err := h.ListEvents(h.ctx(), tenant, test.filter, page)
			h.check(err)
			if len(list.Data) == 0 && page.Token != "" {
				h.Errorf("%s: an empty page at the end", test.name)
			}
			for _, s := range list.Data {
				got = append(got, s.Event.ID)
				if s.Owed != 1 || s.Size == 0 || s.Event.Payload != nil || s.Event.Matches != nil {
					h.Errorf("%s: summary %+v of %+v", test.name, s, s.Event)
				}
			}
			if page.Token = list.Next; page.Token == "" {
				break
			}
		}
		if !slices.Equal(got, want) {
			h.Errorf("%s: got %d events, want %d", test.name, len(got), len(want))
		}
	}

	// A page goes on where the one before ended, whatever came meanwhile.
	first, err := h.ListEvents(h.ctx(), tenant, store.EventFilter{}, store.Page{Limit: 5})
	h.check(err)
	h.post("b")
	second, err := h.ListEvents(h.ctx(), tenant, store.EventFilter{}, store.Page{Limit: 5, Token: first.Next})
	h.check(err)
	if second.Data[0].Event.ID != all[len(all)-6].ID {
		h.Error("an event that came between two pages moved the second")
	}
	for _, token := range []string{"?", "0", "-1", "a.x", event.Cursor(0).String(), event.MaxCursor.String()} {
		if _, err := h.ListEvents(h.ctx(), tenant, store.EventFilter{}, store.Page{Limit: 5, Token: token}); !errors.Is(err, store.ErrPage) {
			h.Errorf("a foreign token, %s: %v", token, err)
		}
	}
}

func testListTopics(h *harness) {
	h.post("b")
	h.clock.Add(time.Hour)
	for _, topic := range []event.Topic{"a", "_carillon.x", "c.d", "c", "b", "a"} {
		h.post(topic)
		h.clock.Add(time.Second)
	}
	list := func() (topics []store.TopicSummary) {
		h.Helper()
		page := store.Page{Limit: 2}
		for {
			list, err := h.ListTopics(h.ctx(), tenant, page)
			h.check(err)
			if len(list.Data) == 0 && page.Token != "" {
				h.Error("an empty page at the end")
			}
			topics = append(topics, list.Data...)
			if page.Token = list.Next; page.Token == "" {
				return topics
			}
		}
	}
	names := func(topics []store.TopicSummary) (names []event.Topic) {
		for _, s := range topics {
			names = append(names, s.Topic)
		}
		return names
	}
	topics := list()
	if got := names(topics); !slices.Equal(got, []event.Topic{"_carillon.x", "a", "b", "c", "c.d"}) {
		h.Fatalf("topics are %v", got)
	}
	for i, want := range []int64{1, 2, 2, 1, 1} {
		s := topics[i]
		last, err := h.EventAt(h.ctx(), s.Last)
		h.check(err)
		if s.Events != want || last.Topic != s.Topic || !last.Time.Equal(s.LastAt) {
			h.Errorf("topic %+v, want %d events, last %s", s, want, last.Time)
		}
	}
	h.trimAll(store.Retention{Age: 30 * time.Minute})
	if s := list()[2]; s.Topic != "b" || s.Events != 1 {
		h.Errorf("after the first b was trimmed: %+v", s)
	}
	h.clock.Add(time.Hour)
	h.trimAll(store.Retention{Age: 30 * time.Minute})
	if topics := list(); len(topics) != 0 {
		h.Errorf("topics of an empty log: %+v", topics)
	}
	h.post("a")
	if topics := list(); len(topics) != 1 || topics[0].Events != 1 {
		h.Errorf("topics after it was emptied: %+v", topics)
	}
	for _, token := range []string{"?", "0", "-1", "a", "c.d", "not a topic"} {
		if _, err := h.ListTopics(h.ctx(), tenant, store.Page{Limit: 5, Token: token}); !errors.Is(err, store.ErrPage) {
			h.Errorf("a foreign token, %s: %v", token, err)
		}
	}
}

func testLogTenants(h *harness) {
	mine := h.post("a")
	d := draft("a")
	d.Event.Tenant = another
	theirs := h.append(d)[0]

	if _, err := h.Event(h.ctx(), tenant, theirs.ID); !errors.Is(err, store.ErrNotFound) {
		h.Errorf("another tenant's event: %v", err)
	}
	if _, err := h.Event(h.ctx(), another, theirs.ID); err != nil {
		h.Error(err)
	}
	for _, patterns := range [][]event.Pattern{{"a"}, {"**"}} {
		if events := h.readAll(0, patterns, 10); len(events) != 1 || events[0].ID != mine.ID {
			h.Errorf("%v reads %d events", patterns, len(events))
		}
		list, err := h.ListEvents(h.ctx(), tenant, store.EventFilter{Patterns: patterns}, store.Page{Limit: 10})
		h.check(err)
		if len(list.Data) != 1 || list.Data[0].Event.ID != mine.ID {
			h.Errorf("%v lists %d events", patterns, len(list.Data))
		}
	}
	list, err := h.ListEvents(h.ctx(), another, store.EventFilter{}, store.Page{Limit: 10})
	h.check(err)
	if len(list.Data) != 1 || list.Data[0].Event.ID != theirs.ID {
		h.Errorf("the other tenant lists %d events", len(list.Data))
	}
	topics, err := h.ListTopics(h.ctx(), tenant, store.Page{Limit: 10})
	h.check(err)
	if len(topics.Data) != 1 || topics.Data[0].Events != 1 {
		h.Errorf("topics are %+v", topics.Data)
	}
	// The tail is the gateway's own and shows all.
	tail := h.Tail(0)
	seen := 0
	for seen < 2 {
		events, err := tail.Next(h.ctx())
		h.check(err)
		seen += len(events)
	}
}
