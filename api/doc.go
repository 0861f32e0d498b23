// Package api owns the HTTP surface: routes, who may come in, what a request must look like, and what every answer says.
// openapi.yaml is its full text, and the tests hold the two against each other.
//
// # What it promises
//
//   - Order: none between requests. A receipt is written only after the engine has said that the event is stored.
//   - Loss: a request that is refused has changed nothing, except where the answer says that the outcome is unknown.
//   - Slowness: a handler waits for its own client, for the engine's commit and, where the poster asked for it, for
//     webhooks; never for another client.
//   - Errors: every one is a problem document (RFC 9457) in the client's terms. The text of an inner error goes to the
//     log and nowhere else.
//
// A request passes the rooms in this order: request, metrics and log, recover, CORS, door (who may come in), and then one
// handler, in the file of its resource.
package api
