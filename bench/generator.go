package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// batchSize is how many frames one system call sends.
const batchSize = 64

// frameSize is a minimal Ethernet frame: 14 + IPv4 20 + UDP 8, padded to 60.
const frameSize = 60

// generator sends UDP over IPv4 frames from a raw packet socket. It belongs to
// the namespace in which it was opened, and to one goroutine.
type generator struct {
	fd     int
	frames [batchSize][frameSize]byte
	iovs   [batchSize]unix.Iovec
	msgs   [batchSize]mmsghdr
	filled int
}

// mmsghdr is struct mmsghdr of sendmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
	_   [4]byte
}

// tuple is what tells one frame from the next.
type tuple struct {
	src, dst     netip.Addr
	sport, dport uint16
}

// reversed is the reply's tuple.
func (t tuple) reversed() tuple { return tuple{t.dst, t.src, t.dport, t.sport} }

// openGenerator opens a generator on a device of the current namespace that sends
// to gateway.
func openGenerator(device string, gateway net.HardwareAddr) (*generator, error) {
	ifi, err := net.InterfaceByName(device)
	if err != nil {
		return nil, fmt.Errorf("find device %s: %w", device, err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open packet socket: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: ifi.Index}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("bind packet socket to %s: %w", device, err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("bypass the queueing discipline: %w", err)
	}
	g := &generator{fd: fd}
	for i := range g.frames {
		f := g.frames[i][:]
		copy(f[0:6], gateway)
		copy(f[6:12], ifi.HardwareAddr)
		binary.BigEndian.PutUint16(f[12:], unix.ETH_P_IP)
		ip := f[14:]
		ip[0], ip[8], ip[9] = 0x45, 64, unix.IPPROTO_UDP
		binary.BigEndian.PutUint16(ip[2:], 28)
		binary.BigEndian.PutUint16(ip[24:], 8) // UDP length; its checksum may be 0 over IPv4
		g.iovs[i] = unix.Iovec{Base: &f[0], Len: frameSize}
		g.msgs[i].hdr = unix.Msghdr{Iov: &g.iovs[i], Iovlen: 1}
	}
	return g, nil
}

func (g *generator) close() { unix.Close(g.fd) }

// send queues one frame, and sends when a batch is full.
func (g *generator) send(t tuple) error {
	ip := g.frames[g.filled][14:]
	src, dst := t.src.As4(), t.dst.As4()
	copy(ip[12:16], src[:])
	copy(ip[16:20], dst[:])
	binary.BigEndian.PutUint16(ip[20:], t.sport)
	binary.BigEndian.PutUint16(ip[22:], t.dport)
	binary.BigEndian.PutUint16(ip[10:], 0)
	binary.BigEndian.PutUint16(ip[10:], checksum(ip[:20]))
	g.filled++
	if g.filled == batchSize {
		return g.flush()
	}
	return nil
}

// flush sends what is queued.
func (g *generator) flush() error {
	for sent := 0; sent < g.filled; {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(g.fd), uintptr(unsafe.Pointer(&g.msgs[sent])),
			uintptr(g.filled-sent), 0, 0, 0)
		switch errno {
		case 0:
			sent += int(n)
		case unix.EINTR, unix.ENOBUFS, unix.EAGAIN:
		default:
			return fmt.Errorf("send frames: %w", errno)
		}
	}
	g.filled = 0
	return nil
}

// sendFor cycles through tuples until the time is over, and returns how many
// frames it sent.
func (g *generator) sendFor(d time.Duration, tuples []tuple) (sent uint64, err error) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		for i := 0; i < 16*batchSize; i++ {
			if err := g.send(tuples[sent%uint64(len(tuples))]); err != nil {
				return sent, err
			}
			sent++
		}
	}
	return sent, g.flush()
}

// checksum is the Internet checksum (RFC 1071) of an even number of bytes.
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum>>16 != 0 {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
