package main

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"
)

// servedPort is a server with bounded connections whose requests for /wait last until
// their client goes, or the test ends.
func servedPort(t *testing.T) (address string, connections *connections) {
	t.Helper()
	l, err := listen("127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	release := make(chan struct{})
	server := newHTTPServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}
	}), slog.New(slog.DiscardHandler))
	done := make(chan error, 1)
	go func() { done <- serveHTTP(ctx, server, l) }()
	t.Cleanup(func() {
		close(release)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String(), l.connections
}

// ask sends a request and returns its connection, which stays open.
func ask(t *testing.T, address, path string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	return c
}

func answered(t *testing.T, c net.Conn) error {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err
	}
	return r.Body.Close()
}

func TestIdleConnectionsMakeRoomForNewOnes(t *testing.T) {
	address, _ := servedPort(t)
	first := ask(t, address, "/")
	if err := answered(t, first); err != nil {
		t.Fatal(err)
	}
	for range maxConnections + 20 {
		if err := answered(t, ask(t, address, "/")); err != nil {
			t.Fatal(err)
		}
	}
	first.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := first.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the connection that was idle for longest: %v, want it closed", err)
	}
}

func TestConnectionsThatSayNothingMakeRoom(t *testing.T) {
	address, _ := servedPort(t)
	for range maxConnections {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	if err := answered(t, ask(t, address, "/")); err != nil {
		t.Error(err)
	}
}

func TestRequestsAtWorkAreNotClosedForNewOnes(t *testing.T) {
	address, connections := servedPort(t)
	var working []net.Conn
	for range maxConnections {
		working = append(working, ask(t, address, "/wait"))
	}
	late := ask(t, address, "/")
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		connections.mu.Lock()
		active := 0
		for c := range connections.open {
			if c.state == http.StateActive {
				active++
			}
		}
		connections.mu.Unlock()
		if active == maxConnections {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d connections at work, want %d", active, maxConnections)
		}
	}
	late.SetReadDeadline(time.Now().Add(2 * silence))
	if n, err := late.Read(make([]byte, 1)); n != 0 || err == io.EOF {
		t.Errorf("one too many: %d bytes, %v; want it to wait", n, err)
	}
	working[7].Close()
	if err := answered(t, late); err != nil {
		t.Errorf("after one has gone: %v", err)
	}
}

// from is a connection of an address that is not this host's.
type from struct {
	net.Conn
	address string
}

func (f from) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.ParseIP(f.address), Port: 1} }

func TestOneAddressLeavesRoomForOthers(t *testing.T) {
	one, other := net.Pipe()
	defer one.Close()
	defer other.Close()
	c := bounded(nil).connections
	admit := func(address string) *servedConn {
		n := c.admit(from{one, address})
		if n != nil {
			c.observe(n, http.StateActive)
		}
		return n
	}
	for i := range maxConnectionsFrom {
		if admit("192.0.2.1") == nil {
			t.Fatalf("connection %d of an address was refused", i+1)
		}
	}
	if admit("192.0.2.1") != nil {
		t.Errorf("an address has more than %d connections", maxConnectionsFrom)
	}
	if admit("192.0.2.2") == nil {
		t.Error("another address was refused")
	}
	for _, same := range [][2]string{{"2001:db8::1", "2001:db8::ffff:2"}, {"192.0.2.1", "::ffff:192.0.2.1"}} {
		if a, b := network(netip.MustParseAddr(same[0])), network(netip.MustParseAddr(same[1])); a != b {
			t.Errorf("%v count as %s and %s", same, a, b)
		}
	}
	if network(netip.MustParseAddr("2001:db8::1")) == network(netip.MustParseAddr("2001:db8:0:1::1")) {
		t.Error("two networks count as one")
	}
	for range maxConnections - maxConnectionsFrom - 1 {
		if admit("127.0.0.1") == nil {
			t.Fatal("this host was refused")
		}
	}
	if len(c.open) != maxConnections {
		t.Errorf("%d connections, want %d", len(c.open), maxConnections)
	}
}
