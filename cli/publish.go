package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/carillon/carillon/event"
)

// publishCommand posts one event.
type publishCommand struct {
	Topic string  `arg:"" help:"The topic, such as orders.created."`
	Data  *string `arg:"" optional:"" help:"The payload; @FILE reads it from a file, - or nothing from standard input."`

	ContentType    string        `placeholder:"TYPE" help:"The payload's content type. If not given: application/json for what is JSON, text/plain for other text, application/octet-stream for the rest."`
	Wait           time.Duration `placeholder:"10s" help:"Wait so long for a webhook's answer and print that instead of the receipt."`
	Respond        string        `enum:"first,success,all" default:"first" placeholder:"MODE" help:"Which answers to wait for: the first one (first), the first 2xx (success), or one of every webhook (all)."`
	IdempotencyKey string        `placeholder:"KEY" help:"Publish nothing if an event was published under this key before, and print its receipt."`
	PartitionKey   string        `placeholder:"KEY" help:"What the event is ordered by."`

	Client client `embed:""`
}

// patience is how long the gateway may take to answer, beyond what it was asked to wait.
const patience = 30 * time.Second

// Run posts the event and prints what came back: the receipt or, with --wait, the webhook's own answer.
func (c *publishCommand) Run(ctx context.Context, p *Process) error {
	base, err := c.Client.base()
	if err != nil {
		return err
	}
	// Checked here as well, since a topic such as .. would lead to another path.
	if _, err := event.ParseTopic(c.Topic); err != nil {
		return usageError{fmt.Errorf("topic %q: %w", c.Topic, err)}
	}
	if c.Wait < 0 {
		return usageError{errors.New("--wait must not be negative")}
	}
	payload, err := c.payload(p.Stdin)
	if err != nil {
		return err
	}
	wait := int(math.Ceil(c.Wait.Seconds()))
	ctx, cancel := context.WithTimeout(ctx, patience+time.Duration(wait)*time.Second)
	defer cancel()

	target := base.JoinPath("v1", "topics", c.Topic, "events") // #nosec G125 -- a topic, as was just checked: no slashes, no empty tokens
	if wait > 0 {
		target.RawQuery = "respond=" + c.Respond
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), bytes.NewReader(payload))
	if err != nil {
		return err
	}
	req.Header = c.Client.header()
	req.Header.Set("Content-Type", c.contentType(payload))
	for name, value := range map[string]string{"Idempotency-Key": c.IdempotencyKey, "Carillon-Partition-Key": c.PartitionKey} {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	if wait > 0 {
		req.Header.Set("Prefer", fmt.Sprintf("wait=%d", wait))
	}

	to, err := c.Client.http()
	if err != nil {
		return err
	}
	resp, err := to.Do(req)
	if err != nil {
		return err // an url.Error: it says what was asked of whom
	}
	defer resp.Body.Close()
	webhook := resp.Header.Get("Carillon-Webhook-Id")
	if webhook == "" && resp.StatusCode/100 != 2 {
		return readRefusal(resp)
	}
	if err := printBody(p.Stdout, resp.Body); err != nil {
		return err
	}
	switch {
	case webhook != "" && resp.StatusCode/100 != 2:
		return fmt.Errorf("webhook %s answered %d %s", webhook, resp.StatusCode, http.StatusText(resp.StatusCode))
	case webhook == "" && wait > 0 && resp.StatusCode == http.StatusAccepted:
		fmt.Fprintf(p.Stderr, "carillon: no answer within %ds; the deliveries go on\n", wait)
	}
	return nil
}

// payload reads what is to be posted. All of it is held in memory: the gateway takes a mebibyte or so.
func (c *publishCommand) payload(stdin io.Reader) ([]byte, error) {
	if c.Data == nil || *c.Data == "-" {
		b, err := io.ReadAll(stdin)
		if err != nil {
			return nil, fmt.Errorf("reading the payload from standard input: %w", err)
		}
		return b, nil
	}
	if path, ok := strings.CutPrefix(*c.Data, "@"); ok {
		b, err := os.ReadFile(path) // #nosec G304 -- named on the command line by who runs it
		if err != nil {
			return nil, fmt.Errorf("reading the payload: %w", err)
		}
		return b, nil
	}
	return []byte(*c.Data), nil
}

func (c *publishCommand) contentType(payload []byte) string {
	switch {
	case c.ContentType != "":
		return c.ContentType
	case json.Valid(payload):
		return "application/json"
	case utf8.Valid(payload):
		return "text/plain; charset=utf-8"
	default:
		return "application/octet-stream"
	}
}

// printBody copies an answer, and ends it with a newline if it has none, so that the next prompt has a line of its own.
func printBody(w io.Writer, body io.Reader) error {
	b, err := io.ReadAll(body)
	if err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if len(b) > 0 && b[len(b)-1] != '\n' {
		b = append(b, '\n')
	}
	_, err = w.Write(b)
	return err
}
