package main

import (
	"context"
	"encoding/binary"
	"maps"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/internal/testnet"
	"sluice/receive"
)

// The streams of the test: both sandboxes mirror one, the second alone the other.
const (
	bothPort   = 7007
	secondPort = 7008
)

// streamOf is a stream as a VXLAN network carries it.
type streamOf struct {
	vni  uint32
	port uint16
}

// streamCopies is a sink that counts the copies of each datagram.
type streamCopies struct {
	mu   sync.Mutex
	seen map[streamOf]map[uint64]int
}

// Write reads the number of a datagram: Ethernet 14, IPv4 20, UDP 8 bytes before it.
func (c *streamCopies) Write(p receive.Packet) error {
	f := p.Frame
	if len(f) < 50 || f[23] != 17 {
		return nil
	}
	of := streamOf{p.VNI, binary.BigEndian.Uint16(f[36:])}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen[of] == nil {
		c.seen[of] = map[uint64]int{}
	}
	c.seen[of][binary.BigEndian.Uint64(f[42:])]++
	return nil
}

func (c *streamCopies) Flush() error { return nil }

func (c *streamCopies) count(of streamOf) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.seen[of])
}

// sensorReceives lets the sensor receive until stop is called, which returns what was
// lost at the socket.
func (l mirrorLab) sensorReceives(sink receive.Sink) (stop func() receive.Counts) {
	l.t.Helper()
	ctx, cancel := context.WithCancel(l.t.Context())
	var r *receive.Receiver
	err := testnet.Do(l.Network.Sensor, func() (err error) {
		r, err = receive.Listen(ctx, "[::]:4789", sink)
		return err
	})
	if err != nil {
		l.t.Fatal(err)
	}
	end := make(chan error, 1)
	go func() { end <- r.Run(ctx) }()
	stop = sync.OnceValue(func() receive.Counts {
		cancel()
		if err := <-end; err != nil {
			l.t.Error(err)
		}
		counts, err := r.Counts()
		if err != nil {
			l.t.Error(err)
		}
		return counts
	})
	l.t.Cleanup(func() { stop() })
	return stop
}

// number sends numbered datagrams from the client to the server, the same to every port,
// until stop is called. sent is how many went to each.
func (l mirrorLab) number(sent *atomic.Uint64, ports ...int) (stop func()) {
	l.t.Helper()
	var streams []net.Conn
	for _, port := range ports {
		address := net.JoinHostPort(l.Network.Hosts()[1].IPv4.String(), strconv.Itoa(port))
		sink, err := testnet.ListenPacket(l.Network.Server, "udp4", address)
		if err != nil {
			l.t.Fatal(err)
		}
		l.t.Cleanup(func() { sink.Close() })
		stream, err := testnet.Dial(l.t.Context(), l.Network.Client, "udp4", address)
		if err != nil {
			l.t.Fatal(err)
		}
		l.t.Cleanup(func() { stream.Close() })
		streams = append(streams, stream)
	}
	ctx, cancel := context.WithCancel(l.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(500 * time.Microsecond)
		defer tick.Stop()
		for ; ctx.Err() == nil; sent.Add(1) {
			<-tick.C
			for _, s := range streams {
				if _, err := s.Write(binary.BigEndian.AppendUint64(nil, sent.Load())); err != nil {
					l.t.Error(err)
					return
				}
			}
		}
	}()
	stop = func() { cancel(); <-done }
	l.t.Cleanup(stop)
	return stop
}

// TestTheEndOfASandboxLeavesTheOthersMirroringAlone: two sandboxes mirror one device.
// Of a stream that both want, the session with the lower number has the copies, and when
// its sandbox ends the other's takes over between two datagrams. A stream that is the
// other's alone goes on. Not one copy is lost or doubled.
func TestTheEndOfASandboxLeavesTheOthersMirroringAlone(t *testing.T) {
	l := startMirrorLab(t)
	a := l.logon()
	source, target := l.nic(l.Network.Client, "eth0"), l.nic(l.Network.Sensor, "eth0")
	first, second := a.begin("first"), a.begin("second")
	a.ask("ExecuteCommand", creation(first, source, target, 1, bothPort, bothPort))
	a.ask("ExecuteCommand", creation(second, source, target, 2, bothPort, secondPort))
	sessions, err := describeSessions(t.Context(), ec2{mustConfig(t, l.labConfig)}, nil)
	if err != nil || len(sessions) != 2 {
		t.Fatalf("sessions %+v, %v", sessions, err)
	}
	vnis := map[int]uint32{}
	for _, s := range sessions {
		vnis[s.Number] = s.VNI
	}
	ending, taking, own := streamOf{vnis[1], bothPort}, streamOf{vnis[2], bothPort}, streamOf{vnis[2], secondPort}

	sink := &streamCopies{seen: map[streamOf]map[uint64]int{}}
	stopSensor := l.sensorReceives(sink)
	var sent atomic.Uint64
	stop := l.number(&sent, bothPort, secondPort)
	await(t, "copies of both sessions", func() bool { return sink.count(ending) >= 500 && sink.count(own) >= 500 })
	if n := sink.count(taking); n > 0 {
		t.Errorf("%d datagrams were taken from the session with the lower number", n)
	}
	a.end(first)
	await(t, "the other session to take over", func() bool { return sink.count(taking) >= 500 })
	stop()
	n := sent.Load()
	arrived := func() bool {
		return sink.count(own) >= int(n) && sink.count(ending)+sink.count(taking) >= int(n)
	}
	for deadline := time.Now().Add(5 * time.Second); !arrived() && time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
	} // which are missing is told below
	counts := stopSensor()

	if len(sink.seen) != 3 || counts.Dropped > 0 || len(counts.Faults) > 0 {
		t.Errorf("streams %v, counts %+v", slices.Collect(maps.Keys(sink.seen)), counts)
	}
	turn := uint64(len(sink.seen[ending]))
	for i := range n {
		of, other := ending, taking
		if i >= turn {
			of, other = taking, ending
		}
		if sink.seen[of][i] != 1 || sink.seen[other][i] != 0 || sink.seen[own][i] != 1 {
			t.Fatalf("datagram %d of %d, the turn being at %d: %d copies of the session whose turn it is, %d of the other, %d of the stream of one session",
				i, n, turn, sink.seen[of][i], sink.seen[other][i], sink.seen[own][i])
		}
	}
	left, err := describeSessions(t.Context(), ec2{mustConfig(t, l.labConfig)}, nil)
	if err != nil || len(left) != 1 || left[0].Number != 2 {
		t.Errorf("sessions %+v, %v", left, err)
	}
	t.Logf("%d datagrams to each port, the turn at %d, none without its copy", n, turn)
}
