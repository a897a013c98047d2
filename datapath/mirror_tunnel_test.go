package datapath

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"sluice"
	"sluice/internal/testnet"
)

var tunnelSource, tunnelPeer = netip.MustParseAddr("10.9.5.1"), netip.MustParseAddr("10.9.5.2")

// addTunnel makes a VXLAN tunnel between source and peer, with the offloads that such a
// device has by itself: the kernel marks what comes out of it as wrapped.
func (l *mirrorLab) addTunnel() {
	l.t.Helper()
	for ns, ends := range map[string][3]netip.Addr{
		l.source: {sourceIPv4, peerIPv4, tunnelSource},
		l.peer:   {peerIPv4, sourceIPv4, tunnelPeer},
	} {
		err := inNamespace(ns, func() error {
			attrs := netlink.NewLinkAttrs()
			attrs.Name = "tunnel0"
			return netlink.LinkAdd(&netlink.Vxlan{LinkAttrs: attrs, VxlanId: 99, SrcAddr: ends[0].AsSlice(), Group: ends[1].AsSlice(), Port: 4799})
		})
		if err == nil {
			err = testnet.SetLinkUp(ns, "tunnel0")
		}
		if err == nil {
			err = testnet.AddAddress(ns, "tunnel0", netip.PrefixFrom(ends[2], 24))
		}
		if err != nil {
			l.t.Fatal(err)
		}
	}
}

// tag has a device push a VLAN tag on what leaves and pop it from what arrives, which is
// all that the test needs of a VLAN. Tags are pushed before and popped behind what is
// attached already.
func tag(t testing.TB, ns, device string) {
	t.Helper()
	run := func(at ebpf.AttachType, where link.Anchor, body ...asm.Instruction) {
		p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, License: "GPL",
			Instructions: append(body, asm.Mov.Imm(asm.R0, -1), asm.Return())})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		err = inNamespace(ns, func() error {
			dev, err := netlink.LinkByName(device)
			if err != nil {
				return err
			}
			l, err := link.AttachTCX(link.TCXOptions{Interface: dev.Attrs().Index, Program: p, Attach: at, Anchor: where})
			if err == nil {
				t.Cleanup(func() { l.Close() })
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	run(ebpf.AttachTCXEgress, link.Head(), asm.Mov.Imm(asm.R2, 0x0081), asm.Mov.Imm(asm.R3, 7), asm.FnSkbVlanPush.Call())
	run(ebpf.AttachTCXIngress, link.Tail(), asm.FnSkbVlanPop.Call())
}

// A VXLAN device between source and peer is mirrored, whose packets leave by a device
// that is mirrored as well.
func TestATunnelIsMirroredAsWhatItCarries(t *testing.T) {
	for _, target := range []netip.Addr{sensorIPv4, sensorIPv6} {
		for _, length := range []int{0, 64, 128, 1500} {
			for _, tagged := range []bool{false, true} {
				t.Run(fmt.Sprintf("%v %d tagged %v", target, length, tagged), func(t *testing.T) {
					oneCPU(t)
					tunnelIsMirrored(t, target, length, tagged)
				})
			}
		}
	}
}

func tunnelIsMirrored(t *testing.T, target netip.Addr, length int, tagged bool) {
	l := newMirrorLab(t, 1500, 9000)
	l.addTunnel()
	d := testDatapath(t, 1024)
	t.Cleanup(func() { d.Remove() })
	sessions := []sluice.MirrorSession{l.session(1), l.session(2)}
	for i := range sessions {
		sessions[i].Targets, sessions[i].PacketLength = []netip.Addr{target}, uint32(length)
	}
	inner, outer := l.mirrorSource(sessions[0]), l.mirrorSource(sessions[1])
	inner.Interface = sluice.InterfaceRef{ID: "eni-00000000000000002", Netns: l.source, Device: "tunnel0"}
	applyMirrors(t, d, inner, outer)
	if tagged {
		tag(t, l.source, "eth0")
		tag(t, l.peer, "eth0")
	}
	wire, tunnel, sensor := openTap(t, l.peer, "eth0"), openTap(t, l.peer, "tunnel0"), openTap(t, l.sensor, "eth0")
	l.bulk(l.source, l.peer, tunnelPeer, 1<<20)
	l.bulk(l.peer, l.source, tunnelSource, 1<<20)
	for _, size := range []int{0, 1, 50, 100, 1400, 5000} {
		l.udp(l.source, tunnelPeer, size)
		l.udp(l.peer, tunnelSource, size)
	}
	settle(wire, tunnel, sensor)
	frames, carried := wire.take(isIP), tunnel.take(isIP)
	byVNI := map[uint32][]decapsulated{}
	for _, c := range decapsulate(t, sensor.take(isIP)) {
		byVNI[c.vni] = append(byVNI[c.vni], c)
	}
	compare(t, frames, byVNI[2], length)
	for _, s := range sessions {
		for _, c := range []sluice.MirrorCounters{l.counters(d, s.ID).Egress, l.counters(d, s.ID).Ingress} {
			if c.Matched.Packets != c.Mirrored.Packets || c.Errors.Packets != 0 || c.Matched.Packets < 100 {
				t.Errorf("%s counted %+v", s.ID, c)
			}
		}
	}
	if length > 0 {
		for _, c := range byVNI[1] {
			if len(c.frame) > length {
				t.Fatalf("a copy has %d bytes", len(c.frame))
			}
		}
		return
	}
	// The tap at the peer's end of the tunnel sees what came through in one piece again.
	payload := func(frames [][]byte) (n int) {
		for _, f := range frames {
			if p := refParse(f); p.protocol == 6 && p.src == tunnelSource {
				n += p.bytes - 20 - int(f[14+20+12]>>4)*4
			}
		}
		return n
	}
	var copies [][]byte
	for _, c := range byVNI[1] {
		copies = append(copies, c.frame)
	}
	if got, want := payload(copies), payload(carried); got != want || got < 1<<20 {
		t.Errorf("the copies of the tunnel's packets carry %d bytes, want %d", got, want)
	}
}
