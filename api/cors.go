package api

import (
	"net/http"

	"github.com/go-chi/cors"
)

// cors lets pages of the allow-listed origins read answers. Credentials of the browser's own (cookies) are never part of
// it: a page that has a key sends it in Authorization. Preflights are answered here, before the door: they carry no key.
func (a *API) cors() func(http.Handler) http.Handler {
	if len(a.cfg.CORSOrigins) == 0 {
		return func(next http.Handler) http.Handler { return next }
	}
	return cors.Handler(cors.Options{
		// A function, because an empty list means everybody to this library.
		AllowOriginFunc: func(_ *http.Request, origin string) bool { return a.originAllowed(origin) },
		AllowedMethods:  []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPatch, http.MethodDelete},
		// Any header, because the attributes of a CloudEvent are headers of the poster's own naming.
		AllowedHeaders: []string{"*"},
		ExposedHeaders: []string{"Location", "Retry-After", "ETag", "Carillon-Event-Id", "Carillon-Webhook-Id",
			"Idempotent-Replayed", "Preference-Applied", requestIDHeader},
		MaxAge: 600,
	})
}
