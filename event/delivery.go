package event

import (
	"fmt"
	"strings"
	"time"
)

// DeliveryID names one event on its way to one webhook. It is known before anything is stored of the delivery. Its text
// form is the cursor, a hyphen and the webhook's id.
type DeliveryID struct {
	Event   Cursor
	Webhook ID
}

// ParseDeliveryID reads the text form.
func ParseDeliveryID(s string) (DeliveryID, error) {
	cursor, webhook, _ := strings.Cut(s, "-")
	c, err := ParseCursor(cursor)
	if err != nil {
		return DeliveryID{}, fmt.Errorf("not a delivery's id: %w", err)
	}
	id, err := ParseID(webhook)
	if err != nil {
		return DeliveryID{}, fmt.Errorf("not a delivery's id: %w", err)
	}
	return DeliveryID{c, id}, nil
}

// String gives the text form.
func (d DeliveryID) String() string { return d.Event.String() + "-" + d.Webhook.String() }

// MarshalText implements [encoding.TextMarshaler].
func (d DeliveryID) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (d *DeliveryID) UnmarshalText(text []byte) error {
	parsed, err := ParseDeliveryID(string(text))
	if err != nil {
		return err
	}
	*d = parsed
	return nil
}

// State is where a delivery stands. The numbers are stored: never renumber them.
type State uint8

// The states of a delivery. All but Pending are ends, left only by hand.
const (
	Pending   State = 0 // owed
	Delivered State = 1 // answered with 2xx
	Failed    State = 2 // given up: the dead letters
	Canceled  State = 3 // called off
)

var stateNames = [...]string{"pending", "delivered", "failed", "canceled"}

// States lists every state.
func States() []State { return []State{Pending, Delivered, Failed, Canceled} }

// ParseState reads a state's name.
func ParseState(s string) (State, error) {
	for i, name := range stateNames {
		if s == name {
			return State(i), nil
		}
	}
	return 0, fmt.Errorf("%q is no state; they are %s", s, strings.Join(stateNames[:], ", "))
}

// String gives the state's name, as log, metric and API say it.
func (s State) String() string { return stateNames[s] }

// MarshalText implements [encoding.TextMarshaler].
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Reason says why a delivery ended as it did; empty where the state says it all. Log, metric and API share the words.
type Reason string

// Why a delivery failed or was canceled.
const (
	ReasonExhausted Reason = "exhausted" // failed: its retry schedule is used up
	ReasonGone      Reason = "gone"      // failed: the webhook answered 410
	ReasonAnswered  Reason = "answered"  // failed: its answer, not a 2xx, was the one a waiting poster got
	ReasonExpired   Reason = "expired"   // failed: retention removed the event
	ReasonDisabled  Reason = "disabled"  // canceled: the webhook was disabled
	ReasonDeleted   Reason = "deleted"   // canceled: the webhook was deleted
	ReasonByHand    Reason = "by-hand"   // canceled: somebody asked for it

	ReasonFilterError    Reason = "filter-error"    // canceled: the webhook's filter failed on the event
	ReasonTransformError Reason = "transform-error" // failed: the webhook's transform failed on the event
)

// Delivery is one event on its way to one webhook.
type Delivery struct {
	ID      DeliveryID
	Tenant  TenantID
	EventID ID
	Topic   Topic

	State  State
	Reason Reason

	// Attempts counts every attempt made; Step only those of the schedule that runs now (a retry by hand begins a new
	// one).
	Attempts int
	Step     int

	// OrderKey is what the delivery waits for its turn by; see [Order.OrderKey].
	OrderKey uint64

	// Replay says that a replay job made it pending again; a retry by hand does not.
	Replay bool

	CreatedAt time.Time // when the event was accepted
	Due       time.Time // when a pending delivery is to be attempted next; zero otherwise
	EndedAt   time.Time // when it reached its end; zero while pending

	// LastStatus and LastOutcome are the newest attempt's; zero before the first.
	LastStatus  int
	LastOutcome Outcome
}

// Attempt is one HTTP request made for a delivery.
type Attempt struct {
	Number   int // from 1
	At       time.Time
	Duration time.Duration
	Status   int // HTTP status; 0 where no answer came
	Outcome  Outcome
	Answer   []byte // the first bytes of the answer's body, at most MaxAnswerKept
}

// MaxAnswerKept is how much of an answer's body is kept with its attempt.
const MaxAnswerKept = 4 << 10
