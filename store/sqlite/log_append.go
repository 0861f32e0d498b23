package sqlite

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math"

	"github.com/ncruces/go-sqlite3"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// draftRow is a draft made ready for the writer.
type draftRow struct {
	event       *event.Event
	attributes  []byte // nil: NULL
	matches     []byte
	owed        int
	keyed       bool
	key         [16]byte
	fingerprint [16]byte
	replay      *store.Receipt // what the key answers
}

// Append implements [store.Log].
func (e *Engine) Append(ctx context.Context, drafts []store.Draft) ([]store.Receipt, error) {
	if len(drafts) == 0 {
		return nil, nil
	}
	rows := make([]draftRow, len(drafts))
	bytes := 0
	for i := range drafts {
		if err := rows[i].encode(&drafts[i]); err != nil {
			return nil, fmt.Errorf("%w: %w", store.ErrNotStored, err)
		}
		bytes += len(drafts[i].Event.Payload)
	}
	var receipts []store.Receipt
	err := e.write(ctx, &operation{bytes: bytes, apply: func(b *batch) (err error) {
		receipts, err = b.append(rows)
		return err
	}})
	if err != nil {
		return nil, err
	}
	return receipts, nil
}

func (r *draftRow) encode(d *store.Draft) error {
	r.event = d.Event
	r.matches = encodeMatches(d.Event.Matches)
	r.owed = d.Event.Owed()
	if d.Event.Attributes != nil {
		var err error
		if r.attributes, err = json.Marshal(d.Event.Attributes); err != nil {
			return fmt.Errorf("encoding an event's attributes: %w", err)
		}
	}
	if d.Key != "" {
		r.keyed = true
		sum := sha256.Sum256([]byte(d.Key))
		r.key = [16]byte(sum[:])
		r.fingerprint = d.Fingerprint
	}
	return nil
}

// append stores the drafts and returns their receipts. All keys are looked at before anything is written.
func (b *batch) append(rows []draftRow) ([]store.Receipt, error) {
	receipts := make([]store.Receipt, len(rows))
	var here map[tenantKey]int // keys of this call, by the draft that came first
	for i := range rows {
		r := &rows[i]
		r.replay = nil
		if !r.keyed {
			continue
		}
		key := tenantKey{r.event.Tenant, r.key}
		if first, ok := here[key]; ok {
			if rows[first].fingerprint != r.fingerprint {
				return nil, store.ErrKeyReused
			}
			r.replay = &receipts[first] // filled in by then
			continue
		}
		replay, err := b.receiptOf(r)
		if err != nil {
			return nil, err
		}
		r.replay = replay
		if here == nil {
			here = make(map[tenantKey]int)
		}
		here[key] = i
	}
	if err := b.admit(rows); err != nil {
		return nil, err
	}
	for i := range rows {
		r := &rows[i]
		if r.replay != nil {
			receipts[i] = *r.replay
			receipts[i].Replayed = true
			continue
		}
		if err := b.insertEvent(r); err != nil {
			return nil, err
		}
		ev := r.event
		receipts[i] = store.Receipt{ID: ev.ID, Topic: ev.Topic, Cursor: ev.Cursor, Time: ev.Time, Webhooks: r.owed}
		if r.keyed {
			if err := b.insertKey(r); err != nil {
				return nil, err
			}
		}
	}
	return receipts, nil
}

type tenantKey struct {
	tenant event.TenantID
	key    [16]byte
}

// receiptOf returns what the draft's key answers; nil if it was not used within the window.
func (b *batch) receiptOf(r *draftRow) (*store.Receipt, error) {
	var receipt *store.Receipt
	var fingerprint [16]byte
	since := b.now - b.e.options.IdempotencyWindow.Milliseconds()
	_, err := b.c.first(`SELECT fingerprint, time, cursor, event, topic, webhooks FROM idempotency
		WHERE tenant = ? AND hash = ? AND time > ?`, []any{r.event.Tenant, r.key[:], since},
		func(s *sqlite3.Stmt) {
			copy(fingerprint[:], s.ColumnRawBlob(0))
			receipt = &store.Receipt{
				Time:     columnTime(s, 1),
				Cursor:   columnCursor(s, 2),
				ID:       columnID(s, 3),
				Topic:    event.Topic(s.ColumnText(4)),
				Webhooks: s.ColumnInt(5),
			}
		})
	if err != nil {
		return nil, err
	}
	if receipt != nil && fingerprint != r.fingerprint {
		return nil, store.ErrKeyReused
	}
	return receipt, nil
}

const insertEventSQL = `INSERT INTO event (cursor, tenant, topic, time, id, owed, size, content_type, partition_key,
	traceparent, attributes, matches, payload) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

// insertEvent gives the event its place in the log and writes its row. It binds by hand: it is the hottest statement.
func (b *batch) insertEvent(r *draftRow) error {
	ev := r.event
	topic, err := b.topic(topicKey{ev.Tenant, ev.Topic})
	if err != nil {
		return err
	}
	s, err := b.c.prepare(insertEventSQL)
	if err != nil {
		return err
	}
	cursor, time := b.next, max(b.now, b.lastTime)
	for _, err := range [...]error{
		s.BindInt64(1, int64(cursor)),
		s.BindInt64(2, int64(ev.Tenant)),
		s.BindInt64(3, topic),
		s.BindInt64(4, time),
		s.BindBlob(5, ev.ID[:]),
		s.BindInt(6, r.owed),
		s.BindInt(7, len(ev.Payload)),
		s.BindText(8, ev.ContentType),
		s.BindText(9, ev.PartitionKey),
		s.BindText(10, ev.Traceparent),
		s.BindRawText(11, r.attributes),
		s.BindBlob(12, notNil(r.matches)),
		s.BindBlob(13, notNil(ev.Payload)),
	} {
		if err != nil {
			return err
		}
	}
	if err := s.Exec(); err != nil {
		return err
	}
	ev.Cursor, ev.Time = cursor, toTime(time)
	b.next++
	b.lastTime = time
	b.count(topic, cursor, time)
	b.use(ev.Tenant, r.stored())
	b.appended = append(b.appended, ev)
	return nil
}

// insertKey remembers the receipt under the draft's key, and forgets the oldest keys past the bound.
func (b *batch) insertKey(r *draftRow) error {
	ev := r.event
	// One that is past the window may still be there.
	err := b.c.run(`DELETE FROM idempotency WHERE tenant = ? AND hash = ?`, ev.Tenant, r.key[:])
	if err != nil {
		return err
	}
	b.keys -= int(b.c.Changes())
	err = b.c.run(`INSERT INTO idempotency (tenant, hash, fingerprint, time, cursor, event, topic, webhooks)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		ev.Tenant, r.key[:], r.fingerprint[:], fromTime(ev.Time), ev.Cursor, ev.ID, string(ev.Topic), r.owed)
	if err != nil {
		return err
	}
	b.keys++
	if b.keys > b.e.options.MaxKeys {
		return b.forgetKeys(math.MaxInt64, b.keys-b.e.options.MaxKeys)
	}
	return nil
}

const forgetKeysSQL = `DELETE FROM idempotency WHERE (tenant, hash) IN
	(SELECT tenant, hash FROM idempotency WHERE time < ? ORDER BY time, cursor LIMIT ?)`

// forgetKeys removes the oldest keys from before a time, so many at most.
func (b *batch) forgetKeys(before int64, most int) error {
	if err := b.c.run(forgetKeysSQL, before, most); err != nil {
		return err
	}
	b.keys -= int(b.c.Changes())
	return nil
}

// notNil keeps an empty blob from being bound as NULL.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
