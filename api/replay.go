package api

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// How fast a replay makes deliveries pending again. How fast they are then made is the webhook's affair.
const (
	defaultReplayRate = 500
	maxReplayRate     = 10_000
)

// replayRequest is what somebody wants to be replayed.
type replayRequest struct {
	filter    store.ReplayFilter
	perSecond int
	dryRun    bool
}

// readReplay reads a replay's body. Durations count back from now.
func readReplay(members []member, now time.Time) (replayRequest, []event.FieldError) {
	asked := replayRequest{
		filter:    store.ReplayFilter{States: []event.State{event.Failed, event.Canceled}},
		perSecond: defaultReplayRate,
	}
	f := &asked.filter
	var bad []event.FieldError
	for _, m := range members {
		var err *event.FieldError
		switch m.name {
		case "since":
			err = setMoment(&f.Since, m, now)
		case "until":
			err = setMoment(&f.Until, m, now)
		case "topics":
			bad = append(bad, setReplayTopics(f, m)...)
		case "states":
			bad = append(bad, setReplayStates(f, m)...)
		case "per_second":
			err = setOr(&asked.perSecond, m, defaultReplayRate, "a whole number")
			if err == nil && (asked.perSecond < 1 || asked.perSecond > maxReplayRate) {
				err = &event.FieldError{Field: m.name, Detail: fmt.Sprintf("is %d; 1 to %d are allowed", asked.perSecond, maxReplayRate)}
			}
		case "dry_run":
			err = setOr(&asked.dryRun, m, false, "true or false")
		default:
			err = &event.FieldError{Field: m.name, Detail: "unknown field"}
		}
		if err != nil {
			bad = append(bad, *err)
		}
	}
	if len(bad) == 0 && !f.Since.IsZero() && !f.Until.IsZero() && !f.Until.After(f.Since) {
		bad = append(bad, event.FieldError{Field: "until", Detail: "must be later than since"})
	}
	return asked, bad
}

// setMoment reads a time, or a duration as one so long ago; null is none.
func setMoment(to *time.Time, m member, now time.Time) *event.FieldError {
	if m.null() {
		*to = time.Time{}
		return nil
	}
	text, bad := readValue[string](m, "a text: an RFC 3339 time, or a duration such as 2h")
	if bad != nil {
		return bad
	}
	at, err := parseMoment(text, now)
	if err != nil {
		return &event.FieldError{Field: m.name, Detail: err.Error()}
	}
	*to = at
	return nil
}

func setReplayTopics(f *store.ReplayFilter, m member) []event.FieldError {
	if m.null() {
		f.Patterns = nil
		return nil
	}
	topics, err := readValue[[]string](m, "a list of topic patterns")
	if err != nil {
		return []event.FieldError{*err}
	}
	if len(topics) == 0 || len(topics) > event.MaxPatterns {
		return []event.FieldError{{Field: m.name, Detail: fmt.Sprintf("has %d patterns; 1 to %d are allowed", len(topics), event.MaxPatterns)}}
	}
	var bad []event.FieldError
	for i, text := range topics {
		pattern, err := event.ParsePattern(text)
		if err != nil {
			bad = append(bad, event.FieldError{Field: fmt.Sprintf("%s[%d]", m.name, i), Detail: err.Error()})
		}
		f.Patterns = append(f.Patterns, pattern)
	}
	return bad
}

func setReplayStates(f *store.ReplayFilter, m member) []event.FieldError {
	if m.null() {
		return nil
	}
	names, err := readValue[[]string](m, "a list of states: delivered, failed, canceled")
	if err != nil {
		return []event.FieldError{*err}
	}
	if len(names) == 0 || len(names) > len(event.States()) {
		return []event.FieldError{{Field: m.name, Detail: "must be one to three of delivered, failed and canceled"}}
	}
	f.States = nil
	var bad []event.FieldError
	for i, name := range names {
		state, err := event.ParseState(name)
		switch {
		case err != nil || state == event.Pending:
			bad = append(bad, event.FieldError{Field: fmt.Sprintf("%s[%d]", m.name, i), Detail: "must be delivered, failed or canceled"})
		case !slices.Contains(f.States, state):
			f.States = append(f.States, state)
		}
	}
	return bad
}

// replayCount is the answer to a replay that is only tried.
type replayCount struct {
	Total int64 `json:"total"`
}

// replayWebhook begins a job that makes deliveries pending again, or tells how many there would be.
func (a *API) replayWebhook(w http.ResponseWriter, r *http.Request) *problem {
	hook, p := a.webhook(r)
	if p != nil {
		return p
	}
	members, p := a.readObject(w, r, "application/json")
	if p != nil {
		return p
	}
	asked, bad := readReplay(members, time.Now())
	if len(bad) > 0 {
		return kindInvalid.in(bad...)
	}
	// The webhook can have been sent what its key does not reach, before its topics were changed.
	if len(asked.filter.Patterns) == 0 {
		asked.filter.Patterns = principalOf(r).Patterns
	}
	if p := checkReach(r, asked.filter.Patterns, topicField); p != nil {
		return p
	}
	if asked.dryRun {
		total, err := a.store.CountReplay(r.Context(), hook.Tenant, hook.ID, asked.filter)
		if err != nil {
			return a.readProblem(r, "counting a replay", err)
		}
		writeJSON(w, http.StatusOK, replayCount{total})
		return nil
	}
	job, err := a.dispatch.Replay(r.Context(), store.Job{
		ID: event.NewID(), Tenant: hook.Tenant, Webhook: hook.ID, Filter: asked.filter, PerSecond: asked.perSecond,
	})
	if errors.Is(err, store.ErrState) {
		return kindWrongState.is("The webhook is disabled: enable it first.")
	}
	if err != nil {
		return a.storeProblem(r, "beginning a replay", err)
	}
	w.Header().Set("Location", jobPath+job.ID.String())
	writeJSON(w, http.StatusAccepted, showJob(job))
	return nil
}
