package cloudevent

import (
	"mime"
	"net/http"
	"strings"
)

// Mode is how a request carries CloudEvents (HTTP protocol binding, section 3).
type Mode int

// The content modes. None means that the request carries no CloudEvent.
const (
	None Mode = iota
	Binary
	Structured
	Batched
)

// The media types of the two modes that carry events as JSON.
const (
	MediaType      = "application/cloudevents+json"
	BatchMediaType = "application/cloudevents-batch+json"
)

const (
	structuredFamily = "application/cloudevents"
	batchedFamily    = "application/cloudevents-batch"
)

// ModeOf tells from a request's headers how it carries CloudEvents. A request with any of the required attributes as
// headers is Binary, so that one which forgot another is told so instead of being taken for a plain event; and one whose
// event format is none that the gateway reads still has its mode, and is refused by [Parse].
func ModeOf(h http.Header) Mode {
	essence, _ := mediaType(h.Get("Content-Type"))
	switch {
	case inFamily(essence, batchedFamily):
		return Batched
	case inFamily(essence, structuredFamily):
		return Structured
	}
	for _, name := range []string{"Ce-Specversion", "Ce-Id", "Ce-Source", "Ce-Type"} {
		if len(h[name]) > 0 {
			return Binary
		}
	}
	return None
}

// inFamily reports whether a media type is the family itself or one of its event formats.
func inFamily(essence, family string) bool {
	rest, ok := strings.CutPrefix(essence, family)
	return ok && (rest == "" || rest[0] == '+')
}

// mediaType splits a content type into its type and subtype and the charset that it names, both in lower case. What
// cannot be read has a charset that is none.
func mediaType(contentType string) (essence, charset string) {
	switch contentType {
	case "", "application/json":
		return contentType, ""
	}
	essence, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		before, _, _ := strings.Cut(contentType, ";")
		return strings.ToLower(strings.TrimSpace(before)), "?"
	}
	return essence, strings.ToLower(params["charset"])
}

// isJSON reports whether a media type says that what it describes is JSON (JSON event format, section 3.1).
func isJSON(essence string) bool {
	_, subtype, _ := strings.Cut(essence, "/")
	return subtype == "json" || strings.HasSuffix(subtype, "+json")
}

// isText reports whether a media type describes text for people or for machines to read.
func isText(essence string) bool {
	switch essence {
	case "application/xml", "application/yaml", "application/javascript", "application/x-www-form-urlencoded",
		"application/x-ndjson", "application/graphql", "application/sql", "application/toml":
		return true
	}
	return strings.HasPrefix(essence, "text/") ||
		strings.HasSuffix(essence, "+xml") || strings.HasSuffix(essence, "+yaml")
}

// isUTF8 reports whether text of a charset can be read as UTF-8. Without one it is, for all that the gateway looks into.
func isUTF8(charset string) bool {
	return charset == "" || charset == "utf-8" || charset == "us-ascii"
}
