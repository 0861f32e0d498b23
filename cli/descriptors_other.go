//go:build !unix

package cli

import "github.com/carillon/carillon/dispatch"

// maxInFlight is how many requests to webhooks may be under way at once.
func maxInFlight() int { return dispatch.DefaultMaxInFlight }
