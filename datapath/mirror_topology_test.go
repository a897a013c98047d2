package datapath

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

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

// rules accept everything of both families and directions.
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
	listener, err := testnet.Listen(to, "tcp", netip.AddrPortFrom(address, 0).String())
	if err != nil {
		l.t.Fatal(err)
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
		l.t.Fatal(err)
	}
	c.(*net.TCPConn).SetWriteBuffer(256 << 10)
	c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := c.Write(sent); err != nil {
		l.t.Fatal(err)
	}
	c.Close()
	if err := <-got; err != nil {
		l.t.Fatal(err)
	}
}

// compare fails unless the copies are the frames of the wire, flow by flow in order, cut
// to a length if that is not 0.
func compare(t testing.TB, wire [][]byte, copies []decapsulated, length int) {
	t.Helper()
	want, got := map[string][][]byte{}, map[string][][]byte{}
	ports := map[string]uint16{}
	for _, f := range wire {
		want[flowOf(f)] = append(want[flowOf(f)], f)
	}
	copies = slices.DeleteFunc(copies, func(c decapsulated) bool { return len(c.frame) >= 42 && !isIP(c.frame) })
	if len(wire) != len(copies) {
		t.Errorf("%d copies of %d frames", len(copies), len(wire))
	}
	for _, c := range copies {
		if len(c.frame) < 42 { // too short to tell its flow: by the order of all then
			got[""] = append(got[""], c.frame)
			continue
		}
		k := flowOf(c.frame)
		got[k] = append(got[k], c.frame)
		if p, ok := ports[k]; ok && p != c.sport {
			t.Errorf("copies of one flow have source ports %d and %d", p, c.sport)
		}
		ports[k] = c.sport
	}
	if got[""] != nil {
		want = map[string][][]byte{"": wire}
	}
	for k, frames := range want {
		if len(got[k]) != len(frames) {
			t.Errorf("flow %s: %d copies of %d frames", k, len(got[k]), len(frames))
			continue
		}
		for i, f := range frames {
			if length > 0 && len(f) > length {
				f = f[:length]
			}
			if !bytes.Equal(f, got[k][i]) {
				t.Errorf("flow %s, frame %d:\nwire %d bytes %x\ncopy %d bytes %x", k, i, len(f), f[:min(len(f), 128)],
					len(got[k][i]), got[k][i][:min(len(got[k][i]), 128)])
				break
			}
		}
	}
}

func isIP(f []byte) bool { return ipOf(f) != 0 }
