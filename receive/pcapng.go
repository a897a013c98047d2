package receive

import (
	"encoding/binary"
	"fmt"
	"io"
	"time"
)

// Block types and options of pcapng (IETF draft-ietf-opsawg-pcapng, sections 4 and
// 3.5). Blocks are written in little-endian byte order.
const (
	blockSection   = 0x0a0d0d0a
	blockInterface = 1
	blockPacket    = 6 // enhanced packet block
	blockMagic     = 0x1a2b3c4d

	optionEnd         = 0
	optionUserAppl    = 4 // section header: shb_userappl
	optionName        = 2 // interface: if_name
	optionDescription = 3 // interface: if_description
	optionTsresol     = 9 // interface: if_tsresol

	linkEthernet = 1
	nanoseconds  = 9 // if_tsresol: 10^-9 s
)

// DefaultSnapLength is how many bytes of a frame are written: all of the largest.
const DefaultSnapLength = 1 << 16

// writeBuffer is how many bytes may wait for a write.
const writeBuffer = 1 << 20

// PcapngWriter is a Sink that writes pcapng: an interface for each network
// identifier, nanosecond stamps, Ethernet. Wireshark, tshark and tcpdump read it.
//
// Once a write has failed it writes nothing more, and every call returns that error.
type PcapngWriter struct {
	w          io.Writer
	snap       int
	interfaces map[uint32]uint32 // by VNI
	begun      bool
	written    int64
	whole      int64
	waiting    []byte // blocks for the next write
	block      []byte // the block in the making
	failure    error
}

// NewPcapngWriter makes a writer; nothing is written before the first packet or
// Flush. Frames longer than snap bytes are cut; 0 is DefaultSnapLength.
func NewPcapngWriter(w io.Writer, snap int) *PcapngWriter {
	if snap <= 0 {
		snap = DefaultSnapLength
	}
	return &PcapngWriter{w: w, snap: snap, interfaces: map[uint32]uint32{}, waiting: make([]byte, 0, writeBuffer)}
}

// Written is how many bytes the file has, those that wait included.
func (p *PcapngWriter) Written() int64 { return p.written }

// Whole is how many bytes of whole blocks have been written out. After a failure, what
// lies behind them is a part of a block, which readers refuse.
func (p *PcapngWriter) Whole() int64 { return p.whole }

// Flush writes what waits; the first time also the file's header, so that a reader
// of a stream knows at once what it reads.
func (p *PcapngWriter) Flush() error {
	if err := p.begin(); err != nil {
		return err
	}
	return p.writeOut()
}

// writeOut writes the blocks that wait.
func (p *PcapngWriter) writeOut() error {
	if p.failure != nil || len(p.waiting) == 0 {
		return p.failure
	}
	n, err := p.w.Write(p.waiting)
	if err != nil {
		p.failure = fmt.Errorf("write pcapng: %w", err)
		p.whole += wholeBlocks(p.waiting[:n])
		return p.failure
	}
	p.whole += int64(n)
	p.waiting = p.waiting[:0]
	return nil
}

// wholeBlocks is how many bytes of whole blocks there are in what we have written of
// several.
func wholeBlocks(written []byte) (n int64) {
	for len(written) >= 8 {
		size := int(binary.LittleEndian.Uint32(written[4:]))
		if size > len(written) {
			break
		}
		n, written = n+int64(size), written[size:]
	}
	return n
}

// Write appends a packet, and before it a description of its interface if it is
// the first.
func (p *PcapngWriter) Write(packet Packet) error {
	if err := p.begin(); err != nil {
		return err
	}
	index, ok := p.interfaces[packet.VNI]
	if !ok {
		index = uint32(len(p.interfaces))
		if err := p.describe(packet.VNI); err != nil {
			return err
		}
		p.interfaces[packet.VNI] = index
	}
	data := packet.Frame[:min(len(packet.Frame), p.snap)]
	stamp := uint64(packet.Time.UnixNano())
	p.start(blockPacket)
	p.uint32(index, uint32(stamp>>32), uint32(stamp), uint32(len(data)), uint32(packet.OriginalLength()))
	p.padded(data)
	return p.end()
}

// begin writes the section header block, once.
func (p *PcapngWriter) begin() error {
	if p.begun {
		return nil
	}
	p.begun = true
	p.start(blockSection)
	p.uint32(blockMagic, 1) // version 1.0
	p.uint32(0xffffffff, 0xffffffff)
	p.option(optionUserAppl, []byte("sluice receive"))
	p.option(optionEnd, nil)
	return p.end()
}

// describe writes the interface description block of a network.
func (p *PcapngWriter) describe(vni uint32) error {
	p.start(blockInterface)
	p.uint32(linkEthernet, uint32(p.snap))
	p.option(optionName, fmt.Appendf(nil, "vni%d", vni))
	p.option(optionDescription, fmt.Appendf(nil, "VXLAN network identifier %d", vni))
	p.option(optionTsresol, []byte{nanoseconds})
	p.option(optionEnd, nil)
	return p.end()
}

// start begins a block; its length is set at the end.
func (p *PcapngWriter) start(kind uint32) {
	p.block = p.block[:0]
	p.uint32(kind, 0)
}

func (p *PcapngWriter) uint32(values ...uint32) {
	for _, v := range values {
		p.block = binary.LittleEndian.AppendUint32(p.block, v)
	}
}

// padded appends data, up to the next multiple of four bytes.
func (p *PcapngWriter) padded(data []byte) {
	p.block = append(p.block, data...)
	for len(p.block)%4 != 0 {
		p.block = append(p.block, 0)
	}
}

func (p *PcapngWriter) option(code uint16, value []byte) {
	p.block = binary.LittleEndian.AppendUint16(p.block, code)
	p.block = binary.LittleEndian.AppendUint16(p.block, uint16(len(value)))
	p.padded(value)
}

// end sets the block's length, in front and behind, and writes it.
func (p *PcapngWriter) end() error {
	size := uint32(len(p.block) + 4)
	p.uint32(size)
	binary.LittleEndian.PutUint32(p.block[4:], size)
	if len(p.waiting) > 0 && len(p.waiting)+len(p.block) > writeBuffer {
		if err := p.writeOut(); err != nil {
			return err
		}
	}
	if p.failure != nil {
		return p.failure
	}
	p.waiting = append(p.waiting, p.block...)
	p.written += int64(size)
	return nil
}

// stampTime makes a time of nanoseconds since 1970.
func stampTime(high, low uint32) time.Time { return time.Unix(0, int64(uint64(high)<<32|uint64(low))) }
