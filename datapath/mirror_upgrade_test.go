package datapath

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"sluice"
	"sluice/internal/testnet"
)

// A second way from the source to the peer.
var otherSourceIPv4, otherPeerIPv4 = netip.MustParseAddr("10.9.4.1"), netip.MustParseAddr("10.9.4.2")

// twoSources adds a second way to the lab and mirrors each to a session of its own.
func (l *mirrorLab) twoSources() (one, two sluice.MirrorSource) {
	l.t.Helper()
	end := func(ns string, a netip.Addr) testnet.End {
		return testnet.End{Netns: ns, Device: "eth1", Addresses: []netip.Prefix{netip.PrefixFrom(a, 24)}}
	}
	if err := testnet.AddLink(testnet.Link{A: end(l.source, otherSourceIPv4), B: end(l.peer, otherPeerIPv4)}); err != nil {
		l.t.Fatal(err)
	}
	one, two = l.mirrorSource(l.session(1)), l.mirrorSource(l.session(2))
	two.Interface.ID, two.Interface.Device = "eni-00000000000000002", "eth1"
	return one, two
}

// numberStream sends the same numbers to two addresses of the peer, which takes them.
type numberStream struct {
	t    testing.TB
	to   [2]net.Conn
	sent int
}

func (l *mirrorLab) openStream() *numberStream {
	l.t.Helper()
	s := &numberStream{t: l.t}
	for i, a := range []netip.Addr{peerIPv4, otherPeerIPv4} {
		to := netip.AddrPortFrom(a, 7777).String()
		listener, err := testnet.ListenPacket(l.peer, "udp", to)
		if err != nil {
			l.t.Fatal(err)
		}
		l.t.Cleanup(func() { listener.Close() })
		if s.to[i], err = testnet.Dial(l.t.Context(), l.source, "udp", to); err != nil {
			l.t.Fatal(err)
		}
		l.t.Cleanup(func() { s.to[i].Close() })
	}
	return s
}

func (s *numberStream) send(n int) {
	s.t.Helper()
	for range n {
		for _, c := range s.to {
			if _, err := c.Write(append(be32(uint32(s.sent)), make([]byte, 96)...)); err != nil {
				s.t.Fatal(err)
			}
		}
		s.sent++
	}
}

// during sends until work is done, and at most so many that the taps keep up.
func (s *numberStream) during(work func()) {
	s.t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); work() }()
	for range 200 {
		select {
		case <-done:
			return
		default:
			s.send(20)
		}
	}
	<-done
}

// numbersTo returns the numbers in frames of a stream to an address.
func numbersTo(frames [][]byte, to netip.Addr) (out []int) {
	for _, f := range frames {
		at := ipOf(f)
		if at == 0 || f[at]>>4 != 4 || f[at+9] != 17 || binary.BigEndian.Uint16(f[at+22:]) != 7777 {
			continue
		}
		if a, _ := netip.AddrFromSlice(f[at+16 : at+20]); a == to {
			out = append(out, int(binary.BigEndian.Uint32(f[at+28:])))
		}
	}
	return out
}

// otherBuild is a datapath of a build whose programs work with a larger map.
func otherBuild(t testing.TB, dir string) *Datapath {
	t.Helper()
	d := openDatapath(t, dir, 1024)
	spec := d.mirrors.spec.Copy()
	chunk := spec.Maps[mirrorMapChunk]
	chunk.ValueSize, chunk.Key, chunk.Value = 2*chunk.ValueSize, nil, nil
	if err := d.mirrors.close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(d.mirrors.mapsDir()); err != nil {
		t.Fatal(err)
	}
	var err error
	if d.mirrors, err = openMirrorsOf(spec, dir, copyMark(&d.layout), d.log); err != nil {
		t.Fatal(err)
	}
	return d
}

func setNames(t testing.TB, dir string) (names []string) {
	t.Helper()
	sets, err := mirrorSets(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sets {
		names = append(names, s.name)
	}
	return names
}

// An upgrade over maps that the new build can't take up leaves no packet without its copy
// and sends none to another session, also while one source is still the old build's.
func TestAnUpgradeOverOtherMapsMixesNoSessions(t *testing.T) {
	for _, c := range []struct {
		name string
		open func(t testing.TB, dir string) *Datapath
		shut func(t testing.TB, old *Datapath) // what happens behind it
	}{
		{"a map has another size", otherBuild, func(testing.TB, *Datapath) {}},
		{"the first version, whose directory tells no layout", func(t testing.TB, dir string) *Datapath {
			d := otherBuild(t, dir)
			was := d.mirrors.mapsDir()
			d.mirrors.set = mirrorPrefix + "1"
			if err := os.Rename(was, d.mirrors.mapsDir()); err != nil {
				t.Fatal(err)
			}
			return d
		}, func(testing.TB, *Datapath) {}},
		{"a map of ours has gone", func(t testing.TB, dir string) *Datapath {
			return openDatapath(t, dir, 1024)
		}, func(t testing.TB, old *Datapath) {
			if err := os.Remove(filepath.Join(old.mirrors.mapsDir(), mirrorMapRates)); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			oneCPU(t)
			l := newMirrorLab(t, 1500, 9000)
			one, two := l.twoSources()
			dir := bpffs(t)
			old := c.open(t, dir)
			t.Cleanup(func() { RemovePins(dir) })
			applyMirrors(t, old, two, one) // the second has the first slots
			before := helperDevices(t, l.source)
			if err := old.Close(); err != nil {
				t.Fatal(err)
			}
			c.shut(t, old)
			upgrade(t, l, dir, one, two)
			for _, name := range before {
				if slices.Contains(helperDevices(t, l.source), name) {
					t.Errorf("device %s is left behind", name)
				}
			}
			if names := setNames(t, dir); slices.Contains(names, old.mirrors.set) {
				t.Errorf("maps %v, with the old ones", names)
			}
			if err := RemovePins(dir); err != nil {
				t.Fatal(err)
			}
			if names := helperDevices(t, l.source); len(names) > 0 {
				t.Errorf("devices left behind: %v", names)
			}
		})
	}
}

// upgrade takes over two sources, one after the other, under a stream.
func upgrade(t *testing.T, l *mirrorLab, dir string, one, two sluice.MirrorSource) {
	t.Helper()
	sensor := openTap(t, l.sensor, "eth0")
	wires := []*tap{openTap(t, l.peer, "eth0"), openTap(t, l.peer, "eth1")}
	s := l.openStream()
	s.send(100)
	d := openDatapath(t, dir, 1024)
	s.send(100)
	wrong := two
	wrong.Sessions = []sluice.MirrorSession{l.session(2)}
	wrong.Sessions[0].Rules[0].RuleAction = "drop"
	var st []sluice.MirrorSourceStatus
	s.during(func() { st = d.ApplyMirrors(t.Context(), []sluice.MirrorSource{one, wrong}) })
	if st[0].Problem != "" || !st[0].Attached || st[1].Problem == "" {
		t.Fatalf("status %+v", st)
	}
	if devices, names := helperDevices(t, l.source), setNames(t, dir); len(devices) != 6 || len(names) != 2 {
		t.Errorf("half way: devices %v, maps %v; want those of both", devices, names)
	}
	s.send(500)
	half := s.sent
	s.during(func() { st = d.ApplyMirrors(t.Context(), []sluice.MirrorSource{one, two}) })
	for _, s := range st {
		if s.Problem != "" || !s.Attached {
			t.Fatalf("status %+v", st)
		}
	}
	s.send(100)
	settle(append(wires, sensor)...)
	copies := map[uint32][][]byte{}
	for _, c := range decapsulate(t, sensor.take(isIP)) {
		copies[c.vni] = append(copies[c.vni], c.frame)
	}
	for i, a := range []netip.Addr{peerIPv4, otherPeerIPv4} {
		vni, other := uint32(i+1), uint32(2-i)
		if got := numbersTo(wires[i].take(isIP), a); !slices.Equal(got, upTo(0, s.sent)) {
			t.Errorf("%d of %d originals to %v", len(got), s.sent, a)
		}
		if got := numbersTo(copies[vni], a); !slices.Equal(got, upTo(0, s.sent)) {
			t.Errorf("session %d: %d copies of %d datagrams", vni, len(got), s.sent)
		}
		if got := numbersTo(copies[other], a); len(got) > 0 {
			t.Errorf("session %d has %d copies of the other source's", other, len(got))
		}
	}
	for i, id := range []string{one.Sessions[0].ID, two.Sessions[0].ID} {
		most := uint64(s.sent)
		if i == 1 {
			most = uint64(s.sent - half)
		}
		if n := l.counters(d, id).Egress.Mirrored.Packets; n < 100 || n > most {
			t.Errorf("session %s: %d copies counted, want 100 to %d since the take-over", id, n, most)
		}
	}
	if links := pinned(t, d); len(links) != 6 || len(helperDevices(t, l.source)) != 3 || len(setNames(t, dir)) != 1 {
		t.Errorf("links %v, devices %v, maps %v", links, helperDevices(t, l.source), setNames(t, dir))
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	// What has been made is taken up from here on.
	made := setNames(t, dir)
	d = openDatapath(t, dir, 1024)
	applyMirrors(t, d, two, one)
	if names := setNames(t, dir); !slices.Equal(names, made) || l.counters(d, one.Sessions[0].ID).Egress.Mirrored.Packets < 100 {
		t.Errorf("maps %v, then %v", made, names)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestPinsOfAnUpgradeThatWasCutOffAreRemoved(t *testing.T) {
	l := newMirrorLab(t, 1500, 9000)
	one, two := l.twoSources()
	dir := bpffs(t)
	old := otherBuild(t, dir)
	applyMirrors(t, old, one, two)
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	d := openDatapath(t, dir, 1024)
	two.Sessions[0].Rules[0].RuleAction = "drop"
	d.ApplyMirrors(t.Context(), []sluice.MirrorSource{one, two})
	if names := helperDevices(t, l.source); len(names) != 6 {
		t.Fatalf("devices %v, want those of both builds", names)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := RemovePins(dir); err != nil {
		t.Fatal(err)
	}
	if names := helperDevices(t, l.source); len(names) > 0 {
		t.Errorf("devices left behind: %v", names)
	}
	for _, device := range []string{"eth0", "eth1"} {
		await(t, "no program on "+device, 5*time.Second, func() bool { return len(programs(t, l.source, device)) == 0 })
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("pins are left behind: %v", err)
	}
}

// Who goes back to the build before meets the maps that its programs still run on.
func TestTheBuildBeforeTakesItsMapsUpAgain(t *testing.T) {
	l := newMirrorLab(t, 1500, 9000)
	one, two := l.twoSources()
	dir := bpffs(t)
	d := openDatapath(t, dir, 1024)
	applyMirrors(t, d, two, one)
	was := d.mirrors.set
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	spec := d.mirrors.spec.Copy()
	spec.Maps[mirrorMapPaths].MaxEntries++
	newer, err := openMirrorsOf(spec, dir, d.mirrors.mark, d.log)
	if err != nil {
		t.Fatal(err)
	}
	if err := newer.close(); err != nil {
		t.Fatal(err)
	}
	if names := setNames(t, dir); len(names) != 2 {
		t.Errorf("maps %v, want those of both builds", names)
	}
	d = openDatapath(t, dir, 1024)
	t.Cleanup(func() { d.Remove() })
	applyMirrors(t, d, one, two)
	if names := setNames(t, dir); len(names) != 1 || names[0] != was {
		t.Errorf("maps %v, want %s alone", names, was)
	}
}
