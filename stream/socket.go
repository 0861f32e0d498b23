package stream

import (
	"errors"
	"time"
)

// lastWrite is how long a reader has to take the last bytes of its stream, and to close it.
const lastWrite = time.Second

// errReaderGone says that the client has left, or has read nothing for too long. What exactly is of no use to anybody.
var errReaderGone = errors.New("the reader is gone")

// socket is a connection that serves one stream and nothing else. Writing and closing are safe from different
// goroutines; await is for one at a time.
type socket interface {
	// write sends what the connection takes at once, and never waits: n is less than len(b), without an error, if that is
	// not all of it.
	write(b []byte) (n int, err error)

	// await waits until the connection takes more, so long at most. Its error is always errReaderGone.
	await(timeout time.Duration) error

	// hurry gives an await that is under way, and all that follow, a last short while.
	hurry()

	// watch calls gone once, from a goroutine of its own, when the client has left, the socket is closed, or a short while
	// has passed since finish. Call it first.
	watch(gone func())

	// finish says that no more will be written. What was written is delivered before the connection ends.
	finish()

	// close ends the connection at once. It may be called again.
	close()
}
