//go:build unix

package cli

import (
	"syscall"

	"github.com/carillon/carillon/dispatch"
)

// maxInFlight is how many requests to webhooks may be under way at once: at most half of the descriptors that the process
// may have, since clients and streams need them too. Go raises the soft limit to the hard one by itself.
func maxInFlight() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return dispatch.DefaultMaxInFlight
	}
	return int(max(1, min(dispatch.DefaultMaxInFlight, uint64(limit.Cur)/2)))
}
