package sqlite_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store/storetest"
)

func BenchmarkEngine(b *testing.B) { storetest.Benchmark(b, open) }

// BenchmarkFloor is what SQLite itself costs: one goroutine, one prepared statement, the same row, index and durability,
// as many rows in a commit as there are posters.
func BenchmarkFloor(b *testing.B) {
	for _, group := range storetest.Posters {
		b.Run(fmt.Sprintf("Append/%d", group), func(b *testing.B) {
			c, err := sqlite3.Open(filepath.Join(b.TempDir(), "floor.db"))
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			if err := c.Exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -16384;
				CREATE TABLE event (cursor INTEGER PRIMARY KEY, id BLOB, matches BLOB, payload BLOB) STRICT;
				CREATE UNIQUE INDEX event_id ON event (id)`); err != nil {
				b.Fatal(err)
			}
			insert, _, err := c.Prepare(`INSERT INTO event (id, matches, payload) VALUES (?, ?, ?)`)
			if err != nil {
				b.Fatal(err)
			}
			defer insert.Close()
			payload, matches := bytes.Repeat([]byte("x"), storetest.PayloadBytes), make([]byte, 17)
			b.ResetTimer()
			for done := 0; done < b.N; {
				tx, err := c.BeginImmediate()
				if err != nil {
					b.Fatal(err)
				}
				for range min(group, b.N-done) {
					id := event.NewID()
					insert.BindBlob(1, id[:])
					insert.BindBlob(2, matches)
					insert.BindBlob(3, payload)
					if err := insert.Exec(); err != nil {
						b.Fatal(err)
					}
					done++
				}
				if err := tx.Commit(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
