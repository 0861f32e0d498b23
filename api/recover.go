package api

import (
	"net/http"
	"runtime/debug"
)

// recoverer turns a panic into a logged 500. Where the answer has begun already, the connection is cut instead, so that
// nobody takes half an answer for a whole one.
func (a *API) recoverer(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if v == http.ErrAbortHandler {
				panic(v)
			}
			a.log.Error("a handler panicked", "request", requestID(r), "method", r.Method, "path", r.URL.Path,
				"panic", v, "stack", string(debug.Stack()))
			if requestOf(r).written.status != 0 {
				panic(http.ErrAbortHandler)
			}
			a.refuse(w, r, internalProblem)
		}()
		next.ServeHTTP(w, r)
	})
}
