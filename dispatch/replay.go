package dispatch

import (
	"context"
	"errors"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

const (
	// replayTick is how often a running job goes a step on.
	replayTick = 100 * time.Millisecond
	// replayRetry is how long jobs rest after the store could not be read or written.
	replayRetry = time.Second
)

// Replay begins a job that makes pending again what a webhook was owed. Errors as [store.Jobs].CreateJob.
func (d *Dispatcher) Replay(ctx context.Context, j store.Job) (store.Job, error) {
	job, err := d.store.CreateJob(ctx, j)
	if err == nil {
		select {
		case d.jobs <- struct{}{}:
		default: // it is looked for already
		}
	}
	return job, err
}

// CancelJob ends a running job: what it made pending stays so. Errors as [store.Jobs].CancelJob.
func (d *Dispatcher) CancelJob(ctx context.Context, tenant event.TenantID, id event.ID) (store.Job, error) {
	return d.store.CancelJob(ctx, tenant, id)
}

// runJobs carries jobs on, those too that a restart found, until ctx ends. A job's progress is stored with what it does,
// so it goes on where it was, whenever the process ends.
func (d *Dispatcher) runJobs(ctx context.Context) error {
	allowed := make(map[event.ID]float64)
	for {
		running, err := d.store.RunningJobs(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			d.log.Error("jobs cannot be read; trying again", "error", err)
			if !pause(ctx, replayRetry) {
				return nil
			}
			continue
		}
		if len(running) == 0 {
			clear(allowed)
			select {
			case <-ctx.Done():
				return nil
			case <-d.jobs:
			}
			continue
		}
		d.stepJobs(ctx, running, allowed)
	}
}

// stepJobs carries the jobs on until one of them ends, fails to go on, or another one comes. allowed says how many
// deliveries each may make pending: it is kept from call to call, so that a slow job gets on however often others come.
func (d *Dispatcher) stepJobs(ctx context.Context, running []store.Job, allowed map[event.ID]float64) {
	tick := time.NewTicker(replayTick)
	defer tick.Stop()
	// A second's share of each tick, with what a tick is late by: a busy machine does not slow a replay down.
	last := time.Now()
	for changed := false; !changed; {
		select {
		case <-ctx.Done():
			return
		case <-d.jobs:
			changed = true
		case <-tick.C:
		}
		now := time.Now()
		passed := min(now.Sub(last), time.Second).Seconds()
		last = now
		failed := false
		for _, j := range running {
			allowed[j.ID] = min(allowed[j.ID]+passed*float64(j.PerSecond), float64(max(1, j.PerSecond)))
			if allowed[j.ID] < 1 {
				continue
			}
			ended, err := d.stepJob(ctx, j, allowed)
			changed = changed || ended
			if err != nil && ctx.Err() == nil {
				d.log.Error("a replay cannot go on; trying again", "job", j.ID, "error", err)
				failed = true
			}
		}
		if failed && !pause(ctx, replayRetry) {
			return
		}
	}
}

// stepJob carries one job on and reports whether it has ended.
func (d *Dispatcher) stepJob(ctx context.Context, j store.Job, allowed map[event.ID]float64) (ended bool, err error) {
	job, reopened, err := d.store.StepJob(ctx, j.ID, int(allowed[j.ID]))
	if errors.Is(err, store.ErrNotFound) {
		delete(allowed, j.ID) // its tenant was deleted
		return true, nil
	}
	if err != nil {
		return false, err
	}
	allowed[j.ID] -= float64(len(reopened))
	d.metrics.replayed.Add(float64(len(reopened)))
	hands := make([]byHand, len(reopened))
	for i, id := range reopened {
		hands[i] = byHand{id: id, replayed: true}
	}
	d.tell(hands...)
	if job.State == store.JobRunning {
		return false, nil
	}
	delete(allowed, j.ID)
	d.log.Info("a replay has ended", "job", job.ID, "webhook", job.Webhook, "state", job.State, "deliveries", job.Done)
	return true, nil
}

// pause waits, and reports whether it did so to the end.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
