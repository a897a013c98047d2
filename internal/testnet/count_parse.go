package testnet

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"sluice"
)

// packet is what a frame adds to a tally.
type packet struct {
	tuple      Tuple
	packets    uint64
	bytes      uint64
	fragment   fragmentKind
	fragmentID uint32
}

type fragmentKind int

const (
	wholePacket fragmentKind = iota
	firstFragment
	laterFragment
)

type frameKind int

const (
	ipPacket frameKind = iota
	notIP
	malformed
)

// Ethertypes of VLAN tags (IEEE 802.1Q, 802.1ad).
const (
	etherVLAN = 0x8100
	etherQinQ = 0x88a8
)

// IPv6 extension headers that may stand before the payload (RFC 8200 §4.1, RFC
// 4302), and the one that says that nothing follows.
const (
	extHopByHop    = 0
	extRouting     = 43
	extFragment    = 44
	extAuth        = 51
	extDestination = 60
)

// parseFrame finds the IP packet in a frame. It looks at no checksum and at no
// more than the headers.
func parseFrame(f frame) (packet, frameKind) {
	ip, etherType := f.network, f.protocol
	overhead := len(f.data) - len(f.network)
	if f.hatype == unix.ARPHRD_ETHER || f.hatype == unix.ARPHRD_LOOPBACK {
		if len(f.data) < 14 {
			return packet{}, notIP
		}
		overhead, etherType = 14, binary.BigEndian.Uint16(f.data[12:])
		for (etherType == etherVLAN || etherType == etherQinQ) && len(f.data) >= overhead+4 {
			etherType = binary.BigEndian.Uint16(f.data[overhead+2:])
			overhead += 4
		}
		ip = f.data[overhead:]
	}
	var h ipHeader
	var ok bool
	switch etherType {
	case unix.ETH_P_IP:
		h, ok = parseIPv4(ip)
	case unix.ETH_P_IPV6:
		h, ok = parseIPv6(ip)
	default:
		return packet{}, notIP
	}
	if !ok {
		return packet{}, malformed
	}
	if h.total == 0 { // longer than the field can say: only the frame knows
		h.total = f.length - overhead
	}
	p := packet{tuple: h.tuple, fragment: h.fragment, fragmentID: h.fragmentID}
	if h.fragment != laterFragment {
		readPorts(&p.tuple, ip[h.length:])
	}
	p.packets, p.bytes = wireSize(f.vnet, h, ip)
	return p, ipPacket
}

// ipHeader is what both versions of IP say of a packet.
type ipHeader struct {
	tuple      Tuple
	length     int // of the header with options or extensions, bytes
	total      int // of the packet, bytes; 0 when it is a super-packet beyond 64 KiB
	fragment   fragmentKind
	fragmentID uint32
}

func parseIPv4(b []byte) (h ipHeader, ok bool) {
	if len(b) < 20 || b[0]>>4 != 4 {
		return h, false
	}
	h.length = int(b[0]&0x0f) * 4
	h.total = int(binary.BigEndian.Uint16(b[2:]))
	if h.length < 20 || h.length > len(b) || h.total != 0 && h.total < h.length {
		return h, false
	}
	h.tuple.Source = netip.AddrFrom4([4]byte(b[12:16]))
	h.tuple.Destination = netip.AddrFrom4([4]byte(b[16:20]))
	h.tuple.Protocol = b[9]
	offset := binary.BigEndian.Uint16(b[6:])
	h.fragmentID = uint32(binary.BigEndian.Uint16(b[4:]))
	h.fragment = fragmentKindOf(offset&0x1fff != 0, offset&0x2000 != 0)
	return h, true
}

func parseIPv6(b []byte) (h ipHeader, ok bool) {
	if len(b) < 40 || b[0]>>4 != 6 {
		return h, false
	}
	h.length = 40
	if n := int(binary.BigEndian.Uint16(b[4:])); n != 0 {
		h.total = 40 + n
	}
	h.tuple.Source = netip.AddrFrom16([16]byte(b[8:24]))
	h.tuple.Destination = netip.AddrFrom16([16]byte(b[24:40]))
	next := b[6]
	for {
		switch next {
		case extHopByHop, extRouting, extDestination, extFragment, extAuth:
		default:
			h.tuple.Protocol = next
			return h, true
		}
		ext := b[h.length:]
		if len(ext) < 8 {
			return h, false
		}
		size := (int(ext[1]) + 1) * 8
		switch next {
		case extAuth:
			size = (int(ext[1]) + 2) * 4
		case extFragment:
			size = 8
			offset := binary.BigEndian.Uint16(ext[2:])
			h.fragment = fragmentKindOf(offset&0xfff8 != 0, offset&1 != 0)
			h.fragmentID = binary.BigEndian.Uint32(ext[4:])
		}
		if size > len(ext) {
			return h, false
		}
		next = ext[0]
		h.length += size
		if h.fragment == laterFragment { // what follows is payload
			h.tuple.Protocol = next
			return h, true
		}
	}
}

func fragmentKindOf(offset, more bool) fragmentKind {
	switch {
	case offset:
		return laterFragment
	case more:
		return firstFragment
	}
	return wholePacket
}

// readPorts reads the ports that TCP, UDP and SCTP have in the same place.
func readPorts(t *Tuple, payload []byte) {
	switch t.Protocol {
	case sluice.ProtocolTCP, sluice.ProtocolUDP, sluice.ProtocolSCTP:
		if len(payload) >= 4 {
			t.SourcePort = binary.BigEndian.Uint16(payload)
			t.DestinationPort = binary.BigEndian.Uint16(payload[2:])
		}
	}
}

// The values of gso_type in struct virtio_net_hdr (virtio 1.2 §5.1.6).
const (
	gsoTCPv4 = 1
	gsoTCPv6 = 4
	gsoUDPL4 = 5
	gsoECN   = 0x80 // a flag beside the type
)

// wireSize returns how many packets a frame is on a wire, and their IP bytes: a
// super-packet's headers are repeated before each segment of its payload.
func wireSize(vnet []byte, h ipHeader, ip []byte) (packets, bytes uint64) {
	transport := 0
	switch vnet[1] &^ gsoECN {
	case gsoTCPv4, gsoTCPv6:
		if len(ip) >= h.length+13 {
			transport = int(ip[h.length+12]>>4) * 4
		}
	case gsoUDPL4:
		transport = 8
	}
	segment := int(binary.NativeEndian.Uint16(vnet[4:]))
	payload := h.total - h.length - transport
	if transport == 0 || segment == 0 || payload <= segment {
		return 1, uint64(h.total)
	}
	n := (payload + segment - 1) / segment
	return uint64(n), uint64(payload + n*(h.length+transport))
}
