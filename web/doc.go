// Package web owns the page at the gateway's root: it publishes to a topic, shows a pattern's stream as it happens, and
// manages webhooks. It takes a key, or the token of a portal link, and shows what that one may use.
//
// The page is static and embedded in the binary. All that it knows it learns from the HTTP API in the browser, by fetch
// and EventSource; what events carry is shown as text and never becomes markup or code, and the Content-Security-Policy
// that it is served with would refuse both.
package web
