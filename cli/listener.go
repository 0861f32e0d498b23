package cli

import (
	"net"
	"runtime"
)

// fairListener lets whatever else is ready run before it takes each further connection. A thousand clients that connect at
// once, as after a restart, would otherwise be a thousand goroutines in the way of each event that is posted meanwhile.
type fairListener struct{ net.Listener }

// Accept implements [net.Listener].
func (l fairListener) Accept() (net.Conn, error) {
	runtime.Gosched()
	return l.Listener.Accept()
}
