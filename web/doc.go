// Package web owns the console: the page at the gateway's root that shows what the gateway is doing and lets people act on
// it. It takes a key, or the token of a portal link, and shows what that one may use.
//
// The page is static and embedded in the binary: one HTML file, one style sheet and ES modules as they were written, each
// view a module of its own that is loaded when it is first shown. All that it knows it learns from the HTTP API in the
// browser, and what is live comes from streams; what events and answers carry is shown as text and never becomes markup
// or code, and the Content-Security-Policy that it is served with would refuse both.
package web
