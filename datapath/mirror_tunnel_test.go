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

// attachFor attaches a program to a device for as long as the test takes. It lets every
// packet pass.
func attachFor(t testing.TB, ns, device string, at ebpf.AttachType, where link.Anchor, body ...asm.Instruction) {
	t.Helper()
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, License: "GPL",
		Instructions: append(body, asm.Mov.Imm(asm.R0, -1).WithSymbol("out"), asm.Return())})
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

// tag has a device push a VLAN tag on what leaves and pop it from what arrives, which is
// all that the test needs of a VLAN. Tags are pushed before and popped behind what is
// attached already.
func tag(t testing.TB, ns, device string) {
	t.Helper()
	attachFor(t, ns, device, ebpf.AttachTCXEgress, link.Head(),
		asm.Mov.Imm(asm.R2, 0x0081), asm.Mov.Imm(asm.R3, 7), asm.FnSkbVlanPush.Call())
	attachFor(t, ns, device, ebpf.AttachTCXIngress, link.Tail(), asm.FnSkbVlanPop.Call())
}

// superPackets watches the packets of the source where the mirror meets them, before they
// are cut, and returns what fails unless both directions have had super-packets.
func (l *mirrorLab) superPackets() (check func()) {
	l.t.Helper()
	largest, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 2})
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { largest.Close() })
	directions := []ebpf.AttachType{ebpf.AttachTCXIngress, ebpf.AttachTCXEgress}
	for i, direction := range directions {
		attachFor(l.t, l.source, "eth0", direction, link.Head(),
			asm.Mov.Reg(asm.R6, asm.R1), asm.StoreImm(asm.RFP, -4, int64(i), asm.Word),
			asm.LoadMapPtr(asm.R1, largest.FD()), asm.Mov.Reg(asm.R2, asm.RFP), asm.Add.Imm(asm.R2, -4),
			asm.FnMapLookupElem.Call(), asm.JEq.Imm(asm.R0, 0, "out"),
			asm.LoadMem(asm.R1, asm.R6, 164, asm.Word), asm.JLE.Imm(asm.R1, 1, "out"), // gso_segs
			asm.LoadMem(asm.R1, asm.R6, 0, asm.Word), asm.LoadMem(asm.R2, asm.R0, 0, asm.Word), // len
			asm.JLE.Reg(asm.R1, asm.R2, "out"), asm.StoreMem(asm.R0, 0, asm.R1, asm.Word))
	}
	return func() {
		l.t.Helper()
		for i, direction := range directions {
			var n uint32
			if err := largest.Lookup(uint32(i), &n); err != nil {
				l.t.Fatal(err)
			}
			if n < 60000 {
				l.t.Errorf("the largest super-packet of %v had %d bytes", direction, n)
			}
		}
	}
}

// wrapInIP has the source wrap what it sends over TCP as an ipip device does, a
// super-packet as a whole, and the peer unwrap it. Not every kernel has such a device.
func (l *mirrorLab) wrapInIP() {
	l.t.Helper()
	const macMode, fixedGSO, encapIPv4, keepChecksum = 1, 1 << 0, 1 << 1, 1 << 5 // of bpf_skb_adjust_room
	const scratch, header = int16(-32), int16(-24)                               // on the stack
	// only ends the program where a packet is not of an IP protocol.
	only := func(protocol int32) []asm.Instruction {
		return []asm.Instruction{
			asm.Mov.Reg(asm.R6, asm.R1),
			asm.Mov.Imm(asm.R2, 14+9), asm.Mov.Reg(asm.R3, asm.RFP), asm.Add.Imm(asm.R3, int32(scratch)), asm.Mov.Imm(asm.R4, 1),
			asm.FnSkbLoadBytes.Call(), asm.JNE.Imm(asm.R0, 0, "out"),
			asm.LoadMem(asm.R2, asm.RFP, scratch, asm.Byte), asm.JNE.Imm(asm.R2, protocol, "out"),
			asm.LoadMem(asm.R2, asm.R6, 16, asm.Word), asm.JNE.Imm(asm.R2, 0x0008, "out"), // protocol: IPv4
			asm.Mov.Reg(asm.R1, asm.R6),
		}
	}
	source, peer := sourceIPv4.As4(), peerIPv4.As4()
	outer := join([]byte{0x45, 0}, be16(0), be16(1), be16(0), []byte{64, 4, 0, 0}, source[:], peer[:]) // no length, no checksum
	sum := int32(0)
	for i := 0; i < len(outer); i += 2 {
		sum += int32(outer[i]) | int32(outer[i+1])<<8
	}
	wrap := append(only(6),
		asm.LoadMem(asm.R7, asm.R6, 0, asm.Word), asm.Add.Imm(asm.R7, 20-14), // its length in IP
		asm.Mov.Imm(asm.R2, 20), asm.Mov.Imm(asm.R3, macMode), asm.Mov.Imm(asm.R4, fixedGSO|encapIPv4|keepChecksum),
		asm.FnSkbAdjustRoom.Call(), asm.JNE.Imm(asm.R0, 0, "out"))
	for i := 0; i < len(outer); i += 4 {
		wrap = append(wrap, asm.StoreImm(asm.RFP, header+int16(i), int64(int32(nativeWord(outer[i:]))), asm.Word))
	}
	wrap = append(wrap, asm.HostTo(asm.BE, asm.R7, asm.Half), asm.StoreMem(asm.RFP, header+2, asm.R7, asm.Half), asm.Add.Imm(asm.R7, sum))
	for range 2 {
		wrap = append(wrap, asm.Mov.Reg(asm.R8, asm.R7), asm.RSh.Imm(asm.R8, 16), asm.And.Imm(asm.R7, 0xffff), asm.Add.Reg(asm.R7, asm.R8))
	}
	wrap = append(wrap, asm.Xor.Imm(asm.R7, 0xffff), asm.StoreMem(asm.RFP, header+10, asm.R7, asm.Half),
		asm.Mov.Reg(asm.R1, asm.R6), asm.Mov.Imm(asm.R2, 14), asm.Mov.Reg(asm.R3, asm.RFP), asm.Add.Imm(asm.R3, int32(header)),
		asm.Mov.Imm(asm.R4, 20), asm.Mov.Imm(asm.R5, 0), asm.FnSkbStoreBytes.Call())
	attachFor(l.t, l.source, "eth0", ebpf.AttachTCXEgress, link.Head(), wrap...)
	attachFor(l.t, l.peer, "eth0", ebpf.AttachTCXIngress, link.Head(), append(only(4),
		asm.Mov.Imm(asm.R2, -20), asm.Mov.Imm(asm.R3, macMode), asm.Mov.Imm(asm.R4, 0), asm.FnSkbAdjustRoom.Call())...)
}

// The frames that such a super-packet is cut into stay marked as wrapped.
func TestSuperPacketsThatAreWrappedAreCut(t *testing.T) {
	for _, target := range []netip.Addr{sensorIPv4, sensorIPv6} {
		for _, length := range []int{0, 50, 64, 128} {
			t.Run(fmt.Sprintf("%v %d", target, length), func(t *testing.T) {
				oneCPU(t)
				l := newMirrorLab(t, 1500, 9000)
				if err := testnet.SetMTU(l.peer, "eth0", 1520); err != nil { // room for the wrapping
					t.Fatal(err)
				}
				s := l.session(1)
				s.Targets, s.PacketLength = []netip.Addr{target}, uint32(length)
				d, wire, sensor := l.mirrored(s)
				l.wrapInIP()
				l.bulk(l.source, l.peer, peerIPv4, 1<<20)
				settle(wire, sensor)
				frames := wire.take(isIP)
				compare(t, frames, decapsulate(t, sensor.take(isIP)), length)
				wrapped := wire.take(func(f []byte) bool { return ipOf(f) == 14 && f[14]>>4 == 4 && f[14+9] == 4 })
				c := l.counters(d, s.ID).Egress
				if len(wrapped) == 0 || c.Errors.Packets != 0 || int(c.Mirrored.Packets) != len(wrapped) {
					t.Errorf("%d wrapped frames on the wire, counted %+v", len(wrapped), c)
				}
				// The parser takes the inner headers of a super-packet's frames for payload.
				if c.Matched.Bytes >= frameBytes(wrapped) {
					t.Errorf("no super-packets: the test proves little")
				}
			})
		}
	}
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
