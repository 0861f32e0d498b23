// Package event owns the nouns that the whole gateway speaks of: events, topics, patterns, cursors, webhooks,
// deliveries and attempts, and the rules that hold for them wherever they go.
//
// It does no I/O, starts no goroutine and keeps no clock: what depends on time takes it as an argument. Its values are
// safe to share between goroutines once built; nobody may change an [Event] after it was appended to the log.
package event
