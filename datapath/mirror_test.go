package datapath

import (
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"sluice"
	"sluice/internal/testnet"
)

// mirrored opens a datapath that mirrors the lab's source to these sessions, and taps on
// the wire and at the sensor.
func (l *mirrorLab) mirrored(sessions ...sluice.MirrorSession) (d *Datapath, wire, sensor *tap) {
	l.t.Helper()
	d = testDatapath(l.t, 1024)
	l.t.Cleanup(func() {
		if err := d.Remove(); err != nil {
			l.t.Error(err)
		}
	})
	applyMirrors(l.t, d, l.mirrorSource(sessions...))
	return d, openTap(l.t, l.peer, "eth0"), openTap(l.t, l.sensor, "eth0")
}

func (l *mirrorLab) counters(d *Datapath, id string) sluice.SessionCounters {
	l.t.Helper()
	c, err := d.Counters()
	if err != nil {
		l.t.Fatal(err)
	}
	return c.Sessions[id]
}

func frameBytes(frames [][]byte) (n uint64) {
	for _, f := range frames {
		n += uint64(len(f))
	}
	return n
}

// mixed sends a little of everything across the wire.
func (l *mirrorLab) mixed() {
	l.t.Helper()
	l.bulk(l.source, l.peer, peerIPv4, 2<<20)
	l.bulk(l.peer, l.source, sourceIPv4, 2<<20)
	l.bulk(l.source, l.peer, peerIPv6, 1<<20)
	l.bulk(l.peer, l.source, sourceIPv6, 1<<20)
	for _, to := range []netip.Addr{peerIPv4, peerIPv6} {
		// The larger ones leave in fragments.
		for _, size := range []int{0, 1, 100, 1400, 5000, 20000} {
			l.udp(l.source, to, size)
		}
		if err := l.ping(to); err != nil {
			l.t.Fatal(err)
		}
	}
	l.udp(l.peer, sourceIPv4, 5000)
	l.udp(l.peer, sourceIPv6, 5000)
}

func (l *mirrorLab) udp(from string, to netip.Addr, size int) {
	l.t.Helper()
	c, err := testnet.Dial(l.t.Context(), from, "udp", netip.AddrPortFrom(to, 9).String())
	if err != nil {
		l.t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write(make([]byte, size)); err != nil {
		l.t.Fatal(err)
	}
}

func TestCopiesAreTheFramesOfTheWire(t *testing.T) {
	for _, test := range []struct {
		name        string
		mtu, uplink int
		target      netip.Addr
		length      uint32
	}{
		{"whole", 1500, 9000, sensorIPv4, 0},
		{"over IPv6", 1500, 9000, sensorIPv6, 0},
		{"jumbo", 8900, 9000, sensorIPv4, 0},
		{"jumbo 64 bytes", 8900, 9000, sensorIPv4, 64},
		{"jumbo 128 bytes", 8900, 9000, sensorIPv4, 128},
		{"jumbo 1500 bytes", 8900, 9000, sensorIPv4, 1500},
		{"5 bytes", 1500, 9000, sensorIPv4, 5},
		{"20 bytes over IPv6", 1500, 9000, sensorIPv6, 20},
		{"50 bytes", 1500, 9000, sensorIPv4, 50},
		{"64 bytes", 1500, 9000, sensorIPv4, 64},
		{"128 bytes", 1500, 9000, sensorIPv4, 128},
		{"129 bytes over IPv6", 1500, 9000, sensorIPv6, 129},
		{"1500 bytes", 1500, 9000, sensorIPv4, 1500},
	} {
		t.Run(test.name, func(t *testing.T) {
			oneCPU(t)
			l := newMirrorLab(t, test.mtu, test.uplink)
			s := l.session(1)
			s.Targets, s.PacketLength = []netip.Addr{test.target}, test.length
			d, wire, sensor := l.mirrored(s)
			super := l.superPackets()
			l.mixed()
			settle(wire, sensor)
			frames := wire.take(isIP)
			copies := decapsulate(t, sensor.take(isIP))
			if len(copies) == 0 {
				t.Fatalf("no copies: %+v", l.counters(d, s.ID))
			}
			compare(t, frames, copies, int(test.length))
			super()
			c := l.counters(d, s.ID)
			if t.Failed() {
				t.Logf("%+v", c)
			}
			e, i := c.Egress, c.Ingress
			matched := sluice.Counter{Packets: e.Matched.Packets + i.Matched.Packets, Bytes: e.Matched.Bytes + i.Matched.Bytes}
			if want := (sluice.Counter{Packets: uint64(len(frames)), Bytes: frameBytes(frames)}); matched != want {
				t.Errorf("matched %+v, want %+v", matched, want)
			}
			if e.Matched.Packets != e.Mirrored.Packets || i.Matched.Packets != i.Mirrored.Packets {
				t.Errorf("matched %+v and %+v, mirrored %+v and %+v", e.Matched, i.Matched, e.Mirrored, i.Mirrored)
			}
			longer := uint64(0)
			for _, f := range frames {
				if test.length > 0 && len(f) > int(test.length) {
					longer++
				}
			}
			if e.Sliced.Packets+i.Sliced.Packets != longer || e.Truncated.Packets+i.Truncated.Packets != 0 {
				t.Errorf("sliced %d and %d of %d", e.Sliced.Packets, i.Sliced.Packets, longer)
			}
			if test.length == 0 && (e.Mirrored != e.Matched || i.Mirrored != i.Matched) {
				t.Errorf("matched %+v and %+v, mirrored %+v and %+v", e.Matched, i.Matched, e.Mirrored, i.Mirrored)
			}
		})
	}
}

func TestCopiesOfTaggedFramesHaveTheirTags(t *testing.T) {
	oneCPU(t)
	l := newMirrorLab(t, 1500, 9000)
	_, wire, sensor := l.mirrored(l.session(1))
	p4 := ipv4("10.9.1.2", "10.9.1.1", 17, udp(1, 2, make([]byte, 600)))
	p6 := ipv6("fd09:1::2", "fd09:1::1", 17, udp(1, 2, make([]byte, 600)))
	var sent int
	for _, ns := range []string{l.source, l.peer} {
		for _, f := range [][]byte{ether(p4), ether(p4, 7), ether(p6, 7), ether(p4, 0xe123), ether(p6, 5, 6), ether(p4, 5, 6)} {
			inject(t, ns, "eth0", f)
			sent++
		}
	}
	settle(wire, sensor)
	frames := wire.take(isIP)
	if len(frames) != sent {
		t.Fatalf("%d frames on the wire, want %d", len(frames), sent)
	}
	compare(t, frames, decapsulate(t, sensor.take(isIP)), 0)
}

func TestCopiesAreTruncatedToThePathAndNeverFragmented(t *testing.T) {
	for _, target := range []netip.Addr{sensorIPv4, sensorIPv6} {
		t.Run(target.String(), func(t *testing.T) {
			oneCPU(t)
			l := newMirrorLab(t, 1500, 1500)
			s := l.session(1)
			s.Targets = []netip.Addr{target}
			d, wire, sensor := l.mirrored(s)
			l.mixed()
			settle(wire, sensor)
			most := 1500 - 36
			if target.Is6() {
				most = 1500 - 56
			}
			frames := wire.take(isIP)
			compare(t, frames, decapsulate(t, sensor.take(isIP)), most)
			var longer uint64
			for _, f := range frames {
				if len(f) > most {
					longer++
				}
			}
			c := l.counters(d, s.ID)
			if got := c.Egress.Truncated.Packets + c.Ingress.Truncated.Packets; got != longer || longer == 0 {
				t.Errorf("%d copies counted as truncated, want %d", got, longer)
			}
		})
	}
}

// The tag is pushed on whole super-packets, and taken off those that arrive.
func TestCopiesOfTaggedSuperPacketsAreTheFramesOfTheWire(t *testing.T) {
	for _, target := range []netip.Addr{sensorIPv4, sensorIPv6} {
		for _, length := range []int{0, 64, 128, 1500} {
			t.Run(fmt.Sprintf("%v %d", target, length), func(t *testing.T) {
				oneCPU(t)
				l := newMirrorLab(t, 1500, 9000)
				s := l.session(1)
				s.Targets, s.PacketLength = []netip.Addr{target}, uint32(length)
				d, wire, sensor := l.mirrored(s)
				super := l.superPackets()
				tag(t, l.source, "eth0")
				tag(t, l.peer, "eth0")
				l.bulk(l.source, l.peer, peerIPv4, 2<<20)
				l.bulk(l.peer, l.source, sourceIPv4, 2<<20)
				l.bulk(l.source, l.peer, peerIPv6, 1<<20)
				l.bulk(l.peer, l.source, sourceIPv6, 1<<20)
				settle(wire, sensor)
				frames := wire.take(isIP)
				compare(t, frames, decapsulate(t, sensor.take(isIP)), length)
				super()
				for _, f := range frames {
					if ipOf(f) != 18 {
						t.Fatalf("a frame without one tag: %x", f[:min(len(f), 32)])
					}
				}
				c := l.counters(d, s.ID)
				if c.Egress.Matched.Packets+c.Ingress.Matched.Packets != uint64(len(frames)) || c.Egress.Errors.Packets+c.Ingress.Errors.Packets != 0 {
					t.Errorf("%d frames on the wire, counted %+v", len(frames), c)
				}
			})
		}
	}
}

// The way to the target leaves by the source itself.
func TestCopiesAreNotCopied(t *testing.T) {
	oneCPU(t)
	l := newMirrorLab(t, 1500, 9000)
	s := l.session(1)
	s.Targets = []netip.Addr{peerIPv4}
	src := l.mirrorSource(s)
	src.IPv4 = sourceIPv4
	d := testDatapath(t, 1024)
	t.Cleanup(func() { d.Remove() })
	applyMirrors(t, d, src)
	wire := openTap(t, l.peer, "eth0")
	l.bulk(l.source, l.peer, peerIPv4, 1<<20)
	settle(wire)
	isCopy := func(f []byte) bool {
		at := ipOf(f)
		return at != 0 && f[at]>>4 == 4 && f[at+9] == 17 && f[at+22] == 4789>>8 && f[at+23] == 4789&0xff
	}
	// The sensor has no such port and answers with an error, which quotes the copy: it
	// must not be mirrored in its turn.
	isAnswer := func(f []byte) bool { at := ipOf(f); return at != 0 && f[at]>>4 == 4 && f[at+9] == 1 }
	frames := wire.take(func(f []byte) bool { return isIP(f) && !isCopy(f) && !isAnswer(f) })
	var copies []decapsulated
	for _, c := range decapsulate(t, wire.take(isCopy)) {
		if isCopy(c.frame) {
			t.Fatal("a copy has been copied")
		}
		if isAnswer(c.frame) {
			t.Fatal("an error about a copy has been copied")
		}
		copies = append(copies, c)
	}
	compare(t, frames, copies, 1500-36)
}

func TestAKernelVXLANDeviceReadsTheCopies(t *testing.T) {
	for _, target := range []netip.Addr{sensorIPv4, sensorIPv6} {
		t.Run(target.String(), func(t *testing.T) {
			l := newMirrorLab(t, 1500, 9000)
			s := l.session(1)
			s.VNI, s.Targets = 5569041, []netip.Addr{target}
			if err := addVXLAN(l.sensor, "vx0", int(s.VNI), target); err != nil {
				t.Fatal(err)
			}
			_, wire, _ := l.mirrored(s)
			vx := openTap(t, l.sensor, "vx0")
			l.bulk(l.source, l.peer, peerIPv4, 1<<20)
			settle(wire, vx)
			if frames, read := wire.take(isIP), vx.take(isIP); len(frames) == 0 || len(frames) != len(read) {
				t.Errorf("the device read %d of %d copies", len(read), len(frames))
			}
		})
	}
}

func (l *mirrorLab) ping(to netip.Addr) error {
	return testnet.Ping(l.t.Context(), l.source, to, 2, 56)
}

// inject sends a frame through a device as it is.
func inject(t testing.TB, netns, device string, frame []byte) {
	t.Helper()
	err := inNamespace(netns, func() error {
		dev, err := net.InterfaceByName(device)
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		protocol := uint16(frame[13])<<8 | uint16(frame[12])
		return unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: dev.Index})
	})
	if err != nil {
		t.Fatalf("inject frame: %v", err)
	}
}

// addVXLAN makes a VXLAN device that receives on port 4789.
func addVXLAN(name, device string, vni int, local netip.Addr) error {
	return inNamespace(name, func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = device
		v := &netlink.Vxlan{LinkAttrs: attrs, VxlanId: vni, SrcAddr: local.AsSlice(), Port: 4789, UDP6ZeroCSumRx: false}
		if err := netlink.LinkAdd(v); err != nil {
			return err
		}
		l, err := netlink.LinkByName(device)
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(l)
	})
}
