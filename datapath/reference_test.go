package datapath

import (
	"encoding/binary"
	"net/netip"

	"sluice"
)

// The firewall once more, in plain Go, as a packet by packet description: what the
// program does is compared with it. It has no clock and no limits, so it holds for
// sequences that fit into the table and take no time.

type refOutcome int

const (
	refOther refOutcome = iota // no IP, or what keeps a link going
	refInvalid
	refPacket
)

type refParsed struct {
	outcome      refOutcome
	src, dst     netip.Addr
	sport, dport uint16
	protocol     uint8
	v6           bool
	fragmented   bool
	extended     bool // by IPv6 headers before the transport's
	later        bool
	id           uint32
	flags        byte
	seq, ack     uint32
	payload      int // TCP
	chunk        byte
	hops         byte   // IPv6
	icmpError    []byte // what an ICMP error carries
	bytes        int
}

// refParse reads an Ethernet frame.
func refParse(frame []byte) refParsed {
	p := frame
	kind := binary.BigEndian.Uint16(p[12:])
	p = p[14:]
	for range 2 {
		if kind != 0x8100 && kind != 0x88a8 {
			break
		}
		if len(p) < 4 {
			return refParsed{}
		}
		kind = binary.BigEndian.Uint16(p[2:])
		p = p[4:]
	}
	switch kind {
	case 0x0800:
		return refIPv4(p)
	case 0x86dd:
		return refIPv6(p)
	}
	return refParsed{}
}

func refIPv4(p []byte) refParsed {
	bad := refParsed{outcome: refInvalid, bytes: len(p)}
	if len(p) < 20 || p[0]>>4 != 4 {
		return bad
	}
	header, total := int(p[0]&15)*4, int(binary.BigEndian.Uint16(p[2:]))
	if header < 20 || total < header || total > len(p) {
		return bad
	}
	out := refParsed{outcome: refPacket, protocol: p[9], bytes: total}
	out.src, _ = netip.AddrFromSlice(p[12:16])
	out.dst, _ = netip.AddrFromSlice(p[16:20])
	word := binary.BigEndian.Uint16(p[6:])
	offset := word & 0x1fff
	out.id = uint32(binary.BigEndian.Uint16(p[4:]))
	out.fragmented, out.later = word&0x3fff != 0, offset != 0
	if offset == 1 && out.protocol == 6 {
		return bad
	}
	return refTransport(out, p[header:total], bad)
}

func refIPv6(p []byte) refParsed {
	bad := refParsed{outcome: refInvalid, bytes: len(p)}
	if len(p) < 40 || p[0]>>4 != 6 {
		return bad
	}
	total := 40 + int(binary.BigEndian.Uint16(p[4:]))
	if total == 40 && p[6] == 0 {
		total = len(p)
	}
	if total > len(p) {
		return bad
	}
	out := refParsed{outcome: refPacket, v6: true, bytes: total, hops: p[7]}
	out.src, _ = netip.AddrFromSlice(p[8:24])
	out.dst, _ = netip.AddrFromSlice(p[24:40])
	rest, ok := refExtensions(&out, p[6], p[40:total])
	out.extended = len(rest) != total-40
	if !ok {
		return bad
	}
	return refTransport(out, rest, bad)
}

// refExtensions goes through at most eight extension headers.
func refExtensions(out *refParsed, next byte, p []byte) (rest []byte, ok bool) {
	for n := 0; ; n++ {
		switch next {
		case 0, 43, 44, 51, 60:
		default:
			out.protocol = next
			return p, true
		}
		if n == 8 || len(p) < 8 {
			return nil, false
		}
		length := (int(p[1]) + 1) * 8
		switch next {
		case 44:
			length = 8
			word := binary.BigEndian.Uint16(p[2:])
			if word&0xfff9 != 0 {
				out.fragmented, out.later = true, word>>3 != 0
				out.id = binary.LittleEndian.Uint32(p[4:])
			}
			if word>>3 != 0 {
				out.protocol = p[0]
				return p[8:], word>>3 != 1 || p[0] != 6
			}
		case 51:
			length = (int(p[1]) + 2) * 4
		}
		if length > len(p) {
			return nil, false
		}
		next, p = p[0], p[length:]
	}
}

func refTransport(out refParsed, p []byte, bad refParsed) refParsed {
	if out.later {
		return out
	}
	need := map[uint8]int{6: 20, 17: 8, 132: 12}[out.protocol]
	isICMP := out.protocol == 1 && !out.v6 || out.protocol == 58 && out.v6
	if isICMP {
		need = 4
	}
	if len(p) < need {
		return bad
	}
	switch {
	case out.protocol == 6:
		if n := int(p[12]>>4) * 4; n < 20 || n > len(p) {
			return bad
		}
		out.seq, out.ack = binary.BigEndian.Uint32(p[4:]), binary.BigEndian.Uint32(p[8:])
		out.flags, out.payload = p[13], len(p)-int(p[12]>>4)*4
	case out.protocol == 132 && len(p) >= 16:
		out.chunk = p[12]
	case isICMP && out.v6:
		switch p[0] {
		case 133, 134, 135, 136, 137:
			if out.hops == 255 {
				return refParsed{}
			}
		case 130, 131, 132, 143:
			if out.hops == 1 {
				return refParsed{}
			}
		}
		if p[0] < 128 {
			out.icmpError = p[min(8, len(p)):]
		}
	case isICMP:
		switch p[0] {
		case 3, 4, 5, 11, 12:
			out.icmpError = p[min(8, len(p)):]
		}
	}
	if out.protocol == 6 || out.protocol == 17 || out.protocol == 132 {
		out.sport, out.dport = binary.BigEndian.Uint16(p), binary.BigEndian.Uint16(p[2:])
	}
	return out
}

type refKey struct {
	src, dst     netip.Addr
	sport, dport uint16
	protocol     uint8
}

func (k refKey) reverse() refKey { return refKey{k.dst, k.src, k.dport, k.sport, k.protocol} }

// refEmbedded is the key of what an ICMP error carries, if it can be read and goes back
// to who sent it.
func refEmbedded(p refParsed) (k refKey, ok bool) {
	in := p.icmpError
	later := false
	if p.v6 {
		if len(in) < 40 || in[0]>>4 != 6 {
			return k, false
		}
		k.src, _ = netip.AddrFromSlice(in[8:24])
		k.dst, _ = netip.AddrFromSlice(in[24:40])
		var out refParsed
		rest, good := refExtensions(&out, in[6], in[40:])
		if !good {
			return k, false
		}
		in, k.protocol, later = rest, out.protocol, out.later
	} else {
		if len(in) < 20 || in[0]>>4 != 4 || in[0]&15 < 5 {
			return k, false
		}
		k.src, _ = netip.AddrFromSlice(in[12:16])
		k.dst, _ = netip.AddrFromSlice(in[16:20])
		k.protocol = in[9]
		later = binary.BigEndian.Uint16(in[6:])&0x1fff != 0
		in = in[min(len(in), int(in[0]&15)*4):]
	}
	if k.src != p.dst {
		return k, false
	}
	switch k.protocol {
	case 6, 17, 132:
		if later || len(in) < 4 {
			return k, false
		}
		k.sport, k.dport = binary.BigEndian.Uint16(in), binary.BigEndian.Uint16(in[2:])
	}
	return k, true
}

// refSide is what is known of one side of a TCP connection.
type refSide struct {
	syn, acked, fin bool
	isn             uint32 // of the SYN
	data            uint32 // bytes that came with it
	expects         uint32 // next from the other side, once acked
}

type refFlow struct {
	key             refKey
	engine          sluice.Engine
	sides           [2]refSide
	midstream, shut bool
	replied         bool // the other side has sent; of TCP taken up in mid-stream
	packets, bytes  [2]uint64
}

func (f *refFlow) state() sluice.FlowState {
	switch {
	case f.shut || f.sides[0].fin && f.sides[1].fin:
		return sluice.FlowClosed
	case f.key.protocol == 6 && (f.midstream && f.replied || !f.midstream && f.sides[0].acked && f.sides[1].acked):
		return sluice.FlowEstablished
	case f.key.protocol != 6 && f.packets[1] > 0 && f.sides[1].syn: // syn: has sent, itself
		return sluice.FlowEstablished
	}
	return sluice.FlowNew
}

type refFragment struct {
	key refKey
	id  uint32
}

// refFirewall is the table and the policy.
type refFirewall struct {
	policy    sluice.EndpointPolicy
	flows     map[refKey]*refFlow
	fragments map[refFragment]refKey
	counters  sluice.VerdictCounters
}

func newReference(p sluice.EndpointPolicy) *refFirewall {
	return &refFirewall{policy: p, flows: map[refKey]*refFlow{}, fragments: map[refFragment]refKey{}}
}

func (w *refFirewall) find(k refKey) (*refFlow, int) {
	if f := w.flows[k]; f != nil {
		return f, 0
	}
	if f := w.flows[k.reverse()]; f != nil {
		return f, 1
	}
	return nil, 0
}

// count adds a packet under a verdict and returns what the program returns for it.
func (w *refFirewall) count(c *sluice.Counter, p refParsed) uint32 {
	c.Packets++
	c.Bytes += uint64(p.bytes)
	switch c {
	case &w.counters.PassedStateful, &w.counters.PassedStateless:
		return tcxNext
	case &w.counters.RejectedPackets:
		return tcxRedirect
	}
	return tcxDrop
}

// related accounts an ICMP error to the flow that it speaks of, if there is one.
func (w *refFirewall) related(p refParsed) bool {
	if p.icmpError == nil {
		return false
	}
	in, ok := refEmbedded(p)
	if !ok {
		return false
	}
	f, d := w.find(in)
	if f == nil {
		return false
	}
	f.packets[1-d]++
	f.bytes[1-d] += uint64(p.bytes)
	return true
}

// receive is the program.
func (w *refFirewall) receive(frame []byte) uint32 {
	p := refParse(frame)
	c := &w.counters
	switch p.outcome {
	case refOther:
		return tcxNext
	case refInvalid:
		return w.count(&c.InvalidDroppedPackets, p)
	}
	action := w.policy.StatelessDefault
	k := refKey{p.src, p.dst, p.sport, p.dport, p.protocol}
	known := true
	fragment := refFragment{refKey{src: p.src, dst: p.dst, protocol: p.protocol}, p.id}
	if p.v6 {
		fragment.key.protocol = 0
	}
	if p.later {
		var first refKey
		if first, known = w.fragments[fragment]; known {
			k = first
			p.protocol = k.protocol
		}
	}
	if p.fragmented && p.protocol == 17 {
		action = w.policy.FragmentDefault
	}
	switch {
	case action == sluice.ActionDrop:
		return w.count(&c.DroppedStateless, p)
	case action == sluice.ActionPass && !known:
		return w.count(&c.PassedStateless, p)
	case !known:
		return w.count(&c.OtherDroppedPackets, p)
	}
	passed, engine := &c.PassedStateful, sluice.EngineStateful
	if action == sluice.ActionPass {
		passed, engine = &c.PassedStateless, sluice.EngineStateless
	}
	if w.related(p) {
		if p.fragmented && !p.later {
			w.fragments[fragment] = k
		}
		return w.count(passed, p)
	}
	f, d := w.find(k)
	syn := p.protocol == 6 && !p.later && p.flags&(flagSYN|flagACK|flagRST|flagFIN) == flagSYN
	foreign := f != nil && engine == sluice.EngineStateful && f.engine != engine && p.protocol == 6
	if f != nil && (f.state() == sluice.FlowClosed || foreign) && (syn || !p.later && p.chunk == 1) {
		delete(w.flows, f.key)
		f, d = nil, 0
	}
	if engine == sluice.EngineStateful && p.protocol == 6 && !syn && (f == nil || foreign || f.tooEarly(p)) {
		if c := w.exception(p); c != nil {
			return w.count(c, p)
		}
	}
	if f == nil {
		f = &refFlow{key: k}
		if p.protocol == 6 && !syn {
			f.midstream = true
			if p.flags&(flagSYN|flagACK) == flagSYN|flagACK {
				f.key, d = k.reverse(), 1
			}
			f.sides[d] = refSide{acked: true, expects: p.ack}
			f.sides[1-d] = refSide{acked: true, expects: p.seq}
		}
		w.flows[f.key] = f
	}
	f.engine = engine
	f.packets[d]++
	f.bytes[d] += uint64(p.bytes)
	f.track(p, d)
	if p.fragmented && !p.later {
		w.fragments[fragment] = k
	}
	return w.count(passed, p)
}

// exception is the verdict on a packet that meets the stream exception policy; nil where
// it goes on.
func (w *refFirewall) exception(p refParsed) *sluice.Counter {
	w.count(&w.counters.StreamExceptionPolicyPackets, p)
	answerable := p.flags&flagRST == 0 && !p.later
	turnable := !p.fragmented && !p.extended
	switch {
	case w.policy.StreamException == sluice.StreamExceptionReject && answerable && turnable:
		return &w.counters.RejectedPackets
	case w.policy.StreamException != sluice.StreamExceptionContinue:
		return &w.counters.DroppedStateful
	case !answerable:
		return &w.counters.PassedStateful
	}
	return nil
}

// tooEarly tells a segment that comes before both sides have sent their SYN.
func (f *refFlow) tooEarly(p refParsed) bool {
	return !f.midstream && !(f.sides[0].syn && f.sides[1].syn) && p.flags&(flagSYN|flagRST) == 0 && !p.later
}

// reopen takes back what later packets show to be wrong.
func (f *refFlow) reopen(p refParsed, d int) {
	switch {
	case f.state() != sluice.FlowClosed || p.flags&flagRST != 0:
	case f.shut:
		f.shut = false
	case p.payload > 0 && p.flags&flagFIN == 0:
		f.sides[d].fin = false
	}
}

func within(a, b uint32, distance int32) bool {
	x := int32(a - b)
	return -distance < x && x < distance
}

// track is the state machine.
func (f *refFlow) track(p refParsed, d int) {
	me, other := &f.sides[d], &f.sides[1-d]
	if f.key.protocol != 6 {
		me.syn = true
		f.shut = p.chunk == 6 || p.chunk == 14
		return
	}
	if p.later {
		return
	}
	f.reopen(p, d)
	f.replied = f.replied || f.packets[0] > 0 && f.packets[1] > 0
	if p.flags&flagSYN != 0 && !me.acked {
		me.syn, me.isn, me.data = true, p.seq, uint32(p.payload)
	}
	answers := p.ack-other.isn-1 <= other.data
	if p.flags&flagRST != 0 {
		switch {
		case other.acked:
			f.shut = f.shut || within(p.seq, other.expects, 1<<20)
		case other.syn:
			f.shut = f.shut || p.flags&flagACK != 0 && answers || me.syn && (me.acked || p.seq-me.isn-1 <= me.data)
		case me.acked:
			f.shut = true
		default:
			f.shut = f.shut || within(p.seq, me.isn, 1<<20)
		}
		return
	}
	otherWasAcked := other.acked
	if p.flags&flagACK != 0 {
		switch {
		case other.syn && !other.acked:
			if answers {
				other.acked, other.expects = true, p.seq
			}
		case me.acked && within(p.seq, other.expects, 1<<24):
			me.expects = p.ack
		}
	}
	if p.flags&flagFIN != 0 && (!otherWasAcked || within(p.seq, other.expects, 1<<24)) {
		me.fin = true
	}
}
