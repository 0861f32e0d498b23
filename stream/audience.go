package stream

import (
	"slices"
	"strings"

	"github.com/carillon/carillon/event"
)

// audience is the subscribers of one tenant within a shard. Those with the same patterns are one group, so that an event
// is matched once for each distinct set of patterns and not once for each stream. The shard's lock guards it.
type audience struct {
	index  event.Index[*group]
	groups map[string]*group
}

// group is the subscribers with one set of patterns.
type group struct {
	key      string
	patterns []event.Pattern
	members  int

	// live are those who have everything that the shard has seen, by what they get. What they get is the same, and is
	// encoded and put together once for all.
	live [forms][]*subscriber

	// pending is what the shard is about to send to the live.
	pending []*frame
}

func (a *audience) join(patterns []event.Pattern) *group {
	key := groupKey(patterns)
	g := a.groups[key]
	if g == nil {
		g = &group{key: key, patterns: patterns}
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

// add makes s one of the live.
func (g *group) add(s *subscriber) {
	live := &g.live[s.form]
	s.state, s.at = keepingUp, int32(len(*live))
	*live = append(*live, s)
}

// remove takes s from the live.
func (g *group) remove(s *subscriber) {
	live := &g.live[s.form]
	last := len(*live) - 1
	moved := (*live)[last]
	(*live)[s.at] = moved
	moved.at = s.at
	(*live)[last] = nil
	*live = (*live)[:last]
	s.state = catchingUp
}
