package sqlite

import (
	"github.com/carillon/carillon/event"
)

// state is what the writer knows without asking the database: always as of the last commit.
type state struct {
	next     event.Cursor // the next event's
	lastTime int64        // the newest event's
	trimmed  event.Cursor
	floor    event.Cursor
	keys     int                // idempotency keys stored
	logBytes int64              // the size of the delivery log; see deliveryBytes
	logAt    deliveryPlace      // how far the delivery log's retention has come
	topics   map[topicKey]int64 // numbers of some topics; see maxTopicsKnown
}

type topicKey struct {
	tenant event.TenantID
	name   event.Topic
}

// maxTopicsKnown bounds the writer's memory of topics. Beyond it, all are forgotten and asked for anew.
const maxTopicsKnown = 1 << 16

// topicCount is what a batch adds to a topic's row.
type topicCount struct {
	events   int64
	last     event.Cursor
	lastTime int64
}

// batch is one transaction and what becomes true in memory when it is committed.
type batch struct {
	e          *Engine
	c          *conn
	now        int64 // milliseconds
	committing bool

	state // as of this batch; topics is the engine's and not written to

	newTopics  map[topicKey]int64
	deadTopics []topicKey
	counts     map[int64]*topicCount
	appended   []*event.Event
	hooks      map[event.ID]*hook      // changed by this batch
	changed    []*hook                 // in order
	forgotten  []*hook                 // tombstones removed
	swept      []event.ID              // webhooks without a row behind their line
	keysHere   map[event.ID]*storedKey // changed by this batch
	keyNews    []event.ID              // created or revoked by this batch, in order

	usage       map[event.TenantID]int64 // bytes that each tenant stores from this batch on
	tenantsHere []*event.Tenant          // changed by this batch
	purged      []event.TenantID         // of which nothing is left
}

func newBatch(e *Engine) *batch {
	return &batch{e: e, c: e.writer, now: e.now().UnixMilli(), state: e.state}
}

// head is the newest cursor given out.
func (b *batch) head() event.Cursor { return b.next - 1 }

// topic returns the number of a topic's row, and makes the row if there is none.
func (b *batch) topic(key topicKey) (int64, error) {
	if num, ok := b.topics[key]; ok {
		return num, nil
	}
	if num, ok := b.newTopics[key]; ok {
		return num, nil
	}
	num, err := b.c.number(`SELECT num FROM topic WHERE tenant = ? AND name = ?`, key.tenant, string(key.name))
	if err != nil {
		return 0, err
	}
	if num == 0 {
		err := b.c.run(`INSERT INTO topic (tenant, name, events, last_cursor, last_time) VALUES (?, ?, 0, 0, 0)`,
			key.tenant, string(key.name))
		if err != nil {
			return 0, err
		}
		num = b.c.LastInsertRowID()
	}
	if b.newTopics == nil {
		b.newTopics = make(map[topicKey]int64)
	}
	b.newTopics[key] = num
	return num, nil
}

// count notes an event for its topic's row.
func (b *batch) count(num int64, at event.Cursor, time int64) {
	n := b.counts[num]
	if n == nil {
		if b.counts == nil {
			b.counts = make(map[int64]*topicCount)
		}
		n = &topicCount{}
		b.counts[num] = n
	}
	n.events++
	n.last, n.lastTime = at, time
}

// flush writes what the operations gathered: once for the batch, not once for each of them.
func (b *batch) flush() error {
	for num, n := range b.counts {
		err := b.c.run(`UPDATE topic SET events = events + ?, last_cursor = ?, last_time = ? WHERE num = ?`,
			n.events, n.last, n.lastTime, num)
		if err != nil {
			return err
		}
	}
	if err := b.flushUsage(); err != nil {
		return err
	}
	old := &b.e.state
	if b.next == old.next && b.lastTime == old.lastTime && b.trimmed == old.trimmed && b.floor == old.floor &&
		b.logBytes == old.logBytes && b.logAt == old.logAt {
		return nil
	}
	return b.c.run(`UPDATE meta SET next_cursor = ?, last_time = ?, trimmed = ?, floor = ?, log_bytes = ?, log_cursor = ?,
		log_webhook = ?`, b.next, b.lastTime, b.trimmed, b.floor, b.logBytes, b.logAt.cursor, b.logAt.num)
}

// publish makes the committed batch true in memory and tells those who wait for it.
func (b *batch) publish() {
	e := b.e
	topics := e.state.topics
	if len(topics)+len(b.newTopics) > maxTopicsKnown {
		clear(topics)
	}
	for key, num := range b.newTopics {
		topics[key] = num
	}
	for _, key := range b.deadTopics {
		delete(topics, key)
	}
	trimmed := b.trimmed != e.state.trimmed
	e.state = b.state
	e.logBytes.Store(b.logBytes)
	e.publishBounds()
	if trimmed {
		e.ring.forget(b.trimmed)
	}
	e.ring.add(b.appended)
	for _, id := range b.swept {
		delete(e.hooks.unswept, id)
	}
	e.hooks.publish(b.changed, b.forgotten)
	e.accessKeys.publish(b.keysHere, b.keyNews)
	b.publishUsage()
	b.publishTenants()
}
