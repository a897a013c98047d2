package datapath

import (
	"math"
	"math/bits"
	"net/netip"
	"time"

	"sluice"
)

// filter is a FlowSelection made ready for the words of a key. A match is a few
// comparisons of words that lie in one cache line.
type filter struct {
	matches    []match
	sieve      *sieve // nil where it would not pay
	minimumAge uint64 // s
}

// match is one FlowMatch: a key belongs to it if it equals value under mask, and its
// ports and protocol are in theirs.
type match struct {
	value, mask  [5]uint64
	sport, dport sluice.PortRange
	protocols    [4]uint64
	anyProtocol  bool // with any port
}

// compile makes the filter of a selection for one endpoint.
func compile(s sluice.FlowSelection, endpoint uint16) filter {
	f := filter{minimumAge: uint64(max(0, s.MinimumAge) / time.Second)}
	if s.MinimumAge%time.Second > 0 {
		f.minimumAge++
	}
	for i := range s.Matches {
		if m, ok := compileMatch(&s.Matches[i], endpoint); ok {
			f.matches = append(f.matches, m)
		}
	}
	if len(f.matches) > sieveFrom {
		f.sieve = newSieve(f.matches)
	}
	return f
}

// sieveFrom is how many matches are compared faster than sieved.
const sieveFrom = 2

// sieve lets through every key that any of many matches can hold, and few others. It
// looks at the bits of the addresses that all matches compare.
type sieve struct {
	mask [4]uint64
	bits [4]uint64 // one for each hash of what the matches want in these bits
}

func newSieve(matches []match) *sieve {
	s := &sieve{}
	for i := range s.mask {
		s.mask[i] = math.MaxUint64
		for n := range matches {
			s.mask[i] &= matches[n].mask[i]
		}
	}
	for n := range matches {
		h := s.hash(&matches[n].value)
		s.bits[h>>6] |= 1 << (h & 63)
	}
	return s
}

// hash multiplies, since what differs may be anywhere in the words.
func (s *sieve) hash(k *[5]uint64) uint8 {
	h := k[0]&s.mask[0] + bits.RotateLeft64(k[2]&s.mask[2], 32)
	h = (h ^ k[1]&s.mask[1]) * 0x9e3779b97f4a7c15
	h = (h ^ k[3]&s.mask[3] ^ h>>32) * 0x9e3779b97f4a7c15
	return uint8(h >> 56)
}

// compileMatch makes a match; ok is false where it can hold no flow.
func compileMatch(from *sluice.FlowMatch, endpoint uint16) (m match, ok bool) {
	m.value[4] = keyWord(0, 0, 0, 0, endpoint)
	m.mask[4] = keyWord(0, 0, 0, 0, math.MaxUint16)
	for at, p := range map[int]netip.Prefix{0: from.Source, 2: from.Destination} {
		if !p.IsValid() {
			continue
		}
		family := uint8(familyIPv6)
		length := p.Bits()
		if p.Addr().Is4() {
			family = familyIPv4
			length += 96
		}
		value, mask := words(p.Addr()), words(prefixMask(length))
		copy(m.value[at:], value[:])
		copy(m.mask[at:], mask[:])
		for i := at; i < at+2; i++ {
			m.value[i] &= m.mask[i]
		}
		wanted := keyWord(0, 0, 0, family, 0)
		familyMask := keyWord(0, 0, 0, math.MaxUint8, 0)
		if m.mask[4]&familyMask != 0 && m.value[4]&familyMask != wanted {
			return m, false
		}
		m.value[4] |= wanted
		m.mask[4] |= familyMask
	}
	m.sport, m.dport = from.SourcePort, from.DestinationPort
	m.compileProtocols(from)
	return m, m.anyProtocol || m.protocols != [4]uint64{}
}

// compileProtocols leaves only protocols with ports where a port is asked for: a flow
// without ports has no port 0.
func (m *match) compileProtocols(from *sluice.FlowMatch) {
	m.protocols = from.Protocols
	if from.AnyProtocol {
		m.protocols = [4]uint64{math.MaxUint64, math.MaxUint64, math.MaxUint64, math.MaxUint64}
	}
	m.anyProtocol = from.AnyProtocol
	if from.SourcePort.All() && from.DestinationPort.All() {
		return
	}
	var ported [4]uint64
	for _, p := range []uint8{sluice.ProtocolTCP, sluice.ProtocolUDP, sluice.ProtocolSCTP} {
		ported[p>>6] |= 1 << (p & 63)
	}
	for i := range m.protocols {
		m.protocols[i] &= ported[i]
	}
	m.anyProtocol = false
}

// prefixMask is the address whose first bits are ones.
func prefixMask(bits int) netip.Addr {
	var b [16]byte
	for i := range b {
		n := min(8, max(0, bits-8*i))
		b[i] = ^byte(0xff >> n)
	}
	return netip.AddrFrom16(b)
}

// holdsKey tells whether any match holds a key.
func (f *filter) holdsKey(k *[5]uint64) bool {
	if f.sieve != nil {
		if h := f.sieve.hash(k); f.sieve.bits[h>>6]&(1<<(h&63)) == 0 {
			return false
		}
	}
	for i := range f.matches {
		if f.matches[i].holds(k) {
			return true
		}
	}
	return false
}

func (m *match) holds(k *[5]uint64) bool {
	if (k[1]^m.value[1])&m.mask[1]|(k[3]^m.value[3])&m.mask[3]|(k[4]^m.value[4])&m.mask[4] != 0 {
		return false
	}
	if (k[0]^m.value[0])&m.mask[0]|(k[2]^m.value[2])&m.mask[2] != 0 {
		return false
	}
	protocol := uint8(k[4] >> 32)
	if !m.anyProtocol && m.protocols[protocol>>6]&(1<<(protocol&63)) == 0 {
		return false
	}
	sport, dport := uint16(k[4]), uint16(k[4]>>16)
	return sport >= m.sport.From && sport <= m.sport.To && dport >= m.dport.From && dport <= m.dport.To
}

// holds tells whether the filter holds a copied flow, closed or not, at a time: its key may have
// become another's since holdsKey looked at it.
func (f *filter) holds(flow *firewallFlow, now uint64) bool {
	return present(flow, now) && uint64(since(now, flow.First)/time.Second) >= f.minimumAge && f.holdsKey(keyWords(flow))
}
