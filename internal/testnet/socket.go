package testnet

import (
	"context"
	"fmt"
	"net"
	"net/netip"
)

// Dial connects from inside a namespace. The address must be numeric, since a name
// would be resolved on another thread and so in another namespace.
func Dial(ctx context.Context, netns, network, address string) (net.Conn, error) {
	return DialFrom(ctx, netns, network, netip.AddrPort{}, address)
}

// DialFrom is Dial with a local address; the zero AddrPort leaves the choice to
// the kernel. The network is tcp or udp, or one of their variants.
func DialFrom(ctx context.Context, netns, network string, local netip.AddrPort, address string) (conn net.Conn, err error) {
	if _, err := netip.ParseAddrPort(address); err != nil {
		return nil, fmt.Errorf("dial in namespace %s: %w", netns, err)
	}
	var d net.Dialer
	if local.IsValid() {
		switch network[:min(3, len(network))] {
		case "tcp":
			d.LocalAddr = net.TCPAddrFromAddrPort(local)
		case "udp":
			d.LocalAddr = net.UDPAddrFromAddrPort(local)
		default:
			return nil, fmt.Errorf("dial in namespace %s: network %q: want tcp or udp", netns, network)
		}
	}
	err = Do(netns, func() error {
		conn, err = d.DialContext(ctx, network, address)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("dial in namespace %s: %w", netns, err)
	}
	return conn, nil
}

// Listen opens a stream listener inside a namespace.
func Listen(netns, network, address string) (l net.Listener, err error) {
	err = Do(netns, func() error {
		l, err = net.Listen(network, address)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listen in namespace %s: %w", netns, err)
	}
	return l, nil
}

// ListenPacket opens a datagram socket inside a namespace.
func ListenPacket(netns, network, address string) (c net.PacketConn, err error) {
	err = Do(netns, func() error {
		c, err = net.ListenPacket(network, address)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listen in namespace %s: %w", netns, err)
	}
	return c, nil
}
