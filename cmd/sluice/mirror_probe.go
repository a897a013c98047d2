package main

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"sluice"
)

// probe is a packet that check sends out of a source: it goes no further than the
// next switch, since its hop limit is 1 and its link address nobody's.
type probe struct {
	source, destination         netip.Addr
	protocol                    uint8 // IANA number
	sourcePort, destinationPort uint16
}

// The addresses and the port that probes go to where the rules leave a choice:
// those of documentation (RFC 5737, RFC 3849) and discard (RFC 863).
const (
	probeIPv4 = "192.0.2.1"
	probeIPv6 = "2001:db8::1"
	probePort = 9
)

// probeText begins the payload of a probe, for people who see one.
const probeText = "sluice mirror check "

// probeFor returns a packet that a rule accepts, from one of the addresses if the
// rule allows that. ok is false for a rule that can't be read.
func (r mirrorRule) probeFor(addresses []netip.Addr) (p probe, ok bool) {
	source, err := netip.ParsePrefix(r.SourceCIDR)
	if err != nil {
		return p, false
	}
	destination, err := netip.ParsePrefix(r.DestinationCIDR)
	if err != nil {
		return p, false
	}
	choose := func(block netip.Prefix, preferred ...netip.Addr) netip.Addr {
		i := slices.IndexFunc(preferred, block.Contains)
		if i >= 0 {
			return preferred[i]
		}
		if next := block.Addr().Next(); block.Contains(next) {
			return next // the first address is the network's
		}
		return block.Addr()
	}
	p.source = choose(source, addresses...)
	p.destination = choose(destination, netip.MustParseAddr(probeIPv4), netip.MustParseAddr(probeIPv6))
	p.protocol = sluice.ProtocolUDP
	if r.Protocol != nil && *r.Protocol >= 0 {
		p.protocol = uint8(*r.Protocol)
	}
	if p.protocol == sluice.ProtocolTCP || p.protocol == sluice.ProtocolUDP {
		p.sourcePort, p.destinationPort = probePortIn(r.SourcePorts), probePortIn(r.DestinationPorts)
	}
	return p, true
}

func probePortIn(ports *portRange) uint16 {
	if ports == nil || ports.From <= probePort && probePort <= ports.To {
		return probePort
	}
	return uint16(ports.From)
}

// String is the probe for people.
func (p probe) String() string {
	end := func(a netip.Addr, port uint16) string {
		if port == 0 {
			return a.String()
		}
		return netip.AddrPortFrom(a, port).String()
	}
	return fmt.Sprintf("%s %s → %s", protocolName(fmt.Sprint(p.protocol)), end(p.source, p.sourcePort), end(p.destination, p.destinationPort))
}

// frame makes the Ethernet frame of a probe, of size bytes if that is more than it
// needs. Its destination is a random, locally administered address, by which a copy
// is known again however short it is cut.
func (p probe) frame(from net.HardwareAddr, size int) []byte {
	f := make([]byte, 6, max(size, 128))
	rand.Read(f) // never fails
	f[0] = f[0]&^1 | 2
	f = append(f, from...)
	header := 20
	if p.source.Is6() {
		header = 40
	}
	transport := p.transport()
	payload := max(len(probeText), size-14-header-len(transport))
	transport = append(append(transport, probeText...), make([]byte, payload-len(probeText))...)
	if p.protocol == sluice.ProtocolUDP {
		binary.BigEndian.PutUint16(transport[4:], uint16(len(transport)))
	}
	p.finish(transport)
	if p.source.Is4() {
		f = append(f, 0x08, 0x00)
		ip := []byte{0x45, 0, 0, 0, 0, 0, 0x40, 0, 1, p.protocol, 0, 0} // DF, hop limit 1
		binary.BigEndian.PutUint16(ip[2:], uint16(header+len(transport)))
		ip = append(append(ip, p.source.AsSlice()...), p.destination.AsSlice()...)
		binary.BigEndian.PutUint16(ip[10:], checksum(0, ip))
		return append(append(f, ip...), transport...)
	}
	f = append(f, 0x86, 0xdd)
	ip := []byte{0x60, 0, 0, 0, 0, 0, p.protocol, 1}
	binary.BigEndian.PutUint16(ip[4:], uint16(len(transport)))
	ip = append(append(ip, p.source.AsSlice()...), p.destination.AsSlice()...)
	return append(append(f, ip...), transport...)
}

// transport is the header above IP, without its checksum.
func (p probe) transport() []byte {
	ports := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, p.sourcePort), p.destinationPort)
	switch p.protocol {
	case sluice.ProtocolUDP:
		return append(ports, 0, 0, 0, 0)
	case sluice.ProtocolTCP: // a SYN: what begins a flow
		return append(ports, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0x04, 0, 0, 0, 0, 0)
	case sluice.ProtocolICMP:
		return []byte{8, 0, 0, 0, 0, 9, 0, 1}
	case sluice.ProtocolICMPv6:
		return []byte{128, 0, 0, 0, 0, 9, 0, 1}
	}
	return make([]byte, 8)
}

// finish sets the checksum of a transport header.
func (p probe) finish(b []byte) {
	at, pseudo := -1, uint32(0)
	switch p.protocol {
	case sluice.ProtocolUDP:
		at = 6
	case sluice.ProtocolTCP:
		at = 16
	case sluice.ProtocolICMP, sluice.ProtocolICMPv6:
		at = 2
	}
	if at < 0 {
		return
	}
	if p.protocol != sluice.ProtocolICMP {
		for _, a := range []netip.Addr{p.source, p.destination} {
			s := a.AsSlice()
			for i := 0; i < len(s); i += 2 {
				pseudo += uint32(binary.BigEndian.Uint16(s[i:]))
			}
		}
		pseudo += uint32(p.protocol) + uint32(len(b))
	}
	sum := checksum(pseudo, b)
	if sum == 0 && p.protocol == sluice.ProtocolUDP {
		sum = 0xffff // RFC 768: zero would say that there is none
	}
	binary.BigEndian.PutUint16(b[at:], sum)
}

// checksum is that of the Internet (RFC 1071), begun with a partial sum.
func checksum(sum uint32, b []byte) uint16 {
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	if len(b)%2 == 1 {
		sum += uint32(b[len(b)-1]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// firstSession returns the index of the session that mirrors a packet which leaves
// the source; -1 when none does. Sessions are ordered by number, and filters are
// theirs.
func firstSession(sessions []mirrorSession, filters map[string]mirrorFilter, p probe) int {
	return slices.IndexFunc(sessions, func(s mirrorSession) bool {
		rules := filters[s.FilterID].Egress
		i := slices.IndexFunc(rules, func(r mirrorRule) bool { return r.matches(p) })
		return i >= 0 && rules[i].Action == sluice.MirrorAccept
	})
}
