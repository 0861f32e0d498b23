package sqlite

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// listRows bounds how many deliveries one page examines.
const listRows = 20_000

// deliveryPlace is where a page of deliveries ended: rows come by cursor and webhook, the highest first.
type deliveryPlace struct {
	cursor event.Cursor
	num    int64
}

func (p deliveryPlace) String() string { return fmt.Sprintf("%s.%d", p.cursor, p.num) }

func parsePlace(token string) (p deliveryPlace, err error) {
	cursor, num, _ := strings.Cut(token, ".")
	if p.cursor, err = event.ParseCursor(cursor); err != nil {
		return p, store.ErrPage
	}
	if p.num, err = strconv.ParseInt(num, 10, 64); err != nil || p.num < 1 || p.String() != token {
		return p, store.ErrPage
	}
	return p, nil
}

// ListDeliveries implements [store.Deliveries].
func (e *Engine) ListDeliveries(ctx context.Context, tenant event.TenantID, f store.DeliveryFilter, p store.Page) (list store.List[event.Delivery], err error) {
	tenant = e.tenants.standing(tenant)
	err = e.read(ctx, func(c *conn) error {
		if !f.Event.IsZero() {
			return listOfEvent(c, tenant, f, p, &list)
		}
		return listRecorded(c, tenant, f, p, &list)
	})
	return list, reading("deliveries", err)
}

// listOfEvent lists an event's deliveries in the order of its matches. The page token is the index of the next one.
func listOfEvent(c *conn, tenant event.TenantID, f store.DeliveryFilter, p store.Page, list *store.List[event.Delivery]) error {
	from := 0
	if p.Token != "" {
		var err error
		if from, err = strconv.Atoi(p.Token); err != nil || from < 1 || strconv.Itoa(from) != p.Token {
			return store.ErrPage
		}
	}
	m, found, err := readMatched(c, tenant, matchedID, f.Event)
	if err != nil || !found {
		return err
	}
	if from > 0 && from >= len(m.matches) {
		return store.ErrPage
	}
	if len(f.Patterns) > 0 && !event.MatchAny(f.Patterns, m.topic) {
		return nil
	}
	if !f.Since.IsZero() && m.time.Before(f.Since.Truncate(event.Precision)) || !f.Until.IsZero() && !m.time.Before(f.Until) {
		return nil
	}
	for i := from; i < len(m.matches); i++ {
		if i-from == listRows {
			list.Next = strconv.Itoa(i)
			return nil
		}
		if !f.Webhook.IsZero() && m.matches[i].Webhook != f.Webhook {
			continue
		}
		d, _, err := m.delivery(c, tenant, m.matches[i])
		if errors.Is(err, store.ErrNotFound) {
			continue // the delivery log keeps it no longer
		}
		if err != nil {
			return err
		}
		if !wanted(&d, f) {
			continue
		}
		if len(list.Data) == p.Limit {
			list.Next = strconv.Itoa(i)
			return nil
		}
		list.Data = append(list.Data, d)
	}
	return nil
}

// wanted reports whether the delivery itself passes the filter.
func wanted(d *event.Delivery, f store.DeliveryFilter) bool {
	return (f.State == nil || d.State == *f.State) && (f.Outcome == event.NoOutcome || d.LastOutcome == f.Outcome)
}

// The ways to walk through the rows, each along an index. The last parameter but two is the key of the way, and the
// others are where the page begins and where the list ends.
const (
	walkAll = `SELECT ` + deliveryColumns + deliveryTables + `
		WHERE d.tenant = ? AND (d.cursor, d.webhook) < (?, ?) AND d.cursor > ? ORDER BY d.cursor DESC, d.webhook DESC`
	walkFailed = `SELECT ` + deliveryColumns + deliveryTables + `
		WHERE d.tenant = ? AND (d.cursor, d.webhook) < (?, ?) AND d.cursor > ? AND d.state = 2 ORDER BY d.cursor DESC, d.webhook DESC`
	walkWebhook = `SELECT ` + deliveryColumns + deliveryTables + `
		WHERE d.webhook = ? AND (d.cursor, d.webhook) < (?, ?) AND d.cursor > ? ORDER BY d.cursor DESC`
)

// listRecorded lists deliveries that have a row. The page token is the place of the last row examined.
func listRecorded(c *conn, tenant event.TenantID, f store.DeliveryFilter, p store.Page, list *store.List[event.Delivery]) error {
	after, through, err := between(c, f.Since, f.Until)
	if err != nil {
		return err
	}
	from := deliveryPlace{through, 1<<63 - 1}
	if p.Token != "" {
		place, err := parsePlace(p.Token)
		if err != nil {
			return err
		}
		if _, head, err := ends(c); err != nil {
			return err
		} else if place.cursor > head {
			return store.ErrPage
		}
		if place.cursor <= through {
			from = place
		}
	}
	walk, key := walkAll, int64(tenant)
	switch {
	case !f.Webhook.IsZero():
		num, err := c.number(`SELECT num FROM webhook WHERE id = ? AND tenant = ?`, f.Webhook, tenant)
		if err != nil || num == 0 {
			return err
		}
		walk, key = walkWebhook, num
	case f.State != nil && *f.State == event.Failed:
		walk = walkFailed
	}

	topics := make(map[event.Cursor]bool, 1) // whether the last event's topic is wanted
	examined := 0
	last := from
	return c.each(walk, []any{key, from.cursor, from.num, after}, func(s *sqlite3.Stmt) (bool, error) {
		if examined == listRows {
			list.Next = last.String()
			return false, nil
		}
		d := scanDelivery(s)
		examined++
		before := last
		last = deliveryPlace{d.ID.Event, s.ColumnInt64(1)}
		if !wanted(&d, f) {
			return true, nil
		}
		if len(f.Patterns) > 0 {
			want, known := topics[d.ID.Event]
			if !known {
				clear(topics)
				if err := completeDelivery(c, &d); err != nil {
					return false, err
				}
				want = event.MatchAny(f.Patterns, d.Topic)
				topics[d.ID.Event] = want
			}
			if !want {
				return true, nil
			}
		}
		if len(list.Data) == p.Limit {
			list.Next = before.String()
			return false, nil
		}
		if err := completeDelivery(c, &d); err != nil {
			return false, err
		}
		list.Data = append(list.Data, d)
		return true, nil
	})
}
