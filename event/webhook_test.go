package event

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestWebhookValidate(t *testing.T) {
	cases := map[string]struct {
		change func(*Webhook)
		fields []string
	}{
		"good":              {func(*Webhook) {}, nil},
		"http":              {func(w *Webhook) { w.URL = "http://127.0.0.1:3000" }, nil},
		"v6":                {func(w *Webhook) { w.URL = "https://[::1]/a?b=c" }, nil},
		"no URL":            {func(w *Webhook) { w.URL = "" }, []string{"url"}},
		"another scheme":    {func(w *Webhook) { w.URL = "ftp://example.com" }, []string{"url"}},
		"no scheme":         {func(w *Webhook) { w.URL = "example.com/hook" }, []string{"url"}},
		"no host":           {func(w *Webhook) { w.URL = "http:///x" }, []string{"url"}},
		"only a port":       {func(w *Webhook) { w.URL = "http://:80/" }, []string{"url"}},
		"broken URL":        {func(w *Webhook) { w.URL = "http://[::1/" }, []string{"url"}},
		"user":              {func(w *Webhook) { w.URL = "http://me:pw@example.com/" }, []string{"url"}},
		"fragment":          {func(w *Webhook) { w.URL = "http://example.com/#a" }, []string{"url"}},
		"empty fragment":    {func(w *Webhook) { w.URL = "http://example.com/#" }, []string{"url"}},
		"newline":           {func(w *Webhook) { w.URL = "http://example.com/\r\nX: y" }, []string{"url"}},
		"long URL":          {func(w *Webhook) { w.URL = "http://example.com/" + strings.Repeat("a", MaxURLBytes) }, []string{"url"}},
		"no topics":         {func(w *Webhook) { w.Topics = nil }, []string{"topics"}},
		"101 topics":        {func(w *Webhook) { w.Topics = slices.Repeat([]Pattern{"a"}, 101) }, []string{"topics"}},
		"100 topics":        {func(w *Webhook) { w.Topics = slices.Repeat([]Pattern{"a"}, 100) }, nil},
		"bad patterns":      {func(w *Webhook) { w.Topics = []Pattern{"a", "a..b", "**", "**.a"} }, []string{"topics[1]", "topics[3]"}},
		"retry":             {func(w *Webhook) { w.Retry = Schedule{0} }, []string{"retry"}},
		"no retry":          {func(w *Webhook) { w.Retry = nil }, nil},
		"short timeout":     {func(w *Webhook) { w.Timeout = MinTimeout - 1 }, []string{"timeout"}},
		"long timeout":      {func(w *Webhook) { w.Timeout = MaxTimeout + 1 }, []string{"timeout"}},
		"none in flight":    {func(w *Webhook) { w.MaxInFlight = 0 }, []string{"max_in_flight"}},
		"many in flight":    {func(w *Webhook) { w.MaxInFlight = MaxMaxInFlight + 1 }, []string{"max_in_flight"}},
		"description":       {func(w *Webhook) { w.Description = strings.Repeat("x", MaxDescription+1) }, []string{"description"}},
		"metadata key":      {func(w *Webhook) { w.Metadata = map[string]string{"": "x"} }, []string{"metadata"}},
		"metadata long key": {func(w *Webhook) { w.Metadata = map[string]string{strings.Repeat("k", MaxMetadataKey+1): "x"} }, []string{"metadata"}},
		"metadata value":    {func(w *Webhook) { w.Metadata = map[string]string{"k": strings.Repeat("x", MaxMetadataValue+1)} }, []string{"metadata"}},
		"much metadata": {func(w *Webhook) {
			w.Metadata = map[string]string{}
			for i := range MaxMetadata + 1 {
				w.Metadata[fmt.Sprint(i)] = "x"
			}
		}, []string{"metadata"}},
		"long filter":    {func(w *Webhook) { w.Filter = strings.Repeat("x", MaxFilterBytes+1) }, []string{"filter"}},
		"long transform": {func(w *Webhook) { w.Transform = strings.Repeat("x", MaxTransformBytes+1) }, []string{"transform"}},
		"all formats":    {func(w *Webhook) { w.Format = FormatCloudEventsBinary }, nil},
		"no format":      {func(w *Webhook) { w.Format = "xml" }, []string{"format"}},
		"signing":        {func(w *Webhook) { w.Signing = SigningEd25519 }, nil},
		"no signing":     {func(w *Webhook) { w.Signing = "rsa" }, []string{"signing"}},
		"strict order":   {func(w *Webhook) { w.Order = OrderStrict }, nil},
		"no order":       {func(w *Webhook) { w.Order = "random" }, []string{"order"}},
		"mtls":           {func(w *Webhook) { w.Auth.Type = AuthMTLS }, nil},
		"mtls over http": {func(w *Webhook) { w.URL, w.Auth.Type = "http://example.com/", AuthMTLS }, []string{"auth.type"}},
		"slow":           {func(w *Webhook) { w.RateLimit = RateLimit{MinRatePerSecond, 1} }, nil},
		"fast":           {func(w *Webhook) { w.RateLimit = RateLimit{MaxRatePerSecond, MaxBurst} }, nil},
		"too slow":       {func(w *Webhook) { w.RateLimit = RateLimit{MinRatePerSecond / 2, 1} }, []string{"rate_limit.per_second"}},
		"too fast":       {func(w *Webhook) { w.RateLimit = RateLimit{MaxRatePerSecond + 1, 1} }, []string{"rate_limit.per_second"}},
		"no rate":        {func(w *Webhook) { w.RateLimit = RateLimit{math.NaN(), 1} }, []string{"rate_limit.per_second"}},
		"no burst":       {func(w *Webhook) { w.RateLimit = RateLimit{1, 0} }, []string{"rate_limit.burst"}},
		"huge burst":     {func(w *Webhook) { w.RateLimit = RateLimit{1, MaxBurst + 1} }, []string{"rate_limit.burst"}},
		"everything":     {func(w *Webhook) { *w = Webhook{} }, []string{"url", "topics", "timeout", "max_in_flight"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := Webhook{
				URL: "https://example.com/hook", Topics: []Pattern{"orders.*"}, Retry: DefaultSchedule(),
				Timeout: DefaultTimeout, MaxInFlight: DefaultMaxInFlight,
			}
			c.change(&w)
			var fields []string
			for _, f := range w.Validate() {
				fields = append(fields, f.Field)
				if f.Detail == "" {
					t.Errorf("%s has no detail", f.Field)
				}
			}
			if !slices.Equal(fields, c.fields) {
				t.Errorf("got %q, want %q", fields, c.fields)
			}
		})
	}
	if MinTimeout != time.Second || MaxTimeout != time.Minute {
		t.Error("timeouts are 1 s to 60 s")
	}
}

func TestSecretIsNeverPrinted(t *testing.T) {
	const text = "whsec_very-secret"
	secret := Secret(text)
	w := Webhook{URL: "https://example.com", Secret: secret}
	var shown bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%10s"} {
		fmt.Fprintf(&shown, verb+" "+verb+" "+verb+" "+verb+"\n", secret, &secret, w, &w)
		fmt.Fprintf(&shown, verb+" "+verb+"\n", []Secret{secret}, map[Secret]Secret{secret: secret})
	}
	fmt.Fprintln(&shown, secret, w)
	fmt.Fprintln(&shown, fmt.Errorf("with %s and %w", secret, fmt.Errorf("%v", w)))
	if err := json.NewEncoder(&shown).Encode(map[string]any{"all": []any{secret, &secret, w, &w}}); err != nil {
		t.Fatal(err)
	}
	for _, h := range []slog.Handler{slog.NewJSONHandler(&shown, nil), slog.NewTextHandler(&shown, nil)} {
		slog.New(h).Info("m", "secret", secret, "pointer", &secret, "webhook", w, "in", &w, slog.Group("g", "s", secret))
	}
	for _, leak := range []string{"very-secret", fmt.Sprintf("%x", text[6:]), fmt.Sprintf("%X", text[6:]), "118 101 114"} {
		if strings.Contains(shown.String(), leak) {
			t.Errorf("%q is in\n%s", leak, &shown)
		}
	}
	if secret.Reveal() != text {
		t.Error("the secret is lost")
	}
	if got := fmt.Sprintf("%v %s %#v", secret, secret, secret); got != "*** *** ***" {
		t.Errorf("prints as %s", got)
	}
}
