package transport

import (
	"net"
	"net/netip"
	"runtime"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Bounds say how many connections there may be at once. Zero is no bound.
type Bounds struct {
	Total      int
	PerAddress int // from one address, of IPv6 one /64

	// Handshakes bounds the connections of TLS that have not brought their first request yet: until then nobody knows who
	// they are, and shaking hands costs the server more than the client.
	Handshakes           int
	HandshakesPerAddress int

	// Proxies are ranges whose addresses stand for many clients: nothing is counted by those addresses.
	Proxies []netip.Prefix

	// CountLoopback counts loopback addresses as any other. They are not counted otherwise: what connects from there is on
	// this machine, and mostly a proxy.
	CountLoopback bool
}

// Why a connection is refused: the values of the metric's label.
const (
	refusedTotal      = "total"
	refusedAddress    = "address"
	refusedHandshakes = "handshakes"
)

// Connections counts the open connections of all its listeners. A connection counts until it is closed, also when a stream
// has taken it over from the server.
type Connections struct {
	bounds  Bounds
	refused *prometheus.CounterVec

	mu    sync.Mutex
	open  tally
	young tally // those of TLS that have brought no request yet
}

// NewConnections makes a count that begins at none. It registers its metrics, and panics if that was done before.
func NewConnections(b Bounds, reg prometheus.Registerer) *Connections {
	c := &Connections{
		bounds: b,
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "carillon_connections_refused_total",
			Help: "Connections that were closed as soon as they were accepted, by the bound that was reached: total, address or handshakes.",
		}, []string{"reason"}),
		open:  tally{most: b.Total, mostBy: b.PerAddress, by: map[netip.Addr]int{}},
		young: tally{most: b.Handshakes, mostBy: b.HandshakesPerAddress, by: map[netip.Addr]int{}},
	}
	for _, reason := range []string{refusedTotal, refusedAddress, refusedHandshakes} {
		c.refused.WithLabelValues(reason)
	}
	reg.MustRegister(c.refused, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "carillon_connections_open",
		Help: "Open connections of clients, streams among them.",
	}, func() float64 { return float64(c.count()) }))
	return c
}

func (c *Connections) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open.all
}

// Listener bounds what a listener accepts. What is over a bound is reset at once, in the goroutine that accepts. secure
// says that TLS will be spoken there.
func (c *Connections) Listener(l *net.TCPListener, secure bool) net.Listener {
	return &listener{l, c, secure}
}

type listener struct {
	*net.TCPListener
	all    *Connections
	secure bool
}

// Accept implements [net.Listener].
func (l *listener) Accept() (net.Conn, error) {
	for {
		// Whatever else is ready runs first. A thousand clients that connect at once, as after a restart, would otherwise be
		// a thousand goroutines in the way of each event that is posted meanwhile.
		runtime.Gosched()
		raw, err := l.AcceptTCP()
		if err != nil {
			return nil, err
		}
		if conn := l.all.admit(raw, l.secure); conn != nil {
			return conn, nil
		}
		// A reset, so that nothing of it is left in the kernel either. Its errors are those of a client that has gone.
		_ = raw.SetLinger(0)
		_ = raw.Close()
	}
}

// admit counts a connection; nil: there is no place for it.
func (c *Connections) admit(raw *net.TCPConn, secure bool) *conn {
	by := c.counted(raw.RemoteAddr())
	c.mu.Lock()
	defer c.mu.Unlock()
	reason := ""
	switch {
	case c.open.full():
		reason = refusedTotal
	case c.open.fullBy(by):
		reason = refusedAddress
	case secure && (c.young.full() || c.young.fullBy(by)):
		reason = refusedHandshakes
	}
	if reason != "" {
		c.refused.WithLabelValues(reason).Inc()
		return nil
	}
	c.open.add(by)
	if secure {
		c.young.add(by)
	}
	return &conn{TCPConn: raw, all: c, by: by, young: secure}
}

// counted returns what a connection is counted as, of IPv6 its /64, since that is what one subscriber of a network is
// given; not valid where it is only counted in the total.
func (c *Connections) counted(remote net.Addr) netip.Addr {
	tcp, ok := remote.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	address := tcp.AddrPort().Addr().Unmap().WithZone("")
	if address.IsLoopback() && !c.bounds.CountLoopback {
		return netip.Addr{}
	}
	for _, p := range c.bounds.Proxies {
		if p.Contains(address) {
			return netip.Addr{}
		}
	}
	if address.Is6() {
		address = netip.PrefixFrom(address, 64).Masked().Addr()
	}
	return address
}

// tally counts in all and by address.
type tally struct {
	most, mostBy int
	all          int
	by           map[netip.Addr]int
}

func (t *tally) full() bool { return t.most > 0 && t.all >= t.most }

func (t *tally) fullBy(a netip.Addr) bool { return a.IsValid() && t.mostBy > 0 && t.by[a] >= t.mostBy }

func (t *tally) add(a netip.Addr) {
	t.all++
	if a.IsValid() {
		t.by[a]++
	}
}

func (t *tally) remove(a netip.Addr) {
	t.all--
	if a.IsValid() {
		if t.by[a]--; t.by[a] == 0 {
			delete(t.by, a)
		}
	}
}

// conn is a connection that counts. What a TCP connection can do it can do: streams write to its descriptor.
type conn struct {
	*net.TCPConn
	all *Connections
	by  netip.Addr

	// Guarded by all.mu.
	young  bool
	closed bool
}

// Close implements [net.Conn]. It may be called again.
func (c *conn) Close() error {
	err := c.TCPConn.Close()
	c.grown()
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	if !c.closed {
		c.closed = true
		c.all.open.remove(c.by)
	}
	return err
}

// grown says that the connection has brought a request, or will bring none.
func (c *conn) grown() {
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	if c.young {
		c.young = false
		c.all.young.remove(c.by)
	}
}
