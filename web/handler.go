package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"time"
)

//go:embed index.html *.js style.css
var files embed.FS

// contentSecurityPolicy lets the page load its own script and style and talk to its own origin, and nothing else: a
// payload that slipped into the markup could neither run nor send anything anywhere.
const contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; " +
	"img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// page is one file as it is served.
type page struct {
	name        string
	contentType string
	body        []byte
	etag        string
}

// Handler serves the page at / and its files under /assets/ by GET and HEAD, and answers 404 for any other path. Browsers
// are told to ask each time whether a file has changed (RFC 9111, section 5.2.2.4), so that page and gateway never
// differ in version. Safe for concurrent use.
func Handler() http.Handler {
	mux := http.NewServeMux()
	for path, p := range map[string]page{
		"/{$}":               load("index.html", "text/html; charset=utf-8"),
		"/assets/app.js":     load("app.js", "text/javascript; charset=utf-8"),
		"/assets/manage.js":  load("manage.js", "text/javascript; charset=utf-8"),
		"/assets/page.js":    load("page.js", "text/javascript; charset=utf-8"),
		"/assets/session.js": load("session.js", "text/javascript; charset=utf-8"),
		"/assets/style.css":  load("style.css", "text/css; charset=utf-8"),
	} {
		mux.Handle("GET "+path, p)
	}
	return mux
}

func load(name, contentType string) page {
	body, err := files.ReadFile(name)
	if err != nil {
		panic(err) // the embed directive above names every file: the build would have failed
	}
	sum := sha256.Sum256(body)
	return page{name, contentType, body, `"` + hex.EncodeToString(sum[:12]) + `"`}
}

func (p page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", p.contentType)
	h.Set("ETag", p.etag)
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Security-Policy", contentSecurityPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	http.ServeContent(w, r, p.name, time.Time{}, bytes.NewReader(p.body))
}
