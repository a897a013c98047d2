package datapath

import (
	"encoding/binary"
	"testing"

	"github.com/cilium/ebpf"

	"sluice"
)

// extension is an IPv6 extension header of 8 bytes.
func extension(next byte, rest []byte) []byte {
	return join([]byte{next, 0, 0, 0, 0, 0, 0, 0}, rest)
}

func extensions(n int, last byte, rest []byte) []byte {
	for i := range n {
		if i > 0 {
			last = 60
		}
		rest = extension(last, rest)
	}
	return rest
}

func TestPacketsBecomeTheFlowsThatTheyAre(t *testing.T) {
	r := newRig(t, 4096, testPolicy())
	syn := tcp(1000, 80, 1, 0, flagSYN, nil)
	optioned := join(tcp(1000, 80, 1, 0, flagSYN, nil)[:12], []byte{0xf0, flagSYN}, make([]byte, 46))
	for name, c := range map[string]struct {
		frame []byte
		want  string
	}{
		"TCP":                         {ether(ipv4("10.0.0.1", "10.0.0.2", 6, syn)), "6 10.0.0.1:1000 > 10.0.0.2:80 new stateful p[1 0] b[40 0]"},
		"TCP with options":            {ether(ipv4("10.0.0.1", "10.0.0.2", 6, optioned)), "6 10.0.0.1:1000 > 10.0.0.2:80 new stateful p[1 0] b[80 0]"},
		"IPv4 with options":           {ether(ipv4("10.0.0.1", "10.0.0.2", 6, syn, make([]byte, 40))), "6 10.0.0.1:1000 > 10.0.0.2:80 new stateful p[1 0] b[80 0]"},
		"Ethernet padding":            {append(ether(ipv4("10.0.0.1", "10.0.0.2", 17, udp(5, 6, nil))), make([]byte, 30)...), "17 10.0.0.1:5 > 10.0.0.2:6 new stateful p[1 0] b[28 0]"},
		"one VLAN tag":                {ether(ipv4("10.0.0.1", "10.0.0.2", 6, syn), 5), "6 10.0.0.1:1000 > 10.0.0.2:80 new stateful p[1 0] b[40 0]"},
		"two VLAN tags":               {ether(ipv6("fd00::1", "fd00::2", 6, syn), 5, 6), "6 fd00::1:1000 > fd00::2:80 new stateful p[1 0] b[60 0]"},
		"ICMP":                        {ether(ipv4("10.0.0.1", "10.0.0.2", 1, icmp(8, 0, nil))), "1 10.0.0.1:0 > 10.0.0.2:0 new stateful p[1 0] b[28 0]"},
		"ICMPv6":                      {ether(ipv6("fd00::1", "fd00::2", 58, icmp(128, 0, nil))), "58 fd00::1:0 > fd00::2:0 new stateful p[1 0] b[48 0]"},
		"SCTP":                        {ether(ipv4("10.0.0.1", "10.0.0.2", 132, sctp(7, 8, 1))), "132 10.0.0.1:7 > 10.0.0.2:8 new stateful p[1 0] b[36 0]"},
		"GRE by number":               {ether(ipv4("10.0.0.1", "10.0.0.2", 47, make([]byte, 4))), "47 10.0.0.1:0 > 10.0.0.2:0 new stateful p[1 0] b[24 0]"},
		"ESP over IPv6 by number":     {ether(ipv6("fd00::1", "fd00::2", 50, nil)), "50 fd00::1:0 > fd00::2:0 new stateful p[1 0] b[40 0]"},
		"AH over IPv4 by number":      {ether(ipv4("10.0.0.1", "10.0.0.2", 51, make([]byte, 12))), "51 10.0.0.1:0 > 10.0.0.2:0 new stateful p[1 0] b[32 0]"},
		"eight extension headers":     {ether(ipv6("fd00::1", "fd00::2", 60, extensions(8, 17, udp(5, 6, nil)))), "17 fd00::1:5 > fd00::2:6 new stateful p[1 0] b[112 0]"},
		"nine extension headers":      {ether(ipv6("fd00::1", "fd00::2", 60, extensions(9, 17, udp(5, 6, nil)))), ""},
		"routing header":              {ether(ipv6("fd00::1", "fd00::2", 43, extension(6, syn))), "6 fd00::1:1000 > fd00::2:80 new stateful p[1 0] b[68 0]"},
		"AH over IPv6":                {ether(ipv6("fd00::1", "fd00::2", 51, join([]byte{6, 1}, make([]byte, 10), syn))), "6 fd00::1:1000 > fd00::2:80 new stateful p[1 0] b[72 0]"},
		"no next header":              {ether(ipv6("fd00::1", "fd00::2", 59, nil)), "59 fd00::1:0 > fd00::2:0 new stateful p[1 0] b[40 0]"},
		"atomic fragment":             {ether(ipv6("fd00::1", "fd00::2", 44, extension(6, syn))), "6 fd00::1:1000 > fd00::2:80 new stateful p[1 0] b[68 0]"},
		"version 5":                   {patched(ether(ipv4("10.0.0.1", "10.0.0.2", 6, syn)), 14, 0x55), ""},
		"header length 16":            {patched(ether(ipv4("10.0.0.1", "10.0.0.2", 6, syn)), 14, 0x44), ""},
		"total length below header":   {patched(ether(ipv4("10.0.0.1", "10.0.0.2", 6, syn)), 17, 19), ""},
		"total length beyond frame":   {patched(ether(ipv4("10.0.0.1", "10.0.0.2", 6, syn)), 17, 41), ""},
		"TCP data offset 16":          {patched(ether(ipv4("10.0.0.1", "10.0.0.2", 6, syn)), 14+20+12, 0x40), ""},
		"TCP data offset beyond end":  {patched(ether(ipv4("10.0.0.1", "10.0.0.2", 6, syn)), 14+20+12, 0x60), ""},
		"half a UDP header":           {ether(ipv4("10.0.0.1", "10.0.0.2", 17, make([]byte, 7))), ""},
		"half an SCTP header":         {ether(ipv4("10.0.0.1", "10.0.0.2", 132, make([]byte, 11))), ""},
		"TCP cut after eight bytes":   {ether(ipv4("10.0.0.1", "10.0.0.2", 6, syn[:8], [2]int{1, 0x2000})), ""},
		"fragment inside TCP header":  {ether(ipv4("10.0.0.1", "10.0.0.2", 6, syn, [2]int{1, 1})), ""},
		"ARP":                         {append(make([]byte, 12), 8, 6, 0, 1), "other"},
		"neighbour solicitation":      {patched(ether(ipv6("fd00::1", "fd00::2", 58, icmp(135, 0, nil))), 14+7, 255), "other"},
		"the same, from afar":         {ether(ipv6("fd00::1", "fd00::2", 58, icmp(135, 0, nil))), "58 fd00::1:0 > fd00::2:0 new stateful p[1 0] b[48 0]"},
		"multicast listener report":   {patched(ether(ipv6("fe80::1", "ff02::16", 58, icmp(143, 0, nil))), 14+7, 1), "other"},
		"IPv6 payload beyond frame":   {patched(ether(ipv6("fd00::1", "fd00::2", 59, nil)), 14+5, 1), ""},
		"extension beyond the packet": {ether(ipv6("fd00::1", "fd00::2", 60, []byte{6, 9, 0, 0, 0, 0, 0, 0})), ""},
	} {
		t.Run(name, func(t *testing.T) {
			r.forget()
			before := verdicts(t, r.Datapath)
			action := r.send(c.frame)
			v := difference(verdicts(t, r.Datapath), before)
			flows := r.capture()
			switch c.want {
			case "":
				if action != tcxDrop || len(flows) != 0 || v.InvalidDroppedPackets.Packets != 1 {
					t.Errorf("action %d, flows %v, counters %+v; want it dropped as invalid", int32(action), flows, v)
				}
			case "other":
				if action != tcxNext || len(flows) != 0 || v != (sluice.VerdictCounters{}) {
					t.Errorf("action %d, flows %v, counters %+v; want it untouched", int32(action), flows, v)
				}
			default:
				if action != tcxNext || len(flows) != 1 || short(flows[0]) != c.want {
					t.Errorf("action %d, flows %v, want %s", int32(action), flows, c.want)
				}
			}
		})
	}
}

func patched(frame []byte, at int, b byte) []byte {
	frame[at] = b
	return frame
}

func TestTruncatedPacketsAreInvalidAtEveryLength(t *testing.T) {
	r := newRig(t, 4096, testPolicy())
	for name, packet := range map[string][]byte{
		"IPv4":                 ipv4("10.0.0.1", "10.0.0.2", 6, tcp(1, 2, 3, 0, flagSYN, []byte("data"))),
		"IPv4 with options":    ipv4("10.0.0.1", "10.0.0.2", 17, udp(1, 2, []byte("data")), make([]byte, 12)),
		"IPv6":                 ipv6("fd00::1", "fd00::2", 6, tcp(1, 2, 3, 0, flagSYN, []byte("data"))),
		"IPv6 with extensions": ipv6("fd00::1", "fd00::2", 60, extensions(3, 17, udp(1, 2, nil))),
		"SCTP":                 ipv4("10.0.0.1", "10.0.0.2", 132, sctp(1, 2, 1)),
		"ICMP error":           ipv4("10.0.0.1", "10.0.0.2", 1, icmp(3, 1, ipv4("10.0.0.2", "10.0.0.1", 17, udp(1, 2, nil)))),
		"IPv6 alone":           ipv6("fd00::1", "fd00::2", 59, nil),
	} {
		frame := ether(packet, 7) // prog-run takes no truncated IP packet without a tag
		for n := 18; n < len(frame); n++ {
			before := verdicts(t, r.Datapath)
			if action := r.send(frame[:n]); action != tcxDrop {
				t.Errorf("%s cut to %d bytes: action %d", name, n-18, int32(action))
			}
			d := difference(verdicts(t, r.Datapath), before)
			if d.InvalidDroppedPackets != (sluice.Counter{Packets: 1, Bytes: uint64(n - 18)}) {
				t.Errorf("%s cut to %d bytes: %+v", name, n-18, d)
			}
		}
		if action := r.send(frame); action != tcxNext {
			t.Errorf("%s in full: action %d", name, int32(action))
		}
	}
}

func TestFragmentsBelongToTheFlowOfTheirFirst(t *testing.T) {
	r := newRig(t, 4096, testPolicy())
	first := ether(ipv4("10.0.0.1", "10.0.0.2", 17, udp(5, 6, make([]byte, 8)), [2]int{9, 0x2000}))
	later := ether(ipv4("10.0.0.1", "10.0.0.2", 17, make([]byte, 4), [2]int{9, 2}))
	other := ether(ipv4("10.0.0.1", "10.0.0.2", 17, make([]byte, 4), [2]int{10, 2}))
	if a := r.send(later); a != tcxDrop {
		t.Errorf("a fragment before its first: action %d, want drop", int32(a))
	}
	r.send(first)
	if a := r.send(later); a != tcxNext {
		t.Errorf("a fragment after its first: action %d, want pass", int32(a))
	}
	if a := r.send(other); a != tcxDrop {
		t.Errorf("a fragment of another datagram: action %d, want drop", int32(a))
	}
	if v := verdicts(t, r.Datapath); v.OtherDroppedPackets.Packets != 2 {
		t.Errorf("%d other drops, want 2", v.OtherDroppedPackets.Packets)
	}
	if f := r.capture(); len(f) != 1 || short(f[0]) != "17 10.0.0.1:5 > 10.0.0.2:6 new stateful p[2 0] b[60 0]" {
		t.Errorf("flows %v", f)
	}
}

func TestFragmentDefaultIsForFragmentedUDPAlone(t *testing.T) {
	p := testPolicy()
	p.FragmentDefault = sluice.ActionDrop
	r := newRig(t, 4096, p)
	for name, c := range map[string]struct {
		frame []byte
		want  uint32
	}{
		"whole UDP":              {ether(ipv4("10.0.0.1", "10.0.0.2", 17, udp(5, 6, nil))), tcxNext},
		"first fragment of UDP":  {ether(ipv4("10.0.0.1", "10.0.0.2", 17, udp(5, 6, nil), [2]int{1, 0x2000})), tcxDrop},
		"first fragment of ICMP": {ether(ipv4("10.0.0.1", "10.0.0.2", 1, icmp(8, 0, nil), [2]int{1, 0x2000})), tcxNext},
		"later fragment of ICMP": {ether(ipv4("10.0.0.1", "10.0.0.2", 1, icmp(8, 0, nil), [2]int{1, 0x0001})), tcxNext},
	} {
		for range 2 { // the map has no order: once for the first fragment
			if c.want == tcxNext && name == "later fragment of ICMP" {
				r.send(ether(ipv4("10.0.0.1", "10.0.0.2", 1, icmp(8, 0, nil), [2]int{1, 0x2000})))
			}
			if got := r.send(c.frame); got != c.want {
				t.Errorf("%s: action %d, want %d", name, int32(got), int32(c.want))
			}
		}
	}
}

func TestICMPErrorBelongsToTheFlowThatItCarries(t *testing.T) {
	r := newRig(t, 4096, testPolicy())
	packet := ipv4("10.0.0.1", "10.0.0.2", 17, udp(5, 6, nil))
	r.send(ether(packet))
	r.send(ether(ipv4("10.0.0.254", "10.0.0.1", 1, icmp(3, 1, packet)))) // from a router on the way
	if f := r.capture(); len(f) != 1 || short(f[0]) != "17 10.0.0.1:5 > 10.0.0.2:6 new stateful p[1 1] b[28 56]" {
		t.Errorf("flows %v, want one, still new, with the error counted backwards", f)
	}
	r.forget()
	r.send(ether(packet))
	r.send(ether(ipv4("10.0.0.254", "10.0.0.3", 1, icmp(3, 1, packet)))) // not to the sender
	if f := r.capture(); len(f) != 2 {
		t.Errorf("flows %v, want the error beside the flow", f)
	}
	r.forget()
	packet = ipv6("fd00::1", "fd00::2", 6, tcp(1000, 80, 1, 0, flagSYN, nil))
	r.send(ether(packet))
	r.send(ether(ipv6("fd00::9", "fd00::1", 58, icmp(2, 0, packet))))
	if f := r.capture(); len(f) != 1 || f[0].Packets != [2]uint64{1, 1} || f[0].State != sluice.FlowNew {
		t.Errorf("flows %v", f)
	}
}

// skBuff is struct __sk_buff of linux/bpf.h, as far as prog-run takes it.
type skBuff struct {
	_             [8]byte // len, pkt_type
	Mark          uint32
	_             [24]byte
	IngressIfinde uint32
	_             [124]byte
	GSOSegs       uint32
	_             [8]byte
	GSOSize       uint32
	_             [4]byte
	Hwtstamp      uint64
}

func TestSuperPacketsCountAsOnTheWire(t *testing.T) {
	r := newRig(t, 4096, testPolicy())
	// 2500 bytes in segments of 1000: three packets, each with its own headers.
	payload := make([]byte, 2500)
	for _, segments := range []uint32{3, 0} { // a guest's packet doesn't say how many
		for name, c := range map[string]struct {
			frame  []byte
			header int
		}{
			"TCP over IPv4": {ether(ipv4("10.0.0.1", "10.0.0.2", 6, tcp(1000, 80, 1, 0, flagSYN, payload))), 40},
			"TCP over IPv6": {ether(ipv6("fd00::1", "fd00::2", 6, tcp(1000, 80, 1, 0, flagSYN, payload))), 60},
			"UDP over IPv4": {ether(ipv4("10.0.0.1", "10.0.0.2", 17, udp(1000, 80, payload))), 28},
		} {
			r.forget()
			ctx := skBuff{GSOSize: 1000, GSOSegs: segments}
			if _, err := r.ingress.Run(&ebpf.RunOptions{Data: c.frame, Context: &ctx}); err != nil {
				t.Fatal(err)
			}
			want := [2]uint64{uint64(2500 + 3*c.header), 0}
			f := r.capture()
			if len(f) != 1 || f[0].Packets != [2]uint64{3, 0} || f[0].Bytes != want {
				t.Errorf("%s: %v, want 3 packets and %d bytes", name, f, want)
			}
		}
	}
}

func TestPacketsOfCoveredDevicesAreNotCountedTwice(t *testing.T) {
	r := newRig(t, 4096, testPolicy())
	egress := r.program(programKey{slot: r.slot, header: 14, netns: 7})
	k := firewallCoveredKey{Netns: 7, Ifindex: 1, Endpoint: r.slot}
	frame := ether(ipv4("10.0.0.1", "10.0.0.2", 17, udp(5, 6, nil)))
	ctx := skBuff{IngressIfinde: 1}
	run := func() int {
		t.Helper()
		r.forget()
		if _, err := egress.Run(&ebpf.RunOptions{Data: frame, Context: &ctx}); err != nil {
			t.Fatal(err)
		}
		return len(r.capture())
	}
	if n := run(); n != 1 {
		t.Errorf("from a device that is not covered: %d flows, want 1", n)
	}
	if err := r.maps.Covered.Put(&k, uint8(1)); err != nil {
		t.Fatal(err)
	}
	if n := run(); n != 0 {
		t.Errorf("from a covered device: %d flows, want 0", n)
	}
	ctx.IngressIfinde = 0
	if n := run(); n != 1 {
		t.Errorf("from the host itself: %d flows, want 1", n)
	}
}

func TestRejectAnswersWithReset(t *testing.T) {
	p := testPolicy()
	p.StreamException = sluice.StreamExceptionReject
	r := newRig(t, 4096, p)
	for name, c := range map[string]struct {
		packet   []byte
		vlans    []int
		seq, ack uint32
		flags    byte
	}{
		"IPv4 data":         {ipv4("10.0.0.1", "10.0.0.2", 6, tcp(1000, 80, 100, 500, flagACK, make([]byte, 33))), nil, 500, 0, flagRST},
		"IPv4 in a VLAN":    {ipv4("10.0.0.1", "10.0.0.2", 6, tcp(1000, 80, 100, 500, flagACK, nil)), []int{7}, 500, 0, flagRST},
		"IPv4 with options": {ipv4("10.0.0.1", "10.0.0.2", 6, tcp(1000, 80, 100, 500, flagACK, nil), []byte{1, 1, 1, 1}), nil, 500, 0, flagRST},
		"IPv6":              {ipv6("fd00::1", "fd00::2", 6, tcp(1000, 80, 100, 500, flagACK, make([]byte, 5))), nil, 500, 0, flagRST},
		"no ACK":            {ipv4("10.0.0.1", "10.0.0.2", 6, tcp(1000, 80, 100, 0, flagFIN, make([]byte, 9))), nil, 0, 110, flagRST | flagACK},
		"SYN and ACK":       {ipv6("fd00::1", "fd00::2", 6, tcp(80, 1000, 7, 8, flagSYN|flagACK, nil)), nil, 8, 0, flagRST},
	} {
		t.Run(name, func(t *testing.T) {
			in := ether(c.packet, c.vlans...)
			out := make([]byte, 256)
			opts := &ebpf.RunOptions{Data: in, DataOut: out}
			action, err := r.ingress.Run(opts)
			if err != nil || action != tcxRedirect {
				t.Fatalf("action %d, %v", int32(action), err)
			}
			got, want := refParse(opts.DataOut), refParse(in)
			if got.src != want.dst || got.dst != want.src || got.sport != want.dport || got.dport != want.sport {
				t.Errorf("goes from %v:%d to %v:%d", got.src, got.sport, got.dst, got.dport)
			}
			if got.seq != c.seq || got.ack != c.ack || got.flags != c.flags {
				t.Errorf("seq %d, ack %d, flags %#x", got.seq, got.ack, got.flags)
			}
			if string(opts.DataOut[:12]) != string(in[6:12])+string(in[:6]) {
				t.Errorf("link addresses %x", opts.DataOut[:12])
			}
			checkChecksums(t, opts.DataOut[len(in)-len(c.packet):])
		})
	}
	before := verdicts(t, r.Datapath)
	if a := r.send(ether(ipv4("10.0.0.1", "10.0.0.2", 6, tcp(1000, 80, 1, 1, flagRST, nil)))); a != tcxDrop {
		t.Errorf("a RST: action %d, want drop", int32(a))
	}
	if d := difference(verdicts(t, r.Datapath), before); d.RejectedPackets.Packets != 0 || d.DroppedStateful.Packets != 1 {
		t.Errorf("a RST counted as %+v", d)
	}
}

// checkChecksums verifies those of an IP packet that is a TCP segment of 20 bytes.
func checkChecksums(t *testing.T, p []byte) {
	t.Helper()
	segment := p[len(p)-20:]
	pseudo := join(p[8:40], be32(20), be32(6))
	if p[0]>>4 == 4 {
		header := p[:int(p[0]&15)*4]
		if checksum(header) != 0 || len(p) != len(header)+20 || int(binary.BigEndian.Uint16(p[2:])) != len(p) {
			t.Errorf("IPv4 header %x", header)
		}
		pseudo = join(p[12:20], be32(20), be32(6))
	}
	if checksum(join(pseudo, segment)) != 0 {
		t.Errorf("TCP checksum is wrong: %x", p)
	}
}
