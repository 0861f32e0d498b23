package event_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/carillon/carillon/event"
)

// secretText is put wherever a secret can be.
const secretText = "open-sesame"

func auditedWebhook() *event.Webhook {
	return &event.Webhook{
		ID: event.NewID(), Tenant: 7, Version: 1,
		URL: "https://example.com/hook?token=" + secretText, Topics: []event.Pattern{"orders.*"}, Secret: secretText,
		Retry: event.DefaultSchedule(), Timeout: 15 * time.Second, MaxInFlight: 16, Description: "a webhook",
		Metadata: map[string]string{"team": "shop"}, Filter: "data.total > 100 && data.total < 200", Transform: ".data",
		Format: event.FormatStandard, Headers: map[string]event.Secret{"X-Token": secretText},
		Auth: event.Auth{
			Type: event.AuthOAuth2, Username: secretText, Password: secretText, Token: secretText,
			TokenURL: "https://example.com/token?secret=" + secretText, ClientID: secretText, ClientSecret: secretText,
			Scopes: []string{secretText}, Params: map[string]string{"assertion": secretText},
			Certificate: secretText, PrivateKey: secretText, CA: secretText,
		},
		Signing: event.SigningEd25519, RateLimit: event.RateLimit{PerSecond: 10, Burst: 20}, Order: event.OrderKey, Handshake: true,
		OldSecrets: []event.OldSecret{{Secret: secretText, Until: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)}},
		Enabled:    true,
	}
}

func asJSON(t *testing.T, changes []event.Change) string {
	t.Helper()
	text, err := json.Marshal(changes)
	if err != nil {
		t.Fatalf("a value is no JSON: %v", err)
	}
	return string(text)
}

// unaudited are the fields of a webhook that no change is told of: who it is, and what the engine keeps there.
var unaudited = []string{"ID", "Tenant", "Version", "CreatedAt", "UpdatedAt", "CanceledThrough", "CanceledReason"}

// Whatever is added to a webhook is in the audit log, or it is said here that it is not.
func TestEveryFieldOfAWebhookIsAudited(t *testing.T) {
	check := func(name string, set func(*event.Webhook) reflect.Value) {
		t.Helper()
		before, after := auditedWebhook(), auditedWebhook()
		after.ID = before.ID
		field := set(after)
		field.Set(other(t, field.Type()))
		if changes := event.WebhookChanges(before, after); len(changes) != 1 {
			t.Errorf("of a change of %s it tells %s", name, asJSON(t, changes))
		} else if text := asJSON(t, changes); strings.Contains(text, secretText) {
			t.Errorf("of a change of %s it tells the secret: %s", name, text)
		}
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[event.Webhook]()) {
		if f.Name != "Auth" && !slices.Contains(unaudited, f.Name) {
			check(f.Name, func(w *event.Webhook) reflect.Value { return reflect.ValueOf(w).Elem().FieldByIndex(f.Index) })
		}
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[event.Auth]()) {
		check("Auth."+f.Name, func(w *event.Webhook) reflect.Value { return reflect.ValueOf(&w.Auth).Elem().FieldByIndex(f.Index) })
	}
}

// other returns a value that [auditedWebhook] does not have.
func other(t *testing.T, of reflect.Type) reflect.Value {
	v := reflect.New(of).Elem()
	switch of.Kind() {
	case reflect.String:
		v.SetString("other")
	case reflect.Bool:
		v.SetBool(false)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(time.Minute))
	case reflect.Slice, reflect.Map, reflect.Struct: // none
	default:
		t.Fatalf("what is another %s?", of)
	}
	return v
}

func TestWebhookChanges(t *testing.T) {
	w := auditedWebhook()
	made, gone := event.WebhookChanges(nil, w), event.WebhookChanges(w, nil)
	if len(made) < 25 || len(made) != len(gone) {
		t.Errorf("made with %d fields, deleted with %d", len(made), len(gone))
	}
	for i := range made {
		if made[i].Old != nil || gone[i].New != nil || string(made[i].New) != string(gone[i].Old) {
			t.Errorf("%s: made with %s, deleted with %s", made[i].Field, made[i].New, gone[i].Old)
		}
		if made[i].Hidden != (made[i].New == nil) {
			t.Errorf("%s: hidden is %t, and it is %s", made[i].Field, made[i].Hidden, made[i].New)
		}
	}
	if text := asJSON(t, made); strings.Contains(text, secretText) {
		t.Errorf("the secret is in %s", text)
	}
	if same := event.WebhookChanges(w, auditedWebhook()); len(same) != 0 {
		t.Errorf("of no change it tells %s", asJSON(t, same))
	}
	// What is left out means the same as what is usual.
	a, b := &event.Webhook{Retry: event.Schedule{}}, &event.Webhook{Format: event.FormatRaw, Signing: event.SigningHMAC, Order: event.OrderNone}
	if same := event.WebhookChanges(a, b); len(same) != 0 {
		t.Errorf("of defaults it tells %s", asJSON(t, same))
	}

	for name, c := range map[string]struct {
		change func(*event.Webhook)
		want   string
	}{
		"timeout": {func(w *event.Webhook) { w.Timeout = time.Minute }, `"15s" "1m"`},
		"topics":  {func(w *event.Webhook) { w.Topics = []event.Pattern{"a", "b"} }, `["orders.*"] ["a","b"]`},
		"url":     {func(w *event.Webhook) { w.URL = "https://example.net/?x=1" }, `"https://example.com/***" "https://example.net/***"`},
		"filter":  {func(w *event.Webhook) { w.Filter = "" }, `"data.total > 100 && data.total < 200" `},
		"headers": {func(w *event.Webhook) { w.Headers = map[string]event.Secret{"X-Token": "another"} }, `["X-Token"] ["X-Token"]`},
		"rate_limit": {func(w *event.Webhook) { w.RateLimit = event.RateLimit{} },
			`{"burst":20,"per_second":10} `},
		"old_secrets_until": {func(w *event.Webhook) { w.OldSecrets = nil }, `["2026-11-23T10:00:00.000Z"] []`},
		"secret":            {func(w *event.Webhook) { w.Secret = "another" }, ` `},
	} {
		changed := auditedWebhook()
		c.change(changed)
		changes := event.WebhookChanges(w, changed)
		if len(changes) != 1 || changes[0].Field != name || string(changes[0].Old)+" "+string(changes[0].New) != c.want {
			t.Errorf("%s: %s", name, asJSON(t, changes))
		}
	}
}

func TestWebhookUpdate(t *testing.T) {
	on, off := event.Webhook{Enabled: true, Secret: "a"}, event.Webhook{Secret: "a"}
	fresh := on
	fresh.Secret = "b"
	for _, c := range []struct {
		before, after event.Webhook
		want          event.AuditAction
	}{
		{on, off, event.AuditWebhookDisabled},
		{off, on, event.AuditWebhookEnabled},
		{off, fresh, event.AuditWebhookEnabled},
		{on, fresh, event.AuditSecretRotated},
		{on, on, event.AuditWebhookUpdated},
	} {
		if got := event.WebhookUpdate(&c.before, &c.after); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}

func TestKeyChanges(t *testing.T) {
	token := event.NewKeyToken()
	k := &event.Key{
		ID: event.NewID(), Name: "shop", Scopes: []event.Scope{event.ScopePublish}, Hash: event.HashKey(token),
		ExpiresAt: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC),
	}
	const want = `[{"Field":"name","Old":null,"New":"shop","Hidden":false},` +
		`{"Field":"scopes","Old":null,"New":["publish"],"Hidden":false},` +
		`{"Field":"expires_at","Old":null,"New":"2026-11-23T10:00:00.000Z","Hidden":false}]`
	if got := asJSON(t, event.KeyChanges(nil, k)); got != want {
		t.Errorf("made: %s", got)
	}
	revoked := *k
	revoked.RevokedAt = k.ExpiresAt
	if got := event.KeyChanges(k, &revoked); len(got) != 1 || got[0].Field != "revoked_at" {
		t.Errorf("revoked: %s", asJSON(t, got))
	}
}

// The log's size is bounded by the number of changes, whatever they are about.
func TestChangesAreBounded(t *testing.T) {
	long := strings.Repeat("ä", event.MaxChangeText)
	c := event.NewChange("x", "y"+long, []string{long, "\x00\xff"})
	for _, value := range []json.RawMessage{c.Old, c.New} {
		var text string
		if err := json.Unmarshal(value, &text); err != nil {
			t.Fatalf("%s: %v", value, err)
		}
		if len(text) > event.MaxChangeText+len("…") || !strings.HasSuffix(text, "…") || !utf8.ValidString(text) {
			t.Errorf("%d bytes: %s", len(text), text)
		}
	}
	if short := event.NewChange("x", strings.Repeat("a", event.MaxChangeText), 12); len(short.Old) != event.MaxChangeText+2 || string(short.New) != "12" {
		t.Errorf("%s, %s", short.Old, short.New)
	}
	if text := event.CutActorText(long); len(text) > event.MaxActorText+len("…") || !utf8.ValidString(text) {
		t.Errorf("an actor's text is %q", text)
	}
}

// Whoever tells of a secret by mistake tells nothing.
func TestSecretsHideThemselvesInChanges(t *testing.T) {
	c := event.NewChange("x", event.Secret(secretText), []event.Secret{secretText})
	if string(c.Old) != `"***"` || string(c.New) != `["***"]` {
		t.Errorf("%s, %s", c.Old, c.New)
	}
}

func TestSubjectKinds(t *testing.T) {
	want := []string{"webhook", "key", "delivery", "job", "tenant", "portal-link"}
	for _, action := range event.AuditActions() {
		if kind := action.SubjectKind(); !slices.Contains(want, kind) {
			t.Errorf("%s is done to a %q", action, kind)
		}
	}
	if event.AuditReplayStarted.SubjectKind() != "job" || event.AuditWebhookDeleted.SubjectKind() != "webhook" {
		t.Error("wrong kinds")
	}
}
