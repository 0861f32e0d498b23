// Package cloudevent owns the two ways between the gateway's events and CloudEvents 1.0: events that come in over HTTP
// in any of its three content modes, and events that go out as JSON.
//
// It does no I/O and keeps no state. Payloads go through it byte for byte on the way in; on the way out JSON is
// compacted, and nothing else is changed. Everything in it is safe for concurrent use.
package cloudevent
