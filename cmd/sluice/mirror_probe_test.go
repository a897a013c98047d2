package main

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"

	"sluice/receive"
)

// carried puts a frame into VXLAN, UDP and IPv4 or IPv6.
func carried(inner []byte, vni uint32, v6 bool) []byte {
	body := receive.Encapsulate(nil, vni, inner)
	udp := []byte{0xc0, 0, 0x12, 0xb5, 0, 0, 0, 0}
	binary.BigEndian.PutUint16(udp[4:], uint16(8+len(body)))
	udp = append(udp, body...)
	f := make([]byte, 12)
	if v6 {
		ip := append([]byte{0x60, 0, 0, 0, 0, 0, 17, 255}, make([]byte, 32)...)
		ip[8], ip[24] = 0xfd, 0xfd
		ip[39] = 2
		return append(append(append(f, 0x86, 0xdd), ip...), udp...)
	}
	ip := []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 255, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2}
	return append(append(append(f, 0x08, 0x00), ip...), udp...)
}

func TestACopyOfAProbeIsKnownAgain(t *testing.T) {
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	for _, p := range []probe{
		{source: netip.MustParseAddr("10.0.0.1"), destination: netip.MustParseAddr("192.0.2.1"), protocol: 17, sourcePort: 9, destinationPort: 9},
		{source: netip.MustParseAddr("fd00::1"), destination: netip.MustParseAddr("2001:db8::1"), protocol: 6, sourcePort: 9, destinationPort: 443},
		{source: netip.MustParseAddr("fd00::1"), destination: netip.MustParseAddr("2001:db8::1"), protocol: 58},
		{source: netip.MustParseAddr("10.0.0.1"), destination: netip.MustParseAddr("192.0.2.1"), protocol: 1},
		{source: netip.MustParseAddr("10.0.0.1"), destination: netip.MustParseAddr("192.0.2.1"), protocol: 132},
	} {
		for _, size := range []int{0, 1514} {
			sent, other := p.frame(mac, size), p.frame(mac, size)
			if size > 0 && len(sent) != size {
				t.Errorf("%s: %d bytes, want %d", p, len(sent), size)
			}
			for _, v6 := range []bool{false, true} {
				for _, cut := range []int{len(sent), 64, 14} {
					if _, inner, ok := copyOf(carried(sent[:min(cut, len(sent))], 7, v6), sent, 7); !ok || len(inner) != min(cut, len(sent)) {
						t.Errorf("%s: copy of %d bytes not known again", p, cut)
					}
				}
				if _, _, ok := copyOf(carried(sent, 8, v6), sent, 7); ok {
					t.Errorf("%s: taken from another network", p)
				}
				if _, _, ok := copyOf(carried(other, 7, v6), sent, 7); ok {
					t.Errorf("%s: another probe taken for it", p)
				}
			}
		}
	}
}

// TestProbesHaveRightChecksums adds up everything, which must give all ones.
func TestProbesHaveRightChecksums(t *testing.T) {
	p := probe{source: netip.MustParseAddr("10.1.2.3"), destination: netip.MustParseAddr("192.0.2.1"), protocol: 17, sourcePort: 9, destinationPort: 9}
	f := p.frame(net.HardwareAddr{2, 0, 0, 0, 0, 1}, 101)
	if sum := checksum(0, f[14:34]); sum != 0 {
		t.Errorf("IP header sums up to %#x", sum)
	}
	pseudo := append(append([]byte{}, f[26:34]...), 0, 17, 0, byte(len(f)-34))
	if sum := checksum(0, append(pseudo, f[34:]...)); sum != 0 {
		t.Errorf("UDP sums up to %#x", sum)
	}
}

func TestErrorsAboutCopiesAreRead(t *testing.T) {
	copied := carried(make([]byte, 60), 1, false)
	frame := append(make([]byte, 12), 0x08, 0x00)
	frame = append(frame, 0x45, 0, 0, 0, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 0, 9, 10, 0, 0, 1)
	frame = append(frame, 3, 4, 0, 0, 0, 0, 0x05, 0xdc)
	frame = append(frame, copied[14:42]...)
	isTarget := func(a netip.Addr) bool { return a.String() == "10.0.0.2" }
	got, ok := icmpProblem(frame, isTarget)
	if want := "10.0.0.9 says of the copy to 10.0.0.2: too large: the next link carries 1500 bytes"; !ok || got != want {
		t.Errorf("got %q, %v", got, ok)
	}
	frame[35] = 3
	if got, _ := icmpProblem(frame, isTarget); got != "10.0.0.9 says of the copy to 10.0.0.2: port unreachable" {
		t.Errorf("got %q", got)
	}
	if _, ok := icmpProblem(frame, func(netip.Addr) bool { return false }); ok {
		t.Error("an error about somebody else's packet")
	}
}
