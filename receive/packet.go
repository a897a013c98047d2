package receive

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// Packet is one inner frame that has been received.
type Packet struct {
	VNI   uint32         // VXLAN network identifier, 24 bits
	Time  time.Time      // when the kernel received it, to the nanosecond
	From  netip.AddrPort // the outer source
	Frame []byte         // from the Ethernet header on; valid until the sink returns
}

// OriginalLength is how long the frame was before it was cut, by the lengths that
// the IP header inside tells, in bytes; the length of the frame where it was not
// cut or where there is no IP header to tell.
func (p Packet) OriginalLength() int {
	f := p.Frame
	offset, etherType := ethernetSize, binary.BigEndian.Uint16(f[12:])
	for range 2 { // 802.1ad and 802.1Q
		if etherType != 0x8100 && etherType != 0x88a8 || len(f) < offset+4 {
			break
		}
		etherType = binary.BigEndian.Uint16(f[offset+2:])
		offset += 4
	}
	told := 0
	switch {
	case etherType == 0x0800 && len(f) >= offset+4: // RFC 791: total length
		told = offset + int(binary.BigEndian.Uint16(f[offset+2:]))
	case etherType == 0x86dd && len(f) >= offset+6: // RFC 8200: payload length
		told = offset + 40 + int(binary.BigEndian.Uint16(f[offset+4:]))
	}
	return max(told, len(f))
}

// Sink is what received frames go on to. It is called from one goroutine.
type Sink interface {
	// Write takes a frame, which it must not keep.
	Write(Packet) error
	// Flush is called when the socket has nothing more to read for the moment.
	Flush() error
}
