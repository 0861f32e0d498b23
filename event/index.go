package event

import "strings"

// Index finds who subscribed to a topic without asking every subscriber: a trie over the tokens of their patterns. A
// lookup costs in proportion to the topic's tokens and to what it finds, not to what is stored.
//
// The zero Index is ready for use. It is not safe for concurrent changes; the owner locks.
type Index[K comparable] struct {
	root indexNode[K]
	keys map[K][]Pattern
}

type indexNode[K comparable] struct {
	children map[string]*indexNode[K] // by token; * is one of them
	here     map[K]struct{}           // patterns that end here
	below    map[K]struct{}           // patterns that end here in **
}

// Set makes key subscribe to just these patterns; with none, to nothing.
func (x *Index[K]) Set(key K, patterns []Pattern) {
	for _, p := range x.keys[key] {
		x.root.remove(string(p), key)
	}
	if len(patterns) == 0 {
		delete(x.keys, key)
		return
	}
	if x.keys == nil {
		x.keys = make(map[K][]Pattern)
	}
	x.keys[key] = patterns
	for _, p := range patterns {
		x.root.insert(string(p), key)
	}
}

// Len returns how many keys subscribe to something.
func (x *Index[K]) Len() int { return len(x.keys) }

// Match calls found once for each key of which a pattern matches the topic, in no order.
func (x *Index[K]) Match(t Topic, found func(K)) {
	sets := make([]map[K]struct{}, 0, 8)
	x.root.collect(string(t), t.Reserved(), &sets)
	for i, set := range sets {
		for key := range set {
			if !inAny(sets[:i], key) {
				found(key)
			}
		}
	}
}

func inAny[K comparable](sets []map[K]struct{}, key K) bool {
	for _, set := range sets {
		if _, ok := set[key]; ok {
			return true
		}
	}
	return false
}

// collect gathers the sets under every way through the trie that spells the topic. noWildcard is set for the first
// token of a reserved topic.
func (n *indexNode[K]) collect(topic string, noWildcard bool, sets *[]map[K]struct{}) {
	if !noWildcard && len(n.below) > 0 {
		*sets = append(*sets, n.below)
	}
	token, rest, more := strings.Cut(topic, ".")
	step := func(child *indexNode[K]) {
		if child == nil {
			return
		}
		if more {
			child.collect(rest, false, sets)
		} else if len(child.here) > 0 {
			*sets = append(*sets, child.here)
		}
	}
	step(n.children[token])
	if !noWildcard {
		step(n.children["*"])
	}
}

func (n *indexNode[K]) insert(pattern string, key K) {
	token, rest, more := strings.Cut(pattern, ".")
	if token == "**" {
		if n.below == nil {
			n.below = make(map[K]struct{})
		}
		n.below[key] = struct{}{}
		return
	}
	child := n.children[token]
	if child == nil {
		child = &indexNode[K]{}
		if n.children == nil {
			n.children = make(map[string]*indexNode[K])
		}
		n.children[token] = child
	}
	if more {
		child.insert(rest, key)
		return
	}
	if child.here == nil {
		child.here = make(map[K]struct{})
	}
	child.here[key] = struct{}{}
}

func (n *indexNode[K]) remove(pattern string, key K) {
	token, rest, more := strings.Cut(pattern, ".")
	if token == "**" {
		delete(n.below, key)
		return
	}
	child := n.children[token]
	if child == nil {
		return
	}
	if more {
		child.remove(rest, key)
	} else {
		delete(child.here, key)
	}
	// A key that comes and goes under ever new patterns would otherwise leave its path behind each time.
	if len(child.children) == 0 && len(child.here) == 0 && len(child.below) == 0 {
		delete(n.children, token)
	}
}
