//go:build !unix

package cli

import "github.com/carillon/carillon/dispatch"

// maxStreams is no bound: what the system gives is not known.
func maxStreams() int { return 0 }

// maxConnections is no bound.
func maxConnections() int { return 0 }

// maxInFlight is how many requests to webhooks may be under way at once.
func maxInFlight() int { return dispatch.DefaultMaxInFlight }
