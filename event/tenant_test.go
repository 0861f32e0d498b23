package event

import (
	"regexp"
	"strings"
	"testing"
)

func TestTenantValidate(t *testing.T) {
	good := Tenant{Name: "acme-2", Quotas: Quotas{EventsPerSecond: 1, StoredBytes: MaxQuota}}
	if bad := good.Validate(); len(bad) > 0 {
		t.Errorf("%+v", bad)
	}
	for field, bad := range map[string]Tenant{
		"name":                     {},
		"quotas.events_per_second": {Name: "a", Quotas: Quotas{EventsPerSecond: -1}},
		"quotas.stored_bytes":      {Name: "a", Quotas: Quotas{StoredBytes: MaxQuota + 1}},
		"quotas.webhooks":          {Name: "a", Quotas: Quotas{Webhooks: -1}},
		"quotas.streams":           {Name: "a", Quotas: Quotas{Streams: -1}},
	} {
		if got := bad.Validate(); len(got) != 1 || got[0].Field != field {
			t.Errorf("%s: %+v", field, got)
		}
	}
}

// FuzzTenantName compares with the expression that the API documents.
func FuzzTenantName(f *testing.F) {
	documented := regexp.MustCompile(`\A[a-z0-9][a-z0-9-]{0,62}\z`)
	for _, name := range []string{
		"default", "", "-", "a-", "A", "ä", "a.b", "a b", "a\n", "0", strings.Repeat("a", 63), strings.Repeat("a", 64), "\x00",
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if got, want := ValidTenantName(name), documented.MatchString(name); got != want {
			t.Errorf("%q: %t, want %t", name, got, want)
		}
	})
}
