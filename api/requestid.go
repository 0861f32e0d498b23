package api

import (
	"net/http"

	"github.com/carillon/carillon/event"
)

// requestIDHeader names a request: in each answer, and in a request from a trusted proxy that has named it already.
const requestIDHeader = "X-Request-Id"

// maxRequestID is the longest name of another's making that is taken over.
const maxRequestID = 128

// nameRequest gives a request its id.
func nameRequest(r *http.Request, from sender) string {
	if from.proxied {
		if given := r.Header.Get(requestIDHeader); validRequestID(given) {
			return given
		}
	}
	return event.NewID().String()
}

// validRequestID reports whether a name can stand in logs, headers and URIs as it is.
func validRequestID(id string) bool {
	if id == "" || len(id) > maxRequestID {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}

// requestID returns the id under which the log knows this request.
func requestID(r *http.Request) string { return requestOf(r).id }

// instanceOf is the id as a URI, for problems.
func instanceOf(r *http.Request) string {
	id := requestID(r)
	if _, err := event.ParseID(id); err == nil {
		return "urn:uuid:" + id
	}
	return "urn:request-id:carillon:" + id
}
