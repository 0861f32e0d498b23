package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/carillon/carillon/access"
	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
	"github.com/carillon/carillon/stream"
)

// serveCommand runs the gateway. Its flags are the configuration: see package cli for where else they can stand.
type serveCommand struct {
	Config string `group:"gateway" placeholder:"FILE" help:"A YAML file with these settings, named as here without the dashes. A flag beats the environment, and the environment beats the file."`

	Listen     string   `group:"network" default:"127.0.0.1:8080" placeholder:"ADDRESS" help:"The address to listen on; port 0 takes any that is free. Other than loopback needs a key, stored or configured, or --jwt-issuer."`
	Host       []string `group:"network" placeholder:"NAME" help:"A further name in Host to answer to while there is no key. Repeatable."`
	CORSOrigin []string `name:"cors-origin" group:"network" placeholder:"ORIGIN" help:"An origin, such as https://app.example.com, whose pages may use the gateway. Repeatable."`

	PublicURL string `name:"public-url" group:"network" placeholder:"URL" help:"Where browsers reach the gateway, such as https://events.example.com: what portal links begin with. Without it they lead to where they were asked for."`

	Transport transportFlags `embed:""`

	MaxBody byteSize      `group:"network" default:"1MiB" placeholder:"SIZE" help:"The largest body of a request."`
	Drain   time.Duration `group:"network" default:"20s" placeholder:"TIME" help:"How long stopping may take: attempts under way are waited for, and made again after the next start if that is not enough."`

	Streams           int           `group:"streams" default:"0" placeholder:"N" help:"How many streams may be open; 0 is as many as there are descriptors to spare."`
	StreamsPerAddress int           `group:"streams" default:"1000" placeholder:"N" help:"How many streams one address may have open, of IPv6 one /64; loopback may have any number. 0 is no bound."`
	StreamsPerKey     int           `group:"streams" default:"0" placeholder:"N" help:"How many streams one key may have open. 0 is no bound."`
	StreamMaxAge      time.Duration `group:"streams" default:"0" placeholder:"TIME" help:"Streams that have been open for so long end, up to a tenth of it earlier; their clients come back and resume. 0 lets them be."`
	StreamStall       time.Duration `group:"streams" default:"60s" placeholder:"TIME" help:"A stream whose reader takes nothing of what there is for it for so long is closed."`

	Data           string        `group:"storage" default:"./carillon-data" placeholder:"DIR" help:"The directory to keep everything in."`
	RetentionAge   time.Duration `group:"storage" default:"168h" placeholder:"TIME" help:"Events older than this, such as 168h or 7d, are removed; 0 keeps them."`
	RetentionBytes byteSize      `group:"storage" default:"10GiB" placeholder:"SIZE" help:"The oldest events are removed while there is more than this; 0 is no bound."`

	DeliveryRetentionAge   time.Duration `group:"storage" default:"0" placeholder:"TIME" help:"Ended deliveries and attempts of events older than this are removed before their events; 0 keeps them as long as their events."`
	DeliveryRetentionBytes byteSize      `group:"storage" default:"0" placeholder:"SIZE" help:"The oldest ended deliveries and attempts are removed while they take more than this; 0 is no bound."`

	secretsKeyFlag `embed:""`

	AuditRetentionAge time.Duration `group:"storage" default:"8760h" placeholder:"TIME" help:"Entries of the audit log older than this are removed; 0 keeps them."`

	IdempotencyWindow time.Duration `group:"storage" default:"24h" placeholder:"TIME" help:"How long an Idempotency-Key is remembered."`
	Source            string        `group:"storage" default:"/carillon" placeholder:"URI" help:"The CloudEvents source of events that were not posted as CloudEvents."`

	AdminKeyFile string `group:"access" placeholder:"FILE" help:"A file that holds a key which may do everything, shown as Authorization: Bearer KEY like those that carillon keys makes. CARILLON_ADMIN_KEY can hold the key itself; there is no flag for it, since other users can see a command line. 16 bytes at least."`

	JWT jwtSettings `embed:"" prefix:"jwt-"`

	WebhookAllow []cidr `group:"access" placeholder:"CIDR" help:"Addresses that webhooks may be at besides the public internet, such as 10.20.0.0/16. Repeatable."`

	LogFormat string   `group:"log" enum:"text,json" default:"text" placeholder:"FORMAT" help:"text or json."`
	LogLevel  logLevel `group:"log" default:"info" placeholder:"LEVEL" help:"debug, info, warn or error."`
}

const (
	// minAdminKey is the shortest admin key that is taken: one that can be guessed is worse than none, which at least
	// keeps the gateway on loopback.
	minAdminKey = 16
	maxAdminKey = 4 << 10

	// maxMaxBody is the largest body that can be allowed: bodies are held in memory.
	maxMaxBody = 256 << 20
)

// check says what is wrong with values that can be parsed.
func (c *serveCommand) check() error {
	switch {
	case c.MaxBody < 1 || c.MaxBody > maxMaxBody:
		return errors.New("--max-body must be 1 to 256MiB")
	case c.Drain < 0:
		return errors.New("--drain must not be negative")
	case c.RetentionAge < 0:
		return errors.New("--retention-age must not be negative")
	case c.DeliveryRetentionAge < 0:
		return errors.New("--delivery-retention-age must not be negative")
	case c.AuditRetentionAge < 0:
		return errors.New("--audit-retention-age must not be negative")
	case c.Streams < 0 || c.StreamsPerAddress < 0 || c.StreamsPerKey < 0:
		return errors.New("--streams, --streams-per-address and --streams-per-key must not be negative")
	case c.StreamMaxAge < 0:
		return errors.New("--stream-max-age must not be negative")
	case c.StreamMaxAge > 0 && c.StreamMaxAge < time.Minute:
		return errors.New("--stream-max-age must be at least 1m, or 0")
	case c.StreamStall < time.Second:
		return errors.New("--stream-stall must be at least 1s")
	case c.IdempotencyWindow <= 0:
		return errors.New("--idempotency-window must be more than 0")
	case c.Data == "":
		return errors.New("--data must name a directory")
	}
	if err := c.Transport.check(); err != nil {
		return err
	}
	if _, err := url.Parse(c.Source); err != nil || c.Source == "" {
		return fmt.Errorf("--source: %q is no URI, nor the path of one", c.Source)
	}
	for _, origin := range c.CORSOrigin {
		if origin != "*" && !isOrigin(origin) {
			return fmt.Errorf("--cors-origin: %q is no origin, such as https://app.example.com", origin)
		}
	}
	if c.PublicURL = strings.TrimSuffix(c.PublicURL, "/"); c.PublicURL != "" && (!isOrigin(c.PublicURL) || !strings.HasPrefix(c.PublicURL, "http://") && !strings.HasPrefix(c.PublicURL, "https://")) {
		return fmt.Errorf("--public-url: %q is no URL without a path, such as https://events.example.com", c.PublicURL)
	}
	return c.JWT.check()
}

// isOrigin reports whether a text is the origin of a page as browsers write it.
func isOrigin(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Scheme != "" && u.Host != "" && u.Scheme+"://"+u.Host == text
}

// retention is what the store keeps.
func (c *serveCommand) retention() store.Retention {
	return store.Retention{
		Age: c.RetentionAge, Bytes: int64(c.RetentionBytes), Keys: c.IdempotencyWindow,
		DeliveryAge: c.DeliveryRetentionAge, DeliveryBytes: int64(c.DeliveryRetentionBytes),
		AuditAge: c.AuditRetentionAge,
	}
}

// streamLimits bounds how many streams may be open.
func (c *serveCommand) streamLimits(tenants *access.Tenants) stream.Limits {
	limits := stream.Limits{PerTenant: tenants.StreamsOf, Total: c.Streams, PerKey: c.StreamsPerKey, PerAddress: c.StreamsPerAddress}
	if limits.Total == 0 {
		limits.Total = maxStreams()
	}
	return limits
}

// closing is the part of the drain time that is kept for storing what came of the last attempts.
func (c *serveCommand) closing() time.Duration { return min(c.Drain/4, 5*time.Second) }

// errOpenToAllPages refuses to let any web page post and listen: with a key they must at least know it.
var errOpenToAllPages = errors.New("--cors-origin '*' would let every web page that a browser on this machine shows use the gateway; name the origins, or make a key")

// errOpenToAll refuses to listen where others can connect.
func errOpenToAll(listen, data string) error {
	return fmt.Errorf("--listen %s can be reached from other machines, and there is no key to keep them out.\n"+
		"Either listen on loopback (--listen 127.0.0.1:8080), or make the first key, which is shown this once:\n"+
		"  carillon keys create --data %s --name admin --scope admin\n"+
		"or set one of at least %d bytes: CARILLON_ADMIN_KEY in the environment, or a file that holds it with --admin-key-file",
		listen, data, minAdminKey)
}

// adminKey reads the admin key from CARILLON_ADMIN_KEY or the file; it is empty where there is neither.
func adminKey(p *Process, file string) (event.Secret, error) {
	value, _ := p.LookupEnv(adminKeyEnv)
	from := adminKeyEnv
	if file != "" {
		if value != "" {
			return "", fmt.Errorf("%s and --admin-key-file are both set; one of them is enough", adminKeyEnv)
		}
		text, err := readSmall(file, maxAdminKey)
		if err != nil {
			return "", fmt.Errorf("--admin-key-file: %w", err)
		}
		// Editors and echo end a file with a newline.
		value, from = string(bytes.TrimRight(text, "\r\n")), "--admin-key-file"
	} else if value == "" {
		return "", nil
	}
	if len(value) < minAdminKey || len(value) > maxAdminKey {
		return "", fmt.Errorf("%s: the key has %d bytes; %d to %d are allowed", from, len(value), minAdminKey, maxAdminKey)
	}
	for i := range len(value) {
		if value[i] <= ' ' || value[i] > '~' {
			return "", fmt.Errorf("%s: the key has a space or another byte that cannot stand in a header at place %d", from, i+1)
		}
	}
	return event.Secret(value), nil
}

// readSmall reads a file that should be small.
func readSmall(path string, most int64) ([]byte, error) {
	f, err := os.Open(path) // #nosec G304 -- named by who runs the gateway
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most+1))
}

// logger writes structured logs. What is an [event.Secret] hides itself there.
func (c *serveCommand) logger(w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: slog.Level(c.LogLevel)}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
