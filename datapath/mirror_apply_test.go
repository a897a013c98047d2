package datapath

import (
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"sluice"
)

// A change that comes to nothing, however often it is tried, leaves copies on the way that
// they had.
func TestAChangeThatFailsLeavesTheDeliveryInForce(t *testing.T) {
	oneCPU(t)
	l := newMirrorLab(t, 1500, 9000)
	d, _, sensor := l.mirrored(l.session(1))
	for n := range uint32(2*deliveriesPerSession + 1) {
		s := l.session(1)
		s.VNI = 100 + n
		wrong := l.mirrorSource(s)
		wrong.Interface.Netns = strings.Repeat("n", 300) // no file has such a name
		if st := d.ApplyMirrors(t.Context(), []sluice.MirrorSource{wrong}); st[0].Problem == "" {
			t.Fatal("no problem")
		}
		l.number(int(n), int(n)+1)
	}
	settle(sensor)
	_, vnis := numbersOf(decapsulate(t, sensor.take(isIP)))
	if len(vnis) != 2*deliveriesPerSession+1 {
		t.Errorf("%d copies", len(vnis))
	}
	for n, vni := range vnis {
		if vni != 1 {
			t.Errorf("copy %d went to network %d, want 1", n, vni)
		}
	}
}

func TestTheDeliveryInForceIsNeverWrittenTo(t *testing.T) {
	r := newMirrorRig(t)
	m := &mirroring{t: r.mirrorTable}
	s := sluice.MirrorSource{Interface: sluice.InterfaceRef{ID: "eni-1"}, IPv4: sourceIPv4,
		Sessions: []sluice.MirrorSession{{ID: "tms-1"}}}
	var inForce *mirrorSource
	for n := range uint32(4 * deliveriesPerSession) {
		s.Sessions[0].VNI = n
		g, err := m.encode(s)
		if err == nil {
			err = m.deliver(s, g, inForce)
		}
		if err != nil {
			t.Fatal(err)
		}
		if inForce != nil && g.Session[0].Delivery == inForce.Session[0].Delivery {
			t.Fatalf("delivery %d is written to the place of the one in force", n)
		}
		if n%7 == 0 { // the others come to nothing
			inForce = g
		}
	}
	// What has gone back to what it was needs no other place.
	s.Sessions[0].VNI = 14
	g, err := m.encode(s)
	if err == nil {
		err = m.deliver(s, g, inForce)
	}
	if err != nil || g.Session[0].Delivery != inForce.Session[0].Delivery {
		t.Errorf("delivery %d, in force is %d: %v", g.Session[0].Delivery, inForce.Session[0].Delivery, err)
	}
}

// programs returns what runs on a device's egress, in order.
func programs(t testing.TB, ns, device string) (ids []ebpf.ProgramID) {
	t.Helper()
	err := inNamespace(ns, func() error {
		l, err := netlink.LinkByName(device)
		if err != nil {
			return err
		}
		q, err := link.QueryPrograms(link.QueryOptions{Target: l.Attrs().Index, Attach: ebpf.AttachTCXEgress})
		if err != nil {
			return err
		}
		for _, p := range q.Programs {
			ids = append(ids, p.ID)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func TestASourceWithAProblemDoesNotReloadTheOthers(t *testing.T) {
	l := newMirrorLab(t, 1500, 9000)
	dir := bpffs(t)
	wrong := l.mirrorSource(l.session(2))
	wrong.Interface = sluice.InterfaceRef{ID: "eni-00000000000000002", Netns: strings.Repeat("n", 300), Device: "eth0"}
	both := []sluice.MirrorSource{wrong, l.mirrorSource(l.session(1))}
	run := func(d *Datapath) (ids []ebpf.ProgramID) {
		t.Helper()
		st := d.ApplyMirrors(t.Context(), both)
		if st[0].Problem == "" || st[1].Problem != "" || !st[1].Attached {
			t.Fatalf("status %+v", st)
		}
		for _, device := range []string{"eth0", d.mirrors.helperName() + helperBridge, d.mirrors.helperName() + helperPort} {
			ids = append(ids, programs(t, l.source, device)...)
		}
		return ids
	}
	d := openDatapath(t, dir, 1024)
	first := run(d)
	if again := run(d); !slices.Equal(first, again) || len(first) != 3 {
		t.Errorf("programs %v, then %v", first, again)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	// The next process puts its own in their place, once.
	d = openDatapath(t, dir, 1024)
	t.Cleanup(func() { d.Remove() })
	second := run(d)
	for i := range second {
		if slices.Contains(first, second[i]) {
			t.Errorf("program %d of an earlier process runs on", second[i])
		}
	}
	if again := run(d); !slices.Equal(second, again) {
		t.Errorf("programs %v, then %v", second, again)
	}
}

// A source's device is moved away and its number is given to another one of its name.
func TestANumberThatIsAnotherDevicesIsNotTakenForMirrored(t *testing.T) {
	l := newMirrorLab(t, 1500, 9000)
	d, _, _ := l.mirrored(l.session(1))
	away := l.source + "-away"
	makeNamespace(t, away)
	err := inNamespace(l.source, func() error {
		dev, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		to, err := netns.GetFromName(away)
		if err != nil {
			return err
		}
		defer to.Close()
		if err := netlink.LinkSetNsFd(dev, int(to)); err != nil {
			return err
		}
		a := netlink.NewLinkAttrs()
		a.Name, a.Index = "eth0", dev.Attrs().Index
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: a, PeerName: "peer0"})
	})
	if err != nil {
		t.Fatal(err)
	}
	applyMirrors(t, d, l.mirrorSource(l.session(1)))
	if n := len(programs(t, l.source, "eth0")); n != 1 {
		t.Errorf("the new device has %d programs, want one", n)
	}
	if n := len(programs(t, away, "eth0")); n != 0 {
		t.Errorf("the device that was moved away has %d programs", n)
	}
}

func TestProgramsBehindTheMirrorAreToldOf(t *testing.T) {
	l := newMirrorLab(t, 1500, 9000)
	var log strings.Builder
	d, err := Open(Options{Dir: bpffs(t), MaxFlows: MaxFlowsMin, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Remove() })
	applyMirrors(t, d, l.mirrorSource(l.session(1)))
	tag(t, l.source, "eth0")
	applyMirrors(t, d, l.mirrorSource(l.session(1)))
	if n := strings.Count(log.String(), "other programs run behind the mirror"); n != 1 {
		t.Errorf("told of %d times, want once:\n%s", n, &log)
	}
}

// What isn't a copy does not pass a firewall as one, whatever its mark says.
func TestAForgedMarkPassesNoFirewall(t *testing.T) {
	p := testPolicy()
	p.StatelessDefault, p.FragmentDefault = sluice.ActionDrop, sluice.ActionDrop
	r := newRig(t, 4096, p)
	mark := copyMark(&r.layout)
	vxlan := join([]byte{8, 0, 0, 0}, be32(99<<8), ether(ipv4("10.0.0.1", "10.0.0.2", 17, udp(1, 2, nil))))
	copied := ether(ipv4("10.0.0.1", "10.0.0.2", 17, udp(50000, 4789, vxlan)))
	with := func(at int, value byte) []byte {
		out := slices.Clone(vxlan)
		out[at] = value
		return ether(ipv4("10.0.0.1", "10.0.0.2", 17, udp(50000, 4789, out)))
	}
	run := func(p *ebpf.Program, frame []byte, mark uint32) uint32 {
		t.Helper()
		// struct __sk_buff of linux/bpf.h up to what may be set.
		action, err := p.Run(&ebpf.RunOptions{Data: frame, Context: struct{ Len, PacketType, Mark uint32 }{Mark: mark}})
		if err != nil {
			t.Fatal(err)
		}
		return action
	}
	egress := r.program(programKey{slot: r.slot, header: 14, netns: 7})
	if action := run(egress, copied, mark); action != tcxNext {
		t.Errorf("a copy: action %d", action)
	}
	for name, frame := range map[string][]byte{
		"TCP":                  ether(ipv4("10.0.0.1", "10.0.0.2", 6, tcp(50000, 4789, 1, 0, flagSYN, vxlan))),
		"UDP to another port":  ether(ipv4("10.0.0.1", "10.0.0.2", 17, udp(50000, 53, vxlan))),
		"UDP from the port":    ether(ipv4("10.0.0.1", "10.0.0.2", 17, udp(4789, 50000, vxlan))),
		"ICMP":                 ether(ipv4("10.0.0.1", "10.0.0.2", 1, icmp(8, 0, vxlan))),
		"a first fragment":     ether(ipv4("10.0.0.1", "10.0.0.2", 17, udp(50000, 4789, vxlan), [2]int{1, 0x2000})),
		"a later fragment":     ether(ipv4("10.0.0.1", "10.0.0.2", 17, vxlan, [2]int{1, 100})),
		"no VXLAN":             ether(ipv4("10.0.0.1", "10.0.0.2", 17, udp(50000, 4789, make([]byte, 100)))),
		"an end in the header": ether(ipv4("10.0.0.1", "10.0.0.2", 17, udp(50000, 4789, vxlan[:7]))),
		"reserved flags":       with(0, 0x88),
		"reserved bits":        with(2, 1),
		"reserved last bits":   with(7, 1),
		"IPv6":                 ether(ipv6("fd00::1", "fd00::2", 17, udp(50000, 53, vxlan))),
	} {
		if action := run(egress, frame, mark); action != tcxDrop {
			t.Errorf("%s: action %d, want that it is dropped", name, action)
		}
	}
	if action := run(egress, copied, mark^1); action != tcxDrop {
		t.Errorf("another mark: action %d", action)
	}
	if action := run(r.ingress, copied, mark); action != tcxDrop {
		t.Errorf("what arrives: action %d", action)
	}
}
