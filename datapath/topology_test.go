package datapath

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"sluice"
)

var topologies atomic.Uint32

// topology is a client and a server in namespaces of their own, and a gateway between
// them that forwards: 10.9.1.2 - 10.9.1.1/10.9.2.1 - 10.9.2.2, and fd09:1::/64,
// fd09:2::/64 likewise.
type topology struct {
	t                       testing.TB
	client, gateway, server string
}

func newTopology(t testing.TB) *topology {
	t.Helper()
	needRoot(t)
	id := fmt.Sprintf("datapath%d-%d-", os.Getpid(), topologies.Add(1))
	top := &topology{t: t, client: id + "client", gateway: id + "gateway", server: id + "server"}
	for _, n := range []string{top.client, top.gateway, top.server} {
		makeNamespace(t, n)
	}
	top.in(top.gateway, func() error {
		return errors.Join(
			os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0),
			os.WriteFile("/proc/sys/net/ipv6/conf/all/forwarding", []byte("1"), 0))
	})
	top.wire(top.client, "eth0", top.gateway, "client0", 1)
	top.wire(top.server, "eth0", top.gateway, "server0", 2)
	return top
}

// makeNamespace makes a named namespace that goes with the test.
func makeNamespace(t testing.TB, name string) {
	t.Helper()
	made := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread is in the new one
		h, err := netns.NewNamed(name)
		if err == nil {
			err = h.Close()
		}
		made <- err
	}()
	if err := <-made; err != nil {
		t.Fatalf("make namespace %s: %v", name, err)
	}
	t.Cleanup(func() {
		if err := netns.DeleteNamed(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Errorf("delete namespace %s: %v", name, err)
		}
	})
}

// in runs fn inside a namespace and fails the test with its error.
func (top *topology) in(name string, fn func() error) {
	top.t.Helper()
	if err := inNamespace(name, fn); err != nil {
		top.t.Fatalf("in %s: %v", name, err)
	}
}

func inNamespace(name string, fn func() error) error {
	ns, err := openNamespace(name)
	if err != nil {
		return err
	}
	if ns == nil {
		return fmt.Errorf("no namespace %s", name)
	}
	return errors.Join(ns.do(fn), ns.close())
}

// wire joins a host to the gateway with network number n.
func (top *topology) wire(host, hostDevice, gateway, gatewayDevice string, n int) {
	top.t.Helper()
	top.in(gateway, func() error {
		peer, err := netns.GetFromName(host)
		if err != nil {
			return err
		}
		defer peer.Close()
		attrs := netlink.NewLinkAttrs()
		attrs.Name = gatewayDevice
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: hostDevice, PeerNamespace: netlink.NsFd(peer)})
	})
	set := func(device string, last int) error {
		l, err := netlink.LinkByName(device)
		if err != nil {
			return err
		}
		for _, a := range []string{fmt.Sprintf("10.9.%d.%d/24", n, last), fmt.Sprintf("fd09:%d::%d/64", n, last)} {
			addr, err := netlink.ParseAddr(a)
			if err != nil {
				return err
			}
			addr.Flags = 0x02 // IFA_F_NODAD: usable at once
			if err := netlink.AddrAdd(l, addr); err != nil {
				return err
			}
		}
		return netlink.LinkSetUp(l)
	}
	top.in(gateway, func() error { return set(gatewayDevice, 1) })
	top.in(host, func() error {
		if err := set(hostDevice, 2); err != nil {
			return err
		}
		for _, via := range []string{fmt.Sprintf("10.9.%d.1", n), fmt.Sprintf("fd09:%d::1", n)} {
			if err := netlink.RouteAdd(&netlink.Route{Gw: net.ParseIP(via)}); err != nil {
				return fmt.Errorf("add route via %s: %w", via, err)
			}
		}
		return nil
	})
}

// endpoint is an endpoint on both devices of the gateway.
func (top *topology) endpoint(p sluice.EndpointPolicy) sluice.Endpoint {
	return sluice.Endpoint{ID: testEndpoint, Policy: p, Interfaces: []sluice.InterfaceRef{
		{ID: "eni-1", Netns: top.gateway, Device: "client0"},
		{ID: "eni-2", Netns: top.gateway, Device: "server0"},
	}}
}

// apply applies endpoints and fails the test on any problem.
func apply(t testing.TB, d *Datapath, endpoints ...sluice.Endpoint) []sluice.EndpointStatus {
	t.Helper()
	st := d.Apply(t.Context(), endpoints)
	for _, s := range st {
		if s.Problem != "" {
			t.Fatalf("apply %s: %s", s.ID, s.Problem)
		}
	}
	return st
}

// dial and listen make sockets inside a namespace; they may be used from anywhere.
func (top *topology) dial(name, network, address string) (net.Conn, error) {
	var c net.Conn
	err := inNamespace(name, func() (err error) {
		c, err = net.DialTimeout(network, address, 3*time.Second)
		return err
	})
	return c, err
}

func (top *topology) listen(name, network, address string) net.Listener {
	top.t.Helper()
	var l net.Listener
	top.in(name, func() (err error) {
		l, err = net.Listen(network, address)
		return err
	})
	top.t.Cleanup(func() { l.Close() })
	return l
}

func (top *topology) listenPacket(name, network, address string) net.PacketConn {
	top.t.Helper()
	var c net.PacketConn
	top.in(name, func() (err error) {
		c, err = net.ListenPacket(network, address)
		return err
	})
	top.t.Cleanup(func() { c.Close() })
	return c
}
