package stream

import (
	"slices"
	"strings"

	"github.com/carillon/carillon/event"
)

// audience is the subscribers of one tenant. Those with the same patterns are one group, so that an event is matched
// once for each distinct set of patterns and not once for each stream. The hub's lock guards it.
type audience struct {
	index  event.Index[*group]
	groups map[string]*group
}

// group is the subscribers with one set of patterns.
type group struct {
	key     string
	members int

	// parked are those who have sent everything that the hub has seen and wait to be woken.
	parked []*subscriber
}

func (a *audience) join(patterns []event.Pattern) *group {
	key := groupKey(patterns)
	g := a.groups[key]
	if g == nil {
		g = &group{key: key}
		if a.groups == nil {
			a.groups = make(map[string]*group)
		}
		a.groups[key] = g
		a.index.Set(g, patterns)
	}
	g.members++
	return g
}

func (a *audience) leave(g *group) {
	g.members--
	if g.members == 0 {
		a.index.Set(g, nil)
		delete(a.groups, g.key)
	}
}

func groupKey(patterns []event.Pattern) string {
	names := make([]string, len(patterns))
	for i, p := range patterns {
		names[i] = string(p)
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), " ")
}

// park makes s wait for the next event of its patterns.
func (g *group) park(s *subscriber) {
	s.parkedAt = len(g.parked)
	g.parked = append(g.parked, s)
}

// unpark makes s wait no more; nothing if it does not.
func (g *group) unpark(s *subscriber) {
	if s.parkedAt < 0 {
		return
	}
	last := len(g.parked) - 1
	moved := g.parked[last]
	g.parked[s.parkedAt] = moved
	moved.parkedAt = s.parkedAt
	g.parked[last] = nil
	g.parked = g.parked[:last]
	s.parkedAt = -1
}

// wakeFor takes the parked for whom the event at c is new and appends them to woken. Nothing before c matched them since
// they parked, so they go on right before it, and never go to the log for what they did not ask for.
func (g *group) wakeFor(c event.Cursor, woken []*subscriber) []*subscriber {
	for i := len(g.parked) - 1; i >= 0; i-- {
		s := g.parked[i]
		// The tail can trail the head at which a stream was opened.
		if c <= s.position {
			continue
		}
		g.unpark(s)
		s.position = c - 1
		woken = append(woken, s)
	}
	return woken
}

// wakeAll takes everybody who is parked and appends them to woken: what the hub has seen has a break after seen.
func (g *group) wakeAll(seen event.Cursor, woken []*subscriber) []*subscriber {
	for len(g.parked) > 0 {
		s := g.parked[len(g.parked)-1]
		g.unpark(s)
		s.position = max(s.position, seen)
		woken = append(woken, s)
	}
	return woken
}
