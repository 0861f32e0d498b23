package dispatch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// ErrBlocked is wrapped by every error that the [Guard] itself gives at a dial.
var ErrBlocked = errors.New("requests may not go to this address")

// GuardConfig says what a [Guard] lets through besides the public internet.
type GuardConfig struct {
	// Allow opens these prefixes, whatever they hold. An IPv4 prefix opens its IPv6 embeddings as well.
	Allow []netip.Prefix
	// AllowLoopback is asked at every dial, and at every write to an open connection to loopback, whether loopback may
	// be reached now. Nil is never. It must be safe for concurrent use.
	AllowLoopback func() bool
}

// Guard says where requests may go: only to addresses of the public internet, and to what its configuration opens. It
// judges the address that a socket is about to be connected to, at every dial, so it does not matter what a name
// resolved to a moment ago. Safe for concurrent use.
type Guard struct {
	allow         []netip.Prefix
	allowLoopback func() bool
	resolver      *net.Resolver // nil is the system's
}

// NewGuard makes a Guard.
func NewGuard(c GuardConfig) *Guard {
	g := &Guard{allowLoopback: c.AllowLoopback}
	if g.allowLoopback == nil {
		g.allowLoopback = func() bool { return false }
	}
	for _, p := range c.Allow {
		// Addresses are unmapped before they are judged, so a v4-mapped prefix would open nothing.
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		g.allow = append(g.allow, p.Masked())
	}
	return g
}

// blockedError says which address was refused and what it is.
type blockedError struct {
	addr netip.Addr
	kind string
}

func (e *blockedError) Error() string {
	return fmt.Sprintf("%s is %s, where requests may not go", e.addr, e.kind)
}

func (e *blockedError) Unwrap() error { return ErrBlocked }

// check judges one address. The error wraps ErrBlocked.
func (g *Guard) check(addr netip.Addr) error {
	if !addr.IsValid() {
		return &blockedError{addr, "no address"}
	}
	if addr.Zone() != "" {
		return &blockedError{addr, "an address with a zone"}
	}
	addr = addr.Unmap()
	if g.opened(addr) {
		return nil
	}
	if v4, ok := embedded(addr); ok && g.opened(v4) {
		return nil
	}
	if addr.IsLoopback() && g.allowLoopback() {
		return nil
	}
	if kind := specialKind(addr); kind != "" {
		return &blockedError{addr, kind}
	}
	return nil
}

// opened reports whether the configuration names the address.
func (g *Guard) opened(addr netip.Addr) bool {
	for _, p := range g.allow {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// DialContext resolves addr (host:port) and connects to the first of its addresses that answers and is not blocked. A
// host that is an IPv4 address in a spelling which only some resolvers know is dialled as that address, so that what
// [Guard.CheckURL] judged is what is dialled. The error wraps [ErrBlocked] where the guard refused.
func (g *Guard) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	if literal, isLiteral, err := parseLiteral(host); err == nil && isLiteral {
		addr = net.JoinHostPort(literal.String(), port)
	}
	dialer := net.Dialer{Resolver: g.resolver, ControlContext: g.control, KeepAlive: keepAlive}
	conn, err := dialer.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	if remote := remoteAddr(conn); remote.IsLoopback() && !g.opened(remote) {
		return &loopbackConn{conn, g, remote}, nil
	}
	return conn, nil
}

// keepAlive is how often the kernel probes an idle connection.
const keepAlive = 30 * time.Second

// control sees the address that the socket is about to be connected to. It refuses whatever it cannot read.
func (g *Guard) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	target, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBlocked, err)
	}
	return g.check(target.Addr())
}

func remoteAddr(c net.Conn) netip.Addr {
	tcp, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return tcp.AddrPort().Addr().Unmap()
}

// loopbackConn is a connection to loopback that is open only because loopback was allowed when it was dialled. It must
// not outlive that: a kept-alive connection would otherwise reach on for as long as it is busy.
type loopbackConn struct {
	net.Conn
	guard  *Guard
	remote netip.Addr
}

func (c *loopbackConn) Write(b []byte) (int, error) {
	if err := c.guard.check(c.remote); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}
