package cli

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/r3labs/sse/v2"
)

// tailCommand follows a stream.
type tailCommand struct {
	Patterns []string `arg:"" name:"pattern" help:"The topics, such as orders.created, orders.* or **."`

	Since  string `placeholder:"WHEN" help:"Begin in the past: a duration such as 10m or 1d, an RFC 3339 time, a cursor, or earliest."`
	Format string `enum:"raw,cloudevents,json-line" default:"raw" placeholder:"FORMAT" help:"How to print an event: its payload as it is (raw), as one CloudEvent in JSON (cloudevents), or its payload as one line of JSON (json-line)."`

	Client client `embed:""`
}

// Run prints events until ctx ends or the gateway refuses.
func (c *tailCommand) Run(ctx context.Context, p *Process) error {
	base, err := c.Client.base()
	if err != nil {
		return err
	}
	to, err := c.Client.http()
	if err != nil {
		return err
	}
	query := url.Values{"topic": c.Patterns}
	if c.Format == "cloudevents" {
		query.Set("format", "cloudevents")
	}
	f := follower{
		client: to, url: base.JoinPath("v1", "stream"), query: query, since: withoutDays(c.Since), header: c.Client.header(),
		silence: silence, show: showRaw, out: p.Stdout, notes: p.Stderr,
	}
	if c.Format == "json-line" {
		f.show = showJSONLine
	}
	return f.follow(ctx)
}

const (
	// silence is how long a stream may say nothing before it is taken for dead: a live one sends a comment every 15 s.
	silence = 45 * time.Second

	// A lost connection is tried again after what the gateway asked for, or firstPause. Each failure to get a stream
	// doubles the pause, up to lastPause.
	firstPause = time.Second
	lastPause  = 30 * time.Second
)

// follower reads a stream over any number of connections. r3labs/sse reads each of them; the rest is done here because
// its client does not come back after a clean end, takes no notice of retry:, gives up after a quarter of an hour, and
// takes half a block for a whole one.
type follower struct {
	client  *http.Client
	url     *url.URL
	query   url.Values
	since   string // where to begin, until there is a position
	header  http.Header
	silence time.Duration
	show    func(w io.Writer, data []byte, encoded bool) error
	out     io.Writer // events
	notes   io.Writer // what the user should know besides

	position string        // the last id that came: where to resume
	printed  string        // the cursor of the last event that was printed
	retry    time.Duration // what the gateway asked for; 0: nothing
	opened   bool          // the connection at hand has got its stream
	outErr   error         // printing failed
}

// errSilent is the cause of a connection's end when nothing came for too long.
var errSilent = errors.New("nothing was heard for too long")

// follow prints events until ctx ends, which is no error, or going on makes no sense.
func (f *follower) follow(ctx context.Context) error {
	failures := 0
	for {
		err := f.connect(ctx)
		var no *refusal
		switch {
		case f.outErr != nil:
			return fmt.Errorf("printing an event: %w", f.outErr)
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &no) && no.permanent(), errors.Is(err, errBlockTooLarge):
			return err
		}
		if f.opened {
			failures = 0
		} else {
			failures++
		}
		wait := pause(failures, f.retry, rand.Float64()) // #nosec G404 -- jitter is no secret
		reason := "the gateway ended the stream"
		if err != nil {
			reason = err.Error()
		}
		fmt.Fprintf(f.notes, "carillon: %s; connecting again in %s\n", reason, wait.Round(10*time.Millisecond))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// pause returns how long to wait before the next connection, after so many in a row that got no stream. random is in
// [0, 1). What the gateway asked for is kept as it is the first time: it spreads its clients itself.
func pause(failures int, asked time.Duration, random float64) time.Duration {
	base := firstPause
	if asked > 0 {
		base = asked
	}
	if failures == 0 && asked > 0 {
		return base
	}
	for range failures - 1 {
		if base = 2 * base; base >= lastPause {
			break
		}
	}
	base = min(base, max(asked, lastPause))
	return time.Duration(float64(base) * (0.75 + random/2))
}

// connect reads one connection to its end. A clean end is no error.
func (f *follower) connect(ctx context.Context) error {
	f.opened = false
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(f.silence, func() { cancel(errSilent) })
	defer watchdog.Stop()

	query := f.query
	if f.position == "" && f.since != "" {
		query = url.Values{"since": {f.since}}
		for name, values := range f.query {
			query[name] = values
		}
	}
	target := *f.url
	target.RawQuery = query.Encode()

	c := sse.NewClient(target.String(), sse.ClientMaxBufferSize(maxBlock))
	c.Connection = f.client
	c.ReconnectStrategy = once{}
	for name := range f.header {
		c.Headers[name] = f.header.Get(name)
	}
	if f.position != "" {
		c.LastEventID.Store([]byte(f.position))
	}
	c.ResponseValidator = func(_ *sse.Client, resp *http.Response) error {
		if err := checkStream(resp); err != nil {
			_ = resp.Body.Close()
			return err
		}
		f.opened = true
		resp.Body = &wholeBlocks{body: resp.Body, heard: func() { watchdog.Reset(f.silence) }}
		return nil
	}
	err := c.SubscribeRawWithContext(ctx, func(m *sse.Event) {
		if f.outErr != nil {
			return // the connection is being given up
		}
		if f.outErr = f.take(m); f.outErr != nil {
			cancel(nil)
		}
	})
	if errors.Is(context.Cause(ctx), errSilent) {
		return errSilent
	}
	return err
}

// once is a reconnection strategy of the SSE client: never.
type once struct{}

// NextBackOff ends the client's retries; the number is the one that its library stops at.
func (once) NextBackOff() time.Duration { return -1 }

// Reset does nothing.
func (once) Reset() {}

func checkStream(resp *http.Response) error {
	if resp.StatusCode != http.StatusOK {
		return readRefusal(resp)
	}
	contentType := resp.Header.Get("Content-Type")
	if mediaType, _, _ := mime.ParseMediaType(contentType); mediaType != "text/event-stream" {
		// A page that answers 200 for every path will never be a stream.
		return &refusal{http.StatusNotFound, fmt.Sprintf("no event stream is served there, but %q", contentType)}
	}
	return nil
}

// take handles one block. Its error is that of printing.
//
// The client gives a block without an id the last one, also to the comments that keep a connection alive; what tells
// them from an event with an empty payload is that their Data is nil.
func (f *follower) take(m *sse.Event) error {
	if ms, err := strconv.ParseUint(string(m.Retry), 10, 31); err == nil {
		f.retry = time.Duration(ms) * time.Millisecond
	}
	name, id := string(m.Event), string(m.ID)
	switch {
	case m.Data == nil:
		f.position = id
		return nil
	case name == "_stream":
		f.notice(m.Data)
		return nil
	case name != "" && name != "_base64":
		f.position = id
		return nil
	}
	// Cursors grow, and so do their texts.
	if f.printed != "" && id <= f.printed {
		return nil
	}
	if err := f.show(f.out, m.Data, name == "_base64"); err != nil {
		return err
	}
	f.position, f.printed = id, id
	return nil
}

// notice handles what the gateway says about the stream itself.
func (f *follower) notice(data []byte) {
	var n struct{ Status, Oldest string }
	if err := json.Unmarshal(data, &n); err != nil || n.Status != "gap" {
		return // resumed is what is expected; what is unknown has no meaning yet
	}
	fmt.Fprintln(f.notes, "carillon: gap: the log no longer has all events since the last one printed; going on with what it has")
	// A gateway that was begun anew hands out cursors from the beginning again.
	f.printed = ""
}

// showRaw prints a payload as it was posted, and a newline.
func showRaw(w io.Writer, data []byte, encoded bool) error {
	data, err := decode(data, encoded)
	if err != nil {
		return err
	}
	_, err = w.Write(append(data, '\n'))
	return err
}

// showJSONLine prints a payload as one line: JSON without its line breaks, other text as a JSON string, and bytes that
// are not text as a JSON string of base64.
func showJSONLine(w io.Writer, data []byte, encoded bool) error {
	payload, err := decode(data, encoded)
	if err != nil {
		return err
	}
	var line bytes.Buffer
	if json.Compact(&line, payload) != nil {
		line.Reset()
		text := string(payload)
		if !utf8.Valid(payload) {
			text = base64.StdEncoding.EncodeToString(payload)
		}
		encoder := json.NewEncoder(&line)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(text); err != nil {
			return err
		}
	} else {
		line.WriteByte('\n')
	}
	_, err = w.Write(line.Bytes())
	return err
}

func decode(data []byte, encoded bool) ([]byte, error) {
	if !encoded {
		return data, nil
	}
	payload, err := base64.StdEncoding.DecodeString(string(data))
	if err != nil {
		return nil, fmt.Errorf("the gateway sent what is not base64: %w", err)
	}
	return payload, nil
}
