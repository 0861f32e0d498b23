package api

import (
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/carillon/carillon/event"
)

// originDetail says why a patch must give what is hidden.
const originDetail = "must be given anew, or null, since the url leads to another origin, which would be sent what is hidden now"

// checkOrigin refuses a patch that would have credentials sent where they were not meant for: they are hidden from who may
// manage a webhook, who could read them by a url of his own otherwise. Where the URL's origin changes (RFC 6454, section 4),
// auth and each of the headers must be given in the same patch.
func checkOrigin(old, w *event.Webhook, members []member, known []event.FieldError) []event.FieldError {
	if w.URL == old.URL || urlOrigin(w.URL) == urlOrigin(old.URL) {
		return nil
	}
	var bad []event.FieldError
	add := func(field string) {
		if !faultIn(known, field) {
			bad = append(bad, event.FieldError{Field: field, Detail: originDetail})
		}
	}
	if at := memberAt(members, "auth"); at < 0 && old.Auth.Type != event.AuthNone {
		add("auth")
	}
	if len(old.Headers) == 0 {
		return bad
	}
	at := memberAt(members, "headers")
	if at < 0 {
		add("headers")
		return bad
	}
	// A value that was given is the new one whatever it is: none may be the hidden one that stands for what was there.
	given := givenHeaders(members[at])
	for _, name := range slices.Sorted(maps.Keys(old.Headers)) {
		if _, kept := w.Headers[name]; kept && !given[name] {
			add("headers." + name)
		}
	}
	return bad
}

func memberAt(members []member, name string) int {
	return slices.IndexFunc(members, func(m member) bool { return m.name == name })
}

// urlOrigin returns a URL's scheme, host and port. What is no URL has one of its own.
func urlOrigin(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return raw
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme + "://" + strings.ToLower(u.Hostname()) + ":" + port
}
