// Package store is the contract that every engine keeps: the event log, the webhooks, the deliveries and the replays.
//
// # The log is the truth
//
// An event and the webhooks it is owed to are one row, written in one transaction: there is no moment at which an
// accepted event is owed and nobody remembers it. Everybody else reads the log from a cursor.
//
// A delivery has a row of its own only once it was settled or spilled. Until then it is owed because its event's matches
// say so. The floor is the cursor up to and including which every delivery has a row, or had one until the delivery log
// no longer kept it: at or below the floor, a delivery without a row is none any more, and gets no row again. Whoever
// restarts reads the log from the floor and leaves out what has a row ([Deliveries.Recorded]). So:
//
//	owed = matches above the floor without a row + rows in state pending
//
// # What is promised
//
//   - Order: cursors strictly grow in the order of acceptance and may skip. Reading and tailing go in that order and
//     leave nothing out; they may trail an append by a moment.
//   - Loss: nil from a writing method means durable: fsynced, or in a cluster fsynced on a quorum. An error from one is
//     ErrFull or ErrNotStored (nothing was stored), or ErrUnknown (it may have been; repeat it under the same
//     idempotency key, or, for Settle, repeat it).
//   - Slowness: writers wait for one another in groups, never for readers. A reader holds nothing open between calls.
//
// Engines are safe for concurrent use. Every method that a request can reach takes the tenant, and what is another
// tenant's is ErrNotFound.
//
// # Sharing the work
//
// In a cluster each webhook belongs to a shard and each shard to one node until its lease ends; only that node settles
// its deliveries, and Tail and Backlog show it only its own. An engine on one machine has one shard, always its own.
//
// The conformance suite is package storetest.
package store
