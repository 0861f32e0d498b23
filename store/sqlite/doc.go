// Package sqlite is the engine for one machine: the contract of package store kept in one SQLite file.
//
// It owns the file, its write-ahead log, and the lock that keeps a second process away from both.
//
//   - Order: one goroutine writes. It gives out cursors, commits whatever has gathered while the last commit was on its
//     way to disk, and only then tells the writers, the tails and the watchers, in the order of the commits.
//   - Loss: every commit is fsynced before its writers hear of it. A full disk refuses the writes that do not fit and
//     nothing else: what is there can be opened and read, and writes go on once there is room. After any other fault of
//     the disk nothing can be promised: the engine refuses all writes, and Run returns the fault.
//   - Slowness: a write waits for at most the commit under way and its own. Readers have connections of their own and see
//     a snapshot, for the length of one call. What was committed is copied from the write-ahead log to the database
//     beside the writer; only where that falls behind does the writer help, so that the log stays small.
package sqlite
