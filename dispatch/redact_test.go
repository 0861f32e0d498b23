package dispatch

import (
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/carillon/carillon/event"
)

func TestWhatAReceiverEchoesIsRedacted(t *testing.T) {
	w := &event.Webhook{
		Secret:     "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
		OldSecrets: []event.OldSecret{{Secret: "whsk_b2xkLW9sZC1vbGQtb2xkLW9sZA=="}},
		Headers:    map[string]event.Secret{"X-Key": `k"<&>ey of theirs`, "X-Short": "north", "X-Long": "aaaaaaaabbbbbbbb", "X-Part": "aaaaaaaa"},
		Auth:       event.Auth{Type: event.AuthBasic, Username: "carillon", Password: "hunter2-hunter2"},
	}
	r := redactorOf(w, http.Header{"Authorization": {"Basic Y2FyaWxsb246aHVudGVyMi1odW50ZXIy"}})
	for in, want := range map[string]string{
		"all is well": "all is well",
		"north":       "north",
		"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw!":               "whsec_***!",
		"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw":                      "***",
		"b2xkLW9sZC1vbGQtb2xkLW9sZA==":                          "***",
		"b2xkLW9sZC1vbGQtb2xkLW9sZA%3D%3D":                      "***",
		`X-Key: k"<&>ey of theirs`:                              "X-Key: ***",
		`{"X-Key":"k\"\u003c\u0026\u003eey of theirs"}`:         `{"X-Key":"***"}`,
		`{"X-Key":"k\"<&>ey of theirs"}`:                        `{"X-Key":"***"}`,
		"?key=k%22%3C%26%3Eey+of+theirs&a=b":                    "?key=***&a=b",
		"/k%22%3C&%3Eey%20of%20theirs/b":                        "/***/b",
		"aaaaaaaabbbbbbbb aaaaaaaa aaaaaaa":                     "*** *** aaaaaaa",
		"password=hunter2-hunter2, carillon":                    "password=***, carillon",
		"Authorization: Basic Y2FyaWxsb246aHVudGVyMi1odW50ZXIy": "Authorization: Basic ***",
		// Broken off within one.
		"Basic Y2FyaWxsb246aHVu": "Basic ***",
		"Basic Y2Fya":            "Basic Y2Fya",
		"hunter2-hunter":         "***",
	} {
		before := in
		if got := string(r.redact([]byte(in))); got != want || in != before {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
	long := strings.Repeat("x", event.MaxAnswerKept-len("hunter2-hunter2")-1) + "hunter2-hunter2\xc3"
	if got := r.redact([]byte(long)); !utf8.Valid(got) || !strings.HasSuffix(string(got), "x***") {
		t.Errorf("cut off, it ends in %q", got[len(got)-10:])
	}
	if bare := redactorOf(&event.Webhook{}, http.Header{"Authorization": {"of somebody's own"}}); len(bare.texts) != 0 {
		t.Errorf("of a webhook without secrets it hides %q", bare.texts)
	}
}
