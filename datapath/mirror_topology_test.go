package datapath

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sluice"
	"sluice/internal/testnet"
)

// mirrorLab is a source with a peer on one side and a sensor on the other. The wire is
// the peer's device, all of whose offloads are off: what crosses it is what a wire would
// carry, while the source sees super-packets.
type mirrorLab struct {
	t                    testing.TB
	source, peer, sensor string
}

var (
	sourceIPv4, sourceIPv6 = netip.MustParseAddr("10.9.1.1"), netip.MustParseAddr("fd09:1::1")
	peerIPv4, peerIPv6     = netip.MustParseAddr("10.9.1.2"), netip.MustParseAddr("fd09:1::2")
	uplinkIPv4, uplinkIPv6 = netip.MustParseAddr("10.9.2.1"), netip.MustParseAddr("fd09:2::1")
	sensorIPv4, sensorIPv6 = netip.MustParseAddr("10.9.2.2"), netip.MustParseAddr("fd09:2::2")
)

// newMirrorLab makes it, with an MTU for the link to the peer and that to the sensor.
func newMirrorLab(t testing.TB, mtu, uplink int) *mirrorLab {
	t.Helper()
	needRoot(t)
	prefix := testnet.UniquePrefix("mirror")
	l := &mirrorLab{t: t, source: prefix + "source", peer: prefix + "peer", sensor: prefix + "sensor"}
	end := func(netns, device string, v4, v6 netip.Addr) testnet.End {
		return testnet.End{Netns: netns, Device: device, Addresses: []netip.Prefix{netip.PrefixFrom(v4, 24), netip.PrefixFrom(v6, 64)}}
	}
	testnet.CreateForTest(t, testnet.Topology{
		Nodes: []testnet.Node{{Netns: l.source}, {Netns: l.peer}, {Netns: l.sensor}},
		Links: []testnet.Link{
			{A: end(l.source, "eth0", sourceIPv4, sourceIPv6), B: end(l.peer, "eth0", peerIPv4, peerIPv6), MTU: mtu},
			{A: end(l.source, "up0", uplinkIPv4, uplinkIPv6), B: end(l.sensor, "eth0", sensorIPv4, sensorIPv6), MTU: uplink},
		},
	})
	for _, e := range []struct {
		netns, device string
		on            bool
		offloads      []testnet.Offload
	}{
		{l.peer, "eth0", false, []testnet.Offload{testnet.TSO, testnet.GSO, testnet.TXChecksum, testnet.GRO}},
		{l.sensor, "eth0", false, []testnet.Offload{testnet.GRO}},
		// The uplink is a wire, too.
		{l.source, "up0", false, []testnet.Offload{testnet.TSO, testnet.TXChecksum}},
		// Super-packets reach the programs and are cut behind them.
		{l.source, "eth0", false, []testnet.Offload{testnet.TSO, testnet.TXChecksum}},
		{l.source, "eth0", true, []testnet.Offload{testnet.GSO, testnet.GRO}},
	} {
		if err := testnet.SetOffload(e.netns, e.device, e.on, e.offloads...); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// allTraffic is rules that accept everything of both families and directions, but for
// what IPv6 says to multicast groups whenever it likes.
func allTraffic() []sluice.TrafficMirrorFilterRule {
	var out []sluice.TrafficMirrorFilterRule
	for _, d := range []string{sluice.TrafficIngress, sluice.TrafficEgress} {
		for i, any := range []string{"0.0.0.0/0", "::/0"} {
			p := netip.MustParsePrefix(any)
			out = append(out, sluice.TrafficMirrorFilterRule{
				ID: fmt.Sprintf("tmfr-%s%d", d, i), TrafficDirection: d, RuleNumber: int32(i + 1),
				RuleAction: sluice.MirrorAccept, Protocol: -1, SourceCIDR: p, DestinationCIDR: p,
			})
		}
		out = append([]sluice.TrafficMirrorFilterRule{{
			ID: "tmfr-multicast", TrafficDirection: d, RuleNumber: 0, RuleAction: sluice.MirrorReject, Protocol: -1,
			SourceCIDR: netip.MustParsePrefix("::/0"), DestinationCIDR: netip.MustParsePrefix("ff00::/8"),
		}}, out...)
	}
	return out
}

func (l *mirrorLab) session(n int32) sluice.MirrorSession {
	return sluice.MirrorSession{
		ID: fmt.Sprintf("tms-%017d", n), Number: n, VNI: uint32(n), Targets: []netip.Addr{sensorIPv4}, Rules: allTraffic(),
	}
}

func (l *mirrorLab) mirrorSource(sessions ...sluice.MirrorSession) sluice.MirrorSource {
	return sluice.MirrorSource{
		Interface: sluice.InterfaceRef{ID: "eni-00000000000000001", Netns: l.source, Device: "eth0"},
		IPv4:      uplinkIPv4, IPv6: uplinkIPv6, Sessions: sessions,
	}
}

// applyMirrors applies sources and fails the test on any problem.
func applyMirrors(t testing.TB, d *Datapath, sources ...sluice.MirrorSource) {
	t.Helper()
	for _, s := range d.ApplyMirrors(t.Context(), sources) {
		if s.Problem != "" || !s.Attached {
			t.Fatalf("apply mirror %s: attached %v, problem %q", s.InterfaceID, s.Attached, s.Problem)
		}
	}
}

// bulk sends n bytes over TCP from one namespace to an address in another, with a window
// that keeps what is under way in the queues of the lab, and checks what arrives.
func (l *mirrorLab) bulk(from, to string, address netip.Addr, n int) {
	l.t.Helper()
	if err := l.transfer(from, to, address, n); err != nil {
		l.t.Fatal(err)
	}
}

func (l *mirrorLab) transfer(from, to string, address netip.Addr, n int) error {
	listener, err := testnet.Listen(to, "tcp", netip.AddrPortFrom(address, 0).String())
	if err != nil {
		return err
	}
	defer listener.Close()
	sent := bytes.Repeat([]byte("sixteen bytes..\n"), n/16)
	got := make(chan error, 1)
	go func() {
		c, err := listener.Accept()
		if err != nil {
			got <- err
			return
		}
		defer c.Close()
		all, err := io.ReadAll(c)
		if err == nil && !bytes.Equal(all, sent) {
			err = fmt.Errorf("received %d bytes that are not those sent", len(all))
		}
		got <- err
	}()
	c, err := testnet.Dial(l.t.Context(), from, "tcp", listener.Addr().String())
	if err != nil {
		return err
	}
	c.(*net.TCPConn).SetWriteBuffer(256 << 10)
	c.SetDeadline(time.Now().Add(20 * time.Second))
	_, err = c.Write(sent)
	c.Close()
	if err != nil {
		return err
	}
	return <-got
}

// shortest is how long a copy has to be to tell whether it is one of the lab's packets.
const shortest = 74

// compare fails unless the copies are the frames of the wire, flow by flow in order, cut
// to a length if that is not 0. Those too short to tell their flow are compared in any order.
func compare(t testing.TB, wire [][]byte, copies []decapsulated, length int) {
	t.Helper()
	copies = slices.DeleteFunc(copies, func(c decapsulated) bool { return len(c.frame) >= shortest && !isIP(c.frame) })
	if len(wire) != len(copies) {
		t.Errorf("%d copies of %d frames", len(copies), len(wire))
	}
	want, got := map[string][][]byte{}, map[string][][]byte{}
	ports := map[string]uint16{}
	for _, f := range wire {
		if length > 0 && len(f) > length {
			f = f[:length]
		}
		k, _ := flowOf(f)
		want[k] = append(want[k], f)
	}
	for _, c := range copies {
		k, told := flowOf(c.frame)
		got[k] = append(got[k], c.frame)
		if p, ok := ports[k]; ok && told && p != c.sport {
			t.Errorf("copies of one flow have source ports %d and %d", p, c.sport)
		}
		ports[k] = c.sport
	}
	slices.SortFunc(want[""], bytes.Compare)
	slices.SortFunc(got[""], bytes.Compare)
	told := 0
	for k, frames := range want {
		if told++; told > 40 && t.Failed() {
			t.Fatal("and more")
		}
		if len(got[k]) != len(frames) {
			t.Errorf("flow %s: %d copies of %d frames", k, len(got[k]), len(frames))
			for i, f := range frames {
				if i >= len(got[k]) || !bytes.Equal(f, got[k][i]) {
					t.Errorf("the first that differs is %d: %x", i, f[:min(len(f), 64)])
					break
				}
			}
			continue
		}
		for i, f := range frames {
			if !bytes.Equal(f, got[k][i]) {
				t.Errorf("flow %s, frame %d:\nwire %d bytes %x\ncopy %d bytes %x", k, i, len(f), f[:min(len(f), 128)],
					len(got[k][i]), got[k][i][:min(len(got[k][i]), 128)])
				break
			}
		}
	}
}

// oneCPU keeps all threads of this process on one CPU, where veths deliver in order.
func oneCPU(t testing.TB) {
	t.Helper()
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	for cpu := 0; one.Count() == 0; cpu++ {
		if all.IsSet(cpu) {
			one.Set(cpu)
		}
	}
	set := func(s *unix.CPUSet) {
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range threads {
			if tid, err := strconv.Atoi(e.Name()); err == nil {
				unix.SchedSetaffinity(tid, s) // one that has ended needs none
			}
		}
	}
	set(&one)
	t.Cleanup(func() { set(&all) })
}

func isIP(f []byte) bool { return ipOf(f) != 0 }
