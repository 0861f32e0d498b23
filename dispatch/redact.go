package dispatch

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/carillon/carillon/event"
)

// redacted stands in a kept answer for what is hidden from who manages the webhook.
const redacted = "***"

// minRedacted is how long a text must be to be taken for a credential in an answer. Shorter ones are found by chance.
const minRedacted = 8

// redactor takes what is hidden of a webhook out of what its receiver answers: there are receivers that echo the request,
// and an answer's first bytes are shown to who manages the webhook, to whom the credentials are not.
type redactor struct {
	texts []string // what is looked for, the longest first
}

// redactorOf makes the redactor for a webhook's attempt. sent is the header of its request: it has what nobody was told but
// the gateway, such as a token of an OAuth 2.0 server.
func redactorOf(w *event.Webhook, sent http.Header) redactor {
	var r redactor
	signing := func(secret event.Secret) {
		// Without its prefix it is as good.
		_, text, _ := strings.Cut(secret.Reveal(), "_")
		r.hide(text)
	}
	signing(w.Secret)
	for _, old := range w.OldSecrets {
		signing(old.Secret)
	}
	for _, value := range w.Headers {
		r.hide(value.Reveal())
	}
	for _, secret := range []event.Secret{w.Auth.Password, w.Auth.Token, w.Auth.ClientSecret, w.Auth.PrivateKey} {
		r.hide(secret.Reveal())
	}
	if w.Auth.Type != event.AuthNone {
		_, credentials, _ := strings.Cut(sent.Get("Authorization"), " ")
		r.hide(credentials)
	}
	// What contains another goes first, or a part of it would stay.
	slices.SortFunc(r.texts, func(a, b string) int { return len(b) - len(a) })
	r.texts = slices.Compact(r.texts)
	return r
}

// hide adds a text, and how it stands in JSON and in URLs.
func (r *redactor) hide(text string) {
	if len(text) < minRedacted {
		return
	}
	r.texts = append(r.texts, text)
	if plain(text) {
		return
	}
	r.texts = append(r.texts, url.QueryEscape(text), url.PathEscape(text))
	for _, escapeHTML := range []bool{true, false} {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(escapeHTML)
		if enc.Encode(text) == nil { // a text can always be encoded
			r.texts = append(r.texts, strings.Trim(b.String(), "\"\n"))
		}
	}
}

// plain reports whether a text has only characters that nobody escapes.
func plain(text string) bool {
	for i := range len(text) {
		c := text[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return true
}

// redact replaces what is hidden in an answer's first bytes, also where it was cut off at their end.
func (r redactor) redact(answer []byte) []byte {
	cut := len(answer) == event.MaxAnswerKept
	clean := answer
	for _, text := range r.texts {
		clean = bytes.ReplaceAll(clean, []byte(text), []byte(redacted))
	}
	for _, text := range r.texts {
		for n := min(len(text)-1, len(clean)); n >= minRedacted; n-- {
			if bytes.HasSuffix(clean, []byte(text[:n])) {
				clean, cut = append(clean[:len(clean)-n:len(clean)-n], redacted...), false
				break
			}
		}
	}
	if cut && len(clean) < len(answer) {
		// Whoever shows it knows by its length that half a character can be at its end.
		clean = withoutHalfRune(clean)
	}
	return clean
}

// withoutHalfRune leaves out the beginning of a character at the end.
func withoutHalfRune(b []byte) []byte {
	for back := 1; back < utf8.UTFMax && back <= len(b); back++ {
		if last := b[len(b)-back:]; utf8.RuneStart(last[0]) {
			if !utf8.FullRune(last) {
				return b[:len(b)-back]
			}
			break
		}
	}
	return b
}
