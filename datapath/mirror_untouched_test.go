package datapath

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"sluice"
	"sluice/internal/testnet"
)

// untouchedBytes is what each of the four streams of a case carries, so that together
// they are more than a million packets of an MTU of 1500.
const untouchedBytes = 352 << 20

var tunnelSourceIPv6, tunnelPeerIPv6 = netip.MustParseAddr("fd09:5::1"), netip.MustParseAddr("fd09:5::2")

// checksumOf sends n bytes over TCP, the same in each run, and returns the checksums of
// what was sent and of what arrived. Left to itself TCP fills whatever queue there is
// until it overflows, mirrored or not: so it has a window that, with what numbered sends
// beside it, the smallest queue of the lab holds, the 256 places of a veth's ring.
func (l *mirrorLab) checksumOf(from, to string, address netip.Addr, n int) (sent, received uint32) {
	l.t.Helper()
	listener, err := testnet.Listen(to, "tcp", netip.AddrPortFrom(address, 0).String())
	if err != nil {
		l.t.Fatal(err)
	}
	defer listener.Close()
	got := make(chan uint32, 1)
	go func() {
		h := crc32.NewIEEE()
		if c, err := listener.Accept(); err == nil {
			io.CopyBuffer(h, struct{ io.Reader }{c}, make([]byte, 1<<18))
			c.Close()
		}
		got <- h.Sum32()
	}()
	c, err := testnet.Dial(l.t.Context(), from, "tcp", listener.Addr().String())
	if err != nil {
		l.t.Fatal(err)
	}
	if err := errors.Join(c.SetDeadline(time.Now().Add(30*time.Second)), c.(*net.TCPConn).SetWriteBuffer(48<<10)); err != nil {
		l.t.Fatal(err)
	}
	h, chunk := crc32.NewIEEE(), make([]byte, 1<<18)
	rand.NewChaCha8([32]byte{}).Read(chunk)
	for done := 0; done < n; done += len(chunk) {
		for i := range 64 {
			chunk[i*4096] = byte(done>>18 + i)
		}
		h.Write(chunk)
		if _, err := c.Write(chunk); err != nil {
			l.t.Fatal(err)
		}
	}
	c.Close()
	return h.Sum32(), <-got
}

// numbered sends numbered datagrams and tells of each that did not arrive as it was sent
// or not once. Few of them are under way at a time, so that no queue has reason to drop one.
func (l *mirrorLab) numbered(from, to string, address netip.Addr, count, size int) error {
	listener, err := testnet.ListenPacket(to, "udp", netip.AddrPortFrom(address, 0).String())
	if err != nil {
		return err
	}
	defer listener.Close()
	const under = 64
	if err := listener.(*net.UDPConn).SetReadBuffer(under * 4 * size); err != nil {
		return err
	}
	c, err := testnet.Dial(l.t.Context(), from, "udp", listener.LocalAddr().String())
	if err != nil {
		return err
	}
	defer c.Close()
	bytesOf := make([]byte, 1<<16)
	rand.NewChaCha8([32]byte{1}).Read(bytesOf)
	payload := func(n uint32) []byte { return bytesOf[n%4096:][:size-4] }

	arrived, end := make(chan struct{}, under), make(chan error, 1)
	deadline := time.Now().Add(20 * time.Second)
	go func() {
		seen, b := make([]bool, count), make([]byte, size+1)
		for i := range count {
			// One that is lost leaves no more to wait for.
			listener.SetReadDeadline(time.Now().Add(2 * time.Second))
			n, _, err := listener.ReadFrom(b)
			if err != nil {
				end <- fmt.Errorf("%d of %d datagrams did not arrive: %w", count-i, count, err)
				return
			}
			number := binary.BigEndian.Uint32(b)
			if n != size || int(number) >= count || !bytes.Equal(b[4:n], payload(number)) {
				end <- fmt.Errorf("datagram %d has been changed: %d bytes %x", number, n, b[:min(n, 64)])
				return
			}
			if seen[number] {
				end <- fmt.Errorf("datagram %d arrived twice", number)
				return
			}
			seen[number] = true
			<-arrived
		}
		end <- nil
	}()
	b := make([]byte, size)
	for n := range uint32(count) {
		select {
		case arrived <- struct{}{}:
		case err := <-end:
			return err
		}
		binary.BigEndian.PutUint32(b, n)
		copy(b[4:], payload(n))
		if time.Now().After(deadline) {
			return errors.New("the datagrams take too long")
		}
		if _, err := c.Write(b); err != nil {
			return err
		}
	}
	return <-end
}

// silentNeighbour is a target on the wire between source and peer that answers nothing:
// nobody has the hardware address that the source knows of it.
func (l *mirrorLab) silentNeighbour() netip.Addr {
	l.t.Helper()
	target := netip.MustParseAddr("10.9.1.99")
	err := inNamespace(l.source, func() error {
		dev, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		return netlink.NeighAdd(&netlink.Neigh{LinkIndex: dev.Attrs().Index, State: unix.NUD_PERMANENT, IP: target.AsSlice(),
			HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 0x99}})
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return target
}

// receiving reads what both ends count: the protocols of their namespaces, and what
// their devices lose.
func (l *mirrorLab) receiving() map[string]map[string]uint64 {
	l.t.Helper()
	out := map[string]map[string]uint64{}
	for _, ns := range []string{l.source, l.peer} {
		out[ns] = kernelCounters(l.t, ns)
		err := inNamespace(ns, func() error {
			devices, err := netlink.LinkList()
			for _, d := range devices {
				s := d.Attrs().Statistics
				if name := d.Attrs().Name; name == "eth0" || name == "tunnel0" {
					out[ns][name+" lost"] = s.RxErrors + s.RxDropped + s.RxFifoErrors + s.TxErrors + s.TxDropped + s.TxFifoErrors
				}
			}
			return err
		})
		if err != nil {
			l.t.Fatal(err)
		}
	}
	return out
}

// offloaded switches between super-packets in both directions, whose checksums nobody
// finishes or looks at, and packets whose checksums the sender finishes, after
// the programs, and the receiver checks.
func (l *mirrorLab) offloaded(on bool) {
	l.t.Helper()
	for _, ns := range []string{l.source, l.peer} {
		if err := testnet.SetOffload(ns, "eth0", on, testnet.TXChecksum, testnet.TSO); err != nil {
			l.t.Fatal(err)
		}
		if err := testnet.SetOffload(ns, "eth0", true, testnet.GSO); err != nil {
			l.t.Fatal(err)
		}
	}
}

// originals are the addresses of both ends, and how large a datagram may be.
type originals struct {
	source, peer [2]netip.Addr // IPv4 and IPv6
	datagram     int
}

// sendOriginals sends four streams of n bytes and datagrams beside, checks that all
// arrives unchanged, and returns the checksums of the streams.
func (l *mirrorLab) sendOriginals(o originals, n int) (sums []uint32) {
	l.t.Helper()
	for i, on := range []bool{true, false} {
		l.offloaded(on)
		for _, way := range []struct {
			from, to string
			address  netip.Addr
		}{{l.source, l.peer, o.peer[i]}, {l.peer, l.source, o.source[i]}} {
			datagrams := make(chan error, 1)
			go func() { datagrams <- l.numbered(way.from, way.to, way.address, n>>15, o.datagram) }()
			sent, received := l.checksumOf(way.from, way.to, way.address, n)
			if sent != received {
				l.t.Errorf("%s to %v: sent %08x, received %08x", way.from, way.address, sent, received)
			}
			if err := <-datagrams; err != nil {
				l.t.Errorf("%s to %v: %v", way.from, way.address, err)
			}
			sums = append(sums, received)
		}
	}
	return sums
}

// checkReceived fails if an end of the lab has counted an error since before, and returns
// how much all other counters of both ends have risen.
func (l *mirrorLab) checkReceived(before map[string]map[string]uint64) (risen map[string]uint64) {
	l.t.Helper()
	risen = map[string]uint64{}
	for ns, counters := range l.receiving() {
		for _, name := range []string{
			"TcpInErrs", "TcpInCsumErrors", "UdpInErrors", "UdpInCsumErrors", "Udp6InErrors", "Udp6InCsumErrors",
			"IpInHdrErrors", "IpInDiscards", "IpExtInCsumErrors", "Ip6InHdrErrors", "Ip6InDiscards", "eth0 lost",
		} {
			if n, ok := counters[name]; !ok || n != before[ns][name] {
				l.t.Errorf("%s: %s is there %v, and has risen by %d", ns, name, ok, n-before[ns][name])
			}
		}
		for name, n := range counters {
			risen[name] += n - before[ns][name]
		}
	}
	if n := risen["tunnel0 lost"]; n != 0 {
		l.t.Errorf("the tunnel has lost %d packets", n)
	}
	return risen
}

// The counters that say that nothing was changed do tell of what is.
func TestTheKernelCountsWhatHasAWrongChecksum(t *testing.T) {
	l := newMirrorLab(t, 1500, 9000)
	var peer net.HardwareAddr
	err := inNamespace(l.peer, func() error {
		dev, err := net.InterfaceByName("eth0")
		if err == nil {
			peer = dev.HardwareAddr
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	wrong := udp(1, 2, make([]byte, 100))
	wrong[6] = 1
	for _, test := range []struct {
		counter string
		packet  []byte
	}{
		{"UdpInCsumErrors", ipv4("10.9.1.1", "10.9.1.2", 17, wrong)},
		{"Udp6InCsumErrors", ipv6("fd09:1::1", "fd09:1::2", 17, wrong)},
		{"TcpInCsumErrors", ipv4("10.9.1.1", "10.9.1.2", 6, tcp(1, 2, 3, 4, flagACK, nil))}, // its checksum is 0
		{"TcpInCsumErrors", ipv6("fd09:1::1", "fd09:1::2", 6, tcp(1, 2, 3, 4, flagACK, nil))},
	} {
		before := kernelCounters(t, l.peer)[test.counter]
		frame := ether(test.packet)
		copy(frame, peer)
		inject(t, l.source, "eth0", frame)
		for deadline := time.Now().Add(5 * time.Second); kernelCounters(t, l.peer)[test.counter] != before+1; {
			if time.Now().After(deadline) {
				t.Errorf("%s has not risen", test.counter)
				break
			}
			time.Sleep(time.Millisecond)
		}
	}
}

// withTunnel is the lab with its ends joined by a tunnel device of both families.
func (l *mirrorLab) withTunnel() originals {
	l.t.Helper()
	l.addTunnel()
	for ns, a := range map[string]netip.Addr{l.source: tunnelSourceIPv6, l.peer: tunnelPeerIPv6} {
		if err := testnet.AddAddress(ns, "tunnel0", netip.PrefixFrom(a, 64)); err != nil {
			l.t.Fatal(err)
		}
	}
	return originals{source: [2]netip.Addr{tunnelSource, tunnelSourceIPv6}, peer: [2]netip.Addr{tunnelPeer, tunnelPeerIPv6}, datagram: 1000}
}

func TestOriginalsAreUntouched(t *testing.T) {
	unmirrored := map[bool][]uint32{} // the checksums of what arrived, by tunnel
	for _, test := range []struct {
		name       string
		tunnel     bool // the source is a tunnel device
		sameDevice bool // the way to the target is by the source
		length     uint32
	}{
		{"whole", false, false, 0},
		{"sliced", false, false, 128},
		{"tunnel whole", true, false, 0},
		{"tunnel sliced", true, false, 128},
		{"same device whole", false, true, 0},
		{"same device sliced", false, true, 128},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newMirrorLab(t, 1500, 9000)
			o := originals{source: [2]netip.Addr{sourceIPv4, sourceIPv6}, peer: [2]netip.Addr{peerIPv4, peerIPv6}, datagram: 1000}
			s, src := l.session(1), l.mirrorSource()
			s.PacketLength = test.length
			if test.tunnel {
				o = l.withTunnel()
				src.Interface.Device = "tunnel0"
			}
			if test.sameDevice {
				s.Targets = []netip.Addr{l.silentNeighbour()}
				src.IPv4 = sourceIPv4
			}
			src.Sessions = []sluice.MirrorSession{s}
			if unmirrored[test.tunnel] == nil {
				unmirrored[test.tunnel] = l.sendOriginals(o, untouchedBytes)
			}
			d := testDatapath(t, 1024)
			t.Cleanup(func() { d.Remove() })
			applyMirrors(t, d, src)
			before := l.receiving()
			if got, want := l.sendOriginals(o, untouchedBytes), unmirrored[test.tunnel]; !slices.Equal(got, want) {
				t.Errorf("checksums %08x, unmirrored %08x", got, want)
			}
			risen, c := l.checkReceived(before), l.counters(d, s.ID)
			// Super-packets count as their frames there, too, and what a tunnel carries counts
			// outside and inside. A copy of a copy would be one more than was received.
			received := risen["IpExtInNoECTPkts"] + risen["Ip6InNoECTPkts"]
			others := risen["IcmpInMsgs"] + risen["Icmp6InMsgs"] + risen["Ip6InMcastPkts"]
			packets, times := c.Egress.Matched.Packets+c.Ingress.Matched.Packets, uint64(1)
			if test.tunnel {
				times = 2
			}
			if packets < 1_000_000 || packets*times > received || packets*times+others*times < received {
				t.Errorf("%d packets matched, want a million; %d were received, at most %d of them others", packets, received, others)
			}
			t.Logf("%d packets, %d segments sent again, %d of them in vain", packets, risen["TcpRetransSegs"], risen["TcpExtTCPDSACKRecvSegs"])
			for _, c := range []sluice.MirrorCounters{c.Egress, c.Ingress} {
				if c.Matched.Packets != c.Mirrored.Packets || c.Errors.Packets != 0 || c.NoRoute.Packets != 0 ||
					(c.Sliced.Packets > 0) != (test.length > 0) || (c.Truncated.Packets > 0) != (test.sameDevice && test.length == 0) {
					t.Errorf("counted %+v", c)
				}
			}
		})
	}
}

// An underlay of the MTU of the source has no room for a full frame in a wrapping.
func TestFullSizeOriginalsAreAllThereWithANarrowUnderlay(t *testing.T) {
	const count = 5000
	for _, target := range []netip.Addr{sensorIPv4, sensorIPv6} {
		t.Run(target.String(), func(t *testing.T) {
			l := newMirrorLab(t, 1500, 1500)
			s := l.session(1)
			s.Targets = []netip.Addr{target}
			d, _, sensor := l.mirrored(s)
			received, sensed := l.receiving(), kernelCounters(t, l.sensor)
			for _, way := range []struct {
				from, to string
				address  netip.Addr
				size     int
			}{
				{l.source, l.peer, peerIPv4, 1472}, {l.source, l.peer, peerIPv6, 1452},
				{l.peer, l.source, sourceIPv4, 1472}, {l.peer, l.source, sourceIPv6, 1452},
			} {
				if err := l.numbered(way.from, way.to, way.address, count, way.size); err != nil {
					t.Errorf("%s to %v: %v", way.from, way.address, err)
				}
			}
			settle(sensor)
			risen, most := l.checkReceived(received), 1500-36
			if target.Is6() {
				most = 1500 - 56
			}
			for name, n := range kernelCounters(t, l.sensor) {
				risen[name] += n - sensed[name]
			}
			for _, name := range []string{"IpFragCreates", "Ip6FragCreates", "IpReasmReqds", "Ip6ReasmReqds"} {
				if risen[name] != 0 {
					t.Errorf("%d fragments by %s", risen[name], name)
				}
			}
			copies := decapsulate(t, sensor.take(isIP)) // which fails on a fragment
			if len(copies) != 4*count {
				t.Errorf("%d copies of %d datagrams", len(copies), 4*count)
			}
			for _, c := range copies {
				if len(c.frame) != most {
					t.Fatalf("a copy has %d bytes, want %d", len(c.frame), most)
				}
			}
			all := l.counters(d, s.ID)
			for _, c := range []sluice.MirrorCounters{all.Egress, all.Ingress} {
				want := sluice.MirrorCounters{
					Matched: sluice.Counter{Packets: 2 * count, Bytes: 2 * count * 1514}, Mirrored: sluice.Counter{Packets: 2 * count, Bytes: 2 * count * uint64(most)},
					Truncated: sluice.Counter{Packets: 2 * count, Bytes: 2 * count * uint64(most)},
				}
				if diff := cmp.Diff(want, c); diff != "" {
					t.Errorf("counters (-want +got):\n%s", diff)
				}
			}
		})
	}
}
