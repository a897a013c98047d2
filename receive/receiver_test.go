package receive_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sluice/internal/testnet"
	"sluice/receive"
)

// kept is a sink that keeps what it gets.
type kept struct {
	mu      sync.Mutex
	packets []receive.Packet
	fail    error
	calls   int // of Write and Flush
}

func (k *kept) Write(p receive.Packet) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	p.Frame = slices.Clone(p.Frame)
	k.packets = append(k.packets, p)
	k.calls++
	return k.fail
}

func (k *kept) Flush() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.calls++
	return k.fail
}

// startReceiver runs a receiver until the test ends, or stop is called.
func startReceiver(t *testing.T, address string, sinks ...receive.Sink) (r *receive.Receiver, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r, err := receive.Listen(ctx, address, sinks...)
	if err != nil {
		t.Fatal(err)
	}
	end := make(chan error, 1)
	go func() { end <- r.Run(ctx) }()
	stop = sync.OnceValue(func() error { cancel(); return <-end })
	t.Cleanup(func() { stop() })
	return r, stop
}

// await waits until the receiver's counts are as wanted.
func await(t *testing.T, r *receive.Receiver, want func(receive.Counts) bool) receive.Counts {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		c, err := r.Counts()
		if err != nil {
			t.Fatal(err)
		}
		if want(c) {
			return c
		}
		if time.Now().After(deadline) {
			t.Fatalf("the counts stay %+v", c)
		}
		time.Sleep(time.Millisecond)
	}
}

func dial(t *testing.T, to netip.AddrPort) net.Conn {
	t.Helper()
	c, err := net.Dial("udp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func send(t *testing.T, c net.Conn, datagram []byte) {
	t.Helper()
	if _, err := c.Write(datagram); err != nil {
		t.Fatal(err)
	}
}

func TestFramesArriveWholeCountedAndStamped(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		sink := &kept{}
		r, stop := startReceiver(t, address, sink)
		c := dial(t, r.Address())
		before := time.Now()
		const packets = 200
		for i := range packets {
			send(t, c, receive.Encapsulate(nil, uint32(i%2), echoRequest(byte(i), i*40)))
		}
		send(t, c, []byte{8, 0, 0})
		send(t, c, receive.Encapsulate(nil, 1, echoRequest(1, 500)[:64]))
		counts := await(t, r, func(n receive.Counts) bool { return n.Packets() == packets+1 })
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if counts.Faults[receive.FaultShort] != 1 || len(counts.Faults) != 1 || counts.Dropped != 0 {
			t.Errorf("%s: faults %v, %d dropped", address, counts.Faults, counts.Dropped)
		}
		if len(counts.Networks) != 2 || counts.Networks[0].Packets != packets/2 || counts.Networks[1].Packets != packets/2+1 {
			t.Fatalf("%s: networks %+v", address, counts.Networks)
		}
		if n := counts.Networks; n[0].Cut != 0 || n[1].Cut != 1 || n[1].From.String() != c.LocalAddr().String() {
			t.Errorf("%s: networks %+v, sent from %s", address, n, c.LocalAddr())
		}
		for i, p := range sink.packets[:packets] {
			if p.VNI != uint32(i%2) || !slices.Equal(p.Frame, echoRequest(byte(i), i*40)) {
				t.Fatalf("%s: packet %d arrived as VNI %d, %d bytes", address, i, p.VNI, len(p.Frame))
			}
			if p.Time.Before(before.Add(-time.Millisecond)) || p.Time.After(time.Now()) {
				t.Fatalf("%s: packet %d was stamped %s", address, i, p.Time)
			}
		}
	}
}

func TestWhatWaitsAtTheEndIsReceived(t *testing.T) {
	sink := &kept{}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r, err := receive.Listen(context.Background(), "127.0.0.1:0", sink)
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, r.Address())
	for i := range 300 {
		send(t, c, receive.Encapsulate(nil, 1, echoRequest(byte(i), 100)))
	}
	if err := r.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if n, err := r.Counts(); err != nil || n.Packets() != 300 || len(sink.packets) != 300 {
		t.Errorf("%d of 300 received, %v", n.Packets(), err)
	}
}

// held is a sink that waits, so that the socket fills up.
type held struct{ release chan struct{} }

func (h held) Write(receive.Packet) error { <-h.release; return nil }
func (h held) Flush() error               { return nil }

func TestWhatTheKernelDroppedIsReported(t *testing.T) {
	h := held{make(chan struct{})}
	r, stop := startReceiver(t, "127.0.0.1:0", h)
	c := dial(t, r.Address())
	datagram := receive.Encapsulate(nil, 1, make([]byte, 60000))
	for range 4000 { // 240 MB into a buffer of at most 2 × 64 MiB
		send(t, c, datagram)
	}
	await(t, r, func(n receive.Counts) bool { return n.Dropped > 0 })
	close(h.release)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if n, err := r.Counts(); err != nil || n.Dropped == 0 {
		t.Errorf("after the end: %+v, %v", n, err)
	}
}

func TestASinkThatFailsEndsTheReceiver(t *testing.T) {
	sink := &kept{fail: errors.New("disk full")}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	other := &kept{}
	r, err := receive.Listen(ctx, "127.0.0.1:0", other)
	if err != nil {
		t.Fatal(err)
	}
	r.AddSinks(sink)
	send(t, dial(t, r.Address()), receive.Encapsulate(nil, 1, echoRequest(1, 1)))
	if err := r.Run(ctx); !errors.Is(err, sink.fail) || strings.Count(err.Error(), "disk full") != 1 {
		t.Errorf("Run said %v", err)
	}
	if sink.calls != 1 || other.calls == 0 {
		t.Errorf("the sink that failed was called %d times, the one before it %d times", sink.calls, other.calls)
	}
}

func TestAnAddressOfIPv4TakesIPv4Alone(t *testing.T) {
	for address, want := range map[string]string{"0.0.0.0:0": "0.0.0.0", "[::]:0": "::", ":0": "::", "127.0.0.1:0": "127.0.0.1"} {
		r, err := receive.Listen(t.Context(), address)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Address().Addr().String(); got != want {
			t.Errorf("%s listens on %s", address, got)
		}
		taken := r.Address().String()
		if _, err := receive.Listen(t.Context(), taken); err == nil || err.Error() != "listen for VXLAN on "+taken+": bind: address already in use" {
			t.Errorf("again: %v", err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		again, err := receive.Listen(t.Context(), taken)
		if err != nil {
			t.Fatalf("after Close: %v", err)
		}
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestSuperPacketsAreCounted(t *testing.T) {
	r, _ := startReceiver(t, "127.0.0.1:0")
	c := dial(t, r.Address())
	for _, size := range []int{1514, 9234, 9235, 65160} {
		send(t, c, receive.Encapsulate(nil, 1, make([]byte, size)))
	}
	if n := await(t, r, func(n receive.Counts) bool { return n.Packets() == 4 }); n.Uncut() != 2 {
		t.Errorf("%d of 2 super-packets counted", n.Uncut())
	}
}

func TestNetworksAreBounded(t *testing.T) {
	r, _ := startReceiver(t, "127.0.0.1:0")
	c := dial(t, r.Address())
	const sent = 5000
	for i := range uint32(sent) {
		send(t, c, receive.Encapsulate(nil, i, echoRequest(1, 1)))
	}
	n := await(t, r, func(n receive.Counts) bool { return n.Packets()+n.Faults[receive.FaultVNI] == sent })
	if len(n.Networks) != 4096 || n.Faults[receive.FaultVNI] != sent-4096 {
		t.Errorf("%d networks, %v", len(n.Networks), n.Faults)
	}
}

func TestATapCarriesTheFrames(t *testing.T) {
	netns := testnet.UniquePrefix("receive") + "tap"
	testnet.CreateForTest(t, testnet.Topology{Nodes: []testnet.Node{{Netns: netns}}})
	var tap *receive.Tap
	listener := -1
	err := testnet.Do(netns, func() (err error) {
		if tap, err = receive.OpenTap("mirror0"); err != nil {
			return err
		}
		device, err := net.InterfaceByName("mirror0")
		if err != nil {
			return err
		}
		const all = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8
		if listener, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		return unix.Bind(listener, &unix.SockaddrLinklayer{Protocol: all, Ifindex: device.Index})
	})
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(listener)
	for i, size := range []int{0, 1400, 8900, 60000} {
		frame := echoRequest(byte(i), size)
		if err := tap.Write(receive.Packet{Frame: frame}); err != nil {
			t.Fatal(err)
		}
		if err := unix.SetsockoptTimeval(listener, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5}); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 70000)
		n, err := unix.Read(listener, buf)
		if err != nil || !slices.Equal(buf[:n], frame) {
			t.Fatalf("the tap carried %d of %d bytes, %v", n, len(frame), err)
		}
	}
	if tap.Drops() != 0 {
		t.Errorf("%d frames were not taken", tap.Drops())
	}
	if err := tap.Close(); err != nil {
		t.Fatal(err)
	}
	err = testnet.Do(netns, func() error { _, err := net.InterfaceByName("mirror0"); return err })
	if err == nil {
		t.Error("the device is still there")
	}
}
