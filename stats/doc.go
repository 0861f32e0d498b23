// Package stats counts what goes through the gateway, by tenant, and remembers the last hour of it: one [Point] for every
// [Interval].
//
// What is counted is told to a [Book] by the two goroutines that see everything anyway: the hub's, which follows the log,
// and the scheduler's, to which settled deliveries come back. Posters and senders do not know of it. All is in memory
// alone: after a restart the history begins anew.
package stats
