package api

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/carillon/carillon/access"
	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/filter"
	"github.com/carillon/carillon/sign"
)

// fixedKeys is a store of keys that never change.
type fixedKeys []*event.Key

func (k fixedKeys) WatchKeys(changed func([]*event.Key)) (stop func(), err error) {
	changed(k)
	return func() {}, nil
}

func (fixedKeys) TouchKeys(context.Context, map[event.ID]time.Time) error { return nil }

func behindDoor(f *testing.F, keys fixedKeys, hosts, origins []string) *API {
	f.Helper()
	known, err := access.New(access.Config{Store: keys, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(known.Close)
	return &API{access: known, cfg: Config{Hosts: hosts, CORSOrigins: origins}}
}

// Whatever Host, Origin and Sec-Fetch-Site are: while there is no key, no request passes that a page of a foreign site, or one
// whose name was pointed here, can have made.
func FuzzLoopbackDoor(f *testing.F) {
	for _, seed := range [][3]string{
		{"localhost:8080", "", ""}, {"127.0.0.1", "http://127.0.0.1", "same-origin"}, {"[::1]:8080", "http://[::1]:8080", ""},
		{"evil.example", "http://evil.example", "same-origin"}, {"localhost", "null", "cross-site"}, {"[::ffff:127.0.0.1]", "", "none"},
		{"gateway.example:80", "https://app.example", "same-site"}, {"localhost:80", "http://localhost", ""}, {"[::1", "http://[::1", ""},
		{"localhost.", "http://localhost.", ""}, {"localhost", "https://localhost:443/", ""}, {"localhost", "http://user@localhost", ""},
		{"127.0.0.1:80:80", "HTTP://127.0.0.1", "SAME-ORIGIN"}, {"localhost@evil", "file://localhost", ""},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	const name, origin = "gateway.example", "https://app.example"
	a := behindDoor(f, nil, []string{name}, []string{origin})
	f.Fuzz(func(t *testing.T, host, from, site string) {
		r := httptest.NewRequest("POST", "/", nil)
		r.Host = host
		if from != "" {
			r.Header["Origin"] = []string{from}
		}
		if site != "" {
			r.Header["Sec-Fetch-Site"] = []string{site}
		}
		who, p := a.loopbackDoor(r)
		if p != nil {
			if p.status != http.StatusForbidden || len(who.Scopes) > 0 {
				t.Errorf("refused with %d and %+v", p.status, who)
			}
			return
		}
		bare := strings.ToLower(hostname(host))
		if addr, err := netip.ParseAddr(bare); bare != "localhost" && bare != name && (err != nil || !addr.Unmap().IsLoopback()) {
			t.Errorf("let in with the Host %q", host)
		}
		listed := strings.EqualFold(from, origin)
		if from != "" && !listed {
			u, err := url.Parse(from)
			if err != nil || !strings.EqualFold(u.Hostname(), hostname(host)) {
				t.Errorf("let in from %q at %q", from, host)
			}
		}
		if !listed && site != "" && site != "same-origin" && site != "none" {
			t.Errorf("let in with Sec-Fetch-Site %q", site)
		}
	})
}

// Whatever is sent as Authorization: only the very token of a key that lives lets in, as Bearer.
func FuzzKeyDoor(f *testing.F) {
	token := event.NewKeyToken()
	key := &event.Key{ID: event.NewID(), Scopes: []event.Scope{event.ScopePublish}, Hash: event.HashKey(token)}
	a := behindDoor(f, fixedKeys{key}, nil, nil)
	f.Add("Bearer KEY")
	for _, seed := range []string{
		"bearer  KEY", "Bearer KEY ", "KEY", "Basic KEY", "Bearer", "Bearer ", "", " Bearer KEY", "Bearer KEY, Bearer KEY", "Bearer crn_0",
		"Bearer\tKEY", "Bearer KEY\x00", "Bearer crn_" + strings.Repeat("0", 49),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r := httptest.NewRequest("POST", "/", nil)
		r.Header["Authorization"] = []string{strings.ReplaceAll(text, "KEY", token.Reveal())}
		who, p := a.keyDoor(r)
		scheme, rest, _ := strings.Cut(text, " ")
		whole := strings.EqualFold(scheme, "Bearer") && strings.TrimLeft(rest, " ") == "KEY"
		if (p == nil) != whole {
			t.Errorf("%q: %+v, %+v", text, who, p)
		}
		if p != nil && (p.status != http.StatusUnauthorized || len(who.Scopes) > 0 || strings.Contains(p.detail, token.Reveal())) {
			t.Errorf("%q is refused with %+v and %+v", text, p, who)
		}
	})
}

func FuzzPosterHeaders(f *testing.F) {
	for _, seed := range [][4]string{
		{"key-1", "customer-17", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "application/json"},
		{"", "", "", ""}, {" ", "a\nb", "00-0-0-00", "text/plain; charset=utf-8"}, {"k\x7f", "\xff", "", "text/html\r\nX: y"},
		{strings.Repeat("k", 256), strings.Repeat("é", 128), "", "a/b\x00"},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3])
	}
	f.Fuzz(func(t *testing.T, idempotency, partition, trace, contentType string) {
		h := http.Header{}
		for name, value := range map[string]string{
			"Idempotency-Key": idempotency, "Carillon-Partition-Key": partition, "Traceparent": trace, "Content-Type": contentType,
		} {
			if value != "" {
				h[name] = []string{value}
			}
		}
		from, p := readPosterHeaders(h)
		if p != nil {
			if p.status != http.StatusBadRequest || len(p.errors) == 0 {
				t.Errorf("refused with %+v", p)
			}
			return
		}
		if from.idempotencyKey != idempotency || from.partitionKey != partition || from.traceparent != "" && from.traceparent != trace {
			t.Errorf("%+v", from)
		}
		// Each can stand in a header again.
		for _, value := range []string{from.idempotencyKey, from.traceparent, contentType} {
			if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
				t.Errorf("%q has control characters", value)
			}
		}
		if !utf8.ValidString(partition) || len(partition) > maxPartitionKey || len(idempotency) > maxIdempotencyKey {
			t.Errorf("%+v is too much", from)
		}
	})
}

func FuzzKeyBody(f *testing.F) {
	for _, seed := range []string{
		`{"name":"shop","scopes":["publish","subscribe"],"topics":["orders.**"],"expires_in":"720h"}`, `{"scopes":["admin"]}`,
		`{"name":null,"scopes":["root"],"topics":[]}`, `{"scopes":[],"topics":["*"],"expires_in":"0s"}`, `{"scopes":["publish"],"topics":[null,"a..b"]}`,
		`{"scopes":["admin"],"topics":["a"]}`, `{"expires_in":"-1d"}`, `{"scopes":["publish"],"tenant":"x"}`,
	} {
		f.Add(seed)
	}
	now := time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		members, err := parseObject([]byte(text))
		if err != nil {
			return
		}
		k, _, bad := readKey(members, now)
		for _, b := range bad {
			if b.Field == "" || b.Detail == "" {
				t.Errorf("%+v", b)
			}
		}
		if len(bad) > 0 {
			return
		}
		if wrong := k.Validate(); len(wrong) > 0 || len(k.Scopes) == 0 {
			t.Errorf("%+v: %v", k, wrong)
		}
		if !k.ExpiresAt.IsZero() && !k.ExpiresAt.After(now) {
			t.Errorf("a key that expired at %s", k.ExpiresAt)
		}
		for _, p := range k.Patterns {
			if _, err := event.ParsePattern(string(p)); err != nil {
				t.Error(err)
			}
		}
		// A list that was given and says nothing must not become one of every topic.
		if i := slices.IndexFunc(members, func(m member) bool { return m.name == "topics" && !m.null() }); i >= 0 && len(k.Patterns) == 0 {
			t.Errorf("%s reaches every topic", text)
		}
	})
}

func FuzzStreamBody(f *testing.F) {
	for _, seed := range []string{
		`{"topics":["orders.*","**"],"format":"cloudevents","event":"topic","filter":"topic == 'a'","since":"10m","last_event_id":"x"}`,
		`{"topics":[]}`, `{"topics":["a.**.b"],"format":"xml"}`, `{"topics":null,"since":null}`, `{"topics":[1]}`, `{"since":"earliest","x":1}`,
	} {
		f.Add(seed)
	}
	a := &API{filters: filter.NewCache(0)}
	f.Fuzz(func(t *testing.T, text string) {
		members, err := parseObject([]byte(text))
		if err != nil {
			return
		}
		body := streamBody{api: a}
		for _, m := range members {
			body.read(m)
		}
		for _, b := range body.bad {
			if b.Field == "" || b.Detail == "" {
				t.Errorf("%+v", b)
			}
		}
		if len(body.sub.Patterns) > maxBodyPatterns {
			t.Errorf("%d patterns", len(body.sub.Patterns))
		}
		for _, p := range body.sub.Patterns {
			if _, err := event.ParsePattern(string(p)); err != nil {
				t.Error(err)
			}
		}
	})
}

func FuzzRotation(f *testing.F) {
	for _, seed := range []string{
		`{"overlap":"24h"}`, `{"overlap":null,"secret":null}`, `{"overlap":"-1s"}`, `{"overlap":"1000d"}`, `{}`, `{"secret":"whsec_"}`,
		`{"secret":"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}`, `{"secret":"***"}`, `{"secret":"whsk_AAAA"}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		members, err := parseObject([]byte(text))
		if err != nil {
			return
		}
		asked, bad := readRotation(members)
		for _, b := range bad {
			if b.Field == "" || b.Detail == "" {
				t.Errorf("%+v", b)
			}
		}
		if len(bad) > 0 {
			return
		}
		if asked.overlap < 0 || asked.overlap > event.MaxOverlap {
			t.Errorf("overlap %v", asked.overlap)
		}
		if asked.secret != "" {
			if _, err := sign.ParseSecret(asked.secret.Reveal()); err != nil {
				t.Errorf("a secret that cannot sign: %v", err)
			}
		}
	})
}

// Headers that decide how a request is answered: If-Match, Accept, Content-Encoding, Content-Type.
func FuzzRequestHeaders(f *testing.F) {
	for _, seed := range [][4]string{
		{`"v1"`, "application/x-ndjson", "", "application/json"}, {"*", "text/event-stream, application/x-ndjson;q=0", "gzip", "application/json; charset=utf-8"},
		{`W/"1", "2"`, "application/x-ndjson;q=0.5;q=1", "identity, ", "application/cloudevents-batch+json"}, {",", ";,;q", "x", ";"},
		{"", `application/x-ndjson; a="b,c"`, "\x00", "multipart/form-data; boundary="},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3])
	}
	a := &API{cfg: Config{MaxBody: 1 << 10}}
	hook := newWebhook()
	f.Fuzz(func(t *testing.T, match, accept, encoding, contentType string) {
		r := httptest.NewRequest("PATCH", "/", strings.NewReader(`{"a":1}`))
		r.Header = http.Header{"If-Match": {match}, "Accept": {accept}, "Content-Encoding": {encoding}, "Content-Type": {contentType}}
		r = r.WithContext(context.WithValue(r.Context(), requestKey{}, new(request))) // no door has let it in
		if p := checkMatch(r, hook); p == nil && !strings.Contains(match, "*") && !strings.Contains(match, webhookTag(hook)) {
			t.Errorf("%q matches %s", match, webhookTag(hook))
		}
		if acceptsLines(r) && !strings.Contains(strings.ToLower(accept), "application/x-ndjson") {
			t.Errorf("%q accepts lines", accept)
		}
		members, p := a.readObject(httptest.NewRecorder(), r, "application/json")
		switch {
		case p != nil && (p.status < 400 || p.status >= 500 || p.detail == ""):
			t.Errorf("refused with %+v", p)
		case p == nil && (len(members) != 1 || !strings.HasPrefix(strings.ToLower(strings.TrimSpace(contentType)), "application/json")):
			t.Errorf("%q: %+v", contentType, members)
		}
		if p != nil {
			if _, err := json.Marshal(p.detail); err != nil {
				t.Error(err)
			}
		}
	})
}
