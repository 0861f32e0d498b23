package dispatch

import (
	"context"
	"time"

	"github.com/carillon/carillon/event"
)

// byHand is something that a person did to a delivery, already in the store.
type byHand struct {
	id       event.DeliveryID
	event    event.ID
	canceled bool // otherwise reopened
	replayed bool // reopened by a replay
}

// Retry gives a delivery a full schedule again, beginning now. Errors as [store.Deliveries].Reopen.
func (d *Dispatcher) Retry(ctx context.Context, tenant event.TenantID, id event.DeliveryID) (event.Delivery, error) {
	delivery, err := d.store.Reopen(ctx, tenant, id)
	if err == nil {
		d.tell(byHand{id: id})
	}
	return delivery, err
}

// Cancel calls a pending delivery off. An attempt in flight is not interrupted, and if it succeeds the delivery is
// delivered after all. Errors as [store.Deliveries].Cancel.
func (d *Dispatcher) Cancel(ctx context.Context, tenant event.TenantID, id event.DeliveryID) (event.Delivery, error) {
	delivery, err := d.store.Cancel(ctx, tenant, id)
	if err == nil {
		d.tell(byHand{id: id, event: delivery.EventID, canceled: true})
	}
	return delivery, err
}

func (d *Dispatcher) tell(h ...byHand) {
	d.mu.Lock()
	d.byHand = append(d.byHand, h...)
	d.mu.Unlock()
	d.nudge()
}

// doneByHand makes the scheduler's idea of a delivery what somebody has made of it in the store.
func (s *scheduler) doneByHand(h byHand, now time.Time) {
	if h.id.Event > s.head {
		s.recorded[h.id] = struct{}{} // it has its row before its event is read
	}
	l := s.lanes[h.id.Webhook]
	if l == nil {
		return
	}
	t := l.held[h.id.Event]
	switch {
	case !h.canceled && t != nil && t.idle():
		t.step, t.due, t.began, t.replay = 0, time.Time{}, now, h.replayed
		if l.probe != nil {
			l.probe.at = now // somebody believes that the receiver is back
		}
	case !h.canceled:
		if t != nil {
			t.reopened, t.canceled = true, false
		}
		l.expect(now)
	case t != nil && t.idle():
		s.floor.recorded(t)
		s.leave(t, now)
		s.tellWait(t, true)
	case t != nil:
		s.floor.recorded(t)
		t.canceled, t.reopened = true, false
	default:
		if w := s.waitFor(h.event); w != nil {
			w.settled(h.id.Webhook, true)
		}
		if l.loading {
			l.released[h.id.Event] = struct{}{}
		}
		l.expect(now) // its turn may have gone to the next one
	}
	s.touch(l, now)
}
