package datapath

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"os"
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

// A device without a link layer: what comes begins with the IP header.
func TestDeviceWithoutLinkHeader(t *testing.T) {
	needRoot(t)
	top := &topology{t: t, gateway: testnet.UniquePrefix("datapath") + "-tun"}
	makeNamespace(t, top.gateway)
	var tun *os.File
	top.in(top.gateway, func() (err error) {
		if tun, err = openTun("tun0"); err != nil {
			return err
		}
		l, err := netlink.LinkByName("tun0")
		if err != nil {
			return err
		}
		for _, a := range []string{"10.8.0.1/24", "fd08::1/64"} {
			addr, err := netlink.ParseAddr(a)
			if err != nil {
				return err
			}
			addr.Flags = unix.IFA_F_NODAD
			if err := netlink.AddrAdd(l, addr); err != nil {
				return err
			}
		}
		return netlink.LinkSetUp(l)
	})
	defer tun.Close()
	d := testDatapath(t, 4096)
	apply(t, d, sluice.Endpoint{ID: testEndpoint, Policy: testPolicy(),
		Interfaces: []sluice.InterfaceRef{{ID: "eni-1", Netns: top.gateway, Device: "tun0"}}})
	for _, p := range [][]byte{
		ipv4("10.8.0.2", "10.8.0.1", 1, icmp(8, 0, []byte("ping"))), // the gateway answers
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
	c, err := testnet.DialFrom(context.Background(), top.gateway, "udp", netip.AddrPort{}, "10.8.0.9:53")
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
	return os.NewFile(uintptr(fd), "tun"), nil
}
