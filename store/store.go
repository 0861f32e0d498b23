package store

import (
	"context"
	"io"
	"time"

	"github.com/carillon/carillon/event"
)

// Engine is all that an engine has to offer. Consumers declare the few methods that they use.
type Engine interface {
	Log
	Webhooks
	Deliveries
	Jobs
	Keys
	Tenants
	Secrets
	Audit

	// Run does the engine's work until ctx ends, then finishes what was handed to it and returns nil. Writes wait for it.
	// An error means that the engine can no longer promise anything (a failed fsync): every write fails from then on, and
	// the process should end, so that the next one begins with what is really on disk.
	Run(ctx context.Context) error

	// Ready returns nil while the engine takes writes.
	Ready() error

	// Close releases what the engine holds. Call it after Run has returned and all readers are done.
	io.Closer
}

// Log is the event log.
type Log interface {
	// Append stores the drafts, all of them or none, and returns a receipt for each in the same order. A draft whose
	// idempotency key was used within the window stores nothing and has the first receipt again, as Replayed; ErrKeyReused
	// if its fingerprint is another one. The engine sets Cursor and Time of each stored event, and keeps the event: the
	// caller must not change it any more. [*QuotaError] if a tenant would store more bytes than it may, the gateway's own
	// events aside, and ErrNotFound for a tenant that is not there.
	Append(ctx context.Context, drafts []Draft) ([]Receipt, error)

	// Replayed answers what Append would answer to a draft whose key was used within the window, and stores nothing: the
	// first receipt, as Replayed, or ErrKeyReused. It is false for a key that was not used, and for none.
	Replayed(ctx context.Context, d Draft) (Receipt, bool, error)

	// Bounds tells where the log begins and ends.
	Bounds(ctx context.Context) (Bounds, error)

	// Read returns the tenant's events after a cursor, oldest first, as the query says. [*GoneError] if retention has
	// removed events after that cursor.
	Read(ctx context.Context, tenant event.TenantID, q ReadQuery) (ReadResult, error)

	// Tail follows the whole log, of all tenants, after a cursor.
	Tail(after event.Cursor) Tail

	// CursorBefore returns the cursor after which everything accepted at or after t is read.
	CursorBefore(ctx context.Context, t time.Time) (event.Cursor, error)

	// Event returns one event by its id, with its payload.
	Event(ctx context.Context, tenant event.TenantID, id event.ID) (*event.Event, error)

	// EventAt returns one event of any tenant by its cursor, with its payload: what a delivery is made from.
	EventAt(ctx context.Context, c event.Cursor) (*event.Event, error)

	// EventsAt is EventAt for many, in the order of the cursors and without those that are not there. It stops after the
	// event with which the payloads reach so many bytes.
	EventsAt(ctx context.Context, cursors []event.Cursor, bytes int) ([]*event.Event, error)

	// ListEvents lists the tenant's events, newest first, without payloads.
	ListEvents(ctx context.Context, tenant event.TenantID, f EventFilter, p Page) (List[EventSummary], error)

	// ListTopics lists the topics of which the log holds events, by name, those of the gateway itself too.
	ListTopics(ctx context.Context, tenant event.TenantID, p Page) (List[TopicSummary], error)

	// Trim removes one small step of what retention no longer keeps: the oldest events with their deliveries and attempts,
	// ended deliveries past the bounds of the delivery log, idempotency keys past the window, jobs that ended long ago,
	// old entries of the audit log. It also carries out, in small steps, what lines drawn by disabled and deleted webhooks
	// canceled, and removes what deleted tenants have left: their events once they are at or below the floor.
	Trim(ctx context.Context, r Retention) (Trimmed, error)
}

// Draft is an event to append: ID, Tenant, Topic, Matches and the poster's fields are set, Cursor and Time are not.
type Draft struct {
	Event *event.Event
	// Key deduplicates within the window of [Retention.Keys], per tenant; empty: no deduplication.
	Key string
	// Fingerprint tells one request from another under the same key.
	Fingerprint [16]byte
}

// Receipt is what a poster is told.
type Receipt struct {
	ID       event.ID
	Topic    event.Topic
	Cursor   event.Cursor
	Time     time.Time
	Webhooks int // webhooks that are owed it: they matched, were enabled, and their filter did not fail
	Replayed bool
}

// Bounds are the ends of the log. All cursors in use are above Trimmed and at most Head.
type Bounds struct {
	Trimmed event.Cursor // the highest cursor that retention removed; reading from the earliest event is reading after it
	Head    event.Cursor // the newest cursor given out, whether or not its event is still there
}

// ReadQuery asks for a piece of the log.
type ReadQuery struct {
	After    event.Cursor
	Patterns []event.Pattern // any of them; none: no event
	Limit    int             // events at most; at least 1
	Bytes    int             // stop after the event that reaches this sum of payload bytes; 0: no such bound
}

// ReadResult is a piece of the log.
type ReadResult struct {
	Events []*event.Event
	// Through is the cursor up to which the log was examined: read on after it. It can be above the last event's, and the
	// result can be empty though the log goes on: an engine bounds how much of it one call examines.
	Through event.Cursor
	// End says that Through was the log's head when it was read.
	End bool
}

// Tail follows the log.
type Tail interface {
	// Next waits for events after those it returned before and returns some, oldest first, at least one. Its errors are
	// ctx's, [*GoneError], and the engine's own. For one goroutine.
	Next(ctx context.Context) ([]*event.Event, error)
}

// EventFilter narrows a list of events. Zero fields do not narrow.
type EventFilter struct {
	Patterns     []event.Pattern
	Since, Until time.Time // Since inclusive, Until exclusive
}

// EventSummary is an event in a list.
type EventSummary struct {
	Event *event.Event // without Payload and Matches
	Size  int          // of the payload, in bytes
	Owed  int          // webhooks that were owed it when it was accepted
}

// TopicSummary is a topic of which the log holds events.
type TopicSummary struct {
	Topic  event.Topic
	Events int64 // still in the log
	Last   event.Cursor
	LastAt time.Time
}

// Retention is what Trim keeps.
type Retention struct {
	Age   time.Duration // events older than this go; 0: no bound
	Bytes int64         // the oldest events go while the log's storage is larger than this; 0: no bound
	Keys  time.Duration // how long idempotency keys are remembered; 0: as long as the engine likes

	// The delivery log: ended deliveries and attempts of events that are still there. A delivery that it no longer keeps is
	// ErrNotFound; one that is pending is always kept, and one that ended after its turn had come may stay as long as its event.
	DeliveryAge   time.Duration // those of events older than this go; 0: they stay as long as their events
	DeliveryBytes int64         // the oldest go while the delivery log takes about more than this; 0: no bound

	// AuditAge is how long entries of the audit log are kept; 0: for ever.
	AuditAge time.Duration

	// Announce returns the events that tell of deliveries which a step ends as expired; they are appended in the step's
	// transaction. It must be quick and must not call the engine. nil: nothing is announced.
	Announce func([]Expired) []*event.Event
}

// Expired is what one step of retention ended for one webhook. Deliveries of the gateway's own events are not in it.
type Expired struct {
	Tenant      event.TenantID
	Webhook     event.ID
	Deliveries  int
	First, Last event.ID // the oldest and the newest of their events
}

// Trimmed is what one step removed.
type Trimmed struct {
	Events  int
	Expired int  // deliveries that were still owed, failed with [event.ReasonExpired]
	Logged  int  // ended deliveries that left the delivery log before their events
	Swept   int  // deliveries canceled behind a webhook's line
	Purged  int  // events of deleted tenants; they are not among Events
	Audit   int  // entries of the audit log
	More    bool // there is more to do now

	// Released are the webhooks of which rows with an order key expired: what was parked behind them is not any more.
	Released []event.ID
}

// Page asks for a page of a list.
type Page struct {
	Limit int    // at least 1
	Token string // of the page before; empty: the first
}

// List is a page of a list.
//
// Next is empty on the last page, also of a filtered list. An engine bounds how much of the log one call examines: where
// very few of very many things pass the filter, a page can be short or empty and have a Next all the same.
type List[T any] struct {
	Data []T
	Next string // token of the next page; empty: this is the last
}

// Webhooks is the configuration of who gets what. It is small, kept in memory by every node and read there.
type Webhooks interface {
	// CreateWebhook stores a webhook and sets its Version and times. [*QuotaError] if its tenant has as many as it may;
	// ErrNotFound if there is no such tenant.
	CreateWebhook(ctx context.Context, w *event.Webhook) error

	// UpdateWebhook replaces a webhook's settings, if its version is still w.Version (ErrConflict), and sets its new
	// Version and UpdatedAt. Disabling it draws the line at the log's head for [event.ReasonDisabled].
	UpdateWebhook(ctx context.Context, w *event.Webhook) error

	// DeleteWebhook removes a webhook, and cancels what is pending for [event.ReasonDeleted].
	DeleteWebhook(ctx context.Context, tenant event.TenantID, id event.ID) error

	Webhook(ctx context.Context, tenant event.TenantID, id event.ID) (*event.Webhook, error)

	// ListWebhooks lists the tenant's webhooks, newest first.
	ListWebhooks(ctx context.Context, tenant event.TenantID, p Page) (List[*event.Webhook], error)

	// WatchWebhooks calls changed with all webhooks, before it returns, and then with each that changes, in the order of
	// the changes and before the write that made them returns. changed must be quick and must not call the engine; the
	// webhooks are shared and must not be written to. stop ends it; changed is not called after stop has returned.
	WatchWebhooks(changed func([]WebhookChange)) (stop func(), err error)
}

// WebhookChange is a webhook as it is now.
type WebhookChange struct {
	Webhook *event.Webhook
	Deleted bool
}

// Deliveries is the ledger of what is owed.
type Deliveries interface {
	// Floor returns the stored floor.
	Floor(ctx context.Context) (event.Cursor, error)

	// Recorded calls yield for every delivery above the cursor that has a row.
	Recorded(ctx context.Context, after event.Cursor, yield func(event.DeliveryID)) error

	// Settle stores what became of deliveries, all in one transaction; see [Settlement] and [Spill]. It is idempotent:
	// what was stored before is stored once. What concerns events that retention removed, or deliveries that the delivery
	// log no longer keeps, is left out without an error.
	Settle(ctx context.Context, b Settlements) error

	// Backlog returns the webhook's deliveries that have a row, are pending, due at now and not parked, by due time and
	// then by cursor, at most limit of them.
	//
	// A pending row with an order key is parked while the webhook has another one of the same key with a lower cursor: the
	// engine parks and releases rows in the transactions that make it so. A released row is due when it was before.
	Backlog(ctx context.Context, webhook event.ID, now time.Time, limit int) (Backlog, error)

	// Dues returns for each webhook with pending rows when the first of them that is not parked is due.
	Dues(ctx context.Context) (map[event.ID]time.Time, error)

	// Waiting counts the webhook's pending rows, parked ones too. It may take a while where there are very many.
	Waiting(ctx context.Context, webhook event.ID) (Waiting, error)

	// Healths returns what Settle stored of each webhook's health, but for the healthy ones.
	Healths(ctx context.Context) ([]Health, error)

	// Delivery returns one delivery and its attempts, oldest first. A delivery that has no row yet is pending;
	// ErrNotFound for one that the delivery log no longer keeps: at or below the floor, without a row.
	Delivery(ctx context.Context, tenant event.TenantID, id event.DeliveryID) (event.Delivery, []event.Attempt, error)

	// ListDeliveries lists deliveries, newest event first. Of those without a row it lists only the ones of
	// [DeliveryFilter.Event].
	ListDeliveries(ctx context.Context, tenant event.TenantID, f DeliveryFilter, p Page) (List[event.Delivery], error)

	// Reopen makes a delivery in any state pending, due now, with a full schedule before it, and returns it. ErrState if its webhook is disabled.
	Reopen(ctx context.Context, tenant event.TenantID, id event.DeliveryID) (event.Delivery, error)

	// Cancel ends a pending delivery as canceled by hand, and returns it; ErrState if it is not pending.
	Cancel(ctx context.Context, tenant event.TenantID, id event.DeliveryID) (event.Delivery, error)
}

// Settlements is one write to the ledger.
type Settlements struct {
	Settled []Settlement
	Spilled []Spill
	// Floor raises the floor if it is above the stored one. Every delivery at or below it has a row, counting those of
	// this write. It never gets above the log's head as it was before this write: what is announced with it is owed.
	Floor event.Cursor
	// Health replaces what is stored of these webhooks' health. What concerns a deleted webhook is left out.
	Health []Health
	// Announced are events of the gateway's own, appended with this write. One whose id is in the log already is left
	// out; so are those of Settlement.
	Announced []*event.Event
}

// Health is what has to outlive a restart of how a webhook is doing. With all but Webhook zero it is healthy, and
// nothing is stored.
type Health struct {
	Webhook      event.ID
	Failures     int       // in a row
	FailingSince time.Time // when the first of them was made
	Down         bool      // only probes are sent
	Gate         time.Time // nothing is sent before: it asked for that with Retry-After
}

// Settlement is what became of a delivery, with the attempt that made it so, if one did.
//
// On a pending delivery, or one without a row, it takes effect whole. On one that has ended meanwhile (somebody canceled
// it), the attempt is recorded, and only State Delivered changes the state: a request that succeeded was made. An
// attempt number that is recorded already makes the whole settlement void. Without an attempt, Canceled for
// [event.ReasonDisabled] or [event.ReasonDeleted] changes no row that is pending: it was made so after the line was drawn.
type Settlement struct {
	ID     event.DeliveryID
	Tenant event.TenantID

	Attempt *event.Attempt // nil: none was made

	State  event.State
	Reason event.Reason
	Step   int       // of the schedule, after this attempt
	Due    time.Time // of the next attempt, for Pending

	// OrderKey is for the row, if this gives the delivery one.
	OrderKey uint64

	// Announce, unless nil, is appended to the log in the same transaction if the delivery takes on State by this.
	Announce *event.Event

	// Disable, unless empty, disables the webhook for this reason in the same transaction, and draws its line.
	Disable event.DisabledReason
	// AnnounceDisabled, unless nil, is appended to the log in the same transaction if Disable disables the webhook.
	AnnounceDisabled *event.Event
}

// Spill gives a delivery its row, pending and due at once, because it has to wait. A delivery that has a row keeps it
// as it is: a late spill brings nothing back.
type Spill struct {
	ID       event.DeliveryID
	Tenant   event.TenantID
	OrderKey uint64
}

// Backlog is a piece of what a webhook is owed.
type Backlog struct {
	Due    []event.Delivery
	Next   time.Time // when the first of the others that are not parked is due; zero: there is none
	Parked bool      // rows are parked
}

// Waiting is how much a webhook is owed, of what has a row.
type Waiting struct {
	Deliveries int64
	Oldest     time.Time // when the oldest of their events was accepted; zero if there are none
}

// DeliveryFilter narrows a list of deliveries. Zero fields do not narrow.
type DeliveryFilter struct {
	Webhook      event.ID
	Event        event.ID
	Patterns     []event.Pattern
	State        *event.State
	Outcome      event.Outcome // of the last attempt
	Since, Until time.Time     // of the event's acceptance; Since inclusive, Until exclusive
}

// Jobs is the work that goes on by itself, in steps, until it is done.
type Jobs interface {
	// CreateJob stores a replay, with Through, Total, State and times set by the engine, and returns it. If the webhook
	// has a running job with the same filter, that one is returned and nothing is stored. ErrNotFound if there is no such
	// webhook, ErrState if it is disabled.
	CreateJob(ctx context.Context, j Job) (Job, error)

	// CountReplay returns how many deliveries a replay would make pending.
	CountReplay(ctx context.Context, tenant event.TenantID, webhook event.ID, f ReplayFilter) (int64, error)

	Job(ctx context.Context, tenant event.TenantID, id event.ID) (Job, error)

	// ListJobs lists the tenant's jobs, newest first.
	ListJobs(ctx context.Context, tenant event.TenantID, p Page) (List[Job], error)

	// RunningJobs returns the jobs of all tenants that are not at their end.
	RunningJobs(ctx context.Context) ([]Job, error)

	// StepJob goes on with a job: it makes at most limit deliveries pending, in log order and all in one transaction with
	// the job's progress, and returns both. What it makes pending is due at once, with a full schedule before it, and marked
	// as a replay. It goes no further than the floor, above which deliveries may have no row yet: where it can do nothing it
	// returns the job as it is. A job whose webhook is disabled or deleted is canceled by it.
	StepJob(ctx context.Context, id event.ID, limit int) (Job, []event.DeliveryID, error)

	// CancelJob ends a running job; ErrState if it is at its end.
	CancelJob(ctx context.Context, tenant event.TenantID, id event.ID) (Job, error)
}

// Job is a replay of what a webhook was owed.
type Job struct {
	ID        event.ID
	Tenant    event.TenantID
	Webhook   event.ID
	Filter    ReplayFilter
	PerSecond int // how many deliveries are made pending in a second at most

	State     JobState
	Through   event.Cursor // what was accepted later is not looked at
	At        event.Cursor // how far it has come
	Total     int64        // deliveries that passed the filter when the job was made, or done, if those are more
	Done      int64        // deliveries made pending
	CreatedAt time.Time
	UpdatedAt time.Time
}

// ReplayFilter says which of a webhook's deliveries a replay makes pending again. Zero fields but States do not narrow.
type ReplayFilter struct {
	Since, Until time.Time // of the event's acceptance; Since inclusive, Until exclusive
	Patterns     []event.Pattern
	States       []event.State // at least one; Pending is none of them
}

// JobState is where a job stands.
type JobState string

// The states of a job. All but JobRunning are ends.
const (
	JobRunning  JobState = "running"
	JobDone     JobState = "done"
	JobCanceled JobState = "canceled" // by hand, or because its webhook was disabled or deleted
)

// Keys is the configuration of who may come in. It is small, kept in memory by every node and read there. A key that has
// expired or was revoked stays, to be asked about.
type Keys interface {
	// CreateKey stores a key and sets its CreatedAt. ErrConflict if there is one with its id or its hash, ErrNotFound if there
	// is no such tenant.
	CreateKey(ctx context.Context, k *event.Key) error

	Key(ctx context.Context, tenant event.TenantID, id event.ID) (*event.Key, error)

	// ListKeys lists the tenant's keys, newest first.
	ListKeys(ctx context.Context, tenant event.TenantID, p Page) (List[*event.Key], error)

	// RevokeKey sets a key's RevokedAt, for good. One that is revoked already stays as it is.
	RevokeKey(ctx context.Context, tenant event.TenantID, id event.ID) error

	// TouchKeys notes when keys were last used, in one write. A time that is not later than the one that is stored, and a
	// key that is not there, are passed over. It is no change that watchers hear of.
	TouchKeys(ctx context.Context, used map[event.ID]time.Time) error

	// WatchKeys calls changed with the keys of all tenants, before it returns, and then with each that is created or revoked,
	// in the order of the changes and before the write that made them returns. changed must be quick and must not call the
	// engine; the keys are shared and must not be written to. stop ends it; changed is not called after stop has returned.
	WatchKeys(changed func([]*event.Key)) (stop func(), err error)
}

// Secrets is what the engine keeps in secret for the gateway itself.
type Secrets interface {
	// TokenSecret returns what tokens are signed with: 32 bytes of chance, made with the data and the same ever after, on
	// every node and after every restart. It can be asked for before Run.
	TokenSecret(ctx context.Context) (event.Secret, error)
}
