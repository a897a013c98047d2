package results

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"sluice"
)

// A row is: flags u8, protocol u8, source address (4 or 16 bytes), destination
// address (4 or 16), source port u16, destination port u16, then as unsigned
// varints age and idle (nanoseconds), packets and bytes (each forth, then back).
const (
	flagSource6      = 1 << 0
	flagDestination6 = 1 << 1
	flagStateShift   = 2 // two bits
	flagStateful     = 1 << 4
	flagsKnown       = 1<<5 - 1
)

// maxRowBytes is the longest row: two flags bytes, two IPv6 addresses, two ports
// and six varints.
const maxRowBytes = 2 + 2*16 + 2*2 + 6*binary.MaxVarintLen64

var errRow = errors.New("decode row: malformed")

func appendRow(b []byte, f *sluice.Flow) ([]byte, error) {
	if !f.Source.IsValid() || !f.Destination.IsValid() || f.Source.Zone() != "" || f.Destination.Zone() != "" {
		return b, fmt.Errorf("encode row: addresses %v and %v cannot be stored", f.Source, f.Destination)
	}
	if f.State > 3 || f.Engine > sluice.EngineStateful {
		return b, fmt.Errorf("encode row: state %d or engine %d is unknown", f.State, f.Engine)
	}
	flags := byte(f.State) << flagStateShift
	if !f.Source.Is4() {
		flags |= flagSource6
	}
	if !f.Destination.Is4() {
		flags |= flagDestination6
	}
	if f.Engine == sluice.EngineStateful {
		flags |= flagStateful
	}
	b = append(b, flags, f.Protocol)
	b = appendAddress(b, f.Source)
	b = appendAddress(b, f.Destination)
	b = binary.LittleEndian.AppendUint16(b, f.SourcePort)
	b = binary.LittleEndian.AppendUint16(b, f.DestinationPort)
	b = binary.AppendUvarint(b, uint64(f.Age))
	b = binary.AppendUvarint(b, uint64(f.Idle))
	for _, n := range [...]uint64{f.Packets[0], f.Packets[1], f.Bytes[0], f.Bytes[1]} {
		b = binary.AppendUvarint(b, n)
	}
	return b, nil
}

func appendAddress(b []byte, a netip.Addr) []byte {
	if a.Is4() {
		p := a.As4()
		return append(b, p[:]...)
	}
	p := a.As16()
	return append(b, p[:]...)
}

// decodeRow reads a row from the front of b and returns what follows it.
func decodeRow(b []byte, f *sluice.Flow) ([]byte, error) {
	if len(b) < 2 || b[0]&^flagsKnown != 0 {
		return nil, errRow
	}
	flags := b[0]
	f.Protocol = b[1]
	f.State = sluice.FlowState(flags >> flagStateShift & 3)
	f.Engine = sluice.EngineStateless
	if flags&flagStateful != 0 {
		f.Engine = sluice.EngineStateful
	}
	b = b[2:]
	var ok bool
	if f.Source, b, ok = cutAddress(b, flags&flagSource6 != 0); !ok {
		return nil, errRow
	}
	if f.Destination, b, ok = cutAddress(b, flags&flagDestination6 != 0); !ok || len(b) < 4 {
		return nil, errRow
	}
	f.SourcePort = binary.LittleEndian.Uint16(b)
	f.DestinationPort = binary.LittleEndian.Uint16(b[2:])
	b = b[4:]
	var n [6]uint64
	for i := range n {
		v, size := binary.Uvarint(b)
		if size <= 0 {
			return nil, errRow
		}
		n[i], b = v, b[size:]
	}
	f.Age, f.Idle = time.Duration(n[0]), time.Duration(n[1])
	f.Packets = [2]uint64{n[2], n[3]}
	f.Bytes = [2]uint64{n[4], n[5]}
	return b, nil
}

func cutAddress(b []byte, is6 bool) (netip.Addr, []byte, bool) {
	if is6 {
		if len(b) < 16 {
			return netip.Addr{}, nil, false
		}
		return netip.AddrFrom16([16]byte(b)), b[16:], true
	}
	if len(b) < 4 {
		return netip.Addr{}, nil, false
	}
	return netip.AddrFrom4([4]byte(b)), b[4:], true
}
