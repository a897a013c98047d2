package main

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"sluice"
	"sluice/internal/testnet"
	"sluice/receive"
)

// packetWatch is a packet socket on one device, or on all of a namespace.
type packetWatch struct {
	fd       int
	incoming bool // leaves out what the devices send
}

// watchPackets opens a packet socket; device "" is all devices.
func watchPackets(netns, device string) (*packetWatch, error) {
	w := &packetWatch{fd: -1}
	err := testnet.Do(netns, func() error {
		index := 0
		if device != "" {
			d, err := net.InterfaceByName(device)
			if err != nil {
				return err
			}
			index = d.Index
		}
		var err error
		if w.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		const all = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8 // network byte order
		if err := unix.Bind(w.fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: index}); err != nil {
			unix.Close(w.fd)
			return err
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("watch packets of %s/%s: %w", netns, device, err)
	}
	return w, nil
}

// watchBuffer is how many bytes of packets may wait for their reader.
const watchBuffer = 64 << 20

// enlarge lets many packets wait, for one who must see them all.
func (w *packetWatch) enlarge() error {
	if err := unix.SetsockoptInt(w.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, watchBuffer); err != nil {
		return fmt.Errorf("enlarge buffer of the packet socket: %w", err)
	}
	return nil
}

// drops is how many packets found no room since it was asked last.
func (w *packetWatch) drops() (uint32, error) {
	stats, err := unix.GetsockoptTpacketStats(w.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return 0, fmt.Errorf("read drops of the packet socket: %w", err)
	}
	return stats.Drops, nil
}

func (w *packetWatch) close() { unix.Close(w.fd) }

// next returns the next frame before the deadline, cut to the buffer; nil after it.
func (w *packetWatch) next(buf []byte, deadline time.Time) ([]byte, error) {
	frame, _, err := nextOf([]*packetWatch{w}, buf, deadline)
	return frame, err
}

// nextOf returns the next frame of several watches, and which of them has seen it. An
// error of one of them comes with that watch.
func nextOf(watches []*packetWatch, buf []byte, deadline time.Time) (frame []byte, by *packetWatch, err error) {
	poll := make([]unix.PollFd, len(watches))
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return nil, nil, nil
		}
		for i, w := range watches {
			poll[i] = unix.PollFd{Fd: int32(w.fd), Events: unix.POLLIN}
		}
		n, err := unix.Poll(poll, int(left.Milliseconds())+1)
		if err == unix.EINTR || err == nil && n == 0 {
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("wait for a packet: %w", err)
		}
		for i, w := range watches {
			if poll[i].Revents == 0 {
				continue
			}
			frame, err := w.read(buf)
			if frame != nil || err != nil {
				return frame, w, err
			}
		}
	}
}

// read reads a frame that waits; nil when there is none.
func (w *packetWatch) read(buf []byte) ([]byte, error) {
	size, from, err := unix.Recvfrom(w.fd, buf, unix.MSG_DONTWAIT)
	if err == unix.EAGAIN || err == unix.EINTR {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read a packet: %w", err)
	}
	link, ok := from.(*unix.SockaddrLinklayer)
	if w.incoming && ok && link.Pkttype == unix.PACKET_OUTGOING {
		return nil, nil
	}
	return buf[:size], nil
}

// outerPacket is what check looks at of a packet on the way.
type outerPacket struct {
	source, destination netip.Addr
	protocol            uint8
	payload             []byte // above IP
}

// parseOuter reads an IP packet without options or extension headers, which is what
// carries copies and most ICMP.
func parseOuter(frame []byte) (p outerPacket, ok bool) {
	if len(frame) < 34 {
		return p, false
	}
	switch binary.BigEndian.Uint16(frame[12:]) {
	case unix.ETH_P_IP:
		ip := frame[14:]
		size := int(ip[0]&15) * 4
		if size < 20 || len(ip) < size {
			return p, false
		}
		source, _ := netip.AddrFromSlice(ip[12:16])
		destination, _ := netip.AddrFromSlice(ip[16:20])
		return outerPacket{source, destination, ip[9], ip[size:]}, true
	case unix.ETH_P_IPV6:
		ip := frame[14:]
		if len(ip) < 40 {
			return p, false
		}
		source, _ := netip.AddrFromSlice(ip[8:24])
		destination, _ := netip.AddrFromSlice(ip[24:40])
		return outerPacket{source, destination, ip[6], ip[40:]}, true
	}
	return p, false
}

// copyOf tells whether a frame on the way carries a copy of sent, whole or cut, and
// returns the inner frame.
func copyOf(frame, sent []byte, vni uint32) (p outerPacket, inner []byte, ok bool) {
	p, ok = parseOuter(frame)
	if !ok || p.protocol != sluice.ProtocolUDP || len(p.payload) < 8 || binary.BigEndian.Uint16(p.payload[2:]) != receive.Port {
		return p, nil, false
	}
	body := p.payload[8:]
	if size := int(binary.BigEndian.Uint16(p.payload[4:])) - 8; size >= 0 && size < len(body) {
		body = body[:size] // the link's padding
	}
	got, inner, fault := receive.Decapsulate(body)
	if fault != receive.NoFault || got != vni || !bytes.HasPrefix(sent, inner) {
		return p, nil, false
	}
	return p, inner, true
}

// portUnreachable is how a host says that nothing listens there.
const portUnreachable = "port unreachable"

// icmpProblem reads an ICMP error about a copy that went to one of the receivers.
func icmpProblem(frame []byte, isReceiver func(netip.Addr) bool) (problem string, ok bool) {
	p, ok := parseOuter(frame)
	if !ok || len(p.payload) < 8 {
		return "", false
	}
	kind, code := p.payload[0], p.payload[1]
	quoted := make([]byte, 14)
	var what string
	switch p.protocol {
	case sluice.ProtocolICMP:
		binary.BigEndian.PutUint16(quoted[12:], unix.ETH_P_IP)
		switch {
		case kind == 3 && code == 3:
			what = portUnreachable
		case kind == 3 && code == 4:
			what = fmt.Sprintf("too large: the next link carries %d bytes", binary.BigEndian.Uint16(p.payload[6:]))
		case kind == 3:
			what = fmt.Sprintf("destination unreachable, code %d", code)
		}
	case sluice.ProtocolICMPv6:
		binary.BigEndian.PutUint16(quoted[12:], unix.ETH_P_IPV6)
		switch {
		case kind == 1 && code == 4:
			what = portUnreachable
		case kind == 1:
			what = fmt.Sprintf("destination unreachable, code %d", code)
		case kind == 2:
			what = fmt.Sprintf("too large: the next link carries %d bytes", binary.BigEndian.Uint32(p.payload[4:]))
		}
	}
	if what == "" {
		return "", false
	}
	q, ok := parseOuter(append(quoted, p.payload[8:]...))
	if !ok || q.protocol != sluice.ProtocolUDP || len(q.payload) < 4 || binary.BigEndian.Uint16(q.payload[2:]) != receive.Port || !isReceiver(q.destination) {
		return "", false
	}
	return fmt.Sprintf("%s says of the copy to %s: %s", p.source, q.destination, what), true
}

// portOpen tells whether a namespace has a UDP socket, that of a VXLAN device included,
// that takes what comes to an address on the port of VXLAN. bound are the addresses of
// those that take only what comes to others. Whether a socket of [::] leaves IPv4 out
// can't be seen.
func portOpen(netns string, destination netip.Addr) (open bool, bound []netip.Addr, err error) {
	err = testnet.Do(netns, func() error {
		for _, name := range []string{"udp", "udp6"} {
			text, err := os.ReadFile("/proc/thread-self/net/" + name)
			if os.IsNotExist(err) {
				continue
			}
			if err != nil {
				return fmt.Errorf("read sockets: %w", err)
			}
			for line := range strings.Lines(string(text)) {
				fields := strings.Fields(line)
				if len(fields) < 2 {
					continue
				}
				local, ok := parseSocketAddress(fields[1])
				if !ok || local.Port() != receive.Port {
					continue
				}
				a := local.Addr()
				if a.Unmap() == destination || a.IsUnspecified() && (a.Is6() || destination.Is4()) {
					open = true
				} else {
					bound = append(bound, a.Unmap())
				}
			}
		}
		return nil
	})
	return open, bound, err
}

// parseSocketAddress reads an address and a port of /proc/net/udp or udp6: hexadecimal,
// the address in words of 32 bits of the machine's byte order.
func parseSocketAddress(text string) (netip.AddrPort, bool) {
	address, port, ok := strings.Cut(text, ":")
	if !ok {
		return netip.AddrPort{}, false
	}
	raw, err := hex.DecodeString(address)
	if err != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	a, ok := netip.AddrFromSlice(raw)
	n, err := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(a, uint16(n)), true
}

// sendFrame sends a frame out of a device, past no part of it: the queueing and the
// programs of the device see it like any other.
func sendFrame(netns, device string, frame []byte) error {
	err := testnet.Do(netns, func() error {
		d, err := net.InterfaceByName(device)
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: d.Index})
	})
	if err != nil {
		return fmt.Errorf("send a probe out of %s/%s: %w", netns, device, err)
	}
	return nil
}
