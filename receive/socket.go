package receive

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// batchSize is how many datagrams one system call reads at most.
	batchSize = 64
	// datagramSize holds the largest UDP payload (65,535 less the headers), so
	// that none is ever cut by us: the batch takes 4 MiB.
	datagramSize = 1 << 16
	// controlSize holds one SCM_TIMESTAMPNS message.
	controlSize = 64
	// receiveBuffer is what is asked of the kernel for datagrams that wait, bytes: a
	// tenth of a second of 5 Gbit/s.
	receiveBuffer = 64 << 20
	// skMeminfoDrops is the index of the drop counter in SO_MEMINFO
	// (linux/sock_diag.h, SK_MEMINFO_DROPS).
	skMeminfoDrops = 8
	skMeminfoVars  = 9
)

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
	_   [4]byte
}

// socket is a UDP socket that is read in batches, with the kernel's time stamps.
type socket struct {
	conn *net.UDPConn
	raw  syscall.RawConn

	data    []byte // batchSize × datagramSize
	control [batchSize][controlSize]byte
	names   [batchSize]unix.RawSockaddrInet6
	iovs    [batchSize]unix.Iovec
	msgs    [batchSize]mmsghdr
}

// openSocket opens a socket in the network namespace of the calling thread. An IPv4
// address takes IPv4 alone, also 0.0.0.0; [::] and no address at all take both.
func openSocket(ctx context.Context, address string) (*socket, error) {
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if ctlErr := c.Control(func(fd uintptr) { err = prepareSocket(int(fd)) }); ctlErr != nil {
			return ctlErr
		}
		return err
	}}
	network := "udp"
	if a, err := netip.ParseAddrPort(address); err == nil && a.Addr().Is4() {
		network = "udp4"
	}
	p, err := config.ListenPacket(ctx, network, address)
	var refused *net.OpError
	if errors.As(err, &refused) {
		// Without the address that package net tried last: the caller says what was asked.
		return nil, refused.Err
	}
	if err != nil {
		return nil, err
	}
	conn := p.(*net.UDPConn)
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	s := &socket{conn: conn, raw: raw, data: make([]byte, batchSize*datagramSize)}
	for i := range s.msgs {
		s.iovs[i].Base = &s.data[i*datagramSize]
		s.iovs[i].SetLen(datagramSize)
		h := &s.msgs[i].hdr
		h.Name = (*byte)(unsafe.Pointer(&s.names[i]))
		h.Iov = &s.iovs[i]
		h.SetIovlen(1)
		h.Control = &s.control[i][0]
	}
	return s, nil
}

func prepareSocket(fd int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err != nil {
		return fmt.Errorf("ask for time stamps: %w", err)
	}
	// Without CAP_NET_ADMIN the kernel's limit net.core.rmem_max holds.
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer); err != nil {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer); err != nil {
			return fmt.Errorf("size receive buffer: %w", err)
		}
	}
	// Tunnels over IPv6 may leave the checksum out (RFC 6935). Only an IPv6 socket
	// knows the option.
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return fmt.Errorf("read domain of the socket: %w", err)
	}
	if domain == unix.AF_INET6 {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_NO_CHECK6_RX, 1); err != nil {
			return fmt.Errorf("allow IPv6 without checksum: %w", err)
		}
	}
	return nil
}

// take is called for each datagram that is read.
type take func(from netip.AddrPort, at time.Time, datagram []byte) error

// read waits for datagrams and reads a batch of them. full tells that more may wait
// already.
func (s *socket) read(t take) (full bool, err error) {
	var n int
	var errno syscall.Errno
	err = s.raw.Read(func(fd uintptr) bool {
		n, errno = s.batch(fd)
		return errno != unix.EAGAIN
	})
	if err != nil {
		return false, err
	}
	if errno != 0 {
		return false, errno
	}
	return n == batchSize, s.hand(n, t)
}

// readWaiting reads a batch of what waits in the socket, whatever the deadline.
func (s *socket) readWaiting(t take) (full bool, err error) {
	var n int
	var errno syscall.Errno
	if err := s.raw.Control(func(fd uintptr) { n, errno = s.batch(fd) }); err != nil {
		return false, err
	}
	if errno == unix.EAGAIN {
		return false, nil
	}
	if errno != 0 {
		return false, errno
	}
	return n == batchSize, s.hand(n, t)
}

// batch reads what waits, up to batchSize datagrams.
func (s *socket) batch(fd uintptr) (int, syscall.Errno) {
	for i := range s.msgs {
		s.msgs[i].hdr.Namelen = uint32(unsafe.Sizeof(s.names[i]))
		s.msgs[i].hdr.SetControllen(controlSize)
	}
	for {
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&s.msgs[0])), batchSize, unix.MSG_DONTWAIT, 0, 0)
		if errno != unix.EINTR {
			return int(n), errno
		}
	}
}

// hand gives the datagrams of a batch on.
func (s *socket) hand(n int, t take) error {
	for i := range n {
		m := &s.msgs[i]
		at := readStamp(s.control[i][:m.hdr.Controllen])
		data := s.data[i*datagramSize:][:m.len]
		if err := t(addressOf(&s.names[i]), at, data); err != nil {
			return err
		}
	}
	return nil
}

// readStamp finds the kernel's time stamp; without one it is now.
func readStamp(control []byte) time.Time {
	for len(control) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
		size := int(h.Len)
		if size < unix.SizeofCmsghdr || size > len(control) {
			break
		}
		body := control[unix.CmsgLen(0):size]
		if h.Level == unix.SOL_SOCKET && h.Type == unix.SCM_TIMESTAMPNS && len(body) >= int(unsafe.Sizeof(unix.Timespec{})) {
			ts := (*unix.Timespec)(unsafe.Pointer(&body[0]))
			return time.Unix(ts.Unix())
		}
		control = control[min(unix.CmsgSpace(size-unix.CmsgLen(0)), len(control)):]
	}
	return time.Now()
}

// addressOf reads a socket address of either family.
func addressOf(name *unix.RawSockaddrInet6) netip.AddrPort {
	// The port is in network byte order, at the same place in both families.
	port := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&name.Port))[:])
	if name.Family == unix.AF_INET {
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		return netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), port)
	}
	return netip.AddrPortFrom(netip.AddrFrom16(name.Addr).Unmap(), port)
}

// dropped reads the kernel's 32-bit count of datagrams that the socket lost.
func (s *socket) dropped() (drops uint32, err error) {
	var info [skMeminfoVars]uint32
	ctlErr := s.raw.Control(func(fd uintptr) {
		size := uint32(unsafe.Sizeof(info))
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_MEMINFO,
			uintptr(unsafe.Pointer(&info[0])), uintptr(unsafe.Pointer(&size)), 0)
		if errno != 0 {
			err = errno
		}
	})
	if err = errors.Join(ctlErr, err); err != nil {
		return 0, fmt.Errorf("read drops of the socket: %w", err)
	}
	return info[skMeminfoDrops], nil
}
