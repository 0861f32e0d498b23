package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/carillon/carillon/event"
)

// client says how the client commands reach a gateway.
type client struct {
	URL    string `name:"url" group:"gateway" default:"http://127.0.0.1:8080" placeholder:"URL" help:"Where the gateway is."`
	CAFile string `name:"ca-file" group:"gateway" placeholder:"FILE" help:"Certificates, as PEM, to believe for https besides the system's."`

	Key event.Secret `group:"gateway" placeholder:"KEY" help:"The key to show it. The environment is the better place: other users can see a command line."`

	Tenant string `group:"gateway" placeholder:"NAME" help:"The tenant to act for, if that is not the key's own: for who runs the whole gateway."`
}

// base checks the gateway's URL.
func (c *client) base() (*url.URL, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, usageError{fmt.Errorf("--url: %q is not the address of a gateway, such as http://127.0.0.1:8080", c.URL)}
	}
	return u, nil
}

// header returns the headers that every request to the gateway carries.
func (c *client) header() http.Header {
	version, _ := build()
	h := http.Header{"User-Agent": {"carillon-cli/" + version}}
	if c.Key != "" {
		h.Set("Authorization", "Bearer "+c.Key.Reveal())
	}
	if c.Tenant != "" {
		h.Set("Carillon-Tenant", c.Tenant)
	}
	return h
}

// refusal is an answer of the gateway, or of something in front of it, that says no.
type refusal struct {
	status int
	text   string
}

func (r *refusal) Error() string {
	if r.status == http.StatusUnauthorized {
		return r.text + " (set " + envName("key") + " or --key)"
	}
	return r.text
}

// permanent reports whether asking again would get the same answer.
func (r *refusal) permanent() bool {
	return r.status >= 400 && r.status < 500 && r.status != http.StatusRequestTimeout && r.status != http.StatusTooManyRequests
}

// maxProblem is how much of a refusing answer is read.
const maxProblem = 64 << 10

// readRefusal reads a problem document (RFC 9457) for a human; anything else is shown by its status.
func readRefusal(resp *http.Response) *refusal {
	r := &refusal{resp.StatusCode, fmt.Sprintf("%d %s", resp.StatusCode, http.StatusText(resp.StatusCode))}
	if mediaType, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); mediaType != "application/problem+json" {
		return r
	}
	var p struct {
		Title, Detail string
		Errors        []event.FieldError
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxProblem)).Decode(&p); err != nil || p.Title == "" {
		return r // the status alone says more than half a document
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s", resp.StatusCode, printable(p.Title))
	if p.Detail != "" {
		fmt.Fprintf(&b, ": %s", printable(p.Detail))
	}
	for _, e := range p.Errors {
		// The detail of a single fault says the same.
		if line := e.Field + ": " + e.Detail; line != p.Detail {
			fmt.Fprintf(&b, "\n  %s", printable(line))
		}
	}
	r.text = b.String()
	return r
}
