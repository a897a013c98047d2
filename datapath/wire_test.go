package datapath

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"sluice"
	"sluice/internal/testnet"
)

// sendFrames puts frames on a device as they are.
func (top *topology) sendFrames(name, device string, frames ...[]byte) {
	top.t.Helper()
	top.in(name, func() error {
		i, err := net.InterfaceByName(device)
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		for _, f := range frames {
			if err := unix.Sendto(fd, f, 0, &unix.SockaddrLinklayer{Ifindex: i.Index}); err != nil {
				return err
			}
		}
		return nil
	})
}

// The kernel takes the outer tag off a frame before the program sees it.
func TestVLANFramesOnTheWire(t *testing.T) {
	top := newTopology(t)
	d := testDatapath(t, 4096)
	apply(t, d, top.endpoint(testPolicy()))
	for n := range 3 {
		top.sendFrames(top.client, "eth0",
			ether(ipv4("10.1.0.1", "10.1.0.2", 17, udp(1000+n, 53, []byte("data"))), []int{5, 6}[:n]...))
	}
	await(t, "each is a flow", 3*time.Second, func() bool {
		f := captureFrom(t, d, testEndpoint, sluice.FlowFilter{SourceAddress: "10.1.0.1"})
		return len(f) == 3 && f[0].Bytes[0] == 32 && f[1].Bytes[0] == 32 && f[2].Bytes[0] == 32
	})
}

// Frames below the length of Ethernet's are padded by nobody on a veth.
func TestTruncatedFramesOnTheWireAreInvalid(t *testing.T) {
	top := newTopology(t)
	d := testDatapath(t, 4096)
	apply(t, d, top.endpoint(testPolicy()))
	var frames [][]byte
	for _, packet := range [][]byte{
		ipv4("10.1.0.1", "10.1.0.2", 6, tcp(1, 2, 3, 0, flagSYN, []byte("data"))),
		ipv6("fd01::1", "fd01::2", 44, join([]byte{17, 0, 0, 0, 0, 0, 0, 9}, udp(5, 6, []byte("data")))),
	} {
		frame := ether(packet)
		for n := 15; n < len(frame); n++ {
			frames = append(frames, frame[:n])
		}
	}
	top.sendFrames(top.client, "eth0", frames...)
	await(t, "all are dropped as invalid", 3*time.Second, func() bool {
		return verdicts(t, d).InvalidDroppedPackets.Packets == uint64(len(frames))
	})
}

func TestLocalTrafficCountsAtEgressWhatAPacketSocketCounts(t *testing.T) {
	top := newTopology(t)
	d := testDatapath(t, 4096)
	at := top.hookPositions()["local, seen at egress"]
	apply(t, d, sluice.Endpoint{ID: testEndpoint, Policy: testPolicy(), Interfaces: at.interfaces})
	counter, err := testnet.Count(top.gateway, "server0")
	if err != nil {
		t.Fatal(err)
	}
	defer counter.Close()
	for _, address := range []string{"10.9.2.2", "fd09:2::2"} {
		l := top.listen(top.server, "tcp", net.JoinHostPort(address, "0"))
		go echo(l)
		c, err := top.dial(at.client, "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		exchange(t, c, 1000000)
	}
	awaitEqualCounts(t, d, counter, 2, onlyTCP...)
}

// addTun makes the device tun0 in a namespace. What is sent by it can be read.
func addTun(t testing.TB, netns string, addresses ...string) (tun *os.File) {
	t.Helper()
	err := inNamespace(netns, func() (err error) {
		if tun, err = openTun("tun0"); err != nil {
			return err
		}
		l, err := netlink.LinkByName("tun0")
		if err != nil {
			return err
		}
		for _, a := range addresses {
			addr, err := netlink.ParseAddr(a)
			if err != nil {
				return err
			}
			addr.Flags = unix.IFA_F_NODAD
			if err := netlink.AddrAdd(l, addr); err != nil {
				return err
			}
		}
		if err := netlink.LinkSetTxQLen(l, 10_000); err != nil { // nothing is to be lost here
			return err
		}
		return netlink.LinkSetUp(l)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tun.Close() })
	return tun
}

// tunnel makes a namespace with a device that has no link layer: what comes begins with
// the IP header.
func tunnel(t *testing.T, p sluice.EndpointPolicy) (d *Datapath, netns string, tun *os.File) {
	needRoot(t)
	netns = testnet.UniquePrefix("datapath") + "tun"
	makeNamespace(t, netns)
	tun = addTun(t, netns, "10.8.0.1/24", "fd08::1/64")
	d = testDatapath(t, 4096)
	apply(t, d, sluice.Endpoint{ID: testEndpoint, Policy: p,
		Interfaces: []sluice.InterfaceRef{{ID: "eni-1", Netns: netns, Device: "tun0"}}})
	return d, netns, tun
}

func TestDeviceWithoutLinkHeader(t *testing.T) {
	d, netns, tun := tunnel(t, testPolicy())
	for _, p := range [][]byte{
		ipv4("10.8.0.2", "10.8.0.1", 1, icmp(8, 0, []byte("ping"))), // the host answers
		ipv6("fd08::2", "fd08::1", 17, udp(1, 2, nil)),
	} {
		if p[0]>>4 == 4 {
			binary.BigEndian.PutUint16(p[22:], checksum(p[20:]))
		}
		if _, err := tun.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "both are flows, one with its answer", 3*time.Second, func() bool {
		four := captureFrom(t, d, testEndpoint, sluice.FlowFilter{SourceAddress: "10.8.0.2"})
		six := captureFrom(t, d, testEndpoint, sluice.FlowFilter{SourceAddress: "fd08::2"})
		return len(four) == 1 && four[0].Packets == [2]uint64{1, 1} && len(six) == 1 && six[0].Bytes[0] == 48
	})
	c, err := testnet.DialFrom(t.Context(), netns, "udp", netip.AddrPort{}, "10.8.0.9:53")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("query")); err != nil {
		t.Fatal(err)
	}
	if f := captureFrom(t, d, testEndpoint, sluice.FlowFilter{DestinationAddress: "10.8.0.9"}); len(f) != 1 {
		t.Errorf("flows %v", f)
	}
}

func TestRejectOnDeviceWithoutLinkHeader(t *testing.T) {
	p := testPolicy()
	p.StreamException = sluice.StreamExceptionReject
	d, netns, tun := tunnel(t, p)
	// awaitTCP reads what the host sends until it is a segment of TCP.
	awaitTCP := func() refParsed {
		t.Helper()
		if err := tun.SetReadDeadline(time.Now().Add(3 * time.Second)); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 2000)
		for {
			n, err := tun.Read(b)
			if err != nil {
				t.Fatalf("read from device: %v", err)
			}
			if p := refParse(ether(b[:n])); p.protocol == 6 {
				return p
			}
		}
	}
	inject := func(packet []byte) {
		t.Helper()
		segment, pseudo := packet[20:], join(packet[12:20], be32(uint32(len(packet)-20)), be32(6))
		binary.BigEndian.PutUint16(segment[16:], checksum(join(pseudo, segment)))
		if _, err := tun.Write(packet); err != nil {
			t.Fatal(err)
		}
	}
	// At ingress: a segment of no flow comes in, and the RST goes out.
	inject(ipv4("10.8.0.2", "10.8.0.1", 6, tcp(7, 8, 100, 500, flagACK, nil)))
	if r := awaitTCP(); r.flags != flagRST || r.seq != 500 || r.dport != 7 {
		t.Errorf("answer %+v, want a RST", r)
	}
	// At egress: a connection of the host is cut, and its own RST comes back in.
	dialed := make(chan net.Conn, 1)
	go func() {
		c, err := testnet.Dial(t.Context(), netns, "tcp", "10.8.0.9:80")
		if err != nil {
			t.Error(err)
		}
		dialed <- c
	}()
	syn := awaitTCP()
	inject(ipv4("10.8.0.9", "10.8.0.1", 6, tcp(80, int(syn.sport), 900, syn.seq+1, flagSYN|flagACK, nil)))
	c := <-dialed
	if c == nil {
		t.Fatal("no connection")
	}
	defer c.Close()
	await(t, "the flow is established", 3*time.Second, func() bool {
		f := captureFrom(t, d, testEndpoint, sluice.FlowFilter{DestinationAddress: "10.8.0.9"})
		return len(f) == 1 && f[0].State == sluice.FlowEstablished
	})
	flushAll(t, d)
	if _, err := c.Write([]byte("data")); err != nil {
		t.Fatal(err)
	}
	c.SetReadDeadline(time.Now().Add(3 * time.Second))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read got %v, want a reset", err)
	}
}

func openTun(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	req, err := unix.NewIfreq(name)
	if err != nil {
		return nil, err
	}
	req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "tun"), nil
}
