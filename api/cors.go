package api

import (
	"net/http"
	"strings"

	"github.com/go-chi/cors"
)

// exposedHeaders are those that pages of other origins may read.
var exposedHeaders = []string{
	"Location", "Retry-After", "ETag", "Carillon-Event-Id", "Carillon-Webhook-Id", "Idempotent-Replayed", "Preference-Applied",
	"RateLimit", "RateLimit-Policy", "WWW-Authenticate", requestIDHeader,
}

// cors lets pages of the allow-listed origins read answers. Preflights are answered here, before the door: they carry no
// key.
//
// The browser's own credentials are let in where there is a use for them, which is the cookie of streams, and for pages
// whose origin itself is listed. Where every origin is, none of them gets that.
func (a *API) cors() func(http.Handler) http.Handler {
	if len(a.cfg.CORSOrigins) == 0 {
		return func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				// The door's answer depends on it all the same.
				w.Header().Add("Vary", "Origin")
				next.ServeHTTP(w, r)
			})
		}
	}
	listed := cors.Options{
		// A function, because an empty list means everybody to this library.
		AllowOriginFunc: func(r *http.Request, origin string) bool { return oneOrigin(r) && a.originListed(origin) },
		AllowedMethods:  []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPatch, http.MethodDelete},
		// Any header, Carillon-Tenant too, because the attributes of a CloudEvent are headers of the poster's own naming.
		AllowedHeaders: []string{"*"},
		ExposedHeaders: exposedHeaders,
		MaxAge:         600,
	}
	withCookie, everybody := listed, listed
	withCookie.AllowCredentials = true
	everybody.AllowOriginFunc, everybody.AllowedOrigins = nil, []string{anyOrigin}
	return func(next http.Handler) http.Handler {
		listed, withCookie, everybody := cors.Handler(listed)(next), cors.Handler(withCookie)(next), cors.Handler(everybody)(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch origin := r.Header.Get("Origin"); {
			case a.originListed(origin) && takesCookie(r):
				withCookie.ServeHTTP(w, r)
			case oneOrigin(r) && !a.originListed(origin) && a.originAllowed(origin):
				everybody.ServeHTTP(w, r)
			default:
				listed.ServeHTTP(w, r)
			}
		})
	}
}

// oneOrigin reports whether the request names one origin: a browser never names two.
func oneOrigin(r *http.Request) bool { return len(r.Header["Origin"]) == 1 }

// takesCookie reports whether the cookie of streams is taken, or set, by the request or by the one that it is the preflight
// of.
func takesCookie(r *http.Request) bool {
	method, path := r.Method, r.URL.Path
	if method == http.MethodOptions {
		method = r.Header.Get("Access-Control-Request-Method")
	}
	switch {
	case isStream(path) && path != statsStreamPath, path == "/v1/stream-tokens":
		return true
	default:
		poll := strings.HasPrefix(path, "/v1/topics/") && strings.HasSuffix(path, "/events")
		return poll && (method == http.MethodGet || method == http.MethodHead)
	}
}
