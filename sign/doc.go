// Package sign owns signatures over webhook requests, as Standard Webhooks 1.0.0 defines them: secrets and key
// pairs, the three headers, signing and verifying.
//
// It keeps no clock and no state: what it computes depends on its arguments alone, nothing in it blocks, and everything
// in it is safe for concurrent use.
package sign
