package event

import (
	"fmt"
	"hash/fnv"
	"net/url"
	"strings"
	"time"
)

// Limits and defaults of a webhook's settings.
const (
	DefaultTimeout     = 15 * time.Second
	MinTimeout         = time.Second
	MaxTimeout         = 60 * time.Second
	DefaultMaxInFlight = 16
	MaxMaxInFlight     = 1024
	MaxPatterns        = 100
	MaxURLBytes        = 2048
	MaxDescription     = 1024
	MaxMetadata        = 50
	MaxMetadataKey     = 64
	MaxMetadataValue   = 512
	MaxFilterBytes     = 4 << 10
	MaxTransformBytes  = 16 << 10
	MaxHeaders         = 32
	MaxHeaderBytes     = 8 << 10 // of all names and values together
	MaxRatePerSecond   = 100_000
	MinRatePerSecond   = 0.000_01 // about one a day; what is far less would never come
	MaxBurst           = 100_000
	MaxOldSecrets      = 5
	MaxOverlap         = 30 * 24 * time.Hour // of a secret that a rotation has replaced
)

// Webhook is a registered URL with the patterns it subscribes to.
type Webhook struct {
	ID     ID
	Tenant TenantID

	// Version grows with every change; a write names the version it changes (compare and set).
	Version int64

	URL         string
	Topics      []Pattern
	Secret      Secret // whsec_…, never shown after creation
	Retry       Schedule
	Timeout     time.Duration // over connect, headers and body of one attempt
	MaxInFlight int
	Description string
	Metadata    map[string]string

	Filter    string // a CEL expression; empty: every event that the patterns match
	Transform string // a jq expression that makes the body; empty: the body is what Format makes it
	Format    Format
	Headers   map[string]Secret // added to each request, by canonical name; which are credentials nobody can know
	Auth      Auth
	Signing   Signing
	RateLimit RateLimit
	Order     Order
	// Handshake says that the URL's owner has to consent before anything is sent there: CloudEvents HTTP 1.1 Web Hooks,
	// section 4. It is asked for when the webhook is registered and when its URL changes.
	Handshake bool

	// OldSecrets still sign, each until its time, beside Secret. They were replaced by a rotation.
	OldSecrets []OldSecret

	Enabled        bool
	DisabledReason DisabledReason // empty while enabled

	CreatedAt time.Time
	UpdatedAt time.Time

	// CanceledThrough is a line in the log: a delivery at or below it that was pending when it was drawn is canceled,
	// for CanceledReason. Disabling and deleting draw it, in one write, however many deliveries were pending.
	CanceledThrough Cursor
	CanceledReason  Reason
}

// DisabledReason says why a webhook is disabled.
type DisabledReason string

// Why a webhook is disabled.
const (
	DisabledByHand  DisabledReason = "manual"  // somebody set enabled to false
	DisabledGone    DisabledReason = "gone"    // it answered 410
	DisabledFailing DisabledReason = "failing" // it failed for days without one success between
)

// Format says what a request's body is and what stands in its headers beside.
type Format string

// The formats of a request. The empty Format is FormatRaw.
const (
	FormatRaw               Format = "raw"                // the payload as it was posted
	FormatStandard          Format = "standard"           // {"type", "timestamp", "data"}, as Standard Webhooks recommends
	FormatCloudEvents       Format = "cloudevents"        // a structured CloudEvent
	FormatCloudEventsBinary Format = "cloudevents-binary" // the payload, with the attributes in headers
)

// Signing says with what requests are signed.
type Signing string

// How requests can be signed (Standard Webhooks 1.0). The empty Signing is SigningHMAC.
const (
	SigningHMAC    Signing = "hmac"    // v1, with a secret that both sides know
	SigningEd25519 Signing = "ed25519" // v1a, with a key pair: receivers know the public one
)

// Order says which deliveries of a webhook wait for one another.
type Order string

// The orders of deliveries. The empty Order is OrderNone.
const (
	OrderNone   Order = "none"
	OrderKey    Order = "key"    // one at a time for each partition key, in log order
	OrderStrict Order = "strict" // one at a time, in log order
)

// Ordered reports whether any deliveries wait for one another.
func (o Order) Ordered() bool { return o == OrderKey || o == OrderStrict }

// OrderKey returns what an event's delivery waits for its turn by: two deliveries of a webhook with the same key, other
// than 0, are made in the order of the log. Partition keys are hashed: two that collide merely wait for one another.
func (o Order) OrderKey(partitionKey string) uint64 {
	switch {
	case o == OrderStrict:
		return 1
	case o == OrderKey && partitionKey != "":
		h := fnv.New64a()
		_, _ = h.Write([]byte(partitionKey)) // never fails
		return max(h.Sum64()>>1, 1)          // engines store it as a signed number
	}
	return 0
}

// RateLimit bounds how often requests begin, retries included. The zero RateLimit is no bound.
type RateLimit struct {
	PerSecond float64
	Burst     int // at least 1 where PerSecond is set
}

// OldSecret is a secret that a rotation has replaced.
type OldSecret struct {
	Secret Secret
	Until  time.Time // it signs until then
}

// FieldError is one thing that is wrong with one field of what somebody sent. Detail is meant for them.
type FieldError struct {
	Field  string `json:"field"`
	Detail string `json:"detail"`
}

// Validate returns everything that is wrong with the settings by themselves. It does not look at secrets (package sign
// does), into expressions (package filter does), nor at headers, auth and where the URL leads (package dispatch does).
func (w *Webhook) Validate() []FieldError {
	var bad []FieldError
	add := func(field, format string, args ...any) {
		bad = append(bad, FieldError{field, fmt.Sprintf(format, args...)})
	}
	if err := checkURL(w.URL); err != "" {
		add("url", "%s", err)
	}
	if n := len(w.Topics); n == 0 || n > MaxPatterns {
		add("topics", "has %d patterns; 1 to %d are allowed", n, MaxPatterns)
	}
	for i, p := range w.Topics {
		if _, err := ParsePattern(string(p)); err != nil {
			add(fmt.Sprintf("topics[%d]", i), "%s", err)
		}
	}
	if err := w.Retry.Validate(); err != nil {
		add("retry", "%s", err)
	}
	if w.Timeout < MinTimeout || w.Timeout > MaxTimeout {
		add("timeout", "is %s; %s to %s are allowed", w.Timeout, MinTimeout, MaxTimeout)
	}
	if w.MaxInFlight < 1 || w.MaxInFlight > MaxMaxInFlight {
		add("max_in_flight", "is %d; 1 to %d are allowed", w.MaxInFlight, MaxMaxInFlight)
	}
	if len(w.Description) > MaxDescription {
		add("description", "is %d bytes long; at most %d are allowed", len(w.Description), MaxDescription)
	}
	if len(w.Metadata) > MaxMetadata {
		add("metadata", "has %d entries; at most %d are allowed", len(w.Metadata), MaxMetadata)
	}
	for k, v := range w.Metadata {
		if k == "" || len(k) > MaxMetadataKey || len(v) > MaxMetadataValue {
			add("metadata", "keys may have 1 to %d bytes and values at most %d", MaxMetadataKey, MaxMetadataValue)
			break
		}
	}
	w.validateRequests(add)
	return bad
}

// validateRequests looks at the settings that say what is sent, and when.
func (w *Webhook) validateRequests(add func(field, format string, args ...any)) {
	if len(w.Filter) > MaxFilterBytes {
		add("filter", "is %d bytes long; at most %d are allowed", len(w.Filter), MaxFilterBytes)
	}
	if len(w.Transform) > MaxTransformBytes {
		add("transform", "is %d bytes long; at most %d are allowed", len(w.Transform), MaxTransformBytes)
	}
	switch w.Format {
	case "", FormatRaw, FormatStandard, FormatCloudEvents, FormatCloudEventsBinary:
	default:
		add("format", "must be %s, %s, %s or %s", FormatRaw, FormatStandard, FormatCloudEvents, FormatCloudEventsBinary)
	}
	if w.Auth.Type == AuthMTLS && !strings.HasPrefix(strings.ToLower(w.URL), "https://") {
		add("auth.type", "is mtls, which needs a url that begins with https://")
	}
	switch w.Signing {
	case "", SigningHMAC, SigningEd25519:
	default:
		add("signing", "must be %s or %s", SigningHMAC, SigningEd25519)
	}
	if r := w.RateLimit; r != (RateLimit{}) {
		// A rate that is no number is out of any bounds.
		if !(r.PerSecond >= MinRatePerSecond && r.PerSecond <= MaxRatePerSecond) {
			add("rate_limit.per_second", "is %g; %g to %d are allowed", r.PerSecond, MinRatePerSecond, MaxRatePerSecond)
		}
		if r.Burst < 1 || r.Burst > MaxBurst {
			add("rate_limit.burst", "is %d; 1 to %d are allowed", r.Burst, MaxBurst)
		}
	}
	switch w.Order {
	case "", OrderNone, OrderKey, OrderStrict:
	default:
		add("order", "must be %s, %s or %s", OrderNone, OrderKey, OrderStrict)
	}
}

func checkURL(s string) string {
	if s == "" {
		return "is required"
	}
	if len(s) > MaxURLBytes {
		return fmt.Sprintf("is %d bytes long; at most %d are allowed", len(s), MaxURLBytes)
	}
	if scheme, _, ok := strings.Cut(strings.ToLower(s), "://"); !ok || scheme != "http" && scheme != "https" {
		return "must begin with http:// or https://"
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return "is not a URL"
	case u.Hostname() == "":
		return "names no host"
	case u.User != nil:
		return "must not carry a user name or password"
	case u.Fragment != "" || strings.Contains(s, "#"):
		return "must not have a fragment"
	}
	return ""
}
