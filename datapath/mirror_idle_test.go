package datapath

import (
	"io"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"sluice"
	"sluice/internal/testnet"
)

// paced sends n bytes over TCP at a rate that the kernel keeps by its timer: what is sent
// leaves while the sender sleeps.
func (l *mirrorLab) paced(n, bytesPerSecond int) {
	l.t.Helper()
	listener, err := testnet.Listen(l.peer, "tcp", netip.AddrPortFrom(peerIPv4, 0).String())
	if err != nil {
		l.t.Fatal(err)
	}
	defer listener.Close()
	received := make(chan error, 1)
	go func() {
		c, err := listener.Accept()
		if err == nil {
			_, err = io.Copy(io.Discard, c)
			c.Close()
		}
		received <- err
	}()
	c, err := testnet.Dial(l.t.Context(), l.source, "tcp", listener.Addr().String())
	if err != nil {
		l.t.Fatal(err)
	}
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) {
			if err := unix.SetsockoptUint64(int(fd), unix.SOL_SOCKET, unix.SO_MAX_PACING_RATE, uint64(bytesPerSecond)); err != nil {
				l.t.Error(err)
			}
		})
	}
	if err != nil {
		l.t.Fatal(err)
	}
	if _, err := c.Write(make([]byte, n)); err != nil {
		l.t.Fatal(err)
	}
	c.Close()
	if err := <-received; err != nil {
		l.t.Fatal(err)
	}
}

// Copies cost nobody anything while their processor has nothing else to do.
func TestTimeOfAnIdleProcessorIsFree(t *testing.T) {
	l := newMirrorLab(t, 1500, 1500)
	s := l.session(1)
	d := l.limited(copyPrices{truncated: dear}, s)
	// At this price nearly all would be too many. Of idle time there is less where the machine
	// does other things, so it may try again.
	var c sluice.MirrorCounters
	for range 5 {
		before := l.counters(d, s.ID).Egress
		l.paced(60<<20, 40<<20)
		if c = minus(l.counters(d, s.ID).Egress, before); c.Truncated.Packets > 10_000 && 3*c.Capped.Packets < 2*c.Matched.Packets {
			return
		}
	}
	t.Errorf("counted %+v", c)
}
