package bench

import (
	"bytes"
	"fmt"
	"strconv"
	"time"
)

// The payload of a stream's event ends with a record: the event's number, and when it was posted, in nanoseconds since
// 1970. The bracket that closes it is nowhere else on a stream, so that events can be counted whatever they are framed in,
// and by whichever server.
const (
	recordSize = len("[000000000000 0000000000000000000]")
	recordEnd  = ']'
)

// stamped makes a payload of so many bytes, at least recordSize.
func stamped(size int, number int64, at time.Time) []byte {
	text := bytes.Repeat([]byte("."), size-recordSize)
	return fmt.Appendf(text, "[%012d %019d]", number, at.UnixNano())
}

// readRecord takes a record apart.
func readRecord(record []byte) (number int64, at time.Time, err error) {
	number, err = strconv.ParseInt(string(record[1:13]), 10, 64)
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("read a record: %w", err)
	}
	nanoseconds, err := strconv.ParseInt(string(record[14:recordSize-1]), 10, 64)
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("read a record: %w", err)
	}
	return number, time.Unix(0, nanoseconds), nil
}

// records finds the records in a text that comes in pieces.
type records struct {
	tail [recordSize - 1]byte // the end of what was seen, right-aligned
}

// scan calls found for each record that ends in this piece, and stops at its first error.
func (s *records) scan(piece []byte, found func(record []byte) error) error {
	for rest := piece; ; {
		i := bytes.IndexByte(rest, recordEnd)
		if i < 0 {
			break
		}
		end := len(piece) - len(rest) + i + 1
		rest = piece[end:]
		record := piece[max(0, end-recordSize):end]
		if missing := recordSize - len(record); missing > 0 {
			record = append(bytes.Clone(s.tail[len(s.tail)-missing:]), record...)
		}
		if err := found(record); err != nil {
			return err
		}
	}
	if n := len(piece); n < len(s.tail) {
		copy(s.tail[:], s.tail[n:])
		copy(s.tail[len(s.tail)-n:], piece)
	} else {
		copy(s.tail[:], piece[n-len(s.tail):])
	}
	return nil
}
