// Package stream owns every open stream from the moment its subscription was understood to its last byte: it follows
// the log, encodes events as Server-Sent Events or lines of JSON, and writes them to whoever asked for their topics.
//
// # What it promises
//
//   - Order: a stream carries its events in the order of the log.
//   - Loss: none, and no duplicate. A stream is a cursor into the log and nothing else: everything at or below it was
//     sent, or did not match. Where the log no longer reaches back to the cursor, the client is told of a gap.
//   - Slowness: nothing waits for a reader but that reader's own goroutine, and there is no queue for each subscriber. One
//     that has taken nothing at all for a while of what there is for it is closed.
//   - Memory: the ring of the newest events and the pages of the log that are kept while streams catch up are bounded by
//     bytes. An idle stream over HTTP/1.1 is a socket and its subscription (on Linux; elsewhere one small goroutine more
//     waits for its end); one that is slow has a goroutine, which holds nothing while it waits.
//
// # How it works
//
// The [Hub] reads the log once into a ring of frames, each encoded once for all. A stream is fed in one of two ways:
//
//   - While it keeps up it belongs to a shard. The shard's one goroutine looks at what is new in the ring, finds by an index
//     which groups of streams ask for it, puts that together once for each group and encoding, and hands it to each
//     member's socket in one write that never waits.
//   - While it catches up, because it has resumed, or because its socket took less than it was given, it has a goroutine of
//     its own, which takes pieces from the ring, or from the log where the ring no longer reaches back, as fast as the
//     reader takes them. When it has what the shard has seen, the shard goes on with it.
//
// In both ways the question is the same: what comes after my cursor. Few streams catch up at the same time; the others
// wait for their turn, so that a thousand that resume do not stand in the way of those who keep up. Streams that resume
// from the same place share what was read and encoded.
//
// Streams with the same filter have a shard for themselves, so that a filter which takes its time holds up nobody else.
//
// A connection with TLS, or of HTTP/2, is not the stream's alone: net/http serves it, from a goroutine that is woken by
// the shard and then does what one that catches up does.
package stream
