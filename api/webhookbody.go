package api

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/carillon/carillon/dispatch"
	"github.com/carillon/carillon/event"
)

// What a retry schedule gets that names only how many attempts it wants.
const (
	defaultInitial = 5 * time.Second
	defaultFactor  = 3
	defaultMax     = 12 * time.Hour
	maxFactor      = 100
)

// newWebhook returns a webhook with the defaults of all that its maker may leave out.
func newWebhook() *event.Webhook {
	return &event.Webhook{
		Retry: event.DefaultSchedule(), Timeout: event.DefaultTimeout, MaxInFlight: event.DefaultMaxInFlight, Enabled: true,
		Format: event.FormatRaw, Signing: event.SigningHMAC, Order: event.OrderNone,
	}
}

// applyWebhook writes what the members say into w and returns all that is wrong, the settings that result included. It
// is a JSON merge patch (RFC 7396): a null takes a setting back to its default, and metadata and headers are merged by
// their keys. A retry schedule, a rate limit and an auth are replaced whole, as their parts say nothing by themselves.
//
// A webhook that has no secret afterwards is to be given one: none was named, or the one that it had does not fit the
// way in which it is to sign.
func applyWebhook(w *event.Webhook, members []member) []event.FieldError {
	defaults := newWebhook()
	before := *w
	var bad []event.FieldError
	add := func(err *event.FieldError) {
		if err != nil {
			bad = append(bad, *err)
		}
	}
	for _, m := range members {
		switch m.name {
		case "url":
			add(setURL(w, m))
		case "topics":
			add(setTopics(w, m))
		case "secret":
			if m.null() && before.Secret == "" {
				break // there is none yet: one is to be made
			}
			add(setSecret(w, m))
		case "retry":
			add(setRetry(w, m))
		case "timeout":
			add(setTimeout(w, m, defaults.Timeout))
		case "max_in_flight":
			add(setOr(&w.MaxInFlight, m, defaults.MaxInFlight, "a whole number"))
		case "enabled":
			add(setEnabled(w, m))
		case "description":
			add(setOr(&w.Description, m, "", "a text"))
		case "metadata":
			bad = append(bad, mergeMetadata(w, m)...)
		case "filter":
			add(setFilter(w, m))
		case "transform":
			add(setTransform(w, m))
		case "format":
			add(setWord(&w.Format, m, defaults.Format))
		case "headers":
			bad = append(bad, mergeHeaders(w, m)...)
		case "auth":
			bad = append(bad, setAuth(w, m)...)
		case "signing":
			add(setWord(&w.Signing, m, defaults.Signing))
		case "rate_limit":
			add(setRateLimit(w, m))
		case "order":
			add(setWord(&w.Order, m, defaults.Order))
		case "handshake":
			add(setOr(&w.Handshake, m, false, "true or false"))
		default:
			bad = append(bad, event.FieldError{Field: m.name, Detail: "unknown field"})
		}
	}
	// A field that could not be read still has the value that it had, of which nothing need be said.
	for _, err := range slices.Concat(w.Validate(), dispatch.CheckHeaders(w)) {
		if !slices.ContainsFunc(bad, func(other event.FieldError) bool { return other.Field == err.Field }) {
			bad = append(bad, err)
		}
	}
	switch {
	case w.Secret != before.Secret:
		add(checkSecret(w.Secret, signingOf(w)))
		w.OldSecrets = nil // replaced at once, they too
	case signingOf(w) != signingOf(&before):
		if slices.ContainsFunc(members, func(m member) bool { return m.name == "secret" }) {
			add(checkSecret(w.Secret, signingOf(w)))
			break
		}
		w.Secret, w.OldSecrets = "", nil
	}
	return bad
}

// set reads a setting that has no default.
func set[T any](to *T, m member, want string) *event.FieldError {
	v, err := readValue[T](m, want)
	if err == nil {
		*to = v
	}
	return err
}

// setOr reads a setting for which null means the default.
func setOr[T any](to *T, m member, otherwise T, want string) *event.FieldError {
	if m.null() {
		*to = otherwise
		return nil
	}
	return set(to, m, want)
}

// setWord reads a setting that is one of some words. Which, [event.Webhook.Validate] knows, but it takes an empty one.
func setWord[T ~string](to *T, m member, otherwise T) *event.FieldError {
	word := *to
	if err := setOr(&word, m, otherwise, "a text"); err != nil {
		return err
	}
	if word == "" {
		return &event.FieldError{Field: m.name, Detail: "must not be empty; null is the default"}
	}
	*to = word
	return nil
}

// setURL refuses what no URL is written with and net/url lets pass, such as a space in the path: it would be sent
// escaped, and is a slip of whoever wrote it.
func setURL(w *event.Webhook, m member) *event.FieldError {
	text, err := readValue[string](m, "a text")
	if err != nil {
		return err
	}
	if strings.ContainsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return &event.FieldError{Field: m.name, Detail: "has a space or a control character; in a URL a space is %20"}
	}
	w.URL = text
	return nil
}

// setTimeout says itself what [event.Webhook.Validate] would, in durations as the API writes them.
func setTimeout(w *event.Webhook, m member, otherwise time.Duration) *event.FieldError {
	timeout := span(w.Timeout)
	if err := setOr(&timeout, m, span(otherwise), `a duration such as "15s"`); err != nil {
		return err
	}
	if timeout < span(event.MinTimeout) || timeout > span(event.MaxTimeout) {
		return &event.FieldError{Field: m.name,
			Detail: fmt.Sprintf("is %s; %s to %s are allowed", timeout, span(event.MinTimeout), span(event.MaxTimeout))}
	}
	w.Timeout = timeout.kept()
	return nil
}

func setTopics(w *event.Webhook, m member) *event.FieldError {
	topics, err := readValue[[]string](m, "a list of topic patterns")
	if err != nil {
		return err
	}
	// Counted before they are read: there can be very many.
	if len(topics) > event.MaxPatterns {
		return &event.FieldError{Field: m.name,
			Detail: fmt.Sprintf("has %d patterns; 1 to %d are allowed", len(topics), event.MaxPatterns)}
	}
	w.Topics = make([]event.Pattern, len(topics))
	for i, topic := range topics {
		w.Topics[i] = event.Pattern(topic)
	}
	return nil
}

func setEnabled(w *event.Webhook, m member) *event.FieldError {
	enabled := w.Enabled
	if err := setOr(&enabled, m, true, "true or false"); err != nil {
		return err
	}
	// Said again, it changes nothing: why the webhook was disabled stays known.
	if enabled == w.Enabled {
		return nil
	}
	w.Enabled = enabled
	w.DisabledReason = ""
	if !enabled {
		w.DisabledReason = event.DisabledByHand
	}
	return nil
}

// mergeMetadata does not write to the map that w has: others may be reading it.
func mergeMetadata(w *event.Webhook, m member) []event.FieldError {
	if m.null() {
		w.Metadata = nil
		return nil
	}
	entries, err := parseObject(m.value)
	if err != nil {
		return []event.FieldError{{Field: m.name, Detail: err.Error()}}
	}
	merged := make(map[string]string, len(w.Metadata)+len(entries))
	for k, v := range w.Metadata {
		merged[k] = v
	}
	var bad []event.FieldError
	for _, entry := range entries {
		if entry.null() {
			delete(merged, entry.name)
			continue
		}
		v, err := readValue[string](entry, "a text")
		if err != nil {
			bad = append(bad, event.FieldError{Field: m.name + "." + entry.name, Detail: err.Detail})
			continue
		}
		merged[entry.name] = v
	}
	w.Metadata = merged
	return bad
}

func setRetry(w *event.Webhook, m member) *event.FieldError {
	if m.null() {
		w.Retry = event.DefaultSchedule()
		return nil
	}
	schedule, err := readRetry(m)
	if err != nil {
		return err
	}
	for i, d := range schedule {
		// As for the timeout; how many there may be is left to Validate.
		if i < event.MaxRetries && (d < event.MinRetryDelay || d > event.MaxRetryDelay) {
			return &event.FieldError{Field: m.name, Detail: fmt.Sprintf("delay %d is %s; %s to %s are allowed",
				i+1, span(d), span(event.MinRetryDelay), span(event.MaxRetryDelay))}
		}
		schedule[i] = span(d).kept()
	}
	w.Retry = schedule
	return nil
}

// readRetry reads either form of a schedule: the delays themselves, or the rule that makes them.
func readRetry(m member) (event.Schedule, *event.FieldError) {
	wrong := func(format string, args ...any) (event.Schedule, *event.FieldError) {
		return nil, &event.FieldError{Field: m.name, Detail: fmt.Sprintf(format, args...)}
	}
	parts, err := parseObject(m.value)
	if err != nil {
		return wrong("%s", err)
	}
	attempts, initial, factor, longest := 0, span(defaultInitial), float64(defaultFactor), span(defaultMax)
	var schedule event.Schedule
	var rule, list bool
	for _, part := range parts {
		var bad *event.FieldError
		switch part.name {
		case "schedule":
			list = true
			schedule, bad = readDelays(part)
		case "max_attempts":
			rule = true
			bad = set(&attempts, part, "a whole number")
		case "initial":
			bad = set(&initial, part, `a duration such as "5s"`)
		case "factor":
			bad = set(&factor, part, "a number")
		case "max":
			bad = set(&longest, part, `a duration such as "12h"`)
		default:
			bad = &event.FieldError{Field: part.name, Detail: "unknown field"}
		}
		if bad != nil {
			return nil, &event.FieldError{Field: m.name + "." + bad.Field, Detail: bad.Detail}
		}
	}
	switch {
	case list && len(parts) > 1:
		return wrong("takes either schedule or max_attempts, initial, factor and max")
	case list:
		return schedule, nil
	case !rule:
		return wrong("needs schedule or max_attempts")
	case attempts < 1 || attempts > event.MaxRetries+1:
		return wrong("max_attempts is %d; 1 to %d are allowed", attempts, event.MaxRetries+1)
	case math.IsNaN(factor) || factor < 1 || factor > maxFactor:
		return wrong("factor must be from 1 to %d", maxFactor)
	case attempts > 1 && initial < span(event.MinRetryDelay):
		return wrong("initial is %s; at least %s is allowed", initial, span(event.MinRetryDelay))
	case longest < initial:
		return wrong("max is shorter than initial")
	}
	return event.GeometricSchedule(attempts, time.Duration(initial), factor, time.Duration(longest)), nil
}

func readDelays(m member) (event.Schedule, *event.FieldError) {
	delays, err := readValue[[]*span](m, `a list of durations such as ["5s", "2m"]`)
	if err != nil {
		return nil, err
	}
	schedule := make(event.Schedule, len(delays))
	for i, d := range delays {
		if d == nil {
			return nil, &event.FieldError{Field: m.name, Detail: "must not hold null"}
		}
		schedule[i] = time.Duration(*d)
	}
	return schedule, nil
}
