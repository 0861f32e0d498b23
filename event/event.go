package event

import "time"

// Event is one message posted to one topic.
type Event struct {
	ID     ID
	Tenant TenantID
	Topic  Topic

	// Cursor and Time are given by the log when it accepts the event. Time has [Precision] and never falls as cursors
	// grow, whatever the clock did.
	Cursor Cursor
	Time   time.Time

	// ContentType is what the poster said, or empty; it is never guessed.
	ContentType string

	// PartitionKey orders events among each other, or is empty.
	PartitionKey string

	// Traceparent is the poster's W3C Trace Context header, or empty.
	Traceparent string

	// Attributes holds the CloudEvents context attributes as they came, by name, without specversion, datacontenttype
	// and partitionkey; nil for an event that was not posted as a CloudEvent.
	Attributes map[string]string

	// Payload is what was posted, byte for byte. It is shared by all readers: never written to.
	Payload []byte

	// Matches says who is owed a delivery: the webhooks whose patterns matched when the event was accepted.
	Matches []Match
}

// Match is one webhook that an event was matched with.
type Match struct {
	Webhook ID
	// Disabled says that the webhook was disabled then: its delivery is canceled from the start, so that it can be
	// replayed.
	Disabled bool
	// FilterError says that the webhook's filter failed on the event: its delivery is canceled from the start too.
	FilterError bool
}

// Owed reports whether a delivery was to be made when the event was accepted.
func (m Match) Owed() bool { return !m.Disabled && !m.FilterError }

// Owed counts the matches that are owed a delivery.
func (e *Event) Owed() int {
	n := 0
	for _, m := range e.Matches {
		if m.Owed() {
			n++
		}
	}
	return n
}
