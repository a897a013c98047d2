package receive

import "encoding/binary"

// Port is the UDP port of VXLAN (RFC 7348, section 8).
const Port = 4789

// Overheads of VXLAN over the inner frame, bytes: the outer IP header without
// options, UDP and VXLAN. An interface of MTU m carries inner frames of m minus
// this, Ethernet header included.
const (
	OverheadIPv4 = 20 + 8 + headerSize
	OverheadIPv6 = 40 + 8 + headerSize
)

const (
	headerSize   = 8  // RFC 7348, section 5
	ethernetSize = 14 // destination, source, type
	flagVNI      = 0x08
)

// Fault is why a datagram is not taken; NoFault when it is.
type Fault uint8

// The faults of a datagram.
const (
	NoFault Fault = iota
	// FaultShort: less than a VXLAN and an Ethernet header.
	FaultShort
	// FaultFlags: the flags are not exactly "VNI is valid" (RFC 7348, section 5).
	FaultFlags
	// FaultReserved: a reserved bit is set. The RFC lets receivers ignore these; IDS
	// that are strict drop such packets, so a sender that sets them must be noticed.
	FaultReserved
	// FaultVNI: more network identifiers than the receiver keeps apart.
	FaultVNI
	faults
)

// String returns the fault in a few words.
func (f Fault) String() string {
	switch f {
	case NoFault:
		return "none"
	case FaultShort:
		return "too short"
	case FaultFlags:
		return "wrong flags"
	case FaultReserved:
		return "reserved bits set"
	case FaultVNI:
		return "too many networks"
	}
	return "unknown fault"
}

// Decapsulate checks the VXLAN header of a datagram and returns its network
// identifier, 24 bits, and the inner Ethernet frame, which lies in datagram.
func Decapsulate(datagram []byte) (vni uint32, frame []byte, fault Fault) {
	if len(datagram) < headerSize+ethernetSize {
		return 0, nil, FaultShort
	}
	if datagram[0] != flagVNI {
		return 0, nil, FaultFlags
	}
	if datagram[1]|datagram[2]|datagram[3]|datagram[7] != 0 {
		return 0, nil, FaultReserved
	}
	return binary.BigEndian.Uint32(datagram[4:]) >> 8, datagram[headerSize:], NoFault
}

// Encapsulate appends a VXLAN header and a frame to dst.
func Encapsulate(dst []byte, vni uint32, frame []byte) []byte {
	dst = append(dst, flagVNI, 0, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, vni<<8)
	return append(dst, frame...)
}
