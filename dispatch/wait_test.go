package dispatch

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// expect posts an event and waits up to the given time for what the mode waits for.
func (r *rig) expect(topic event.Topic, mode Mode, most time.Duration) (*event.Event, Verdict) {
	r.t.Helper()
	e := r.draft(topic)
	w := r.d.Expect(e.ID, mode, e.Matches)
	defer r.d.Release(e.ID, w)
	if _, err := r.engine.Append(r.t.Context(), []store.Draft{{Event: e}}); err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), most)
	defer cancel()
	return e, w.Await(ctx)
}

func body(code int, text string) Response {
	a := status(code)
	a.Body, a.ContentType = []byte(text), "text/plain"
	return a
}

func TestFirstAnswerDecides(t *testing.T) {
	for name, code := range map[string]int{"success": 201, "refusal": 404} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				defer r.stop()
				quick, broken := r.webhook(nil, "a"), r.webhook(nil, "a")
				r.receiver.to(func(q Request) Response {
					if q.Webhook.ID == broken.ID {
						return status(500)
					}
					time.Sleep(time.Second)
					return body(code, "yes")
				})
				began := time.Now()
				e, v := r.expect("a", First, time.Minute)
				if v.Decided == nil || v.Decided.Webhook != quick.ID || string(v.Decided.Body) != "yes" {
					t.Fatalf("verdict %+v, want the answer of the quick one", v)
				}
				if took := time.Since(began); took > 2*time.Second {
					t.Errorf("took %s, want about a second", took)
				}
				// What the poster was told is already what it reads.
				state, reason := event.Delivered, event.Reason("")
				if code != 201 {
					state, reason = event.Failed, event.ReasonAnswered
				}
				r.want(e, quick, state, reason, 1)
				time.Sleep(time.Hour)
				synctest.Wait()
				r.want(e, broken, event.Failed, event.ReasonExhausted, 3)
			})
		})
	}
}

func TestOnlySuccessDecides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.stop()
		refusing, working := r.webhook(nil, "a"), r.webhook(nil, "a")
		r.receiver.to(func(q Request) Response {
			if q.Webhook.ID == refusing.ID {
				return body(400, "no")
			}
			time.Sleep(time.Second)
			return body(200, "yes")
		})
		e, v := r.expect("a", FirstSuccess, time.Minute)
		if v.Decided == nil || v.Decided.Webhook != working.ID {
			t.Fatalf("verdict %+v, want the answer of the working one", v)
		}
		r.want(e, refusing, event.Pending, "", 1) // goes on as usual
	})
}

func TestAllAreWaitedForAndRetriesToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.stop()
		flaky, refusing := r.webhook(nil, "a"), r.webhook(nil, "a")
		r.webhook(func(w *event.Webhook) { w.Enabled = false }, "a") // nobody waits for this one
		r.receiver.to(func(q Request) Response {
			switch {
			case q.Webhook.ID == refusing.ID:
				return body(422, "no")
			case q.Attempt == 1:
				return status(503)
			}
			return body(200, "at last")
		})
		e, v := r.expect("a", All, time.Minute)
		if !v.Complete || len(v.Answers) != 2 || string(v.Answers[0].Body) != "at last" || string(v.Answers[1].Body) != "no" {
			t.Fatalf("verdict %+v, want both answers", v)
		}
		r.want(e, flaky, event.Delivered, "", 2)
		r.want(e, refusing, event.Failed, event.ReasonAnswered, 1)
	})
}

func TestWaitEndsWhenAllGiveUpOrTimeIsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.stop()
		w := r.webhook(func(w *event.Webhook) { w.Retry = event.Schedule{time.Second} }, "a")
		r.receiver.to(replying(status(500)))
		e, v := r.expect("a", First, time.Minute)
		if !v.Complete || v.Decided != nil || len(v.Answers) != 1 {
			t.Fatalf("verdict %+v, want a complete one without a decision", v)
		}
		r.want(e, w, event.Failed, event.ReasonExhausted, 2)

		r.receiver.to(func(Request) Response { time.Sleep(10 * time.Second); return status(404) })
		e, v = r.expect("a", First, time.Second)
		if v.Complete || v.Decided != nil {
			t.Fatalf("verdict %+v, want none yet", v)
		}
		time.Sleep(30 * time.Second)
		synctest.Wait()
		r.want(e, w, event.Failed, event.ReasonExhausted, 2) // nobody waited any more: retried as usual
	})
}

func TestAWaitingPosterSkipsTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.stop()
		r.webhook(func(w *event.Webhook) { w.MaxInFlight = 1 }, "a")
		r.receiver.to(func(Request) Response { time.Sleep(time.Second); return status(200) })
		for range 20 {
			r.post("a")
		}
		settled()
		_, v := r.expect("a", First, 3*time.Second)
		if v.Decided == nil {
			t.Fatal("the poster had to stand in the queue")
		}
	})
}

func TestJoiningAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.stop()
		r.webhook(nil, "a")
		r.receiver.to(func(Request) Response { time.Sleep(time.Second); return body(200, "yes") })
		e := r.draft("a")
		first := r.d.Expect(e.ID, First, e.Matches)
		if _, err := r.engine.Append(t.Context(), []store.Draft{{Event: e}}); err != nil {
			t.Fatal(err)
		}
		second, ok := r.d.Join(e.ID)
		if !ok {
			t.Fatal("nothing to join")
		}
		r.d.Release(e.ID, first)
		if v := second.Await(t.Context()); v.Decided == nil || string(v.Decided.Body) != "yes" {
			t.Fatalf("verdict %+v, want the answer", v)
		}
		r.d.Release(e.ID, second)
		if _, ok := r.d.Join(e.ID); ok {
			t.Fatal("a wait that everybody left can still be joined")
		}
	})
}
