package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"path"
	"time"
)

//go:embed index.html assets
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
	mux.Handle("GET /{$}", load("index.html"))
	assets, err := files.ReadDir("assets")
	if err != nil {
		panic(err) // the embed directive above names it: the build would have failed
	}
	for _, file := range assets {
		name := "assets/" + file.Name()
		mux.Handle("GET /"+name, load(name))
	}
	return mux
}

// contentTypes are those of the files that there are, by their ending.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
}

func load(name string) page {
	body, err := files.ReadFile(name)
	if err != nil {
		panic(err) // it is in the binary
	}
	contentType, ok := contentTypes[path.Ext(name)]
	if !ok {
		panic("web: no content type for " + name)
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
