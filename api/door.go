package api

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/carillon/carillon/access"
	"github.com/carillon/carillon/event"
)

// door lets requests in, and says who each comes from. There are two: with keys, who has one may come in; while there are
// none the gateway listens on loopback only, and who can connect may come in, unless it is a browser acting for a foreign
// web page. That matters because every page in the world can make its visitor's browser send requests to loopback.
//
// Either way a token may be shown instead of a key; shown says where it is looked for.
func (a *API) door(shown func(*http.Request) (shownToken, *problem)) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler { return a.doorTo(next, shown) }
}

func (a *API) doorTo(next http.Handler, shown func(*http.Request) (shownToken, *problem)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, tenant, p := a.admit(r, shown)
		if p != nil {
			a.refuse(w, r, *p)
			return
		}
		requestOf(r).principal, requestOf(r).tenant = who, tenant
		next.ServeHTTP(w, r)
	})
}

// admit says who a request comes from now, and for which tenant it is.
func (a *API) admit(r *http.Request, shown func(*http.Request) (shownToken, *problem)) (who access.Principal, tenant event.TenantID, p *problem) {
	door := a.keyDoor
	if a.access.Open() {
		door = a.loopbackDoor
	}
	token, p := shown(r)
	switch {
	case p != nil:
	case token.given:
		who, p = a.tokenDoor(r, token)
	default:
		who, p = door(r)
	}
	if p == nil {
		tenant, p = a.actingFor(r, &who)
	}
	return who, tenant, p
}

func (a *API) keyDoor(r *http.Request) (access.Principal, *problem) {
	token, given := bearerToken(r)
	if !given && r.Header.Get("Authorization") == "" {
		return access.Principal{}, kindUnauthorized.is("Send the key as Authorization: Bearer KEY.")
	}
	who, err := a.access.Admit(r.Context(), token, time.Now())
	var jwt *access.JWTError
	switch {
	case err == nil && given:
		return who, nil
	case errors.As(err, &jwt):
		return who, kindUnauthorized.is("The JWT in Authorization %s.", jwt)
	case errors.Is(err, access.ErrNoIssuerKeys):
		return who, &noIssuerKeys
	case errors.Is(err, access.ErrRevoked):
		return who, kindUnauthorized.is("The key in Authorization was revoked.")
	case errors.Is(err, access.ErrExpired):
		return who, kindUnauthorized.is("The key in Authorization has expired.")
	case event.LikeToken(token) && !event.WholeToken(token):
		return who, kindUnauthorized.is("The key in Authorization is not whole: it was cut off or mistyped.")
	default:
		return access.Principal{}, kindUnauthorized.is("The key in Authorization is not one of this gateway's.")
	}
}

// noIssuerKeys is not the fault of who shows a JWT, which may be good.
var noIssuerKeys = problem{kind: kindUnavailable, retryAfter: 5,
	detail: "The key that the JWT in Authorization is signed with is not known, and the issuer's keys cannot be fetched now."}

func (a *API) loopbackDoor(r *http.Request) (access.Principal, *problem) {
	// A foreign page whose name was pointed at loopback (DNS rebinding) is of the same origin for the browser, but
	// its name stands in Host.
	if p := a.checkHost(r); p != nil {
		return access.Principal{}, p
	}
	origins := r.Header["Origin"]
	allowed := len(origins) == 1 && a.originAllowed(origins[0])
	if len(origins) > 0 && !allowed && !(len(origins) == 1 && sameOrigin(origins[0], r)) {
		return access.Principal{}, kindOrigin.is("The page that sends this is of another origin. --cors-origin lets an origin in.")
	}
	// Requests that carry no Origin, such as those of an <img>, tell by this where they come from.
	switch site := r.Header.Get("Sec-Fetch-Site"); site {
	case "", "same-origin", "none":
	default:
		if !allowed {
			return access.Principal{}, kindOrigin.is("A page of another site makes the browser send this. --cors-origin lets an origin in.")
		}
	}
	return a.access.Anybody(), nil
}

// visitorsDoor is the door of the console's page and of what anybody may read: without a key only Host is looked at, so
// that a link from anywhere leads to the page.
func (a *API) visitorsDoor(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.access.Open() {
			if p := a.checkHost(r); p != nil {
				a.refuse(w, r, *p)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

func (a *API) checkHost(r *http.Request) *problem {
	host := hostname(r.Host)
	if strings.EqualFold(host, "localhost") {
		return nil
	}
	if addr, err := netip.ParseAddr(host); err == nil && addr.Unmap().IsLoopback() {
		return nil
	}
	if slices.ContainsFunc(a.cfg.Hosts, func(name string) bool { return strings.EqualFold(name, host) }) {
		return nil
	}
	return kindOrigin.is("While the gateway has no key it answers only to localhost and loopback addresses in Host. --host lets a name in.")
}

// hostname strips the port and, of an IPv6 address, the brackets.
func hostname(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return strings.TrimSuffix(strings.TrimPrefix(hostport, "["), "]")
}

// originAllowed reports whether the origin is let in by the CORS allow-list. null, which is every page in a sandbox and
// every file, never is.
func (a *API) originAllowed(origin string) bool {
	return a.originListed(origin) || origin != opaqueOrigin && slices.Contains(a.cfg.CORSOrigins, anyOrigin)
}

// originListed reports whether the origin itself stands in the allow-list.
func (a *API) originListed(origin string) bool {
	return origin != opaqueOrigin && origin != anyOrigin &&
		slices.ContainsFunc(a.cfg.CORSOrigins, func(allowed string) bool { return strings.EqualFold(allowed, origin) })
}

const (
	anyOrigin    = "*"
	opaqueOrigin = "null"
)

// sameOrigin reports whether the origin is the one that the request was sent to.
func sameOrigin(origin string, r *http.Request) bool {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		return false
	}
	port := map[string]string{"http": "80", "https": "443"}[u.Scheme]
	if port == "" {
		return false
	}
	return strings.EqualFold(withPort(u.Host, port), withPort(r.Host, port))
}

func withPort(hostport, port string) string {
	if _, _, err := net.SplitHostPort(hostport); err == nil {
		return hostport
	}
	return hostport + ":" + port
}
