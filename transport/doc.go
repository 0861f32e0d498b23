// Package transport is what stands between the network and the gateway's API: who may connect, under which certificate, how
// slow a client may be, and how much of the machine the connections may take.
//
// [Connections] bounds them where they are accepted, before anything is spent on them. [NewServer] serves HTTP/1.1 and,
// over TLS, HTTP/2, to clients of which none can hold on to a request by being slow: to send its head, to send its body, or
// to take its answer. [Certificates] come from files, read again when they change, or by ACME.
//
// All of it is safe for concurrent use. Nothing here knows what the gateway does.
package transport
