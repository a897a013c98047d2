package datapath

import (
	"fmt"
	"hash/fnv"
	"net/netip"

	"sluice"
)

// The shift of the costs of a session, COST_SHIFT in bpf/mirror.c, and the least rates:
// below them the cost of a super-packet would not fit its number.
const (
	costShift         = 16
	minPacketRate     = 1
	minByteRate       = 1000
	nanosecondsSecond = 1_000_000_000
)

// encodeSession is a session as the programs read it, but for its slots.
func encodeSession(s sluice.MirrorSession) (mirrorSession, error) {
	out := mirrorSession{
		PacketCost: cost(s.PacketsPerSecond, minPacketRate),
		ByteCost:   cost(s.BytesPerSecond, minByteRate),
	}
	if s.DNS {
		out.Dns = 1
	}
	if len(s.Resolvers) > resolversPerSession {
		return out, fmt.Errorf("encode session %s: %d resolvers, at most %d are possible", s.ID, len(s.Resolvers), resolversPerSession)
	}
	out.Resolvers = uint32(len(s.Resolvers))
	for i, r := range s.Resolvers {
		r = r.Unmap()
		out.Resolver[i], out.ResolverFamily[i] = words(r), familyOf(r)
	}
	for _, r := range s.Rules {
		direction := 0
		switch r.TrafficDirection {
		case sluice.TrafficEgress:
		case sluice.TrafficIngress:
			direction = 1
		default:
			return out, fmt.Errorf("encode rule %s: unknown direction %q", r.ID, r.TrafficDirection)
		}
		n := out.Rules[direction]
		if n == rulesPerDirection {
			return out, fmt.Errorf("encode session %s: more than %d rules for %s", s.ID, rulesPerDirection, r.TrafficDirection)
		}
		var err error
		if out.Rule[direction][n], err = encodeRule(r); err != nil {
			return out, err
		}
		out.Rules[direction]++
	}
	return out, nil
}

// cost is what one of many per second costs, in scaled nanoseconds; 0 is nothing.
func cost(perSecond, least uint64) uint64 {
	if perSecond == 0 {
		return 0
	}
	return max(1, (nanosecondsSecond<<costShift)/max(perSecond, least))
}

func encodeRule(r sluice.TrafficMirrorFilterRule) (mirrorRule, error) {
	out := mirrorRule{Protocol: anyProtocol, SportTo: 65535, DportTo: 65535}
	switch r.RuleAction {
	case sluice.MirrorAccept:
		out.Accept = 1
	case sluice.MirrorReject:
	default:
		return out, fmt.Errorf("encode rule %s: unknown action %q", r.ID, r.RuleAction)
	}
	if r.Protocol > 255 || r.Protocol < -1 {
		return out, fmt.Errorf("encode rule %s: protocol %d is none", r.ID, r.Protocol)
	}
	if r.Protocol >= 0 {
		out.Protocol = uint16(r.Protocol)
	}
	s, d := r.SourceCIDR, r.DestinationCIDR
	if !s.IsValid() || !d.IsValid() || s.Addr().Is4() != d.Addr().Is4() {
		return out, fmt.Errorf("encode rule %s: networks %v and %v are not of one family", r.ID, s, d)
	}
	out.Family = familyOf(s.Addr())
	out.Src, out.SrcMask = network(s)
	out.Dst, out.DstMask = network(d)
	if p := r.SourcePortRange; p != nil {
		out.Ports, out.SportFrom, out.SportTo = 1, p.From, p.To
	}
	if p := r.DestinationPortRange; p != nil {
		out.Ports, out.DportFrom, out.DportTo = 1, p.From, p.To
	}
	return out, nil
}

func familyOf(a netip.Addr) uint8 {
	if a.Is4() {
		return familyIPv4
	}
	return familyIPv6
}

// network is a network as the programs compare it, and its mask.
func network(p netip.Prefix) (value, mask [2]uint64) {
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += 96
	}
	var m [16]byte
	for i := range bits {
		m[i/8] |= 0x80 >> (i % 8)
	}
	mask, value = words(netip.AddrFrom16(m)), words(p.Addr())
	return [2]uint64{value[0] & mask[0], value[1] & mask[1]}, mask
}

// encodeDelivery says where the copies of a session go.
func encodeDelivery(src sluice.MirrorSource, s sluice.MirrorSession, slot uint32) (mirrorDelivery, error) {
	out := mirrorDelivery{Session: slot, Vni: s.VNI, PacketLength: s.PacketLength}
	if s.VNI >= 1<<24 {
		return out, fmt.Errorf("encode session %s: network identifier %d has more than 24 bits", s.ID, s.VNI)
	}
	if len(s.Targets) > targetsPerSession {
		return out, fmt.Errorf("encode session %s: %d targets, at most %d are possible", s.ID, len(s.Targets), targetsPerSession)
	}
	if a := src.IPv4; a.Is4() {
		b := a.As4()
		out.Source4 = nativeWord(b[:])
	}
	if a := src.IPv6; a.Is6() {
		b := a.As16()
		for i := range out.Source6 {
			out.Source6[i] = nativeWord(b[4*i:])
		}
	}
	out.Targets = uint32(len(s.Targets))
	for i, a := range s.Targets {
		a = a.Unmap()
		if !a.IsValid() || a.Zone() != "" {
			return out, fmt.Errorf("encode session %s: %v is no address of a target", s.ID, a)
		}
		out.Target[i] = mirrorTarget{Addr: words(a), Family: uint32(familyOf(a)), Seed: targetSeed(a)}
	}
	return out, nil
}

// targetSeed makes the score of a target for a flow its own, on every host the same.
func targetSeed(a netip.Addr) uint32 {
	h := fnv.New32a()
	b := a.As16()
	h.Write(b[:]) // never fails
	return h.Sum32()
}

// nativeWord is four bytes as a program finds them in memory (little endian).
func nativeWord(b []byte) uint32 {
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}
