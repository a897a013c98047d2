package datapath

import (
	"encoding/binary"
	"net/netip"
)

// What follows builds frames. Everything is explicit, so that a test can break any of it.

const (
	flagFIN = 0x01
	flagSYN = 0x02
	flagRST = 0x04
	flagACK = 0x10
)

func be16(n int) []byte    { return binary.BigEndian.AppendUint16(nil, uint16(n)) }
func be32(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

func join(parts ...[]byte) []byte {
	var out []byte
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// ether puts a frame around an IP packet, with VLAN tags if there are any.
func ether(packet []byte, vlans ...int) []byte {
	out := []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2}
	for _, v := range vlans {
		out = append(append(out, 0x81, 0x00), be16(v)...)
	}
	kind := 0x0800
	if len(packet) > 0 && packet[0]>>4 == 6 {
		kind = 0x86dd
	}
	return append(append(out, be16(kind)...), packet...)
}

// ipv4 is a packet with options and a fragment word (flags and offset) if not zero.
func ipv4(src, dst string, protocol byte, payload []byte, more ...any) []byte {
	var options []byte
	var fragment, id int
	for _, m := range more {
		switch m := m.(type) {
		case []byte:
			options = m
		case [2]int:
			id, fragment = m[0], m[1]
		}
	}
	s, d := netip.MustParseAddr(src).As4(), netip.MustParseAddr(dst).As4()
	header := join([]byte{byte(0x45 + len(options)/4), 0}, be16(20+len(options)+len(payload)), be16(id), be16(fragment),
		[]byte{64, protocol, 0, 0}, s[:], d[:], options)
	binary.BigEndian.PutUint16(header[10:], checksum(header))
	return append(header, payload...)
}

// ipv6 is a packet; extensions is what comes between the header and the payload, and
// next the first protocol number of it all.
func ipv6(src, dst string, next byte, payload []byte) []byte {
	s, d := netip.MustParseAddr(src).As16(), netip.MustParseAddr(dst).As16()
	return join([]byte{0x60, 0, 0, 0}, be16(len(payload)), []byte{next, 64}, s[:], d[:], payload)
}

func tcp(sport, dport int, seq, ack uint32, flags byte, payload []byte) []byte {
	return join(be16(sport), be16(dport), be32(seq), be32(ack), []byte{0x50, flags}, be16(1024), be16(0), be16(0), payload)
}

func udp(sport, dport int, payload []byte) []byte {
	return join(be16(sport), be16(dport), be16(8+len(payload)), be16(0), payload)
}

func icmp(kind, code byte, payload []byte) []byte {
	return join([]byte{kind, code, 0, 0, 0, 0, 0, 0}, payload)
}

func sctp(sport, dport int, chunk byte) []byte {
	return join(be16(sport), be16(dport), be32(1), be32(0), []byte{chunk, 0}, be16(4))
}

func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	if len(b)%2 == 1 {
		sum += uint32(b[len(b)-1]) << 8
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
