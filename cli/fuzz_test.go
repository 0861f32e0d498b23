package cli

import (
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode"
)

// Whatever answers in a gateway's place: what is printed of a refusal cannot steer a terminal.
func FuzzRefusal(f *testing.F) {
	for _, seed := range []struct {
		status            int
		contentType, body string
	}{
		{422, "application/problem+json", `{"title":"Invalid","detail":"is wrong","errors":[{"field":"url","detail":"is required"}]}`},
		{401, "application/problem+json; charset=utf-8", `{"title":"\u001b[2J","detail":"\u202e","errors":[{"field":"\r","detail":"\n"}]}`},
		{502, "text/html", "<h1>Bad Gateway</h1>"}, {404, "application/problem+json", `{"title":1}`}, {500, "application/problem+json", `{"title":"x"`},
		{0, ";", ""}, {999, "application/problem+json", `[]`},
	} {
		f.Add(seed.status, seed.contentType, seed.body)
	}
	f.Fuzz(func(t *testing.T, status int, contentType, body string) {
		r := readRefusal(&http.Response{StatusCode: status, Header: http.Header{"Content-Type": {contentType}}, Body: io.NopCloser(strings.NewReader(body))})
		if r.status != status || r.Error() == "" {
			t.Errorf("%+v", r)
		}
		if i := strings.IndexFunc(r.Error(), func(c rune) bool { return !unicode.IsPrint(c) && c != '\n' }); i >= 0 {
			t.Errorf("%q has what does not print, at %d", r, i)
		}
	})
}

// What comes in a doctor's answer's place gives a verdict that prints, or an error.
func FuzzExamination(f *testing.F) {
	for _, seed := range []string{
		"", "event: doctor\ndata: {\"protocol\":\"HTTP/1.1\",\"remote\":\"r\",\"headers\":{\"Via\":[\"1.1 x\"]},\"time\":\"2026-11-22T18:46:22Z\"}\n\n" +
			"event: tick\ndata: {\"sent\":\"2026-11-22T18:46:23Z\"}\n\nevent: done\ndata: {\"status\":\"complete\"}\n\n",
		"event:doctor\ndata:null\n\n", "event: tick\ndata: {\"sent\":\"9999-12-31T23:59:59Z\"}\n\n", "event: done\ndata: {\"status\":\"\\u001b[2J\"}\n\n",
		"event: doctor\ndata: {\"headers\":{\"\\u001b\":null}}\n\n: x\r\n\r\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		seen := &examination{url: "http://gateway", protocol: "HTTP/1.1", header: http.Header{}}
		begun := time.Now()
		seen.err = seen.read(strings.NewReader(body), begun)
		seen.ended = time.Since(begun)
		var out strings.Builder
		if err := diagnose(seen).print(&out); err != nil {
			t.Fatal(err)
		}
		if i := strings.IndexFunc(out.String(), func(c rune) bool { return !unicode.IsPrint(c) && c != '\n' }); i >= 0 {
			t.Errorf("%q has what does not print, at %d", out.String(), i)
		}
	})
}

func FuzzCIDR(f *testing.F) {
	for _, seed := range []string{"10.0.0.0/8", "10.1.2.3/16", "::1/128", "::ffff:10.0.0.0/104", "fe80::%eth0/64", "10.0.0.0", "0/0", "", "::/0", "10.0.0.0/33"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var c cidr
		if err := c.UnmarshalText([]byte(text)); err != nil {
			if c != (cidr{}) {
				t.Errorf("%q is refused, and opens %s", text, c)
			}
			return
		}
		if again, err := netip.ParsePrefix(c.String()); err != nil || again != netip.Prefix(c) {
			t.Errorf("%q opens %s, which reads as %s (%v)", text, c, again, err)
		}
	})
}
