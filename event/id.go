package event

import (
	"errors"
	"time"

	"github.com/google/uuid"
)

// ID names an event or a webhook: a UUIDv7 (RFC 9562, section 5.7), so that ids made later sort later. Its text form is
// the usual 36 characters in lower case. The zero ID names nothing.
type ID uuid.UUID

// ErrID is returned for a text that is no UUID in its usual form.
var ErrID = errors.New("not a UUID of 36 characters")

// NewID makes a fresh ID. Safe for concurrent use; ids of one process strictly grow.
func NewID() ID { return ID(uuid.Must(uuid.NewV7())) }

// ParseID reads the 36-character form, in either case, and no other.
func ParseID(s string) (ID, error) {
	// uuid.Parse also takes URNs, braces and bare hex: one id would then have several spellings.
	if len(s) != 36 {
		return ID{}, ErrID
	}
	u, err := uuid.Parse(s)
	if err != nil {
		return ID{}, ErrID
	}
	return ID(u), nil
}

// String gives the 36-character form.
func (id ID) String() string { return uuid.UUID(id).String() }

// IsZero reports whether id names nothing.
func (id ID) IsZero() bool { return id == ID{} }

// MarshalText implements [encoding.TextMarshaler].
func (id ID) MarshalText() ([]byte, error) { return uuid.UUID(id).MarshalText() }

// UnmarshalText implements [encoding.TextUnmarshaler] with the strictness of [ParseID].
func (id *ID) UnmarshalText(text []byte) error {
	parsed, err := ParseID(string(text))
	if err != nil {
		return err
	}
	*id = parsed
	return nil
}

// TenantID names a tenant: the wall that no event, webhook or stream crosses.
type TenantID int64

// DefaultTenant is who everybody is while there are no keys.
const DefaultTenant TenantID = 1

// Precision is how exactly times are kept: everything that the log and the API say is cut to it.
const Precision = time.Millisecond
