package datapath

import (
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"sluice"
)

// sendSegmented hands the kernel many datagrams at once.
func (l *mirrorLab) sendSegmented(size, segment int) {
	l.t.Helper()
	err := inNamespace(l.source, func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT, segment); err != nil {
			return err
		}
		return unix.Sendto(fd, make([]byte, size), 0, &unix.SockaddrInet4{Port: 9, Addr: peerIPv4.As4()})
	})
	if err != nil {
		l.t.Fatal(err)
	}
}

func TestSuperPacketsOfUDPAreCut(t *testing.T) {
	oneCPU(t)
	l := newMirrorLab(t, 1500, 9000)
	d, wire, sensor := l.mirrored(l.session(1))
	for range 5 {
		l.sendSegmented(20100, 1000)
	}
	settle(wire, sensor)
	frames := wire.take(isIP)
	compare(t, frames, decapsulate(t, sensor.take(isIP)), 0)
	if c := l.counters(d, "tms-00000000000000001").Egress; c.Matched.Packets < 105 || c.Matched != c.Mirrored {
		t.Errorf("counted %+v", c)
	}
}

// What the firewall drops is not mirrored, and what leaves as a copy is none of its
// traffic.
func TestMirrorsAndFirewallsMindTheirOwnPackets(t *testing.T) {
	oneCPU(t)
	l := newMirrorLab(t, 1500, 9000)
	d, _, sensor := l.mirrored(l.session(1))
	e := sluice.Endpoint{ID: testEndpoint, Policy: testPolicy(), Interfaces: []sluice.InterfaceRef{
		{ID: "eni-1", Netns: l.source, Device: "eth0"}, {ID: "eni-2", Netns: l.source, Device: "up0"},
	}}
	e.Policy.StatelessDefault = sluice.ActionDrop
	apply(t, d, e)
	for range 10 {
		inject(t, l.peer, "eth0", ether(ipv4("10.9.1.2", "10.9.1.1", 17, udp(1, 7777, be32(1)))))
	}
	settle(sensor)
	if n := len(decapsulate(t, sensor.take(isIP))); n != 0 {
		t.Errorf("%d copies of packets that the firewall dropped", n)
	}
	e.Policy.StatelessDefault, e.Policy.Generation = sluice.ActionPass, 2
	apply(t, d, e)
	for n := range 10 {
		inject(t, l.peer, "eth0", ether(ipv4("10.9.1.2", "10.9.1.1", 1, icmp(0, 0, be32(uint32(n))))))
	}
	settle(sensor)
	if n := len(decapsulate(t, sensor.take(isIP))); n != 10 {
		t.Errorf("%d copies of 10 packets", n)
	}
	for _, f := range captureFrom(t, d, testEndpoint) {
		if f.Protocol == 17 {
			t.Errorf("the firewall has a flow of copies: %+v", f)
		}
		if f.Destination == sourceIPv4 && f.Packets[0] != 10 {
			t.Errorf("the firewall counted %d of 10 packets", f.Packets[0])
		}
	}
}

// A source without an address of its own, such as the port of a bridge, sends copies
// from the address that the route prefers.
func TestCopiesOfASourceWithoutAddressesHaveOne(t *testing.T) {
	oneCPU(t)
	l := newMirrorLab(t, 1500, 9000)
	d := testDatapath(t, 1024)
	t.Cleanup(func() { d.Remove() })
	for target, want := range map[netip.Addr]netip.Addr{sensorIPv4: uplinkIPv4, sensorIPv6: uplinkIPv6} {
		s := l.session(1)
		s.Targets = []netip.Addr{target}
		src := l.mirrorSource(s)
		src.IPv4, src.IPv6 = netip.Addr{}, netip.Addr{}
		applyMirrors(t, d, src)
		sensor := openTap(t, l.sensor, "eth0")
		l.udp(l.source, peerIPv4, 100)
		settle(sensor)
		copies := sensor.take(func(f []byte) bool { p := refParse(f); return p.dst == target && p.dport == 4789 })
		if len(copies) == 0 {
			t.Fatalf("no copies to %v: %+v", target, l.counters(d, s.ID))
		}
		if p := refParse(copies[0]); p.src != want {
			t.Errorf("copies to %v come from %v, want %v", target, p.src, want)
		}
		decapsulate(t, copies)
	}
}

func TestConstantsAreThoseOfTheMirrorProgram(t *testing.T) {
	want := map[string]int{
		"MAX_SOURCES": maxSources, "MAX_SESSIONS": maxSessions, "SESSIONS_PER_SOURCE": sessionsPerSource,
		"RULES_PER_DIRECTION": rulesPerDirection, "RESOLVERS_PER_SESSION": resolversPerSession,
		"TARGETS_PER_SESSION": targetsPerSession, "DELIVERIES_PER_SESSION": deliveriesPerSession,
		"ANY_PROTOCOL": anyProtocol, "COST_SHIFT": costShift, "PRICE_SHIFT": priceShift,
	}
	define := regexp.MustCompile(`(?m)^#define (\w+) (\w+)`)
	for _, file := range []string{"bpf/mirror_maps.h", "bpf/mirror.c", "bpf/cost.h"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range define.FindAllStringSubmatch(string(text), -1) {
			n, err := strconv.ParseInt(m[2], 0, 64)
			if w, ok := want[m[1]]; ok && (err != nil || w != int(n)) {
				t.Errorf("%s is %s in %s and %d in Go", m[1], m[2], file, w)
			}
			delete(want, m[1])
		}
	}
	for name := range want {
		t.Errorf("%s is not defined", name)
	}
}
