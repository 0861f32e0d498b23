package api_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// badInput is a request that is refused, and as what.
type badInput struct {
	name, method, path string
	headers            headers
	body               string
	status             int
	kind               string
	fields             []string
}

var ceJSON = headers{"Content-Type", "application/cloudevents+json"}

const (
	someID       = "0197a2c4-1f3e-7c11-9a3b-5f2d8c4e6b01"
	someDelivery = "000000000001a-" + someID
)

func badInputs() []badInput {
	long := strings.Repeat("a", 256)
	hook := func(name, body string, fields ...string) badInput {
		return badInput{name, "POST", "/v1/webhooks", jsonType, body, 422, "invalid", fields}
	}
	brokenHook := func(name, body string) badInput {
		return badInput{name, "POST", "/v1/webhooks", jsonType, body, 400, "malformed-body", nil}
	}
	setting := func(field, value string) badInput {
		return hook("webhook "+field+" "+value, `{"url":"https://example.com/","topics":["a"],"`+field+`":`+value+`}`, field)
	}
	settingAt := func(at, field, value string) badInput {
		b := setting(field, value)
		b.fields = []string{at}
		return b
	}
	trial := func(name, body string, fields ...string) badInput {
		return badInput{"trial: " + name, "POST", "/v1/webhooks/test", jsonType, body, 422, "invalid", fields}
	}
	url := func(url string) badInput { return hook("webhook url "+url, `{"url":"`+url+`","topics":["a"]}`, "url") }
	pattern := func(pattern string) badInput {
		return hook("webhook pattern "+pattern, `{"url":"https://example.com/","topics":["ok","`+pattern+`"]}`, "topics[1]")
	}
	topic := func(topic string) badInput {
		return badInput{"topic " + topic, "POST", "/v1/topics/" + topic + "/events", nil, "x", 422, "invalid", []string{"topic"}}
	}
	header := func(name, value string) badInput {
		return badInput{"header " + name, "POST", "/v1/topics/t/events", headers{name, value}, "x", 400, "bad-request", []string{name}}
	}
	query := func(path, field string) badInput {
		return badInput{"query " + path, "GET", path, nil, "", 400, "bad-request", []string{field}}
	}
	ce := func(name, body string, fields ...string) badInput {
		return badInput{"cloudevent " + name, "POST", "/v1/events", ceJSON, body, 422, "invalid", fields}
	}
	return []badInput{
		topic("a..b"), topic(".a"), topic("a."), topic("a%20b"), topic("a.*"), topic("**"), topic("%C3%A9"), topic(long),
		topic(strings.TrimSuffix(strings.Repeat("a.", 17), ".")), topic("a%00b"),
		{"reserved topic", "POST", "/v1/topics/_carillon.x/events", nil, "x", 403, "reserved-topic", []string{"topic"}},

		header("Idempotency-Key", long), header("Idempotency-Key", "a b"), header("Idempotency-Key", "é"), header("Idempotency-Key", ""),
		header("Carillon-Partition-Key", long), header("Carillon-Partition-Key", "a\tb"), header("Carillon-Partition-Key", "\xff"),
		header("Content-Type", long), header("Content-Type", "text/\xff"),
		{"two keys", "POST", "/v1/topics/t/events", headers{"Idempotency-Key", "a", "Idempotency-Key", "b"}, "x", 400, "bad-request", []string{"Idempotency-Key"}},
		header("Prefer", "wait"), header("Prefer", "wait=soon"), header("Prefer", "wait=-1"), header("Prefer", "wait=1.5"), header("Prefer", `wait=""`),
		{"respond", "POST", "/v1/topics/t/events?respond=some", nil, "x", 400, "bad-request", []string{"respond"}},
		{"unknown parameter", "POST", "/v1/topics/t/events?respnd=all", nil, "x", 400, "bad-request", []string{"respnd"}},

		{"no cloudevent", "POST", "/v1/events", jsonType, `{}`, 422, "invalid", []string{"ce-specversion", "ce-id", "ce-source", "ce-type"}},
		{"cloudevent cut off", "POST", "/v1/events", ceJSON, `{"specversion":"1.0"`, 400, "malformed-body", []string{"body"}},
		{"cloudevent of another format", "POST", "/v1/events", headers{"Content-Type", "application/cloudevents+avro"}, "x", 415, "unsupported-media-type", []string{"Content-Type"}},
		ce("version", `{"specversion":"0.3","id":"1","source":"/s","type":"t"}`, "specversion"),
		ce("without all", `{"specversion":"1.0"}`, "id", "source", "type"),
		ce("type is no topic", `{"specversion":"1.0","id":"1","source":"/s","type":"a b"}`, "type"),
		ce("partition key", `{"specversion":"1.0","id":"1","source":"/s","type":"t","partitionkey":"`+long+`"}`, "partitionkey"),
		ce("content type", `{"specversion":"1.0","id":"1","source":"/s","type":"t","datacontenttype":"é/x","data":"x"}`, "datacontenttype"),
		{"reserved type", "POST", "/v1/events", ceJSON, `{"specversion":"1.0","id":"1","source":"/s","type":"_carillon.x"}`, 403, "reserved-topic", []string{"type"}},
		{"binary type is no topic", "POST", "/v1/events", headers{"Ce-Specversion", "1.0", "Ce-Id", "1", "Ce-Source", "/s", "Ce-Type", "a%20b"}, "", 422, "invalid", []string{"ce-type"}},
		{"batch is no array", "POST", "/v1/events", headers{"Content-Type", "application/cloudevents-batch+json"}, `{}`, 400, "malformed-body", []string{"body"}},
		{"batch of too many", "POST", "/v1/events", headers{"Content-Type", "application/cloudevents-batch+json"},
			"[" + strings.Repeat("{},", 1000) + "{}]", 422, "invalid", []string{"body"}},

		query("/v1/events?topic=a..b", "topic"), query("/v1/events?topic=", "topic"), query("/v1/events?since=yesterday", "since"),
		query("/v1/events?until=2026-11-22T18:46:22+01:00", "until"), query("/v1/events?limit=0", "limit"), query("/v1/events?limit=501", "limit"),
		query("/v1/events?limit=1&limit=2", "limit"), query("/v1/events?limit=x", "limit"), query("/v1/events?limit=", "limit"),
		query("/v1/events?page=nonsense", "page"), query("/v1/events?page=", "page"), query("/v1/events?topics=a", "topics"),
		query("/v1/events?%zz", "query"), query("/v1/events?a;b", "query"), query("/v1/events?"+strings.Repeat("topic=a&", 101), "topic"),
		query("/v1/events/"+someID+"?x=1", "x"), query("/v1/events/nonsense", "id"), query("/v1/events/"+someID+"a/payload", "id"),
		query("/v1/topics?page=%2F%2F", "page"), query("/v1/webhooks?page=nonsense", "page"), query("/v1/webhooks?limit=-1", "limit"),
		query("/v1/webhooks/nonsense", "id"), query("/v1/webhooks/"+someID+"?x=1", "x"),
		query("/v1/deliveries?webhook=x", "webhook"), query("/v1/deliveries?event=x", "event"), query("/v1/deliveries?state=lost", "state"),
		query("/v1/deliveries?error=oops", "error"), query("/v1/deliveries?error=success", "error"), query("/v1/deliveries?topic=*x", "topic"),
		query("/v1/deliveries?page=nonsense", "page"), query("/v1/deliveries/nonsense", "id"), query("/v1/deliveries/"+someID, "id"),
		query("/v1/deliveries/zzzzzzzzzzzzz-"+someID, "id"),
		query("/v1/stream", "topic"), query("/v1/stream?topic=a..b", "topic"), query("/v1/stream?topic=a&since=someday", "since"),
		query("/v1/stream?topic=a&format=xml", "format"), query("/v1/stream?topic=a&event=id", "event"), query("/v1/stream?topic=a&filter=x", "filter"),
		query("/v1/stream/doctor?ticks=0", "ticks"), query("/v1/stream/doctor?ticks=101", "ticks"), query("/v1/stream/doctor?ticks=1.5", "ticks"),
		query("/v1/stream/doctor?ticks=", "ticks"), query("/v1/stream/doctor?ticks=1&ticks=2", "ticks"), query("/v1/stream/doctor?ticks=99999999999999999999", "ticks"),
		query("/v1/stream/doctor?interval=9ms", "interval"), query("/v1/stream/doctor?interval=6s", "interval"), query("/v1/stream/doctor?interval=250", "interval"),
		query("/v1/stream/doctor?interval=-1s", "interval"), query("/v1/stream/doctor?silence=151s", "silence"), query("/v1/stream/doctor?silence=-1s", "silence"),
		query("/v1/stream/doctor?silence=long", "silence"), query("/v1/stream/doctor?silence=1s&silence=2s", "silence"), query("/v1/stream/doctor?topic=a", "topic"),
		{"several at once of the doctor", "GET", "/v1/stream/doctor?ticks=x&interval=x&silence=x&x=1", nil, "", 400, "bad-request",
			[]string{"x", "ticks", "interval", "silence"}},
		query("/v1/topics/a..b/stream", "pattern"), query("/v1/topics/a/stream?topic=a", "topic"),
		{"several at once", "GET", "/v1/events?topic=a..b&limit=x&nonsense=1&since=2", nil, "", 400, "bad-request", []string{"nonsense", "topic", "since", "limit"}},
		{"id of a ping", "POST", "/v1/webhooks/x/ping", nil, "", 400, "bad-request", []string{"id"}},
		{"id of a retry", "POST", "/v1/deliveries/x/retry", nil, "", 400, "bad-request", []string{"id"}},
		{"id of a cancel", "POST", "/v1/deliveries/x/cancel", nil, "", 400, "bad-request", []string{"id"}},
		{"id of a delete", "DELETE", "/v1/webhooks/x", nil, "", 400, "bad-request", []string{"id"}},
		{"query of a create", "POST", "/v1/webhooks?x=1", jsonType, `{}`, 400, "bad-request", []string{"x"}},

		brokenHook("no body", ""), brokenHook("cut off", `{"url":"https://example.com/"`), brokenHook("no JSON", `url=x`),
		brokenHook("no object", `["url"]`), brokenHook("null", `null`), brokenHook("two values", `{"url":"https://example.com/","topics":["a"]}{}`),
		brokenHook("a member twice", `{"url":"https://example.com/","topics":["a"],"url":"https://example.org/"}`),
		brokenHook("no UTF-8", "{\"url\":\"https://example.com/\xff\",\"topics\":[\"a\"]}"),
		brokenHook("deep", `{"metadata":`+strings.Repeat(`[`, 20_000)+strings.Repeat(`]`, 20_000)+`}`),
		brokenHook("half a surrogate pair", `{"url":"https://example.com/","topics":["a"],"description":"a\ud800b"}`),
		brokenHook("half a surrogate pair in a name", `{"url":"https://example.com/","topics":["a"],"metadata":{"\udc00\ud800":"x"}}`),
		hook("too many members", "{"+numbered(101)+"}", "body"),
		settingAt("metadata", "metadata", "{"+numbered(101)+"}"), settingAt("retry", "retry", "{"+numbered(101)+"}"),
		hook("empty", `{}`, "url", "topics"),
		hook("other case", `{"URL":"https://example.com/","topics":["a"]}`, "URL", "url"),
		hook("null url", `{"url":null,"topics":["a"]}`, "url"),
		hook("url is a number", `{"url":1,"topics":["a"]}`, "url"),
		hook("topics is a text", `{"url":"https://example.com/","topics":"a"}`, "topics"),
		hook("no topics", `{"url":"https://example.com/","topics":[]}`, "topics"),
		hook("null topics", `{"url":"https://example.com/","topics":null}`, "topics"),
		url(""), url("example.com"), url("ftp://example.com/"), url("https://"), url("https://u:p@example.com/"), url("https://example.com/#x"),
		url("https://example.com/" + strings.Repeat("a", 2048)), url("javascript:alert(1)"), url("https://exa mple.com/"),
		url("https://example.com/a b"), url("https://example.com/?a b"), url(" https://example.com/"), url(`https://example.com/\u0085`),
		url(`https://example.com/\n`), url("https://example.com/\u00a0"),
		pattern(""), pattern("a..b"), pattern("a.**.b"), pattern("a*"), pattern("é"),
		setting("colour", `"red"`), setting("secret", `"x"`), setting("secret", `"whsec_x"`), setting("secret", `7`),
		setting("timeout", `"999ms"`), setting("timeout", `"61s"`), setting("timeout", `15`), setting("timeout", `"soon"`),
		setting("max_in_flight", `0`), setting("max_in_flight", `1025`), setting("max_in_flight", `1.5`), setting("max_in_flight", `"4"`),
		setting("enabled", `"yes"`), setting("description", `1`), setting("description", `"`+strings.Repeat("a", 1025)+`"`),
		setting("metadata", `[]`), settingAt("metadata.a", "metadata", `{"a":1}`), setting("metadata", `{"":"x"}`), setting("metadata", `{"a":"1","a":"2"}`),
		setting("retry", `{}`), setting("retry", `[]`), setting("retry", `{"initial":"5s"}`), setting("retry", `{"max_attempts":0}`),
		setting("retry", `{"max_attempts":102}`), setting("retry", `{"schedule":["1s"],"max_attempts":2}`),
		setting("retry", `{"schedule":["10ms"]}`), setting("retry", `{"schedule":["200h"]}`), setting("retry", `{"max_attempts":2,"factor":0.5}`),
		setting("retry", `{"max_attempts":2,"factor":1000}`), setting("retry", `{"max_attempts":2,"initial":"1h","max":"1m"}`),
		setting("retry", `{"max_attempts":2,"initial":"1ms"}`), settingAt("retry.schedule", "retry", `{"schedule":[5]}`),
		settingAt("retry.schedule", "retry", `{"schedule":[null]}`), settingAt("retry.schedule", "retry", `{"schedule":null}`),
		settingAt("retry.max_attempts", "retry", `{"max_attempts":"2"}`), settingAt("retry.factor", "retry", `{"max_attempts":2,"factor":"x"}`),
		setting("filter", `""`), setting("filter", `7`), setting("filter", `"data.n >"`), setting("filter", `"topic"`),
		setting("filter", `"`+strings.Repeat("a", 5000)+`"`), setting("transform", `""`), setting("transform", `{}`), setting("transform", `"{"`),
		setting("format", `"xml"`), setting("format", `1`), setting("format", `""`), setting("order", `""`), setting("signing", `""`), setting("signing", `"rsa"`), setting("signing", `true`),
		setting("order", `"random"`), setting("order", `[]`), setting("handshake", `"yes"`), setting("headers", `[]`), setting("headers", `"x"`),
		settingAt("headers.A", "headers", `{"A":1}`), settingAt("headers.a", "headers", `{"A":"1","a":"2"}`),
		settingAt("headers.X-Y", "headers", `{"X-Y":"***"}`), settingAt("headers.A b", "headers", `{"A b":"x"}`),
		settingAt("headers.X-Y", "headers", `{"X-Y":"a\r\nb"}`), settingAt("headers.Webhook-Id", "headers", `{"webhook-id":"x"}`),
		settingAt("headers.Connection", "headers", `{"Connection":"close"}`), settingAt("headers.Carillon-Topic", "headers", `{"Carillon-Topic":"x"}`),
		setting("headers", "{"+numbered(33)+"}"), setting("headers", `{"X-Y":"`+strings.Repeat("x", 9000)+`"}`),
		setting("auth", `"x"`), setting("auth", `[]`), settingAt("auth.type", "auth", `{}`), settingAt("auth.type", "auth", `{"type":"digest"}`),
		settingAt("auth.type", "auth", `{"type":null}`), settingAt("auth.type", "auth", `{"type":7}`), settingAt("auth.token", "auth", `{"type":"bearer"}`),
		settingAt("auth.username", "auth", `{"type":"bearer","token":"x","username":"u"}`), settingAt("auth.token", "auth", `{"type":"bearer","token":7}`),
		settingAt("auth.password", "auth", `{"type":"basic","username":"u","password":null}`),
		settingAt("auth.scopes", "auth", `{"type":"oauth2","token_url":"https://a.example/","client_id":"c","client_secret":"s","scopes":"a"}`),
		settingAt("auth.scopes", "auth", `{"type":"oauth2","token_url":"https://a.example/","client_id":"c","client_secret":"s","scopes":[null]}`),
		settingAt("auth.params", "auth", `{"type":"oauth2","token_url":"https://a.example/","client_id":"c","client_secret":"s","params":[]}`),
		settingAt("auth.params.a", "auth", `{"type":"oauth2","token_url":"https://a.example/","client_id":"c","client_secret":"s","params":{"a":1}}`),
		settingAt("auth.token_url", "auth", `{"type":"oauth2","token_url":"nowhere","client_id":"c","client_secret":"s"}`),
		setting("rate_limit", `7`), setting("rate_limit", `{}`), setting("rate_limit", `{"burst":7}`),
		settingAt("rate_limit.per_second", "rate_limit", `{"per_second":0}`), settingAt("rate_limit.per_second", "rate_limit", `{"per_second":-1}`),
		settingAt("rate_limit.per_second", "rate_limit", `{"per_second":"10"}`), settingAt("rate_limit.per_second", "rate_limit", `{"per_second":null}`),
		settingAt("rate_limit.per_second", "rate_limit", `{"per_second":1e9}`), settingAt("rate_limit.per_second", "rate_limit", `{"per_second":1e-9}`),
		settingAt("rate_limit.burst", "rate_limit", `{"per_second":1,"burst":0}`), settingAt("rate_limit.burst", "rate_limit", `{"per_second":1,"burst":1.5}`),
		settingAt("rate_limit.minute", "rate_limit", `{"per_second":1,"minute":1}`),
		hook("secret of the other kind", `{"url":"https://example.com/","topics":["a"],"signing":"ed25519","secret":"`+someSecret+`"}`, "secret"),
		hook("key of the other kind", `{"url":"https://example.com/","topics":["a"],"secret":"`+someKey+`"}`, "secret"),
		hook("mtls over http", `{"url":"http://example.com/","topics":["a"],"auth":{"type":"mtls"}}`, "auth.type"),
		hook("mtls without all", `{"url":"https://example.com/","topics":["a"],"auth":{"type":"mtls"}}`, "auth.certificate", "auth.private_key"),

		trial("nothing", `{}`, "webhook", "event"), trial("unknown field", `{"webhook":{},"event":{"topic":"a"},"x":1}`, "x"),
		trial("webhook is a number", `{"webhook":7,"event":{"topic":"a"}}`, "webhook"), trial("webhook is no id", `{"webhook":"x","event":{"topic":"a"}}`, "webhook"),
		trial("webhook is null", `{"webhook":null,"event":{"topic":"a"}}`, "webhook"), trial("event is a text", `{"webhook":{},"event":"a"}`, "event"),
		trial("event is null", `{"webhook":{},"event":null}`, "event"),
		trial("no topic", `{"webhook":{},"event":{}}`, "event.topic"), trial("no such topic", `{"webhook":{},"event":{"topic":"a..b"}}`, "event.topic"),
		trial("null topic", `{"webhook":{},"event":{"topic":null}}`, "event.topic"), trial("settings", `{"webhook":{"filter":"("},"event":{"topic":"a"}}`, "webhook.filter"),
		trial("url of settings", `{"webhook":{"url":"x"},"event":{"topic":"a"}}`, "webhook.url"),
		trial("topics of settings", `{"webhook":{"topics":[]},"event":{"topic":"a"}}`, "webhook.topics"),
		trial("auth of settings", `{"webhook":{"auth":{"type":"bearer"}},"event":{"topic":"a"}}`, "webhook.auth.token"),
		trial("data and payload", `{"webhook":{},"event":{"topic":"a","data":1,"payload":"x"}}`, "event.payload"),
		trial("payload is no text", `{"webhook":{},"event":{"topic":"a","payload":1}}`, "event.payload"),
		trial("unknown field of the event", `{"webhook":{},"event":{"topic":"a","time":"now"}}`, "event.time"),
		trial("content type", `{"webhook":{},"event":{"topic":"a","content_type":"é"}}`, "event.content_type"),
		trial("partition key", `{"webhook":{},"event":{"topic":"a","partition_key":"`+long+`"}}`, "event.partition_key"),
		trial("attribute's name", `{"webhook":{},"event":{"topic":"a","attributes":{"A-b":"x"}}}`, "event.attributes.A-b"),
		trial("attribute's value", `{"webhook":{},"event":{"topic":"a","attributes":{"ab":1}}}`, "event.attributes.ab"),
		trial("attribute with a field", `{"webhook":{},"event":{"topic":"a","attributes":{"data":"1"}}}`, "event.attributes.data"),
		trial("attribute's URI", `{"webhook":{},"event":{"topic":"a","attributes":{"source":"%"}}}`, "event.attributes.source"),
		{"trial of a webhook that is not there", "POST", "/v1/webhooks/test", jsonType, `{"webhook":"` + someID + `","event":{"topic":"a"}}`, 404, "not-found", nil},
		{"trial as a form", "POST", "/v1/webhooks/test", headers{"Content-Type", "text/plain"}, `{}`, 415, "unsupported-media-type", nil},
		{"trial with a query", "POST", "/v1/webhooks/test?x=1", jsonType, `{}`, 400, "bad-request", []string{"x"}},
		{"trial that is too large", "POST", "/v1/webhooks/test", jsonType, `{"event":{"payload":"` + strings.Repeat("x", maxBody) + `"}}`, 413, "too-large", nil},
		query("/v1/jobs?page=nonsense", "page"), query("/v1/jobs?limit=0", "limit"), query("/v1/jobs?webhook=x", "webhook"),
		query("/v1/jobs/nonsense", "id"), query("/v1/jobs/"+someID+"?x=1", "x"), query("/v1/webhooks/x/health", "id"),
		{"no such job", "GET", "/v1/jobs/" + someID, nil, "", 404, "not-found", nil},
		{"no such job to cancel", "POST", "/v1/jobs/" + someID + "/cancel", nil, "", 404, "not-found", nil},
		{"id of a job to cancel", "POST", "/v1/jobs/x/cancel", nil, "", 400, "bad-request", []string{"id"}},
		{"id of a replay", "POST", "/v1/webhooks/x/replay", jsonType, "{}", 400, "bad-request", []string{"id"}},
		{"no such webhook to replay", "POST", "/v1/webhooks/" + someID + "/replay", jsonType, "{}", 404, "not-found", nil},
		{"no such webhook to rotate", "POST", "/v1/webhooks/" + someID + "/rotate-secret", jsonType, "{}", 404, "not-found", nil},

		settingAt("retry.steps", "retry", `{"steps":2}`), settingAt("retry.factor", "retry", `{"max_attempts":2,"factor":1e400}`),
		{"webhook as a form", "POST", "/v1/webhooks", headers{"Content-Type", "application/x-www-form-urlencoded"}, "url=x", 415, "unsupported-media-type", nil},
		{"webhook without a type", "POST", "/v1/webhooks", nil, "{}", 415, "unsupported-media-type", nil},

		{"compressed", "POST", "/v1/topics/t/events", headers{"Content-Encoding", "gzip"}, "x", 415, "unsupported-media-type", []string{"Content-Encoding"}},
		{"encoded twice", "POST", "/v1/events", headers{"Content-Encoding", "identity", "Content-Encoding", "br"}, "x", 415, "unsupported-media-type", []string{"Content-Encoding"}},
		{"compressed webhook", "POST", "/v1/webhooks", append(headers{"Content-Encoding", "identity, gzip"}, jsonType...), "{}", 415, "unsupported-media-type", []string{"Content-Encoding"}},
		{"unknown method on an unknown path", "BREW", "/v1/nonsense", nil, "", 404, "not-found", nil},
		{"unknown path", "GET", "/v1/nonsense", nil, "", 404, "not-found", nil},
		{"slash at the end", "GET", "/v1/events/", nil, "", 404, "not-found", nil},
		{"no such event", "GET", "/v1/events/" + someID, nil, "", 404, "not-found", nil},
		{"no such payload", "GET", "/v1/events/" + someID + "/payload", nil, "", 404, "not-found", nil},
		{"no such webhook", "GET", "/v1/webhooks/" + someID, nil, "", 404, "not-found", nil},
		{"no such delivery", "GET", "/v1/deliveries/" + someDelivery, nil, "", 404, "not-found", nil},
		{"too large", "POST", "/v1/topics/t/events", nil, strings.Repeat("x", maxBody+1), 413, "too-large", nil},
		{"too large a webhook", "POST", "/v1/webhooks", jsonType, `{"description":"` + strings.Repeat("x", maxBody) + `"}`, 413, "too-large", nil},
	}
}

// numbered is so many members of a JSON object.
func numbered(n int) string {
	members := make([]string, n)
	for i := range members {
		members[i] = fmt.Sprintf(`"m%d":"x"`, i)
	}
	return strings.Join(members, ",")
}

func TestManyFaultsAreCutOff(t *testing.T) {
	g := newGateway(t, nil)
	p := g.tryBad("POST", "/v1/webhooks", jsonType, "{"+numbered(100)+"}").want(422)
	var got problem
	if p.into(&got); len(got.Errors) != 50 || got.Detail != "102 fields are at fault; errors has the first 50." {
		t.Errorf("%d errors: %s", len(got.Errors), got.Detail)
	}
	g.tryBad("GET", "/v1/events?"+strings.ReplaceAll(numbered(200), ",", "&"), nil, "").want(400).into(&got)
	if len(got.Errors) != 50 {
		t.Errorf("%d errors", len(got.Errors))
	}
}

func TestDetailsHelp(t *testing.T) {
	g := newGateway(t, nil)
	hook := func(rest string) badInput {
		return badInput{method: "POST", path: "/v1/webhooks", headers: jsonType, body: `{"url":"https://example.com/","topics":["a"],` + rest + "}"}
	}
	plain := headers{"Content-Type", "text/plain"}
	get := func(path string, h headers) badInput { return badInput{method: "GET", path: path, headers: h} }
	for want, c := range map[string]badInput{
		"timeout: is 1m30s; 1s to 1m are allowed":              hook(`"timeout":"90s"`),
		"timeout: is 2h; 1s to 1m are allowed":                 hook(`"timeout":"2h"`),
		"retry: delay 2 is 200h; 1s to 168h are allowed":       hook(`"retry":{"schedule":["1s","200h"]}`),
		"timeout: is 1ns; 1s to 1m are allowed":                hook(`"timeout":"1ns"`),
		"timeout: is 36h; 1s to 1m are allowed":                hook(`"timeout":"1.5d"`),
		"retry: delay 1 is 999.9995ms; 1s to 168h are allowed": hook(`"retry":{"schedule":["999999.5us"]}`),
		"retry: initial is 1ns; at least 1s is allowed":        hook(`"retry":{"max_attempts":3,"initial":"1ns"}`),
		"Content-Type must be application/json.":               {method: "POST", path: "/v1/webhooks", headers: plain, body: "{}"},
		"Content-Type must be application/merge-patch+json or application/json.": {
			method: "PATCH", path: "/v1/webhooks/" + g.hook("https://example.com/", "a", ""), headers: plain, body: "{}"},
		`error: "bogus" is no error class; they are dns, connect, tls, address-blocked, timeout, reset, answer-too-large, ` +
			"status-3xx, status-4xx, status-5xx, throttled, auth": get("/v1/deliveries?error=bogus", nil),
		"Content-Type: must be at most 255 visible ASCII characters and spaces": {
			method: "POST", path: "/v1/topics/t/events", headers: headers{"Content-Type", "text/é"}, body: "x",
		},
		"While the gateway has no key it answers only to localhost and loopback addresses in Host. --host lets a name in.": get(
			"/v1/events", headers{"Host", "evil.example"}),
	} {
		var p problem
		if g.tryBad(c.method, c.path, c.headers, c.body).into(&p); p.Detail != want {
			t.Errorf("got  %s\nwant %s", p.Detail, want)
		}
	}
}

func TestTooDeepIsCalledSo(t *testing.T) {
	g := newGateway(t, nil)
	body := `{"metadata":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + "}"
	p := g.tryBad("POST", "/v1/webhooks", jsonType, body).wantProblem(400, "malformed-body")
	if p.Detail != "The body is nested too deeply." {
		t.Errorf("detail %q", p.Detail)
	}
	// Brackets in texts are none, and whole pairs are characters.
	body = `{"url":"https://example.com/","topics":["a"],"description":"\\\"` + strings.Repeat("[", 200) + `\ud83d\ude00"}`
	g.do("POST", "/v1/webhooks", jsonType, body).want(201)
}

func TestBadInputIsRefusedAndChangesNothing(t *testing.T) {
	g := newGateway(t, nil)
	g.hook("https://example.com/", "nothing.that.is.posted", "")
	before := g.stored()
	for _, c := range badInputs() {
		t.Run(c.name, func(t *testing.T) {
			g := *g
			g.t = t
			p := g.tryBad(c.method, c.path, c.headers, c.body).wantProblem(c.status, c.kind, c.fields...)
			if strings.Contains(p.Detail, "invalid character") || strings.Contains(p.Detail, "strconv") {
				t.Errorf("the detail is an inner error's: %s", p.Detail)
			}
			if g.stored() != before {
				t.Fatal("the store was changed")
			}
		})
	}
}

func TestPatchesThatAreRefusedChangeNothing(t *testing.T) {
	g := newGateway(t, nil)
	path := "/v1/webhooks/" + g.hook("https://example.com/", "a", `,"metadata":{"k":"v"}`)
	before := g.stored()
	for body, field := range map[string]string{
		`{"url":null}`: "url", `{"topics":null}`: "topics", `{"secret":null}`: "secret", `{"id":"x"}`: "id",
		`{"description":"fine","metadata":{"k":7}}`: "metadata.k", `{"description":"fine","created_at":null}`: "created_at",
		`{"max_in_flight":-1}`: "max_in_flight",
	} {
		g.tryBad("PATCH", path, jsonType, body).wantProblem(422, "invalid", field)
	}
	g.tryBad("PATCH", path, jsonType, `[]`).wantProblem(400, "malformed-body")
	g.tryBad("PATCH", path, headers{"Content-Type", "text/plain"}, `{}`).wantProblem(415, "unsupported-media-type")
	if g.stored() != before {
		t.Error("the webhook was changed")
	}
}

func TestMethodsThatAreNotPossible(t *testing.T) {
	g := newGateway(t, nil)
	for _, c := range []struct{ method, path, allow string }{
		{"DELETE", "/v1/events", "GET, HEAD, POST"},
		{"PUT", "/v1/webhooks/" + someID, "GET, HEAD, PATCH, DELETE"},
		{"PATCH", "/v1/topics/a%2Eb/events", "GET, HEAD, POST"},
		{"GET", "/v1/webhooks/" + someID + "/replay", "POST"},
		{"GET", "/v1/webhooks/" + someID + "/rotate-secret", "POST"},
		{"POST", "/v1/webhooks/" + someID + "/health", "GET, HEAD"},
		{"POST", "/v1/jobs", "GET, HEAD"},
		{"DELETE", "/v1/jobs/" + someID, "GET, HEAD"},
		{"GET", "/v1/jobs/" + someID + "/cancel", "POST"},
		{"POST", "/v1/topics/a/stream", "GET"},
		{"HEAD", "/v1/stream", "GET, POST"},
		{"HEAD", "/v1/stream/doctor", "GET"},
		{"POST", "/v1/stream/doctor", "GET"},
		{"POST", "/healthz", "GET, HEAD"},
		{"OPTIONS", "/v1/topics", "GET, HEAD"},
		{"BREW", "/", "GET, HEAD"},
	} {
		a := g.tryBad(c.method, c.path, nil, "").want(405)
		if got := a.header.Get("Allow"); got != c.allow {
			t.Errorf("%s %s: Allow is %q, want %q", c.method, c.path, got, c.allow)
		}
		if c.method != "HEAD" {
			a.wantProblem(405, "method-not-allowed")
		}
	}
}

// raw sends bytes, and with ends nothing after them, and reads one answer.
func (g *gateway) raw(request string, ends bool) *answer {
	g.t.Helper()
	conn, err := net.Dial("tcp", g.host)
	if err != nil {
		g.t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		g.t.Fatal(err)
	}
	if ends {
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			g.t.Fatal(err)
		}
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return &answer{g.t, res.StatusCode, res.Header, body}
}

func TestBodiesThatAreCutOff(t *testing.T) {
	g := newGateway(t, nil)
	before := g.stored()
	const head = "POST /v1/topics/t/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n"
	g.raw(head+"Content-Length: 10\r\n\r\nhalf", true).wantProblem(400, "malformed-body")
	g.raw(head+"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", true).wantProblem(400, "malformed-body")
	g.raw(head+"Transfer-Encoding: chunked\r\n\r\nnonsense\r\n", true).wantProblem(400, "malformed-body")
	chunk := fmt.Sprintf("%x\r\n%s\r\n", 1024, strings.Repeat("x", 1024))
	g.raw(head+"Transfer-Encoding: chunked\r\n\r\n"+strings.Repeat(chunk, maxBody/1024)+chunk+"0\r\n\r\n", true).wantProblem(413, "too-large")
	// Refused by what it says of itself: none of it is sent.
	g.raw(head+fmt.Sprintf("Content-Length: %d\r\nExpect: 100-continue\r\n\r\n", maxBody+1), true).wantProblem(413, "too-large")
	if g.stored() != before {
		t.Error("the store was changed")
	}
	// One that is sent to its end, without a look at the answer, is refused all the same, and the answer comes. It is
	// more than the kernel takes by itself.
	much := 6 << 20
	g.raw(head+fmt.Sprintf("Content-Length: %d\r\n\r\n", much)+strings.Repeat("x", much), false).wantProblem(413, "too-large")
	g.raw(head+"Transfer-Encoding: chunked\r\n\r\n"+strings.Repeat(chunk, much/1024)+"0\r\n\r\n", false).wantProblem(413, "too-large")
	if g.stored() != before {
		t.Error("the store was changed")
	}
	g.do("POST", "/v1/topics/t/events", headers{"Content-Encoding", "Identity"}, "x").want(202)
	a := g.raw(head+"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"+strings.Repeat(chunk, maxBody/1024)+"0\r\n\r\n", false)
	a.want(202)
}
