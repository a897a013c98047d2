package main

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// The bounds of one listener, and so of the bodies that are in memory before anybody
// knows whose they are.
const (
	maxConnections = 128
	// maxConnectionsFrom is how many of them one address may have, so that others find
	// room. Whoever is on this host is not bounded by it.
	maxConnectionsFrom = maxConnections * 3 / 4
	// silence is how long a connection may go without its first request once others
	// want its place.
	silence = time.Second
)

// listener is a listener with bounded connections. Where there is no room for a new
// one, the one that has been idle for longest makes room, as HTTP lets servers do
// (RFC 9112 §9.5); while all are at work, new ones wait in the kernel's backlog.
type listener struct {
	net.Listener
	connections *connections
}

// bounded puts bounds on what l accepts.
func bounded(l net.Listener) *listener {
	c := &connections{open: map[*servedConn]bool{}, now: time.Now}
	c.changed = sync.NewCond(&c.mu)
	return &listener{Listener: &acceptor{l, c}, connections: c}
}

// acceptor lets connections in where there is room for them.
type acceptor struct {
	net.Listener
	connections *connections
}

// Accept waits for a connection that there is room for. One of an address that has all
// it may have is closed.
func (a *acceptor) Accept() (net.Conn, error) {
	for {
		conn, err := a.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c := a.connections.admit(conn); c != nil {
			return c, nil
		}
		conn.Close()
	}
}

// Close ends Accept also where it waits for room.
func (a *acceptor) Close() error {
	a.connections.close()
	return a.Listener.Close()
}

// connections are those of one listener.
type connections struct {
	mu      sync.Mutex
	changed *sync.Cond // one has ended or become idle, or the listener is closed
	open    map[*servedConn]bool
	closed  bool
	now     func() time.Time
}

// servedConn is one of them. Its fields are guarded by the mutex of connections.
type servedConn struct {
	net.Conn
	of      *connections
	address string // as network says it; "" is this host
	state   http.ConnState
	since   time.Time
	ended   bool
}

// admit makes room for a connection, or returns nil where it is one too many of its
// address, or the listener is closed.
func (c *connections) admit(conn net.Conn) *servedConn {
	n := &servedConn{Conn: conn, of: c, state: http.StateNew}
	if a, ok := conn.RemoteAddr().(*net.TCPAddr); ok && !a.IP.IsLoopback() {
		n.address = network(a.AddrPort().Addr())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if n.address != "" && c.from(n.address) >= maxConnectionsFrom && !c.evict(func(o *servedConn) bool { return o.address == n.address }) {
		return nil
	}
	for !c.closed && len(c.open) >= maxConnections {
		if c.evict(func(*servedConn) bool { return true }) {
			continue
		}
		// Silent ones come of age while nothing changes.
		wake := time.AfterFunc(silence, c.changed.Broadcast)
		c.changed.Wait()
		wake.Stop()
	}
	if c.closed {
		return nil
	}
	n.since = c.now()
	c.open[n] = true
	return n
}

// network is what counts as one address: of IPv6 the part that a host doesn't choose by
// itself.
func network(a netip.Addr) string {
	a = a.Unmap()
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	return netip.PrefixFrom(a.WithZone(""), bits).Masked().String()
}

func (c *connections) from(address string) int {
	n := 0
	for o := range c.open {
		if o.address == address {
			n++
		}
	}
	return n
}

// evict closes the connection that has waited for longest for a request, of those that
// may go, and tells whether there was one.
func (c *connections) evict(may func(*servedConn) bool) bool {
	var oldest *servedConn
	for o := range c.open {
		waits := o.state == http.StateIdle || o.state == http.StateNew && c.now().Sub(o.since) >= silence
		if waits && may(o) && (oldest == nil || o.since.Before(oldest.since)) {
			oldest = o
		}
	}
	if oldest == nil {
		return false
	}
	c.end(oldest)
	oldest.Conn.Close()
	return true
}

func (c *connections) end(n *servedConn) {
	if !n.ended {
		n.ended = true
		delete(c.open, n)
		c.changed.Broadcast()
	}
}

// close wakes whoever waits for room.
func (c *connections) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.changed.Broadcast()
}

// observe is the ConnState of the server: it tells which connections wait.
func (c *connections) observe(conn net.Conn, s http.ConnState) {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	n, ok := conn.(*servedConn)
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n.state, n.since = s, c.now()
	c.changed.Broadcast()
}

// Close gives the place back.
func (n *servedConn) Close() error {
	n.of.mu.Lock()
	n.of.end(n)
	n.of.mu.Unlock()
	return n.Conn.Close()
}
