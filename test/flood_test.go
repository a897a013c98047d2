package test

import (
	"encoding/binary"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"

	"sluice/internal/testnet"
)

// flooder sends UDP over IPv4 packets with any source from the client's namespace,
// through a raw IP socket, so that thousands of flows need no sockets.
type flooder struct{ fd int }

func (b *bed) flooder(netns string) *flooder {
	b.t.Helper()
	f := &flooder{fd: -1}
	b.must(testnet.Do(netns, func() (err error) {
		f.fd, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		return err
	}))
	b.t.Cleanup(func() { unix.Close(f.fd) })
	return f
}

// udp sends a packet of 32 IP bytes.
func (f *flooder) udp(src, dst netip.AddrPort) error {
	p := f.ip(src, dst, unix.IPPROTO_UDP, 12)
	binary.BigEndian.PutUint16(p[24:], 12)
	return f.send(p, dst)
}

// syn sends a TCP SYN that nobody will follow up.
func (f *flooder) syn(src, dst netip.AddrPort) error { return f.tcp(src, dst, 0x02) }

// ack sends a TCP ACK of no connection.
func (f *flooder) ack(src, dst netip.AddrPort) error { return f.tcp(src, dst, 0x10) }

func (f *flooder) tcp(src, dst netip.AddrPort, flags byte) error {
	p := f.ip(src, dst, unix.IPPROTO_TCP, 20)
	tcp := p[20:]
	binary.BigEndian.PutUint32(tcp[4:], 1)
	tcp[12], tcp[13] = 5<<4, flags
	binary.BigEndian.PutUint16(tcp[16:], transportChecksum(p))
	return f.send(p, dst)
}

func (f *flooder) ip(src, dst netip.AddrPort, protocol byte, payload int) []byte {
	p := make([]byte, 20+payload)
	p[0], p[8], p[9] = 0x45, 64, protocol
	binary.BigEndian.PutUint16(p[2:], uint16(len(p))) // the kernel fills in id and checksum
	s, d := src.Addr().As4(), dst.Addr().As4()
	copy(p[12:], s[:])
	copy(p[16:], d[:])
	binary.BigEndian.PutUint16(p[20:], src.Port())
	binary.BigEndian.PutUint16(p[22:], dst.Port())
	return p
}

func (f *flooder) send(p []byte, dst netip.AddrPort) error {
	for {
		err := unix.Sendto(f.fd, p, 0, &unix.SockaddrInet4{Addr: dst.Addr().As4()})
		if err != unix.ENOBUFS && err != unix.EAGAIN && err != unix.EINTR {
			return err
		}
	}
}

// transportChecksum is the checksum of TCP over IPv4 with its pseudo header.
func transportChecksum(p []byte) uint16 {
	sum := uint32(p[9]) + uint32(len(p)-20)
	for i := 12; i < len(p); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(p[i:]))
	}
	for sum>>16 != 0 {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// silence makes a host swallow what is sent to a network that it doesn't have, so
// that floods provoke no answers.
func (b *bed) silence(netns, network string) {
	b.t.Helper()
	b.must(testnet.Do(netns, func() error {
		// A raw or UDP packet to an address that is nobody's would be answered with an
		// ICMP error; to a blackhole route it is not.
		return runQuiet(b.ctx, "ip", "route", "replace", "blackhole", network)
	}))
}

// nobody is a network behind the server that has no hosts.
var nobody = netip.MustParsePrefix("10.78.0.0/16")

// routeNobody sends the network without hosts from the gateway to the server, which
// swallows it.
func (b *bed) routeNobody() {
	b.t.Helper()
	b.must(testnet.AddRoute(b.Gateway, nobody, b.Hosts()[1].IPv4))
	b.silence(b.Server, nobody.String())
}

func nobodyAt(n int, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 78, byte(n >> 8), byte(n)}), port)
}

func addrOf(c net.Conn) netip.AddrPort { return netip.MustParseAddrPort(c.LocalAddr().String()) }
