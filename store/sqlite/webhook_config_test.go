package sqlite

import (
	"strings"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/carillon/carillon/event"
)

// TestSecretsInTheRow looks for a webhook's secrets where they are stored: they are there as long as it is.
func TestSecretsInTheRow(t *testing.T) {
	e := runEngine(t, Options{})
	secrets := []string{"whsec_one", "whsec_old", "a-password", "a-token", "client-secret", "private-key", "header-key"}
	w := &event.Webhook{ID: event.NewID(), Tenant: event.DefaultTenant, URL: "https://example.com/", Enabled: true,
		Secret: event.Secret(secrets[0]), OldSecrets: []event.OldSecret{{Secret: event.Secret(secrets[1]), Until: time.Now()}},
		Auth: event.Auth{Type: event.AuthBasic, Password: event.Secret(secrets[2]), Token: event.Secret(secrets[3]),
			ClientSecret: event.Secret(secrets[4]), PrivateKey: event.Secret(secrets[5])},
		Headers: map[string]event.Secret{"X-Key": event.Secret(secrets[6])}}
	if err := e.CreateWebhook(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	check := func(want bool) {
		t.Helper()
		row := ""
		err := e.read(t.Context(), func(c *conn) error {
			found, err := c.first(`SELECT secret || ' ' || config FROM webhook WHERE id = ?`, []any{w.ID},
				func(s *sqlite3.Stmt) { row = s.ColumnText(0) })
			if err == nil && !found {
				t.Error("the webhook has no row")
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range secrets {
			if strings.Contains(row, secret) != want {
				t.Errorf("that %q is in the row is not %t", secret, want)
			}
		}
		if strings.Contains(row, "***") {
			t.Error("a secret was stored as ***")
		}
	}
	check(true)
	if err := e.DeleteWebhook(t.Context(), w.Tenant, w.ID); err != nil {
		t.Fatal(err)
	}
	check(false)
}
