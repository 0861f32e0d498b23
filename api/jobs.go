package api

import (
	"errors"
	"net/http"
	"slices"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

const jobPath = "/v1/jobs/"

// kindReplay is what a job does; there is no other kind.
const kindReplay = "replay"

// jobDocument is a job as the API shows it.
type jobDocument struct {
	ID        event.ID        `json:"id"`
	Kind      string          `json:"kind"`
	Webhook   event.ID        `json:"webhook"`
	State     store.JobState  `json:"state"`
	Total     int64           `json:"total"`
	Done      int64           `json:"done"`
	PerSecond int             `json:"per_second"`
	Since     stamp           `json:"since"`
	Until     stamp           `json:"until"`
	Topics    []event.Pattern `json:"topics"` // null: all
	States    []event.State   `json:"states"`
	CreatedAt stamp           `json:"created_at"`
	UpdatedAt stamp           `json:"updated_at"`
}

func showJob(j store.Job) jobDocument {
	doc := jobDocument{
		ID: j.ID, Kind: kindReplay, Webhook: j.Webhook, State: j.State, Total: j.Total, Done: j.Done, PerSecond: j.PerSecond,
		Since: stamp(j.Filter.Since), Until: stamp(j.Filter.Until), States: j.Filter.States,
		CreatedAt: stamp(j.CreatedAt), UpdatedAt: stamp(j.UpdatedAt),
	}
	if len(j.Filter.Patterns) > 0 {
		doc.Topics = j.Filter.Patterns
	}
	return doc
}

func (a *API) listJobs(w http.ResponseWriter, r *http.Request) *problem {
	q := readQuery(r, "limit", "page")
	page := q.page()
	if p := q.problem(); p != nil {
		return p
	}
	list, err := a.store.ListJobs(r.Context(), tenantOf(r), page)
	if err != nil {
		return a.readProblem(r, "listing jobs", err)
	}
	list.Data = slices.DeleteFunc(list.Data, func(j store.Job) bool { return !a.managesAt(r, j.Webhook) })
	writeList(w, list, showJob)
	return nil
}

// pathJob returns the job's id in the path.
func pathJob(r *http.Request) (event.ID, *problem) {
	if p := noQuery(r); p != nil {
		return event.ID{}, p
	}
	return pathID(r)
}

// managedJob returns the job that the path names.
func (a *API) managedJob(r *http.Request) (store.Job, *problem) {
	id, p := pathJob(r)
	if p != nil {
		return store.Job{}, p
	}
	job, err := a.store.Job(r.Context(), tenantOf(r), id)
	if err == nil && !a.managesAt(r, job.Webhook) {
		err = store.ErrNotFound
	}
	if err != nil {
		return store.Job{}, a.readProblem(r, "reading a job", err)
	}
	return job, nil
}

func (a *API) getJob(w http.ResponseWriter, r *http.Request) *problem {
	job, p := a.managedJob(r)
	if p != nil {
		return p
	}
	writeJSON(w, http.StatusOK, showJob(job))
	return nil
}

func (a *API) cancelJob(w http.ResponseWriter, r *http.Request) *problem {
	job, p := a.managedJob(r)
	if p != nil {
		return p
	}
	job, err := a.dispatch.CancelJob(r.Context(), tenantOf(r), job.ID)
	if errors.Is(err, store.ErrState) {
		return kindWrongState.is("The job is at its end.")
	}
	if err != nil {
		return a.storeProblem(r, "canceling a job", err)
	}
	writeJSON(w, http.StatusOK, showJob(job))
	return nil
}
