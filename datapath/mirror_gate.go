package datapath

import (
	"encoding/binary"
	"math/bits"
	"net/netip"

	"sluice"
)

// encodeGates finds what the packets that any of the sessions wants have in common, by
// direction as the programs number them. Rules that reject narrow nothing.
func encodeGates(sessions []sluice.MirrorSession) [2]mirrorGate {
	return [2]mirrorGate{encodeGate(sessions, sluice.TrafficEgress), encodeGate(sessions, sluice.TrafficIngress)}
}

func encodeGate(sessions []sluice.MirrorSession, direction string) mirrorGate {
	var src, dst netip.Prefix
	out := mirrorGate{Src: 1, Protocol: anyProtocol}
	for _, s := range sessions {
		if s.DNS && len(s.Resolvers) > 0 {
			// Queries and answers have a resolver at either end.
			return mirrorGate{Protocol: anyProtocol, Ipv6: 1}
		}
		for _, r := range s.Rules {
			if r.TrafficDirection != direction || r.RuleAction != sluice.MirrorAccept {
				continue
			}
			if !r.SourceCIDR.Addr().Is4() {
				out.Ipv6 = 1
				continue
			}
			protocol := uint16(anyProtocol)
			if r.Protocol >= 0 {
				protocol = uint16(r.Protocol)
			}
			if !src.IsValid() {
				src, dst, out.Protocol = r.SourceCIDR.Masked(), r.DestinationCIDR.Masked(), protocol
				continue
			}
			src, dst = around(src, r.SourceCIDR), around(dst, r.DestinationCIDR)
			if protocol != out.Protocol {
				out.Protocol = anyProtocol
			}
		}
	}
	if src.IsValid() {
		out.Src, out.SrcMask = network4(src)
		out.Dst, out.DstMask = network4(dst)
	}
	return out
}

// around is the smallest network that holds two of IPv4.
func around(a, b netip.Prefix) netip.Prefix {
	x, y := a.Addr().As4(), b.Addr().As4()
	differ := binary.BigEndian.Uint32(x[:]) ^ binary.BigEndian.Uint32(y[:])
	return netip.PrefixFrom(a.Addr(), min(a.Bits(), b.Bits(), bits.LeadingZeros32(differ))).Masked()
}

// network4 is a network of IPv4 and its mask, as four bytes of a packet read them.
func network4(p netip.Prefix) (value, mask uint32) {
	a := p.Masked().Addr().As4()
	m := ^uint32(0) << (32 - p.Bits())
	return nativeWord(a[:]), bits.ReverseBytes32(m)
}
