//go:build race

package sqlite_test

// raceDetector says that SQLite, which is compiled to Go, runs ten times slower: some tests then take samples.
const raceDetector = true
