// Package stream owns every open stream from the moment its subscription was understood to its last byte: it follows
// the log, encodes events as Server-Sent Events and writes them to whoever asked for their topics.
//
// # What it promises
//
//   - Order: a stream carries its events in the order of the log.
//   - Loss: none, and no duplicate. A stream is a cursor into the log and nothing else: everything at or below it was
//     sent, or did not match. Where the log no longer reaches back to the cursor, the client is told of a gap.
//   - Slowness: there is no queue for each subscriber. One that keeps up is fed from a ring of the newest events, in
//     frames that all share; one that has fallen off the ring is fed from the log until it is back. Nothing ever waits
//     for a reader but that reader's own goroutine, and one that takes nothing at all for a while is closed.
//   - Memory: the ring is bounded by count and by bytes. A stream holds a buffer only while it writes, and a page of the
//     log only while it catches up; an idle one holds neither.
//
// Live and replay are one path: the question is always "what comes after my cursor", and the ring is only a faster
// answer to it than the log.
package stream
