package cli

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// doctorCommand finds out what a proxy does to streams.
type doctorCommand struct {
	Silence  time.Duration `placeholder:"70s" help:"Also be silent for so long, up to 150s, to see whether something cuts what is idle."`
	Ticks    int           `default:"8" placeholder:"N" help:"How many ticks the gateway sends, up to 100."`
	Interval time.Duration `default:"250ms" placeholder:"TIME" help:"How long it waits before each, up to 5s. Over a slow line a longer one tells more."`
	JSON     bool          `name:"json" help:"Print what was found as JSON, for machines."`

	Client client `embed:""`
}

// Run prints a verdict, and fails if there is something to mend.
func (c *doctorCommand) Run(ctx context.Context, p *Process) error {
	base, err := c.Client.base()
	if err != nil {
		return err
	}
	to, err := c.Client.http()
	if err != nil {
		return err
	}
	header := c.Client.header()
	header.Set("Accept", "text/event-stream")
	// Offered as browsers do. Since it is asked for by hand, the transport does not undo it.
	header.Set("Accept-Encoding", "gzip")
	e := examiner{
		client: to, url: base.JoinPath("v1", "stream", "doctor"), header: header,
		plan: doctorPlan{Ticks: c.Ticks, Interval: c.Interval, Silence: c.Silence},
	}
	if length := e.plan.length(); length >= 5*time.Second {
		fmt.Fprintf(p.Stderr, "carillon: this takes %s\n", length)
	}
	seen, err := e.examine(ctx)
	if err != nil {
		return err
	}
	report := diagnose(seen)
	if c.JSON {
		encoder := json.NewEncoder(p.Stdout)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(report)
	} else {
		err = report.print(p.Stdout)
	}
	if err != nil {
		return fmt.Errorf("printing the verdict: %w", err)
	}
	if !report.OK {
		return errTold
	}
	return nil
}

// doctorPlan is what the gateway is asked to do.
type doctorPlan struct {
	Ticks    int
	Interval time.Duration
	Silence  time.Duration
}

func (p doctorPlan) query() url.Values {
	q := url.Values{"ticks": {strconv.Itoa(p.Ticks)}, "interval": {p.Interval.String()}}
	if p.Silence != 0 {
		q.Set("silence", p.Silence.String())
	}
	return q
}

// length is how long the gateway takes to carry the plan out.
func (p doctorPlan) length() time.Duration { return time.Duration(p.Ticks)*p.Interval + p.Silence }

// examination is all that was seen of one run. Durations are counted from when the request was made.
type examination struct {
	url      string
	plan     doctorPlan
	protocol string // of the answer
	header   http.Header
	head     time.Duration // when the answer's head was there

	unreadable string          // the encoding that could not be undone; then nothing below is known
	arrival    *requestArrival // nil: it never came
	begun      moment          // the first block
	ticks      []moment
	done       string // the status that the last block gave; empty: it never came

	heard time.Duration // when something last came
	ended time.Duration
	err   error // what the end was; nil: the answer came to its end
}

// moment is when a block was sent, by the gateway's clock, and when it came.
type moment struct {
	sent time.Time
	came time.Duration
}

// requestArrival is how the gateway saw the request.
type requestArrival struct {
	Protocol string              `json:"protocol"`
	Remote   string              `json:"remote"`
	Host     string              `json:"host"`
	Headers  map[string][]string `json:"headers"`
	Time     time.Time           `json:"time"`
}

// examiner makes the request.
type examiner struct {
	client *http.Client
	url    *url.URL
	header http.Header
	plan   doctorPlan
}

// errStalled is the cause of the end when the gateway's plan is long over and nothing has ended.
var errStalled = errors.New("it neither went on nor ended")

// examine carries a run out. An error says that nothing can be said of streams: there was no answer, or it was a refusal
// or something else altogether.
func (e *examiner) examine(ctx context.Context) (*examination, error) {
	target := *e.url
	target.RawQuery = e.plan.query().Encode()
	ctx, cancel := context.WithTimeoutCause(ctx, e.plan.length()+patience, errStalled)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header = e.header
	begun := time.Now()
	resp, err := e.client.Do(req)
	if err != nil {
		return nil, err // an url.Error: it says what was asked of whom
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, readRefusal(resp)
	}
	seen := &examination{
		url: e.url.Redacted(), plan: e.plan, protocol: resp.Proto, header: resp.Header, head: time.Since(begun),
	}
	body, err := plainBody(resp)
	if err != nil {
		seen.unreadable = resp.Header.Get("Content-Encoding")
		return seen, nil
	}
	seen.err = seen.read(body, begun)
	seen.ended = time.Since(begun)
	switch {
	case seen.done != "":
		// The body's end may be cut off for all that it matters.
		seen.err = nil
	case errors.Is(context.Cause(ctx), errStalled):
		seen.err = errStalled
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	}
	if mediaType, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); seen.arrival == nil && mediaType != "text/event-stream" {
		return nil, fmt.Errorf("no event stream is served there, but %q", resp.Header.Get("Content-Type"))
	}
	return seen, nil
}

// plainBody undoes the one encoding that was offered.
func plainBody(resp *http.Response) (io.Reader, error) {
	switch strings.ToLower(resp.Header.Get("Content-Encoding")) {
	case "", "identity":
		return resp.Body, nil
	case "gzip", "x-gzip":
		return &lateGzip{from: resp.Body}, nil
	default:
		return nil, errors.New("an encoding that was not offered")
	}
}

// lateGzip reads gzip whose head may be long in coming: it is not waited for before the first read.
type lateGzip struct {
	from io.Reader
	gzip *gzip.Reader
}

// Read implements [io.Reader].
func (g *lateGzip) Read(p []byte) (int, error) {
	if g.gzip == nil {
		var err error
		if g.gzip, err = gzip.NewReader(g.from); err != nil {
			return 0, err
		}
	}
	return g.gzip.Read(p)
}

// maxDoctorLine is more than a line with all of a request's headers takes, and maxDoctorBody than a whole answer.
const (
	maxDoctorLine = 1 << 20
	maxDoctorBody = 4 << 20
)

// read takes the answer in, until its last block or its end. Only whole blocks count.
func (e *examination) read(body io.Reader, begun time.Time) error {
	lines := bufio.NewScanner(io.LimitReader(body, maxDoctorBody))
	lines.Buffer(nil, maxDoctorLine)
	var event, data string
	for lines.Scan() {
		e.heard = time.Since(begun)
		line := lines.Text()
		switch name, value, _ := strings.Cut(line, ":"); {
		case line == "":
			if e.take(event, data); e.done != "" {
				return nil
			}
			event, data = "", ""
		case name == "event":
			event = strings.TrimPrefix(value, " ")
		case name == "data":
			data = strings.TrimPrefix(value, " ")
		}
	}
	return lines.Err()
}

// take notes a block. Comments, and what is not a doctor's, have no meaning.
func (e *examination) take(event, data string) {
	switch event {
	case "doctor":
		var arrival requestArrival
		if json.Unmarshal([]byte(data), &arrival) == nil {
			e.arrival, e.begun = &arrival, moment{arrival.Time, e.heard}
		}
	case "tick":
		var tick struct{ Sent time.Time }
		if json.Unmarshal([]byte(data), &tick) == nil {
			e.ticks = append(e.ticks, moment{tick.Sent, e.heard})
		}
	case "done":
		var done struct{ Status string }
		if json.Unmarshal([]byte(data), &done) == nil {
			e.done = done.Status
		}
	}
}

// together counts the blocks that came together with the one before, and those that could have. Two came together if
// there was less than a quarter of the time between them that there was when they were sent: clocks differ, and a busy
// machine reads late, but what was held back comes in one go.
func (e *examination) together() (together, all int) {
	if e.arrival == nil {
		return 0, 0
	}
	last := e.begun
	for _, tick := range e.ticks {
		// A clock that was set back in between says nothing.
		if sent := tick.sent.Sub(last.sent); sent > 0 {
			all++
			if tick.came-last.came < sent/4 {
				together++
			}
		}
		last = tick
	}
	return together, all
}

// proxies lists the request's headers by which proxies tell of themselves, as the gateway saw them.
func (e *examination) proxies() []string {
	var list []string
	for name, values := range e.arrival.Headers {
		if name != "Accept-Encoding" && name != "Connection" {
			list = append(list, name+": "+strings.Join(values, ", "))
		}
	}
	slices.Sort(list)
	return list
}
