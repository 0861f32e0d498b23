package api

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/carillon/carillon/cloudevent"
	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// readDrafts makes of a request what is to be stored, without matches. batch says that any number of events may have
// come, none too, and that the answer is a list.
func (a *API) readDrafts(w http.ResponseWriter, r *http.Request, topic event.Topic, from posterHeaders) (_ []store.Draft, batch bool, _ *problem) {
	mode := cloudevent.ModeOf(r.Header)
	body, p := a.readBody(w, r)
	if p != nil {
		return nil, false, p
	}
	plain := mode == cloudevent.None
	if plain {
		if topic != "" {
			return []store.Draft{plainDraft(r, topic, from, body)}, false, nil
		}
		mode = cloudevent.Binary // the parser says what is missing
	}
	posted, err := cloudevent.Parse(mode, r.Header, body)
	if err != nil {
		p := cloudEventProblem(err)
		if plain {
			p.detail = "This path takes CloudEvents; anything else is posted to /v1/topics/{topic}/events."
		}
		return nil, false, p
	}
	drafts, p := cloudEventDrafts(r, mode, topic, from, posted)
	return drafts, mode == cloudevent.Batched, p
}

func plainDraft(r *http.Request, topic event.Topic, from posterHeaders, body []byte) store.Draft {
	draft := store.Draft{Event: &event.Event{
		ID: event.NewID(), Tenant: tenantOf(r), Topic: topic, ContentType: r.Header.Get("Content-Type"),
		PartitionKey: from.partitionKey, Traceparent: from.traceparent, Payload: body,
	}}
	if from.idempotencyKey != "" {
		draft.Key = requestKeys + from.idempotencyKey
		draft.Fingerprint = fingerprint(topic, string(topic), body)
	}
	return draft
}

func cloudEventProblem(err error) *problem {
	var bad *cloudevent.Error
	if !errors.As(err, &bad) {
		return kindMalformedBody.is("The body is no CloudEvent.")
	}
	switch {
	case bad.Malformed:
		return kindMalformedBody.in(bad.Fields...)
	case bad.Unsupported:
		return kindMediaType.in(bad.Fields...)
	default:
		return kindInvalid.in(bad.Fields...)
	}
}

// cloudEventDrafts makes drafts of CloudEvents. Each is deduplicated by its source and id. A key of the poster's own, if
// there is one, is the key of all of the request and takes their place: an event that came without a key and comes again
// under one is stored again, as two keys are two requests.
func cloudEventDrafts(r *http.Request, mode cloudevent.Mode, topic event.Topic, from posterHeaders, posted []cloudevent.Posted) ([]store.Draft, *problem) {
	var bad, unreached []event.FieldError
	var reserved *problem
	drafts := make([]store.Draft, len(posted))
	whole := sha256.New()
	for i, ce := range posted {
		field := func(name string) string { return attributeField(mode, i, name) }
		if p := checkPosted(ce, field); p != nil {
			bad = append(bad, *p)
		}
		on := topic
		if on == "" {
			var p *problem
			if on, p = postableTopic(field("type"), ce.Attributes["type"]); p != nil && p.kind == kindReserved {
				reserved = p
			} else if p != nil {
				bad = append(bad, p.errors...)
			} else if p := checkTopic(r, on, field("type")); p != nil {
				unreached = append(unreached, p.errors...)
			}
		}
		e := &event.Event{
			ID: event.NewID(), Tenant: tenantOf(r), Topic: on, ContentType: ce.ContentType,
			PartitionKey: ce.PartitionKey, Traceparent: ce.Traceparent, Attributes: ce.Attributes, Payload: ce.Payload,
		}
		if e.PartitionKey == "" {
			e.PartitionKey = from.partitionKey
		}
		if e.Traceparent == "" {
			e.Traceparent = from.traceparent
		}
		drafts[i] = store.Draft{
			Event: e, Key: cloudEventKey(ce.Attributes["source"], ce.Attributes["id"]),
			Fingerprint: fingerprint(on, ce.Attributes["type"], ce.Payload),
		}
		whole.Write(drafts[i].Fingerprint[:])
	}
	switch {
	case len(bad) > 0:
		return nil, kindInvalid.in(bad...)
	case reserved != nil:
		return nil, reserved
	case len(unreached) > 0:
		return nil, kindForbidden.in(unreached...)
	}
	if from.idempotencyKey != "" {
		keyTogether(drafts, from.idempotencyKey, whole.Sum(nil))
	}
	return drafts, nil
}

// keyTogether gives the events of one request the one key that its poster gave. A place in the batch is part of each
// one's key, and all of the batch part of each one's fingerprint: the same key with another batch is found out at its
// first event.
func keyTogether(drafts []store.Draft, key string, whole []byte) {
	for i := range drafts {
		drafts[i].Key = requestKeys + key
		if i > 0 {
			drafts[i].Key += " " + strconv.Itoa(i) // no key of a poster's has a space
		}
		if len(drafts) > 1 {
			drafts[i].Fingerprint = [16]byte(whole[:16])
		}
	}
}

// checkPosted holds what will be a header one day against what headers can be.
func checkPosted(ce cloudevent.Posted, field func(string) string) *event.FieldError {
	if len(ce.PartitionKey) > maxPartitionKey {
		return &event.FieldError{Field: field("partitionkey"), Detail: "is longer than " + strconv.Itoa(maxPartitionKey) + " bytes"}
	}
	if !tellable(ce.ContentType) {
		return &event.FieldError{Field: field("datacontenttype"), Detail: contentTypeRule}
	}
	return nil
}

// attributeField names an attribute as its sender wrote it.
func attributeField(mode cloudevent.Mode, place int, name string) string {
	switch mode {
	case cloudevent.Binary:
		if name == "datacontenttype" {
			return "Content-Type"
		}
		return "ce-" + name
	case cloudevent.Batched:
		return fmt.Sprintf("[%d].%s", place, name)
	default:
		return name
	}
}

// cloudEventKey is the key of what CloudEvents calls the same event: same source and same id. Both can be long, and the
// engine keeps keys for a day, so a hash stands for them.
func cloudEventKey(source, id string) string {
	h := sha256.New()
	var length [8]byte
	binary.BigEndian.PutUint64(length[:], uint64(len(source)))
	_, _ = h.Write(length[:]) // a hash takes everything
	_, _ = io.WriteString(h, source)
	_, _ = io.WriteString(h, id)
	return cloudEventKeys + base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}
