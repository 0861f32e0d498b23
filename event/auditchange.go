package event

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"time"
	"unicode/utf8"
)

// Change is one field that a change has changed, named as in the API. The values are JSON, nil where there is none, as
// before something was created. Of what may hold a secret there are no values at all: it is Hidden.
type Change struct {
	Field    string
	Old, New json.RawMessage
	Hidden   bool
}

// MaxChangeText is how many bytes of a value are kept. One that is longer ends in an ellipsis, and is a text whatever it was.
const MaxChangeText = 512

// NewChange tells of a value that may be shown. A nil value is none.
func NewChange(field string, before, after any) Change {
	return Change{Field: field, Old: changeValue(before), New: changeValue(after)}
}

// changeValue writes a value as JSON, of bounded length.
func changeValue(v any) json.RawMessage {
	if v == nil {
		return nil
	}
	if _, secret := v.(Secret); secret {
		return encodeValue(hidden)
	}
	// A text is cut as it is, anything else as it is written.
	if text := reflect.ValueOf(v); text.Kind() == reflect.String {
		return encodeValue(cutText(text.String(), MaxChangeText))
	}
	value := encodeValue(v)
	if len(value) > MaxChangeText {
		return encodeValue(cutText(string(value), MaxChangeText))
	}
	return value
}

func encodeValue(v any) json.RawMessage {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false) // filters are to be read as they were written
	if err := encoder.Encode(v); err != nil {
		return nil // a number that is none
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// cutText returns at most so many bytes of a text, and says by an ellipsis that it was longer.
func cutText(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most] + "…"
}

// CutActorText bounds an actor's ID or Name to [MaxActorText].
func CutActorText(text string) string { return cutText(text, MaxActorText) }

// auditedField is a field of a T: what of it is compared, and how it is shown.
type auditedField[T any] struct {
	name  string
	value func(*T) any // zero or empty where it is not set
	show  func(*T) any // nil: never
}

// changed lists the fields in which two differ. nil stands for the one that is not there yet, or not any more.
func changed[T any](fields []auditedField[T], before, after *T) []Change {
	var changes []Change
	for _, f := range fields {
		was, is := valueOf(f.value, before), valueOf(f.value, after)
		if empty(was) && empty(is) || reflect.DeepEqual(was, is) {
			continue
		}
		c := Change{Field: f.name, Hidden: f.show == nil}
		if !c.Hidden {
			c.Old, c.New = changeValue(valueOf(f.show, before)), changeValue(valueOf(f.show, after))
		}
		changes = append(changes, c)
	}
	return changes
}

func valueOf[T any](of func(*T) any, t *T) any {
	if t == nil {
		return nil
	}
	return of(t)
}

func empty(v any) bool {
	r := reflect.ValueOf(v)
	switch r.Kind() {
	case reflect.Invalid:
		return true
	case reflect.Slice, reflect.Map:
		return r.Len() == 0
	}
	return r.IsZero()
}

// shown is a field of which everything may be read.
func shown[T any](name string, value func(*T) any) auditedField[T] {
	return auditedField[T]{name, value, value}
}

// hiddenField is a field of which nothing may be read.
func hiddenField[T any](name string, value func(*T) any) auditedField[T] {
	return auditedField[T]{name, value, nil}
}

// unless returns a value, or the zero one where it is the one that is meant when nothing is said.
func unless[T comparable](value, usual T) T {
	var zero T
	if value == usual {
		return zero
	}
	return value
}

// webhookFields are all of a webhook's settings. Of headers only names are shown, and of URLs only the origin: credentials
// are in the rest. Of an auth nobody can tell for certain which parts are, so hardly any is shown.
var webhookFields = []auditedField[Webhook]{
	{"url", func(w *Webhook) any { return w.URL }, func(w *Webhook) any { return origin(w.URL) }},
	shown("topics", func(w *Webhook) any { return w.Topics }),
	shown("enabled", func(w *Webhook) any { return w.Enabled }),
	{"disabled_reason", func(w *Webhook) any { return w.DisabledReason }, func(w *Webhook) any { return orNil(w.DisabledReason) }},
	hiddenField("secret", func(w *Webhook) any { return w.Secret }),
	{"old_secrets_until", func(w *Webhook) any { return overlaps(w.OldSecrets) }, func(w *Webhook) any { return untils(w.OldSecrets) }},
	{"signing", func(w *Webhook) any { return unless(w.Signing, SigningHMAC) }, func(w *Webhook) any { return cmp.Or(w.Signing, SigningHMAC) }},
	{"filter", func(w *Webhook) any { return w.Filter }, func(w *Webhook) any { return orNil(w.Filter) }},
	{"transform", func(w *Webhook) any { return w.Transform }, func(w *Webhook) any { return orNil(w.Transform) }},
	{"format", func(w *Webhook) any { return unless(w.Format, FormatRaw) }, func(w *Webhook) any { return cmp.Or(w.Format, FormatRaw) }},
	{"headers", func(w *Webhook) any { return w.Headers }, func(w *Webhook) any { return names(w.Headers) }},
	{"auth.type", func(w *Webhook) any { return w.Auth.Type }, func(w *Webhook) any { return orNil(w.Auth.Type) }},
	hiddenField("auth.username", func(w *Webhook) any { return w.Auth.Username }),
	hiddenField("auth.password", func(w *Webhook) any { return w.Auth.Password }),
	hiddenField("auth.token", func(w *Webhook) any { return w.Auth.Token }),
	{"auth.token_url", func(w *Webhook) any { return w.Auth.TokenURL }, func(w *Webhook) any { return orNil(origin(w.Auth.TokenURL)) }},
	hiddenField("auth.client_id", func(w *Webhook) any { return w.Auth.ClientID }),
	hiddenField("auth.client_secret", func(w *Webhook) any { return w.Auth.ClientSecret }),
	hiddenField("auth.scopes", func(w *Webhook) any { return w.Auth.Scopes }),
	hiddenField("auth.params", func(w *Webhook) any { return w.Auth.Params }),
	hiddenField("auth.certificate", func(w *Webhook) any { return w.Auth.Certificate }),
	hiddenField("auth.private_key", func(w *Webhook) any { return w.Auth.PrivateKey }),
	hiddenField("auth.ca", func(w *Webhook) any { return w.Auth.CA }),
	{"retry", func(w *Webhook) any { return w.Retry }, func(w *Webhook) any { return spans(w.Retry) }},
	{"timeout", func(w *Webhook) any { return w.Timeout }, func(w *Webhook) any { return FormatDuration(w.Timeout) }},
	shown("max_in_flight", func(w *Webhook) any { return w.MaxInFlight }),
	{"rate_limit", func(w *Webhook) any { return w.RateLimit }, func(w *Webhook) any { return showRate(w.RateLimit) }},
	{"order", func(w *Webhook) any { return unless(w.Order, OrderNone) }, func(w *Webhook) any { return cmp.Or(w.Order, OrderNone) }},
	shown("handshake", func(w *Webhook) any { return w.Handshake }),
	shown("description", func(w *Webhook) any { return w.Description }),
	{"metadata", func(w *Webhook) any { return w.Metadata }, func(w *Webhook) any { return orEmpty(w.Metadata) }},
}

// WebhookChanges lists what of a webhook's settings differs, for the audit log; nothing if they are the same. before is nil
// for a webhook that is made, after for one that is deleted.
func WebhookChanges(before, after *Webhook) []Change { return changed(webhookFields, before, after) }

// WebhookUpdate names what the change of a webhook that is there before and after is.
func WebhookUpdate(before, after *Webhook) AuditAction {
	switch {
	case before.Enabled && !after.Enabled:
		return AuditWebhookDisabled
	case !before.Enabled && after.Enabled:
		return AuditWebhookEnabled
	case before.Secret != after.Secret:
		return AuditSecretRotated
	}
	return AuditWebhookUpdated
}

// keyFields are what there is to tell of a key, which is all but its hash.
var keyFields = []auditedField[Key]{
	shown("name", func(k *Key) any { return k.Name }),
	shown("scopes", func(k *Key) any { return k.Scopes }),
	{"topics", func(k *Key) any { return k.Patterns }, func(k *Key) any { return orAbsent(k.Patterns) }},
	shown("expires_at", func(k *Key) any { return moment(k.ExpiresAt) }),
	shown("revoked_at", func(k *Key) any { return moment(k.RevokedAt) }),
}

// KeyChanges lists what of a key differs, for the audit log. before is nil for a key that is made.
func KeyChanges(before, after *Key) []Change { return changed(keyFields, before, after) }

// tenantFields are what there is to tell of a tenant.
var tenantFields = []auditedField[Tenant]{
	shown("name", func(t *Tenant) any { return t.Name }),
	shown("quotas.events_per_second", func(t *Tenant) any { return t.Quotas.EventsPerSecond }),
	shown("quotas.stored_bytes", func(t *Tenant) any { return t.Quotas.StoredBytes }),
	shown("quotas.webhooks", func(t *Tenant) any { return t.Quotas.Webhooks }),
	shown("quotas.streams", func(t *Tenant) any { return t.Quotas.Streams }),
}

// TenantChanges lists what of a tenant differs, for the audit log. before is nil for a tenant that is made, after for one that
// is deleted.
func TenantChanges(before, after *Tenant) []Change { return changed(tenantFields, before, after) }

// PortalLinkChanges is what there is to tell of a portal link that is made, for the audit log.
func PortalLinkChanges(topics []Pattern, label string, expires time.Time) []Change {
	changes := []Change{{Field: "topics", New: changeValue(topics)}, {Field: "expires", New: changeValue(moment(expires))}}
	if label != "" {
		changes = append(changes, Change{Field: "label", New: changeValue(label)})
	}
	return changes
}

// origin shows where a URL leads, and nothing of what follows the host: for many receivers that is the credential, and the
// webhook's own row has it sealed.
func origin(text string) string {
	if text == "" {
		return ""
	}
	u, err := url.Parse(text)
	if err != nil || u.User != nil || u.Host == "" {
		return hidden
	}
	at := u.Scheme + "://" + u.Host
	if text == at || text == at+"/" {
		return text
	}
	return at + "/" + hidden
}

func orNil[T ~string](text T) any {
	if text == "" {
		return nil
	}
	return text
}

func orAbsent[T any](list []T) any {
	if len(list) == 0 {
		return nil
	}
	return list
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

func names(headers map[string]Secret) []string {
	return append([]string{}, slices.Sorted(maps.Keys(headers))...)
}

// overlap is an [OldSecret] whose time is the same wherever it was read.
type overlap struct {
	secret Secret
	until  int64
}

func overlaps(olds []OldSecret) []overlap {
	all := make([]overlap, len(olds))
	for i, old := range olds {
		all[i] = overlap{old.Secret, old.Until.UnixMilli()}
	}
	return all
}

func untils(olds []OldSecret) []any {
	all := make([]any, len(olds))
	for i, old := range olds {
		all[i] = moment(old.Until)
	}
	return all
}

func spans(s Schedule) []string {
	all := make([]string, len(s))
	for i, d := range s {
		all[i] = FormatDuration(d)
	}
	return all
}

func showRate(r RateLimit) any {
	if r == (RateLimit{}) {
		return nil
	}
	return map[string]any{"per_second": r.PerSecond, "burst": r.Burst}
}

// moment shows a time as the API does.
func moment(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

// MomentChange is a [NewChange] of times, of which the zero one is none.
func MomentChange(field string, before, after time.Time) Change {
	return NewChange(field, moment(before), moment(after))
}
