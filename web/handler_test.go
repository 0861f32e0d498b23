package web_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/carillon/carillon/web"
)

// firstLoad is how many bytes a browser may have to load, uncompressed, until it has shown a view.
const firstLoad = 100_000

// assets are the paths of the files in the directory assets.
func assets(t *testing.T) []string {
	t.Helper()
	files, err := os.ReadDir("assets")
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, f := range files {
		paths = append(paths, "/assets/"+f.Name())
	}
	return paths
}

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
	for _, path := range append(assets(t), "/") {
		want := "text/html"
		switch {
		case strings.HasSuffix(path, ".js"):
			want = "text/javascript"
		case strings.HasSuffix(path, ".css"):
			want = "text/css"
		}
		r := get(t, "GET", path, nil)
		if r.StatusCode != 200 || !strings.HasPrefix(r.Header.Get("Content-Type"), want) {
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
	for _, path := range append(assets(t), "/") {
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
	for _, path := range []string{"/index.html", "/handler.go", "/app.js", "/assets/", "/assets/index.html", "/assets/../handler.go", "/favicon.ico"} {
		if r := get(t, "GET", path, nil); r.StatusCode == 200 {
			t.Errorf("GET %s: %d", path, r.StatusCode)
		}
	}
	if r := get(t, "POST", "/", nil); r.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST /: %d", r.StatusCode)
	}
}

// The policy refuses inline code and style, so markup that carries some would be dead in a browser; and what would turn
// a payload into markup or code must not be in the scripts at all.
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
	for _, path := range assets(t) {
		script := body(t, get(t, "GET", path, nil))
		for _, bad := range []string{
			"innerHTML", "outerHTML", "insertAdjacentHTML", "setHTML", "createContextualFragment", "DOMParser", "srcdoc", "document.write",
			"eval(", "new Function", `setTimeout("`, "javascript:",
		} {
			if strings.Contains(script, bad) {
				t.Errorf("%s has %s", path, bad)
			}
		}
	}
}

// What a script imports is there, and every view is small: the page, its style, the frame, and the modules of that view.
func TestFirstLoadIsSmall(t *testing.T) {
	static := regexp.MustCompile(`from "\./([^"]+)"`)
	late := regexp.MustCompile(`import\("\./([^"]+)"\)`)
	all := assets(t)
	texts := map[string]string{}
	for _, path := range all {
		texts[path] = body(t, get(t, "GET", path, nil))
		for _, imports := range []*regexp.Regexp{static, late} {
			for _, m := range imports.FindAllStringSubmatch(texts[path], -1) {
				if !slices.Contains(all, "/assets/"+m[1]) {
					t.Errorf("%s imports %s, which is not there", path, m[1])
				}
			}
		}
	}
	var load func(path string, loaded map[string]bool)
	load = func(path string, loaded map[string]bool) {
		if loaded[path] {
			return
		}
		loaded[path] = true
		for _, m := range static.FindAllStringSubmatch(texts[path], -1) {
			load("/assets/"+m[1], loaded)
		}
	}
	views := late.FindAllStringSubmatch(texts["/assets/app.js"], -1)
	if len(views) == 0 {
		t.Fatal("the frame loads no views")
	}
	for _, view := range views {
		loaded := map[string]bool{}
		load("/assets/app.js", loaded)
		load("/assets/"+view[1], loaded)
		total := len(body(t, get(t, "GET", "/", nil))) + len(texts["/assets/style.css"])
		for path := range loaded {
			total += len(texts[path])
		}
		t.Logf("%s: %d bytes", view[1], total)
		if total >= firstLoad {
			t.Errorf("%s takes %d bytes to show", view[1], total)
		}
	}
}
