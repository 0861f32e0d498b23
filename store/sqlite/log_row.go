package sqlite

import (
	"encoding/json"
	"fmt"

	"github.com/ncruces/go-sqlite3"

	"github.com/carillon/carillon/event"
)

// matchBytes is the size of one match in an event's row: the webhook's id and a byte of flags.
const matchBytes = 17

// The flags of a match.
const (
	matchDisabled    = 1
	matchFilterError = 2
)

func encodeMatches(matches []event.Match) []byte {
	blob := make([]byte, 0, len(matches)*matchBytes)
	for _, m := range matches {
		flags := byte(0)
		if m.Disabled {
			flags |= matchDisabled
		}
		if m.FilterError {
			flags |= matchFilterError
		}
		blob = append(append(blob, m.Webhook[:]...), flags)
	}
	return blob
}

// neverOwed says why a delivery was canceled from the start; empty for one that was owed.
func neverOwed(m event.Match) event.Reason {
	switch {
	case m.Disabled:
		return event.ReasonDisabled
	case m.FilterError:
		return event.ReasonFilterError
	}
	return ""
}

func decodeMatches(blob []byte) []event.Match {
	if len(blob) == 0 {
		return nil
	}
	matches := make([]event.Match, 0, len(blob)/matchBytes)
	for ; len(blob) >= matchBytes; blob = blob[matchBytes:] {
		matches = append(matches, event.Match{
			Webhook:     event.ID(blob[:16]),
			Disabled:    blob[16]&matchDisabled != 0,
			FilterError: blob[16]&matchFilterError != 0,
		})
	}
	return matches
}

// eventHeadColumns are an event's columns for a list; eventColumns are all of them. The tables are e and t,
// and always walked in this order.
const (
	eventHeadColumns = `e.cursor, e.tenant, t.name, e.time, e.id, e.owed, e.size, e.content_type, e.partition_key,
		e.traceparent, e.attributes`
	eventColumns = eventHeadColumns + `, e.matches, e.payload`
	eventTables  = ` FROM event e CROSS JOIN topic t ON t.num = e.topic `
)

// scanEventHead reads eventHeadColumns.
func scanEventHead(s *sqlite3.Stmt) (ev *event.Event, size, owed int, err error) {
	ev = &event.Event{
		Cursor:       columnCursor(s, 0),
		Tenant:       event.TenantID(s.ColumnInt64(1)),
		Topic:        event.Topic(s.ColumnText(2)),
		Time:         columnTime(s, 3),
		ID:           columnID(s, 4),
		ContentType:  s.ColumnText(7),
		PartitionKey: s.ColumnText(8),
		Traceparent:  s.ColumnText(9),
	}
	if attributes := s.ColumnRawText(10); attributes != nil {
		if err := json.Unmarshal(attributes, &ev.Attributes); err != nil {
			return nil, 0, 0, fmt.Errorf("reading the attributes of event %s: %w", ev.ID, err)
		}
	}
	return ev, s.ColumnInt(6), s.ColumnInt(5), nil
}

// scanEvent reads eventColumns.
func scanEvent(s *sqlite3.Stmt) (*event.Event, error) {
	ev, size, _, err := scanEventHead(s)
	if err != nil {
		return nil, err
	}
	ev.Matches = decodeMatches(s.ColumnRawBlob(11))
	ev.Payload = s.ColumnBlob(12, make([]byte, 0, size))
	return ev, nil
}
