package sqlite

import (
	"cmp"
	"slices"

	"github.com/ncruces/go-sqlite3"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// expiry gathers the deliveries that are still owed when retention removes their events.
type expiry struct {
	b        *batch
	announce bool // somebody wants to know which
	count    int

	events   map[event.Cursor]expiringEvent // for announce
	reserved map[int64]bool                 // topics, by number
	webhooks map[int64]*expired             // by number

	heads map[orderPlace]event.ID // what others may be parked behind, and whose it is
}

type expiringEvent struct {
	id    event.ID
	topic int64
}

// expired is what goes of one webhook.
type expired struct {
	store.Expired
	first, last event.Cursor
}

// orderPlace is one order key of one webhook.
type orderPlace struct{ webhook, line, key int64 }

// event notes an event that goes.
func (e *expiry) event(cursor event.Cursor, id event.ID, topic int64) error {
	if !e.announce {
		return nil
	}
	if e.events == nil {
		e.events = make(map[event.Cursor]expiringEvent)
		e.reserved = make(map[int64]bool)
		e.webhooks = make(map[int64]*expired)
	}
	if _, known := e.reserved[topic]; !known {
		_, err := e.b.c.first(`SELECT name FROM topic WHERE num = ?`, []any{topic},
			func(s *sqlite3.Stmt) { e.reserved[topic] = event.Topic(s.ColumnText(0)).Reserved() })
		if err != nil {
			return err
		}
	}
	e.events[cursor] = expiringEvent{id, topic}
	return nil
}

// unrecorded adds the deliveries of an event that are owed and have no row.
func (e *expiry) unrecorded(cursor event.Cursor, matches []event.Match) error {
	if cursor <= e.b.floor {
		return nil
	}
	for _, m := range matches {
		k := e.b.hook(m.Webhook)
		if !m.Owed() || k == nil || !k.owed(cursor) {
			continue
		}
		_, found, err := e.b.row(cursor, k)
		if err != nil {
			return err
		}
		if !found {
			e.add(cursor, k)
		}
	}
	return nil
}

const expiredSQL = `SELECT d.cursor, w.id, w.line, d.order_key FROM delivery d CROSS JOIN webhook w ON w.num = d.webhook
	WHERE d.cursor <= ? AND d.state = 0 AND d.line = w.line`

// rows adds the pending rows up to a cursor.
func (e *expiry) rows(through event.Cursor) error {
	return e.b.c.each(expiredSQL, []any{through}, func(s *sqlite3.Stmt) (bool, error) {
		k := e.b.hook(columnID(s, 1))
		if k == nil {
			return true, nil // its tenant is deleted: it is not owed
		}
		e.add(columnCursor(s, 0), k)
		// Rows go by cursor, the lowest first: of each key, the head is among them.
		if key := s.ColumnInt64(3); key != 0 {
			if e.heads == nil {
				e.heads = make(map[orderPlace]event.ID)
			}
			e.heads[orderPlace{k.num, s.ColumnInt64(2), key}] = k.webhook.ID
		}
		return true, nil
	})
}

func (e *expiry) add(cursor event.Cursor, k *hook) {
	e.count++
	ev, known := e.events[cursor]
	if !known || e.reserved[ev.topic] {
		return
	}
	x := e.webhooks[k.num]
	if x == nil {
		x = &expired{Expired: store.Expired{Tenant: k.webhook.Tenant, Webhook: k.webhook.ID}}
		e.webhooks[k.num] = x
	}
	x.Deliveries++
	if x.first == 0 || cursor < x.first {
		x.first, x.First = cursor, ev.id
	}
	if cursor > x.last {
		x.last, x.Last = cursor, ev.id
	}
}

// byWebhook returns what goes of each webhook, by the first event of each.
func (e *expiry) byWebhook() []store.Expired {
	all := make([]*expired, 0, len(e.webhooks))
	for _, x := range e.webhooks {
		all = append(all, x)
	}
	slices.SortFunc(all, func(a, b *expired) int {
		return cmp.Or(cmp.Compare(a.first, b.first), slices.Compare(a.Webhook[:], b.Webhook[:]))
	})
	list := make([]store.Expired, len(all))
	for i, x := range all {
		list[i] = x.Expired
	}
	return list
}
