package dispatch

import (
	"cmp"
	"slices"

	"github.com/carillon/carillon/event"
)

// turns makes deliveries of one order key wait for one another. Only the first of a key stands in one of its lane's
// queues; the next follows it there when what became of it is in the store: begun before, a crash would have it made
// again after its successor.
//
// What comes from the log comes after all of its key that is only in the store, because while anything of the lane is
// only there, it goes there too ([lane.direct]), and the store shows of each key only the first. One that somebody made
// pending again can be older than those in memory: it joins them, or has its turn when they have left.
type turns struct {
	lines   map[uint64][]*task
	waiting int // all but the first of each line
}

// join lines a task up and reports whether it is its turn. One that is older than those that wait (retried by hand, or
// replayed) goes before them, but not before the one whose turn it is.
func (ts *turns) join(t *task) bool {
	if ts.lines == nil {
		ts.lines = make(map[uint64][]*task)
	}
	line := ts.lines[t.key]
	if len(line) == 0 {
		ts.lines[t.key] = []*task{t}
		return true
	}
	at, _ := slices.BinarySearchFunc(line[1:], t.id.Event, func(o *task, c event.Cursor) int { return cmp.Compare(o.id.Event, c) })
	ts.lines[t.key] = slices.Insert(line, 1+at, t)
	ts.waiting++
	return false
}

// leave takes a task out of its line, and returns the one whose turn it is by that; nil if there is none.
func (ts *turns) leave(t *task) *task {
	line := ts.lines[t.key]
	at := slices.Index(line, t)
	if at < 0 {
		return nil
	}
	line = slices.Delete(line, at, at+1)
	if len(line) == 0 {
		delete(ts.lines, t.key)
		return nil
	}
	ts.waiting--
	ts.lines[t.key] = line
	if at > 0 {
		return nil
	}
	return line[0]
}

// behind returns those who wait for the end of a task's turn.
func (ts *turns) behind(t *task) []*task {
	if line := ts.lines[t.key]; len(line) > 1 && line[0] == t {
		return slices.Clone(line[1:])
	}
	return nil
}
