package api

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"net/http"
	"unicode/utf8"

	"github.com/carillon/carillon/cloudevent"
	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// Limits of what a poster can say beside the payload.
const (
	maxIdempotencyKey = 255
	maxPartitionKey   = 255
	maxContentType    = 255
)

const contentTypeRule = "must be at most 255 visible ASCII characters and spaces"

// tellable reports whether a content type is one that can be told to others as it is.
func tellable(contentType string) bool {
	return len(contentType) <= maxContentType && all(contentType, visibleOrSpace)
}

// publishToTopic stores the body as an event of the topic in the path; a CloudEvent is unpacked.
func (a *API) publishToTopic(w http.ResponseWriter, r *http.Request) *problem {
	text, p := pathValue(r, "topic")
	if p != nil {
		return a.countRefusal(p)
	}
	topic, p := postableTopic("topic", text)
	if p != nil {
		return a.countRefusal(p)
	}
	if p := checkTopic(r, topic, "topic"); p != nil {
		return a.countRefusal(p)
	}
	return a.countRefusal(a.publish(w, r, topic))
}

// publishCloudEvents stores CloudEvents, each as an event of the topic that its type names.
func (a *API) publishCloudEvents(w http.ResponseWriter, r *http.Request) *problem {
	return a.countRefusal(a.publish(w, r, ""))
}

// publish stores what the body holds. An empty topic means that the body must be CloudEvents which name theirs.
func (a *API) publish(w http.ResponseWriter, r *http.Request, topic event.Topic) *problem {
	pref, p := readPreference(r)
	if p != nil {
		return p
	}
	from, p := readPosterHeaders(r.Header)
	if p != nil {
		return p
	}
	drafts, batch, p := a.readDrafts(w, r, topic, from)
	if p != nil {
		return p
	}
	if len(drafts) > 0 {
		if p := a.meter(w, r, len(drafts)); p != nil {
			return p
		}
	}
	for _, d := range drafts {
		d.Event.Matches = a.dispatch.Match(d.Event)
	}
	// What a batch would wait for, nobody has said; a preference may be passed over (RFC 7240, section 2).
	if pref.wait > 0 && !batch {
		return a.publishAndWait(w, r, drafts[0], pref)
	}
	receipts, p := a.append(r, drafts)
	if p != nil && p.kind == kindKeyReused && batch && from.idempotencyKey == "" {
		p.errors = a.reused(r.Context(), drafts)
	}
	if p != nil {
		return p
	}
	if batch {
		writeReceipts(w, receipts)
	} else {
		writeReceipt(w, receipts[0])
	}
	return nil
}

func (a *API) countRefusal(p *problem) *problem {
	if p != nil {
		a.metrics.refused.WithLabelValues(p.name).Inc()
	}
	return p
}

// postableTopic checks a topic that a poster names. The field is where.
func postableTopic(field, text string) (event.Topic, *problem) {
	topic, err := event.ParseTopic(text)
	if err != nil {
		return "", kindInvalid.in(event.FieldError{Field: field, Detail: err.Error()})
	}
	if topic.Reserved() {
		return "", kindReserved.in(event.FieldError{Field: field, Detail: "begins with _, and only the gateway posts there"})
	}
	return topic, nil
}

// posterHeaders are the headers of a request to publish that mean something to the gateway.
type posterHeaders struct {
	idempotencyKey string
	partitionKey   string
	traceparent    string
}

func readPosterHeaders(h http.Header) (posterHeaders, *problem) {
	var bad []event.FieldError
	once := func(name, allowed string, ok func(string) bool) string {
		values := h.Values(name)
		switch {
		case len(values) == 0:
			return ""
		case len(values) > 1:
			bad = append(bad, event.FieldError{Field: name, Detail: "may be given once"})
		case values[0] == "" || !ok(values[0]):
			bad = append(bad, event.FieldError{Field: name, Detail: allowed})
		}
		return values[0]
	}
	read := posterHeaders{
		idempotencyKey: once("Idempotency-Key", "must be 1 to 255 visible ASCII characters", func(s string) bool {
			return len(s) <= maxIdempotencyKey && all(s, func(c byte) bool { return c != ' ' && visibleOrSpace(c) })
		}),
		partitionKey: once("Carillon-Partition-Key", "must be 1 to 255 bytes of UTF-8 without control characters", func(s string) bool {
			return len(s) <= maxPartitionKey && utf8.ValidString(s) && all(s, func(c byte) bool { return c >= ' ' && c != 0x7f })
		}),
	}
	// A trace that is broken is dropped, as its specification asks, and never a reason to refuse what it traces.
	if tp := h.Values("Traceparent"); len(tp) == 1 && event.ValidTraceparent(tp[0]) {
		read.traceparent = tp[0]
	}
	// Kept with the event, and one day a header again.
	if !tellable(h.Get("Content-Type")) {
		bad = append(bad, event.FieldError{Field: "Content-Type", Detail: contentTypeRule})
	}
	if len(bad) > 0 {
		return read, kindBadRequest.in(bad...)
	}
	return read, nil
}

func visibleOrSpace(c byte) bool { return ' ' <= c && c < 0x7f }

func all(s string, ok func(byte) bool) bool {
	for i := range len(s) {
		if !ok(s[i]) {
			return false
		}
	}
	return true
}

// keyInFlight is what to say to a request whose key is in flight.
func keyInFlight() *problem {
	return &problem{kind: kindKeyInFlight, retryAfter: 1,
		detail: "A request with the same key is being stored at this moment; repeat this one in a second."}
}

// replayed returns the first receipt of a draft that was stored before, and stores nothing. It refuses a key that is in
// flight: what will be stored under it is not there yet.
func (a *API) replayed(r *http.Request, draft store.Draft) (store.Receipt, bool, *problem) {
	keys := keysOf([]store.Draft{draft})
	if !a.inFlight.claim(keys) {
		return store.Receipt{}, false, keyInFlight()
	}
	defer a.inFlight.release(keys)
	receipt, found, err := a.store.Replayed(r.Context(), draft)
	if err != nil {
		return store.Receipt{}, false, a.readProblem(r, "looking up an idempotency key", err)
	}
	if found {
		a.metrics.replayed.Inc()
	}
	return receipt, found, nil
}

// append stores the drafts and counts. It refuses keys that are in flight.
func (a *API) append(r *http.Request, drafts []store.Draft) ([]store.Receipt, *problem) {
	if len(drafts) == 0 {
		return nil, nil
	}
	keys := keysOf(drafts)
	if !a.inFlight.claim(keys) {
		return nil, keyInFlight()
	}
	defer a.inFlight.release(keys)
	receipts, err := a.store.Append(r.Context(), drafts)
	if err != nil {
		return nil, a.storeProblem(r, "storing an event", err)
	}
	for _, receipt := range receipts {
		if receipt.Replayed {
			a.metrics.replayed.Inc()
		} else {
			a.metrics.accepted.Inc()
		}
	}
	return receipts, nil
}

// reused names the CloudEvents of a refused batch whose source and id stand for another event, in the log or earlier in
// the batch; at most [maxFieldErrors]. It may find none, where the event that they stood for was forgotten meanwhile.
func (a *API) reused(ctx context.Context, drafts []store.Draft) []event.FieldError {
	var bad []event.FieldError
	here := make(map[string][16]byte)
	for i, d := range drafts {
		first, twice := here[d.Key]
		reused := twice && first != d.Fingerprint
		if !twice {
			here[d.Key] = d.Fingerprint
			_, _, err := a.store.Replayed(ctx, d)
			reused = errors.Is(err, store.ErrKeyReused)
		}
		if reused {
			bad = append(bad, event.FieldError{Field: attributeField(cloudevent.Batched, i, "id"),
				Detail: "came before from the same source, with another topic, type or payload"})
		}
		if len(bad) == maxFieldErrors {
			break
		}
	}
	return bad
}

// keysOf returns the drafts' idempotency keys.
func keysOf(drafts []store.Draft) []tenantKey {
	var keys []tenantKey
	for _, d := range drafts {
		if d.Key != "" {
			keys = append(keys, tenantKey{d.Event.Tenant, d.Key})
		}
	}
	return keys
}

// The keys of events and of requests come from two worlds, and must not meet in the store.
const (
	requestKeys    = "k:"
	cloudEventKeys = "c:"
)

// fingerprint tells one request under an idempotency key from another: by topic, type and payload.
func fingerprint(topic event.Topic, kind string, payload []byte) [16]byte {
	h := sha256.New()
	// Lengths keep what is at the end of one part from being at the start of the next.
	var length [8]byte
	for _, part := range [...]string{string(topic), kind} {
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		h.Write(length[:])
		h.Write([]byte(part))
	}
	h.Write(payload)
	return [16]byte(h.Sum(nil)[:16])
}
