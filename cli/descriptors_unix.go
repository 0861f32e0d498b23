//go:build unix

package cli

import (
	"math"
	"syscall"

	"github.com/carillon/carillon/dispatch"
)

const (
	// spareDescriptors are those for the store, for listening, and for clients that post and ask.
	spareDescriptors = 256

	// ownDescriptors are those of them that no client gets.
	ownDescriptors = 128
)

// descriptors is how many descriptors the process may have. Go raises the soft limit to the hard one by itself.
func descriptors() (int, bool) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, false
	}
	return int(min(uint64(limit.Cur), math.MaxInt32)), true
}

// maxInFlight is how many requests to webhooks may be under way at once: at most half of the descriptors, since clients
// and streams need them too.
func maxInFlight() int {
	all, known := descriptors()
	if !known {
		return dispatch.DefaultMaxInFlight
	}
	return max(1, min(dispatch.DefaultMaxInFlight, all/2))
}

// maxStreams is how many streams there are descriptors for besides the requests to webhooks and everything else; 0 is no
// bound.
func maxStreams() int {
	all, known := descriptors()
	if !known {
		return 0
	}
	return max(1, all/4, all-maxInFlight()-spareDescriptors)
}

// maxConnections is how many connections of clients there are descriptors for, streams among them; 0 is no bound. It is more
// than there may be streams: whoever posts still finds a place when all of those are taken.
func maxConnections() int {
	all, known := descriptors()
	if !known {
		return 0
	}
	return max(1, all*3/8, all-maxInFlight()-ownDescriptors)
}
