package cloudevent

import (
	"fmt"
	"strings"

	"github.com/carillon/carillon/event"
)

// maxFields bounds how many faults one Error tells of: a thousand events can have thousands.
const maxFields = 50

// Error says why a request's CloudEvents are refused. At most one of Malformed and Unsupported is set; with neither,
// the request could be read and is not acceptable. Compare with [errors.As].
type Error struct {
	Malformed   bool // cannot be parsed
	Unsupported bool // of an event format or in a charset that the gateway does not read

	// Fields has at least one entry and at most 50. Fields are named as the sender wrote them: ce-source for a header,
	// source for a member, [3].source for the fourth event of a batch, [3] for that event itself, body for all of it.
	Fields []event.FieldError
}

// Error implements error.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("not an acceptable CloudEvent")
	for i, f := range e.Fields {
		sep := "; "
		if i == 0 {
			sep = ": "
		}
		b.WriteString(sep + f.Field + " " + f.Detail)
	}
	return b.String()
}

// faults gathers what is wrong with the events of one request.
type faults struct {
	fields []event.FieldError
}

func (f *faults) add(field, format string, args ...any) {
	if len(f.fields) < maxFields {
		f.fields = append(f.fields, event.FieldError{Field: field, Detail: fmt.Sprintf(format, args...)})
	}
}

// err gives what was gathered, or nil.
func (f *faults) err() error {
	if len(f.fields) == 0 {
		return nil
	}
	return &Error{Fields: f.fields}
}
