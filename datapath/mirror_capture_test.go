package datapath

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// tap records the frames that cross a device, with the VLAN tags that the kernel keeps
// beside them put back.
type tap struct {
	t    testing.TB
	fd   int
	done chan struct{}

	mu     sync.Mutex
	frames [][]byte
}

// openTap begins to record on a device.
func openTap(t testing.TB, netns, device string) *tap {
	t.Helper()
	p := &tap{t: t, done: make(chan struct{})}
	err := inNamespace(netns, func() error {
		dev, err := net.InterfaceByName(device)
		if err != nil {
			return err
		}
		p.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		all := uint16(unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8)
		timeout := unix.NsecToTimeval(int64(20 * time.Millisecond))
		return errors.Join(
			unix.SetsockoptInt(p.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 512<<20),
			unix.SetsockoptInt(p.fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1),
			unix.SetsockoptTimeval(p.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout),
			unix.Bind(p.fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: dev.Index}))
	})
	if err != nil {
		t.Fatalf("tap %s: %v", device, err)
	}
	stop := make(chan struct{})
	go p.read(stop)
	t.Cleanup(func() { close(stop); <-p.done; unix.Close(p.fd) })
	return p
}

func (p *tap) read(stop chan struct{}) {
	defer close(p.done)
	b, oob := make([]byte, 1<<18), make([]byte, 256)
	for {
		select {
		case <-stop:
			return
		default:
		}
		n, oobn, _, _, err := unix.Recvmsg(p.fd, b, oob, unix.MSG_TRUNC)
		if err != nil {
			continue // the time-out, at which to look at stop
		}
		f := p.untag(b[:n], oob[:oobn])
		p.mu.Lock()
		p.frames = append(p.frames, f)
		p.mu.Unlock()
	}
}

// untag copies a frame and puts its tag back in.
func (p *tap) untag(b, oob []byte) []byte {
	out := append(make([]byte, 0, len(b)+4), b...)
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return out
	}
	for _, m := range messages {
		if m.Header.Level != unix.SOL_PACKET || m.Header.Type != unix.PACKET_AUXDATA || len(m.Data) < 20 {
			continue
		}
		status := *(*uint32)(unsafe.Pointer(&m.Data[0]))
		if status&unix.TP_STATUS_VLAN_VALID == 0 {
			continue
		}
		tci, tpid := *(*uint16)(unsafe.Pointer(&m.Data[16])), *(*uint16)(unsafe.Pointer(&m.Data[18]))
		tag := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, tpid), tci)
		out = append(append(append([]byte{}, out[:12]...), tag...), out[12:]...)
	}
	return out
}

// take returns the frames so far that keep wants.
func (p *tap) take(keep func([]byte) bool) [][]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out [][]byte
	for _, f := range p.frames {
		if keep(f) {
			out = append(out, f)
		}
	}
	return out
}

// settle waits until both the number of frames and that of another tap stand still.
func settle(taps ...*tap) {
	count := func() (n int) {
		for _, p := range taps {
			p.mu.Lock()
			n += len(p.frames)
			p.mu.Unlock()
		}
		return n
	}
	for last, same := -1, 0; same < 10; {
		if n := count(); n == last {
			same++
		} else {
			last, same = n, 0
		}
		time.Sleep(15 * time.Millisecond)
	}
}

// ipOf finds the IP header behind VLAN tags; 0 where there is none, or where it is
// neighbour discovery or IPv6 multicast.
func ipOf(f []byte) int {
	off := 12
	for off+4 < len(f) {
		switch binary.BigEndian.Uint16(f[off:]) {
		case 0x8100, 0x88a8:
			off += 4
			continue
		case 0x0800:
			return off + 2
		case 0x86dd:
			if ip := f[off+2:]; len(ip) > 40 && (ip[6] == 58 && ip[40] >= 133 && ip[40] <= 137 || ip[24] == 0xff) {
				return 0
			}
			return off + 2
		}
		return 0
	}
	return 0
}

// flowOf names the flow and direction of a frame, or of the first bytes of one, and tells
// whether there are enough of them for that.
func flowOf(f []byte) (key string, told bool) {
	at := ipOf(f)
	if at == 0 {
		return "", false
	}
	ip, ports := f[at:], 20
	switch ip[0] >> 4 {
	case 4:
		if len(ip) < ports {
			return "", false
		}
		key = fmt.Sprintf("%x %x %d", f[:at], ip[12:20], ip[9])
		if binary.BigEndian.Uint16(ip[6:])&0x3fff != 0 || ip[9] != 6 && ip[9] != 17 {
			return key, true
		}
	default:
		if ports = 40; len(ip) < ports {
			return "", false
		}
		key = fmt.Sprintf("%x %x %d", f[:at], ip[8:40], ip[6])
		if ip[6] != 6 && ip[6] != 17 {
			return key, true
		}
	}
	if len(ip) < ports+4 {
		return "", false
	}
	return key + fmt.Sprintf(" %x", ip[ports:ports+4]), true
}

// decapsulated is a copy without its wrapping.
type decapsulated struct {
	frame []byte
	vni   uint32
	sport uint16
}

// decapsulate takes copies apart and checks every bit of what is around them.
func decapsulate(t testing.TB, frames [][]byte) []decapsulated {
	t.Helper()
	var out []decapsulated
	for _, f := range frames {
		at := ipOf(f)
		ip := f[at:]
		var udp []byte
		if ip[0]>>4 == 4 {
			if ip[9] != 17 || binary.BigEndian.Uint16(ip[22:]) != 4789 {
				continue
			}
			if checksum(ip[:20]) != 0 {
				t.Fatalf("outer IPv4 checksum is wrong: %x", ip[:20])
			}
			if ip[0] != 0x45 || ip[1] != 0 || ip[8] != 255 ||
				binary.BigEndian.Uint16(ip[6:]) != 0x4000 || int(binary.BigEndian.Uint16(ip[2:])) != len(ip) {
				t.Fatalf("outer IPv4 header: %x, %d bytes", ip[:20], len(ip))
			}
			if udp = ip[20:]; udp[6] != 0 || udp[7] != 0 {
				t.Fatalf("outer UDP has a checksum: %x", udp[:8])
			}
		} else {
			if ip[6] != 17 || binary.BigEndian.Uint16(ip[42:]) != 4789 {
				continue
			}
			if ip[0] != 0x60 || ip[1] != 0 || ip[2] != 0 || ip[3] != 0 || ip[7] != 255 ||
				int(binary.BigEndian.Uint16(ip[4:])) != len(ip)-40 {
				t.Fatalf("outer IPv6 header: %x, %d bytes", ip[:40], len(ip))
			}
			udp = ip[40:]
			pseudo := join(ip[8:40], be32(uint32(len(udp))), be32(17), udp)
			if checksum(pseudo) != 0 {
				t.Fatalf("outer UDP checksum is wrong: %x", udp[:8])
			}
		}
		if int(binary.BigEndian.Uint16(udp[4:])) != len(udp) {
			t.Fatalf("outer UDP length: %x, %d bytes", udp[:8], len(udp))
		}
		x := udp[8:]
		if x[0] != 8 || x[1] != 0 || x[2] != 0 || x[3] != 0 || x[7] != 0 {
			t.Fatalf("VXLAN header: %x", x[:8])
		}
		sport := binary.BigEndian.Uint16(udp)
		if sport < 49152 {
			t.Fatalf("source port %d", sport)
		}
		out = append(out, decapsulated{frame: x[8:], vni: binary.BigEndian.Uint32(x[3:7]) & 0xffffff, sport: sport})
	}
	return out
}
