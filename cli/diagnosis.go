package cli

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"strings"
	"time"
	"unicode"
)

// result is what a check came to.
type result string

const (
	fine    result = "ok"
	remark  result = "note"    // worth knowing; streams work
	trouble result = "problem" // something to mend
	unclear result = "unknown" // could not be told
)

// check is one thing that was looked at.
type check struct {
	Name   string   `json:"name"`
	Result result   `json:"result"`
	Says   string   `json:"says"`
	Do     []string `json:"do,omitempty"` // what to do about it, by whatever stands between
}

// diagnosis is the verdict on one examination.
type diagnosis struct {
	URL         string          `json:"url"`
	OK          bool            `json:"ok"` // no check found a problem, or was left without an answer
	Checks      []check         `json:"checks"`
	Protocol    string          `json:"protocol"`      // of the answer as it came here
	FirstByteMS int64           `json:"first_byte_ms"` // from the request to the answer's first block, or its head if none came
	Arrival     *requestArrival `json:"arrival"`       // null: it never came
	Ticks       []seenTick      `json:"ticks"`
}

// seenTick is when a tick was sent and came, both counted from the first block, whose time is that of another clock.
type seenTick struct {
	SentMS int64 `json:"sent_ms"`
	CameMS int64 `json:"came_ms"`
}

// diagnose judges what was seen.
func diagnose(e *examination) *diagnosis {
	d := &diagnosis{
		URL: e.url, Protocol: e.protocol, FirstByteMS: e.firstByte().Milliseconds(), Arrival: e.arrival, Ticks: []seenTick{},
		Checks: []check{
			checkFirstByte(e), checkProtocol(e), checkHeaders(e), checkCompression(e), checkBuffering(e), checkCut(e),
		},
	}
	for _, tick := range e.ticks {
		if e.arrival != nil {
			d.Ticks = append(d.Ticks, seenTick{tick.sent.Sub(e.begun.sent).Milliseconds(), (tick.came - e.begun.came).Milliseconds()})
		}
	}
	d.OK = true
	for _, c := range d.Checks {
		if c.Result == trouble || c.Result == unclear {
			d.OK = false
		}
	}
	return d
}

// firstByte is when the first block came. Without one, it is when the head did.
func (e *examination) firstByte() time.Duration {
	if e.arrival != nil {
		return e.begun.came
	}
	return e.head
}

// slowFirstByte is what is worth a remark.
const slowFirstByte = 2 * time.Second

func checkFirstByte(e *examination) check {
	c := check{Name: "first byte", Result: fine, Says: fmt.Sprintf("The answer began %s after the request, connecting included.", rough(e.firstByte()))}
	if e.firstByte() > slowFirstByte {
		c.Result = remark
		c.Says += " The gateway itself answers at once."
	}
	return c
}

func checkProtocol(e *examination) check {
	c := check{Name: "protocol", Result: fine}
	if e.arrival == nil {
		c.Result = unclear
		c.Says = fmt.Sprintf("The answer is %s; how the request arrived at the gateway did not come.", e.protocol)
		return c
	}
	c.Says = fmt.Sprintf("The request arrived at the gateway as %s from %s; the answer is %s.", e.arrival.Protocol, e.arrival.Remote, e.protocol)
	if proxies := e.proxies(); len(proxies) > 0 {
		c.Says += " Proxies said of themselves: " + strings.Join(proxies, "; ") + "."
	}
	if strings.HasPrefix(e.arrival.Protocol, "HTTP/1.0") {
		c.Result = remark
		c.Says += " Over HTTP/1.0 a stream that broke looks like one that ended, and every request needs a connection of its own."
		c.Do = []string{`nginx: proxy_http_version 1.1; proxy_set_header Connection "";`}
	}
	return c
}

func checkHeaders(e *examination) check {
	c := check{Name: "headers", Result: fine, Says: "The answer's headers are the gateway's."}
	var changed []string
	contentType := e.header.Get("Content-Type")
	if mediaType, _, _ := mime.ParseMediaType(contentType); mediaType != "text/event-stream" {
		changed = append(changed, fmt.Sprintf("Content-Type is %s, not text/event-stream: a browser's EventSource will not take it", orNothing(contentType)))
	}
	cacheControl := e.header.Values("Cache-Control")
	for _, directive := range []string{"no-store", "no-transform"} {
		if !hasDirective(cacheControl, directive) {
			changed = append(changed, fmt.Sprintf("Cache-Control is %s, and lacks %s", orNothing(strings.Join(cacheControl, ", ")), directive))
		}
	}
	switch {
	case len(changed) > 0:
		c.Result = trouble
		c.Says = "Something between changes the answer's headers: " + strings.Join(changed, "; ") + "."
		c.Do = []string{
			"nginx: no add_header, expires, proxy_hide_header or default_type that touches Content-Type or Cache-Control on this route",
			"HAProxy: no http-response set-header or del-header for them",
			"Cloudflare, CDNs: no cache or transform rule on this route; bypass the cache for it",
		}
	case e.header.Get("X-Accel-Buffering") == "":
		c.Result = remark
		c.Says = "X-Accel-Buffering was taken away, as nginx does that heeds it. A second nginx in front of the first does not see it."
		c.Do = []string{"nginx, where another one stands in front: proxy_pass_header X-Accel-Buffering;"}
	}
	return c
}

func checkCompression(e *examination) check {
	encoding := e.header.Get("Content-Encoding")
	if encoding == "" || strings.EqualFold(encoding, "identity") {
		return check{Name: "compression", Result: fine, Says: "The answer is not compressed, though gzip was offered."}
	}
	return check{
		Name: "compression", Result: trouble,
		Says: fmt.Sprintf("Something between compresses streams (%s), which the gateway's no-transform forbids: a compressor holds events back until it has enough of them, unless it is flushed for each.", encoding),
		Do: []string{
			"nginx: take text/event-stream, or *, out of gzip_types (and brotli_types); or gzip off; on this route",
			"HAProxy: leave text/event-stream out of compression type",
			"Cloudflare: it heeds no-transform; look for a rule that sets Cache-Control, and for compression rules",
		},
	}
}

func checkBuffering(e *examination) check {
	c := check{Name: "buffering", Result: unclear}
	together, all := e.together()
	switch {
	case e.unreadable != "":
		c.Says = fmt.Sprintf("Cannot be told: this command does not read %s.", e.unreadable)
	case all == 0:
		c.Says = "Cannot be told: too little came."
	case 2*together >= all:
		c.Result = trouble
		c.Says = fmt.Sprintf("Something between buffers: of %s, sent %s apart, %d came together with what was sent before. Events will be late by as much as it holds back.",
			counted(all, "tick"), e.plan.Interval, together)
		c.Do = []string{
			"nginx: heed the gateway's X-Accel-Buffering (no proxy_ignore_headers for it), or proxy_buffering off; on this route",
			"nginx behind nginx: proxy_pass_header X-Accel-Buffering; in the inner one, or proxy_buffering off; in both",
			"HAProxy: it passes on what comes; no http-response wait-for-body and no compression on this route",
			"ALB: only with a Lambda function as target; use another kind of target",
			"Cloudflare, CDNs: no rule, worker or scan on this route that reads answers whole; bypass the cache for it",
		}
	case together > 0:
		c.Result = remark
		c.Says = fmt.Sprintf("Most ticks came one by one, as they were sent, but %d of %d came together with the one before, as on an unsteady line or a busy machine.", together, all)
		c.Do = []string{"run this again with --interval 1s to be sure"}
	default:
		c.Result = fine
		c.Says = fmt.Sprintf("Nothing buffers: %s came one by one, as sent.", counted(all, "tick"))
	}
	return c
}

// liveliness is how often a real stream says something.
const liveliness = 15 * time.Second

func checkCut(e *examination) check {
	c := check{Name: "cut", Result: fine}
	switch {
	case e.unreadable != "":
		c.Result = unclear
		c.Says = fmt.Sprintf("Cannot be told: this command does not read %s.", e.unreadable)
		return c
	case e.done == "complete" && e.plan.Silence > 0:
		c.Says = fmt.Sprintf("Nothing cuts: the answer came to its end, and lived through %s of silence.", e.plan.Silence)
		return c
	case e.done == "complete":
		c.Says = "Nothing cut the answer. Whether something cuts what is idle was not tried: --silence 70s does."
		return c
	case e.done != "":
		c.Result = unclear
		c.Says = "The gateway was stopped while this went on. Run it again."
		return c
	}
	c.Result = trouble
	came := "nothing had come"
	switch {
	case len(e.ticks) > 0:
		came = fmt.Sprintf("%d of %s had come", len(e.ticks), counted(e.plan.total(), "tick"))
	case e.arrival != nil:
		came = "no tick had come"
	}
	how := "as if it were complete"
	if e.err != nil {
		how = e.err.Error()
	}
	if errors.Is(e.err, errStalled) {
		c.Says = fmt.Sprintf("The answer hangs: after %s without a word it was given up, when %s.", rough(e.quiet()), came)
	} else {
		c.Says = fmt.Sprintf("Something cut the answer off (%s), after %s without a word, when %s.", how, rough(e.quiet()), came)
	}
	if e.quiet() > liveliness {
		c.Says += fmt.Sprintf(" A real stream is never silent for longer than %s, so it outlives a timeout for idle connections of this length, but not a limit on the whole answer: carillon tail shows which.", liveliness)
	}
	c.Do = []string{
		"nginx: proxy_read_timeout 1h; on this route (60s by default)",
		"HAProxy: timeout server and timeout client well above 15s",
		"ALB: idle_timeout.timeout_seconds well above 15 (60 by default)",
		"Google Cloud: timeoutSec of the backend service (30 by default) is how long a whole answer may take; raise it",
		"Cloudflare: cuts after 100s without a byte, which the gateway's heartbeat prevents as long as nothing else buffers it",
	}
	return c
}

// total is how many ticks the plan makes, with the one after the silence.
func (p doctorPlan) total() int {
	if p.Silence > 0 {
		return p.Ticks + 1
	}
	return p.Ticks
}

// quiet is how long nothing had come when the answer ended.
func (e *examination) quiet() time.Duration { return e.ended - max(e.heard, e.head) }

// hasDirective reports whether a header's list has the directive.
func hasDirective(lists []string, directive string) bool {
	for _, list := range lists {
		for item := range strings.SplitSeq(list, ",") {
			if strings.EqualFold(strings.TrimSpace(item), directive) {
				return true
			}
		}
	}
	return false
}

func orNothing(text string) string {
	if text == "" {
		return "missing"
	}
	return fmt.Sprintf("%q", text)
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// rough is a duration as precise as people want it.
func rough(d time.Duration) time.Duration {
	if d < time.Second {
		return d.Round(time.Millisecond)
	}
	return d.Round(100 * time.Millisecond)
}

// textWidth is where lines are wrapped.
const textWidth = 110

// print writes the verdict for people.
func (d *diagnosis) print(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", d.URL)
	for _, c := range d.Checks {
		wrap(&b, fmt.Sprintf("%-7s  %-11s  ", c.Result, c.Name), c.Says)
		for _, do := range c.Do {
			wrap(&b, "                        - ", do)
		}
	}
	if d.OK {
		fmt.Fprint(&b, "\nStreams come through.\n")
	} else {
		fmt.Fprint(&b, "\nStreams do not come through as they should.\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// printable puts a space in the place of each character that does not print: what came from elsewhere must not steer the
// terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text)
}

// wrap writes a text behind a lead, with later lines below its beginning. Parts of the text are whatever came.
func wrap(b *strings.Builder, lead, text string) {
	text = printable(text)
	column, first := len(lead), true
	b.WriteString(lead)
	for _, word := range strings.Fields(text) {
		switch {
		case first:
			first = false
		case column+1+len(word) > textWidth:
			fmt.Fprintf(b, "\n%*s", len(lead), "")
			column = len(lead)
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	b.WriteByte('\n')
}
