package dispatch

import (
	"context"
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
			select {
			case <-ctx.Done():
				return nil
			case <-d.jobs:
			}
			continue
		}
		d.stepJobs(ctx, running)
	}
}

// stepJobs carries the jobs on until one of them ends or another one comes.
func (d *Dispatcher) stepJobs(ctx context.Context, running []store.Job) {
	tick := time.NewTicker(replayTick)
	defer tick.Stop()
	// A second's share of each tick, with what a tick is late by: a busy machine does not slow a replay down.
	due := make(map[event.ID]float64, len(running))
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.jobs:
			return
		case <-tick.C:
		}
		now := time.Now()
		passed := min(now.Sub(last), time.Second).Seconds()
		last = now
		for _, j := range running {
			due[j.ID] = min(due[j.ID]+passed*float64(j.PerSecond), float64(max(1, j.PerSecond)))
			allowed := int(due[j.ID])
			if allowed == 0 {
				continue
			}
			job, reopened, err := d.store.StepJob(ctx, j.ID, allowed)
			if err != nil {
				if ctx.Err() == nil {
					d.log.Error("a replay cannot go on; trying again", "job", j.ID, "error", err)
					pause(ctx, replayRetry)
				}
				return
			}
			due[j.ID] -= float64(len(reopened))
			d.metrics.replayed.Add(float64(len(reopened)))
			hands := make([]byHand, len(reopened))
			for i, id := range reopened {
				hands[i] = byHand{id: id, replayed: true}
			}
			d.tell(hands...)
			if job.State != store.JobRunning {
				d.log.Info("a replay has ended", "job", job.ID, "webhook", job.Webhook, "state", job.State, "deliveries", job.Done)
				return
			}
		}
	}
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
