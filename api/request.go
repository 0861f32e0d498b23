package api

import (
	"context"
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/carillon/carillon/access"
	"github.com/carillon/carillon/event"
)

// request is what the middleware knows of a request. There is one in every request's context, filled in by the rooms
// that it passes; only the goroutine that serves the request touches it.
type request struct {
	id        string
	sender    sender
	principal access.Principal
	tenant    event.TenantID  // that the request is for
	again     func() *problem // asks the door again; nil: there was none
	urlTokens []event.Secret  // what stood in the URL as token; the URL that handlers see has none
	written   *answerWriter
}

type requestKey struct{}

// withRequest is the outermost middleware.
func (a *API) withRequest(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		written := &answerWriter{ResponseWriter: w}
		// No answer may be taken for something that it does not say it is.
		w.Header().Set("X-Content-Type-Options", "nosniff")
		// The console's page sets this too; tokens stand in addresses, which nobody else is to hear of.
		w.Header().Set("Referrer-Policy", "no-referrer")
		info := &request{written: written, sender: senderOf(r, a.cfg.TrustedProxies)}
		info.id = nameRequest(r, info.sender)
		w.Header().Set(requestIDHeader, info.id)
		r = r.WithContext(context.WithValue(r.Context(), requestKey{}, info))
		info.urlTokens = takeURLTokens(r)
		next.ServeHTTP(written, r)
	})
}

func requestOf(r *http.Request) *request {
	return r.Context().Value(requestKey{}).(*request)
}

// answerWriter remembers what was answered. What a [http.ResponseController] can do with the writer below it can do
// with this one.
type answerWriter struct {
	http.ResponseWriter
	status int // 0 until the head was written
}

// WriteHeader implements [http.ResponseWriter].
func (w *answerWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements [http.ResponseWriter].
func (w *answerWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap is for [http.ResponseController].
func (w *answerWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// headAsGet lets HEAD ask for whatever GET can ask for, but streams: an answer without a body that never ends is of no
// use to anybody.
func headAsGet(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead && !isStream(r.URL.Path) {
			chi.RouteContext(r.Context()).RouteMethod = http.MethodGet
		}
		next.ServeHTTP(w, r)
	})
}
