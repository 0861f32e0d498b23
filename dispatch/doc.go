// Package dispatch owns every delivery from the moment its event is in the log to the moment it ends: it says who is
// owed an event, follows the log, makes the attempts, retries them on schedule and settles each in the store.
//
// # What it promises
//
//   - Order: none between deliveries. What one webhook is owed is begun roughly in log order.
//   - Loss: none. What is owed is in the store (matches above the floor, pending rows); memory only holds a bounded
//     piece of it, and forgetting all of memory loses nothing but the knowledge of what was in flight.
//   - Duplicates: an attempt that was in flight, or answered and not yet settled, when the process died is made again.
//   - Slowness: a webhook has its own slots and its own queue, and always one slot of the process's; those that hang hold up
//     nobody else's deliveries.
//
// What a webhook asked for by Retry-After is kept for each delivery in the store; that it holds for the whole webhook is
// kept in memory, and forgotten at a restart.
//
// There is one path: the first attempt and every retry, what was posted a moment ago and what a restart found, with a
// waiting poster and without, all go log or ledger → lane → sender → settlement.
package dispatch
