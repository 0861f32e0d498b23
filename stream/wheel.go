package stream

import "time"

// tick counts fifteenths of the heartbeat's interval since the hub was made.
type tick uint32

// beatTicks is the heartbeat's interval. What is due after it comes up one tick early, so that a silence is hardly ever longer.
const beatTicks = 15

// wheel says which streams may have been silent for too long. It is not told of each write: it looks at a stream once in
// an interval, and puts it where its last write says to look again. The shard's lock guards it.
type wheel struct {
	turned tick // everything up to here has been looked at
	slots  [beatTicks + 1][]*subscriber
	held   int
}

// wheelPlace is where a stream is on the wheel.
type wheelPlace struct {
	slot, at int32 // slot is counted from 1: 0 is off the wheel
}

// add puts s where it is looked at when due, which lies within an interval.
func (w *wheel) add(s *subscriber, due tick) {
	due = min(max(due, w.turned+1), w.turned+beatTicks)
	at := due % tick(len(w.slots))
	slot := &w.slots[at]
	s.spoke = wheelPlace{int32(at) + 1, int32(len(*slot))}
	*slot = append(*slot, s)
	w.held++
}

// remove takes s off; nothing if it is not on.
func (w *wheel) remove(s *subscriber) {
	if s.spoke.slot == 0 {
		return
	}
	slot := &w.slots[s.spoke.slot-1]
	last := len(*slot) - 1
	moved := (*slot)[last]
	(*slot)[s.spoke.at] = moved
	moved.spoke.at = s.spoke.at
	(*slot)[last] = nil
	*slot = (*slot)[:last]
	s.spoke = wheelPlace{}
	w.held--
}

// turn takes off all those who are to be looked at by now, and calls look with each.
func (w *wheel) turn(now tick, look func(*subscriber)) {
	if w.held == 0 {
		w.turned = now
		return
	}
	if late := tick(len(w.slots)); now > w.turned+late {
		w.turned = now - late // each slot once is enough
	}
	for w.turned < now {
		w.turned++
		slot := &w.slots[w.turned%tick(len(w.slots))]
		due := *slot
		*slot = nil
		w.held -= len(due)
		for _, s := range due {
			s.spoke = wheelPlace{}
		}
		for _, s := range due {
			look(s)
		}
	}
}

// now is the tick that it is.
func (h *Hub) now() tick { return tick(time.Since(h.made) / h.tickLength()) }

func (h *Hub) tickLength() time.Duration { return h.heartbeat / beatTicks }
