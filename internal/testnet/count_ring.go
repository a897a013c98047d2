package testnet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The ring: 65,536 frames of 512 bytes are 32 MiB of kernel memory, and hold
// 65 ms of a million frames a second while the reader is kept from the CPU. A
// frame's part that does not fit is cut off, which is all of it but the headers.
const (
	ringFrameSize  = 512
	ringFrames     = 1 << 16
	ringBlockSize  = 1 << 16
	ringFrameBytes = ringFrameSize * ringFrames
)

// Offsets in a frame: struct tpacket2_hdr, then struct sockaddr_ll
// (linux/if_packet.h).
const (
	frameStatus   = 0
	frameLength   = 4
	frameSnap     = 8
	frameMAC      = 12
	frameNet      = 14
	frameSockaddr = 32 // TPACKET_ALIGN(sizeof(struct tpacket2_hdr))
	frameProtocol = frameSockaddr + 2
	frameHatype   = frameSockaddr + 8
	framePkttype  = frameSockaddr + 10
)

// vnetHeaderSize is sizeof(struct virtio_net_hdr), which precedes the packet.
const vnetHeaderSize = 10

// frame is one packet in the ring; its slices are valid until release.
type frame struct {
	vnet     []byte // struct virtio_net_hdr in the byte order of the machine
	data     []byte // from the link layer header on, cut to what fits
	network  []byte // from the network header on, as the kernel sees it
	length   int    // of the whole packet, from the link layer header on
	protocol uint16 // Ethertype
	hatype   uint16 // ARPHRD_*
	outgoing bool
}

// packetRing is a packet socket with a TPACKET_V2 receive ring.
type packetRing struct {
	fd   int
	mem  []byte
	head int // the next frame to read
}

// openRing opens a ring on a device of the thread's namespace. It is bound last,
// so that nothing gets in from elsewhere.
func openRing(ifindex int) (_ *packetRing, err error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open packet socket: %w", err)
	}
	r := &packetRing{fd: fd}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	for _, o := range []struct {
		name   string
		option int
		value  int
	}{
		{"version", unix.PACKET_VERSION, unix.TPACKET_V2},
		{"virtio header", unix.PACKET_VNET_HDR, 1},
	} {
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, o.option, o.value); err != nil {
			return nil, fmt.Errorf("set packet %s: %w", o.name, err)
		}
	}
	req := &unix.TpacketReq{
		Block_size: ringBlockSize, Block_nr: ringFrameBytes / ringBlockSize,
		Frame_size: ringFrameSize, Frame_nr: ringFrames,
	}
	if err := unix.SetsockoptTpacketReq(fd, unix.SOL_PACKET, unix.PACKET_RX_RING, req); err != nil {
		return nil, fmt.Errorf("make packet ring: %w", err)
	}
	r.mem, err = unix.Mmap(fd, 0, ringFrameBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map packet ring: %w", err)
	}
	all := uint16(unix.ETH_P_ALL)<<8 | uint16(unix.ETH_P_ALL)>>8 // network byte order
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: ifindex}); err != nil {
		return nil, fmt.Errorf("bind packet socket: %w", err)
	}
	return r, nil
}

func (r *packetRing) status() *uint32 {
	return (*uint32)(unsafe.Pointer(&r.mem[r.head*ringFrameSize+frameStatus]))
}

// next returns the oldest unread frame. The kernel hands a frame over by its
// status, so that is read first and with acquire order.
func (r *packetRing) next() (frame, bool) {
	if atomic.LoadUint32(r.status())&unix.TP_STATUS_USER == 0 {
		return frame{}, false
	}
	b := r.mem[r.head*ringFrameSize : (r.head+1)*ringFrameSize]
	mac := int(binary.NativeEndian.Uint16(b[frameMAC:]))
	net := int(binary.NativeEndian.Uint16(b[frameNet:]))
	end := min(mac+int(binary.NativeEndian.Uint32(b[frameSnap:])), ringFrameSize)
	net = min(max(net, mac), end)
	return frame{
		vnet:     b[mac-vnetHeaderSize : mac],
		data:     b[mac:end],
		network:  b[net:end],
		length:   int(binary.NativeEndian.Uint32(b[frameLength:])),
		protocol: binary.BigEndian.Uint16(b[frameProtocol:]),
		hatype:   binary.NativeEndian.Uint16(b[frameHatype:]),
		outgoing: b[framePkttype] == unix.PACKET_OUTGOING,
	}, true
}

// release gives the frame that next returned back to the kernel.
func (r *packetRing) release() {
	atomic.StoreUint32(r.status(), unix.TP_STATUS_KERNEL)
	r.head = (r.head + 1) % ringFrames
}

func (r *packetRing) close() error {
	var errs []error
	if r.mem != nil {
		errs = append(errs, unix.Munmap(r.mem))
		r.mem = nil
	}
	return wrap("close packet ring", errors.Join(append(errs, unix.Close(r.fd))...))
}
