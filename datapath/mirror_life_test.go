package datapath

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice"
	"sluice/internal/testnet"
)

// number sends numbered datagrams from source to peer.
func (l *mirrorLab) number(from, to int) {
	l.t.Helper()
	c, err := testnet.Dial(l.t.Context(), l.source, "udp", netip.AddrPortFrom(peerIPv4, 7777).String())
	if err != nil {
		l.t.Fatal(err)
	}
	defer c.Close()
	for n := from; n < to; n++ {
		message := append(be32(uint32(n)), make([]byte, 96)...)
		// The peer has no such port and says so, which is reported here.
		if _, err := c.Write(message); err != nil {
			c.Write(message)
		}
	}
}

// numbersOf returns the numbers that copies of numbered datagrams carry, with their
// network identifiers.
func numbersOf(copies []decapsulated) (numbers []int, vnis map[int]uint32) {
	vnis = map[int]uint32{}
	for _, c := range copies {
		at := ipOf(c.frame)
		if at == 0 || c.frame[at]>>4 != 4 || c.frame[at+9] != 17 || binary.BigEndian.Uint16(c.frame[at+22:]) != 7777 {
			continue
		}
		n := int(binary.BigEndian.Uint32(c.frame[at+28:]))
		numbers = append(numbers, n)
		vnis[n] = c.vni
	}
	return numbers, vnis
}

func upTo(from, to int) (out []int) {
	for n := from; n < to; n++ {
		out = append(out, n)
	}
	return out
}

func TestCopiesGoOnWithoutTheProcessAndAfterItsReturn(t *testing.T) {
	oneCPU(t)
	l := newMirrorLab(t, 1500, 9000)
	dir := bpffs(t)
	open := func() *Datapath {
		d, err := Open(Options{Dir: dir, MaxFlows: 1024})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	s := l.session(1)
	d := open()
	applyMirrors(t, d, l.mirrorSource(s))
	sensor := openTap(t, l.sensor, "eth0")
	l.number(0, 100)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	l.number(100, 200)
	// Many times over, while packets flow.
	var wg sync.WaitGroup
	wg.Go(func() {
		for range 10 {
			d := open()
			applyMirrors(t, d, l.mirrorSource(s))
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	n := 200
	for done := make(chan struct{}); ; {
		if n == 200 {
			go func() { wg.Wait(); close(done) }()
		}
		l.number(n, n+20)
		n += 20
		select {
		case <-done:
		default:
			continue
		}
		break
	}
	settle(sensor)
	numbers, _ := numbersOf(decapsulate(t, sensor.take(isIP)))
	if !slices.Equal(numbers, upTo(0, n)) {
		t.Errorf("%d of %d datagrams were copied", len(numbers), n)
	}
	d = open()
	defer d.Close()
	if c := l.counters(d, s.ID); c.Egress.Mirrored.Packets < uint64(n) {
		t.Errorf("counters began anew: %+v", c.Egress)
	}
	if err := d.Remove(); err != nil {
		t.Fatal(err)
	}
	if names := helperDevices(t, l.source); len(names) > 0 {
		t.Errorf("devices left behind: %v", names)
	}
	before := len(sensor.take(isIP))
	l.number(n, n+10)
	settle(sensor)
	if after := len(sensor.take(isIP)); after != before {
		t.Errorf("%d copies after the removal", after-before)
	}
}

// While sessions change, each packet meets the old ones or the new ones, and is copied
// exactly once.
func TestSessionsChangeInBetweenTwoPackets(t *testing.T) {
	oneCPU(t)
	l := newMirrorLab(t, 1500, 9000)
	one, two := l.session(1), l.session(2)
	two.PacketLength = 60
	reject := l.session(1)
	for i := range reject.Rules {
		reject.Rules[i].RuleAction = sluice.MirrorReject
	}
	d, _, sensor := l.mirrored(one, two)
	stop, done := make(chan struct{}), make(chan struct{})
	var changes atomic.Int64
	go func() {
		defer close(done)
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			first := one
			if n%2 == 0 {
				first = reject
			}
			if n%3 == 0 {
				first.VNI = 3
			}
			for _, s := range d.ApplyMirrors(t.Context(), []sluice.MirrorSource{l.mirrorSource(first, two)}) {
				if s.Problem != "" {
					t.Errorf("apply: %s", s.Problem)
				}
			}
			changes.Store(int64(n + 1))
		}
	}()
	n := 0
	for begin := time.Now(); changes.Load() < 24 && time.Since(begin) < 10*time.Second; n += 100 {
		l.number(n, n+100)
	}
	close(stop)
	<-done
	settle(sensor)
	copies := decapsulate(t, sensor.take(isIP))
	numbers, vnis := numbersOf(copies)
	if !slices.Equal(numbers, upTo(0, n)) {
		t.Errorf("%d copies of %d datagrams", len(numbers), n)
	}
	for _, c := range copies {
		if (c.vni == 2) != (len(c.frame) <= 60) {
			t.Fatalf("a copy of session %d has %d bytes", c.vni, len(c.frame))
		}
	}
	by := map[uint32]int{}
	for _, v := range vnis {
		by[v]++
	}
	if by[1] == 0 || by[2] == 0 || by[3] == 0 || changes.Load() < 24 {
		t.Errorf("%d changes; by session %v: the test proves little", changes.Load(), by)
	}
}

func TestTheFirstSessionThatAcceptsMirrorsAndNoOther(t *testing.T) {
	oneCPU(t)
	l := newMirrorLab(t, 1500, 9000)
	first, second, third := l.session(1), l.session(2), l.session(3)
	first.Rules = []sluice.TrafficMirrorFilterRule{{
		TrafficDirection: sluice.TrafficEgress, RuleNumber: 1, RuleAction: sluice.MirrorReject, Protocol: -1,
		SourceCIDR: netip.MustParsePrefix("0.0.0.0/0"), DestinationCIDR: netip.MustParsePrefix("0.0.0.0/0"),
	}}
	second.Rules = []sluice.TrafficMirrorFilterRule{{
		TrafficDirection: sluice.TrafficEgress, RuleNumber: 1, RuleAction: sluice.MirrorAccept, Protocol: 17,
		SourceCIDR: netip.MustParsePrefix("10.9.1.1/32"), DestinationCIDR: netip.MustParsePrefix("10.9.1.0/24"),
		DestinationPortRange: &sluice.PortRange{From: 7777, To: 7777},
	}}
	d, _, sensor := l.mirrored(first, second, third)
	l.number(0, 50)
	l.udp(l.source, peerIPv4, 100)
	settle(sensor)
	_, vnis := numbersOf(decapsulate(t, sensor.take(isIP)))
	for n := range 50 {
		if vnis[n] != 2 {
			t.Fatalf("datagram %d was taken by session %d, want 2", n, vnis[n])
		}
	}
	c, err := d.Counters()
	if err != nil {
		t.Fatal(err)
	}
	if e := c.Sessions[first.ID].Egress.Matched.Packets; e != 0 {
		t.Errorf("the first session took %d packets", e)
	}
	if e := c.Sessions[third.ID].Egress.Matched.Packets; e == 0 {
		t.Error("the third session took nothing")
	}
}

func TestCopiesOverTheRateAreDroppedAndOriginalsAreNot(t *testing.T) {
	oneCPU(t)
	l := newMirrorLab(t, 1500, 9000)
	s := l.session(1)
	s.PacketsPerSecond = 100
	d, wire, sensor := l.mirrored(s)
	begin := time.Now()
	l.number(0, 2000)
	took := time.Since(begin)
	settle(wire, sensor)
	copies := decapsulate(t, sensor.take(isIP))
	originals := wire.take(func(f []byte) bool { at := ipOf(f); return at != 0 && f[at]>>4 == 4 && f[at+9] == 17 })
	if len(originals) != 2000 {
		t.Errorf("%d of 2000 originals arrived", len(originals))
	}
	// A tenth of a second's worth is saved up.
	if most := 13 + int(took.Seconds()*100); len(copies) < 9 || len(copies) > most {
		t.Errorf("%d copies in %v, want 10 to %d", len(copies), took, most)
	}
	c := l.counters(d, s.ID).Egress
	if c.Matched.Packets != c.Capped.Packets+c.Mirrored.Packets || c.Capped.Packets < 1800 {
		t.Errorf("counted %+v", c)
	}
	s.PacketsPerSecond, s.BytesPerSecond = 0, 10_000
	applyMirrors(t, d, l.mirrorSource(s))
	l.udp(l.source, peerIPv4, 1400)
	l.udp(l.source, peerIPv4, 1400) // 140 ms too early
	settle(sensor)
	if capped := l.counters(d, s.ID).Egress.Capped.Packets - c.Capped.Packets; capped != 1 {
		t.Errorf("%d copies were over the rate of bytes, want 1", capped)
	}
}

func TestARouteThatGoesAndReturnsIsFollowed(t *testing.T) {
	oneCPU(t)
	l := newMirrorLab(t, 1500, 9000)
	far := netip.MustParseAddr("10.9.3.3")
	s := l.session(1)
	s.Targets = []netip.Addr{far}
	d, _, sensor := l.mirrored(s)
	l.number(0, 10)
	if c := l.counters(d, s.ID).Egress; c.NoRoute.Packets != 10 || c.Mirrored.Packets != 0 {
		t.Errorf("without a route: %+v", c)
	}
	if err := testnet.AddAddress(l.sensor, "eth0", netip.PrefixFrom(far, 32)); err != nil {
		t.Fatal(err)
	}
	if err := testnet.AddRoute(l.source, netip.PrefixFrom(far, 32), sensorIPv4); err != nil {
		t.Fatal(err)
	}
	l.number(10, 20)
	settle(sensor)
	numbers, _ := numbersOf(decapsulate(t, sensor.take(isIP)))
	if !slices.Equal(numbers, upTo(10, 20)) {
		t.Errorf("with a route: copies %v", numbers)
	}
}

func TestADeviceThatComesBackIsMirroredAgain(t *testing.T) {
	oneCPU(t)
	l := newMirrorLab(t, 1500, 9000)
	s := l.session(1)
	d, _, sensor := l.mirrored(s)
	l.number(0, 10)
	if err := testnet.RemoveLink(l.source, "eth0"); err != nil {
		t.Fatal(err)
	}
	await(t, "the loss of the device to be told", 5*time.Second, func() bool {
		select {
		case <-d.Changed():
			return true
		default:
			return false
		}
	})
	st := d.ApplyMirrors(t.Context(), []sluice.MirrorSource{l.mirrorSource(s)})
	if st[0].Attached || st[0].Problem != "" {
		t.Errorf("without its device: %+v", st[0])
	}
	end := func(ns string, a netip.Addr) testnet.End {
		return testnet.End{Netns: ns, Device: "eth0", Addresses: []netip.Prefix{netip.PrefixFrom(a, 24)}}
	}
	if err := testnet.AddLink(testnet.Link{A: end(l.source, sourceIPv4), B: end(l.peer, peerIPv4)}); err != nil {
		t.Fatal(err)
	}
	await(t, "the device to be mirrored", 5*time.Second, func() bool {
		st := d.ApplyMirrors(t.Context(), []sluice.MirrorSource{l.mirrorSource(s)})
		return st[0].Attached
	})
	before := l.counters(d, s.ID).Egress.Mirrored.Packets
	if before < 10 {
		t.Errorf("%d copies counted, want those from before", before)
	}
	await(t, "copies", 5*time.Second, func() bool {
		l.number(10, 11)
		numbers, _ := numbersOf(decapsulate(t, sensor.take(isIP)))
		return slices.Contains(numbers, 10)
	})
}

func TestSourcesThatAreNotWantedLeaveNothingBehind(t *testing.T) {
	l := newMirrorLab(t, 1500, 9000)
	d, _, _ := l.mirrored(l.session(1))
	if names := helperDevices(t, l.source); len(names) != 3 {
		t.Errorf("helper devices %v, want three", names)
	}
	// What is right is not touched.
	links := pinned(t, d)
	applyMirrors(t, d, l.mirrorSource(l.session(1)))
	if again := pinned(t, d); !slices.Equal(again, links) || len(links) != 4 {
		t.Errorf("links %v, then %v", links, again)
	}
	if st := d.ApplyMirrors(t.Context(), nil); len(st) != 0 {
		t.Errorf("status of nothing: %v", st)
	}
	if names, links := helperDevices(t, l.source), pinned(t, d); len(names) > 0 || len(links) > 0 {
		t.Errorf("left behind: devices %v, links %v", names, links)
	}
	c, err := d.Counters()
	if err != nil || len(c.Sessions) != 0 {
		t.Errorf("counters of sessions that have ended: %v, %v", c.Sessions, err)
	}
}

func pinned(t testing.TB, d *Datapath) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(d.dir, mirrorLinksDir))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestAMistakeLeavesSessionsAsTheyAre(t *testing.T) {
	oneCPU(t)
	l := newMirrorLab(t, 1500, 9000)
	d, _, sensor := l.mirrored(l.session(1))
	wrong := l.session(1)
	wrong.Rules = slices.Clone(wrong.Rules)
	wrong.Rules[0].RuleAction = "drop"
	st := d.ApplyMirrors(t.Context(), []sluice.MirrorSource{l.mirrorSource(wrong)})
	if !strings.Contains(st[0].Problem, `unknown action "drop"`) {
		t.Errorf("problem %q", st[0].Problem)
	}
	l.number(0, 10)
	settle(sensor)
	if numbers, _ := numbersOf(decapsulate(t, sensor.take(isIP))); !slices.Equal(numbers, upTo(0, 10)) {
		t.Errorf("copies %v", numbers)
	}
}

// Flows are spread over the members of a group, both directions of one to the same, and
// a member that goes moves its own flows alone.
func TestFlowsAreSpreadOverTargets(t *testing.T) {
	oneCPU(t)
	l := newMirrorLab(t, 1500, 9000)
	var members []netip.Addr
	for n := range 4 {
		a := netip.AddrFrom4([4]byte{10, 9, 2, byte(10 + n)})
		members = append(members, a)
		if err := testnet.AddAddress(l.sensor, "eth0", netip.PrefixFrom(a, 24)); err != nil {
			t.Fatal(err)
		}
	}
	s := l.session(1)
	s.Targets = members
	d, _, _ := l.mirrored(s)
	where := func() map[string]netip.Addr {
		sensor := openTap(t, l.sensor, "eth0")
		for port := range 100 {
			inject(t, l.source, "eth0", ether(ipv4("10.9.1.1", "10.9.1.2", 17, udp(1000+port, 5, nil))))
			inject(t, l.peer, "eth0", ether(ipv4("10.9.1.2", "10.9.1.1", 17, udp(5, 1000+port, nil))))
		}
		settle(sensor)
		out := map[string]netip.Addr{}
		for _, f := range sensor.take(isIP) {
			for _, c := range decapsulate(t, [][]byte{f}) {
				p := refParse(c.frame)
				if p.protocol != 17 {
					continue
				}
				a, _ := netip.AddrFromSlice(f[14+16 : 14+20])
				key := fmt.Sprint(max(p.sport, p.dport))
				if was, ok := out[key]; ok && was != a {
					t.Errorf("flow %s goes to %v and %v", key, was, a)
				}
				out[key] = a
			}
		}
		return out
	}
	before := where()
	load := map[netip.Addr]int{}
	for _, a := range before {
		load[a]++
	}
	for _, m := range members {
		if load[m] < 10 {
			t.Errorf("member %v has %d of 100 flows", m, load[m])
		}
	}
	s.Targets = members[1:]
	applyMirrors(t, d, l.mirrorSource(s))
	for key, a := range where() {
		if before[key] != members[0] && before[key] != a {
			t.Errorf("flow %s moved from %v to %v", key, before[key], a)
		}
	}
}
