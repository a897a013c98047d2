package datapath

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"

	"sluice"
)

// refMirror is traffic mirroring once more, in plain Go: which session takes a frame, by
// its place, or -1.
type refMirror struct {
	sessions []sluice.MirrorSession
	paths    map[[2]netip.Addr]bool
}

var refServices = map[string]bool{
	"169.254.169.254": true, "169.254.169.123": true, "169.254.169.250": true, "169.254.169.251": true,
	"fd00:ec2::254": true, "fd00:ec2::123": true, "fd00:ec2::250": true, "fd00:ec2::251": true,
}

// refAddresses is what there is to know of a malformed packet.
func refAddresses(frame []byte) refParsed {
	p, kind := frame[14:], int(frame[12])<<8|int(frame[13])
	for range 2 {
		if (kind == 0x8100 || kind == 0x88a8) && len(p) >= 4 {
			kind, p = int(p[2])<<8|int(p[3]), p[4:]
		}
	}
	var out refParsed
	if kind == 0x0800 {
		if len(p) < 20 || p[0]>>4 != 4 || p[0]&15 < 5 {
			return out
		}
		if total := int(p[2])<<8 | int(p[3]); total < int(p[0]&15)*4 || total > len(p) {
			return out
		}
		out.outcome, out.protocol = refPacket, p[9]
		out.src, _ = netip.AddrFromSlice(p[12:16])
		out.dst, _ = netip.AddrFromSlice(p[16:20])
		return out
	}
	if len(p) < 40 || p[0]>>4 != 6 {
		return out
	}
	total := 40 + int(p[4])<<8 + int(p[5])
	if total == 40 && p[6] == 0 {
		total = len(p)
	}
	if total > len(p) {
		return out
	}
	refExtensions(&out, p[6], p[40:total])
	if out.protocol == 0 {
		out.protocol = p[6]
	}
	out.outcome, out.v6 = refPacket, true
	out.src, _ = netip.AddrFromSlice(p[8:24])
	out.dst, _ = netip.AddrFromSlice(p[24:40])
	return out
}

func (m *refMirror) session(frame []byte, direction string) int {
	p := refParse(frame)
	malformed := p.outcome == refInvalid
	if malformed {
		p = refAddresses(frame)
	}
	if p.outcome != refPacket || refServices[p.src.String()] || refServices[p.dst.String()] {
		return -1
	}
	ports := !malformed && !p.later && (p.protocol == 6 || p.protocol == 17)
	if ports && p.protocol == 17 {
		low := uint16(67)
		if p.v6 {
			low = 546
		}
		if (p.sport == low || p.sport == low+1) && (p.dport == low || p.dport == low+1) {
			return -1
		}
		if p.dport == 4789 && m.paths[[2]netip.Addr{p.src, p.dst}] {
			return -1
		}
	}
	for i, s := range m.sessions {
		if refAccepts(s, p, ports, direction) {
			return i
		}
	}
	return -1
}

func refAccepts(s sluice.MirrorSession, p refParsed, ports bool, direction string) bool {
	if p.protocol == 6 || p.protocol == 17 {
		for _, r := range s.Resolvers {
			r = r.Unmap()
			if p.src == r && (!ports || p.sport == 53) || p.dst == r && (!ports || p.dport == 53) {
				return s.DNS
			}
		}
	}
	for _, r := range s.Rules {
		if r.TrafficDirection != direction || !r.SourceCIDR.Contains(p.src) || !r.DestinationCIDR.Contains(p.dst) {
			continue
		}
		if r.Protocol >= 0 && r.Protocol != int32(p.protocol) {
			continue
		}
		if q := r.SourcePortRange; q != nil && (!ports || p.sport < q.From || p.sport > q.To) {
			continue
		}
		if q := r.DestinationPortRange; q != nil && (!ports || p.dport < q.From || p.dport > q.To) {
			continue
		}
		return r.RuleAction == sluice.MirrorAccept
	}
	return false
}

var mirrorAddresses4 = []string{"10.0.0.1", "10.0.0.2", "10.0.0.3", "169.254.169.254", "169.254.169.123", "169.254.169.252"}
var mirrorAddresses6 = []string{"fd00::1", "fd00::2", "::ffff:10.0.0.1", "fd00:ec2::254", "fd00:ec2::253", "fd00:ec2:0:1::254"}

// mirrorFrame is a random frame whose addresses and ports now and then mean something to
// mirroring.
func (r randomFrames) mirrorFrame() []byte {
	f := r.frame()
	at, ip4 := ipOf(f), false
	if at != 0 && at+40 <= len(f) {
		ip4 = f[at]>>4 == 4
		for end := range 2 {
			if r.IntN(4) > 0 {
				continue
			}
			if ip4 {
				a := netip.MustParseAddr(r.pick(mirrorAddresses4...)).As4()
				copy(f[at+12+4*end:], a[:])
			} else {
				a := netip.MustParseAddr(r.pick(mirrorAddresses6...)).As16()
				copy(f[at+8+16*end:], a[:])
			}
		}
	}
	l4 := at + 40
	if ip4 {
		l4 = at + int(f[at]&15)*4
	}
	if at != 0 && l4+4 <= len(f) && r.IntN(3) == 0 {
		for end := range 2 {
			port := []int{53, 67, 68, 546, 547, 4789}[r.IntN(6)]
			copy(f[l4+2*end:], be16(port))
		}
	}
	return f
}

func (r randomFrames) portRange() *sluice.PortRange {
	if r.IntN(3) > 0 {
		return nil
	}
	a, b := uint16(r.IntN(1100)), uint16(r.IntN(1100))
	if r.IntN(8) == 0 {
		b = 65535
	}
	return &sluice.PortRange{From: min(a, b), To: max(a, b)}
}

func (r randomFrames) cidr(v6 bool) netip.Prefix {
	if v6 {
		a := netip.MustParseAddr(r.pick(mirrorAddresses6...))
		return netip.PrefixFrom(a, []int{0, 0, 8, 64, 96, 127, 128}[r.IntN(7)]).Masked()
	}
	a := netip.MustParseAddr(r.pick(mirrorAddresses4...))
	return netip.PrefixFrom(a, []int{0, 0, 8, 24, 30, 31, 32}[r.IntN(7)]).Masked()
}

func (r randomFrames) sessions() []sluice.MirrorSession {
	var out []sluice.MirrorSession
	narrow := r.IntN(2) == 0 // one network at either end, so that most packets are outside
	src, dst := r.cidr(false), r.cidr(false)
	for i := range 1 + r.IntN(sessionsPerSource) {
		s := sluice.MirrorSession{
			ID: fmt.Sprintf("tms-%d", i), Number: int32(i + 1), VNI: uint32(i), DNS: r.IntN(2) == 0,
			Targets: []netip.Addr{sensorIPv4},
		}
		for range r.IntN(3) {
			s.Resolvers = append(s.Resolvers, netip.MustParseAddr(r.pick(append(mirrorAddresses4, mirrorAddresses6...)...)))
		}
		most := 6
		if r.IntN(10) == 0 {
			most = rulesPerDirection
		}
		for _, d := range []string{sluice.TrafficIngress, sluice.TrafficEgress} {
			for n := range r.IntN(most + 1) {
				v6 := r.IntN(3) == 0
				from, to := r.cidr(v6), r.cidr(v6)
				if narrow && !v6 {
					from, to = src, dst
				}
				s.Rules = append(s.Rules, sluice.TrafficMirrorFilterRule{
					ID: fmt.Sprintf("tmfr-%s%d", d, n), TrafficDirection: d, RuleNumber: int32(n + 1),
					RuleAction: r.pick(sluice.MirrorAccept, sluice.MirrorAccept, sluice.MirrorReject),
					Protocol:   []int32{-1, -1, 6, 6, 17, 17, 1, 58, 132, 47, 0}[r.IntN(11)],
					SourceCIDR: from, DestinationCIDR: to,
					SourcePortRange: r.portRange(), DestinationPortRange: r.portRange(),
				})
			}
		}
		out = append(out, s)
	}
	return out
}

// mirrorRig runs the mirror program on made-up packets. There is no helper device, so
// that what is matched goes nowhere, and is counted.
type mirrorRig struct {
	*mirrorTable
	t        testing.TB
	programs map[string]*ebpf.Program // by direction
}

func newMirrorRig(t testing.TB) *mirrorRig {
	t.Helper()
	table, err := openMirrors(bpffs(t), 1, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatalf("%+v", err)
	}
	t.Cleanup(func() { table.close() })
	r := &mirrorRig{mirrorTable: table, t: t, programs: map[string]*ebpf.Program{}}
	for direction, in := range map[string]uint8{sluice.TrafficEgress: 0, sluice.TrafficIngress: 1} {
		p, err := table.load(mirrorProgMirror, map[string]any{
			mirrorVarSourceSlot: uint32(0), mirrorVarAtIngress: in, mirrorVarLinkHeader: uint32(14), mirrorVarCopyMark: uint32(99),
		})
		if err != nil {
			t.Fatalf("%+v", err)
		}
		t.Cleanup(func() { p.Close() })
		r.programs[direction] = p
	}
	return r
}

// put makes these the sessions in force.
func (r *mirrorRig) put(sessions []sluice.MirrorSession) {
	r.t.Helper()
	m := &mirroring{t: r.mirrorTable}
	g, err := m.encode(sluice.MirrorSource{Interface: sluice.InterfaceRef{ID: "eni-1"}, IPv4: sourceIPv4, Sessions: sessions})
	if err == nil {
		err = r.setGeneration(0, g)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// send runs the program on a frame and tells which session matched, by its place.
func (r *mirrorRig) send(frame []byte, direction string, before map[uint32]uint64) int {
	r.t.Helper()
	action, err := r.programs[direction].Run(&ebpf.RunOptions{Data: frame})
	if err != nil || action != tcxNext {
		r.t.Fatalf("run program on %x: action %d, %v", frame, action, err)
	}
	found := -1
	for i := range sessionsPerSource {
		slot, ok := r.sessions[fmt.Sprintf("tms-%d", i)]
		if !ok {
			continue
		}
		key := slot * 2
		if direction == sluice.TrafficIngress {
			key++
		}
		c, _, err := r.direction(key)
		if err != nil {
			r.t.Fatal(err)
		}
		switch c.Matched.Packets - before[key] {
		case 0:
		case 1:
			if found >= 0 {
				r.t.Fatalf("sessions %d and %d both matched %x", found, i, frame)
			}
			found = i
		default:
			r.t.Fatalf("session %d matched %x more than once", i, frame)
		}
		before[key] = c.Matched.Packets
	}
	return found
}

func TestProgramAgreesWithReferenceOnRandomSessions(t *testing.T) {
	r := newMirrorRig(t)
	cases := 100_000
	if testing.Short() {
		cases = 5_000
	}
	random := randomFrames{rand.New(rand.NewPCG(1, 2))}
	path := [2]netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")}
	if err := r.maps.Paths.Put(&mirrorPath{Src: words(path[0]), Dst: words(path[1])}, uint8(1)); err != nil {
		t.Fatal(err)
	}
	taken := map[int]int{}
	before := map[uint32]uint64{}
	for n := 0; n < cases; {
		ref := &refMirror{sessions: random.sessions(), paths: map[[2]netip.Addr]bool{path: true}}
		r.put(ref.sessions)
		for range 200 {
			frame, direction := random.mirrorFrame(), random.pick(sluice.TrafficIngress, sluice.TrafficEgress)
			if len(frame) < 15 {
				continue
			}
			frame = runnable(frame)
			got, want := r.send(frame, direction, before), ref.session(frame, direction)
			if got != want {
				t.Fatalf("case %d: %s frame %x\nsession %d, want %d of %+v", n, direction, frame, got, want, ref.sessions)
			}
			taken[got]++
			n++
		}
	}
	t.Logf("%d cases; taken by session: %v", cases, taken)
	for i := -1; i < sessionsPerSource; i++ {
		if taken[i] < cases/200 {
			t.Errorf("session %d took %d packets: the test proves little", i, taken[i])
		}
	}
}
