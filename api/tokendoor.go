package api

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/carillon/carillon/access"
	"github.com/carillon/carillon/event"
)

// tokenParameter is the query parameter that a stream token stands in where no header can be set.
const tokenParameter = "token"

// tokenCookie is the cookie that holds a stream token. Browsers take a name with this prefix only over TLS, from the host
// itself, and for all of its paths (RFC 6265bis, section 4.1.3.2): no other host of the domain can plant one.
const tokenCookie = "__Host-carillon-stream" // #nosec G101 -- its name

// takeURLTokens takes what is given as token out of the request's URL and returns it. It is the first that is done with a
// request, so that whatever logs, counts, traces or shows a URL has none to show.
func takeURLTokens(r *http.Request) []event.Secret {
	if !strings.Contains(r.URL.RawQuery, "=") && r.URL.RawQuery != tokenParameter {
		return nil
	}
	var taken []event.Secret
	var left []string
	for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if name, err := url.QueryUnescape(name); err != nil || name != tokenParameter {
			left = append(left, pair)
			continue
		}
		text, err := url.QueryUnescape(value)
		if err != nil {
			text = "" // no token, and refused as such
		}
		taken = append(taken, event.Secret(text))
	}
	if taken != nil {
		u := *r.URL
		u.RawQuery = strings.Join(left, "&")
		r.URL, r.RequestURI = &u, u.RequestURI()
	}
	return taken
}

// shownToken is a token as a request shows it.
type shownToken struct {
	text  event.Secret
	given bool
}

// tokenInHeader finds a token in Authorization. In the URL there may be none.
func tokenInHeader(r *http.Request) (shownToken, *problem) {
	if len(requestOf(r).urlTokens) > 0 {
		return shownToken{}, kindBadRequest.in(event.FieldError{Field: tokenParameter,
			Detail: "is taken by streams and polls only; send a key or a token as Authorization: Bearer TOKEN"})
	}
	if text, given := bearerToken(r); given && access.LikeToken(text) {
		return shownToken{text, true}, nil
	}
	return shownToken{}, nil
}

// tokenAnywhere finds a token in Authorization, in the URL or in the cookie. What a script has set counts, and not the
// cookie, which the browser adds by itself; so does an Authorization that says nothing which is known here.
func tokenAnywhere(r *http.Request) (shownToken, *problem) {
	inURL := requestOf(r).urlTokens
	text, _ := bearerToken(r)
	inHeader := len(r.Header.Values("Authorization")) > 0
	switch {
	case len(inURL) > 1:
		return shownToken{}, kindBadRequest.in(event.FieldError{Field: tokenParameter, Detail: "may be given once"})
	case len(inURL) == 1 && inHeader:
		// RFC 6750, section 2: a request must not carry two, of which one might be somebody else's.
		return shownToken{}, kindBadRequest.in(event.FieldError{Field: tokenParameter, Detail: "is given besides Authorization; send one of them"})
	case len(inURL) == 1:
		return shownToken{inURL[0], true}, nil
	case inHeader:
		return shownToken{text, access.LikeToken(text)}, nil
	}
	if cookie, err := r.Cookie(tokenCookie); err == nil {
		return shownToken{event.Secret(cookie.Value), true}, nil
	}
	return shownToken{}, nil
}

// tokenDoor lets in who shows a token that is good. Any other is refused, also while nobody is asked for a key: whoever
// shows one means to be somebody, and must not be taken for anybody.
func (a *API) tokenDoor(r *http.Request, token shownToken) (access.Principal, *problem) {
	if a.access.Open() {
		if _, p := a.loopbackDoor(r); p != nil {
			return access.Principal{}, p
		}
	}
	who, err := a.access.FindToken(token.text, time.Now())
	switch {
	case err == nil && a.tenants.Name(who.Tenant) != "":
		return who, nil
	case err == nil:
		return access.Principal{}, kindUnauthorized.is("The token is for a tenant that was deleted.")
	case errors.Is(err, access.ErrExpired):
		return access.Principal{}, kindUnauthorized.is("The token has expired; get a new one.")
	case errors.Is(err, access.ErrMaker):
		return access.Principal{}, kindUnauthorized.is("The key that the token was made with has expired, or was revoked.")
	default:
		return access.Principal{}, kindUnauthorized.is("The token is not one of this gateway's, or it was cut off or mistyped.")
	}
}

// listening makes an [http.HandlerFunc] of a handler for who may subscribe, by a key's scope or by a stream token.
func (a *API) listening(handle func(http.ResponseWriter, *http.Request) *problem) http.HandlerFunc {
	byKey := a.asking(event.ScopeSubscribe)(handle)
	byToken := a.answer(handle)
	return func(w http.ResponseWriter, r *http.Request) {
		if principalOf(r).Purpose == access.PurposeStream {
			byToken(w, r)
			return
		}
		byKey(w, r)
	}
}

// notByToken refuses who came in with a token: it is no key, and makes no further ones.
func notByToken(handle func(http.ResponseWriter, *http.Request) *problem) func(http.ResponseWriter, *http.Request) *problem {
	return func(w http.ResponseWriter, r *http.Request) *problem {
		if p := tokenLacks(r); p != nil {
			return p
		}
		return handle(w, r)
	}
}

// tokenLacks says that the request's token is not for this; nil if it came with none.
func tokenLacks(r *http.Request) *problem {
	switch principalOf(r).Purpose {
	case "":
		return nil
	case access.PurposePortal:
		return kindForbidden.is("A portal link is for webhooks, their deliveries and jobs, and for nothing else.")
	default:
		return kindForbidden.is("A stream token opens streams and polls, and nothing else.")
	}
}
