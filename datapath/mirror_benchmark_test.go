package datapath

import (
	"io"
	"net/netip"
	"testing"
	"time"

	"sluice"
	"sluice/internal/testnet"
)

// BenchmarkMirror measures what TCP loses by being mirrored, and how many copies are made:
// go test ./datapath -run '^$' -bench Mirror -benchtime 3s
func BenchmarkMirror(b *testing.B) {
	nothing := []sluice.TrafficMirrorFilterRule{{
		TrafficDirection: sluice.TrafficIngress, RuleNumber: 1, RuleAction: sluice.MirrorAccept, Protocol: 47,
		SourceCIDR: netip.MustParsePrefix("0.0.0.0/0"), DestinationCIDR: netip.MustParsePrefix("0.0.0.0/0"),
	}}
	for _, mode := range []struct {
		name     string
		mirrored bool
		length   uint32
		rules    []sluice.TrafficMirrorFilterRule
		wire     bool // the uplink carries no super-packets
	}{
		{"plain", false, 0, nil, false},
		{"nothing", true, 0, nothing, false},
		{"whole", true, 0, allTraffic(), false},
		{"frames", true, 0, allTraffic(), true},
		{"slices", true, 128, allTraffic(), false},
	} {
		b.Run(mode.name, func(b *testing.B) {
			l := newMirrorLab(b, 1500, 9000)
			for ns, device := range map[string]string{l.source: "eth0", l.peer: "eth0"} {
				if err := testnet.SetOffload(ns, device, true, testnet.TXChecksum, testnet.TSO, testnet.GSO); err != nil {
					b.Fatal(err)
				}
			}
			if err := testnet.SetOffload(l.source, "up0", !mode.wire, testnet.TXChecksum, testnet.TSO); err != nil {
				b.Fatal(err)
			}
			d := testDatapath(b, 1024)
			b.Cleanup(func() { d.Remove() })
			sink, err := testnet.ListenPacket(l.sensor, "udp", "[::]:4789")
			if err != nil {
				b.Fatal(err)
			}
			defer sink.Close()
			s := l.session(1)
			s.PacketLength, s.Rules = mode.length, mode.rules
			if mode.mirrored {
				applyMirrors(b, d, l.mirrorSource(s))
			}
			l.stream(b, d, s.ID)
		})
	}
}

// stream sends to the source for as long as the benchmark runs.
func (l *mirrorLab) stream(b *testing.B, d *Datapath, id string) {
	listener, err := testnet.Listen(l.source, "tcp", netip.AddrPortFrom(sourceIPv4, 0).String())
	if err != nil {
		b.Fatal(err)
	}
	defer listener.Close()
	go func() {
		if c, err := listener.Accept(); err == nil {
			io.Copy(io.Discard, c)
			c.Close()
		}
	}()
	c, err := testnet.Dial(b.Context(), l.peer, "tcp", listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	chunk := make([]byte, 1<<18)
	b.SetBytes(int64(len(chunk)))
	copies := func() uint64 {
		all := l.counters(d, id)
		return all.Ingress.Mirrored.Packets + all.Egress.Mirrored.Packets
	}
	before, begin := copies(), time.Now()
	for b.Loop() {
		if _, err := c.Write(chunk); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(copies()-before)/time.Since(begin).Seconds(), "copies/s")
}

// BenchmarkMirrorProgram measures what the program costs a packet that no session takes.
func BenchmarkMirrorProgram(b *testing.B) {
	r := newMirrorRig(b)
	l := &mirrorLab{}
	s := l.session(0)
	s.Rules = []sluice.TrafficMirrorFilterRule{{
		TrafficDirection: sluice.TrafficIngress, RuleNumber: 1, RuleAction: sluice.MirrorAccept, Protocol: 47,
		SourceCIDR: netip.MustParsePrefix("0.0.0.0/0"), DestinationCIDR: netip.MustParsePrefix("0.0.0.0/0"),
	}}
	r.put([]sluice.MirrorSession{s})
	for _, direction := range []string{sluice.TrafficIngress, sluice.TrafficEgress} {
		for name, frame := range map[string][]byte{
			"IPv4": ether(ipv4("10.0.0.1", "10.0.0.2", 6, tcp(1, 2, 3, 4, flagACK, make([]byte, 1000)))),
			"IPv6": ether(ipv6("fd00::1", "fd00::2", 6, tcp(1, 2, 3, 4, flagACK, make([]byte, 1000)))),
			"ARP":  append([]byte{12: 0x08, 13: 0x06}, make([]byte, 46)...),
		} {
			b.Run(direction+" "+name, func(b *testing.B) {
				_, took, err := r.programs[direction].Benchmark(frame, 10_000_000, nil)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(took.Nanoseconds()), "ns/packet")
			})
		}
	}
}
