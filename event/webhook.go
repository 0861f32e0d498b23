package event

import (
	"fmt"
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
	DisabledByHand DisabledReason = "manual" // somebody set enabled to false
	DisabledGone   DisabledReason = "gone"   // it answered 410
)

// FieldError is one thing that is wrong with one field of what somebody sent. Detail is meant for them.
type FieldError struct {
	Field  string `json:"field"`
	Detail string `json:"detail"`
}

// Validate returns everything that is wrong with the settings, in the order of the fields. It does not look at secrets
// (package sign does) nor at where the URL leads (package dispatch does).
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
	return bad
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
