package web_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/carillon/carillon/web"
)

var (
	scripts = []string{"/assets/app.js", "/assets/manage.js", "/assets/page.js", "/assets/session.js"}
	paths   = append([]string{"/", "/assets/style.css"}, scripts...)
)

func get(t *testing.T, method, path string, header http.Header) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	for k, v := range header {
		r.Header[k] = v
	}
	w := httptest.NewRecorder()
	web.Handler().ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestEveryPathIsServedUnderTheSamePolicy(t *testing.T) {
	types := map[string]string{"/": "text/html", "/assets/style.css": "text/css"}
	for _, path := range scripts {
		types[path] = "text/javascript"
	}
	for _, path := range paths {
		r := get(t, "GET", path, nil)
		if r.StatusCode != 200 || !strings.HasPrefix(r.Header.Get("Content-Type"), types[path]) {
			t.Errorf("%s: %d %s", path, r.StatusCode, r.Header.Get("Content-Type"))
		}
		csp := r.Header.Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"} {
			if !strings.Contains(csp, part) {
				t.Errorf("%s: policy lacks %s: %s", path, part, csp)
			}
		}
		if strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy allows inline code: %s", path, csp)
		}
		if r.Header.Get("X-Content-Type-Options") != "nosniff" || r.Header.Get("Cache-Control") != "no-cache" {
			t.Errorf("%s: headers %v", path, r.Header)
		}
		if head := get(t, "HEAD", path, nil); head.StatusCode != 200 || body(t, head) != "" {
			t.Errorf("HEAD %s: %d", path, head.StatusCode)
		}
	}
}

func TestUnchangedFileIsNotSentAgain(t *testing.T) {
	for _, path := range paths {
		etag := get(t, "GET", path, nil).Header.Get("ETag")
		if etag == "" {
			t.Fatalf("%s has no ETag", path)
		}
		r := get(t, "GET", path, http.Header{"If-None-Match": {etag}})
		if r.StatusCode != http.StatusNotModified || body(t, r) != "" {
			t.Errorf("%s: %d", path, r.StatusCode)
		}
		if r := get(t, "GET", path, http.Header{"If-None-Match": {`"another"`}}); r.StatusCode != 200 {
			t.Errorf("%s with another ETag: %d", path, r.StatusCode)
		}
	}
}

func TestNothingElseIsServed(t *testing.T) {
	for _, path := range []string{"/index.html", "/handler.go", "/app.js", "/assets/", "/assets/index.html", "/favicon.ico"} {
		if r := get(t, "GET", path, nil); r.StatusCode != http.StatusNotFound {
			t.Errorf("GET %s: %d", path, r.StatusCode)
		}
	}
	if r := get(t, "POST", "/", nil); r.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST /: %d", r.StatusCode)
	}
}

// The policy refuses inline code and style, so markup that carries some would be dead in a browser; and what would turn
// a payload into markup must not be in the script at all.
func TestPageHasNoInlineCodeAndMakesNoMarkup(t *testing.T) {
	page := body(t, get(t, "GET", "/", nil))
	for _, bad := range []string{`<script>`, `<style`, ` style=`, `javascript:`} {
		if strings.Contains(page, bad) {
			t.Errorf("index.html has %s", bad)
		}
	}
	if on := regexp.MustCompile(`\son[a-z]+=`).FindString(page); on != "" {
		t.Errorf("index.html has an inline handler: %s", on)
	}
	for _, path := range scripts {
		script := body(t, get(t, "GET", path, nil))
		for _, bad := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"} {
			if strings.Contains(script, bad) {
				t.Errorf("%s has %s", path, bad)
			}
		}
	}
}
