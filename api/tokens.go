package api

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/carillon/carillon/access"
	"github.com/carillon/carillon/event"
)

// lifetimes bound how long a token of some purpose is good.
type lifetimes struct{ least, most, usual time.Duration }

var (
	streamLifetimes = lifetimes{10 * time.Second, time.Hour, 10 * time.Minute}
	portalLifetimes = lifetimes{10 * time.Second, 7 * 24 * time.Hour, time.Hour}
)

// maxCookie is how many bytes browsers take of a cookie's name and value (RFC 6265bis, section 5.6).
const maxCookie = 4096

// tokenAsk reads what a token is to be.
type tokenAsk struct {
	lifetimes
	grant  access.Grant
	cookie bool
	topics bool // they were given
	bad    []event.FieldError
}

func (t *tokenAsk) wrong(field, format string, args ...any) {
	t.bad = append(t.bad, event.FieldError{Field: field, Detail: fmt.Sprintf(format, args...)})
}

// read takes the members, of which those with these names are known.
func (t *tokenAsk) read(members []member, now time.Time, cookie, label bool) {
	lifetime := span(t.usual)
	for _, m := range members {
		var err *event.FieldError
		switch {
		case m.name == "topics":
			t.readTopics(m)
		case m.name == "expires_in":
			if err = setOr(&lifetime, m, span(t.usual), "a duration, such as "+span(t.usual).String()); err == nil &&
				(time.Duration(lifetime) < t.least || time.Duration(lifetime) > t.most) {
				t.wrong(m.name, "must be %s to %s", span(t.least), span(t.most))
			}
		case m.name == "cookie" && cookie:
			err = setOr(&t.cookie, m, false, "true or false")
		case m.name == "label" && label:
			if err = setOr(&t.grant.Label, m, "", "a text"); err == nil {
				t.checkLabel(m.name)
			}
		default:
			t.wrong(m.name, "unknown field")
		}
		if err != nil {
			t.bad = append(t.bad, *err)
		}
	}
	t.grant.Expires = now.Add(lifetime.kept()).UTC().Truncate(event.Precision)
}

func (t *tokenAsk) readTopics(m member) {
	if m.null() {
		return
	}
	t.topics = true
	topics, err := readValue[[]string](m, "a list of topic patterns")
	switch {
	case err != nil:
		t.bad = append(t.bad, *err)
		return
	case len(topics) == 0 || len(topics) > event.MaxPatterns:
		t.wrong(m.name, "has %d patterns; 1 to %d are allowed", len(topics), event.MaxPatterns)
		return
	}
	for i, text := range topics {
		pattern, err := event.ParsePattern(text)
		if err != nil {
			t.wrong(topicField(i), "%s", err)
			continue
		}
		t.grant.Patterns = append(t.grant.Patterns, pattern)
	}
}

func (t *tokenAsk) checkLabel(field string) {
	switch text := t.grant.Label; {
	case len(text) > access.MaxTokenLabel:
		t.wrong(field, "is %d bytes long; at most %d are allowed", len(text), access.MaxTokenLabel)
	case !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }):
		t.wrong(field, "has a character that cannot be printed")
	}
}

// readTokenAsk reads the body of a request for a token, of which nothing is required.
func (a *API) readTokenAsk(w http.ResponseWriter, r *http.Request, t *tokenAsk, cookie, label bool) *problem {
	if p := noQuery(r); p != nil {
		return p
	}
	members, p := a.readOptionalObject(w, r, "application/json")
	if p != nil {
		return p
	}
	t.read(members, time.Now(), cookie, label)
	return nil
}

// makeToken makes a token on behalf of who sent the request.
func (a *API) makeToken(r *http.Request, g access.Grant) (event.Secret, access.Principal, *problem) {
	g.Tenant = tenantOf(r)
	token, made, err := a.access.MakeToken(principalOf(r), g)
	switch {
	case errors.Is(err, access.ErrCannotMake):
		return "", made, kindForbidden.is("Tokens are made with a key.")
	case err != nil:
		a.log.Error("a token could not be made", "request", requestID(r), "error", err)
		return "", made, &internalProblem
	}
	return token, made, nil
}

// streamTokenDocument is a stream token as it is shown, once.
type streamTokenDocument struct {
	Token   *string `json:"token"` // null: it is in the cookie, where no script can read it
	Expires stamp   `json:"expires"`
}

// createStreamToken makes a token for a browser, which cannot set headers on its streams.
func (a *API) createStreamToken(w http.ResponseWriter, r *http.Request) *problem {
	t := tokenAsk{lifetimes: streamLifetimes, grant: access.Grant{Purpose: access.PurposeStream}}
	if p := a.readTokenAsk(w, r, &t, true, false); p != nil {
		return p
	}
	if !t.topics {
		t.wrong("topics", "is required: topics, or patterns such as orders.* or **")
	}
	if t.cookie && !secure(r) {
		t.wrong("cookie", "needs https: no browser takes such a cookie otherwise; leave it out to get the token itself")
	}
	if len(t.bad) > 0 {
		return kindInvalid.in(t.bad...)
	}
	if p := checkReach(r, t.grant.Patterns, topicField); p != nil {
		return p
	}
	token, made, p := a.makeToken(r, t.grant)
	if p != nil {
		return p
	}
	doc := streamTokenDocument{Expires: stamp(made.Expires)}
	if t.cookie {
		if size := len(tokenCookie) + len(token.Reveal()); size > maxCookie {
			return kindInvalid.in(event.FieldError{Field: "topics",
				Detail: fmt.Sprintf("are too long for a cookie: it would have %d bytes, of which browsers take %d", size, maxCookie)})
		}
		// Strict: pages of other sites have no use for it, since browsers keep it from them anyway.
		http.SetCookie(w, &http.Cookie{
			Name: tokenCookie, Value: token.Reveal(), Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode,
			MaxAge: max(1, int(time.Until(made.Expires)/time.Second)),
		})
	} else {
		doc.Token = orNull(token.Reveal())
	}
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, http.StatusCreated, doc)
	return nil
}
