package api

import (
	"encoding/json"
	"math"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/carillon/carillon/event"
)

func TestParsePrefer(t *testing.T) {
	for _, c := range []struct {
		values []string
		want   time.Duration
		bad    bool
	}{
		{nil, 0, false},
		{[]string{""}, 0, false},
		{[]string{"wait=10"}, 10 * time.Second, false},
		{[]string{" WAIT = 10 "}, 10 * time.Second, false},
		{[]string{`wait="10"`}, 10 * time.Second, false},
		{[]string{"respond-async, wait=10"}, 10 * time.Second, false},
		{[]string{"handling=lenient;strict", "wait=7; x=y"}, 7 * time.Second, false},
		{[]string{`foo="a, wait=1", wait=2`}, 2 * time.Second, false},
		{[]string{`foo="a\", wait=1", wait=2`}, 2 * time.Second, false},
		{[]string{`foo; bar="wait=1"`}, 0, false},
		{[]string{"wait=5, wait=6"}, 5 * time.Second, false},
		{[]string{"wait=0"}, 0, false},
		{[]string{"wait=60"}, time.Minute, false},
		{[]string{"wait=61"}, time.Minute, false},
		{[]string{"wait=99999999999999999999999"}, time.Minute, false},
		{[]string{"waiting=1"}, 0, false},
		{[]string{",,;,"}, 0, false},
		{[]string{"wait"}, 0, true},
		{[]string{"wait="}, 0, true},
		{[]string{`wait=""`}, 0, true},
		{[]string{"wait=-1"}, 0, true},
		{[]string{"wait=1s"}, 0, true},
		{[]string{`wait="1`}, 0, true},
	} {
		got, err := parsePrefer(c.values)
		if got != c.want || (err != nil) != c.bad {
			t.Errorf("%q: %v, %v", c.values, got, err)
		}
	}
}

func FuzzPrefer(f *testing.F) {
	for _, seed := range []string{"wait=10", `foo="a\", wait=1";b=c, wait="2"`, "respond-async", `"`, `\`, "wait=", ",;="} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		got, err := parsePrefer([]string{a, b})
		if got < 0 || got > maxWait || got%time.Second != 0 || err != nil && got != 0 {
			t.Errorf("%v, %v", got, err)
		}
		if first, err := parsePrefer([]string{a}); err == nil && first > 0 && got != first {
			t.Errorf("a second header changes the wait from %v to %v", first, got)
		}
	})
}

func FuzzWebhookBody(f *testing.F) {
	for _, seed := range []string{
		`{"url":"https://example.com/","topics":["a.*"],"metadata":{"a":"b","c":null}}`,
		`{"url":"https://example.com/","topics":["a"],"retry":{"max_attempts":8,"initial":"5s","factor":3,"max":"12h"}}`,
		`{"url":"https://example.com/","topics":["a"],"retry":{"schedule":["5s","2m"]},"timeout":"1.5s","enabled":false}`,
		`{"url":"https://example.com/","topics":["a"],"secret":"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw","max_in_flight":4,"description":null}`,
		`{"url":"https://example.com/","topics":["a"],"description":"\\\ud83d\ude00 \" [\ud800"}`, `{"\udc00":"\ufffd"}`,
		`{"url":"https://example.com/","topics":["a"],"filter":"topic == 'a'","transform":".","format":"standard","headers":{"X-A":"b"},"order":"key"}`,
		`{"url":"https://example.com/","topics":["a"],"rate_limit":{"per_second":0.5,"burst":2},"signing":"ed25519","handshake":true}`,
		`{"url":"https://example.com/","topics":["a"],"auth":{"type":"oauth2","token_url":"u","client_id":"c","client_secret":"s","scopes":["x"],"params":{"a":"b"}}}`,
		`{"url":"https://example.com/","topics":["a"],"auth":{"type":"basic","username":"u","password":"p"},"headers":{"A":"***","b":null}}`,
		`{`, `[]`, `null`, `{"a":{"a":{}}}`, `{"url":1,"URL":2,"url":3}`, `{} x`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		members, err := parseObject([]byte(text))
		if err != nil {
			return
		}
		var known map[string]json.RawMessage
		if err := json.Unmarshal([]byte(text), &known); err != nil {
			t.Fatalf("encoding/json refuses what was read: %v", err)
		}
		// Names that are not UTF-8 can fall together there.
		if utf8.ValidString(text) && len(known) != len(members) {
			t.Fatalf("%d members were read, encoding/json reads %d", len(members), len(known))
		}
		var whole any
		if err := json.Unmarshal([]byte(text), &whole); err != nil {
			t.Fatal(err)
		}
		again, _ := json.Marshal(whole)
		given := !utf8.ValidString(text) || strings.Contains(text, "\uFFFD") || strings.Contains(strings.ToLower(text), `\ufffd`)
		if strings.Contains(string(again), "\uFFFD") && !given {
			t.Fatalf("a character was replaced: %s", again)
		}
		w := newWebhook()
		if bad := applyWebhook(w, members); len(bad) > 0 {
			for _, b := range bad {
				if b.Detail == "" {
					t.Errorf("%s is wrong without a reason", b.Field)
				}
			}
			return
		}
		// What is accepted is shown as something that is accepted again, and is the same then.
		shown, err := json.Marshal(showWebhook(w))
		if err != nil {
			t.Fatal(err)
		}
		var doc map[string]json.RawMessage
		if err := json.Unmarshal(shown, &doc); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(shown), "password") || strings.Contains(string(shown), "client_secret") {
			t.Fatalf("a secret is shown: %s", shown)
		}
		second := newWebhook()
		second.Headers, second.Auth = w.Headers, w.Auth // shown without their values
		second.Secret = w.Secret
		var settings []member
		for _, name := range []string{"url", "topics", "retry", "timeout", "max_in_flight", "enabled", "description", "metadata",
			"filter", "transform", "format", "signing", "rate_limit", "order", "handshake"} {
			settings = append(settings, member{name, doc[name]})
		}
		if bad := applyWebhook(second, settings); len(bad) > 0 {
			t.Fatalf("what is shown is not accepted: %s: %v", shown, bad)
		}
		if twice, _ := json.Marshal(showWebhook(second)); string(twice) != string(shown) {
			t.Errorf("%s became %s", shown, twice)
		}
	})
}

func FuzzSample(f *testing.F) {
	for _, seed := range []string{
		`{"topic":"a.b","data":{"n":1},"partition_key":"k"}`, `{"topic":"a","payload":"x","content_type":"text/plain"}`,
		`{"topic":"_carillon.webhook.disabled","data":null,"attributes":{"source":"/s","id":"1","type":"t","ext":"v","time":"2026-11-22T18:46:22Z"}}`,
		`{"topic":"a","attributes":{"A":"x","data":"y","source":"%"}}`, `{}`, `[]`, `null`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ev, bad := readSample(member{"event", json.RawMessage(text)})
		for _, b := range bad {
			if b.Detail == "" || b.Field != "event" && !strings.HasPrefix(b.Field, "event.") {
				t.Errorf("%q: %q", b.Field, b.Detail)
			}
		}
		if len(bad) > 0 {
			return
		}
		if _, err := event.ParseTopic(string(ev.Topic)); err != nil || !tellable(ev.ContentType) || len(ev.PartitionKey) > maxPartitionKey {
			t.Errorf("%+v", ev)
		}
	})
}

func FuzzReplay(f *testing.F) {
	for _, seed := range []string{
		`{"since":"2h","until":"1h","topics":["a.*"],"states":["failed","delivered"],"per_second":7,"dry_run":true}`,
		`{"since":"2026-11-22T18:46:22Z"}`, `{"states":["pending"]}`, `{"since":null,"states":null}`, `{"until":"-1h"}`,
	} {
		f.Add(seed)
	}
	now := time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		members, err := parseObject([]byte(text))
		if err != nil {
			return
		}
		asked, bad := readReplay(members, now)
		if len(bad) > 0 {
			return
		}
		filter := asked.filter
		if asked.perSecond < 1 || asked.perSecond > maxReplayRate || len(filter.States) == 0 || slices.Contains(filter.States, event.Pending) {
			t.Errorf("%+v", asked)
		}
		if !filter.Since.IsZero() && !filter.Until.IsZero() && !filter.Since.Before(filter.Until) {
			t.Errorf("from %s to %s", filter.Since, filter.Until)
		}
		for _, p := range filter.Patterns {
			if _, err := event.ParsePattern(string(p)); err != nil {
				t.Error(err)
			}
		}
	})
}

func FuzzQuery(f *testing.F) {
	for _, seed := range []string{
		"limit=5&page=x", "topic=a.*&topic=**&since=2026-11-22T18:46:22Z", "limit=0", "limit=99999999999999999999", "a;b", "%zz", "limit=&limit=",
		"webhook=0197a2c4-1f3e-7c11-9a3b-5f2d8c4e6b01", "since=2026-11-22T18:46:22+01:00", "since=1.5d2h", "since=-1d",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.URL = &url.URL{Path: "/", RawQuery: raw}
		q := readQuery(r, "topic", "since", "webhook", "limit", "page")
		patterns, since, id, page := q.patterns("topic"), q.moment("since", time.Now()), q.id("webhook"), q.page()
		if p := q.problem(); p != nil {
			if len(p.errors) == 0 || p.detail == "" {
				t.Error("refused without a reason")
			}
			return
		}
		if page.Limit < 1 || page.Limit > maxLimit {
			t.Errorf("limit %d", page.Limit)
		}
		for _, p := range patterns {
			if _, err := event.ParsePattern(string(p)); err != nil {
				t.Errorf("pattern %q: %v", p, err)
			}
		}
		if given := strings.Contains(raw, "webhook="); !given && !id.IsZero() || !strings.Contains(raw, "since") && !since.IsZero() {
			if !strings.Contains(raw, "%") {
				t.Errorf("%v %v out of nothing", id, since)
			}
		}
	})
}

func TestSpansAreShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		5 * time.Second: `"5s"`, 2 * time.Minute: `"2m"`, 24 * time.Hour: `"24h"`, 90 * time.Minute: `"1h30m"`, time.Hour + time.Second: `"1h0m1s"`,
		1500 * time.Millisecond: `"1.5s"`, 0: `"0s"`, 10 * time.Second: `"10s"`, 20 * time.Minute: `"20m"`, time.Hour + 10*time.Minute: `"1h10m"`,
	} {
		got, err := span(d).MarshalJSON()
		if err != nil || string(got) != want {
			t.Errorf("%v is shown as %s (%v), want %s", d, got, err, want)
		}
		var back span
		if err := back.UnmarshalJSON(got); err != nil || time.Duration(back) != d {
			t.Errorf("%s is read as %v (%v)", got, time.Duration(back), err)
		}
	}
}

func TestMoments(t *testing.T) {
	now := time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"2h": now.Add(-2 * time.Hour), "1d": now.Add(-24 * time.Hour), "1.5d": now.Add(-36 * time.Hour), "7d12h": now.Add(-180 * time.Hour),
		"+1m": now.Add(-time.Minute), "0": now, "0s": now, "2026-11-22T18:46:22+01:00": time.Date(2026, 11, 22, 17, 46, 22, 0, time.UTC),
		"": {}, "-1d": {}, "-1ns": {}, "1": {}, "d": {}, "1d1": {}, "1d+1h": {}, "yesterday": {}, "0001-01-01T00:00:00Z": {}, "9999999999d": {},
	} {
		got, err := parseMoment(text, now)
		if !got.Equal(want) || (err == nil) == want.IsZero() {
			t.Errorf("%q is %v (%v), want %v", text, got, err, want)
		}
	}
}

func FuzzDuration(f *testing.F) {
	for _, seed := range []string{"1h30m", "7d", "1.5d2h", "-1d", "+2h", "106751d", "106752d", "d", "1dd", "1d-1h", ".5d", "1e3d", "0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseDuration(text)
		if plain, wrong := time.ParseDuration(text); wrong == nil && plain != math.MinInt64 && (err != nil || got != plain) {
			t.Fatalf("%q is %v (%v), without days %v", text, got, err, plain)
		}
		if err != nil {
			return
		}
		if (got < 0) != (strings.HasPrefix(text, "-") && got != 0) {
			t.Errorf("%q is %v", text, got)
		}
		if back, err := parseDuration(span(got).String()); err != nil || back != got {
			t.Errorf("%q is shown as %s, which is %v (%v)", text, span(got), back, err)
		}
	})
}

func TestTextCutInACharacter(t *testing.T) {
	for _, c := range []struct {
		bytes    string
		cut      bool
		text     string
		encoding string
	}{
		{"plain", true, "plain", ""},
		{"a€"[:3], true, "a", ""},
		{"a€", true, "a€", ""},
		{"a€"[:3], false, "", "base64"},
		{"\xff\xfe\xff\xff\xff", true, "", "base64"},
		{"", true, "", ""},
		{"\xe2", true, "", ""},
	} {
		got := textOf([]byte(c.bytes), c.cut)
		if got.encoding != c.encoding || c.encoding == "" && got.text != c.text {
			t.Errorf("%q: %+v", c.bytes, got)
		}
	}
}
