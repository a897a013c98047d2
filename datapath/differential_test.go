package datapath

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"sluice"
)

// randomFrames makes packets of few hosts and ports, so that they meet in flows and
// their handshakes come to something now and then.
type randomFrames struct{ *rand.Rand }

func (r randomFrames) pick(s ...string) string { return s[r.IntN(len(s))] }

func (r randomFrames) frame() []byte {
	v6 := r.IntN(3) == 0
	protocol := []byte{6, 6, 6, 6, 17, 17, 1, 58, 132, 47, 50, 59}[r.IntN(12)]
	payload := r.transport(protocol, v6, true)
	packet := r.packet(v6, protocol, payload)
	var vlans []int
	for range r.IntN(8) / 5 {
		vlans = append(vlans, r.IntN(4096))
	}
	frame := ether(packet, vlans...)
	switch r.IntN(12) {
	case 0: // padding
		frame = append(frame, make([]byte, r.IntN(50))...)
	case 1: // damage
		for range 1 + r.IntN(3) {
			frame[14+r.IntN(len(frame)-14)] ^= 1 << r.IntN(8)
		}
	case 2: // truncation
		frame = frame[:15+r.IntN(len(frame)-14)]
	}
	return runnable(frame)
}

// runnable gives a frame a VLAN tag where prog-run would refuse it: a frame of Ethernet
// that says IP must have a whole IP header, or it must not be the first thing it says.
func runnable(frame []byte) []byte {
	need := map[uint16]int{0x0800: 14 + 20, 0x86dd: 14 + 40}[binary.BigEndian.Uint16(frame[12:])]
	if len(frame) >= need && len(frame) > 14 {
		return frame
	}
	return join(frame[:12], be16(0x8100), be16(7), frame[12:])
}

func (r randomFrames) port() int { return []int{80, 443, 1000, 1001}[r.IntN(4)] }

// seq is near one of two numbers most of the time.
func (r randomFrames) seq() uint32 {
	switch r.IntN(8) {
	case 0:
		return r.Uint32()
	case 1:
		return 1000 + uint32(r.IntN(1<<21))
	}
	return []uint32{1000, 1001, 1000000000, 1000000001}[r.IntN(4)]
}

func (r randomFrames) transport(protocol byte, v6, outermost bool) []byte {
	data := make([]byte, r.IntN(40))
	switch protocol {
	case 6:
		flags := []byte{flagSYN, flagSYN | flagACK, flagACK, flagACK, flagACK, flagFIN | flagACK, flagRST, flagRST | flagACK,
			flagFIN, flagSYN | flagFIN, byte(r.IntN(64))}[r.IntN(11)]
		return tcp(r.port(), r.port(), r.seq(), r.seq(), flags, data)
	case 17:
		return udp(r.port(), r.port(), data)
	case 132:
		return sctp(r.port(), r.port(), []byte{0, 1, 2, 6, 14, 3}[r.IntN(6)])
	case 1, 58:
		kind := []byte{8, 0, 3, 11, 1, 128, 129, 135, 2, 5}[r.IntN(10)]
		if outermost && r.IntN(2) == 0 {
			inner := []byte{6, 17, 132, 1, 47}[r.IntN(5)]
			data = r.packet(v6, inner, r.transport(inner, v6, false))
			data = data[:r.IntN(len(data)+1)]
		}
		return icmp(kind, 0, data)
	}
	return data
}

func (r randomFrames) packet(v6 bool, protocol byte, payload []byte) []byte {
	if !v6 {
		src, dst := r.pick("10.0.0.1", "10.0.0.2", "10.0.0.3"), r.pick("10.0.0.1", "10.0.0.2", "10.0.0.3")
		var more []any
		if r.IntN(6) == 0 {
			more = append(more, make([]byte, 4*r.IntN(10)))
		}
		if r.IntN(5) == 0 {
			more = append(more, [2]int{r.IntN(3), []int{0x2000, 0x2001, 0x0010, 0x2002, 0x4000, 1}[r.IntN(6)]})
		}
		return ipv4(src, dst, protocol, payload, more...)
	}
	next := protocol
	for range r.IntN(12) / 2 * r.IntN(2) * r.IntN(2) {
		kind := []byte{0, 43, 44, 51, 60, 60, 60}[r.IntN(7)]
		header := make([]byte, 8)
		header[0] = next
		switch kind {
		case 44:
			binary.BigEndian.PutUint16(header[2:], []uint16{0, 1, 1, 8, 16, 17, 24}[r.IntN(7)])
			header[7] = byte(r.IntN(3))
		default:
			if r.IntN(4) == 0 {
				header[1] = byte(r.IntN(3))
			}
			units := (int(header[1]) + 1) * 8
			if kind == 51 {
				units = (int(header[1]) + 2) * 4
			}
			header = append(header, make([]byte, max(0, units-8))...)[:max(8, units)]
		}
		payload, next = append(header, payload...), kind
	}
	return ipv6(r.pick("fd00::1", "fd00::2"), r.pick("fd00::1", "fd00::2", "::ffff:10.0.0.1"), next, payload)
}

// compareWithReference runs frames through the program and the reference and tells the
// first difference.
func (r *rig) compareWithReference(p sluice.EndpointPolicy, frames [][]byte) error {
	if err := r.setPolicy(r.slot, p); err != nil {
		return err
	}
	r.forget()
	before := verdicts(r.t, r.Datapath)
	ref := newReference(p)
	for i, f := range frames {
		if got, want := r.send(f), ref.receive(f); got != want {
			return fmt.Errorf("frame %d: program returns %d, reference %d: %x", i, int32(got), int32(want), f)
		}
	}
	if d := gocmp.Diff(ref.counters, difference(verdicts(r.t, r.Datapath), before)); d != "" {
		return fmt.Errorf("counters (-reference +program):\n%s", d)
	}
	var want, got []string
	for _, f := range ref.flows {
		if f.state() != sluice.FlowClosed {
			want = append(want, short(sluice.Flow{Source: f.key.src, Destination: f.key.dst, SourcePort: f.key.sport,
				DestinationPort: f.key.dport, Protocol: f.key.protocol, State: f.state(), Engine: f.engine,
				Packets: f.packets, Bytes: f.bytes}))
		}
	}
	for _, f := range r.capture() {
		got = append(got, short(f))
	}
	slices.SortFunc(want, cmp.Compare)
	slices.SortFunc(got, cmp.Compare)
	if d := gocmp.Diff(want, got); d != "" {
		return fmt.Errorf("flows (-reference +program):\n%s", d)
	}
	return nil
}

// forget empties the table at once, which only does while no packet comes, and the
// fragments.
func (r *rig) forget() {
	r.t.Helper()
	for b := range r.mem.tags {
		for s := range r.mem.tags[b].Tag {
			r.mem.free(entry{bucket: uint32(b), slot: uint8(s), generation: r.mem.flow(uint32(b), uint8(s)).Generation})
		}
	}
	var keys []firewallFragmentKey
	var k firewallFragmentKey
	var v firewallFragment
	for it := r.maps.Fragments.Iterate(); it.Next(&k, &v); {
		keys = append(keys, k)
	}
	for _, k := range keys {
		if err := r.maps.Fragments.Delete(&k); err != nil {
			r.t.Fatal(err)
		}
	}
}

func difference(a, b sluice.VerdictCounters) sluice.VerdictCounters {
	sub := func(a, b sluice.Counter) sluice.Counter {
		return sluice.Counter{Packets: a.Packets - b.Packets, Bytes: a.Bytes - b.Bytes}
	}
	return sluice.VerdictCounters{
		PassedStateless:              sub(a.PassedStateless, b.PassedStateless),
		PassedStateful:               sub(a.PassedStateful, b.PassedStateful),
		DroppedStateless:             sub(a.DroppedStateless, b.DroppedStateless),
		DroppedStateful:              sub(a.DroppedStateful, b.DroppedStateful),
		RejectedPackets:              sub(a.RejectedPackets, b.RejectedPackets),
		StreamExceptionPolicyPackets: sub(a.StreamExceptionPolicyPackets, b.StreamExceptionPolicyPackets),
		InvalidDroppedPackets:        sub(a.InvalidDroppedPackets, b.InvalidDroppedPackets),
		OtherDroppedPackets:          sub(a.OtherDroppedPackets, b.OtherDroppedPackets),
	}
}

func randomPolicy(r *rand.Rand) sluice.EndpointPolicy {
	p := testPolicy()
	p.Generation = r.Uint32()
	all := []string{sluice.ActionForwardToSFE, sluice.ActionForwardToSFE, sluice.ActionForwardToSFE, sluice.ActionPass, sluice.ActionDrop}
	p.StatelessDefault, p.FragmentDefault = all[r.IntN(5)], all[r.IntN(5)]
	p.StreamException = []string{sluice.StreamExceptionDrop, sluice.StreamExceptionContinue, sluice.StreamExceptionReject}[r.IntN(3)]
	return p
}

func TestProgramAgreesWithReferenceOnRandomPackets(t *testing.T) {
	r := newRig(t, 4096, testPolicy())
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 1))
		frames := make([][]byte, 300)
		for i := range frames {
			frames[i] = randomFrames{random}.frame()
		}
		if err := r.compareWithReference(randomPolicy(random), frames); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}
