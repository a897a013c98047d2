package testnet

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"sluice"
)

func count(t *testing.T, netns, device string) *Counter {
	t.Helper()
	c, err := Count(netns, device)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// requireNoLoss fails when a counter missed something.
func requireNoLoss(t *testing.T, c *Counter) {
	t.Helper()
	s, err := c.Stats()
	if err != nil || s.Drops != 0 || s.Malformed != 0 {
		t.Errorf("counter lost packets: %+v, %v", s, err)
	}
}

// connTuple is the tuple of what a connection sends.
func connTuple(t *testing.T, c net.Conn, protocol uint8) Tuple {
	t.Helper()
	local, err := netip.ParseAddrPort(c.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	remote, err := netip.ParseAddrPort(c.RemoteAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	return Tuple{local.Addr(), remote.Addr(), local.Port(), remote.Port(), protocol}
}

func TestCounterCountsDatagramsByDirection(t *testing.T) {
	lab := newLab(t)
	for _, network := range []string{"udp4", "udp6"} {
		t.Run(network, func(t *testing.T) {
			server := lab.Hosts()[1]
			addr, header := server.IPv4, 20+8
			if network == "udp6" {
				addr, header = server.IPv6, 40+8
			}
			listener, err := ListenPacket(lab.Server, network, netip.AddrPortFrom(addr, 0).String())
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			near, far := count(t, lab.Client, "eth0"), count(t, lab.Gateway, "server0")
			conn, err := Dial(testContext(t), lab.Client, network, listener.LocalAddr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			buf := make([]byte, 2000)
			for size := range 300 { // small ones are padded to 60 bytes on an Ethernet, which must not count
				exchange(t, conn, listener, buf, size)
			}
			exchange(t, conn, listener, buf, 300)
			want := sluice.Counter{Packets: 301, Bytes: 300*301/2 + 301*uint64(header)}
			tuple := connTuple(t, conn, sluice.ProtocolUDP)
			if diff := cmp.Diff(Tally{Out: want}, near.Tallies()[tuple]); diff != "" {
				t.Errorf("client, sent (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(Tally{In: want}, near.Tallies()[tuple.Reverse()]); diff != "" {
				t.Errorf("client, received (-want +got):\n%s", diff)
			}
			forward, back := far.Flow(tuple)
			if forward != want || back != want {
				t.Errorf("gateway: got %v and %v, want %v", forward, back, want)
			}
			requireNoLoss(t, near)
			requireNoLoss(t, far)
		})
	}
}

// exchange sends size bytes to the listener and gets them back.
func exchange(t *testing.T, conn net.Conn, listener net.PacketConn, buf []byte, size int) {
	t.Helper()
	if _, err := conn.Write(buf[:size]); err != nil {
		t.Fatal(err)
	}
	n, from, err := listener.ReadFrom(buf)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := listener.WriteTo(buf[:n], from); err != nil {
		t.Fatal(err)
	}
	if n, err = conn.Read(buf); err != nil || n != size {
		t.Fatalf("got %d bytes back, %v; want %d", n, err, size)
	}
}

// TestCounterCountsSuperPacketsAsWirePackets holds the counter against what the
// TCP stacks of both ends say of themselves.
func TestCounterCountsSuperPacketsAsWirePackets(t *testing.T) {
	const volume = 20 << 20
	lab := newLab(t)
	for name, offload := range map[string]bool{"with offloads": true, "without offloads": false} {
		for _, network := range []string{"tcp4", "tcp6"} {
			t.Run(name+" "+network, func(t *testing.T) {
				for _, h := range lab.Hosts()[:2] {
					for _, e := range []End{{Netns: h.Netns, Device: h.Device}, {Netns: lab.Gateway, Device: h.Link}} {
						if err := SetOffload(e.Netns, e.Device, offload, TSO, GSO, GRO); err != nil {
							t.Fatal(err)
						}
					}
				}
				near, middle := count(t, lab.Client, "eth0"), count(t, lab.Gateway, "client0")
				conn, info := transfer(t, lab, network, volume)
				tuple := connTuple(t, conn, sluice.ProtocolTCP)
				forward, back := near.Flow(tuple)
				if forward.Packets != uint64(info.Segs_out) || back.Packets != uint64(info.Segs_in) {
					t.Errorf("got %d packets out and %d in; TCP says %d and %d",
						forward.Packets, back.Packets, info.Segs_out, info.Segs_in)
				}
				header := uint64(20)
				if network == "tcp6" {
					header = 40
				}
				// Every segment but the SYN has 12 bytes of options, the time stamps.
				want := info.Bytes_sent + forward.Packets*(header+20+12) + 8
				if forward.Bytes != want {
					t.Errorf("got %d bytes out, want %d", forward.Bytes, want)
				}
				f, b := middle.Flow(tuple)
				if f != forward || b != back {
					t.Errorf("the gateway counted %v and %v, the client %v and %v", f, b, forward, back)
				}
				frames, err := near.Stats()
				if err != nil {
					t.Fatal(err)
				}
				if super := frames.Frames < forward.Packets; super != offload {
					t.Errorf("%d frames for %d packets: the offload was not as asked", frames.Frames, forward.Packets)
				}
				requireNoLoss(t, near)
				requireNoLoss(t, middle)
			})
		}
	}
}

// transfer sends volume bytes from client to server, and returns the connection,
// quiet and still open, with what the client's kernel says of it.
func transfer(t *testing.T, lab LabNetwork, network string, volume int) (net.Conn, *unix.TCPInfo) {
	t.Helper()
	server := lab.Hosts()[1]
	addr := server.IPv4
	if network == "tcp6" {
		addr = server.IPv6
	}
	listener, err := Listen(lab.Server, network, netip.AddrPortFrom(addr, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	received := make(chan error, 1)
	go func() {
		c, err := listener.Accept()
		if err == nil {
			t.Cleanup(func() { c.Close() })
			if _, err = io.CopyN(io.Discard, c, int64(volume)); err == nil {
				_, err = c.Write([]byte("ok"))
			}
		}
		received <- err
	}()
	conn, err := Dial(testContext(t), lab.Client, network, listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	buf := make([]byte, 256<<10)
	for sent := 0; sent < volume; sent += len(buf) {
		if _, err := conn.Write(buf); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-received; err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 2)); err != nil {
		t.Fatal(err)
	}
	return conn, tcpInfo(t, conn)
}

func tcpInfo(t *testing.T, conn net.Conn) (info *unix.TCPInfo) {
	t.Helper()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err == nil {
		cerr := raw.Control(func(fd uintptr) {
			info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		})
		err = errors.Join(err, cerr)
	}
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func TestCounterGivesFragmentsTheirPorts(t *testing.T) {
	lab := newLab(t)
	for network, c := range map[string]struct {
		addr    netip.Addr
		headers uint64 // of the IP packets of one fragmented datagram
	}{
		"udp4": {lab.Hosts()[1].IPv4, 3 * 20},
		"udp6": {lab.Hosts()[1].IPv6, 3 * (40 + 8)},
	} {
		listener, err := ListenPacket(lab.Server, network, netip.AddrPortFrom(c.addr, 0).String())
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		near := count(t, lab.Client, "eth0")
		conn, err := Dial(testContext(t), lab.Client, network, listener.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		exchange(t, conn, listener, make([]byte, 8000), 4000)
		want := sluice.Counter{Packets: 3, Bytes: 4000 + 8 + c.headers}
		forward, back := near.Flow(connTuple(t, conn, sluice.ProtocolUDP))
		if forward != want || back != want {
			t.Errorf("%s: got %v and %v, want %v", network, forward, back, want)
		}
	}
}

func TestCounterLosesNothingInAFlood(t *testing.T) {
	const datagrams = 200_000
	lab := newLab(t)
	near := count(t, lab.Client, "eth0")
	conn, err := Dial(testContext(t), lab.Client, "udp", netip.AddrPortFrom(lab.Hosts()[1].IPv4, 9).String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// An answer from ARP first: the queue before it is short.
	if err := Ping(testContext(t), lab.Client, lab.Hosts()[1].IPv4, 1, 0); err != nil {
		t.Fatal(err)
	}
	sent := uint64(0)
	for range datagrams {
		// Nobody listens: port unreachable messages surface as errors of a write
		// that then has sent nothing.
		if _, err := conn.Write(make([]byte, 10)); err == nil {
			sent++
		} else if !errors.Is(err, unix.ECONNREFUSED) {
			t.Fatal(err)
		}
	}
	forward, _ := near.Flow(connTuple(t, conn, sluice.ProtocolUDP))
	if want := (sluice.Counter{Packets: sent, Bytes: sent * 38}); forward != want {
		t.Errorf("got %v, want %v", forward, want)
	}
	requireNoLoss(t, near)
}

func TestCounterCanBeResetAndClosedTwice(t *testing.T) {
	lab := newLab(t)
	c := count(t, lab.Client, "eth0")
	ping := func() {
		if err := Ping(testContext(t), lab.Client, lab.Hosts()[1].IPv4, 1, 56); err != nil {
			t.Fatal(err)
		}
	}
	ping()
	if err := c.Reset(); err != nil {
		t.Fatal(err)
	}
	ping()
	for range 2 {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	want := sluice.Counter{Packets: 1, Bytes: 84}
	h := lab.Hosts()
	forward, back := c.Flow(Tuple{Source: h[0].IPv4, Destination: h[1].IPv4, Protocol: sluice.ProtocolICMP})
	if forward != want || back != want {
		t.Errorf("got %v and %v, want %v", forward, back, want)
	}
}

func TestCounterOutlivesItsDevice(t *testing.T) {
	lab := newLab(t)
	c := count(t, lab.Client, "eth0")
	if err := Ping(testContext(t), lab.Client, lab.Hosts()[1].IPv4, 1, 56); err != nil {
		t.Fatal(err)
	}
	if err := RemoveLink(lab.Client, "eth0"); err != nil {
		t.Fatal(err)
	}
	if len(c.Tallies()) == 0 {
		t.Error("the counts went with the device")
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestPingStopsWithItsContext(t *testing.T) {
	lab := newLab(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Ping(ctx, lab.Client, lab.Hosts()[1].IPv4, 1, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want one that says cancelled", err)
	}
}

func TestParseFrame(t *testing.T) {
	const ether = "020000000001020000000002"
	const udp4 = "0800" + "4500002000010000401100000a4d01020a4d0202" + "04d2162e000c0000" + "61626364"
	const udp6 = "86dd" + "60000000000c1140" + "fd770001000000000000000000000002" + "fd770002000000000000000000000002" + "04d2162e000c0000" + "61626364"
	tests := map[string]struct {
		frame string
		want  packet
		kind  frameKind
	}{
		"IPv4":                            {ether + udp4, packet{tuple: Tuple{netip.MustParseAddr("10.77.1.2"), netip.MustParseAddr("10.77.2.2"), 1234, 5678, 17}, packets: 1, bytes: 32, fragmentID: 1}, ipPacket},
		"IPv6":                            {ether + udp6, packet{tuple: Tuple{netip.MustParseAddr("fd77:1::2"), netip.MustParseAddr("fd77:2::2"), 1234, 5678, 17}, packets: 1, bytes: 52}, ipPacket},
		"VLAN":                            {ether + "88a80001" + "81000002" + udp4, packet{tuple: Tuple{netip.MustParseAddr("10.77.1.2"), netip.MustParseAddr("10.77.2.2"), 1234, 5678, 17}, packets: 1, bytes: 32, fragmentID: 1}, ipPacket},
		"ARP":                             {ether + "0806" + "0001", packet{}, notIP},
		"header length beyond the packet": {ether + "0800" + "4f00002000010000401100000a4d01020a4d0202", packet{}, malformed},
		"total shorter than the header":   {ether + "0800" + "4500001000010000401100000a4d01020a4d0202", packet{}, malformed},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			data, err := hex.DecodeString(test.frame)
			if err != nil {
				t.Fatal(err)
			}
			f := frame{vnet: make([]byte, vnetHeaderSize), data: data, network: data[14:], length: len(data), hatype: unix.ARPHRD_ETHER}
			got, kind := parseFrame(f)
			if kind != test.kind {
				t.Fatalf("got kind %d, want %d", kind, test.kind)
			}
			if kind == ipPacket && got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func FuzzParseFrame(f *testing.F) {
	f.Add([]byte("\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02\x86\xdd\x60\x00\x00\x00\x00\x10\x2c\x40aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbb\x11\x00\x00\x01\x00\x00\x00\x07"), []byte{0, 1, 0, 0, 100, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data, vnet []byte) {
		vnet = append(vnet, make([]byte, vnetHeaderSize)...)[:vnetHeaderSize]
		p, kind := parseFrame(frame{vnet: vnet, data: data, network: data[min(14, len(data)):], length: len(data), hatype: unix.ARPHRD_ETHER})
		if kind == ipPacket && p.packets == 0 {
			t.Errorf("a packet that counts as none: %+v", p)
		}
	})
}
