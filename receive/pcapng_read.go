package receive

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// maxBlock bounds a block of a file, bytes: the largest packet fits many times.
const maxBlock = 1 << 20

// PcapngReader reads the packets of a file that PcapngWriter wrote. It refuses
// files of other writers where these use what ours does not: another byte order,
// time resolution or link type.
type PcapngReader struct {
	r          *bufio.Reader
	interfaces []uint32 // VNI by index
	snap       []int
	begun      bool
}

// NewPcapngReader makes a reader; nothing is read before Next.
func NewPcapngReader(r io.Reader) *PcapngReader { return &PcapngReader{r: bufio.NewReader(r)} }

// Next returns the next packet and its length before it was cut. At the end of the
// file it is io.EOF; where the file ends inside a block, io.ErrUnexpectedEOF.
func (p *PcapngReader) Next() (packet Packet, original int, err error) {
	for {
		kind, body, err := p.block()
		if err != nil {
			return Packet{}, 0, err
		}
		if !p.begun && kind != blockSection {
			return Packet{}, 0, errors.New("read pcapng: no section header")
		}
		switch kind {
		case blockSection:
			if len(body) < 16 || binary.LittleEndian.Uint32(body) != blockMagic {
				return Packet{}, 0, errors.New("read pcapng: not a little-endian section header")
			}
			p.begun, p.interfaces, p.snap = true, nil, nil
		case blockInterface:
			if err := p.describe(body); err != nil {
				return Packet{}, 0, fmt.Errorf("read pcapng: interface %d: %w", len(p.interfaces), err)
			}
		case blockPacket:
			return p.packet(body)
		}
	}
}

// block reads a block and checks that both its lengths agree.
func (p *PcapngReader) block() (kind uint32, body []byte, err error) {
	var head [8]byte
	if _, err := io.ReadFull(p.r, head[:]); err != nil {
		return 0, nil, err
	}
	kind = binary.LittleEndian.Uint32(head[:])
	size := binary.LittleEndian.Uint32(head[4:])
	if size < 12 || size%4 != 0 || size > maxBlock {
		return 0, nil, fmt.Errorf("read pcapng: block of %d bytes", size)
	}
	rest := make([]byte, size-8)
	if _, err := io.ReadFull(p.r, rest); err != nil {
		return 0, nil, io.ErrUnexpectedEOF
	}
	if end := binary.LittleEndian.Uint32(rest[len(rest)-4:]); end != size {
		return 0, nil, fmt.Errorf("read pcapng: block says %d bytes in front and %d behind", size, end)
	}
	return kind, rest[:len(rest)-4], nil
}

// describe reads an interface description block: link type, snap length, options.
func (p *PcapngReader) describe(body []byte) error {
	if len(body) < 8 {
		return errors.New("short description")
	}
	if link := binary.LittleEndian.Uint16(body); link != linkEthernet {
		return fmt.Errorf("link type %d is not Ethernet", link)
	}
	p.snap = append(p.snap, int(binary.LittleEndian.Uint32(body[4:])))
	var vni uint32
	nano, named := false, false
	for o := body[8:]; len(o) >= 4; {
		code, size := binary.LittleEndian.Uint16(o), int(binary.LittleEndian.Uint16(o[2:]))
		if len(o) < 4+size {
			return errors.New("option beyond its block")
		}
		value := o[4 : 4+size]
		switch code {
		case optionName:
			_, err := fmt.Sscanf(string(value), "vni%d", &vni)
			named = err == nil
		case optionTsresol:
			nano = size == 1 && value[0] == nanoseconds
		}
		o = o[min(4+(size+3)/4*4, len(o)):]
	}
	if !nano || !named {
		return errors.New("without nanoseconds, or without a name of the form vniN")
	}
	p.interfaces = append(p.interfaces, vni)
	return nil
}

func (p *PcapngReader) packet(body []byte) (Packet, int, error) {
	if len(body) < 20 {
		return Packet{}, 0, errors.New("read pcapng: short packet block")
	}
	word := func(i int) uint32 { return binary.LittleEndian.Uint32(body[4*i:]) }
	index, captured := word(0), word(3)
	if int64(index) >= int64(len(p.interfaces)) {
		return Packet{}, 0, fmt.Errorf("read pcapng: packet of interface %d, which is not described", index)
	}
	if int64(captured) > int64(len(body)-20) || int(captured) > p.snap[index] {
		return Packet{}, 0, fmt.Errorf("read pcapng: packet of %d bytes beyond its block or snap length", captured)
	}
	return Packet{VNI: p.interfaces[index], Time: stampTime(word(1), word(2)), Frame: body[20 : 20+captured]}, int(word(4)), nil
}
