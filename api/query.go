package api

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// Bounds of a list's limit.
const (
	defaultLimit = 50
	maxLimit     = 500
)

// query reads a request's query and gathers what is wrong with it, so that the client hears of everything at once. A
// parameter that nobody knows is wrong too: a filter that is misspelt would otherwise list everything.
type query struct {
	values url.Values
	bad    []event.FieldError
}

// readQuery takes the names of the parameters that are known.
func readQuery(r *http.Request, known ...string) *query {
	q := &query{}
	if r.URL.RawQuery == "" {
		return q
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		q.wrong("query", "is wrongly escaped")
		return q
	}
	q.values = values
	unknown := make([]string, 0)
	for name := range values {
		if !slices.Contains(known, name) {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	for _, name := range unknown {
		if len(known) == 0 {
			q.wrong(name, "unknown parameter; none are taken here")
		} else {
			q.wrong(name, "unknown parameter; known are %s", strings.Join(known, ", "))
		}
	}
	return q
}

func (q *query) wrong(field, format string, args ...any) {
	q.bad = append(q.bad, event.FieldError{Field: field, Detail: fmt.Sprintf(format, args...)})
}

// problem returns what is wrong, or nil.
func (q *query) problem() *problem {
	if len(q.bad) == 0 {
		return nil
	}
	return kindBadRequest.in(q.bad...)
}

// text returns the value of a parameter that may be given once; false where it is not given. Given and empty is wrong:
// it is what a script sends whose variable was not set.
func (q *query) text(name string) (string, bool) {
	all := q.values[name]
	switch {
	case len(all) == 0:
		return "", false
	case len(all) > 1:
		q.wrong(name, "may be given once")
		return "", false
	case all[0] == "":
		q.wrong(name, "must not be empty")
		return "", false
	}
	return all[0], true
}

// patterns returns the values of a parameter that may be given several times.
func (q *query) patterns(name string) []event.Pattern {
	all := q.values[name]
	if len(all) > event.MaxPatterns {
		q.wrong(name, "is given %d times; at most %d are allowed", len(all), event.MaxPatterns)
		return nil
	}
	patterns := make([]event.Pattern, 0, len(all))
	for _, text := range all {
		pattern, err := event.ParsePattern(text)
		if err != nil {
			q.wrong(name, "%s", err)
			continue
		}
		patterns = append(patterns, pattern)
	}
	return patterns
}

// moment returns the value of a parameter that is an RFC 3339 time, or a duration before now.
func (q *query) moment(name string, now time.Time) time.Time {
	text, given := q.text(name)
	if !given {
		return time.Time{}
	}
	at, err := parseMoment(text, now)
	switch {
	case err == nil:
	case strings.Contains(text, " "):
		q.wrong(name, "is not an RFC 3339 time; a + must be written as %%2B in a URL")
	default:
		q.wrong(name, "%s", err)
	}
	return at
}

func (q *query) id(name string) event.ID {
	text, given := q.text(name)
	if !given {
		return event.ID{}
	}
	id, err := event.ParseID(text)
	if err != nil {
		q.wrong(name, "is %s", event.ErrID)
	}
	return id
}

// number returns the value of a parameter that is a whole number from least to most.
func (q *query) number(name string, otherwise, least, most int) int {
	text, given := q.text(name)
	if !given {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		q.wrong(name, "must be a number from %d to %d", least, most)
		return otherwise
	}
	return n
}

// duration returns the value of a parameter that is a duration from least to most.
func (q *query) duration(name string, otherwise, least, most time.Duration) time.Duration {
	text, given := q.text(name)
	if !given {
		return otherwise
	}
	d, err := parseDuration(text)
	if err != nil || d < least || d > most {
		q.wrong(name, "must be a duration from %s to %s", span(least), span(most))
		return otherwise
	}
	return d
}

// page returns the limit and page parameters, which all lists take.
func (q *query) page() store.Page {
	page := store.Page{Limit: q.number("limit", defaultLimit, 1, maxLimit)}
	page.Token, _ = q.text("page")
	return page
}
