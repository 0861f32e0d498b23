package dispatch

import (
	"time"

	"github.com/carillon/carillon/event"
)

// tracked is an event of which deliveries may still lack a row.
type tracked struct {
	cursor event.Cursor
	at     time.Time // when it was read from the log
	tasks  []*task   // those that lacked a row then; emptied once looked at for spilling
	open   int       // how many still do
}

// floor knows the cursor up to and including which every delivery has a row. Events enter in log order.
type floor struct {
	events fifo[*tracked]
	// young is how many of the newest events have not been looked at for spilling.
	young int
	at    event.Cursor
}

func (f *floor) add(t *tracked) {
	f.events.push(t)
	f.young++
}

// recorded notes that a delivery has its row now.
func (f *floor) recorded(t *task) {
	if t.track == nil {
		return
	}
	t.track.open--
	t.track = nil
}

// advance moves the floor over everything that is recorded and returns it.
func (f *floor) advance() event.Cursor {
	for f.events.len() > 0 && f.events.at(0).open == 0 {
		t, _ := f.events.pop()
		f.at = t.cursor
		f.young = min(f.young, f.events.len())
	}
	return f.at
}

// overdue calls spill for each task that has waited for its row since before the given time.
func (f *floor) overdue(before time.Time, spill func(*task)) {
	for at := f.oldestYoung(); !at.IsZero() && !at.After(before); at = f.oldestYoung() {
		t := f.events.at(f.events.len() - f.young)
		for _, task := range t.tasks {
			if task.track != nil {
				spill(task)
			}
		}
		t.tasks = nil
		f.young--
	}
}

// oldestYoung returns when the oldest event was read that was not looked at for spilling and may have to be: the zero
// time if there is none.
func (f *floor) oldestYoung() time.Time {
	for f.young > 0 {
		t := f.events.at(f.events.len() - f.young)
		if t.open > 0 {
			return t.at
		}
		f.young--
	}
	return time.Time{}
}
