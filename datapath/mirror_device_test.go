package datapath

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// readTun collects the IPv4 packets that are sent by a tun device. They get an empty
// Ethernet header.
func readTun(t *testing.T, tun *os.File) (frames func() [][]byte, count func() int) {
	var mu sync.Mutex
	var all [][]byte
	go func() {
		for b := make([]byte, 1<<16); ; {
			n, err := tun.Read(b)
			if err != nil {
				if !errors.Is(err, os.ErrClosed) {
					t.Error(err)
				}
				return
			}
			if b[0]>>4 == 4 { // the device has an IPv6 address, too, of which it speaks
				mu.Lock()
				all = append(all, join(make([]byte, 12), []byte{8, 0}, b[:n]))
				mu.Unlock()
			}
		}
	}()
	return func() [][]byte {
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(all)
		}, func() int {
			mu.Lock()
			defer mu.Unlock()
			return len(all)
		}
}

// A device without an Ethernet header gets the IP packets of the copies, the whole of them.
func TestCopiesLeaveByADeviceWithoutEthernet(t *testing.T) {
	for name, test := range map[string]struct {
		length uint32
		size   int // of the datagrams
	}{
		"whole": {size: 700}, "sliced": {size: 700, length: 128}, "truncated": {size: 1472},
	} {
		t.Run(name, func(t *testing.T) {
			l := newMirrorLab(t, 1500, 1500)
			tun := addTun(t, l.source, "10.9.3.1/24")
			s := l.session(1)
			s.PacketLength, s.Targets = test.length, []netip.Addr{netip.MustParseAddr("10.9.3.2")}
			d, wire, _ := l.mirrored(s)
			frames, taken := readTun(t, tun)
			for _, to := range []netip.Addr{peerIPv4, peerIPv6} {
				for range 20 {
					l.udp(l.source, to, test.size)
				}
			}
			// Only of what is one for the program do several frames go by one look-up.
			l.bulk(l.source, l.peer, peerIPv4, 1<<20)
			settle(wire)
			c := l.counters(d, s.ID)
			want := c.Egress.Mirrored.Packets + c.Ingress.Mirrored.Packets
			await(t, "all copies are there", 5*time.Second, func() bool { return uint64(taken()) >= want })
			copies := decapsulate(t, frames())
			if len(copies) < 500 || uint64(len(copies)) != want || c.Egress.Errors.Packets+c.Ingress.Errors.Packets > 0 {
				t.Fatalf("%d copies, counted %+v", len(copies), c)
			}
			originals := wire.take(isIP)
			for _, c := range copies {
				if !slices.ContainsFunc(originals, func(o []byte) bool { return bytes.HasPrefix(o, c.frame) }) {
					t.Fatalf("a copy of nothing that was on the wire: %x", c.frame)
				}
			}
		})
	}
}

// Queues, classifiers and recorders of the device that copies leave by find headers by
// where the kernel says that they begin.
func TestTheKernelTakesTheEnvelopeForThePacket(t *testing.T) {
	l := newMirrorLab(t, 1500, 9000)
	var fd int
	err := inNamespace(l.source, func() error {
		device, err := net.InterfaceByName("up0")
		if err != nil {
			return err
		}
		// What this kind of socket gets begins with the network header.
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
			return err
		}
		return errors.Join(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20),
			unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: unix.ETH_P_ALL << 8, Ifindex: device.Index}))
	})
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	s := l.session(1)
	s.PacketLength = 128
	d, wire, _ := l.mirrored(s)
	l.bulk(l.source, l.peer, peerIPv4, 1<<20)
	settle(wire)
	copies, b := uint64(0), make([]byte, 1<<16)
	for {
		n, from, err := unix.Recvfrom(fd, b, 0)
		if errors.Is(err, unix.EAGAIN) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if from.(*unix.SockaddrLinklayer).Pkttype != unix.PACKET_OUTGOING || b[0] != 0x45 {
			continue // the sensor has no use for copies, and neighbours look for each other
		}
		if b[9] != unix.IPPROTO_UDP || binary.BigEndian.Uint16(b[22:]) != 4789 {
			t.Fatalf("a packet that is no envelope: %x", b[:min(n, 60)])
		}
		copies++
	}
	if c := l.counters(d, s.ID); copies < 700 || copies != c.Egress.Mirrored.Packets+c.Ingress.Mirrored.Packets {
		t.Errorf("%d copies, counted %+v", copies, c)
	}
}
