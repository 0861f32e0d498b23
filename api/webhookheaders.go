package api

import (
	"maps"
	"net/http"

	"github.com/carillon/carillon/event"
)

// hiddenValue stands for the value of a webhook's header. Which of them are credentials nobody can know from their
// names, so none is shown.
const hiddenValue = "***"

// hiddenDetail is what is wrong with a hiddenValue that stands for nothing.
const hiddenDetail = "is how values are hidden; give the value itself"

func showHeaders(headers map[string]event.Secret) map[string]string {
	shown := make(map[string]string, len(headers))
	for name := range headers {
		shown[name] = hiddenValue
	}
	return shown
}

// mergeHeaders merges by names, in whatever case they are written. A value that is sent back as it was shown stays what
// it is. It does not write to the map that w has: others may be reading it.
func mergeHeaders(w *event.Webhook, m member) []event.FieldError {
	if m.null() {
		w.Headers = nil
		return nil
	}
	entries, err := parseObject(m.value)
	if err != nil {
		return []event.FieldError{{Field: m.name, Detail: err.Error()}}
	}
	merged := maps.Clone(w.Headers)
	if merged == nil {
		merged = make(map[string]event.Secret, len(entries))
	}
	var bad []event.FieldError
	named := make(map[string]bool, len(entries))
	for _, entry := range entries {
		wrong := func(detail string) {
			bad = append(bad, event.FieldError{Field: m.name + "." + entry.name, Detail: detail})
		}
		name := http.CanonicalHeaderKey(entry.name)
		if named[name] {
			wrong("is there twice")
			continue
		}
		named[name] = true
		if entry.null() {
			delete(merged, name)
			continue
		}
		value, err := readValue[string](entry, "a text")
		_, known := merged[name]
		switch {
		case err != nil:
			wrong(err.Detail)
		case value == hiddenValue && known:
		case value == hiddenValue:
			wrong(hiddenDetail)
		default:
			merged[name] = event.Secret(value)
		}
	}
	w.Headers = merged
	return bad
}

// givenHeaders returns the names, in their canonical form, of the headers to which a member gives a value that it spells out.
func givenHeaders(m member) map[string]bool {
	given := make(map[string]bool)
	entries, err := parseObject(m.value)
	if m.null() || err != nil {
		return given
	}
	for _, entry := range entries {
		if value, err := readValue[string](entry, "a text"); err == nil && value != hiddenValue {
			given[http.CanonicalHeaderKey(entry.name)] = true
		}
	}
	return given
}
