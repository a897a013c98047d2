package datapath

import (
	"fmt"
	"net/netip"
	"testing"

	"sluice"
)

// Some of these end before the headers that the kernel knows of, or within them.
func TestSlicesEndWhereverTheyAreToldTo(t *testing.T) {
	oneCPU(t)
	l := newMirrorLab(t, 1500, 9000)
	d, wire, sensor := l.mirrored(l.session(1))
	data := udp(1, 2, make([]byte, 300))
	for i := range data[8:] {
		data[8+i] = byte(i)
	}
	// A destination option of 8 and one of 128 bytes (RFC 8200 §4.6), padding inside.
	options := join([]byte{60, 0, 1, 4, 0, 0, 0, 0}, []byte{17, 15, 1, 124}, make([]byte, 124))
	var frames [][]byte
	for _, p := range [][]byte{
		ipv4("10.9.1.2", "10.9.1.1", 17, data), ipv4("10.9.1.2", "10.9.1.1", 17, data, make([]byte, 40)),
		ipv6("fd09:1::2", "fd09:1::1", 17, data), ipv6("fd09:1::2", "fd09:1::1", 60, join(options, data)),
		ipv6("fd09:1::2", "fd09:1::1", 59, nil),
	} {
		frames = append(frames, ether(p), ether(p, 7), ether(p, 5, 6))
	}
	for _, target := range []netip.Addr{sensorIPv4, sensorIPv6} {
		for _, length := range []int{1, 4, 14, 17, 30, 63, 65, 75, 118, 150, 189, 300} {
			t.Run(fmt.Sprintf("%d bytes to %v", length, target), func(t *testing.T) {
				s := l.session(1)
				s.Targets, s.PacketLength = []netip.Addr{target}, uint32(length)
				applyMirrors(t, d, l.mirrorSource(s))
				before := l.counters(d, s.ID)
				wired, copied := len(wire.take(isIP)), len(decapsulate(t, sensor.take(isIP)))
				for _, f := range frames {
					inject(t, l.source, "eth0", f)
					inject(t, l.peer, "eth0", f)
				}
				settle(wire, sensor)
				sent := wire.take(isIP)[wired:]
				if len(sent) < 2*len(frames) {
					t.Fatalf("%d frames on the wire, want %d", len(sent), 2*len(frames))
				}
				compare(t, sent, decapsulate(t, sensor.take(isIP))[copied:], length)
				after := l.counters(d, s.ID)
				for _, c := range [][2]sluice.MirrorCounters{{before.Egress, after.Egress}, {before.Ingress, after.Ingress}} {
					if c[1].Errors != c[0].Errors || c[1].Sliced.Packets-c[0].Sliced.Packets > c[1].Mirrored.Packets-c[0].Mirrored.Packets {
						t.Errorf("counted %+v, before %+v", c[1], c[0])
					}
				}
			})
		}
	}
}
