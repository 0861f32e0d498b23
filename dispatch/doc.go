// Package dispatch owns every delivery from the moment its event is in the log to the moment it ends: it says who is
// owed an event, follows the log, makes the attempts, retries them on schedule and settles each in the store.
//
// # What it promises
//
//   - Order: none between deliveries, unless a webhook asks for it: what it is owed is begun roughly in log order. With
//     order "strict", or "key" and the same partition key, a delivery is begun only when the one before it has ended and
//     that is in the store; a failing one blocks what follows it until it is delivered, failed or canceled. One that is
//     retried by hand or replayed takes its place by log order among those that wait.
//   - Loss: none. What is owed is in the store (matches above the floor, pending rows); memory only holds a bounded
//     piece of it, and forgetting all of memory loses nothing but the knowledge of what was in flight.
//   - Duplicates: an attempt that was in flight, or answered and not yet settled, when the process died is made again.
//   - Slowness: a webhook has its own window and its own queues, and always one slot of the process's; those that hang hold
//     up nobody else's deliveries.
//
// # How a webhook is paced
//
// Its window is how many attempts may be under way at once. It starts at 4, doubles in each round trip until the first
// failure and grows by one from then on, up to max_in_flight; no answer in time, no connection, 429 and 5xx halve it.
// Five such failures in a row at a window of one, and the webhook is down: one delivery probes it, each second at first
// and each minute in the end, the others are parked without attempts, and the first answer starts it at 4 again. 429 and
// 503 with Retry-After pause it whole. A rate limit's tokens are taken before a slot is; retries have at most half of
// the window.
//
// There is one path: the first attempt and every retry, what was posted a moment ago and what a restart found, a replay,
// with a waiting poster and without, all go log or ledger → lane → sender → settlement.
package dispatch
