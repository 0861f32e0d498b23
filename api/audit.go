package api

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// attributed says in a request's context where the changes come from that it leads to: the store writes that down with each.
// Who posts and reads changes nothing of what the audit log is about.
func attributed(r *http.Request, scope event.Scope) *http.Request {
	if r.Method == http.MethodGet || r.Method == http.MethodHead || scope == event.ScopePublish || scope == event.ScopeSubscribe {
		return r
	}
	origin := event.Origin{Actor: principalOf(r).Actor, Address: remoteOf(r).Addr(), Request: requestID(r)}
	return r.WithContext(store.WithOrigin(r.Context(), origin))
}

// auditDocument is an entry of the audit log as the API shows it.
type auditDocument struct {
	ID        event.ID          `json:"id"`
	Time      stamp             `json:"time"`
	Actor     actorDocument     `json:"actor"`
	Address   *string           `json:"address"`
	RequestID *string           `json:"request_id"`
	Action    event.AuditAction `json:"action"`
	Subject   subjectDocument   `json:"subject"`
	Changes   []changeDocument  `json:"changes"`
}

type actorDocument struct {
	Kind event.ActorKind `json:"kind"`
	ID   *string         `json:"id"`
	Name *string         `json:"name"`
}

type subjectDocument struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
}

type changeDocument struct {
	Field  string          `json:"field"`
	Old    json.RawMessage `json:"old"` // null where there is none
	New    json.RawMessage `json:"new"`
	Hidden bool            `json:"hidden"`
}

func showAudit(e event.AuditEntry) auditDocument {
	doc := auditDocument{
		ID: e.ID, Time: stamp(e.Time),
		Actor:  actorDocument{e.Actor.Kind, orNull(e.Actor.ID), orNull(e.Actor.Name)},
		Action: e.Action, Subject: subjectDocument{e.Action.SubjectKind(), e.Subject},
		Changes:   make([]changeDocument, len(e.Changes)),
		RequestID: orNull(e.Request),
	}
	if e.Address.IsValid() {
		doc.Address = orNull(e.Address.String())
	}
	for i, c := range e.Changes {
		doc.Changes[i] = changeDocument(c)
	}
	return doc
}

// maxSubject is the longest subject that can be asked for: a delivery's id is the longest that there is.
const maxSubject = 128

// readAuditFilter reads what of the audit log is asked for.
func readAuditFilter(q *query, now time.Time) store.AuditFilter {
	f := store.AuditFilter{Since: q.moment("since", now), Until: q.moment("until", now)}
	actions := event.AuditActions()
	if len(q.values["action"]) > len(actions) {
		q.wrong("action", "is given too often: there are %d actions", len(actions))
		return f
	}
	for _, text := range q.values["action"] {
		action := event.AuditAction(text)
		if !slices.Contains(actions, action) {
			q.wrong("action", "must be one of %s", joined(actions))
			break
		}
		f.Actions = append(f.Actions, action)
	}
	if id := q.id("key"); !id.IsZero() {
		f.Actor = id.String()
	}
	subject, given := q.text("subject")
	if given && len(subject) > maxSubject {
		q.wrong("subject", "is longer than any id")
	}
	f.Subject = subject
	return f
}

// listAudit answers with a page of the audit log, or with all of it as lines if those are what the client accepts.
func (a *API) listAudit(w http.ResponseWriter, r *http.Request) *problem {
	known := []string{"since", "until", "action", "key", "subject"}
	lines := acceptsLines(r)
	if !lines {
		known = append(known, "limit", "page")
	}
	q := readQuery(r, known...)
	f := readAuditFilter(q, time.Now())
	page := q.page()
	if p := q.problem(); p != nil {
		return p
	}
	w.Header().Set("Cache-Control", "no-store")
	if lines {
		return a.exportAudit(w, r, f)
	}
	list, err := a.store.ListAudit(r.Context(), tenantOf(r), f, page)
	if err != nil {
		return a.readProblem(r, "listing the audit log", err)
	}
	writeList(w, list, showAudit)
	return nil
}

// exportPatience is how long a reader of lines may take for a page of them.
const exportPatience = time.Minute

// exportAudit answers with one entry a line, newest first. Entries that come meanwhile are not in it. Where reading on
// fails, the connection is cut, so that nobody takes some of them for all.
func (a *API) exportAudit(w http.ResponseWriter, r *http.Request, f store.AuditFilter) *problem {
	control := http.NewResponseController(w)
	// A server that cannot set deadlines is a test's.
	defer func() { _ = control.SetWriteDeadline(time.Time{}) }()
	page := store.Page{Limit: maxLimit}
	for begun := false; !begun || page.Token != ""; begun = true {
		list, err := a.store.ListAudit(r.Context(), tenantOf(r), f, page)
		if err != nil && !begun {
			return a.readProblem(r, "listing the audit log", err)
		}
		if err != nil {
			if r.Context().Err() == nil {
				a.log.Error("exporting the audit log failed half way", "request", requestID(r), "error", err)
			}
			panic(http.ErrAbortHandler)
		}
		if !begun {
			w.Header().Set("Content-Type", "application/x-ndjson")
			w.WriteHeader(http.StatusOK)
		}
		var text bytes.Buffer
		encoder := json.NewEncoder(&text)
		encoder.SetEscapeHTML(false)
		for _, entry := range list.Data {
			if err := encoder.Encode(showAudit(entry)); err != nil {
				panic(err) // the API's types hold nothing that cannot be marshalled
			}
		}
		_ = control.SetWriteDeadline(time.Now().Add(exportPatience))
		if _, err := w.Write(text.Bytes()); err != nil {
			return nil // the reader has gone
		}
		page.Token = list.Next
	}
	return nil
}

func joined[T ~string](words []T) string {
	var b bytes.Buffer
	for i, word := range words {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(word))
	}
	return b.String()
}
