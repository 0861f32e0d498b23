package dispatch

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/carillon/carillon/event"
)

// TestHostileEcho has receivers answer with what they were sent, in ways that are no HTTP: what went wrong is told without
// it, since that may be logged.
func TestHostileEcho(t *testing.T) {
	const secret = "s3cret-token"
	for name, before := range map[string]string{
		"the whole answer":  "",
		"version":           "HTTP/",
		"status":            "HTTP/1.1 ",
		"a header's name":   "HTTP/1.1 200 OK\r\n ",
		"lengths":           "HTTP/1.1 200 OK\r\nContent-Length: ",
		"encoding":          "HTTP/1.1 200 OK\r\nTransfer-Encoding: ",
		"a trailer":         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX ",
		"a chunk":           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
		"a chunk's comment": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1 ",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := attack(t, &hostile{serve: func(c net.Conn) {
					readRequest(c)
					// The sender gives up when it likes.
					_, _ = io.WriteString(c, before+secret+" "+secret+"\r\n\r\n")
				}})
				if got.Err == nil || got.Attempt.Outcome == event.Success {
					t.Fatalf("that was an answer: %+v", got)
				}
				if text := fmt.Sprintf("%v %+v", got.Err, got.Attempt.Outcome); strings.Contains(text, secret) {
					t.Errorf("the error repeats it: %s", text)
				}
			})
		})
	}
}

// TestErrorsWithoutURLs asks for what is no URL, as an older gateway could have stored it.
func TestErrorsWithoutURLs(t *testing.T) {
	s := newSender(t, nil)
	for _, url := range []string{"http://example.com/s3cret%zz", "http://exa mple.com/s3cret", "http://[::1/s3cret"} {
		r := attemptOn(url)
		resp := s.Send(t.Context(), r)
		if resp.Err == nil || strings.Contains(resp.Err.Error(), "s3cret") {
			t.Errorf("%s: %v", url, resp.Err)
		}
		if _, err := s.askConsent(t.Context(), r.Webhook); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// TestSettingsDoNotPrintSecrets prints a webhook in every way that is likely to happen by accident.
func TestSettingsDoNotPrintSecrets(t *testing.T) {
	w := &event.Webhook{
		Secret: "s3cret", OldSecrets: []event.OldSecret{{Secret: "s3cret"}}, Headers: map[string]event.Secret{"X-Api-Key": "s3cret"},
		Auth: event.Auth{Password: "s3cret", Token: "s3cret", ClientSecret: "s3cret", PrivateKey: "s3cret"},
	}
	for _, verb := range []string{"%v", "%+v", "%s", "%d", "%q", "%x", "%#v"} {
		if text := fmt.Sprintf(verb, *w); strings.Contains(text, "s3cret") || strings.Contains(text, fmt.Sprintf("%x", "s3cret")) {
			t.Errorf("%s gives %s", verb, text)
		}
	}
}
