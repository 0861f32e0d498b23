package api

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/carillon/carillon/cloudevent"
	"github.com/carillon/carillon/dispatch"
	"github.com/carillon/carillon/event"
)

// trialDocument is what would become of an event at a webhook.
type trialDocument struct {
	Matches bool             `json:"matches"`
	Reason  *string          `json:"reason"`
	Detail  *string          `json:"detail"`
	Request *previewDocument `json:"request"`
}

// previewDocument is a request as it would be sent.
type previewDocument struct {
	Method       string            `json:"method"`
	URL          *string           `json:"url"` // null: the settings that were tried have none
	Headers      map[string]string `json:"headers"`
	Body         any               `json:"body"`
	BodyEncoding string            `json:"body_encoding,omitempty"`
}

// triedURL stands for the URL of settings that have none. It leads nowhere (RFC 2606, section 2).
const triedURL = "https://webhook.invalid/"

// trialWait is how long a trial may take on a machine that is busy with other expressions.
const trialWait = 10 * time.Second

// testWebhook tells what would become of a sample event at a webhook, which is a registered one or settings. Nothing is
// sent and nothing stored.
func (a *API) testWebhook(w http.ResponseWriter, r *http.Request) *problem {
	if p := noQuery(r); p != nil {
		return p
	}
	members, p := a.readObject(w, r, "application/json")
	if p != nil {
		return p
	}
	var hook, sample *member
	var bad []event.FieldError
	for i, m := range members {
		switch m.name {
		case "webhook":
			hook = &members[i]
		case "event":
			sample = &members[i]
		default:
			bad = append(bad, event.FieldError{Field: m.name, Detail: "unknown field"})
		}
	}
	if hook == nil {
		bad = append(bad, event.FieldError{Field: "webhook", Detail: "is required: a webhook's id, or settings as to register one"})
	}
	if sample == nil {
		bad = append(bad, event.FieldError{Field: "event", Detail: "is required"})
	}
	if len(bad) > 0 {
		return kindInvalid.in(bad...)
	}
	ev, bad := readSample(*sample)
	ev.Tenant = tenantOf(r)
	tried, more, p := a.triedWebhook(r, *hook, ev.Topic)
	if p != nil {
		return p
	}
	if bad = append(bad, more...); len(bad) > 0 {
		return kindInvalid.in(bad...)
	}
	ctx, end := a.waits.begin(r.Context(), trialWait)
	defer end()
	trial, err := a.dispatch.Try(ctx, tried, ev)
	if err != nil && ctx.Err() != nil {
		return &problem{kind: kindUnavailable, retryAfter: 1, detail: "The gateway is too busy to try this now."}
	}
	if err != nil {
		return a.readProblem(r, "trying a webhook", err)
	}
	writeJSON(w, http.StatusOK, showTrial(tried, trial))
	return nil
}

// triedWebhook reads the webhook that is tried. Settings need neither a URL nor topics: without topics every event of
// the sample's topic is wanted.
func (a *API) triedWebhook(r *http.Request, m member, topic event.Topic) (*event.Webhook, []event.FieldError, *problem) {
	if strings.HasPrefix(string(m.value), `"`) {
		text, _ := readValue[string](m, "") // it is one
		id, err := event.ParseID(text)
		if err != nil {
			return nil, []event.FieldError{{Field: m.name, Detail: "is " + err.Error()}}, nil
		}
		hook, err := a.managedWebhook(r, id)
		if err != nil {
			return nil, nil, a.readProblem(r, "reading a webhook", err)
		}
		return hook, nil, nil
	}
	if !strings.HasPrefix(string(m.value), "{") {
		return nil, []event.FieldError{{Field: m.name, Detail: "must be a webhook's id, or an object of settings"}}, nil
	}
	members, err := parseObject(m.value)
	if err != nil {
		return nil, []event.FieldError{{Field: m.name, Detail: err.Error()}}, nil
	}
	hook := newWebhook()
	hook.ID, hook.Tenant = event.NewID(), tenantOf(r)
	hook.URL, hook.Topics = triedURL, []event.Pattern{event.Pattern(topic)}
	if topic == "" {
		hook.Topics = []event.Pattern{"**"} // the sample is refused for its topic
	}
	bad := applyWebhook(hook, members)
	bad = append(bad, a.judgeURL(hook, bad)...)
	bad = append(bad, a.judgeAuth(hook, bad)...)
	for i := range bad {
		bad[i].Field = m.name + "." + bad[i].Field
	}
	if hook.Secret == "" {
		hook.Secret = newSecret(signingOf(hook))
	}
	return hook, bad, nil
}

// readSample reads the event of a trial. It returns one also where some of it is wrong.
func readSample(m member) (*event.Event, []event.FieldError) {
	ev := &event.Event{ID: event.NewID(), Time: time.Now().UTC().Truncate(event.Precision)}
	members, err := parseObject(m.value)
	if err != nil {
		return ev, []event.FieldError{{Field: m.name, Detail: err.Error()}}
	}
	var bad []event.FieldError
	add := func(err *event.FieldError) {
		if err != nil {
			bad = append(bad, event.FieldError{Field: m.name + "." + err.Field, Detail: err.Detail})
		}
	}
	has := make(map[string]bool, len(members))
	for _, part := range members {
		has[part.name] = true
		switch part.name {
		case "topic":
			add(setSampleTopic(ev, part))
		case "content_type":
			add(setSampleText(&ev.ContentType, part, tellable, contentTypeRule))
		case "partition_key":
			add(setSampleText(&ev.PartitionKey, part, func(s string) bool { return len(s) <= maxPartitionKey }, "is longer than 255 bytes"))
		case "data":
			ev.Payload = part.value
		case "payload":
			text, err := readValue[string](part, "a text; data takes any JSON")
			add(err)
			ev.Payload = []byte(text)
		case "attributes":
		default:
			add(&event.FieldError{Field: part.name, Detail: "unknown field"})
		}
	}
	if !has["topic"] {
		add(&event.FieldError{Field: "topic", Detail: "is required"})
	}
	if has["data"] && has["payload"] {
		add(&event.FieldError{Field: "payload", Detail: "must be left out where data is given"})
	}
	if has["data"] && ev.ContentType == "" {
		ev.ContentType = "application/json"
	}
	if at := slices.IndexFunc(members, func(part member) bool { return part.name == "attributes" }); at >= 0 {
		for _, err := range setSampleAttributes(ev, members[at]) {
			add(&err)
		}
	}
	return ev, bad
}

// setSampleTopic takes the gateway's own topics too: what it announces can be filtered and transformed like the rest.
func setSampleTopic(ev *event.Event, m member) *event.FieldError {
	text, bad := readValue[string](m, "a topic")
	if bad != nil {
		return bad
	}
	topic, err := event.ParseTopic(text)
	if err != nil {
		return &event.FieldError{Field: m.name, Detail: err.Error()}
	}
	ev.Topic = topic
	return nil
}

func setSampleText(to *string, m member, ok func(string) bool, rule string) *event.FieldError {
	if err := setOr(to, m, "", "a text"); err != nil {
		return err
	}
	if !ok(*to) {
		return &event.FieldError{Field: m.name, Detail: rule}
	}
	return nil
}

// sampleFields are CloudEvents attributes for which a sample has fields, or that are no attributes.
var sampleFields = map[string]string{
	"specversion": "is always 1.0", "datacontenttype": "is given as content_type", "partitionkey": "is given as partition_key",
	"data": "is given beside attributes", "data_base64": "is given as payload",
}

// setSampleAttributes makes the sample one that was posted as a CloudEvent. It is judged as if it had been; id, source
// and type may be left out.
func setSampleAttributes(ev *event.Event, m member) []event.FieldError {
	if m.null() {
		return nil
	}
	entries, err := parseObject(m.value)
	if err != nil {
		return []event.FieldError{{Field: m.name, Detail: err.Error()}}
	}
	var bad []event.FieldError
	posted := map[string]string{"specversion": "1.0", "id": ev.ID.String(), "source": "/sample", "type": string(ev.Topic)}
	if ev.Topic == "" {
		posted["type"] = "sample" // the topic is what is wrong
	}
	for _, entry := range entries {
		text, err := readValue[string](entry, "a text")
		switch why := sampleFields[entry.name]; {
		case why != "":
			bad = append(bad, event.FieldError{Field: m.name + "." + entry.name, Detail: why})
		case err != nil:
			bad = append(bad, event.FieldError{Field: m.name + "." + entry.name, Detail: err.Detail})
		default:
			posted[entry.name] = text
		}
	}
	body, err := json.Marshal(posted)
	if err != nil {
		panic(err) // texts can always be marshalled
	}
	read, err := cloudevent.Parse(cloudevent.Structured, http.Header{"Content-Type": {"application/cloudevents+json"}}, body)
	if err != nil {
		for _, fault := range cloudEventProblem(err).errors {
			bad = append(bad, event.FieldError{Field: m.name + "." + fault.Field, Detail: fault.Detail})
		}
		return bad
	}
	ev.Attributes, ev.Traceparent = read[0].Attributes, read[0].Traceparent
	return bad
}

func showTrial(hook *event.Webhook, t dispatch.Trial) trialDocument {
	doc := trialDocument{Matches: t.Matches, Reason: orNull(t.Why), Detail: orNull(t.Detail)}
	if t.Request == nil {
		return doc
	}
	preview := &previewDocument{Method: t.Request.Method, Headers: make(map[string]string, len(t.Request.Header))}
	if t.Request.URL != triedURL {
		preview.URL = &t.Request.URL
	}
	for name, values := range t.Request.Header {
		preview.Headers[name] = strings.ToValidUTF8(strings.Join(values, ", "), string(utf8.RuneError))
	}
	for name := range hook.Headers {
		if _, sent := preview.Headers[name]; sent {
			preview.Headers[name] = hiddenValue
		}
	}
	body := textOf(t.Request.Body, false)
	preview.Body, preview.BodyEncoding = body.text, body.encoding
	doc.Request = preview
	return doc
}
