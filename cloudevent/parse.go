package cloudevent

import "net/http"

// Limits of what is taken in.
const (
	MaxBatch          = 1000    // events of one batch
	MaxAttributes     = 64      // context attributes of one event
	MaxNameBytes      = 256     // of an attribute's name
	MaxAttributeBytes = 4 << 10 // of an attribute's value
)

// Posted is a CloudEvent that came in.
type Posted struct {
	// Attributes holds the context attributes, by name: id, source and type always, and subject, time, dataschema and
	// extensions where they came, each as text; a boolean or an integer in its canonical form. Those that have a field of
	// their own here, and specversion, are not among them.
	Attributes map[string]string

	// ContentType is the event's datacontenttype. A structured event with data that names none has application/json, as
	// the JSON event format says; any other that names none has none.
	ContentType string

	// PartitionKey is the extension partitionkey, or empty.
	PartitionKey string

	// Traceparent is the extension traceparent, or empty. One that is not of the form of W3C Trace Context (section 3.2)
	// stays an attribute like any other.
	Traceparent string

	// Payload is the event's data: in binary mode the body; else the JSON text of data as it was posted, the string's
	// text where data is a string and the content type is not JSON, or the bytes of data_base64. It may share the memory
	// of the body that was parsed.
	Payload []byte
}

// Parse reads the CloudEvents of a request: one of them in the modes Binary and Structured, up to [MaxBatch] or none in
// Batched, in their order. Its errors are always [*Error]. The mode need not be what [ModeOf] says: a caller who wants
// a CloudEvent and got none can parse as Binary, and has an error that says what is missing. In the other two modes the
// Content-Type must fit the mode. The body must not be written to as long as the result is in use.
func Parse(mode Mode, h http.Header, body []byte) ([]Posted, error) {
	switch mode {
	case Structured:
		return parseStructured(h, body)
	case Batched:
		return parseBatch(h, body)
	default:
		return parseBinary(h, body)
	}
}
