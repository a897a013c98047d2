package datapath

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice"
)

func gateRule(action, src, dst string, protocol int32) sluice.TrafficMirrorFilterRule {
	return sluice.TrafficMirrorFilterRule{TrafficDirection: sluice.TrafficIngress, RuleAction: action, Protocol: protocol,
		SourceCIDR: netip.MustParsePrefix(src), DestinationCIDR: netip.MustParsePrefix(dst)}
}

// passesGate is is_outside of bpf/gate.h, the other way round.
func passesGate(g mirrorGate, src, dst netip.Addr, protocol uint16) bool {
	if src.Is6() {
		return g.Ipv6 == 1
	}
	s, d := src.As4(), dst.As4()
	return nativeWord(s[:])&g.SrcMask == g.Src && nativeWord(d[:])&g.DstMask == g.Dst &&
		(g.Protocol == anyProtocol || g.Protocol == protocol)
}

func TestGateHoldsWhatTheRulesHaveInCommon(t *testing.T) {
	accept, reject := sluice.MirrorAccept, sluice.MirrorReject
	resolver := []netip.Addr{netip.MustParseAddr("10.0.0.2")}
	type packet struct {
		src, dst string
		protocol uint16
	}
	for name, c := range map[string]struct {
		sessions  []sluice.MirrorSession
		in, other []packet
	}{
		"no rules": {sessions: []sluice.MirrorSession{{}}, other: []packet{{"10.0.0.1", "10.0.0.2", 6}, {"fd00::1", "fd00::2", 6}}},
		"one rule": {sessions: []sluice.MirrorSession{{Rules: []sluice.TrafficMirrorFilterRule{gateRule(accept, "203.0.113.0/24", "0.0.0.0/0", 17)}}},
			in:    []packet{{"203.0.113.9", "1.2.3.4", 17}},
			other: []packet{{"203.0.112.9", "1.2.3.4", 17}, {"203.0.113.9", "1.2.3.4", 6}, {"fd00::1", "fd00::2", 17}}},
		"two neighbours": {sessions: []sluice.MirrorSession{
			{Rules: []sluice.TrafficMirrorFilterRule{gateRule(accept, "10.0.2.0/24", "10.1.0.1/32", 6)}},
			{Rules: []sluice.TrafficMirrorFilterRule{gateRule(reject, "0.0.0.0/0", "0.0.0.0/0", -1), gateRule(accept, "10.0.3.0/24", "10.1.0.2/32", 17)}}},
			in:    []packet{{"10.0.2.1", "10.1.0.1", 6}, {"10.0.3.1", "10.1.0.2", 17}},
			other: []packet{{"10.0.4.1", "10.1.0.1", 6}, {"10.0.2.1", "10.1.0.4", 6}}},
		"both families": {sessions: []sluice.MirrorSession{{Rules: []sluice.TrafficMirrorFilterRule{
			gateRule(accept, "fd00::/8", "::/0", 6), gateRule(accept, "10.0.0.1/32", "10.0.0.2/32", -1)}}},
			in:    []packet{{"fe80::1", "fe80::2", 17}, {"10.0.0.1", "10.0.0.2", 6}},
			other: []packet{{"10.0.0.2", "10.0.0.1", 6}}},
		"rejects alone": {sessions: []sluice.MirrorSession{{Rules: []sluice.TrafficMirrorFilterRule{gateRule(reject, "0.0.0.0/0", "0.0.0.0/0", -1)}}},
			other: []packet{{"10.0.0.1", "10.0.0.2", 6}}},
		"the other direction": {sessions: []sluice.MirrorSession{{Rules: []sluice.TrafficMirrorFilterRule{
			{TrafficDirection: sluice.TrafficEgress, RuleAction: accept, Protocol: -1, SourceCIDR: netip.MustParsePrefix("0.0.0.0/0"), DestinationCIDR: netip.MustParsePrefix("0.0.0.0/0")}}}},
			other: []packet{{"10.0.0.1", "10.0.0.2", 6}}},
		"DNS": {sessions: []sluice.MirrorSession{{DNS: true, Resolvers: resolver}},
			in: []packet{{"10.0.0.2", "10.0.0.1", 17}, {"10.0.0.1", "10.0.0.2", 17}, {"fd00::1", "fd00::2", 17}}},
	} {
		t.Run(name, func(t *testing.T) {
			g := encodeGate(c.sessions, sluice.TrafficIngress)
			for want, list := range map[bool][]packet{true: c.in, false: c.other} {
				for _, p := range list {
					if got := passesGate(g, netip.MustParseAddr(p.src), netip.MustParseAddr(p.dst), p.protocol); got != want {
						t.Errorf("%+v passes: %v, want %v; gate %+v", p, got, want, g)
					}
				}
			}
		})
	}
}

// What a rule accepts passes, whatever other rules there are.
func TestGateStopsNothingThatARuleAccepts(t *testing.T) {
	random := randomFrames{rand.New(rand.NewPCG(3, 4))}
	stopped := 0
	for range 20_000 {
		sessions := random.sessions()
		g := encodeGates(sessions)[1]
		for _, s := range sessions {
			for _, r := range s.Rules {
				if r.TrafficDirection != sluice.TrafficIngress || r.RuleAction != sluice.MirrorAccept {
					continue
				}
				src, dst := random.within(r.SourceCIDR), random.within(r.DestinationCIDR)
				if protocol := uint16(max(r.Protocol, 0)); !passesGate(g, src, dst, protocol) {
					t.Fatalf("%v to %v, protocol %d, is stopped by %+v of %+v", src, dst, protocol, g, sessions)
				}
			}
		}
		if !passesGate(g, netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), 6) {
			stopped++
		}
	}
	if stopped < 1000 {
		t.Errorf("%d gates stopped anything: the test proves little", stopped)
	}
	if diff := cmp.Diff(encodeGates(nil)[0], mirrorGate{Src: 1, Protocol: anyProtocol}); diff != "" {
		t.Errorf("gate of no sessions (-got +want):\n%s", diff)
	}
}

// within is a random address of a network.
func (r randomFrames) within(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		if r.IntN(2) == 0 {
			b[i/8] |= 0x80 >> (i % 8)
		}
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}
